"""Forwarding of a mobile node or router (RFC 6275 11.3, RFC 3963 5.5).

    home address       an address of the loopback interface, or of the home link
    reverse tunnel     `default from HOME encap` in table `uplinks`, from the care-of address (`tunnel_starts`);
                       `CARE-OF from HOME-AGENT`: End.DT6 in table `decapsulation`
    no source yet      `default encap src HOME` in table `sources`, for connections of this host that have no source
                       address: they get the home address and its tunnel at once
    block              `blackhole default from HOME` in table `uplinks`
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from sojourn.core.effects import (
    EnsureCounter,
    EnsureUplink,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawUplink,
)
from sojourn.core.engine import Row
from sojourn.core.mobile_effects import (
    CareOfWay,
    EnsureCareOfPeers,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    Flow,
    MobileEffect,
    WithdrawHomeAddress,
    WithdrawReverseTunnel,
    WithdrawRouteOptimisation,
)
from sojourn.dataplane import local_rule, reconcile
from sojourn.dataplane.flow_filter import FlowFilter
from sojourn.dataplane.flow_ways import FlowWays
from sojourn.dataplane.host_plane import LOOPBACK, in_turn
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
from sojourn.dataplane.optimising_plane import OptimisingPlane, owner_of
from sojourn.dataplane.settings import SLOTS, LinuxSettings
from sojourn.dataplane.tunnel_filter import TunnelFilter
from sojourn.dataplane.tunnel_starts import TunnelStarts, chosen
from sojourn.wire.addresses import ANY, UNSPECIFIED, Address, Prefix, prefix, text

_IPV6_IN_IPV6 = 41
_SIGNALLING = (135, 255)
"""Mobility Headers, and whole packets from raw sockets, as signalling is sent: through the tunnel where it is ours."""
_SOURCES = tuple(map(prefix, ("2000::/3", "4000::/2", "8000::/1")))
"""All addresses that a packet may have, and not the unspecified one."""
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


class MobileNodeDataplane(OptimisingPlane):
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
        self._homes: dict[Address, _Home] = {}
        self._starts: TunnelStarts
        """Chosen by `start`."""
        self._installation = Installation(self._netlink, settings)
        self._filter: TunnelFilter | None = None
        lengths = {*delegated, *(network.length for behind in self._behind.values() for network in behind)}
        if self._forwards and settings.counters:
            self._filter = TunnelFilter(settings, tuple(lengths) or (64,), False)
        flow_filter = FlowFilter(settings, {128, *lengths}, outwards=True, local=True)
        self._flows = FlowWays(settings, self._netlink, flow_filter, self._ensure, self._withdraw)
        self._care_of_peers: tuple[Prefix, ...] = ()
        self._links_out: dict[Address, tuple[Rule, Route]] = {}
        """The way of what is sent from each care-of address, where there are several."""

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
        known = self._home(home)
        known.blocked = True
        sources = [Prefix(home, 128), *sorted({*known.networks, *self._behind.get(home, ())})]
        uplinks = self._settings.tables.uplinks
        self._ensure(*(Route(uplinks, ANY, source, RTN_BLACKHOLE) for source in sources))
        self._end_tunnels(home, known)

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
        ended = [(way.care_of_address, known.agent) for way in known.ways if known.agent is not None]
        known.ways, known.agent = ways, agent
        for way in ways:
            self._lead_out(way)
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

    def _from(self, home: Address, table: int, care_of: Address, source: Prefix) -> Route:
        agent = self._homes[home].agent
        assert agent is not None
        return self._way(Route(table, ANY, source), (care_of, agent))

    def _lead_out(self, way: CareOfWay) -> None:
        """What is sent from a care-of address leaves on its link: nobody else takes it."""
        table = self._settings.link_tables + self._interfaces.index(way.interface)
        device = self._device(way.interface)
        route = Route(table, ANY, Prefix(way.care_of_address, 128), device=device, gateway=way.router)
        rule = Rule(self._settings.priorities.unbound, table, source=Prefix(way.care_of_address, 128))
        self._ensure(route, rule)
        self._links_out[way.care_of_address] = rule, route

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

    def _held(self) -> Iterator[KernelObject]:
        tables = self._settings.tables
        first = self._settings.link_tables
        of_links = range(first, first + len(self._interfaces))
        own = (tables.decapsulation, tables.sources, tables.uplinks, tables.nodes, tables.oversize, *of_links)
        yield from self._routes(*own)
        yield from self._rules(*own, LOCAL_TABLE, MAIN_TABLE, 0)
        yield from reconcile.placed(self._netlink)
        if self._forwards:
            yield from reconcile.ways(self._netlink)
