"""What the data plane of a router should have in the kernel, and where the kernel differs (`audit`).

Part of the data plane (`linux`). The objects are made by the same functions that put them there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsurePaths,
    EnsureQueue,
    EnsureTunnel,
)
from sojourn.dataplane import filters, nftables, reconcile
from sojourn.dataplane.audit import CHANGED, FILTER, LEFT, MISSING, MULTICAST, QUEUE, Finding, place_at_router
from sojourn.dataplane.installation import station
from sojourn.dataplane.ipv4_filter import Ipv4Filter
from sojourn.dataplane.linux_slots import LinuxSlots
from sojourn.dataplane.multicast import MulticastRouting
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.nftables import Nftables
from sojourn.dataplane.objects import InterfaceAddress, KernelObject, Neighbour, Rule
from sojourn.dataplane.queues import Lane
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, Nexthop, Route
from sojourn.dataplane.settings import SLOTS
from sojourn.dataplane.state import OneWay
from sojourn.wire.addresses import ANY, Address, Prefix, text


class LinuxAudit(LinuxSlots):
    """See `sojourn.dataplane.audit.Audited`."""

    _filter: Nftables | None
    _multicast: MulticastRouting | None
    _ipv4: Ipv4Filter | None

    # --- what should hold -----------------------------------------------------------------------------------------

    def objects(self) -> Iterator[KernelObject]:
        """See `Audited.objects`."""
        state, tables = self.state, self._settings.tables
        yield from self._installation.objects()
        yield from self._installation.announcements()
        yield from (self._way_round(slot) for slot in self._released)
        for way in state.slots.values():
            if isinstance(way, EnsurePaths):
                members = [Nexthop(self._member(remote), *self._installation.way_to(remote)) for remote in way.remotes]
                yield from members
                yield Nexthop(self._group(way.slot), 0, members=tuple(member.id for member in members))
            else:
                yield from (thing for thing in self._nexthop(way) if thing is not None)
        for way in (*state.slots.values(), *state.forwarded.values()):
            if isinstance(way, EnsureQueue | EnsureFlowToNode | EnsureFlowToRouter):
                yield from self._queued(way)
        for prefix, slot in state.prefixes.items():
            several = isinstance(state.slots.get(slot), EnsurePaths)
            yield Route(tables.nodes, prefix, nexthop=self._group(slot) if several else self._settings.nexthops + slot)
        for prefix, anchor in state.uplinks.items():
            if not prefix.is_ipv4:
                source, tunnel = self._uplink(prefix, anchor)
                yield source
                if anchor is not None:
                    yield tunnel
        for pool in state.pools:
            yield from self._announced(pool)
        for (source_prefix, destination), remote in state.shortcuts.items():
            with suppress(OSError):
                yield from self._shortcut(source_prefix, destination, remote)
        for interface, link_local in state.logical_interfaces:
            yield self._identity(interface, link_local)

    def _queued(self, way: EnsureQueue | EnsureFlowToNode | EnsureFlowToRouter) -> Iterator[KernelObject]:
        """What leads out of a queue, and, of one for what others forward, into it."""
        queue = self._queues.used.get(Lane(way.slot, way.forwarded))
        if queue is None:
            return
        straight: OneWay | None = None
        match way:
            case EnsureFlowToNode(slot, _, interface, link_layer):
                straight = EnsureDelivery(slot, interface, link_layer)
            case EnsureFlowToRouter(slot, _, remote):
                straight = EnsureTunnel(slot, remote)
            case _:
                pass
        if straight is not None:
            nexthop, neighbour = self._nexthop(straight)
            yield nexthop._replace(id=self._queues.exit_number(queue))
            yield from self._queues.exit(queue)
            if neighbour is not None:
                yield neighbour
        if way.forwarded:
            number = self._queues.entry_number(queue)
            yield from self._queues.entry(queue, station(way.slot), number)
            for prefix, slot in self.state.prefixes.items():
                if slot == way.slot:
                    yield Route(self._settings.forwarded_table, prefix, nexthop=number)

    def _announced(self, pool: Prefix) -> list[Route]:
        """For a routing daemon, which reads that table; no rule leads packets there."""
        table, length = self._settings.tables.pools, pool.length + 1
        return [Route(table, pool.subnet(half, length), kind=RTN_BLACKHOLE) for half in (0, 1)]

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

    def _identity(self, interface: str, link_local: Address) -> InterfaceAddress:
        """Of 128 bits: one of 64 that goes before the kernel has finished adding it takes fe80:: of others along."""
        return InterfaceAddress(self._installation.index(interface), link_local, 128)

    # --- what holds -------------------------------------------------------------------------------------------------

    def held(self, netlink: Netlink) -> list[KernelObject]:
        """See `Audited.held`. Of queues that no handover uses now, what still stands is nobody's business."""
        held = list(reconcile.ours(netlink, self._settings))
        if not self._settings.handovers:
            return held
        queues, settings = self._queues, self._settings
        leading = [
            queues.used.get(Lane(way.slot, way.forwarded))
            for way in (*self.state.slots.values(), *self.state.forwarded.values())
            if isinstance(way, EnsureFlowToNode | EnsureFlowToRouter)
        ]
        resting = [queue for queue in queues.every() if queue not in leading]
        tables = {settings.queue_tables[queue.number] for queue in resting}
        devices = {queue.near for queue in queues.idle()}
        numbers = {queues.exit_number(queue) for queue in resting} | {queues.entry_number(one) for one in queues.idle()}
        return [
            thing
            for thing in held
            if not (isinstance(thing, Route | Rule) and thing.table in tables)
            and not (isinstance(thing, Neighbour) and thing.device in devices)
            and not (isinstance(thing, Nexthop) and thing.id in numbers)
        ]

    def other_findings(self) -> list[Finding]:
        """See `Audited.other_findings`."""
        found = [] if self._filter is None else self._filter_findings(self._filter)
        if self._ipv4 is not None:
            known = {prefix: anchor for prefix, anchor in self.state.uplinks.items() if prefix.is_ipv4}
            found += self._ipv4.findings(known, {prefix for prefix in self.state.counters if prefix.is_ipv4})
        if self._multicast is not None:
            found += self._multicast_findings(self._multicast)
        return found

    def _filter_findings(self, table: Nftables) -> list[Finding]:
        if table.fingerprint() != filters.fingerprint(self._settings):
            return [Finding(MISSING, FILTER, "nf_tables table ip6 sojourn")]
        rules = sum(1 for _ in filters.rules(self._settings))
        if table.rules() != rules:
            return [Finding(CHANGED, FILTER, f"nf_tables table ip6 sojourn has {table.rules()} of {rules} rules")]
        length, routers = self._settings.prefix_length, self._settings.delegated_length
        counted = {filters.key(prefix): prefix for prefix in self.state.counters if prefix.length == length}
        sets = {nftables.COUNTED: counted, nftables.FAR: counted}
        if routers:
            behind = [prefix for prefix in self.state.counters if prefix.length == routers and not prefix.is_ipv4]
            sets[nftables.ROUTERS] = {prefix.address[:8]: prefix for prefix in behind}
        if self._settings.rates:
            for number, name in enumerate(nftables.RATES):
                sets[name] = {filters.key(one): one for one, bits in self.state.rates.items() if bits[number]}
        found: list[Finding] = []
        for name, should in sets.items():
            there = set(table.elements(name))
            gone = [prefix for key, prefix in should.items() if key not in there]
            left = [Prefix(key.ljust(16, b"\0"), length) for key in there - set(should)]
            found += [Finding(MISSING, FILTER, f"{prefix} in nf_tables set {name}", (prefix,)) for prefix in gone]
            found += [Finding(LEFT, FILTER, f"{prefix} in nf_tables set {name}", (prefix,)) for prefix in left]
        routers_known = {nftables.PEERS: self._settings.peers, nftables.NEIGHBOURS: self._settings.neighbours}
        for name, addresses in routers_known.items():
            there = set(table.elements(name))
            gone_routers, strangers = sorted(set(addresses) - there), sorted(there - set(addresses))
            found += [Finding(MISSING, FILTER, f"{text(one)} in nf_tables set {name}") for one in gone_routers]
            found += [Finding(LEFT, FILTER, f"{text(one)} in nf_tables set {name}") for one in strangers]
        return found

    def _multicast_findings(self, routing: MulticastRouting) -> list[Finding]:
        wanted, held = routing.wanted(self.state.multicast_routes), routing.held(self._netlink)
        found: list[Finding] = []
        for word, group, source in _differences(wanted, held):
            entry = f"multicast entry {text(group)}" + ("" if source is None else f" from {text(source)}")
            found.append(Finding(word, MULTICAST, entry))
        return found

    def place_of(self, thing: KernelObject) -> tuple[str, tuple[Prefix, ...]]:
        """See `Audited.place_of`."""
        settings, tables = self._settings, self._settings.tables
        of_queues = {*settings.queue_tables, settings.forwarded_table} if settings.handovers else set()
        beyond = settings.nexthops + SLOTS
        match thing:
            case Route(table=table, destination=destination) if table in of_queues:
                return QUEUE, (destination,) if destination.length else ()
            case Rule(table=table) if table in of_queues:
                return QUEUE, ()
            case Nexthop(id=number) if beyond > number >= beyond - 4 * settings.handovers:
                return QUEUE, ()
            case _:
                return place_at_router(
                    thing, self.state, settings.nexthops, tables.nodes, tables.sources, tables.uplinks
                )

    # --- putting right ----------------------------------------------------------------------------------------------

    def remove(self, things: Iterable[KernelObject]) -> None:
        """See `Audited.remove`."""
        self._netlink.request(*(thing.withdraw() for thing in things))

    def restore_others(self, places: Collection[str]) -> None:
        """See `Audited.restore_others`. What was counted so far is lost."""
        if self._filter is not None and FILTER in places:
            self._filter.remove()
            self._restore_filter(self._filter)
        if self._ipv4 is not None and FILTER in places:
            self._ipv4.remove()
            self._ipv4.install()
        if self._multicast is not None and MULTICAST in places:
            wanted = self._multicast.wanted(self.state.multicast_routes)
            for group, source in set(self._multicast.held(self._netlink)) - set(wanted):
                self._multicast.withdraw_route(group, source)

    def _restore_filter(self, table: Nftables) -> None:
        raise NotImplementedError


def _differences(
    wanted: Mapping[tuple[Address, Address | None], frozenset[int]],
    held: Mapping[tuple[Address, Address | None], frozenset[int]],
) -> Iterator[tuple[str, Address, Address | None]]:
    for entry in {**wanted, **held}:
        if wanted.get(entry) != held.get(entry):
            yield (MISSING if entry not in held else CHANGED if entry in wanted else LEFT, *entry)
