"""Forwarding of a correspondent node with route optimisation (RFC 6275 9.3).

    binding    eBPF puts a type 2 routing header into what goes to the home address, and takes Home Address options out
               of what comes from the care-of address (`direct_ways`); everybody else's are left to the kernel
    way        a route to the home address, through the router that leads to the care-of address, with the MTU that the
               header leaves; in table `decapsulation_ipv4`, which no host of Mobile IPv6 uses otherwise
    several    packets are taken from each care-of address, and go to the best; those of flows (RFC 6089) to that of the
               flow, by marks and tables of `flow_ways`. The kernel's own Mobile IPv6 can hold one care-of address only

Opening, starting and closing must run in the network namespace that is meant.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from sojourn.core.effects import EnsureCounter, ForwardingEffect, WithdrawCounter
from sojourn.core.engine import Row
from sojourn.core.mobile_effects import EnsureCareOfRoute, MobileEffect, WithdrawCareOfRoute
from sojourn.dataplane.direct_choice import ways
from sojourn.dataplane.direct_ways import DirectWays
from sojourn.dataplane.flow_filter import TABLES, FlowFilter
from sojourn.dataplane.flow_ways import FlowWays
from sojourn.dataplane.host_plane import LOOPBACK, HostPlane, in_turn, link_name
from sojourn.dataplane.kernel_ways import KernelWays, own_addresses
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.next_hop import next_hop
from sojourn.dataplane.objects import KernelObject, Rule
from sojourn.dataplane.routes import Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnel_starts import SegmentStarts
from sojourn.wire.addresses import ANY, Address, Prefix, text


class CorrespondentDataplane(HostPlane):
    """Forwarding of a correspondent node. Where `optimised` is empty, the kernel has no way to do it."""

    def __init__(self, settings: LinuxSettings, bindings: int = 10_000, netlink: Netlink | None = None) -> None:
        super().__init__(settings, netlink)
        self._table = settings.tables.decapsulation_ipv4  # there is no IPv4 in the tunnels of a host
        self._routes_to: dict[Address, EnsureCareOfRoute] = {}
        self._counted: dict[Prefix, int] = {}
        """With the packets under care-of addresses that the node has left."""
        self._starts = SegmentStarts(self._netlink, settings)
        self._kernel, self._direct, self.refusal = ways(self._netlink, True, 2 * bindings, settings.mark_mask)
        flow_filter = FlowFilter(settings, (128,), outwards=False, local=True, table=TABLES[1])
        of_flows = settings.direct_flow_ways
        self._flows = FlowWays(settings, self._netlink, flow_filter, self._ensure, self._withdraw, of_flows)

    @property
    def optimised(self) -> str:
        """How route optimisation is done; empty: not at all."""
        return "xfrm" if self._kernel is not None else "ebpf" if self._direct is not None else ""

    @property
    def several(self) -> bool:
        """Whether nodes may have several care-of addresses."""
        return self._kernel is None

    def start(self) -> None:
        """The rule stands, and filters at all interfaces."""
        self._started = True
        if self._direct is None:
            return
        self._ensure(*self._static())
        ours = self._settings.loop
        for link in self._links().values():
            if link.index != LOOPBACK and link.name not in ours and not self._starts.is_ours(link.name):
                self._direct.attach(link)

    def begin(self) -> None:
        """Take stock of what an earlier life left; it goes on meanwhile."""
        self._routes_to, self._counted, self._direct_routes = {}, {}, {}
        self._begin()
        self._flows.begin()
        for part in self._optimisers():
            part.begin()
        self.start()

    def finish(self) -> list[str]:
        """Remove what was not asked for since `begin`."""
        return self._finish() + self._flows.finish() + [line for part in self._optimisers() for line in part.finish()]

    def reassert(self) -> None:
        """Everything is put into the kernel again."""
        for part in self._optimisers():
            part.reassert()
        self.start()
        for route in list(self._routes_to.values()):
            self.apply_mobile(route)

    def close(self) -> None:
        """Nothing of ours is left."""
        try:
            in_turn(self._flows.remove, self._withdraw_all, *(part.remove for part in self._optimisers()))
        finally:
            self.leave()

    def leave(self) -> None:
        """Let go; direct ways stay."""
        self._flows.leave()
        for part in self._optimisers():
            part.leave()
        self._netlink.close()

    def _optimisers(self) -> list[KernelWays | DirectWays]:
        """How it is done, if it is."""
        return [part for part in (self._kernel, self._direct) if part is not None]

    def count(self) -> dict[Prefix, int]:
        """Packets with the Home Address option of each counted home address."""
        counts = dict(self._counted)
        for home, route in self._routes_to.items():
            counted = Prefix(home, 128)
            if counted in counts:
                counts[counted] += sum(self._taken(care_of, home) for care_of in _all(route))
        return counts

    def show(self) -> list[Row]:
        """Home addresses with a direct way."""
        return [
            {
                "prefix": str(Prefix(home, 128)),
                "way": "direct" if care_of == route.care_of_address else "also direct",
                "care_of": text(care_of),
                "packets": self._taken(care_of, home),
            }
            for home, route in self._routes_to.items()
            for care_of in _all(route)
        ]

    def carries(self, outer: tuple[Address, Address], inner: tuple[Address, Address]) -> bool:
        """Whether packets with `inner` addresses, source and destination, leave as packets with `outer` ones."""
        route = self._routes_to.get(inner[1])
        return route is not None and outer[0] == inner[0] and outer[1] in _all(route)

    def apply(self, effect: ForwardingEffect) -> None:
        """Counters."""
        match effect:
            case EnsureCounter(counted):
                self._counted.setdefault(counted, 0)
            case WithdrawCounter(counted):
                self._counted.pop(counted, None)
            case _:
                raise OSError(errno.EOPNOTSUPP, f"{type(effect).__name__} is not for a correspondent node")

    def apply_mobile(self, effect: MobileEffect) -> None:
        """Carry out an effect of the correspondent node. Raises OSError, EOPNOTSUPP for those of other roles."""
        if not self._started:
            self.start()
        match effect:
            case EnsureCareOfRoute():
                self._go_to(effect)
            case WithdrawCareOfRoute(home):
                before = self._routes_to.pop(home, None)
                if self._kernel is not None:
                    self._leave(home, before, ())
                    self._kernel.go_no_more(home)
                    return
                self._steer(EnsureCareOfRoute(home, home))
                self._lead_directly_no_more(Route(self._table, Prefix(home, 128)))
                self._ways().send_plainly(home)
                self._leave(home, before, ())
            case _:
                raise OSError(errno.EOPNOTSUPP, f"{type(effect).__name__} is not for a correspondent node")

    # --- what should hold, and what holds ---------------------------------------------------------------------------

    def homes(self) -> list[Address]:
        """Home addresses with a direct way."""
        return list(self._routes_to)

    def objects(self) -> Iterator[KernelObject]:
        """See `Audited.objects`."""
        yield from () if self._direct is None else self._static()
        yield from self._direct_routes.values()
        yield from self._flows.objects()

    def held(self, netlink: Netlink) -> list[KernelObject]:
        """See `Audited.held`."""
        return [*self._held(netlink), *self._flows.held(netlink)]

    # --- kernel -----------------------------------------------------------------------------------------------------

    def _ways(self) -> DirectWays:
        if self._direct is None:
            raise OSError(errno.EOPNOTSUPP, f"this kernel has no route optimisation ({self.refusal})")
        return self._direct

    def _taken(self, care_of: Address, home: Address) -> int:
        return self._ways().taken(care_of, home) if self._kernel is None else self._kernel.taken(home)

    def _go_to(self, route: EnsureCareOfRoute) -> None:
        home, care_of = route.home_address, route.care_of_address
        before = self._routes_to.get(home)
        if self._kernel is not None:
            self._kernel.go_to(home, care_of, own_addresses(self._netlink))
            self._routes_to[home] = EnsureCareOfRoute(home, care_of)
            return
        direct = self._ways()
        way = self._way(self._table, care_of, home)
        for one in _all(route):
            direct.take(one, home)
        direct.send(home, care_of)
        self._lead_directly(way)
        self._routes_to[home] = route
        self._steer(route)
        self._leave(home, before, _all(route))

    def _way(self, table: int, care_of: Address, home: Address) -> Route:
        """Through the router that leads to the care-of address."""
        hop = next_hop(self._netlink, care_of)
        if self._starts.is_ours(link_name(self._links(), hop.device)):
            # This host is a mobile node too, and its own home address would have a tunnel: past that one.
            self._starts.take_stock()
            hop = next_hop(self._netlink, care_of, self._starts.address_of(hop.device))
        if hop.gateway is None:  # a neighbour, who is asked for by its care-of address, not by the home address
            hop = hop._replace(gateway=care_of)
        link = self._links().get(hop.device)
        if link is None or link.index == LOOPBACK:
            raise OSError(errno.ENETUNREACH, f"{text(care_of)} is not elsewhere")
        self._ways().attach(link)
        return self._direct_route(table, home, ANY, hop)

    def _steer(self, route: EnsureCareOfRoute) -> None:
        """Flows go to their care-of addresses; what they do not need any more is gone."""
        direct, home = self._ways(), route.home_address
        owner = int.from_bytes(home, "big")
        before = self._flows.ways_of(owner)
        if not route.flows and not before:
            return
        self._flows.put(
            owner, [Prefix(home, 128)], route.flows, lambda table, care_of, _: self._way(table, care_of, home)
        )
        now = self._flows.ways_of(owner)
        for care_of, (mark, _) in now.items():
            direct.send(home, care_of, mark)
        for mark in {mark for mark, _ in before.values()} - {mark for mark, _ in now.values()}:
            direct.send_plainly(home, mark)

    def _leave(self, home: Address, before: EnsureCareOfRoute | None, now: Sequence[Address]) -> None:
        """Packets are not taken from care-of addresses that are left; what came from them counts all the same."""
        counted = Prefix(home, 128)
        for care_of in () if before is None else _all(before):
            if care_of in now:
                continue
            kernel = self._kernel is not None
            taken = self._taken(care_of, home) if kernel else self._ways().take_no_more(care_of, home)
            if counted in self._counted:
                self._counted[counted] += taken

    def _static(self) -> Iterator[KernelObject]:
        yield Rule(self._settings.priorities.nodes, self._table)

    def _held(self, netlink: Netlink | None = None) -> Iterator[KernelObject]:
        yield from self._routes(self._table, netlink=netlink)
        yield from self._rules(self._table, netlink=netlink)


def _all(route: EnsureCareOfRoute) -> list[Address]:
    """The care-of addresses that packets are taken from, the best first."""
    return list(dict.fromkeys((route.care_of_address, *route.also)))
