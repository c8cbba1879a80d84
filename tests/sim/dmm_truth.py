"""What must be true of a domain of RFC 8885: at any moment, after some quiet, with nothing sent, and with nobody left.

The truth about the nodes is theirs (`sim.air`); what the routers make of it is read from their data planes and tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sim import ledgers
from sim.air import Air, Node
from sim.domain import DmmDomain
from sim.examiner import Examiner
from sim.paths import Loop, Paths
from sim.world import Machine
from sojourn.core.effects import Advertise
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.maar_session import Presence
from sojourn.wire.addresses import Prefix
from support import checkers


class DmmTruth:
    """The checkers of one domain. Without `claims` nobody has a right to service: the limits are too tight for that."""

    def __init__(self, domain: DmmDomain, air: Air, paths: Paths, *, claims: bool) -> None:
        self._domain, self._air, self._paths, self._claims = domain, air, paths, claims
        self._holders: dict[Prefix, list[Node]] = defaultdict(list)
        """Nodes that were given a prefix by its anchor and not told its end."""
        several = domain.databases if len(domain.databases) > 1 else ()  # what waits for their store leaves together
        self._examiner = Examiner(domain.world, self._examine, passing_on=several)
        self._found: list[tuple[Prefix, Node | Loop | None]] | None = None
        self._entries: list[BindingCacheEntry] = []
        """Those of the CMD at the last look, and what they said then of the time of the attachment."""
        self._stamps: dict[int, int] = {}
        air.on_advertised = self._on_advertised

    # --- what is noted --------------------------------------------------------------------------------------------

    def _on_advertised(self, machine: Machine, each: Node, effect: Advertise) -> None:
        for advertised in effect.prefixes:
            holders = self._holders[advertised.prefix]
            if not advertised.valid:
                if each in holders:
                    holders.remove(each)
            elif self._domain.home(advertised.prefix) is machine and each not in holders:
                holders.append(each)

    # --- at any moment --------------------------------------------------------------------------------------------

    def now(self, calm: bool) -> list[str]:
        """See `sim.cast.Truth`."""
        self._found = None
        faults = self._examiner.faults()
        return faults or [*self._never_back(), *self._twice_owned(), *(self._astray() if calm else [])]

    def passing(self, calm: bool) -> set[str]:
        """See `sim.cast.Truth`: packets go round while two routers learn the news one after the other.

        A loop of tunnels alone needs routers that both take the other for the one that serves. One that leads through
        the ordinary way back to the anchor lasts until the serving router is registered, however long that takes.
        """
        calm = calm and self._claims  # a router that is full refuses what the anchor sends it
        return {str(loop) for _, loop in self._loops() if calm or (loop.tunnels and self._all_obey())}

    def _examine(self, machine: Machine) -> Iterator[str]:
        machines = len(self._domain.members)
        if machine.engine.restoring:
            return  # table, disk and kernel are the same when it has taken up what there is
        if machine.name in self._domain.databases:
            yield from ledgers.database(machine.engine, machines)
            if not machine.disk_is_behind and machine.shared is None:
                yield from ledgers.disk_of_database(machine, machine.engine)
            return
        yield from ledgers.maar(machine.engine, machines)
        if not machine.disk_is_behind:
            yield from ledgers.disk_of_maar(machine, machine.engine)
        if not machine.kernel_is_behind:
            yield from ledgers.kernel(machine, machine.engine)

    def _never_back(self) -> Iterator[str]:
        """The latest attachment wins: what the CMD took for the latest is never replaced by an earlier one."""
        cmd = self._domain.members["cmd"]
        stamps = {} if cmd.driver is None else {id(entry): entry.timestamp for entry in cmd.engine.entries.values()}
        self._entries, before = [] if cmd.driver is None else list(cmd.engine.entries.values()), self._entries
        for entry in before:
            if stamps.get(id(entry), entry.timestamp) < self._stamps[id(entry)]:
                yield f"cmd: an earlier attachment of {entry.node.hex()} replaced a later one"
        self._stamps = stamps

    def _twice_owned(self) -> Iterator[str]:
        owners: dict[Prefix, str] = {}
        for machine in self._domain.routers:
            if machine.driver is None:
                continue
            for each in machine.engine._anchored_for:
                if each in owners:
                    yield f"{each} is anchored by {owners[each]} and {machine.name}"
                owners[each] = machine.name

    def _astray(self) -> Iterator[str]:
        """No packet reaches a node that was never given its prefix while another one is there that was.

        Only when all is calm: a router that forgot gives a prefix again, one that is dead cannot say that it is over.
        """
        for network, reached in self._ways():
            if reached is None or isinstance(reached, Loop) or reached in self._holders[network]:
                continue
            for each in self._air.nodes.values():
                if each is not reached and network in each.usable and (self._claims or self._is_known(each)):
                    yield f"packets to {network} of {each.name} reach {reached.name}"

    def _is_known(self, each: Node) -> bool:
        """Whether it was not displaced, where a router is full, and knows nothing of that."""
        machine = self._domain.members.get(each.place or "")
        return machine is None or machine.driver is None or self._domain.session(machine.name, each.name) is not None

    def _loops(self) -> Iterator[tuple[Prefix, Loop]]:
        return ((network, reached) for network, reached in self._ways() if isinstance(reached, Loop))

    def _ways(self) -> list[tuple[Prefix, Node | Loop | None]]:
        """Where packets to each prefix go, looked up once for all questions of one moment, which `now` begins."""
        if self._found is None:
            self._found = [(network, self._reached_or_not(network)) for network in self._anchored()]
        return self._found

    def _reached_or_not(self, network: Prefix) -> Node | Loop | None:
        try:
            return self._paths.down(network)
        except Loop as loop:
            return loop

    def _anchored(self) -> list[Prefix]:
        return [
            network
            for machine in self._domain.routers
            if machine.powered
            for network in machine.plane.state.prefixes
            if self._domain.home(network) is machine
        ]

    def _all_obey(self) -> bool:
        """Whether every engine is awake, and every kernel does what it is asked."""
        machines = self._domain.members.values()
        return not any(each.driver is None or each.paused or each.kernel_is_behind for each in machines)

    # --- after some quiet -----------------------------------------------------------------------------------------

    def settled(self) -> list[str]:
        """Everybody who is there is known where he is, by everybody, and has what he was promised."""
        domain = self._domain
        faults = checkers.owners(domain)
        if self._claims:
            faults += checkers.latest_wins(domain, {each.name: each.place for each in self._air.nodes.values()})
            faults += self._promises_kept() + self._served_nowhere_else() + self._nobody_shares()
        return faults

    def quiet(self) -> list[str]:
        """And what is forwarded is exactly what the bindings say, also for those who are not there any more."""
        if not self._claims:
            return self.settled()
        loops = [str(loop) for _, loop in self._loops()]
        faults = self.settled() + self._handed_over()
        return faults + checkers.routes_equal_bindings(self._domain) + loops

    def _promises_kept(self) -> list[str]:
        """Every node has a prefix of its router, and can be reached on all that it is promised."""
        faults = []
        for each in self._air.nodes.values():
            if each.place is None:
                continue
            if each.preferred is None or self._domain.home(each.preferred) is not self._domain.members[each.place]:
                faults.append(f"{each.name} at {each.place} prefers {each.preferred}")
            for network in sorted(each.usable):
                if not self._paths.up(each, network, sent=False):
                    faults.append(f"{each.name} at {each.place} cannot send from {network}")
                elif self._reached(network) is not each:
                    faults.append(f"{each.name} at {each.place} cannot be reached at {network}")
        return faults

    def _reached(self, network: Prefix) -> Node | None:
        try:
            return self._paths.down(network)
        except Loop:
            return None

    def _served_nowhere_else(self) -> list[str]:
        faults = []
        for each in self._air.nodes.values():
            for machine in self._domain.routers:
                session = self._domain.session(machine.name, each.name)
                here = session is not None and session.presence is Presence.SERVED
                if here and each.place is not None and machine.name != each.place:
                    faults.append(f"{each.name} is served by {machine.name}, and is at {each.place}")
        return faults

    def _nobody_shares(self) -> list[str]:
        users: dict[Prefix, str] = {}
        faults = []
        for each in self._air.nodes.values():
            for network in each.usable:
                if network in users:
                    faults.append(f"{network} is promised to {users[network]} and {each.name}")
                users[network] = each.name
        return faults

    # --- with nothing sent, and with nobody left ------------------------------------------------------------------

    def _handed_over(self) -> list[str]:
        """No handover is under way any more, and no packet waits."""
        return [fault for machine in self._domain.routers for fault in ledgers.handed_over(machine)]

    def idle(self) -> list[str]:
        """What nobody uses is over: every node is left with the prefix of its place."""
        faults = self.quiet()
        for entry in checkers.entries(self._domain).values():
            if entry.previous():
                faults.append(f"{entry.node.hex()} keeps {len(entry.previous())} idle prefixes")
        for each in self._air.nodes.values():
            if self._claims and each.place is not None and len(each.usable) != 1:
                faults.append(f"{each.name} at {each.place} is promised {len(each.usable)} prefixes")
        return faults

    def empty(self) -> list[str]:
        """Nobody was ever here."""
        return checkers.nothing_left(self._domain) + self._handed_over()
