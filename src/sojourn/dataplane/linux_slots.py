"""Where the slots of nodes point in a Linux kernel: nexthop objects, groups of them, queues, and shortcuts to them.

Part of the data plane (`linux`). A shortcut to a node on an access link is a route of its own, as a route with a source
cannot use a nexthop object: it changes with the slot that it leads to.
"""

from __future__ import annotations

import errno
import time
from typing import assert_never

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsurePaths,
    EnsureQueue,
    EnsureTunnel,
)
from sojourn.dataplane import reconcile
from sojourn.dataplane.installation import Installation, station
from sojourn.dataplane.netlink import NLM_F_REPLACE, Message, Netlink
from sojourn.dataplane.object_parts import REPLACE_OR_CREATE
from sojourn.dataplane.objects import KernelObject, Neighbour
from sojourn.dataplane.queues import Lane, Queues
from sojourn.dataplane.routes import Nexthop, Route
from sojourn.dataplane.settings import NEXTHOP_GROUPS, SLOTS, LinuxSettings
from sojourn.dataplane.state import ForwardingState, OneWay, Queued
from sojourn.wire.addresses import Address, Prefix, text


class LinuxSlots:
    """The slots of one data plane."""

    def __init__(self, settings: LinuxSettings, netlink: Netlink) -> None:
        self.state = ForwardingState()
        """What should hold."""
        self._settings = settings
        self._peers = frozenset(settings.peers)
        self._netlink = netlink
        self._installation = Installation(self._netlink, settings)
        self._queues = Queues(self._netlink, settings)
        self._snapshot: reconcile.Snapshot | None = None
        self._released: dict[int, float] = {}

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
            self._lead_shortcuts(way)
        else:
            self._queues.divert(slot, [prefix for prefix, used in self.state.prefixes.items() if used == slot])
        if not isinstance(way, EnsureQueue):
            self._queues.open(Lane(slot, forwarded))

    # --- shortcuts ------------------------------------------------------------------------------------------------

    def _shortcut(self, source: Prefix, destination: Prefix, remote: Address | None) -> list[KernelObject]:
        """To a neighbouring gateway; or where the slot of `destination` leads, and what that needs."""
        route = Route(self._settings.tables.uplinks, destination, source)
        if remote is not None:
            self._check_peer(remote)
            return [self._tunnelled(route, remote)]
        slot = self.state.prefixes.get(destination)
        way = None if slot is None else self.state.slots.get(slot)
        if way is None or isinstance(way, EnsurePaths):
            raise OSError(errno.ENOENT, f"{destination} is not on an access link here")
        return [self._towards(route, way)]

    def _towards(self, route: Route, way: OneWay) -> Route:
        nexthop, _ = self._nexthop(way)
        return route._replace(device=nexthop.device, gateway=nexthop.gateway, tunnel=nexthop.tunnel)

    def _lead_shortcuts(self, way: OneWay) -> None:
        """Those to the nodes of a slot go where it leads from now on."""
        for (source, destination), remote in self.state.shortcuts.items():
            if remote is None and self.state.prefixes.get(destination) == way.slot:
                self._ensure(self._towards(Route(self._settings.tables.uplinks, destination, source), way))

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

    def _tunnelled(self, route: Route, remote: Address) -> Route:
        way = self._installation.way_to(remote)
        return route._replace(device=way.device, gateway=way.gateway, tunnel=way.tunnel)

    def _check_peer(self, remote: Address) -> None:
        if remote not in self._peers:
            raise OSError(errno.EPERM, f"{text(remote)} is not a configured peer")
