"""What must be true of a domain in direct mode: the MAARs agree with each other, and a CMD, if any, with them."""

from __future__ import annotations

from collections.abc import Iterator

from sim import ledgers
from sim.air import Air
from sim.dmm_truth import DmmTruth
from sim.domain import DmmDomain
from sim.paths import Paths
from sim.world import Machine
from sojourn.engines.maar_registration import FORGETFUL
from sojourn.engines.maar_session import Presence, Session
from support import checkers


class DirectTruth(DmmTruth):
    """See `sim.cast.Truth`."""

    def __init__(self, domain: DmmDomain, air: Air, paths: Paths, *, claims: bool) -> None:
        super().__init__(domain, air, paths, claims=claims)
        self._times: dict[int, int] = {}
        self._kept: list[Session] = []
        """So that their numbers are not those of others."""

    def _never_back(self) -> Iterator[str]:
        """The latest attachment wins: an anchor, or the CMD, never goes back to something earlier."""
        if self._domain.databases:
            yield from super()._never_back()
        seen: dict[int, int] = {}
        sessions: list[Session] = []
        for machine in self._domain.routers:
            for session in () if machine.driver is None else machine.engine.sessions.values():
                sessions.append(session)
                before = self._times.get(id(session))
                if session.presence is not Presence.AWAY:
                    continue
                if before is not None and session.attached < before:
                    yield f"{machine.name}: an earlier attachment of {session.node.hex()} replaced a later one"
                seen[id(session)] = session.attached
        self._times, self._kept = seen, sessions

    def settled(self) -> list[str]:
        """See `sim.cast.Truth`."""
        domain = self._domain
        faults = checkers.owners(domain)
        if self._claims:
            places = {each.name: each.place for each in self._air.nodes.values()}
            if domain.databases:
                faults += checkers.latest_wins(domain, places)
            faults += self._promises_kept() + self._served_nowhere_else() + self._nobody_shares()
            faults += [
                f"{each.name} is at {each.place}, which does not serve it"
                for each in self._air.nodes.values()
                if each.place is not None and not self._serves(domain.members[each.place], each.name)
            ]
        return faults

    def _serves(self, machine: Machine, host: str) -> bool:
        session = self._domain.session(machine.name, host)
        return session is not None and session.presence is Presence.SERVED

    def quiet(self) -> list[str]:
        """See `sim.cast.Truth`."""
        if not self._claims:
            return self.settled()
        domain = self._domain
        faults = self.settled() + self._handed_over() + checkers.routes_equal(domain, checkers.bindings(domain))
        if domain.databases:
            faults += self._cmd_knows()
        return faults + [str(loop) for _, loop in self._loops()]

    def _cmd_knows(self) -> list[str]:
        """What the CMD was told afterwards is what the MAARs know."""
        known = {
            (entry.node, prefix, maar, entry.serving)
            for entry in checkers.entries(self._domain).values()
            for prefix, maar in entry.anchors
        }
        true = set(checkers.bindings(self._domain))
        return [f"the CMD and the routers differ: {len(known - true)} too many, {len(true - known)} missing"] * (
            known != true
        )

    def idle(self) -> list[str]:
        """See `sim.cast.Truth`."""
        faults = self.quiet()
        for machine in self._domain.routers:
            for session in machine.engine.sessions.values():
                if session.presence is not Presence.AWAY and session.anchored and self._claims:
                    faults.append(f"{session.node.hex()} keeps {len(session.anchored)} idle prefixes")
        for each in self._air.nodes.values():
            if self._claims and each.place is not None and len(each.usable) != 1:
                faults.append(f"{each.name} at {each.place} is promised {len(each.usable)} prefixes")
        return faults

    def empty(self) -> list[str]:
        """See `sim.cast.Truth`."""
        faults = checkers.nothing_left(self._domain)
        for machine in self._domain.routers:
            if machine.engine.direct.reminding or FORGETFUL in machine.store:
                faults.append(f"{machine.name} still asks what it forgot")
            faults += ledgers.handed_over(machine)
        return faults
