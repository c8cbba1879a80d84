"""What a routing protocol would do in a lab whose routes are static: what a router announces leads to it.

A MAAR that holds the pool of another one, and an LMA that took an address over, says so in a routing table
(`sojourn.dataplane.settings.Tables.pools`), which bird or FRR would export. Here one thread hears of that table's
routes and puts them into all other nodes, along the shortest paths; where several announce the same, the lowest metric
wins. It is as fast as a kernel tells it; a link-state protocol needs some tens of milliseconds more. What a router
announced whose links are down stays, as nobody here notices that; a link-state protocol would.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress

from sojourn.dataplane.netlink import split
from sojourn.dataplane.routes import Route, parse_route
from sojourn.dataplane.settings import Tables
from sojourn.lab.node import Node
from sojourn.lab.rtnetlink import RTM_DELROUTE, RTM_NEWROUTE, RouteNetlink
from sojourn.lab.shortest import next_hops
from sojourn.lab.topology import Topology
from sojourn.wire.addresses import Prefix, eui64_link_local

_GROUPS = (7, 11)
"""Routes of IPv4, of IPv6."""
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_DATAGRAM = 1 << 16
_TURN = 0.1
_ABSENT = (errno.ESRCH, errno.EINVAL, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH)
"""There is no such route, or no way there."""


class InteriorRouting:
    """Follows the access routers of a topology from now on, until closed."""

    def __init__(self, topology: Topology, nodes: Mapping[str, Node]) -> None:
        self._topology, self._nodes = topology, nodes
        self._graph = topology.graph()
        announcing = topology.of_kind("access-router", "lma")
        self._heard = {name: nodes[name].namespace.call(_socket) for name in announcing}
        self._announced: dict[Prefix, set[tuple[int, str]]] = {}
        """Who announces it, with which metric."""
        self._netlinks = {name: RouteNetlink(nodes[name].namespace) for name in self._graph}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="interior-routing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The routes stay as they are."""
        self._ending.set()
        self._thread.join()
        for heard in self._heard.values():
            heard.close()
        for netlink in self._netlinks.values():
            netlink.close()

    def _run(self) -> None:
        names = {heard.fileno(): name for name, heard in self._heard.items()}
        while not self._ending.is_set():
            readable, _, _ = select.select(list(names), [], [], _TURN)
            for descriptor in readable:
                self._hear(names[descriptor])

    def _hear(self, origin: str) -> None:
        with suppress(BlockingIOError):
            while True:
                for kind, _, _, body in split(self._heard[origin].recv(_DATAGRAM)):
                    if kind in (RTM_NEWROUTE, RTM_DELROUTE):
                        route = parse_route(body)
                        if route is not None and route.table == Tables.pools:
                            self._take(origin, route, announced=kind == RTM_NEWROUTE)

    def _take(self, origin: str, route: Route, *, announced: bool) -> None:
        known = self._announced.setdefault(route.destination, set())
        before = min(known, default=None)
        (known.add if announced else known.discard)((route.metric, origin))
        best = min(known, default=None)
        if best is not None and (before is None or before[1] != best[1] or announced):
            self._spread(best[1], route.destination, announced=True)
        elif best is None and before is not None:
            self._spread(before[1], route.destination, announced=False)

    def _spread(self, origin: str, prefix: Prefix, *, announced: bool) -> None:
        for name in self._graph:
            hop = next_hops(self._graph, name).get(origin)
            if hop is None:
                continue
            here, there = self._nodes[name].ends[f"to-{hop}"], self._nodes[hop].ends[f"to-{name}"]
            gateway = eui64_link_local(there.link_layer)
            netlink = self._netlinks[name]
            try:
                if announced:
                    netlink.add_route(prefix.address, prefix.length, gateway, here.index)
                else:
                    netlink.remove_route(prefix.address, prefix.length, gateway, here.index)
            except OSError as error:
                if error.errno not in _ABSENT:  # a router whose links are down has no way to anybody
                    raise


def _socket() -> socket.socket:
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    heard.bind((0, 0))
    for group in _GROUPS:
        heard.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    return heard
