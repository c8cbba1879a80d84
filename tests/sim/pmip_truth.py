"""What RFC 5213 promises of a domain: at any moment, after some quiet, and with nobody left.

The truth about the nodes is theirs (`sim.air`); what LMAs and MAGs make of it is in their data planes and tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sim import pmip_extra_truth as extra_truth
from sim import pmip_ledgers as ledgers
from sim.air import Air, Node
from sim.examiner import Examiner
from sim.ledgers import handed_over
from sim.paths import Paths
from sim.pmip_domain import PmipDomain
from sim.world import Machine
from sojourn.engines.access_session import Presence
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.mag import MobileAccessGateway
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import MILLISECOND

_WINDOW = 200 * MILLISECOND
"""Less than TimestampValidityWindow (RFC 5213 9.1)."""


class PmipTruth:
    """The checkers of one domain.

    Without `claims` nobody has a right to service: the limits are too tight for that. With `timestamps` the order of
    two registrations is certain.
    """

    def __init__(
        self,
        domain: PmipDomain,
        air: Air,
        paths: Paths,
        extras: Collection[str] = (),
        *,
        claims: bool,
        timestamps: bool,
    ) -> None:
        self._domain, self._air, self._paths, self._extras = domain, air, paths, extras
        self._room, self._timestamps = claims, timestamps
        self._examiner = Examiner(domain.world, self._examine, passing_on=("lma",) if "redirect" in extras else ())
        self._stamps: dict[str, tuple[LocalMobilityAnchor, int, list[tuple[BindingCacheEntry, int]]]] = {}
        """Of each LMA at the last look: its life, its clock, and its sessions with the time of their last update."""

    @property
    def _claims(self) -> bool:
        """Whether nodes have a right to service. An LMA in between needs the same time as those that it assigns."""
        if "redirect" not in self._extras:
            return self._room
        times = [machine.clock.wall(self._domain.world.now) for machine in self._domain.anchors]
        return self._room and max(times) - min(times) < _WINDOW

    # --- at any moment --------------------------------------------------------------------------------------------

    def now(self, calm: bool) -> list[str]:
        """See `sim.cast.Truth`."""
        return self._examiner.faults() or [*self._never_back(), *self._twice_owned()]

    def passing(self, calm: bool) -> set[str]:
        """See `sim.cast.Truth`. Nothing goes round: a MAG drops what came out of a tunnel to nobody."""
        return set()

    def _examine(self, machine: Machine) -> Iterator[str]:
        engine, machines = machine.engine, len(self._domain.members)
        if engine.restoring:
            return  # table, disk and kernel are the same when it has taken up what there is
        if isinstance(engine, LocalMobilityAnchor):
            yield from ledgers.lma(engine, machines)
            yield from () if machine.disk_is_behind else ledgers.disk_of_lma(machine, engine)
            yield from () if machine.kernel_is_behind else ledgers.kernel_of_lma(machine, engine)
        elif isinstance(engine, MobileAccessGateway):
            yield from ledgers.mag(engine, machines)
            yield from () if machine.disk_is_behind else ledgers.disk_of_mag(machine, engine)
            yield from () if machine.kernel_is_behind else ledgers.kernel_of_mag(machine, engine)

    def _never_back(self) -> Iterator[str]:
        """An earlier registration never replaces a later one (5.5), unless somebody set the LMA's clock."""
        for machine in self._domain.anchors:
            if machine.driver is None or not self._timestamps:
                continue
            engine = self._domain.lma(machine)
            life, epoch, before = self._stamps.get(machine.name, (None, 0, []))
            if life is engine and epoch == engine._epoch:
                for entry, stamp in before:
                    if entry.timestamp < stamp:
                        yield f"{machine.name}: an earlier registration of {entry.node.hex()} replaced a later one"
            self._stamps[machine.name] = engine, engine._epoch, [(entry, entry.timestamp) for entry in engine.cache]

    def _twice_owned(self) -> Iterator[str]:
        """No prefix is given to two nodes."""
        owners: dict[Prefix, bytes] = {}
        for machine in self._domain.anchors:
            if machine.driver is None:
                continue
            for entry in self._domain.lma(machine).cache:
                for each in entry.prefixes:
                    if each in owners:
                        yield f"{each} belongs to {owners[each].hex()} and {entry.node.hex()}"
                    owners[each] = entry.node

    # --- after some quiet -----------------------------------------------------------------------------------------

    def settled(self) -> list[str]:
        """Everybody is registered where he is, and is reached on his home network prefixes."""
        if not self._claims:
            return []
        return [fault for each in self._air.nodes.values() for fault in self._served(each)] + self._nobody_shares()

    def quiet(self) -> list[str]:
        """And nothing is left of earlier places."""
        faults = self.settled()
        for machine in self._domain.gateways:
            engine = self._domain.mag(machine)
            for session in engine.sessions.values():
                each = next(each for each in self._air.nodes.values() if each.link_layer == session.link_layer)
                if self._claims and each.place != machine.name:
                    faults.append(f"{machine.name} knows {each.name}, who is at {each.place}")
            if self._claims and len(engine._requests):
                faults.append(f"{machine.name} waits for {list(engine._requests._outstanding)}")
            faults += handed_over(machine)
        for each in self._air.nodes.values():
            if self._claims and each.place is None and self._domain.entries(each.name):
                faults.append(f"{each.name} has a binding, and is nowhere")
        return faults + (list(extra_truth.quiet(self._domain, self._extras)) if self._claims else [])

    def _served(self, each: Node) -> Iterator[str]:
        entries = self._domain.entries(each.name)
        if each.place is None:
            return
        if "guests" in self._extras and each.name == "mn1":
            yield from extra_truth.guest(self._domain, each)
            return
        place, names = self._domain.members[each.place], self._domain.world.network.names
        active = [entry for entry in entries if not entry.waiting]
        if len(entries) != 1 or [names[entry.gateway] for entry in active] != [place.name]:
            sources = [names[entry.gateway] for entry in entries]
            yield f"{each.name} at {each.place} has sessions at {sources}, {len(active)} of them active"
            return
        session = self._domain.listed(place, each.name)
        if session is None or session.presence is not Presence.SERVED or not session.confirmed:
            yield f"{each.name} is not served by {each.place}, where it is"
        if each.usable != set(entries[0].home_prefixes):
            yield f"{each.name} at {each.place} is promised {sorted(each.usable)}, and has {entries[0].home_prefixes}"
        links = self._air.interfaces(each)
        more = extra_truth.more_of(self._domain, self._air, each, self._extras)
        for network in (*entries[0].prefixes, *more):
            if not any(self._paths.up(one, network, sent=False) for one in links):
                yield f"{each.name} at {each.place} cannot send from {network}"
            elif self._paths.down(network) not in links:
                yield f"{each.name} at {each.place} cannot be reached at {network}"

    def _nobody_shares(self) -> list[str]:
        users: dict[Prefix, str] = {}
        faults = []
        for each in self._air.nodes.values():
            for network in each.usable:
                if network in users:
                    faults.append(f"{network} is promised to {users[network]} and {each.name}")
                users[network] = each.name
        return faults

    def idle(self) -> list[str]:
        """A node that sends nothing keeps its prefixes."""
        return self.quiet()

    def empty(self) -> list[str]:
        """Nobody was ever here."""
        faults = []
        for machine in (*self._domain.anchors, *self._domain.gateways):
            engine, state = machine.engine, machine.plane.state
            known = len(engine.cache) if isinstance(engine, LocalMobilityAnchor) else len(engine.sessions)
            stored = ledgers.sessions_on(machine)
            if known or stored:
                faults.append(f"{machine.name} knows {known} sessions and stores {len(stored)}")
            if state.slots or state.prefixes or state.uplinks or state.counters or state.logical_interfaces:
                faults.append(f"{machine.name} forwards {state}")
            if state.shortcuts or state.spreads or state.forwarded or machine.plane.held:
                faults.append(f"{machine.name} forwards {state}, and {machine.plane.held} packets wait")
            if [name for name in engine._timers._live if name[0] not in ("store", "heartbeat")]:
                faults.append(f"{machine.name} waits for {list(engine._timers._live)}")
            faults += [f"{machine.name}: {fault}" for fault in ledgers.tables_left(engine)]
        return faults
