"""What holds in the kernel from an earlier life, and what of it was asked for again.

Everything of ours carries protocol 140, so a few dumps find it. While a `Snapshot` is open, what is asked for and
already holds is not sent to the kernel again: not one packet is disturbed. What is left at the end goes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from sojourn.dataplane import objects
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.object_parts import (
    AF_INET6,
    FAMILIES,
    PROTOCOL,
    RTM_GETADDR,
    RTM_GETNEIGH,
    RTM_GETNEXTHOP,
    RTM_GETROUTE,
    RTM_GETRULE,
    Key,
)
from sojourn.dataplane.objects import KernelObject, Neighbour
from sojourn.dataplane.routes import (
    IPV4_ROUTES_REQUEST,
    NEXTHOPS_REQUEST,
    Nexthop,
    Route,
    packets_out,
    parse_nexthop,
    parse_route,
    routes_request,
)
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Prefix


class Snapshot:
    """What held and was not asked for again yet, by key."""

    def __init__(self, held: Iterator[KernelObject], counted: set[bytes]) -> None:
        self._held = {thing.key: thing for thing in held}
        self.counted = counted
        """Elements of the counter set."""

    def claim(self, thing: KernelObject) -> bool:
        """Whether `thing` holds already, exactly so; whatever holds in its place is ours to keep either way."""
        return self._held.pop(thing.key, None) == thing

    def get(self, key: Key) -> KernelObject | None:
        """What held under `key`."""
        return self._held.get(key)

    def forget(self, thing: KernelObject) -> None:
        """`thing` was removed."""
        self._held.pop(thing.key, None)

    def left(self) -> list[KernelObject]:
        """What was not asked for, in an order in which it can be removed."""
        return sorted(self._held.values(), key=_removal_order)


def _removal_order(thing: KernelObject) -> int:
    return 0 if isinstance(thing, Route) else 1 if isinstance(thing, Nexthop) else 2


def ours(netlink: Netlink, settings: LinuxSettings) -> Iterator[KernelObject]:
    """Everything in the kernel that is ours."""
    of_handovers = (*settings.queue_tables, settings.forwarded_table, settings.strays_table)
    for table in (*settings.tables.all(), *(of_handovers if settings.handovers else ())):
        yield from routes(netlink, table)
    yield from _dump(netlink, RTM_GETROUTE, IPV4_ROUTES_REQUEST, parse_route)
    yield from ways(netlink)
    for family in FAMILIES:
        yield from _dump(netlink, RTM_GETADDR, objects.addresses_request(family), objects.parse_address)
    for family in FAMILIES:
        for rule in rules(netlink, family):
            if rule.protocol == PROTOCOL:
                yield rule


def routes(netlink: Netlink, table: int) -> Iterator[KernelObject]:
    """Our IPv6 routes in a table."""
    return _dump(netlink, RTM_GETROUTE, routes_request(table), parse_route)


def taken_out(netlink: Netlink, table: int) -> dict[tuple[Prefix, Prefix], int]:
    """Packets that came out of each tunnel, by our end and the far one; of those that the kernel counts."""
    found: dict[tuple[Prefix, Prefix], int] = {}
    try:
        answers = netlink.dump(RTM_GETROUTE, routes_request(table))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return found
        raise
    for body in answers:
        route, packets = parse_route(body), packets_out(body)
        if route is not None and packets is not None:
            found[route.destination, route.source] = packets
    return found


def placed(netlink: Netlink) -> Iterator[KernelObject]:
    """IPv6 addresses that we gave to interfaces."""
    request = objects.addresses_request(AF_INET6)
    return _dump(netlink, RTM_GETADDR, request, objects.parse_address)


def ways(netlink: Netlink) -> Iterator[KernelObject]:
    """Our nexthop objects and neighbours."""
    yield from _dump(netlink, RTM_GETNEXTHOP, NEXTHOPS_REQUEST, parse_nexthop)
    yield from _dump(netlink, RTM_GETNEIGH, objects.NEIGHBOURS_REQUEST, objects.parse_neighbour)


def rules(netlink: Netlink, family: int = AF_INET6) -> list[objects.Rule]:
    """All rules of a family in the namespace."""
    return [objects.parse_rule(body) for body in netlink.dump(RTM_GETRULE, objects.rules_request(family))]


def _dump(
    netlink: Netlink, kind: int, request: bytes, parse: Callable[[bytes], KernelObject | None]
) -> Iterator[KernelObject]:
    try:
        answers = netlink.dump(kind, request)
    except OSError as error:
        if error.errno == errno.ENOENT:  # a routing table that nobody has used yet
            return
        raise
    for body in answers:
        thing = parse(body)
        if thing is not None:
            yield thing


def stale_releases(snapshot: Snapshot, device: int, keep: Neighbour) -> list[Neighbour]:
    """Neighbours on our loop from a hold that ended when the earlier life did."""
    found = [thing for thing in snapshot.left() if isinstance(thing, Neighbour)]
    return [neighbour for neighbour in found if neighbour.device == device and neighbour.address != keep.address]
