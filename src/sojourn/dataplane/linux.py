"""The forwarding effects in a Linux kernel: RFC 2473 tunnels, no device per tunnel (design.md 3).

    slot            nexthop object: via a permanent neighbour on the access link; or in a tunnel to the serving router;
                    or via a neighbour on the loop that nobody answers for, so that packets wait in its queue;
                    or into a queue that keeps the order (`queues`)
    prefix          route to the nexthop object, table `nodes`
    uplink          `throw default from PREFIX` in table `sources`: may send at all;
                    `default from PREFIX` in table `uplinks`: through a tunnel (a route with a source cannot use a
                    nexthop object)
    pool            `blackhole` for either half in table `pools`, which a routing daemon exports
    shortcut        `DESTINATION from SOURCE` in table `uplinks`: via the neighbour of a slot, or through a tunnel
    counter         element of the nf_tables sets `away` and `far`
    multicast       entries of multicast routing, and sockets that join upstream (`multicast`)
    IPv4            routes to the same nexthop objects; sources in the nf_tables sets of `ipv4_filter`

Slots and shortcuts are in `linux_slots`, prefixes in `linux_prefixes`, what should hold in `linux_audit`, rules, loop
and access interfaces in `installation`, the two ways to tunnel in `tunnels`, the packet filter in `filters`, restarts
in `reconcile`. All changes replace; nothing is deleted and added. What the kernel forgot (an interface that went down
takes its nexthops along, those their routes) is put back when an effect meets the gap, and by `reassert`.

Opening, starting and closing must run in the network namespace that is meant; with fast handovers `apply` as well, else
it may run anywhere.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from typing import TypeVar, assert_never

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsureLogicalInterface,
    EnsureMembership,
    EnsureMulticastRoute,
    EnsurePaths,
    EnsurePool,
    EnsurePrefix,
    EnsureQueue,
    EnsureRate,
    EnsureShortcut,
    EnsureSpread,
    EnsureTransport,
    EnsureTunnel,
    EnsureUplink,
    ForgetMulticast,
    ForgetStation,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawMembership,
    WithdrawMulticastRoute,
    WithdrawPool,
    WithdrawPrefix,
    WithdrawQueue,
    WithdrawRate,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawTransport,
    WithdrawUplink,
)
from sojourn.core.engine import Row
from sojourn.dataplane import filters, links, nftables, reconcile
from sojourn.dataplane.ipv4_filter import Ipv4Filter
from sojourn.dataplane.linux_prefixes import LinuxPrefixes
from sojourn.dataplane.multicast import MulticastRouting, end_multicast
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.nftables import Nftables
from sojourn.dataplane.queues import Lane
from sojourn.dataplane.routes import Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.state import ForwardingState
from sojourn.wire.addresses import Address, Prefix

V = TypeVar("V")

__all__ = ["LinuxDataplane", "LinuxSettings"]

_LINGER = 0.2
"""Seconds that the way round the loop stays open after a release, for packets that another processor still holds."""


class LinuxDataplane(LinuxPrefixes):
    """Makes effects hold in the kernel of this namespace. Every refusal is an OSError with the kernel's words."""

    def __init__(self, settings: LinuxSettings, netlink: Netlink | None = None) -> None:
        """Opens sockets; the kernel is first touched by `start`, which `begin` and `apply` call when needed."""
        super().__init__(settings, netlink or Netlink())
        self._filter = Nftables() if settings.counters else None
        self._multicast = None
        if settings.upstream:
            self._multicast = MulticastRouting(settings.upstream, settings.access, survives=True)
        self._ipv4 = Ipv4Filter(settings) if settings.ipv4 else None
        self._started = False

    @property
    def backend(self) -> str:
        """How the kernel tunnels, of `tunnels.BACKENDS`. From `start` on."""
        return self._installation.tunnels.name

    @property
    def ends(self) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
        """Where tunnels end: our addresses, and those of the far ends that are known beforehand."""
        return self._settings.addresses, self._settings.peers

    def tunnels(self) -> set[Address]:
        """The far ends that packets of nodes are sent to now."""
        found = {anchor for anchor in self.state.uplinks.values() if anchor is not None}
        for way in (*self.state.slots.values(), *self.state.forwarded.values()):
            match way:
                case EnsureTunnel(_, remote) | EnsureFlowToRouter(_, _, remote):
                    found.add(remote)
                case EnsurePaths(_, remotes):
                    found.update(remotes)
                case _:
                    pass
        return found

    # --- life ---------------------------------------------------------------------------------------------------

    def untouched(self) -> bool:
        """Whether no earlier life left anything in the kernel. Raises OSError."""
        return self._settings.loop[0] not in links.links(self._netlink)

    def start(self) -> None:
        """Rules, loop, access interfaces and packet filter stand, whatever stood before; twice is harmless."""
        self._installation.prepare()
        if self._filter is not None:
            self._install_filter(self._filter)
        if self._ipv4 is not None:
            self._ipv4.install()
        self._ensure(*self._installation.objects())
        self._installation.move_local()
        if self._multicast is not None:
            self._multicast.start()
        self._started = True

    def begin(self) -> None:
        """Take stock of what an earlier life left; it keeps forwarding, and is not touched where it is right."""
        counted = set[bytes]()
        if self._filter is not None and self._filter.fingerprint() == filters.fingerprint(self._settings):
            counted = set(self._filter.counters())
        if self._filter is not None and self._filter.fingerprint() is not None:
            self._filter.unlimit()
        self.state = ForwardingState()
        self._snapshot = snapshot = reconcile.Snapshot(reconcile.ours(self._netlink, self._settings), counted)
        self._queues.take_stock()
        self.start()
        if self._multicast is not None:
            self._multicast.begin(self._netlink)
        if self._ipv4 is not None:
            self._ipv4.begin()
        round_trip = self._installation.round_trip
        for neighbour in reconcile.stale_releases(snapshot, self._installation.near, round_trip):
            self._withdraw(neighbour)

    def finish(self) -> list[str]:
        """Remove what was not asked for since `begin`."""
        if self._snapshot is None:
            return []
        self.announce()
        snapshot, self._snapshot = self._snapshot, None
        left = snapshot.left()
        self._netlink.request(*(thing.withdraw() for thing in left))
        self._installation.remove_leftovers()
        length = self._settings.prefix_length
        prefixes = [Prefix(key.ljust(16, b"\0"), length) for key in snapshot.counted]
        for prefix in prefixes:
            self._filter_away(prefix, False)
        self._queues.forget_left()
        self._queues.prepare()
        if self._multicast is None:
            end_multicast()
        for family in {nftables.NFPROTO_IPV6, nftables.NFPROTO_IPV4} - self._families():
            nftables.remove_left(family)
        sources = [] if self._ipv4 is None else self._ipv4.finish()
        return [*map(str, left), *(f"counter {prefix}" for prefix in prefixes), *sources]

    def _families(self) -> set[int]:
        """Of the tables of nf_tables that this life uses."""
        found = set() if self._filter is None else {nftables.NFPROTO_IPV6}
        return found if self._ipv4 is None else {*found, nftables.NFPROTO_IPV4}

    def announce(self) -> None:
        """The network is told to lead here what is ours (`LinuxSettings.announced`); twice is harmless."""
        self._ensure(*self._installation.announcements())

    def reassert(self) -> None:
        """Everything is put into the kernel again: for an interface that came back. Raises the first refusal."""
        self._installation.indices.clear()
        self.start()
        refusals = []
        for effect in list(self.state.effects()):
            try:
                self.apply(effect)
            except OSError as error:
                refusals.append(error)
        self.announce()
        if refusals:
            raise refusals[0]

    def close(self) -> None:
        """Nothing of ours is left in the kernel, and what was there before is there again.

        Goes on after a refusal, and raises the first one at the end.
        """
        installation = self._installation
        steps = [installation.remove_tunnels, installation.restore_local, self._withdraw_all]
        steps += [self._queues.close, installation.restore, end_multicast]
        if self._filter is not None:
            steps.insert(3, self._filter.remove)
        if self._ipv4 is not None:
            steps.insert(3, self._ipv4.remove)
        refusals = []
        for step in steps:
            try:
                step()
            except OSError as error:
                refusals.append(error)
        self.leave()
        if refusals:
            raise refusals[0]

    def _withdraw_all(self) -> None:
        left = reconcile.Snapshot(reconcile.ours(self._netlink, self._settings), set()).left()
        self._netlink.request(*(thing.withdraw() for thing in left))

    def leave(self) -> None:
        """Let go without a trace of having left: forwarding goes on, a later life takes over (`begin`)."""
        self._queues.leave()
        self._netlink.close()
        for part in (self._filter, self._ipv4, self._multicast, self._installation.transport):
            if part is not None:
                part.close()

    # --- effects ------------------------------------------------------------------------------------------------

    def carries(self, outer: tuple[Address, Address], inner: tuple[Address, Address]) -> bool:
        """Whether packets with `inner` addresses, source and destination, leave in a tunnel with `outer` ones."""
        own, remote = outer
        if own != self._settings.address:
            return False
        slot = _longest(self.state.prefixes, inner[1])
        match None if slot is None else self.state.slots.get(slot):
            case EnsureTunnel(_, there) if there == remote:
                return True
            case EnsurePaths(_, several) if remote in several:
                return True
            case EnsureFlowToRouter(_, _, there) if there == remote:
                return True
            case _:
                return remote in (
                    _longest(self.state.uplinks, inner[0]),
                    *(_longest(self.state.spreads, inner[0]) or ()),
                )

    def apply(self, effect: ForwardingEffect) -> None:
        """Make `effect` hold, whatever held before. Raises OSError when the kernel refuses."""
        if not self._started:
            self.start()
        if self._released:
            self._close_loop(time.monotonic() - _LINGER)
        self._queues.close_old()
        match effect:
            case EnsureDelivery() | EnsureTunnel() | EnsureHold():
                self._point(effect)
                self._lead_shortcuts(effect)
                self._queues.end(Lane(effect.slot, False))
            case EnsurePaths(slot):
                self._point_to_paths(effect)
                self._queues.end(Lane(slot, False))
            case EnsureTransport() | WithdrawTransport():
                self._over_ipv4(effect)
            case EnsureQueue() | EnsureFlowToNode() | EnsureFlowToRouter():
                self._queue(effect)
            case WithdrawQueue(slot):
                self._queues.end(Lane(slot, True))
            case EnsurePrefix(prefix, slot):
                self._ensure_prefix(prefix, slot)
            case WithdrawPrefix(prefix):
                self._withdraw(Route(self._settings.tables.nodes, prefix))
                if self.state.forwarded.get(self.state.prefixes.get(prefix, -1)) is not None:
                    self._withdraw(Route(self._settings.forwarded_table, prefix))
            case EnsurePool(pool):
                self._ensure(*self._announced(pool))
            case WithdrawPool(pool):
                for route in self._announced(pool):
                    self._withdraw(route)
            case EnsureUplink(prefix, anchor):
                self._ensure_uplink(prefix, anchor)
            case WithdrawUplink(prefix):
                self._withdraw_uplink(prefix)
            case EnsureSpread(prefix, sources):
                self._spread(prefix, sources)
            case WithdrawSpread(prefix):
                self._spread(prefix, ())
            case EnsureShortcut(source, destination, remote):
                self._ensure(*self._shortcut(source, destination, remote))
            case WithdrawShortcut(source, destination):
                self._withdraw(Route(self._settings.tables.uplinks, destination, source))
            case EnsureRate(prefix, downlink, uplink):
                self._limit(prefix, downlink, uplink)
            case WithdrawRate(prefix):
                self._limit(prefix, 0, 0)
            case EnsureCounter(prefix):
                self._filter_away(prefix, True)
            case WithdrawCounter(prefix):
                self._filter_away(prefix, False)
            case EnsureLogicalInterface(interface, link_local):
                self._ensure(self._identity(interface, link_local))
            case WithdrawLogicalInterface(interface, link_local):
                self._withdraw(self._identity(interface, link_local))
            case WithdrawSlot(slot):
                self._withdraw_slot(slot)
            case ForgetStation(interface, link_layer):
                device = self._installation.index(interface)
                if interface in self._installation.bridges:  # nothing else remembers stations
                    links.forget_station(self._netlink, device, link_layer)
            case ForgetMulticast():
                if self._multicast is not None:
                    self._multicast.forget_left()
            case EnsureMulticastRoute() | WithdrawMulticastRoute() | EnsureMembership() | WithdrawMembership():
                if self._multicast is None:
                    raise OSError(errno.EOPNOTSUPP, "no interface is named that leads to multicast sources")
                self._multicast.apply(effect)
            case _:
                assert_never(effect)
        self.state.record(effect)

    def count(self) -> dict[Prefix, int]:
        """Packets from each counted prefix; empty without counters."""
        self._close_loop(time.monotonic() - _LINGER)
        if self._filter is None or not self._started:
            return {}
        try:
            found = self._filter.counters()
        except FileNotFoundError:
            self._restore_filter(self._filter)
            found = self._filter.counters()
        counted = [prefix for prefix in self.state.counters if prefix.length == self._settings.prefix_length]
        keys = {prefix: filters.key(prefix) for prefix in counted}
        return {prefix: found[key] for prefix, key in keys.items() if key in found}

    def show(self) -> list[Row]:
        """What should hold, with its counters."""
        return self.state.rows(self.count())


def _longest(known: Mapping[Prefix, V], where: Address) -> V | None:
    """What is known of the longest prefix of an address."""
    for length in range(128, 0, -1):
        prefix = Prefix.of(where, length)
        if prefix in known:
            return known[prefix]
    return None
