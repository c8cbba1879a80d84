"""Engines in the simulated world: a thin adapter each, which says what their effects come to.

An adapter has an address and a place. It hands events to its engine, sends what the engine sends, notes what the
observer wants to know and lets everything else (what a kernel or a store would do) be. A new role joins with an adapter
of its own: it says which of its effects mean something (`Role.notes`).

Whatever happens has a *cause*: an attachment and a purpose (`sojourn.sim.ledger`), handed on from a message to those
that answer it. Where only time is the cause, the message itself says what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappush
from typing import TYPE_CHECKING, Any

from sojourn.core.effects import Advertise, Effect, EnsureTunnel, EnsureUplink, ProbeNode, Report, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import Commanded, Event, MessageReceived, NodeDetached, NodeSeen, Sighting
from sojourn.sim.ledger import PURPOSE_BITS, Purpose
from sojourn.wire import BindingUpdate, Handoff, HandoffIndicator, MobileNodeIdentifier, MobilityMessage
from sojourn.wire.addresses import Address
from sojourn.wire.units import Instant

if TYPE_CHECKING:
    from sojourn.sim.world import World

_NEVER: Instant = 1 << 62
TIME = -1
"""The cause of what happens because time has passed."""
INTERFACE = "acc0"


class Role:
    """One engine at one place."""

    def __init__(self, world: World, engine: Engine, address: Address, place: int) -> None:
        self.world = world
        self.engine = engine
        self.address = address
        self.place = place
        self.notes: dict[type, Callable[[Any, Instant, int], None]] = {
            EnsureUplink: self._note_uplink,
            EnsureTunnel: self._note_tunnel,
            Advertise: self._note_advertisement,
            ProbeNode: self._answer_probe,
            Report: self._note_report,
        }
        """What the effects that mean something come to: ``note(effect, now, cause)``."""
        self._handle = engine.handle
        self._timers = engine._timers
        self._kernel = world.kernel
        self._alarms: list[Instant] = [_NEVER]
        """When the engine will be woken, the next time last."""
        self._ways: dict[Address, tuple[int, Callable[[Instant, Any, int], None], int]] = {}
        self._write_time = world.ledger.times.append
        self._write_code = world.ledger.codes.append
        self._write_size = world.ledger.sizes.append
        self._weigh = world.wire.weigh

    def start(self, now: Instant) -> None:
        """The engine begins, without memory."""
        self._carry_out(self.engine.restore((), now), now, 0)

    def _wake(self, now: Instant, _: None, cause: int) -> None:
        """A deadline, or what was one when this was scheduled."""
        self._alarms.pop()
        deadline = self.engine.deadline()
        if deadline is None:
            return
        if deadline <= now:
            self._carry_out(self.engine.expire(now), now, cause)
        elif deadline < self._alarms[-1]:
            self._arm(deadline)

    def _arm(self, deadline: Instant) -> None:
        self._alarms.append(deadline)
        self._kernel.schedule(deadline, self._wake, None, TIME)

    def tell(self, now: Instant, event: Event, cause: int) -> None:
        """Something happened here, or a message arrived."""
        notes = self.notes
        for effect in self._handle(event, now):
            kind = effect.__class__
            if kind is SendMessage:
                self._transmit(effect, now, cause)
            elif kind in notes:
                notes[kind](effect, now, cause)
        if self._timers.soonest < self._alarms[-1]:
            self._arm(self._timers.soonest)

    def _carry_out(self, effects: Iterable[Effect], now: Instant, cause: int) -> None:
        notes = self.notes
        for effect in effects:
            kind = effect.__class__
            if kind is SendMessage:
                self._transmit(effect, now, cause)
            elif kind in notes:
                notes[kind](effect, now, cause)
        if self._timers.soonest < self._alarms[-1]:
            self._arm(self._timers.soonest)

    def _transmit(self, effect: SendMessage, now: Instant, cause: int) -> None:
        message, destination, kernel = effect.message, effect.destination, self._kernel
        try:
            delay, arrive, way = self._ways[destination]
        except KeyError:
            delay, arrive, way = self._ways[destination] = self.world.way(self.place, destination)
        if cause < 0:
            cause = self._cause_of(message)
        at = now + delay
        self._write_time(at)
        self._write_code(way | cause)
        if self._weigh is not None:
            message, octets = self._weigh(message)
            self._write_size(octets)
        event = MessageReceived(message, effect.source, destination)
        if at < kernel.edge:  # what `schedule` does, without the call
            heappush(kernel.heap, (at, next(kernel.order), arrive, event, cause))
        else:
            kernel.schedule(at, arrive, event, cause)

    def _cause_of(self, message: MobilityMessage) -> int:
        """Of a message that only time has set off."""
        identifier = message.first(MobileNodeIdentifier)
        turn = 0 if identifier is None else self.world.turn_of(int.from_bytes(identifier.identifier[1:], "big"))
        handoff = message.first(HandoffIndicator)
        if isinstance(message, BindingUpdate) and message.lifetime == 0:
            purpose = Purpose.RETIREMENT
        elif identifier is None or (handoff is not None and handoff.indicator == Handoff.NOT_CHANGED):
            purpose = Purpose.UPKEEP
        else:
            purpose = Purpose.HANDOVER
        return turn << PURPOSE_BITS | purpose


    def attach(self, now: Instant, link_layer: bytes, cause: int) -> None:
        """A node has come."""
        self.tell(now, NodeSeen(INTERFACE, link_layer, Sighting.STATION), cause)

    def detach(self, now: Instant, link_layer: bytes, cause: int) -> None:
        """A node has gone."""
        self.tell(now, NodeDetached(INTERFACE, link_layer), cause)

    def retire(self, now: Instant, node: str, cause: int) -> None:
        """Nothing uses the prefix of `node`, which is elsewhere, any more."""
        self.tell(now, Commanded("retire", {"node": node}), cause)

    def _note_uplink(self, effect: EnsureUplink, now: Instant, cause: int) -> None:
        if effect.anchor is not None:
            self.world.seen.served(cause >> PURPOSE_BITS, self.world.place_of(effect.anchor), now)

    def _note_tunnel(self, effect: EnsureTunnel, now: Instant, cause: int) -> None:
        self.world.seen.tunnelled(cause >> PURPOSE_BITS, self.place, now + self.world.delay(self.place, effect.remote))

    def _note_advertisement(self, effect: Advertise, now: Instant, cause: int) -> None:
        advertised, turn = self.world.seen.advertised, cause >> PURPOSE_BITS
        if advertised[turn] < 0 and any([prefix.preferred for prefix in effect.prefixes]):
            advertised[turn] = now

    def _note_report(self, report: Report, now: Instant, cause: int) -> None:
        if report.name == "registered":
            self.world.seen.registered[cause >> PURPOSE_BITS] = now
        else:
            self.world.retire_later(now, cause, self)

    def _answer_probe(self, effect: ProbeNode, now: Instant, cause: int) -> None:
        if self.world.is_at(effect.link_layer, self.place):
            sighting = NodeSeen(effect.interface, effect.link_layer, Sighting.NEIGHBOUR)
            self._kernel.schedule(now, self.tell, sighting, TIME)
