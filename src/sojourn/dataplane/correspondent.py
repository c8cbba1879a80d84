"""Forwarding of a correspondent node with route optimisation (RFC 6275 9.3).

    binding    eBPF puts a type 2 routing header into what goes to the home address, and takes Home Address options out
               of what comes from the care-of address (`direct_ways`); everybody else's are left to the kernel
    way        a route to the home address, through the router that leads to the care-of address, with the MTU that the
               header leaves; in table `decapsulation_ipv4`, which no host of Mobile IPv6 uses otherwise

Opening, starting and closing must run in the network namespace that is meant.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from sojourn.core.effects import EnsureCounter, ForwardingEffect, WithdrawCounter
from sojourn.core.engine import Row
from sojourn.core.mobile_effects import EnsureCareOfRoute, MobileEffect, WithdrawCareOfRoute
from sojourn.dataplane.direct_choice import ways
from sojourn.dataplane.direct_ways import DirectWays
from sojourn.dataplane.host_plane import LOOPBACK, HostPlane, in_turn, link_name
from sojourn.dataplane.kernel_ways import KernelWays, own_addresses
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.next_hop import next_hop
from sojourn.dataplane.objects import KernelObject, Route, Rule
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnel_starts import SegmentStarts
from sojourn.wire.addresses import ANY, Address, Prefix, text


class CorrespondentDataplane(HostPlane):
    """Forwarding of a correspondent node. Where `optimised` is empty, the kernel has no way to do it."""

    def __init__(self, settings: LinuxSettings, bindings: int = 10_000, netlink: Netlink | None = None) -> None:
        super().__init__(settings, netlink)
        self._table = settings.tables.decapsulation_ipv4  # there is no IPv4 in the tunnels of a host
        self._routes_to: dict[Address, Address] = {}
        self._counted: dict[Prefix, int] = {}
        """With the packets under care-of addresses that the node has left."""
        self._starts = SegmentStarts(self._netlink, settings)
        self._kernel, self._direct, self.refusal = ways(self._netlink, True, bindings)

    @property
    def optimised(self) -> str:
        """How route optimisation is done; empty: not at all."""
        return "xfrm" if self._kernel is not None else "ebpf" if self._direct is not None else ""

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
        self._routes_to, self._counted = {}, {}
        self._begin()
        for part in self._optimisers():
            part.begin()
        self.start()

    def finish(self) -> list[str]:
        """Remove what was not asked for since `begin`."""
        return self._finish() + [line for part in self._optimisers() for line in part.finish()]

    def reassert(self) -> None:
        """Everything is put into the kernel again."""
        for part in self._optimisers():
            part.reassert()
        self.start()
        for home, care_of in list(self._routes_to.items()):
            self.apply_mobile(EnsureCareOfRoute(home, care_of))

    def close(self) -> None:
        """Nothing of ours is left."""
        try:
            in_turn(self._withdraw_all, *(part.remove for part in self._optimisers()))
        finally:
            self.leave()

    def leave(self) -> None:
        """Let go; direct ways stay."""
        for part in self._optimisers():
            part.leave()
        self._netlink.close()

    def _optimisers(self) -> list[KernelWays | DirectWays]:
        """How it is done, if it is."""
        return [part for part in (self._kernel, self._direct) if part is not None]

    def count(self) -> dict[Prefix, int]:
        """Packets with the Home Address option of each counted home address."""
        counts = dict(self._counted)
        for home, care_of in self._routes_to.items():
            counted = Prefix(home, 128)
            if counted in counts:
                counts[counted] += self._taken(care_of, home)
        return counts

    def show(self) -> list[Row]:
        """Home addresses with a direct way."""
        found = self._routes_to.items()
        return [
            {
                "prefix": str(Prefix(home, 128)),
                "way": "direct",
                "care_of": text(care_of),
                "packets": self._taken(care_of, home),
            }
            for home, care_of in found
        ]

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
            case EnsureCareOfRoute(home, care_of):
                self._go_to(home, care_of)
            case WithdrawCareOfRoute(home):
                if self._kernel is not None:
                    self._leave(home, self._routes_to.pop(home, None))
                    self._kernel.go_no_more(home)
                    return
                self._withdraw(Route(self._table, Prefix(home, 128)))
                self._ways().send_plainly(home)
                self._leave(home, self._routes_to.pop(home, None))
            case _:
                raise OSError(errno.EOPNOTSUPP, f"{type(effect).__name__} is not for a correspondent node")

    def _ways(self) -> DirectWays:
        if self._direct is None:
            raise OSError(errno.EOPNOTSUPP, f"this kernel has no route optimisation ({self.refusal})")
        return self._direct

    def _taken(self, care_of: Address, home: Address) -> int:
        return self._ways().taken(care_of, home) if self._kernel is None else self._kernel.taken(home)

    def _go_to(self, home: Address, care_of: Address) -> None:
        if self._kernel is not None:
            self._kernel.go_to(home, care_of, own_addresses(self._netlink))
            self._routes_to[home] = care_of
            return
        direct = self._ways()
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
        direct.attach(link)
        direct.take(care_of, home)
        direct.send(home, care_of)
        self._ensure(self._direct_route(self._table, home, ANY, hop))
        before = self._routes_to.get(home)
        self._routes_to[home] = care_of
        if before != care_of:
            self._leave(home, before)

    def _leave(self, home: Address, care_of: Address | None) -> None:
        if care_of is None:
            return
        counted = Prefix(home, 128)
        taken = self._taken(care_of, home) if self._kernel is not None else self._ways().take_no_more(care_of, home)
        if counted in self._counted:
            self._counted[counted] += taken

    def _static(self) -> Iterator[KernelObject]:
        yield Rule(self._settings.priorities.nodes, self._table)

    def _held(self) -> Iterator[KernelObject]:
        yield from self._routes(self._table)
        yield from self._rules(self._table)
