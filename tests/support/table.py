"""Engines on a table: delays between them, and a clock that stands still until told.

Every message is encoded and decoded. Losses, repetitions, crashes and restarts are asked for by the test.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from sojourn.core.effects import (
    Advertise,
    CountQueue,
    CountTraffic,
    DeleteBinding,
    Effect,
    ProbeNode,
    ProbePath,
    QueryListeners,
    Report,
    SendDhcp,
    SendMessage,
    StoreBinding,
)
from sojourn.core.engine import Engine
from sojourn.core.events import (
    ClockStepped,
    EffectFailed,
    Event,
    MessageReceived,
    NodeDetached,
    NodeSeen,
    PathProbed,
    QueueCounted,
    Sighting,
    TrafficCounted,
)
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.wire import decode, encode
from sojourn.wire.addresses import Address, link_layer
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

EPOCH = 1_790_000_000 * SECOND
HOSTS = {f"mn{n}": link_layer(f"02:00:00:00:01:{n:02x}") for n in range(1, 100)}


def node(host: str) -> bytes:
    """The key of a host in the engines' tables."""
    return b"\x05" + HOSTS[host]


class Member:
    """One engine with its data plane, its store and what it did."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine
        self.plane = MemoryDataplane()
        self.store: dict[bytes, bytes] = {}
        self.alive = True
        self.deadline: Instant | None = None
        """As the engine said last."""
        self.advertised: list[tuple[Instant, Advertise]] = []
        self.reports: list[tuple[Instant, Report]] = []
        self.probes: list[ProbeNode] = []
        self.queries: list[QueryListeners] = []
        self.dhcp: list[SendDhcp] = []

    def reported(self, name: str) -> int:
        """How many reports of that name."""
        return sum(1 for _, report in self.reports if report.name == name)


class Table:
    """See the module's text. ``delays[("ar1", "cmd")]`` is a one-way delay; the default is 1 ms.

    A subclass says who sits at it (`_populate`) and what they are (`_engine`).
    """

    def __init__(self, delays: dict[tuple[str, str], Duration] | None = None) -> None:
        self.now: Instant = 0
        self.delays = delays or {}
        self.messages: list[tuple[Instant, str, str, MobilityMessage]] = []
        self.effects: list[tuple[Instant, str, Effect]] = []
        self.lose: Callable[[str, str, MobilityMessage], bool] = lambda source, destination, message: False
        self.jitter: Callable[[], Duration] = lambda: 0
        """Added to every delay; messages overtake each other."""
        self.repeat: Callable[[], bool] = lambda: False
        """Whether the network delivers a message twice."""
        self.on_probe: Callable[[str, ProbeNode], None] = lambda name, probe: None
        """What the nodes on the access link of `name` do when they are asked for a sign of life."""
        self.on_query: Callable[[str, QueryListeners], None] = lambda name, query: None
        """The same when they are asked what they listen to."""
        self.skews: dict[str, Duration] = {}
        """How far the wall clock of a member is ahead; read when it is born."""
        self._order = 0
        self._flight: list[tuple[Instant, int, str, Event]] = []

    def _populate(self, names: dict[Address, str]) -> None:
        """Everybody is born."""
        self.names = names
        self.members: dict[str, Member] = {}
        for name in self.names.values():
            self.members[name] = Member(name, self._engine(name))
            self._carry_out(self.members[name], list(self.members[name].engine.restore([], 0)))
        self.run(50 * MILLISECOND)
        self.messages.clear()
        self.effects.clear()

    def _engine(self, name: str) -> Engine:
        """A new life of `name`."""
        raise NotImplementedError

    def plane(self, name: str) -> MemoryDataplane:
        return self.members[name].plane

    def reported(self, name: str, report: str) -> int:
        return self.members[name].reported(report)

    def sent(self, kind: type[MobilityMessage] | None = None) -> list[tuple[str, str, MobilityMessage]]:
        """Messages since the last `clear`, as (from, to, message)."""
        return [
            (source, destination, message)
            for _, source, destination, message in self.messages
            if kind is None or isinstance(message, kind)
        ]

    def clear(self) -> None:
        self.messages.clear()
        self.effects.clear()
        for member in self.members.values():
            member.advertised.clear()
            member.reports.clear()

    # --- doing ----------------------------------------------------------------------------------------------------

    def attach(self, host: str, name: str, sighting: Sighting = Sighting.STATION) -> None:
        self.event(name, NodeSeen("acc0", HOSTS[host], sighting))

    def detach(self, host: str, name: str) -> None:
        self.event(name, NodeDetached("acc0", HOSTS[host]))

    def roam(self, host: str, old: str, new: str, settle: Duration = 200 * MILLISECOND) -> None:
        self.detach(host, old)
        self.attach(host, new)
        self.run(settle)

    def event(self, name: str, event: Event) -> None:
        member = self.members[name]
        if member.alive:
            self._carry_out(member, list(member.engine.handle(event, self.now)))

    def later(self, delay: Duration, name: str, event: Event) -> None:
        """`event` happens to `name` after a while."""
        self._order += 1
        heapq.heappush(self._flight, (self.now + delay, self._order, name, event))

    def inject(self, source: Address, name: str, message: MobilityMessage) -> None:
        """`message` arrives at `name` from anywhere."""
        destination = next(address for address, known in self.names.items() if known == name)
        self.event(name, MessageReceived(decode(bytes(encode(message))), source, destination))

    def skew(self, name: str, ahead: Duration) -> None:
        """The wall clock of `name` is set to be `ahead` of the others'."""
        self.skews[name] = ahead
        self.event(name, ClockStepped(EPOCH + ahead))

    def crash(self, name: str) -> None:
        self.members[name].alive = False

    def restart(self, name: str, *, store: bool) -> None:
        """A new life; with `store` it remembers, without it only the kernel does."""
        member = self.members[name]
        member.alive = True
        member.engine = self._engine(name)
        if not store:
            member.store.clear()
        member.plane.begin()
        self._carry_out(member, list(member.engine.restore(list(member.store.items()), self.now)))
        member.plane.finish()

    def run(self, duration: Duration) -> None:
        """Let time pass."""
        end = self.now + duration
        while True:
            moment = self._flight[0][0] if self._flight else end + 1
            due: Member | None = None
            for member in self.members.values():
                deadline = member.deadline
                if deadline is not None and deadline < moment and member.alive:
                    moment, due = max(deadline, self.now), member
            if moment > end:
                break
            self.now = moment
            if due is not None:
                self._carry_out(due, list(due.engine.expire(self.now)))
            else:
                self.event(*heapq.heappop(self._flight)[2:])
        self.now = end

    def _carry_out(self, member: Member, effects: list[Effect]) -> None:
        member.deadline = member.engine.deadline()
        for effect in effects:
            self.effects.append((self.now, member.name, effect))
            match effect:
                case SendMessage(message, source, destination) if not effect.port:
                    self._send(member.name, source, destination, message)
                case SendMessage():
                    self._send_udp(member.name, effect)
                case StoreBinding(key, record):
                    member.store[key] = record
                case DeleteBinding(key):
                    member.store.pop(key, None)
                case Advertise():
                    member.advertised.append((self.now, effect))
                case SendDhcp():
                    member.dhcp.append(effect)
                case ProbeNode():
                    member.probes.append(effect)
                    self.on_probe(member.name, effect)
                case QueryListeners():
                    member.queries.append(effect)
                    self.on_query(member.name, effect)
                case Report():
                    member.reports.append((self.now, effect))
                case CountQueue(slot):
                    self.event(member.name, QueueCounted(slot, *member.plane.waiting(slot)))
                case ProbePath(remote):
                    delay = self._delay(member.name, self.names.get(remote, ""))
                    self.later(2 * delay, member.name, PathProbed(remote))
                case CountTraffic():
                    self.event(member.name, TrafficCounted(member.plane.count()))
                case _:
                    try:
                        member.plane.apply(effect)
                    except OSError as error:
                        self.event(member.name, EffectFailed(effect, error.errno or 0, str(error)))

    def _send_udp(self, name: str, effect: SendMessage) -> None:
        """There is no IPv4 on this table (`support.ipv4_transport` has some)."""
        raise NotImplementedError

    def _delay(self, one: str, other: str) -> Duration:
        return self.delays.get((one, other), self.delays.get((other, one), 1 * MILLISECOND))

    def _send(self, name: str, source: Address, destination: Address, message: MobilityMessage) -> None:
        receiver = self.names.get(destination)
        message = decode(bytes(encode(message)))
        self.messages.append((self.now, name, receiver or destination.hex(), message))
        if receiver is None or self.lose(name, receiver, message):
            return
        delay = self._delay(name, receiver)
        for _ in range(1 + self.repeat()):
            self.later(delay + self.jitter(), receiver, MessageReceived(message, source, destination))
