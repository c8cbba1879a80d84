"""What holds for a prefix in a Linux kernel: its route to a slot, where packets from it go, who counts them."""

from __future__ import annotations

import errno

from sojourn.core.effects import EnsurePaths, EnsureTransport, WithdrawTransport
from sojourn.dataplane import filters, nftables
from sojourn.dataplane.ipv4_filter import Ipv4Filter
from sojourn.dataplane.linux_audit import LinuxAudit
from sojourn.dataplane.nftables import ROUTERS, Nftables
from sojourn.dataplane.queues import Lane
from sojourn.dataplane.routes import Route
from sojourn.wire.addresses import Address, Prefix, text


class LinuxPrefixes(LinuxAudit):
    """The effects on prefixes, and the packet filter that knows them."""

    def _ensure_prefix(self, prefix: Prefix, slot: int) -> None:
        way = self.state.slots.get(slot)
        number = self._group(slot) if isinstance(way, EnsurePaths) else self._settings.nexthops + slot
        route = Route(self._settings.tables.nodes, prefix, nexthop=number)
        try:
            self._ensure(route)
        except OSError as error:  # "Nexthop id does not exist"
            if error.errno not in (errno.EINVAL, errno.ENOENT) or way is None:
                raise
            if isinstance(way, EnsurePaths):
                self._point_to_paths(way)
                self._ensure(route)
                return
            nexthop, neighbour = self._nexthop(way)
            if neighbour is not None:
                self._netlink.request(neighbour.ensure())
            self._restore_slot(slot, nexthop)
            self._netlink.request(route.ensure())
        if Lane(slot, True) in self._queues.used:
            self._queues.divert(slot, [prefix])

    def _ensure_uplink(self, prefix: Prefix, anchor: Address | None) -> None:
        if prefix.is_ipv4:
            if anchor is not None:
                self._check_peer(anchor)
            self._speaks_ipv4(prefix).lead_source(prefix, anchor)
            return
        source, tunnel = self._uplink(prefix, anchor)
        if anchor is None:
            self._ensure(source)
            self._withdraw(tunnel)
        else:
            self._check_peer(anchor)
            self._ensure(tunnel, source)

    def _withdraw_uplink(self, prefix: Prefix) -> None:
        if prefix.is_ipv4:
            self._speaks_ipv4(prefix).stop_source(prefix)
        else:
            self._withdraw(*self._uplink(prefix, None))

    def _speaks_ipv4(self, prefix: Prefix) -> Ipv4Filter:
        if self._ipv4 is None:
            raise OSError(errno.EAFNOSUPPORT, f"{prefix}: this data plane was not set up for IPv4")
        return self._ipv4

    def _spread(self, prefix: Prefix, sources: tuple[Address, ...]) -> None:
        """The route of the uplink once more, if there is one."""
        for source in sources:
            if source not in self._installation.sources:
                raise OSError(errno.EADDRNOTAVAIL, f"{text(source)} is not an address that tunnels begin at here")
        before = self.state.spreads.get(prefix, ())
        self.state.spreads[prefix] = sources
        if prefix in self.state.uplinks and before != sources:
            self._ensure_uplink(prefix, self.state.uplinks[prefix])

    def _over_ipv4(self, effect: EnsureTransport | WithdrawTransport) -> None:
        transport = self._installation.transport
        if transport is None or not transport.leads_to(effect.remote):
            raise OSError(errno.EAFNOSUPPORT, f"{text(effect.remote)} is not a peer over IPv4")
        if isinstance(effect, EnsureTransport):
            transport.ensure(effect.remote, effect.address, effect.port)
        else:
            transport.withdraw(effect.remote)

    def _filter_away(self, prefix: Prefix, wanted: bool) -> None:
        if prefix.is_ipv4:
            self._speaks_ipv4(prefix).set_far(prefix, wanted)
            return
        if self._filter is None:
            return
        if prefix.length == self._settings.delegated_length:
            self._filter_router(self._filter, prefix, wanted)
            return
        if prefix.length != self._settings.prefix_length:
            raise OSError(errno.EINVAL, f"{prefix} cannot be counted, only /{self._settings.prefix_length}")
        key = filters.key(prefix)
        if self._snapshot is not None and key in self._snapshot.counted:
            self._snapshot.counted.discard(key)
            if wanted:
                return
        if not wanted:
            self._filter.discard(key)
            return
        try:
            self._filter.add(key)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            self._restore_filter(self._filter)
            self._filter.add(key)

    def _filter_router(self, table: Nftables, prefix: Prefix, wanted: bool) -> None:
        """Packets to the network behind a node go through a tunnel, or no longer. Nobody counts them."""
        if wanted:
            table.put(prefix.address[:8], ROUTERS)
        else:
            table.drop(prefix.address[:8], ROUTERS)

    def _limit(self, prefix: Prefix, downlink: int, uplink: int) -> None:
        if self._filter is None or not self._settings.rates:
            raise OSError(errno.EOPNOTSUPP, "this data plane was not set up to limit rates")
        if prefix.length != self._settings.prefix_length or prefix.is_ipv4:
            raise OSError(errno.EINVAL, f"{prefix} cannot have a rate, only /{self._settings.prefix_length}")
        for name, bits in zip(nftables.RATES, (downlink, uplink), strict=True):
            self._filter.limit(filters.key(prefix), name, (bits + 7) // 8)

    def _restore_filter(self, table: Nftables) -> None:
        """Somebody flushed the whole ruleset, ours with it, as a reload of nftables.service does."""
        self._install_filter(table)
        for prefix in self.state.counters:
            self._filter_away(prefix, True)
        for prefix, rates in self.state.rates.items():
            self._limit(prefix, *rates)

    def _install_filter(self, table: Nftables) -> None:
        mark = filters.fingerprint(self._settings)
        try:
            if table.fingerprint() != mark:
                octets = filters.key_octets(self._settings.prefix_length)
                settings, rules = self._settings, filters.rules(self._settings)
                neighbours, rates = settings.neighbours, settings.rates
                table.install(mark, filters.CHAINS, rules, settings.peers, octets, neighbours, rates)
        except OSError as error:
            hint = "this kernel cannot count packets; set counters = false to go without"
            raise OSError(error.errno, f"{error.strerror}: {hint}") from error
