"""The forwarding effects in a Linux kernel: RFC 2473 tunnels, no device per tunnel (design.md 3).

    slot            nexthop object: via a permanent neighbour on the access link; or in a tunnel to the serving router;
                    or via a neighbour on the loop that nobody answers for, so that packets wait in its queue;
                    or into a queue that keeps the order (`queues`)
    prefix          route to the nexthop object, table `nodes`
    uplink          `throw default from PREFIX` in table `sources`: may send at all;
                    `default from PREFIX` in table `uplinks`: through a tunnel (a route with a source cannot use a
                    nexthop object)
    shortcut        `DESTINATION from SOURCE` in table `uplinks`: via the neighbour of a slot, or through a tunnel
    counter         element of the nf_tables sets `away` and `far`
    multicast       entries of multicast routing, and sockets that join upstream (`multicast`)
    IPv4            routes to the same nexthop objects; sources in the nf_tables sets of `ipv4_filter`

Rules, loop and access interfaces are in `installation`, the two ways to tunnel in `tunnels`, the packet filter in
`filters`, restarts in `reconcile`. All changes replace; nothing is deleted and added. What the kernel forgot (an
interface that went down takes its nexthops along, those their routes) is put back when an effect meets the gap, and by
`reassert`.

Opening, starting and closing must run in the network namespace that is meant; with fast handovers `apply` as well, else
it may run anywhere.
"""

from __future__ import annotations

import errno
import time
from typing import assert_never

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
    EnsurePrefix,
    EnsureQueue,
    EnsureShortcut,
    EnsureSpread,
    EnsureTransport,
    EnsureTunnel,
    EnsureUplink,
    ForgetStation,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawMembership,
    WithdrawMulticastRoute,
    WithdrawPrefix,
    WithdrawQueue,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawTransport,
    WithdrawUplink,
)
from sojourn.core.engine import Row
from sojourn.dataplane import filters, reconcile
from sojourn.dataplane.installation import Installation, station
from sojourn.dataplane.ipv4_filter import Ipv4Filter
from sojourn.dataplane.links import forget_station
from sojourn.dataplane.multicast import MulticastRouting
from sojourn.dataplane.netlink import NLM_F_REPLACE, Message, Netlink
from sojourn.dataplane.nftables import ROUTERS, Nftables
from sojourn.dataplane.objects import (
    REPLACE_OR_CREATE,
    RTN_THROW,
    InterfaceAddress,
    KernelObject,
    Neighbour,
    Nexthop,
    Route,
)
from sojourn.dataplane.queues import Lane, Queues
from sojourn.dataplane.settings import NEXTHOP_GROUPS, SLOTS, LinuxSettings
from sojourn.dataplane.state import ForwardingState, OneWay, Queued
from sojourn.wire.addresses import ANY, Address, Prefix, text

__all__ = ["LinuxDataplane", "LinuxSettings"]

_LINGER = 0.2
"""Seconds that the way round the loop stays open after a release, for packets that another processor still holds."""


