"""Engines in the simulated world: a thin adapter each, which says what their effects come to.

An adapter has an address and a place. It hands events to its engine, sends what the engine sends, notes what the
observer wants to know and lets everything else (what a kernel or a store would do) be. A new role joins with an adapter
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sojourn.core.effects import Advertise, Effect, EnsureTunnel, EnsureUplink, Report, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import Commanded, Event, MessageReceived, NodeDetached, NodeSeen, Sighting
from sojourn.wire.addresses import Address
from sojourn.wire.units import Instant

if TYPE_CHECKING:
    from sojourn.sim.world import World

NEVER: Instant = 1 << 62


class Role:
    """One engine at one place."""

    def __init__(self, world: World, engine: Engine, address: Address, place: int) -> None:
        self.world = world
        self.engine = engine
        self.address = address
        self.place = place
        self.received = 0
        self.sent = 0
        self.octets = 0
        self._mark = world.mark(place)
        self._armed: Instant = NEVER
        self._ways: dict[Address, tuple[int, Callable[[Instant, MessageReceived, int], None]]] = {}

    def start(self, now: Instant) -> None:
        """The engine begins, without memory."""
        self._carry_out(self.engine.restore((), now), now, -1)

    def receive(self, now: Instant, event: MessageReceived, turn: int) -> None:
        """A message has arrived."""
        self.received += 1
        self.world.log(now, self._mark, turn)
        self._carry_out(self.engine.handle(event, now), now, turn)

    def tell(self, now: Instant, event: Event, turn: int) -> None:
        """Something happened here."""
        self._carry_out(self.engine.handle(event, now), now, turn)

    def wake(self, now: Instant, _: None, turn: int) -> None:
        """A deadline, or what was one when this was scheduled."""
        if now < self._armed:
            return
        self._armed = NEVER
        self._carry_out(self.engine.expire(now), now, turn)

    def _carry_out(self, effects: Iterable[Effect], now: Instant, turn: int) -> None:
        for effect in effects:
            if type(effect) is SendMessage:
                self._transmit(effect, now, turn)
            else:
                self._note(effect, now, turn)
        deadline = self.engine.deadline()
        if deadline is not None and deadline < self._armed:
            self._armed = deadline
            self.world.kernel.schedule(deadline, self.wake, None, -1)

    def _transmit(self, effect: SendMessage, now: Instant, turn: int) -> None:
        self.sent += 1
        way = self._ways.get(effect.destination)
        if way is None:
            way = self._ways[effect.destination] = self.world.way(self.place, effect.destination)
        self.world.observe_message(effect, self, turn)
        event = MessageReceived(effect.message, effect.source, effect.destination)
        self.world.kernel.schedule(now + way[0], way[1], event, turn)

    def _note(self, effect: Effect, now: Instant, turn: int) -> None:
        pass


class Router(Role):
    """A MAAR."""

    def attach(self, now: Instant, link_layer: bytes, turn: int) -> None:
        self.tell(now, NodeSeen("acc0", link_layer, Sighting.STATION), turn)

    def detach(self, now: Instant, link_layer: bytes, turn: int) -> None:
        self.tell(now, NodeDetached("acc0", link_layer), turn)

    def retire(self, now: Instant, node: bytes, turn: int) -> None:
        self.tell(now, Commanded("retire", {"node": node.hex()}), turn)

    def _note(self, effect: Effect, now: Instant, turn: int) -> None:
        kind = type(effect)
        if kind is EnsureUplink:
            if effect.anchor is not None:
                self.world.observe_served(turn, effect.anchor, now)
        elif kind is EnsureTunnel:
            self.world.observe_tunnel(turn, self.place, effect.remote, now)
        elif kind is Advertise:
            self.world.observe_advertisement(turn, effect, now)
        elif kind is Report:
            self.world.observe_report(turn, effect, now, self)


class Database(Role):
    """The CMD."""

    def _note(self, effect: Effect, now: Instant, turn: int) -> None:
        if type(effect) is Report:
            self.world.observe_report(turn, effect, now, self)
