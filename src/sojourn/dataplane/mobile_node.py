"""Forwarding of a mobile node or router (RFC 6275 11.3, RFC 3963 5.5).

    home address       an address of the loopback interface, or of the home link
    reverse tunnel     `default from HOME encap` in table `uplinks`, from the care-of address (`tunnel_starts`);
                       `CARE-OF from HOME-AGENT`: End.DT6 in table `decapsulation`
    no source yet      `default encap src HOME` in table `sources`, for connections of this host that have no source
                       address: they get the home address and its tunnel at once
    block              `unreachable default from HOME` in table `uplinks`; for networks a blackhole
    flows              marks, and a table for each care-of address in use (`flow_ways`)
    several links      `default from CARE-OF` in a table for each link
    networks           `default from NETWORK encap` in table `uplinks`; too big packets are answered (`tunnel_filter`)
    direct ways        headers put in and taken out by eBPF; a route of its own past the tunnel, with the MTU that they
                       leave, in table `nodes` (`optimising_plane`)

Rules, tables and objects are those of `linux`, protocol 140, and restarts as there: what holds is not touched. Opening,
starting and closing must run in the network namespace that is meant.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from sojourn.core.effects import (
    EnsureCounter,
    EnsureUplink,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawUplink,
)
from sojourn.core.engine import Row
from sojourn.core.mobile_effects import (
    EnsureCareOfPeers,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    MobileEffect,
    WithdrawHomeAddress,
    WithdrawReverseTunnel,
    WithdrawRouteOptimisation,
)
from sojourn.dataplane import local_rule, reconcile
from sojourn.dataplane.audit import FILTER, Finding
from sojourn.dataplane.flow_filter import FlowFilter
from sojourn.dataplane.flow_ways import FlowWays
from sojourn.dataplane.home_tunnels import HomeTunnels
from sojourn.dataplane.host_plane import in_turn
from sojourn.dataplane.installation import Installation, station
from sojourn.dataplane.local_rule import LOCAL_TABLE, MAIN_TABLE
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import KernelObject, Rule
from sojourn.dataplane.optimising_plane import owner_of
from sojourn.dataplane.routes import RTN_THROW, Nexthop, Route
from sojourn.dataplane.settings import SLOTS, LinuxSettings
from sojourn.dataplane.tunnel_filter import TunnelFilter
from sojourn.dataplane.tunnel_starts import chosen
from sojourn.wire.addresses import ANY, UNSPECIFIED, Address, Prefix, prefix, text

_SIGNALLING = (135, 255)
"""Mobility Headers, and whole packets from raw sockets, as signalling is sent: through the tunnel where it is ours."""
_SOURCES = tuple(map(prefix, ("2000::/3", "4000::/2", "8000::/1")))
"""All addresses that a packet may have, and not the unspecified one."""


class MobileNodeDataplane(HomeTunnels):
    """Forwarding of a mobile node; of a mobile router, if there are `networks` (by home address) or it `forwards`.

    `delegated` are the lengths of prefixes of networks that it may get later.

    Raises OSError with the kernel's words. Where `optimised` is empty, the kernel has no way to do route optimisation.
    """

    def __init__(
        self,
        settings: LinuxSettings,
        interfaces: tuple[str, ...],
        networks: Mapping[Address, Iterable[Prefix]] | None = None,
        *,
        forwards: bool = False,
        delegated: Iterable[int] = (),
        optimises: bool = True,
        correspondents: int = 256,
        netlink: Netlink | None = None,
    ) -> None:
        super().__init__(settings, interfaces, netlink, 8 * max(correspondents, 32) if optimises else 0)
        self._behind = {home: tuple(behind) for home, behind in (networks or {}).items() if behind}
        self._forwards = forwards or bool(self._behind)
        self._installation = Installation(self._netlink, settings)
        lengths = {*delegated, *(network.length for behind in self._behind.values() for network in behind)}
        if self._forwards and settings.counters:
            self._filter = TunnelFilter(settings, tuple(lengths) or (64,), False)
        flow_filter = FlowFilter(settings, {128, *lengths}, outwards=True, local=True)
        self._flows = FlowWays(settings, self._netlink, flow_filter, self._ensure, self._withdraw)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Rules stand, whatever stood before."""
        if self._forwards:
            self._installation.prepare(tunnels=False)
            self._installation.change({f"conf/{name}/accept_ra": "2" for name in self._interfaces})
            if self._filter is not None:
                self._filter.install()
        if not self._started:
            self._starts = chosen(self._netlink, self._settings)
        else:
            self._starts.prepare()
        self._ensure(*self._static())
        local_rule.move(self._netlink)
        self._started = True

    def begin(self) -> None:
        """Take stock of what an earlier life left; it keeps forwarding, and is not touched where it is right."""
        self._homes, self._optimised, self._links_out, self._direct_flows = {}, {}, {}, {}
        self._direct_routes = {}
        self._begin()
        self._flows.begin()
        for part in self._optimisers():
            part.begin()
        self.start()
        if self._filter is not None:
            self._filter.begin()

    def finish(self) -> list[str]:
        """Remove what was not asked for since `begin`."""
        snapshot = self._snapshot
        if snapshot is not None:
            for placed in self._starts.addresses():  # the next move gives them other addresses
                snapshot.claim(placed)
        removed = self._finish() + self._flows.finish()
        if self._filter is not None:
            removed += self._filter.finish()
        return removed + [line for part in self._optimisers() for line in part.finish()]

    def reassert(self) -> None:
        """Everything is put into the kernel again: an interface came back, or there is another router."""
        self.start()
        for part in self._optimisers():
            part.reassert()
        self._choose_care_of(self._care_of_peers)
        for home, known in self._homes.items():
            if known.interface is not None:
                self.apply_mobile(EnsureHomeAddress(home, known.interface, known.preferred))
            if known.tunnel is not None:
                self.apply_mobile(EnsureReverseTunnel(home, *known.tunnel))
            elif known.blocked:
                self.apply_mobile(EnsureHomeBlock(home))
            if known.ways and known.agent is not None:
                self.apply_mobile(
                    EnsureReverseFlows(home, known.agent, known.ways, self._flows.flows_of(owner_of(home)))
                )
        for optimised in list(self._optimised.values()):
            self.apply_mobile(optimised)

    def close(self) -> None:
        """Nothing of ours is left, and what was there before is there again."""
        steps: list[Callable[[], None]] = [
            self._flows.remove,
            self._restore_local,
            self._withdraw_all,
            self._remove_starts,
        ]
        steps += [part.remove for part in self._optimisers()]
        if self._filter is not None:
            steps.append(self._filter.remove)
        if self._forwards:
            steps.append(self._installation.restore)
        try:
            in_turn(*steps)
        finally:
            self.leave()

    def _remove_starts(self) -> None:
        if self._started:
            self._starts.remove()

    def _restore_local(self) -> None:
        local_rule.restore(self._netlink, self._settings.priorities)

    def leave(self) -> None:
        """Let go; forwarding goes on, and a later life takes it up (`begin`)."""
        self._flows.leave()
        if self._filter is not None:
            self._filter.close()
        for part in self._optimisers():
            part.leave()
        self._netlink.close()

    @property
    def backend(self) -> str:
        """How the kernel tunnels, of `tunnels.BACKENDS`. From `start` on."""
        return self._starts.name

    def objects(self) -> Iterator[KernelObject]:
        """See `Audited.objects`."""
        yield from (*self._static(), *self._starts.addresses(), *self._flows.objects(), *self._ways_of_homes())
        yield from self._direct_routes.values()

    def held(self, netlink: Netlink) -> list[KernelObject]:
        """See `Audited.held`."""
        return [*self._held(netlink), *self._flows.held(netlink)]

    def other_findings(self) -> list[Finding]:
        """See `Audited.other_findings`."""
        return super().other_findings() + ([] if self._filter is None else self._filter.findings())

    def restore_others(self, places: Collection[str]) -> None:
        """See `Audited.restore_others`."""
        super().restore_others(places)
        if self._filter is not None and FILTER in places:
            self._filter.remove()
            self._filter.install()

    def count(self) -> dict[Prefix, int]:
        """Nothing is counted here."""
        return {}

    def show(self) -> list[Row]:
        """Home addresses and networks, the ways of their packets, and how many came that way (in a tunnel: for all)."""
        rows: list[Row] = []
        out = reconcile.taken_out(self._netlink, self._settings.tables.decapsulation)
        for home, known in self._homes.items():
            way = "blocked" if known.blocked else "plain" if known.tunnel is None else f"tunnel {text(known.tunnel[1])}"
            care_of = None if known.tunnel is None else text(known.tunnel[0])
            packets = out.get((Prefix(known.tunnel[0], 128), Prefix(known.tunnel[1], 128))) if known.tunnel else None
            for one in (Prefix(home, 128), *known.networks):
                rows.append({"prefix": str(one), "way": way, "care_of": care_of, "packets": packets})
            for further in known.ways:
                ends = (Prefix(further.care_of_address, 128), Prefix(known.agent or UNSPECIFIED, 128))
                link = {"way": "tunnel of flows", "care_of": text(further.care_of_address), "packets": out.get(ends)}
                rows.append({"prefix": str(Prefix(home, 128)), **link})
        for (home, correspondent), optimised in self._optimised.items():
            direct = optimised.care_of_address
            packets = None if self._direct is None else self._direct.taken(direct, home)
            between = f"{text(home)} to {text(correspondent)}"
            rows.append({"prefix": between, "way": "direct", "care_of": text(direct), "packets": packets})
        return rows

    # --- effects --------------------------------------------------------------------------------------------------

    def apply(self, effect: ForwardingEffect) -> None:
        """Networks behind a mobile router. Raises OSError, EOPNOTSUPP for effects of other roles."""
        match effect:
            case EnsureUplink(network, agent) if agent is not None:
                self._lead(network, agent)
            case EnsureUplink(network) | WithdrawUplink(network):
                self._lead_plainly(network)
            case EnsureCounter() | WithdrawCounter():
                pass
            case _:
                raise OSError(errno.EOPNOTSUPP, f"{type(effect).__name__} is not for a mobile node")

    def apply_mobile(self, effect: MobileEffect) -> None:
        """Carry out an effect of the mobile node. Raises OSError, EOPNOTSUPP for those of other roles."""
        if not self._started:
            self.start()
        match effect:
            case EnsureHomeAddress(address, interface, preferred):
                self._place(address, interface, preferred)
            case EnsureCareOfPeers(peers):
                self._choose_care_of(peers)
            case WithdrawHomeAddress(address):
                self._displace(address)
            case EnsureReverseTunnel(home, care_of, agent):
                self._tunnel(home, (care_of, agent))
            case EnsureHomeBlock(home):
                self._block(home)
            case WithdrawReverseTunnel(home):
                self._untunnel(home)
            case EnsureReverseFlows(home, agent, ways, flows):
                self._steer(home, agent, ways, flows)
            case EnsureRouteOptimisation():
                self._optimise(effect)
            case WithdrawRouteOptimisation(home, correspondent):
                self._optimise_no_more(home, correspondent)
            case _:
                raise OSError(errno.EOPNOTSUPP, f"{type(effect).__name__} is not for a mobile node")

    # --- kernel -----------------------------------------------------------------------------------------------------

    def _static(self) -> Iterator[KernelObject]:
        settings, tables, priorities = self._settings, self._settings.tables, self._settings.priorities
        yield from self._starts.objects()
        for source in _SOURCES:  # what has one is thrown out, so that the default is for what has none
            yield Route(tables.sources, ANY, source, RTN_THROW)
        for number in _SIGNALLING:
            yield Rule(priorities.uplinks_first, tables.uplinks, "lo", ip_protocol=number)
        yield Rule(priorities.nodes, tables.nodes)
        yield Rule(priorities.uplinks, tables.uplinks)
        # What is on a link here is reached there, whoever asks; a home address has its tunnel at 111 already.
        yield Rule(priorities.strays, MAIN_TABLE, "lo", specific=True)
        yield Rule(priorities.unbound, tables.sources, "lo")
        if self._forwards:
            yield self._installation.round_trip
            yield Nexthop(settings.nexthops + SLOTS, self._installation.near, gateway=station(SLOTS))
            yield Route(tables.oversize, ANY, nexthop=settings.nexthops + SLOTS)
            yield Rule(priorities.oversize, tables.oversize, mark=settings.mark, mask=settings.mark_mask)
        if local_rule.is_first_or_ours(self._netlink, priorities):
            yield Rule(priorities.local, LOCAL_TABLE)

    def _held(self, netlink: Netlink | None = None) -> Iterator[KernelObject]:
        tables = self._settings.tables
        first = self._settings.link_tables
        of_links = range(first, first + len(self._interfaces))
        own = (tables.decapsulation, tables.sources, tables.uplinks, tables.nodes, tables.oversize, *of_links)
        netlink = netlink or self._netlink
        yield from self._routes(*own, netlink=netlink)
        yield from self._rules(*own, LOCAL_TABLE, MAIN_TABLE, 0, netlink=netlink)
        yield from reconcile.placed(netlink)
        if self._forwards:
            yield from reconcile.ways(netlink)
