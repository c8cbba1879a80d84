"""Access networks of Mobile IPv6: plain routers, and home agents, that advertise the prefix of their link.

As radvd would, without the pauses of RFC 4861 6.2.6: a solicitation is answered at once, as RFC 6275 7.5 allows for
links where hosts come and go, and every second besides. Each router has an address of its own. A home agent says that
it is one, and which address of the prefix is its own (RFC 6275 7.1, 7.2).
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv6Address

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.node import Node
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.lab.topology import Topology
from sojourn.wire.addresses import ALL_NODES, Address, LinkLayer, Prefix, eui64_link_local, text
from sojourn.wire.extensions.rfc6275_discovery import AdvertisementInterval, HomeAgentInformation
from sojourn.wire.icmpv6 import (
    NdOption,
    PrefixInformation,
    PrefixInformationFlags,
    RouterAdvertisement,
    RouterAdvertisementFlags,
    SourceLinkLayerAddress,
    encode_icmpv6,
)
from sojourn.wire.units import HOUR, MINUTE, SECOND

EVERY = 1.0
"""Seconds between advertisements that nobody asked for."""
_LIFETIME = 30 * MINUTE
_SOLICITATION = 133
_ALL_ROUTERS = "ff02::2"
_ICMP6_FILTER = 1
_TURN = 0.1


class Advertiser:
    """One router on one link."""

    def __init__(
        self,
        namespace: NetworkNamespace,
        index: int,
        link_layer: LinkLayer,
        prefix: Prefix,
        agent: bool,
        own: Address | None = None,
    ) -> None:
        self.index, self.link_local = index, eui64_link_local(link_layer)
        self.quiet = False
        self.octets = advertisement(prefix, own or own_address(prefix), link_layer, agent)
        self.socket = namespace.call(lambda: _socket(index))
        self.due = 0.0

    def advertise(self) -> None:
        """To all nodes on the link."""
        self.due = time.monotonic() + EVERY
        source = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, self.link_local + struct.pack("=i", self.index))
        with suppress(OSError):
            self.socket.sendmsg([self.octets], [source], 0, (text(ALL_NODES), 0, 0, self.index))

    def drain(self) -> None:
        """Solicitations are read; one answer is enough for all."""
        with suppress(BlockingIOError):
            while True:
                self.socket.recv(256)


def own_address(prefix: Prefix) -> Address:
    """That of the router in the prefix of its link."""
    return prefix.address[:15] + b"\x01"


class Advertisers:
    """Routers that advertise, by name, in a thread, until closed."""

    def __init__(self, routers: dict[str, Advertiser]) -> None:
        self._routers = routers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def silence(self, router: str, quiet: bool = True) -> None:
        """A router that is told to be quiet advertises nothing more; with False it begins again."""
        self._routers[router].quiet = quiet

    def close(self) -> None:
        """Advertise no more."""
        self._stop.set()
        self._thread.join()
        for router in self._routers.values():
            router.socket.close()

    def _run(self) -> None:
        by_socket = {router.socket: router for router in self._routers.values()}
        while not self._stop.is_set():
            readable, _, _ = select.select([*by_socket], [], [], _TURN)
            for one in readable:
                by_socket[one].drain()
                by_socket[one].due = 0.0
            for router in self._routers.values():
                if router.due <= time.monotonic() and not router.quiet:
                    router.advertise()


def advertisers(topology: Topology, nodes: Mapping[str, Node]) -> Advertisers:
    """The plain routers and home agents of a lab."""
    routers = {}
    for name in topology.of_kind("plain", "ha"):
        namespace, bridge = nodes[name].namespace, nodes[name].ends["acc0"]
        prefix = Prefix(topology.link_prefix(name).network_address.packed, 64)
        agent = nodes[name].kind == "ha"
        if not agent:  # a home agent has its address already
            netlink = RouteNetlink(namespace)
            netlink.add_address(bridge.index, own_address(prefix), 64)
            netlink.close()
        own = IPv6Address(nodes[name].address).packed if agent else None
        routers[name] = Advertiser(namespace, bridge.index, bridge.link_layer, prefix, agent, own)
    return Advertisers(routers)


def _socket(index: int) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    made = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    words = [0xFFFFFFFF] * 8
    words[_SOLICITATION // 32] &= ~(1 << _SOLICITATION % 32)
    made.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, socket.if_indextoname(index).encode())
    group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("=i", index)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return made


def advertisement(prefix: Prefix, own: Address, link_layer: bytes, agent: bool) -> bytes:
    """What a router of `prefix` says, with its address there; `agent`: it is a home agent."""
    flags = PrefixInformationFlags.AUTONOMOUS | PrefixInformationFlags.ON_LINK
    options: list[NdOption] = [SourceLinkLayerAddress(link_layer), AdvertisementInterval(int(EVERY * SECOND))]
    where = prefix.address
    if agent:
        flags |= PrefixInformationFlags.ROUTER_ADDRESS
        where = own
        options.append(HomeAgentInformation(0, _LIFETIME))
    options.append(PrefixInformation(64, int(flags), 2 * HOUR, HOUR, where))
    said = int(RouterAdvertisementFlags.HOME_AGENT) if agent else 0
    return encode_icmpv6(RouterAdvertisement(flags=said, lifetime=_LIFETIME, options=tuple(options)))
