"""A domain of real engines on a table: a CMD, MAARs, delays between them, and a clock that stands still until told.

Every message is encoded and decoded. Losses, repetitions, crashes and restarts are asked for by the test.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from sojourn.core.effects import (
    Advertise,
    CountTraffic,
    DeleteBinding,
    Effect,
    ProbeNode,
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
    Sighting,
    TrafficCounted,
)
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.configuration import CmdConfiguration, Dhcpv6, Maar, MaarConfiguration, Mode, Peer
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_session import Session
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.wire import decode, encode
from sojourn.wire.addresses import Address, Prefix, address, link_layer, prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

EPOCH = 1_790_000_000 * SECOND
CMD = address("2001:db8:c::1")
HOSTS = {f"mn{n}": link_layer(f"02:00:00:00:01:{n:02x}") for n in range(1, 100)}


@cache
def router(number: int) -> Address:
    """The address of ``arN``."""
    return address(f"2001:db8:a{number}::1")


@cache
def pool(number: int) -> Prefix:
    """The pool of ``arN``."""
    return prefix(f"2001:db8:a{number}00::/48")


@cache
def ipv4_pool(number: int) -> Prefix:
    """The IPv4 addresses of ``arN``."""
    return prefix(f"10.{number}.0.0/24")


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


class Domain:
    """See the module's text. ``delays[("ar1", "cmd")]`` is a one-way delay; the default is 1 ms."""

    def __init__(
        self,
        mode: Mode = Mode.PROXY,
        maars: int = 3,
        delays: dict[tuple[str, str], Duration] | None = None,
        cmd: dict[str, object] | None = None,
        dhcp: bool = False,
        **overrides: object,
    ) -> None:
        self.now: Instant = 0
        self.mode = mode
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
        self.numbers = range(1, maars + 1)
        self.maar_configurations = {
            f"ar{n}": replace(
                MaarConfiguration(
                    router(n), pool(n), CMD, tuple(Peer(router(m), f"ar{m}") for m in self.numbers if m != n), mode
                ),
                **overrides,  # type: ignore[arg-type]
            )
            for n in self.numbers
        }
        self.cmd_configuration = replace(
            CmdConfiguration(CMD, tuple(Maar(router(n), pool(n), f"ar{n}") for n in self.numbers), mode),
            **(cmd or {}),  # type: ignore[arg-type]
        )
        if dhcp:
            self._give_pools()
        self.names: dict[Address, str] = {CMD: "cmd"} | {router(n): f"ar{n}" for n in self.numbers}
        self.members: dict[str, Member] = {}
        for name in self.names.values():
            self.members[name] = Member(name, self._engine(name))
            self._carry_out(self.members[name], list(self.members[name].engine.restore([], 0)))
        self.run(50 * MILLISECOND)
        self.messages.clear()
        self.effects.clear()

    def _give_pools(self) -> None:
        """Every MAAR has IPv4 addresses and prefixes to delegate, and all know of each other's."""
        for n, (name, configuration) in zip(self.numbers, self.maar_configurations.items(), strict=True):
            peers = tuple(replace(peer, ipv4_pool=ipv4_pool(int(peer.name[2:]))) for peer in configuration.peers)
            given = {"ipv4_pool": ipv4_pool(n), "delegated_pool": pool(n).subnet(1, 49), "peers": peers}
            self.maar_configurations[name] = replace(
                configuration,
                dhcpv6=Dhcpv6.STATEFUL,
                **given,  # type: ignore[arg-type]
            )
        maars = tuple(replace(maar, ipv4_pool=ipv4_pool(int(maar.name[2:]))) for maar in self.cmd_configuration.maars)
        self.cmd_configuration = replace(self.cmd_configuration, maars=maars)

    def _engine(self, name: str) -> Engine:
        epoch = EPOCH + self.skews.get(name, 0)
        if name == "cmd":
            return CentralMobilityDatabase(self.cmd_configuration, epoch)
        return MobilityAnchorAccessRouter(self.maar_configurations[name], epoch)

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def cmd(self) -> CentralMobilityDatabase:
        engine = self.members["cmd"].engine
        assert isinstance(engine, CentralMobilityDatabase)
        return engine

    def maar(self, name: str) -> MobilityAnchorAccessRouter:
        engine = self.members[name].engine
        assert isinstance(engine, MobilityAnchorAccessRouter)
        return engine

    def session(self, name: str, host: str) -> Session | None:
        return self.maar(name).sessions.get(node(host))

    def own(self, name: str, host: str) -> Prefix:
        """The prefix that `name` anchors for `host`."""
        session = self.session(name, host)
        assert session is not None
        assert session.own is not None
        return session.own

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
        destination = CMD if name == "cmd" else self.maar_configurations[name].address
        self.event(name, MessageReceived(decode(bytes(encode(message))), source, destination))

    def skew(self, name: str, ahead: Duration) -> None:
        """The wall clock of `name` is set to be `ahead` of the others'."""
        self.skews[name] = ahead
        self.event(name, ClockStepped(EPOCH + ahead))

    def replace_cmd(self, engine: Engine) -> None:
        """Something else answers at the CMD's address."""
        self.members["cmd"].engine, self.members["cmd"].deadline = engine, engine.deadline()

    def reconfigure(self, name: str, **settings: object) -> None:
        """`name` begins again, without memory, with other settings."""
        self.maar_configurations[name] = replace(self.maar_configurations[name], **settings)  # type: ignore[arg-type]
        self.restart(name, store=False)
        self.run(50 * MILLISECOND)

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
                case SendMessage(message, source, destination):
                    self._send(member.name, source, destination, message)
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
                case CountTraffic():
                    self.event(member.name, TrafficCounted(member.plane.count()))
                case _:
                    try:
                        member.plane.apply(effect)
                    except OSError as error:
                        self.event(member.name, EffectFailed(effect, error.errno or 0, str(error)))

    def _send(self, name: str, source: Address, destination: Address, message: MobilityMessage) -> None:
        receiver = self.names.get(destination)
        message = decode(bytes(encode(message)))
        self.messages.append((self.now, name, receiver or destination.hex(), message))
        if receiver is None or self.lose(name, receiver, message):
            return
        delay = self.delays.get((name, receiver), self.delays.get((receiver, name), 1 * MILLISECOND))
        for _ in range(1 + self.repeat()):
            self.later(delay + self.jitter(), receiver, MessageReceived(message, source, destination))
