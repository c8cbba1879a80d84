"""The forwarding of a home agent (RFC 6275 10.4): that of an LMA, for nodes that register themselves.

    tunnel, prefix   as in `linux`: the slot's nexthop object, a route to it for each home address and network
    tunnel end       a route `ADDRESS from CARE-OF` in table `decapsulation`, and in nf_tables the pairs of care-of
                     address and inner source: whoever is not bound sends nothing out of a tunnel
    flows            marks, and a table for each of a node's ways (`flow_ways`)
    proxy neighbour  an entry of the kernel's proxy neighbour cache on the home link
    at home too      a node that is on the home link as well (RFC 5648 5.6): as a node of an access router in `linux`

A care-of address that a node has left is an end of its tunnel for some seconds more, for packets on their way.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection, Iterable, Iterator
from functools import partial

from sojourn.core.effects import (
    EnsureDelivery,
    EnsurePaths,
    EnsurePrefix,
    EnsureTunnel,
    ForwardingEffect,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.core.engine import Row
from sojourn.core.mobile_effects import (
    EnsureFlows,
    EnsureProxyNeighbour,
    EnsureTunnelEnd,
    Flow,
    MobileEffect,
    WithdrawProxyNeighbour,
    WithdrawTunnelEnd,
)
from sojourn.dataplane import reconcile
from sojourn.dataplane.audit import FILTER, HOME_LINK, Finding
from sojourn.dataplane.flow_filter import FlowFilter
from sojourn.dataplane.flow_ways import FlowWays
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.nftables import NFPROTO_IPV6
from sojourn.dataplane.object_parts import RTM_GETNEIGH
from sojourn.dataplane.objects import KernelObject, ProxyNeighbour, parse_proxy_neighbour, proxies_request
from sojourn.dataplane.routes import Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnel_filter import LINGER, TunnelFilter
from sojourn.wire.addresses import Address, Prefix, text

_SECONDS = LINGER / 1000
Pair = tuple[Address, Prefix]
"""Outer and inner source."""


class HomeAgentDataplane(LinuxDataplane):
    """`lengths` are those of the networks that mobile routers may have; `interface` is the home link, or empty."""

    def __init__(
        self,
        settings: LinuxSettings,
        interface: str = "",
        lengths: Iterable[int] = (),
        *,
        filtered: bool = True,
        netlink: Netlink | None = None,
    ) -> None:
        """`settings` has no `counters`; `filtered`: whether nf_tables is used, without which only the outer source of
        what comes out of a tunnel is looked at, and packets too big for one vanish."""
        super().__init__(settings, netlink)
        self._interface = interface
        self._lengths = tuple(dict.fromkeys((128, *lengths)))
        self._tunnel_filter = TunnelFilter(settings, self._lengths, True) if filtered else None
        self._flows: FlowWays | None = None
        if filtered:
            flow_filter = FlowFilter(settings, self._lengths, outwards=False)
            self._flows = FlowWays(settings, self._netlink, flow_filter, self._ensure, self._withdraw)
        self._further: dict[int, set[Address]] = {}
        """Ends of a slot's tunnel beside the one that it points to."""
        self._taken: dict[int, set[Pair]] = {}
        self._left: dict[Address, float] = {}
        """Care-of addresses that nobody has any more, and when they were left."""
        self._proxied: set[tuple[str, Address]] = set()
        self._held: set[ProxyNeighbour] = set()

    optimised, refusal = "none needed", ""

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        if self._tunnel_filter is not None:
            self._tunnel_filter.install()
        if self._interface:
            self._installation.change(
                {f"conf/{self._interface}/proxy_ndp": "1", f"neigh/{self._interface}/proxy_delay": "0"}
            )

    def begin(self) -> None:
        self._further, self._taken, self._left, self._proxied = {}, {}, {}, set()
        super().begin()
        if self._flows is not None:
            self._flows.begin()
        if self._tunnel_filter is not None:
            self._tunnel_filter.begin()
        self._held = set(proxies(self._netlink))

    def finish(self) -> list[str]:
        removed = super().finish()
        left, self._held = self._held, set()
        self._netlink.request(*(proxy.withdraw() for proxy in left))
        removed += [str(proxy) for proxy in left]
        if self._flows is not None:
            removed += self._flows.finish()
        return removed if self._tunnel_filter is None else removed + self._tunnel_filter.finish()

    def _families(self) -> set[int]:
        return super()._families() if self._tunnel_filter is None else {NFPROTO_IPV6}

    def reassert(self) -> None:
        super().reassert()
        if self._flows is not None:
            self._flows.reassert()
        for interface, address in sorted(self._proxied):
            self.apply_mobile(EnsureProxyNeighbour(interface, address))
        for slot, pairs in list(self._taken.items()):
            for remote, _ in pairs:
                self._ensure(self._out_of(remote))
            self._follow(slot)

    def close(self) -> None:
        try:
            self._netlink.request(*(proxy.withdraw() for proxy in proxies(self._netlink)))
            if self._tunnel_filter is not None:
                self._tunnel_filter.remove()
            if self._flows is not None:
                self._flows.remove()
        finally:
            super().close()

    def leave(self) -> None:
        super().leave()
        if self._flows is not None:
            self._flows.leave()
        if self._tunnel_filter is not None:
            self._tunnel_filter.close()

    # --- what should hold, and what holds -------------------------------------------------------------------------

    def objects(self) -> Iterator[KernelObject]:
        """See `Audited.objects`."""
        yield from super().objects()
        own = Prefix(self._settings.address, 128)
        ends = {remote for pairs in self._taken.values() for remote, _ in pairs} | set(self._left)
        for way in self.state.slots.values():
            ends |= {way.remote} if isinstance(way, EnsureTunnel) else set()
        yield from (self._installation.tunnels.out_of(own, remote) for remote in ends)
        if self._flows is not None:
            yield from self._flows.objects()
        for interface, address in self._proxied:
            yield ProxyNeighbour(self._installation.index(interface), address)

    def held(self, netlink: Netlink) -> list[KernelObject]:
        """See `Audited.held`."""
        found = [*super().held(netlink), *proxies(netlink)]
        if self._flows is None:
            return found
        return [thing for thing in found if not self._flows.owns(thing)] + list(self._flows.held(netlink))

    def other_findings(self) -> list[Finding]:
        """See `Audited.other_findings`."""
        return [] if self._tunnel_filter is None else self._tunnel_filter.findings()

    def place_of(self, thing: KernelObject) -> tuple[str, tuple[Prefix, ...]]:
        """See `Audited.place_of`."""
        if isinstance(thing, ProxyNeighbour):
            return HOME_LINK, (Prefix(thing.address, 128),)
        return super().place_of(thing)

    def restore_others(self, places: Collection[str]) -> None:
        """See `Audited.restore_others`."""
        if self._tunnel_filter is not None and FILTER in places:
            self._tunnel_filter.remove()
            self._tunnel_filter.install()

    # --- effects --------------------------------------------------------------------------------------------------

    def apply(self, effect: ForwardingEffect) -> None:
        """As `LinuxDataplane.apply`."""
        if not self._started:
            self.start()
        self._forget_left()
        match effect:
            case EnsureTunnel(slot, remote):
                self._ensure(self._out_of(remote))
                super().apply(effect)
                self._follow(slot)
            case EnsurePrefix(prefix, slot):
                before = self.state.prefixes.get(prefix)
                if self._tunnel_filter is not None:
                    self._tunnel_filter.lead(prefix)
                super().apply(effect)
                self._follow(slot)
                if before is not None and before != slot:
                    self._follow(before)
            case WithdrawPrefix(prefix):
                slot_before = self.state.prefixes.get(prefix)
                super().apply(effect)
                self._release([prefix])
                if slot_before is not None:
                    self._follow(slot_before)
            case WithdrawSlot(slot):
                prefixes = [prefix for prefix, used in self.state.prefixes.items() if used == slot]
                super().apply(effect)
                self._further.pop(slot, None)
                self._release(prefixes)
                self._follow(slot)
            case EnsureDelivery(slot):
                super().apply(effect)
                self._follow(slot)
            case EnsurePaths(slot):
                for remote in effect.remotes:
                    self._ensure(self._out_of(remote))
                super().apply(effect)
                self._follow(slot)
            case _:
                super().apply(effect)

    def apply_mobile(self, effect: MobileEffect) -> None:
        """Carry out an effect of the home agent. Raises OSError, EOPNOTSUPP for those of other roles."""
        if not self._started:
            self.start()
        self._forget_left()
        match effect:
            case EnsureTunnelEnd(slot, remote):
                self._ensure(self._out_of(remote))
                self._further.setdefault(slot, set()).add(remote)
                self._follow(slot)
            case WithdrawTunnelEnd(slot, remote):
                self._further.get(slot, set()).discard(remote)
                self._follow(slot)
            case EnsureFlows(slot, flows):
                self._steer(slot, flows)
            case EnsureProxyNeighbour(interface, address):
                proxy = ProxyNeighbour(self._installation.index(interface), address)
                if proxy not in self._held:
                    self._netlink.request(proxy.ensure())
                self._held.discard(proxy)
                self._proxied.add((interface, address))
            case WithdrawProxyNeighbour(interface, address):
                proxy = ProxyNeighbour(self._installation.index(interface), address)
                self._held.discard(proxy)
                self._proxied.discard((interface, address))
                self._netlink.request(proxy.withdraw())
            case _:
                raise OSError(errno.EOPNOTSUPP, f"{type(effect).__name__} is not for a home agent")

    def show(self) -> list[Row]:
        """As `LinuxDataplane.show`, and one row for each end of a tunnel, with the packets that came out of it."""
        own = Prefix(self._settings.address, 128)
        out = reconcile.taken_out(self._netlink, self._settings.tables.decapsulation)
        rows = super().show()
        for slot, pairs in self._taken.items():
            for remote in sorted({remote for remote, _ in pairs}):
                packets = out.get((own, Prefix(remote, 128)))
                way = f"tunnel {text(remote)}"
                rows.append({"prefix": None, "slot": slot, "downlink": None, "uplink": way, "packets": packets})
        return rows

    def carries(self, outer: tuple[Address, Address], inner: tuple[Address, Address]) -> bool:
        """As `LinuxDataplane.carries`; flows go to other care-of addresses than the slot."""
        for length in self._lengths:
            slot = self.state.prefixes.get(Prefix.of(inner[1], length))
            if slot is not None:
                return any(outer[1] == known for known, _ in self._taken.get(slot, ()))
        return False

    def _check_peer(self, remote: Address) -> None:
        """The engine knows who asked."""

    # --- the ends of tunnels ----------------------------------------------------------------------------------------

    def _out_of(self, remote: Address) -> Route:
        self._left.pop(remote, None)
        return self._installation.tunnels.out_of(Prefix(self._settings.address, 128), remote)

    def _follow(self, slot: int) -> None:
        """What the node of the slot sends is taken from where it is, and no longer from where it was."""
        remotes = set(self._further.get(slot, ()))
        match self.state.slots.get(slot):
            case EnsureTunnel(_, remote):
                remotes.add(remote)
            case EnsurePaths(_, several):
                remotes.update(several)
            case _:
                pass
        prefixes = [prefix for prefix, used in self.state.prefixes.items() if used == slot]
        wanted = {(remote, prefix) for remote in remotes for prefix in prefixes}
        before = self._taken.pop(slot, set())
        if wanted:
            self._taken[slot] = wanted
        if self._tunnel_filter is not None:
            for remote, prefix in wanted - before:
                self._tunnel_filter.take(remote, prefix)
            for remote, prefix in before - wanted:
                self._tunnel_filter.take_no_more(remote, prefix, lingers=prefix in prefixes)
        if self._flows is not None:
            self._flows.follow(slot, prefixes, partial(self._through, slot))
        used = {remote for pairs in self._taken.values() for remote, _ in pairs}
        now = time.monotonic()
        self._left |= {remote: now for remote, _ in before - wanted if remote not in used}

    def _steer(self, slot: int, flows: tuple[Flow, ...]) -> None:
        if self._flows is None:
            raise OSError(errno.EOPNOTSUPP, "flows are told apart by nf_tables, which is not used (counters)")
        prefixes = [prefix for prefix, used in self.state.prefixes.items() if used == slot]
        self._flows.put(slot, prefixes, flows, partial(self._through, slot))

    def _through(self, slot: int, table: int, care_of: Address, prefix: Prefix) -> Route:
        """A tunnel, or, for the home address itself, the way of the slot on the home link."""
        home = self.state.slots.get(slot)
        if isinstance(home, EnsureDelivery) and care_of == prefix.address:
            nexthop, _ = self._nexthop(home)
            return Route(table, prefix, device=nexthop.device, gateway=nexthop.gateway)
        way = self._installation.tunnels.to(care_of)
        return Route(table, prefix, device=way.device, gateway=way.gateway, tunnel=way.tunnel)

    def _release(self, prefixes: list[Prefix]) -> None:
        if self._tunnel_filter is not None:
            for prefix in prefixes:
                self._tunnel_filter.lead_no_more(prefix)

    def tick(self) -> None:
        """Ends of tunnels that were left go, though nothing else happens. Raises OSError."""
        self._forget_left()

    def _forget_left(self) -> None:
        """Routes for those who left; nf_tables forgets its part by itself."""
        if not self._left:
            return
        before = time.monotonic() - _SECONDS
        for remote in [remote for remote, since in self._left.items() if since <= before]:
            del self._left[remote]
            self._withdraw(self._installation.tunnels.out_of(Prefix(self._settings.address, 128), remote))


def proxies(netlink: Netlink) -> list[ProxyNeighbour]:
    """The addresses that this kernel answers for because we said so. Raises OSError."""
    found = [parse_proxy_neighbour(body) for body in netlink.dump(RTM_GETNEIGH, proxies_request())]
    return [proxy for proxy in found if proxy is not None]
