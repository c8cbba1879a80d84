"""Home addresses of a mobile node, their tunnels, and what is led through these (see `mobile_node`)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from sojourn.core.mobile_effects import CareOfWay, Flow
from sojourn.dataplane.host_plane import LOOPBACK
from sojourn.dataplane.installation import Installation
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import InterfaceAddress, KernelObject, Rule
from sojourn.dataplane.optimising_plane import OptimisingPlane, owner_of
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, RTN_UNREACHABLE, Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnel_filter import TunnelFilter
from sojourn.dataplane.tunnel_starts import TunnelStarts
from sojourn.wire.addresses import ANY, Address, Prefix, text

_IPV6_IN_IPV6 = 41
Tunnel = tuple[Address, Address]
"""Care-of address and home agent."""


@dataclass(slots=True)
class _Home:
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


class HomeTunnels(OptimisingPlane):
    """What packets of home addresses, and of networks behind them, need. Arguments as of `OptimisingPlane`."""

    _installation: Installation
    _starts: TunnelStarts
    """Chosen when the data plane is started."""
    _behind: dict[Address, tuple[Prefix, ...]]
    """Networks by home address, as they were configured."""
    _forwards: bool
    """This is a mobile router."""

    def __init__(
        self, settings: LinuxSettings, interfaces: tuple[str, ...], netlink: Netlink | None, entries: int
    ) -> None:
        super().__init__(settings, interfaces, netlink, entries)
        self._homes: dict[Address, _Home] = {}
        self._filter: TunnelFilter | None = None
        self._care_of_peers: tuple[Prefix, ...] = ()
        self._links_out: dict[Address, tuple[Rule, Route]] = {}
        """The way of what is sent from each care-of address, where there are several."""

    # --- what should hold -----------------------------------------------------------------------------------------

    def tunnels(self) -> set[Address]:
        """The home agents that packets are tunnelled to now."""
        return {agent for _, agent in self._tunnels()}

    def homes(self) -> dict[Address, Tunnel]:
        """Home addresses of this host that have a tunnel."""
        return {
            home: known.tunnel for home, known in self._homes.items() if known.tunnel and known.interface is not None
        }

    def _ways_of_homes(self) -> Iterator[KernelObject]:
        """What depends on where the host is, but for flows and direct ways."""
        tables = self._settings.tables
        yield from (Route(tables.sources, peer, kind=RTN_THROW) for peer in self._care_of_peers)
        yield from (thing for pair in self._links_out.values() for thing in pair)
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
                yield from self._barriers(home, known)
            yield from (Route(tables.uplinks, network, kind=RTN_THROW) for network in known.networks)
        for tunnel in dict.fromkeys(self._tunnels()):
            yield from self._exit(tunnel)

    # --- home addresses -------------------------------------------------------------------------------------------

    def _home(self, address: Address) -> _Home:
        return self._homes.setdefault(address, _Home())

    def _place(self, address: Address, interface: str, preferred: bool) -> None:
        known = self._home(address)
        device = LOOPBACK if not interface else self._device(interface)
        placed = InterfaceAddress(device, address, 128, preferred, home=True)
        before = known.interface
        self._ensure(placed)
        known.interface, known.preferred = interface, preferred
        if before is not None and before != interface:
            old = LOOPBACK if not before else self._installation.indices.get(before)
            if old is not None:
                self._withdraw(InterfaceAddress(old, address, 128))
        self._choose_source()

    def _displace(self, address: Address) -> None:
        known = self._home(address)
        if known.interface is not None:
            device = LOOPBACK if not known.interface else self._installation.indices.get(known.interface)
            if device is not None:
                self._withdraw(InterfaceAddress(device, address, 128))
        known.interface = None
        self._choose_source()
        if known.tunnel is None and not known.blocked:
            self._homes.pop(address, None)

    def _device(self, interface: str) -> int:
        return self._installation.index(interface)

    def _choose_source(self) -> None:
        """What has no source address yet gets the first home address that is preferred and has a tunnel."""
        table = self._settings.tables.sources
        for home, known in self._homes.items():
            if known.preferred and known.interface is not None and known.tunnel is not None:
                self._ensure(self._way(Route(table, ANY, preferred_source=home), known.tunnel))
                return
            way = self._on_home_link(home)
            if known.preferred and known.interface is not None and way is not None:
                device = self._device(way.interface)
                self._ensure(Route(table, ANY, device=device, gateway=way.router, preferred_source=home))
                return
        self._withdraw(Route(table, ANY))

    def _choose_care_of(self, peers: tuple[Prefix, ...]) -> None:
        """What has no source address yet and goes to these is none of the home address's: the kernel chooses."""
        table = self._settings.tables.sources
        self._ensure(*(Route(table, peer, kind=RTN_THROW) for peer in peers))
        self._withdraw(*(Route(table, peer) for peer in self._care_of_peers if peer not in peers))
        self._care_of_peers = peers

    # --- tunnels --------------------------------------------------------------------------------------------------

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
            for home, known in self._homes.items()
            for way in known.ways
            if known.agent is not None and way.care_of_address != home
        ]
        return pairs

    def _exit(self, tunnel: Tunnel) -> tuple[Rule, Route]:
        """Packets come out of it: those of the home agent alone."""
        care_of, agent = tunnel
        return self._rule_out(care_of), self._starts.out_of(care_of, agent, self._used())

    def _rule_out(self, care_of: Address) -> Rule:
        table, priority = self._settings.tables.decapsulation, self._settings.priorities.decapsulation
        return Rule(priority, table, destination=care_of, ip_protocol=_IPV6_IN_IPV6)

    def _tunnel(self, home: Address, tunnel: Tunnel) -> None:
        """Packets come out of the new tunnel before any goes into it; of the old one they still come out."""
        known = self._home(home)
        doomed = known.before if known.tunnel != tunnel else None
        if known.tunnel != tunnel:
            known.before, known.tunnel = known.tunnel, tunnel
        known.blocked = False
        rule, out = self._exit(tunnel)
        self._ensure(out, rule)
        self._accept_direct(home, tunnel[0])
        sources = [Prefix(home, 128), *sorted(known.networks)]
        self._ensure(*(self._way(Route(self._settings.tables.uplinks, ANY, source), tunnel) for source in sources))
        self._choose_source()
        if doomed is not None:
            self._close_exit(home, doomed)

    def _close_exit(self, home: Address, tunnel: Tunnel) -> None:
        """Unless another home address has the same tunnel."""
        inside = self._tunnels()
        if self._direct is not None and all(
            pair is None or pair[0] != tunnel[0] for pair in (self._home(home).tunnel, self._home(home).before)
        ):
            self._direct.take_no_more(tunnel[0], home)
        if tunnel in inside:
            return
        rule, out = self._exit_of_old(tunnel)
        self._withdraw(out)
        if all(pair[0] != tunnel[0] for pair in inside):
            self._withdraw(rule)

    def _exit_of_old(self, tunnel: Tunnel) -> tuple[Rule, Route]:
        care_of, agent = tunnel
        table = self._settings.tables.decapsulation
        return self._rule_out(care_of), Route(table, Prefix(care_of, 128), Prefix(agent, 128))

    def _end_tunnels(self, home: Address, known: _Home) -> None:
        ended = [pair for pair in (known.tunnel, known.before) if pair is not None]
        known.tunnel = known.before = None
        if self._kernel is not None and ended:
            self._kernel.accept_no_more(home)
        self._choose_source()
        for pair in ended:
            self._close_exit(home, pair)

    def _block(self, home: Address) -> None:
        if self._stays_home(home):
            return
        known = self._home(home)
        known.blocked = True
        self._ensure(*self._barriers(home, known))
        self._end_tunnels(home, known)

    def _stays_home(self, home: Address) -> bool:
        """Of an earlier life, at its start: an address that it left on a link was at home there. It stays until the
        node knows where it is now, or every packet would be lost until then."""
        if self._snapshot is None:
            return False
        there = {link.name for link in self._links().values()}
        for name in self._interfaces:
            placed = InterfaceAddress(self._device(name), home, 128) if name in there else None
            if placed is not None and self._snapshot.get(placed.key) is not None:
                self._snapshot.claim(placed)
                known = self._home(home)
                known.interface, known.preferred = name, True
                return True
        return False

    def _barriers(self, home: Address, known: _Home) -> Iterator[Route]:
        """A program here is told what happens on a host without a network, where a blackhole says EINVAL; passengers
        are told nothing: their first packet is better repeated than refused."""
        uplinks = self._settings.tables.uplinks
        yield Route(uplinks, ANY, Prefix(home, 128), RTN_UNREACHABLE)
        for network in sorted({*known.networks, *self._behind.get(home, ())}):
            yield Route(uplinks, ANY, network, RTN_BLACKHOLE)

    def _untunnel(self, home: Address) -> None:
        known = self._home(home)
        uplinks = self._settings.tables.uplinks
        sources = [Prefix(home, 128)]
        if known.blocked:  # those that have a tunnel keep it until they are led plainly
            sources += sorted({*known.networks, *self._behind.get(home, ())})
        self._withdraw(*(Route(uplinks, ANY, source) for source in sources))
        known.blocked = False
        self._end_tunnels(home, known)
        if known.interface is None and not known.networks:
            self._homes.pop(home, None)

    # --- several links at once (RFC 5648, 6089) -----------------------------------------------------------------------

    def _steer(self, home: Address, agent: Address, ways: tuple[CareOfWay, ...], flows: tuple[Flow, ...]) -> None:
        """Links first, then the ends of tunnels, then what goes into them."""
        known = self._home(home)
        before = [way for way in known.ways if way.care_of_address != home]
        ended = [(way.care_of_address, known.agent) for way in before if known.agent is not None]
        known.ways, known.agent = ways, agent
        for way in ways:
            self._lead_out(way)
            if way.care_of_address == home:  # on the home link: no tunnel
                continue
            rule, out = self._exit((way.care_of_address, agent))
            self._ensure(out, rule)
            self._accept_direct(home, way.care_of_address)
        sources = [Prefix(home, 128), *sorted(known.networks)]
        self._flows.put(owner_of(home), sources, flows, partial(self._from, home))
        for optimised in self._optimised.values():
            if optimised.home_address == home:
                self._optimise_flows(optimised)
        for pair in ended:
            if pair not in self._tunnels():
                self._close_exit(home, pair)
        used = {way.care_of_address for other in self._homes.values() for way in other.ways}
        for care_of in [care_of for care_of in self._links_out if care_of not in used]:
            self._withdraw(*self._links_out.pop(care_of))
        self._choose_source()

    def _from(self, home: Address, table: int, care_of: Address, source: Prefix) -> Route:
        agent, on_home_link = self._homes[home].agent, self._on_home_link(home)
        if care_of == home and on_home_link is not None:
            device = self._device(on_home_link.interface)
            return Route(table, ANY, source, device=device, gateway=on_home_link.router)
        assert agent is not None
        return self._way(Route(table, ANY, source), (care_of, agent))

    def _on_home_link(self, home: Address) -> CareOfWay | None:
        """Its way on the home link, if it is there and abroad at once (RFC 5648 5.6)."""
        return next((way for way in self._homes[home].ways if way.care_of_address == home), None)

    def _lead_out(self, way: CareOfWay) -> None:
        """What is sent from a care-of address leaves on its link: nobody else takes it."""
        table = self._settings.link_tables + self._interfaces.index(way.interface)
        device = self._device(way.interface)
        route = Route(table, ANY, Prefix(way.care_of_address, 128), device=device, gateway=way.router)
        rule = Rule(self._settings.priorities.unbound, table, source=Prefix(way.care_of_address, 128))
        self._ensure(route, rule)
        self._links_out[way.care_of_address] = rule, route

    def carries(self, outer: tuple[Address, Address], inner: tuple[Address, Address]) -> bool:
        """Whether packets with `inner` addresses, source and destination, leave as packets with `outer` ones."""
        optimised = self._optimised.get(inner)
        if optimised is not None and outer[1] == inner[1]:
            return outer[0] in (optimised.care_of_address, *optimised.also)
        for home, known in self._homes.items():
            pairs = [known.tunnel, known.before, *((way.care_of_address, known.agent) for way in known.ways)]
            if outer in pairs and (inner[0] == home or any(network.covers(inner[0]) for network in known.networks)):
                return True
        return False

    def _has_several(self, home: Address) -> bool:
        return len(self._home(home).ways) > 1

    # --- networks behind a mobile router (RFC 3963 5.5) --------------------------------------------------------------

    def _lead(self, network: Prefix, agent: Address) -> None:
        if not self._forwards:
            raise OSError(errno.EOPNOTSUPP, f"{network}: this data plane was not set up for a mobile router")
        home = self._home_of(network, agent)
        known = self._homes[home]
        assert known.tunnel is not None
        if self._filter is not None:
            self._filter.lead(network)
        known.networks.add(network)
        self._flows.follow(owner_of(home), [Prefix(home, 128), *known.networks], partial(self._from, home))
        uplinks = self._settings.tables.uplinks
        between = Route(uplinks, network, kind=RTN_THROW)  # networks here reach each other
        self._ensure(between, self._way(Route(uplinks, ANY, network), known.tunnel))

    def _home_of(self, network: Prefix, agent: Address) -> Address:
        """The home address that the network is registered with."""
        fitting = [home for home, known in self._homes.items() if known.tunnel is not None and known.tunnel[1] == agent]
        for home in fitting:
            if network in self._behind.get(home, ()):
                return home
        if not fitting:
            raise OSError(errno.EHOSTUNREACH, f"{network}: there is no tunnel to {text(agent)}")
        return fitting[0]

    def _lead_plainly(self, network: Prefix) -> None:
        for known in self._homes.values():
            known.networks.discard(network)
        uplinks = self._settings.tables.uplinks
        self._withdraw(Route(uplinks, ANY, network), Route(uplinks, network))
        if self._filter is not None:
            self._filter.lead_no_more(network)