class LinuxDataplane:
    """Makes effects hold in the kernel of this namespace. Every refusal is an OSError with the kernel's words."""

    def __init__(self, settings: LinuxSettings, netlink: Netlink | None = None) -> None:
        """Opens sockets; the kernel is first touched by `start`, which `begin` and `apply` call when needed."""
        self.state = ForwardingState()
        """What should hold."""
        self._settings = settings
        self._peers = frozenset(settings.peers)
        self._netlink = netlink or Netlink()
        self._filter = Nftables() if settings.counters else None
        self._multicast = MulticastRouting(settings.upstream, settings.access) if settings.upstream else None
        self._ipv4 = Ipv4Filter(settings) if settings.ipv4 else None
        self._installation = Installation(self._netlink, settings)
        self._queues = Queues(self._netlink, settings)
        self._snapshot: reconcile.Snapshot | None = None
        self._released: dict[int, float] = {}
        self._started = False

    @property
    def backend(self) -> str:
        """How the kernel tunnels, of `tunnels.BACKENDS`. From `start` on."""
        return self._installation.tunnels.name

    # --- life ---------------------------------------------------------------------------------------------------

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

    def _install_filter(self, table: Nftables) -> None:
        mark = filters.fingerprint(self._settings)
        try:
            if table.fingerprint() != mark:
                octets = filters.key_octets(self._settings.prefix_length)
                rules, peers = filters.rules(self._settings), self._settings.peers
                table.install(mark, filters.CHAINS, rules, peers, octets, self._settings.neighbours)
        except OSError as error:
            hint = "this kernel cannot count packets; set counters = false to go without"
            raise OSError(error.errno, f"{error.strerror}: {hint}") from error

    def begin(self) -> None:
        """Take stock of what an earlier life left; it keeps forwarding, and is not touched where it is right."""
        counted = set[bytes]()
        if self._filter is not None and self._filter.fingerprint() == filters.fingerprint(self._settings):
            counted = set(self._filter.counters())
        self.state = ForwardingState()
        self._snapshot = snapshot = reconcile.Snapshot(reconcile.ours(self._netlink, self._settings), counted)
        self._queues.take_stock()
        self.start()
        if self._ipv4 is not None:
            self._ipv4.begin()
        round_trip = self._installation.round_trip
        for neighbour in reconcile.stale_releases(snapshot, self._installation.near, round_trip):
            self._withdraw(neighbour)

    def finish(self) -> list[str]:
        """Remove what was not asked for since `begin`."""
        if self._snapshot is None:
            return []
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
        sources = [] if self._ipv4 is None else self._ipv4.finish()
        return [*map(str, left), *(f"counter {prefix}" for prefix in prefixes), *sources]

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
        if refusals:
            raise refusals[0]

    def close(self) -> None:
        """Nothing of ours is left in the kernel, and what was there before is there again.

        Goes on after a refusal, and raises the first one at the end.
        """
        installation = self._installation
        steps = [installation.remove_tunnels, installation.restore_local, self._withdraw_all]
        steps += [self._queues.close, installation.restore]
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
            case EnsureUplink(prefix, anchor):
                self._ensure_uplink(prefix, anchor)
            case WithdrawUplink(prefix):
                self._withdraw_uplink(prefix)
            case EnsureSpread(prefix, sources):
                self._spread(prefix, sources)
            case WithdrawSpread(prefix):
                self._spread(prefix, ())
            case EnsureShortcut(source, destination, remote):
                self._ensure(self._shortcut(source, destination, remote))
            case WithdrawShortcut(source, destination):
                self._withdraw(Route(self._settings.tables.uplinks, destination, source))
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
                    forget_station(self._netlink, device, link_layer)
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

    # --- slots --------------------------------------------------------------------------------------------------

    def _point(self, way: OneWay) -> None:
        """Replace where the slot points; then let go what waited. One system call."""
        slot = way.slot
        if not 0 <= slot < SLOTS:
            raise OSError(errno.EINVAL, f"slot {slot} is out of range")
        previous = self.state.slots.get(slot)
        nexthop, neighbour = self._nexthop(way)
        if isinstance(previous, EnsurePaths):
            self._leave_paths(slot, nexthop, neighbour)
            return
        waited = self._waits(slot, nexthop)
        if self._claimed(nexthop, neighbour):
            return
        messages = [] if neighbour is None else [neighbour.ensure()]
        if isinstance(way, EnsureHold):
            if self._released.pop(slot, None) is not None:
                messages.append(self._way_round(slot).withdraw())
            waited = False
        # Without CREATE the kernel says so when it has lost the nexthop, and its routes with it.
        messages.append(nexthop.ensure(REPLACE_OR_CREATE if previous is None else NLM_F_REPLACE))
        if waited:
            messages.append(self._way_round(slot).ensure())
            self._released[slot] = time.monotonic()
        if isinstance(previous, EnsureDelivery):
            messages += self._unneeded(previous, neighbour)
        try:
            self._netlink.request(*messages)
        except OSError as error:
            if error.errno != errno.ENOENT or previous is None:
                raise
            self._restore_slot(slot, nexthop)

    def _point_to_paths(self, way: EnsurePaths) -> None:
        """A group of nexthops; the kernel turns none into a group, so the routes to the slot change over to it."""
        for remote in way.remotes:
            self._check_peer(remote)
        members = [Nexthop(self._member(remote), *self._installation.way_to(remote)) for remote in way.remotes]
        group = Nexthop(self._group(way.slot), 0, members=tuple(member.id for member in members))
        self._ensure(*members, group, *self._routes_to(way.slot, group.id))
        previous = self.state.slots.get(way.slot)
        if previous is not None and not isinstance(previous, EnsurePaths):
            self._withdraw_slot(way.slot)

    def _group(self, slot: int) -> int:
        return self._settings.nexthops + NEXTHOP_GROUPS + slot

    def _member(self, remote: Address) -> int:
        return self._settings.nexthops + 2 * NEXTHOP_GROUPS + self._settings.peers.index(remote)

    def _routes_to(self, slot: int, nexthop: int) -> list[Route]:
        nodes, prefixes = self._settings.tables.nodes, self.state.prefixes
        return [Route(nodes, prefix, nexthop=nexthop) for prefix, used in prefixes.items() if used == slot]

    def _leave_paths(self, slot: int, nexthop: Nexthop, neighbour: Neighbour | None) -> None:
        """The slot points to one place again."""
        things: list[KernelObject] = [nexthop] if neighbour is None else [neighbour, nexthop]
        self._ensure(*things, *self._routes_to(slot, nexthop.id))
        self._withdraw(Nexthop(self._group(slot), 0))

    def _waits(self, slot: int, nexthop: Nexthop) -> bool:
        """Whether packets to the slot wait, in this life or since an earlier one."""
        if self._snapshot is not None:
            held = self._snapshot.get(nexthop.key)
            if isinstance(held, Nexthop) and held.device == self._installation.near and held.gateway is not None:
                return True
        return isinstance(self.state.slots.get(slot), EnsureHold)

    def _claimed(self, nexthop: Nexthop, neighbour: Neighbour | None) -> bool:
        """Whether the slot points there since an earlier life."""
        if self._snapshot is None:
            return False
        same = self._snapshot.claim(nexthop)
        return (neighbour is None or self._snapshot.claim(neighbour)) and same

    def _unneeded(self, previous: EnsureDelivery, neighbour: Neighbour | None) -> list[Message]:
        old = self._neighbour(previous)
        return [old.withdraw()] if old is not None and (neighbour is None or old.key != neighbour.key) else []

    def _restore_slot(self, slot: int, nexthop: Nexthop) -> None:
        """The kernel lost the nexthop: create it, and the routes that went with it."""
        routes = self._routes_to(slot, nexthop.id)
        self._netlink.request(nexthop.ensure(), *(route.ensure() for route in routes))

    def _nexthop(self, way: OneWay) -> tuple[Nexthop, Neighbour | None]:
        number, near = self._settings.nexthops + way.slot, self._installation.near
        match way:
            case EnsureDelivery(slot, interface, link_layer):
                device = self._installation.index(interface)
                return Nexthop(number, device, station(slot)), Neighbour(device, station(slot), link_layer)
            case EnsureTunnel(_, remote):
                self._check_peer(remote)
                return Nexthop(number, *self._installation.way_to(remote)), None
            case EnsureHold(slot):
                return Nexthop(number, near, station(slot)), None
            case EnsureQueue(slot, forwarded) | EnsureFlowToNode(slot, forwarded) | EnsureFlowToRouter(slot, forwarded):
                queue = self._queues.used[Lane(slot, forwarded)]
                return self._queues.entry(queue, station(slot), number)
            case _:
                assert_never(way)

    def _neighbour(self, way: EnsureDelivery) -> Neighbour | None:
        device = self._installation.indices.get(way.interface)
        return None if device is None else Neighbour(device, station(way.slot), way.link_layer)

    def _way_round(self, slot: int) -> Neighbour:
        """What releases packets that wait: they go round the loop and are routed again."""
        return Neighbour(self._installation.near, station(slot), self._installation.far_link_layer)

    def _close_loop(self, before: float) -> None:
        """The ways round that were opened before then are closed."""
        old = [slot for slot, since in self._released.items() if since <= before]
        for slot in old:
            del self._released[slot]
        if old:
            self._netlink.request(*(self._way_round(slot).withdraw() for slot in old))

    def _withdraw_slot(self, slot: int) -> None:
        previous = self.state.slots.get(slot)
        things: list[KernelObject] = [Nexthop(self._settings.nexthops + slot, 0)]
        if isinstance(previous, EnsurePaths):
            things.append(Nexthop(self._group(slot), 0))
        if isinstance(previous, EnsureDelivery):
            neighbour = self._neighbour(previous)
            if neighbour is not None:
                things.append(neighbour)
        if isinstance(previous, EnsureHold) or self._released.pop(slot, None) is not None:
            things.append(self._way_round(slot))
        self._withdraw(*things)
        for forwarded in (False, True):
            self._queues.end(Lane(slot, forwarded))

    # --- queues that keep the order ---------------------------------------------------------------------------------

    def waiting(self, slot: int) -> tuple[int, int, int]:
        """See `Dataplane.waiting`."""
        return self._queues.waiting(slot)

    def _queue(self, way: Queued) -> None:
        """First where the queue leads, then that it holds or lets go, then that packets go into it."""
        match way:
            case EnsureQueue(slot, forwarded):
                self._queues.take(Lane(slot, forwarded))
            case EnsureFlowToNode(slot, forwarded, interface, link_layer):
                straight = self._nexthop(EnsureDelivery(slot, interface, link_layer))
                self._queues.lead(Lane(slot, forwarded), *straight)
            case EnsureFlowToRouter(slot, forwarded, remote):
                self._queues.lead(Lane(slot, forwarded), *self._nexthop(EnsureTunnel(slot, remote)))
        if not forwarded:
            self._point(way)
        else:
            self._queues.divert(slot, [prefix for prefix, used in self.state.prefixes.items() if used == slot])
        if not isinstance(way, EnsureQueue):
            self._queues.open(Lane(slot, forwarded))

    # --- prefixes -----------------------------------------------------------------------------------------------

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

    def _uplink(self, prefix: Prefix, anchor: Address | None) -> tuple[Route, Route]:
        tables = self._settings.tables
        tunnel = Route(tables.uplinks, ANY, prefix)
        if anchor is not None:
            tunnel = self._tunnelled(tunnel, anchor)
            sources = self.state.spreads.get(prefix, ())
            if len(sources) > 1:
                devices = tuple(self._installation.sources[source] for source in sources)
                tunnel = tunnel._replace(device=0, gateway=station(SLOTS), devices=devices)
        return Route(tables.sources, ANY, prefix, RTN_THROW), tunnel

    def _tunnelled(self, route: Route, remote: Address) -> Route:
        way = self._installation.way_to(remote)
        return route._replace(device=way.device, gateway=way.gateway, tunnel=way.tunnel)

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

    def _shortcut(self, source: Prefix, destination: Prefix, remote: Address | None) -> Route:
        uplinks = self._settings.tables.uplinks
        if remote is not None:
            self._check_peer(remote)
            return self._tunnelled(Route(uplinks, destination, source), remote)
        slot = self.state.prefixes.get(destination)
        way = None if slot is None else self.state.slots.get(slot)
        if not isinstance(way, EnsureDelivery):
            raise OSError(errno.ENOENT, f"{destination} is not on an access link here")
        device = self._installation.index(way.interface)
        return Route(uplinks, destination, source, device=device, gateway=station(way.slot))

    def _identity(self, interface: str, link_local: Address) -> InterfaceAddress:
        """Of 128 bits: one of 64 that goes before the kernel has finished adding it takes fe80:: of others along."""
        return InterfaceAddress(self._installation.index(interface), link_local, 128)

    def _over_ipv4(self, effect: EnsureTransport | WithdrawTransport) -> None:
        transport = self._installation.transport
        if transport is None or not transport.leads_to(effect.remote):
            raise OSError(errno.EAFNOSUPPORT, f"{text(effect.remote)} is not a peer over IPv4")
        if isinstance(effect, EnsureTransport):
            transport.ensure(effect.remote, effect.address, effect.port)
        else:
            transport.withdraw(effect.remote)

    def _check_peer(self, remote: Address) -> None:
        if remote not in self._peers:
            raise OSError(errno.EPERM, f"{text(remote)} is not a configured peer")

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

    def _restore_filter(self, table: Nftables) -> None:
        """Somebody flushed the whole ruleset, ours with it, as a reload of nftables.service does."""
        self._install_filter(table)
        for prefix in self.state.counters:
            self._filter_away(prefix, True)

    # --- kernel -------------------------------------------------------------------------------------------------

    def _ensure(self, *things: KernelObject) -> None:
        snapshot = self._snapshot
        messages: list[Message] = []
        for thing in things:
            if snapshot is None or not snapshot.claim(thing):
                messages.append(thing.ensure())
        if messages:
            self._netlink.request(*messages)

    def _withdraw(self, *things: KernelObject) -> None:
        if self._snapshot is not None:
            for thing in things:
                self._snapshot.forget(thing)
        self._netlink.request(*(thing.withdraw() for thing in things))
