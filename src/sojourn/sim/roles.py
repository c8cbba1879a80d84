"""Engines in the simulated world: a thin adapter, which says what their effects come to.

A role has an address and a place. It hands events to its engine, sends what the engine sends, notes what is to be seen
and lets everything else (what a kernel or a store would do) be. A new kind of engine joins by saying which of its
effects mean something (`Role.notes`); how messages and time reach it is the same for all.

Whatever happens has a *cause*: an attachment and a purpose (`sojourn.sim.ledger`), handed on from a message to those
that answer it. Where only time is the cause, the message itself says what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from heapq import heappush
from typing import TYPE_CHECKING, Any, Protocol

from sojourn.core.clock import Timers
from sojourn.core.effects import Advertise, Effect, EnsureTunnel, EnsureUplink, ProbeNode, Report, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import Commanded, Event, MessageReceived, NodeDetached, NodeSeen, Sighting
from sojourn.engines.access_session import SERVED, AccessSession
from sojourn.engines.configuration import DIRECT
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mag import MobileAccessGateway
from sojourn.sim.kernel import Action
from sojourn.sim.ledger import LOST, PURPOSE_BITS, Purpose
from sojourn.wire import (
    BindingRefreshRequest,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    Heartbeat,
    IdentifierType,
    MobileNodeIdentifier,
    MobilityMessage,
)
from sojourn.wire.addresses import Address, LinkLayer
from sojourn.wire.units import Instant

if TYPE_CHECKING:
    from sojourn.sim.world import World

TIME = -1
"""The cause of what happens because time has passed."""
INTERFACE = "access"
_KIND = bytes((int(IdentifierType.EUI_48),))
READ = frozenset({"command-refused", "retirement-refused"})
"""Reports of a MAAR that mean something here."""
_NEVER: Instant = 1 << 62
_SIGNS = (Heartbeat, BindingRefreshRequest)
"""Of life, and who holds a pool of one that is gone."""

Note = Callable[[Any, Instant, int], None]
"""``note(effect, now, cause)``."""


def link_layer(node: int) -> LinkLayer:
    """The link-layer address of a node."""
    return b"\2" + node.to_bytes(5, "big")


def identifier(node: int) -> bytes:
    """Its key in the tables of engines."""
    return _KIND + link_layer(node)


def node_of(address: LinkLayer) -> int:
    """The inverse of `link_layer`."""
    return int.from_bytes(address[1:], "big")


class Hosted(Engine, Protocol):
    """What a role needs of its engine; `sojourn.engines.base.OutboxEngine` has it."""

    stores: bool
    reports: Container[str] | None

    @property
    def timers(self) -> Timers[Any]:
        """See `OutboxEngine.timers`."""
        ...


class Role:
    """One engine at one place.

    There is one class for all, because the look-ups of CPython are fast where the class is always the same.
    """

    def __init__(
        self, world: World, engine: Hosted, address: Address, place: int, reports: Container[str] = frozenset()
    ) -> None:
        self.engine = engine
        self.address = address
        self.place = place
        self.notes: dict[type, Note] = {SendMessage: self._transmit}
        """What effects come to."""
        self.alarms = 0
        """How often the engine was looked at because of its deadlines."""
        self.arrive: Action = self._queue if world.settings.processing else self.tell
        """A message has come."""
        engine.stores, engine.reports = False, reports
        self._world = world
        self._handle = engine.handle
        self._timers = engine.timers
        self._waking: list[Instant] = [_NEVER]
        """When the engine will be looked at, the next time last."""
        self._free: Instant = 0
        """When it is done with the messages that wait for it."""
        self._ways: dict[Address, tuple[int, Action, int]] = {}
        self._write_time = world.ledger.times.append
        self._write_code = world.ledger.codes.append
        self._write_size = world.ledger.sizes.append
        self._weigh = world.weigh
        self._loses = world.loses
        self._kernel = world.kernel

    def start(self, now: Instant) -> None:
        """The engine begins, without memory."""
        self._carry_out(self.engine.restore((), now), now, 0)

    def tell(self, now: Instant, event: Event, cause: int) -> None:
        """Something happened here."""
        self._carry_out(self._handle(event, now), now, cause)

    def _queue(self, now: Instant, event: Event, cause: int) -> None:
        """A message waits for those before it; then the engine takes its time."""
        self._free = max(now, self._free) + self._world.settings.processing
        self._kernel.schedule(self._free, self.tell, event, cause)

    def _wake(self, now: Instant, _: None, cause: int) -> None:
        """A deadline, or what was one when this was scheduled."""
        self.alarms += 1
        self._waking.pop()
        deadline = self.engine.deadline()
        if deadline is None:
            return
        if deadline <= now:
            self._carry_out(self.engine.expire(now), now, cause)
        elif deadline < self._waking[-1]:
            self._arm(deadline)

    def _arm(self, deadline: Instant) -> None:
        self._waking.append(deadline)
        self._kernel.schedule(deadline, self._wake, None, TIME)

    def _carry_out(self, effects: Iterable[Effect], now: Instant, cause: int) -> None:
        noted = self.notes.get
        for effect in effects:
            note = noted(type(effect))
            if note is not None:
                note(effect, now, cause)
        if self._timers.soonest < self._waking[-1]:
            self._arm(self._timers.soonest)

    def _transmit(self, effect: SendMessage, now: Instant, cause: int) -> None:
        message, destination, kernel = effect.message, effect.destination, self._kernel
        try:
            delay, arrive, way = self._ways[destination]
        except KeyError:
            delay, arrive, way = self._ways[destination] = self._world.way(self.place, destination)
        if cause < 0:
            cause = self._cause_of(message)
        at = now + delay
        self._write_time(at)
        if self._loses is not None and self._loses():
            self._write_code(way | cause | LOST)
            if self._weigh is not None:
                self._write_size(self._weigh(message)[1])
            return
        self._write_code(way | cause)
        if self._weigh is not None:
            message, octets = self._weigh(message)
            self._write_size(octets)
        event = MessageReceived(message, effect.source, destination)
        if at < kernel.edge:  # what `Kernel.schedule` does, without the call
            heappush(kernel.heap, (at, next(kernel.order), arrive, event, cause))
        else:
            kernel.schedule(at, arrive, event, cause)

    def _cause_of(self, message: MobilityMessage) -> int:
        """Of a message that only time has set off."""
        who = message.first(MobileNodeIdentifier)
        handoff = message.first(HandoffIndicator)
        if isinstance(message, _SIGNS):
            purpose = Purpose.SURVIVAL
        elif isinstance(message, BindingUpdate) and message.lifetime == 0:
            purpose = Purpose.RETIREMENT
        elif who is None or (handoff is not None and handoff.indicator == Handoff.NOT_CHANGED):
            purpose = Purpose.UPKEEP
        else:
            purpose = Purpose.HANDOVER
        return (self._world.turn_of(node_of(who.identifier)) if who else 0) << PURPOSE_BITS | purpose


class AccessRouter:
    """A router and its access link, whatever its protocol."""

    def __init__(
        self,
        world: World,
        engine: MobilityAnchorAccessRouter | MobileAccessGateway,
        address: Address,
        place: int,
        reports: Container[str] = frozenset(),
        kind: type[Role] = Role,
    ) -> None:
        self.world = world
        self.place = place
        self.role = kind(world, engine, address, place, reports)
        self._kernel = world.kernel
        self.tell = self.role.tell
        self._sessions: Mapping[bytes, AccessSession] = engine.sessions
        self.role.notes |= {
            Advertise: self._note_advertisement,
            EnsureUplink: self._note_uplink,
            ProbeNode: self._answer_probe,
        }

    def attach(self, now: Instant, node: int, turn: int) -> None:
        """The node has come: its turn `turn` begins."""
        self.world.begin(node, turn)
        address, cause = link_layer(node), turn << PURPOSE_BITS
        session = self._sessions.get(identifier(node))
        if session is not None and session.presence is SERVED:  # back before anybody said that it had gone
            self.tell(now, NodeDetached(INTERFACE, address), cause)
        self.tell(now, NodeSeen(INTERFACE, address, Sighting.STATION, previous=self._previous(turn)), cause)

    def _previous(self, turn: int) -> Address | None:
        """Where the link says that the node comes from."""
        return None

    def detach(self, now: Instant, node: int, turn: int) -> None:
        """The node has left the domain."""
        self.world.end(node)
        self.tell(now, NodeDetached(INTERFACE, link_layer(node)), turn << PURPOSE_BITS | Purpose.RETIREMENT)

    def _note_advertisement(self, effect: Advertise, now: Instant, cause: int) -> None:
        """A MAAR announces at an attachment, and again when that is confirmed (RFC 8885 3.2 step 4); a MAG then."""
        seen, turn = self.world.seen, cause >> PURPOSE_BITS
        if seen.advertised[turn] < 0 and any(prefix.preferred for prefix in effect.prefixes):
            seen.advertised[turn] = now
        if seen.registered[turn] < 0 and self._sessions[_KIND + effect.link_layer].confirmed:
            seen.registered[turn] = now

    def _note_uplink(self, effect: EnsureUplink, now: Instant, cause: int) -> None:
        if effect.anchor is not None:
            self.world.seen.served(cause >> PURPOSE_BITS, self.world.places_of[effect.anchor], now)

    def _answer_probe(self, effect: ProbeNode, now: Instant, cause: int) -> None:
        if self.world.is_at(node_of(effect.link_layer), self.place):
            sighting = NodeSeen(effect.interface, effect.link_layer, Sighting.NEIGHBOUR)
            self._kernel.schedule(now, self.tell, sighting, TIME)


class AnchorRouter(AccessRouter):
    """A MAAR: it anchors as well."""

    def __init__(
        self,
        world: World,
        engine: MobilityAnchorAccessRouter,
        address: Address,
        place: int,
        kind: type[Role] = Role,
    ) -> None:
        super().__init__(world, engine, address, place, READ, kind)
        self._hints = engine.configuration.mode is DIRECT and world.settings.tells_previous
        self.role.notes |= {EnsureTunnel: self._note_tunnel, Report: self._note_report}

    def _previous(self, turn: int) -> Address | None:
        return self.world.came_from(turn) if self._hints else None

    def retire(self, now: Instant, node: int, _: int) -> None:
        """No session has used the prefix of `node`, which is elsewhere, for as long as prefixes are held."""
        self.world.holds += 1
        key = identifier(node)
        if key in self._sessions and not self.world.is_at(node, self.place):
            cause = self.world.turn_of(node) << PURPOSE_BITS | Purpose.RETIREMENT
            self.tell(now, Commanded("retire", {"node": key.hex()}), cause)

    def _note_tunnel(self, effect: EnsureTunnel, now: Instant, cause: int) -> None:
        delay, _, _ = self.world.way(self.place, effect.remote)
        self.world.seen.tunnelled(cause >> PURPOSE_BITS, self.place, now + delay)

    def _note_report(self, report: Report, now: Instant, cause: int) -> None:
        """The prefix cannot retire now: the node has just moved on, and not everybody knows."""
        node = self.world.node_of_turn(cause >> PURPOSE_BITS)
        self._kernel.schedule(now + max(self.world.settings.idle_hold, 1), self.retire, node, TIME)


class Gateway(AccessRouter):
    """A MAG: it says when a node leaves its link (RFC 5213 6.9.1.4)."""

    def leave(self, now: Instant, node: int, turn: int) -> None:
        """The node is about to begin its turn `turn` elsewhere."""
        self.tell(now, NodeDetached(INTERFACE, link_layer(node)), turn << PURPOSE_BITS)


class Anchor:
    """An LMA."""

    def __init__(self, world: World, engine: LocalMobilityAnchor, address: Address, place: int) -> None:
        self.role = Role(world, engine, address, place)
        self.role.notes[EnsureTunnel] = self._note_tunnel
        self._world = world

    def _note_tunnel(self, effect: EnsureTunnel, now: Instant, cause: int) -> None:
        role = self.role
        delay, _, _ = self._world.way(role.place, effect.remote)
        self._world.seen.served(cause >> PURPOSE_BITS, role.place, now + delay)
