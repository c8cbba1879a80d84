"""Route optimisation at a mobile node (RFC 6275 11.3.1): with the kernel's Mobile IPv6, or with programs of ours.

    programs   the map has the care-of address for each pair of home address and correspondent node, and one more for
               each flow (RFC 6089) that has a care-of address of its own there (`direct_ways`)
    ways       `CORRESPONDENT from HOME` past the tunnel: in table `nodes`, and in that of each such flow (`flow_ways`)

A flow whose care-of address the correspondent node does not know keeps its tunnel.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from sojourn.core.mobile_effects import EnsureRouteOptimisation
from sojourn.dataplane.direct_choice import ways
from sojourn.dataplane.direct_ways import DirectWays
from sojourn.dataplane.flow_ways import FlowWays
from sojourn.dataplane.host_plane import HostPlane
from sojourn.dataplane.kernel_ways import KernelWays
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.next_hop import next_hop
from sojourn.dataplane.routes import Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix, text


class OptimisingPlane(HostPlane):
    """What a mobile node needs for it. `entries`: direct ways at most; 0: none are wanted."""

    _flows: FlowWays

    def __init__(
        self, settings: LinuxSettings, interfaces: tuple[str, ...], netlink: Netlink | None, entries: int
    ) -> None:
        super().__init__(settings, netlink)
        self._interfaces = interfaces
        self._optimised: dict[tuple[Address, Address], EnsureRouteOptimisation] = {}
        self._direct_flows: dict[tuple[Address, Address], set[tuple[int, int]]] = {}
        """Marks and tables of flows that go directly."""
        self._kernel: KernelWays | None = None
        self._direct: DirectWays | None = None
        self.refusal = ""
        """Why there is no route optimisation."""
        if entries:
            self._kernel, self._direct, self.refusal = ways(self._netlink, False, entries, settings.mark_mask)

    @property
    def optimised(self) -> str:
        """How route optimisation is done; empty: not at all."""
        return "xfrm" if self._kernel is not None else "ebpf" if self._direct is not None else ""

    def correspondents(self) -> list[tuple[Address, Address]]:
        """Home addresses, each with a correspondent node that is reached directly."""
        return list(self._optimised)

    def _optimisers(self) -> list[KernelWays | DirectWays]:
        """How it is done, if it is."""
        return [part for part in (self._kernel, self._direct) if part is not None]

    def _accept_direct(self, home: Address, care_of: Address) -> None:
        """A correspondent node sends directly before its answer is here (RFC 6275 9.5.4). The kernel's own Mobile IPv6
        can be told one care-of address, or any."""
        if self._kernel is not None:
            self._kernel.accept(home, UNSPECIFIED if self._has_several(home) else care_of)
        if self._direct is None:
            return
        found = self._links()
        for name in self._interfaces:
            for link in found.values():
                if link.name == name:
                    self._direct.attach(link)
        self._direct.take(care_of, home)

    def _optimise(self, effect: EnsureRouteOptimisation) -> None:
        home, correspondent, care_of = effect.home_address, effect.correspondent, effect.care_of_address
        if self._kernel is not None:
            self._accept_direct(home, care_of)
            self._kernel.optimise(home, correspondent, care_of)
            self._optimised[home, correspondent] = effect
            return
        if self._direct is None:
            raise OSError(errno.EOPNOTSUPP, f"this kernel has no route optimisation ({self.refusal or 'switched off'})")
        hop = next_hop(self._netlink, correspondent, care_of)
        link = self._links().get(hop.device)
        if link is None or link.name not in self._interfaces:
            raise OSError(errno.ENETUNREACH, f"{text(correspondent)} is not reached through {self._interfaces}")
        self._accept_direct(home, care_of)
        self._direct.send(home + correspondent, care_of)
        table = self._settings.tables.nodes
        self._lead_directly(self._direct_route(table, correspondent, Prefix(home, 128), hop))
        self._optimised[home, correspondent] = effect
        self._optimise_flows(effect)

    def _optimise_flows(self, effect: EnsureRouteOptimisation) -> None:
        """Those whose care-of address the correspondent node has take the direct way from there."""
        if self._direct is None:
            return
        home, correspondent = effect.home_address, effect.correspondent
        taken = {effect.care_of_address, *effect.also}
        ways = {way for way in self._flows.ways_of(owner_of(home)).items() if way[0] in taken}
        for care_of, (mark, table) in sorted(ways):
            hop = next_hop(self._netlink, correspondent, care_of)
            self._direct.send(home + correspondent, care_of, mark)
            self._lead_directly(self._direct_route(table, correspondent, Prefix(home, 128), hop))
        self._optimise_flows_no_more(home, correspondent, {way for _, way in ways})

    def _optimise_flows_no_more(
        self, home: Address, correspondent: Address, but: Iterable[tuple[int, int]] = ()
    ) -> None:
        now = set(but)
        before = self._direct_flows.pop((home, correspondent), set())
        for mark, table in before - now:
            self._lead_directly_no_more(Route(table, Prefix(correspondent, 128), Prefix(home, 128)))
            if self._direct is not None:
                self._direct.send_plainly(home + correspondent, mark)
        if now:
            self._direct_flows[home, correspondent] = now

    def _optimise_no_more(self, home: Address, correspondent: Address) -> None:
        self._optimise_flows_no_more(home, correspondent)
        self._lead_directly_no_more(Route(self._settings.tables.nodes, Prefix(correspondent, 128), Prefix(home, 128)))
        self._optimised.pop((home, correspondent), None)
        if self._direct is not None:
            self._direct.send_plainly(home + correspondent)
        if self._kernel is not None:
            self._kernel.optimise_no_more(home, correspondent)

    def _has_several(self, home: Address) -> bool:
        """Care-of addresses of that home address."""
        raise NotImplementedError


def owner_of(home: Address) -> int:
    """A number for a home address, the same in every life."""
    return int.from_bytes(home, "big")
