"""What the data plane of a mobile node knows of home addresses, and what of them should stand in the kernel.

Part of the data plane (`mobile_node`), which changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sojourn.core.mobile_effects import CareOfWay
from sojourn.dataplane import local_rule, reconcile
from sojourn.dataplane.flow_ways import FlowWays
from sojourn.dataplane.host_plane import LOOPBACK, HostPlane
from sojourn.dataplane.installation import Installation, station
from sojourn.dataplane.local_rule import LOCAL_TABLE, MAIN_TABLE
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import (
    RTN_BLACKHOLE,
    RTN_THROW,
    InterfaceAddress,
    KernelObject,
    Nexthop,
    Route,
    Rule,
)
from sojourn.dataplane.settings import SLOTS
from sojourn.dataplane.tunnel_starts import TunnelStarts
from sojourn.wire.addresses import ANY, Address, Prefix, prefix

_IPV6_IN_IPV6 = 41
_SIGNALLING = (135, 255)
"""Mobility Headers, and whole packets from raw sockets, as signalling is sent: through the tunnel where it is ours."""
_SOURCES = tuple(map(prefix, ("2000::/3", "4000::/2", "8000::/1")))
"""All addresses that a packet may have, and not the unspecified one."""

Tunnel = tuple[Address, Address]
"""Care-of address and home agent."""


@dataclass(slots=True)
class Home:
    """A home address."""

    interface: str | None = None
    """Where it is an address of this host; None: nowhere."""
    preferred: bool = False
    tunnel: Tunnel | None = None
    before: Tunnel | None = None
    """The tunnel before that one: what is on its way through it is taken."""
    blocked: bool = False
    ways: tuple[CareOfWay, ...] = ()
    """All its care-of addresses, if it has several at once."""
    agent: Address | None = None
    """Theirs."""
    networks: set[Prefix] = field(default_factory=set)
    """Behind this mobile router, and led through the tunnel."""


class Homes(HostPlane):
    """The home addresses of one mobile node."""

    _homes: dict[Address, Home]
    _behind: dict[Address, tuple[Prefix, ...]]
    _interfaces: tuple[str, ...]
    _forwards: bool
    _care_of_peers: tuple[Prefix, ...]
    _links_out: dict[Address, tuple[Rule, Route]]
    _installation: Installation
    _flows: FlowWays
    _starts: TunnelStarts
    """Chosen by `start`."""

    # --- what should hold, and what holds -------------------------------------------------------------------------

    @property
    def backend(self) -> str:
        """How the kernel tunnels, of `tunnels.BACKENDS`. From `start` on."""
        return self._starts.name

    def tunnels(self) -> set[Address]:
        """The home agents that packets are tunnelled to now."""
        return {agent for _, agent in self._tunnels()}

    def homes(self) -> dict[Address, Tunnel]:
        """Home addresses of this host that have a tunnel."""
        return {
            home: known.tunnel for home, known in self._homes.items() if known.tunnel and known.interface is not None
        }

    def objects(self) -> Iterator[KernelObject]:
        """See `Audited.objects`. Direct ways are left out."""
        yield from (*self._static(), *self._starts.addresses(), *self._flows.objects())
        yield from (thing for pair in self._links_out.values() for thing in pair)
        yield from self._ways_of_homes()

    def held(self, netlink: Netlink) -> list[KernelObject]:
        """See `Audited.held`."""
        direct = self._settings.tables.nodes
        found = [*self._held(netlink), *self._flows.held(netlink)]
        return [thing for thing in found if not (isinstance(thing, Route) and thing.table == direct)]

    def _ways_of_homes(self) -> Iterator[KernelObject]:
        """What depends on where the host is."""
        tables = self._settings.tables
        yield from (Route(tables.sources, peer, kind=RTN_THROW) for peer in self._care_of_peers)
        chosen = False
        for home, known in self._homes.items():
            if known.interface is not None:
                yield InterfaceAddress(LOOPBACK if not known.interface else self._device(known.interface), home, 128)
            if known.tunnel is not None:
                if known.preferred and known.interface is not None and not chosen:
                    chosen = True
                    yield self._way(Route(tables.sources, ANY, preferred_source=home), known.tunnel)
                for source in (Prefix(home, 128), *known.networks):
                    yield self._way(Route(tables.uplinks, ANY, source), known.tunnel)
            elif known.blocked:
                for source in (Prefix(home, 128), *known.networks, *self._behind.get(home, ())):
                    yield Route(tables.uplinks, ANY, source, RTN_BLACKHOLE)
            yield from (Route(tables.uplinks, network, kind=RTN_THROW) for network in known.networks)
        for tunnel in dict.fromkeys(self._tunnels()):
            yield from self._exit(tunnel)

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

    # --- tunnels --------------------------------------------------------------------------------------------------

    def _device(self, interface: str) -> int:
        return self._installation.index(interface)

    def _way(self, route: Route, tunnel: Tunnel) -> Route:
        care_of, agent = tunnel
        return self._starts.into(route, care_of, agent, self._used())

    def _used(self) -> set[Address]:
        return {care_of for care_of, _ in self._tunnels()}

    def _tunnels(self) -> list[Tunnel]:
        """All that packets may come out of."""
        pairs = [pair for known in self._homes.values() for pair in (known.tunnel, known.before) if pair is not None]
        pairs += [
            (way.care_of_address, known.agent)
            for known in self._homes.values()
            for way in known.ways
            if known.agent is not None
        ]
        return pairs

    def _exit(self, tunnel: Tunnel) -> tuple[Rule, Route]:
        """Packets come out of it: those of the home agent alone."""
        care_of, agent = tunnel
        return self._rule_out(care_of), self._starts.out_of(care_of, agent, self._used())

    def _rule_out(self, care_of: Address) -> Rule:
        table, priority = self._settings.tables.decapsulation, self._settings.priorities.decapsulation
        return Rule(priority, table, destination=care_of, ip_protocol=_IPV6_IN_IPV6)
