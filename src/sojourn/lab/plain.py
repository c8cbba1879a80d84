"""Routers without mobility: each advertises a prefix of its own to whoever is there, as radvd would.

For labs without daemons and the demo's comparison run. They show the address that the routers of a sojourn domain
show (RFC 6543), and advertise twice a second, so that nothing but the missing mobility tells the two apart.
"""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import IPv6Network

from sojourn.dataplane.netlink import attribute
from sojourn.engines.configuration import FIXED_LINK_LAYER, FIXED_LINK_LOCAL
from sojourn.lab.lab import Lab
from sojourn.lab.node import Node
from sojourn.lab.rtnetlink import IFLA_ADDRESS, RTM_SETLINK, RouteNetlink
from sojourn.wire.addresses import ALL_NODES, Prefix, text
from sojourn.wire.icmpv6 import (
    PrefixInformation,
    PrefixInformationFlags,
    RouterAdvertisement,
    SourceLinkLayerAddress,
    encode_icmpv6,
)
from sojourn.wire.units import MINUTE, SECOND

_EVERY = 0.5
_PREFERRED = 5 * SECOND
"""Short, so that a host that comes back to a router prefers that router's prefix again soon after."""


class PlainRouters:
    """The access routers of a lab without daemons, advertising until closed."""

    def __init__(self, lab: Lab) -> None:
        self._sockets: list[tuple[socket.socket, int, bytes]] = []
        for name in lab.topology.access_routers:
            node, pool = lab.nodes[name], lab.topology.nodes[name].pool
            assert pool is not None
            self._prepare(node, pool)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Advertise no more."""
        self._stop.set()
        self._thread.join()
        for sender, _, _ in self._sockets:
            sender.close()

    def __enter__(self) -> PlainRouters:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, node: Node, pool: IPv6Network) -> None:
        bridge = node.ends["acc0"]
        prefix = Prefix(pool.network_address.packed, pool.prefixlen).subnet(0, 64)
        netlink = RouteNetlink(node.namespace)
        link = struct.pack("=BxHiII", 0, 0, bridge.index, 0, 0) + attribute(IFLA_ADDRESS, FIXED_LINK_LAYER)
        netlink.request(RTM_SETLINK, 0, link)
        netlink.add_address(bridge.index, FIXED_LINK_LOCAL, 64)
        netlink.add_address(bridge.index, prefix.address[:15] + b"\x01", 64)
        netlink.close()
        self._sockets.append((node.namespace.call(_sender), bridge.index, _advertisement(prefix)))

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            for sender, index, octets in self._sockets:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                source = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, FIXED_LINK_LOCAL + struct.pack("=i", index))
                sender.sendmsg([octets], [source], 0, (text(ALL_NODES), 0, 0, index))


def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    return sender


def _advertisement(prefix: Prefix) -> bytes:
    flags = int(PrefixInformationFlags.AUTONOMOUS | PrefixInformationFlags.ON_LINK)
    options = (
        SourceLinkLayerAddress(FIXED_LINK_LAYER),
        PrefixInformation.of(prefix, flags, valid=10 * MINUTE, preferred=_PREFERRED),
    )
    return encode_icmpv6(RouterAdvertisement(lifetime=30 * SECOND, options=options))
