"""A domain of real engines on a table, for tests that write down what happens and look at every effect.

The machines, the network and the clock are those of the fault simulation (`sim.world`). Every message is encoded and
decoded. Losses, repetitions, crashes and restarts are asked for by the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sim.clock import EPOCH
from sim.domain import CMD, HOSTS, DmmDomain, ipv4_pool, node, pool, router
from sim.world import Machine
from sojourn.core.effects import AccessEffect, Advertise, Effect, ProbeNode, QueryListeners, Report, SendDhcp
from sojourn.core.engine import Engine, Row
from sojourn.core.events import ClockStepped, Event, MessageReceived, NodeDetached, NodeSeen, Sighting
from sojourn.engines.configuration import Mode
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.wire import decode, encode
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, Duration, Instant

__all__ = ["CMD", "EPOCH", "HOSTS", "Domain", "Member", "ipv4_pool", "node", "pool", "router"]


class Overheard:
    """An engine whose effects somebody writes down."""

    def __init__(self, engine: Engine, heard: Callable[[Effect], None]) -> None:
        self.engine = engine
        self._heard = heard

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        return self._tell(self.engine.handle(event, now))

    def expire(self, now: Instant) -> Sequence[Effect]:
        return self._tell(self.engine.expire(now))

    def deadline(self) -> Instant | None:
        return self.engine.deadline()

    @property
    def restoring(self) -> bool:
        return self.engine.restoring

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        return self._tell(self.engine.restore(records, now))

    def show(self, topic: str, now: Instant) -> list[Row]:
        return self.engine.show(topic, now)

    def _tell(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        for effect in effects:
            self._heard(effect)
        return effects


class Member(Machine):
    """One machine and what its engine did."""

    watches_clock = False
    """A test says when an engine learns that its clock was set."""
    advertised: list[tuple[Instant, Advertise]]
    reports: list[tuple[Instant, Report]]
    probes: list[ProbeNode]
    queries: list[QueryListeners]
    dhcp: list[SendDhcp]

    @property
    def engine(self) -> Engine:
        overheard = super().engine
        assert isinstance(overheard, Overheard)
        return overheard.engine

    @property
    def alive(self) -> bool:
        return self.driver is not None

    def forget(self) -> None:
        """What it did so far is not of interest."""
        self.advertised, self.reports, self.probes = [], [], []
        self.queries, self.dhcp = [], []

    def reported(self, name: str) -> int:
        """How many reports of that name."""
        return sum(1 for _, report in self.reports if report.name == name)


class Domain(DmmDomain):
    """See the module's text. ``delays[("ar1", "cmd")]`` is a one-way delay; the default is 1 ms."""

    members: dict[str, Member]  # type: ignore[assignment]

    def __init__(
        self,
        mode: Mode = Mode.PROXY,
        maars: int = 3,
        delays: dict[tuple[str, str], Duration] | None = None,
        cmd: dict[str, object] | None = None,
        dhcp: bool = False,
        cmds: int = 1,
        partners: dict[str, str] | None = None,
        liveness: LivenessSettings | None = None,
        **overrides: object,
    ) -> None:
        self.messages: list[tuple[Instant, str, str, MobilityMessage]] = []
        self.effects: list[tuple[Instant, str, Effect]] = []
        self.lose: Callable[[str, str, MobilityMessage], bool] = lambda source, destination, message: False
        self.on_probe: Callable[[str, ProbeNode], None] = lambda name, probe: None
        """What the nodes on the access link of `name` do when they are asked for a sign of life."""
        self.on_query: Callable[[str, QueryListeners], None] = lambda name, query: None
        """The same when they are asked what they listen to."""
        super().__init__(mode, maars, cmd or {}, overrides, cmds=cmds)
        self.world.network.delays = self.delays = delays or {}
        self.world.network.fate = lambda source, destination, message: (
            () if self.lose(source, destination, message) else (0,)
        )
        if dhcp:
            self.give_pools()
        if partners is not None:
            self.give_partners(partners, liveness or LivenessSettings())
        self.world.network.on_sent.append(self._on_sent)
        for member in self.members.values():
            member.start()
        self.run(50 * MILLISECOND)
        self.clear()

    def _member(self, name: str, where: Address) -> Member:
        member = Member(self.world, name, where, lambda epoch: self._overheard(name, self._engine(name, epoch)))
        member.on_access = self._on_access
        member.forget()
        return member

    def _overheard(self, name: str, engine: Engine) -> Engine:
        return Overheard(engine, lambda effect: self._on_effect(name, effect))

    # --- looking --------------------------------------------------------------------------------------------------

    def own(self, name: str, host: str) -> Prefix:
        """The prefix that `name` anchors for `host`."""
        session = self.session(name, host)
        assert session is not None
        assert session.own is not None
        return session.own

    def plane(self, name: str):  # type: ignore[no-untyped-def]
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
            member.forget()

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
        self.members[name].tell(event)

    def later(self, delay: Duration, name: str, event: Event) -> None:
        """`event` happens to `name` after a while."""
        self.world.later(delay, self.members[name].tell, event)

    def inject(self, source: Address, name: str, message: MobilityMessage) -> None:
        """`message` arrives at `name` from anywhere."""
        member = self.members[name]
        member.tell(MessageReceived(decode(bytes(encode(message))), source, member.address))

    def skew(self, name: str, ahead: Duration) -> None:
        """The wall clock of `name` is set to be `ahead` of the others'."""
        clock = self.members[name].clock
        clock.epoch = EPOCH + ahead
        self.event(name, ClockStepped(clock.epoch))

    def replace_cmd(self, engine: Engine) -> None:
        """Something else answers at the CMD's address."""
        self.members["cmd"].run_engine(self._overheard("cmd", engine))

    def reconfigure(self, name: str, **settings: object) -> None:
        """`name` begins again, without memory, with other settings."""
        self.adjust(name, settings)
        self.restart(name, store=False)
        self.run(50 * MILLISECOND)

    def crash(self, name: str) -> None:
        self.members[name].die()

    def restart(self, name: str, *, store: bool) -> None:
        """A new life; with `store` it remembers, without it only the kernel does."""
        member = self.members[name]
        member.die()
        if not store:
            member.store.clear()
        member.start()

    # --- writing down -----------------------------------------------------------------------------------------------

    def _on_sent(self, source: str, destination: str, message: MobilityMessage) -> None:
        self.messages.append((self.now, source, destination, decode(bytes(encode(message)))))

    def _on_effect(self, name: str, effect: Effect) -> None:
        self.effects.append((self.now, name, effect))
        member = self.members[name]
        match effect:
            case Advertise():
                member.advertised.append((self.now, effect))
            case ProbeNode():
                member.probes.append(effect)
            case QueryListeners():
                member.queries.append(effect)
            case SendDhcp():
                member.dhcp.append(effect)
            case Report():
                member.reports.append((self.now, effect))
            case _:
                pass

    def _on_access(self, machine: Machine, effect: AccessEffect) -> None:
        if isinstance(effect, ProbeNode):
            self.on_probe(machine.name, effect)
        elif isinstance(effect, QueryListeners):
            self.on_query(machine.name, effect)
