"""The requests to the kernel that build a lab, one function each (rtnetlink(7)).

A socket belongs to the network namespace that it was opened in and serves it from any thread. The exchange
itself is that of the data plane (`sojourn.dataplane.netlink`).
"""

from __future__ import annotations

import socket
import struct

from sojourn.dataplane.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attribute,
    nested,
    open_netlink,
)
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire.addresses import is_ipv4, to_ipv4

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_GETRULE = 34
RTM_NEWQDISC = 36
RTM_GETNEXTHOP = 106

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_PROTINFO, _IFLA_BRPORT_LEARNING = 12, 8
_IFLA_BR_FORWARD_DELAY, _IFLA_BR_AGEING_TIME, _IFLA_BR_STP_STATE, _IFLA_BR_MCAST_SNOOPING = 1, 4, 5, 23
IFF_UP = 0x1
_IFA_ADDRESS, _IFA_FLAGS, _IFA_F_NODAD = 1, 8, 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_VIA = 1, 4, 5, 18
_IPV6_VIA = struct.pack("=H", socket.AF_INET6)
_NDA_DST, _NDA_LLADDR = 1, 2
_NTF_MASTER, _NUD_PERMANENT = 0x04, 0x80
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TC_ROOT = 0xFFFFFFFF
_AGEING_HUNDREDTHS = 100 * 24 * 3600

_LINK = struct.Struct("=BxHiII")


class RouteNetlink:
    """A netlink socket inside `namespace` (None: where the caller is). Not to be shared between threads."""

    def __init__(self, namespace: NetworkNamespace | None = None, protocol: int = socket.NETLINK_ROUTE) -> None:
        def opened() -> socket.socket:
            return open_netlink(protocol)

        self._netlink = Netlink(namespace.call(opened) if namespace else opened())

    def close(self) -> None:
        """Let go of the socket."""
        self._netlink.close()

    def request(self, kind: int, flags: int, body: bytes) -> None:
        """Ask and wait for the acknowledgement. Raises OSError when the kernel refuses."""
        self._netlink.request(Message(kind, flags, body))

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The body of everything that the kernel lists. Raises OSError."""
        return self._netlink.dump(kind, body)

    # --- links
    # ----------------------------------------------------------------------------------------------------

    def add_veth(self, one: End, two: End, mtu: int) -> None:
        """A virtual cable between two namespaces; both ends are down. Each has an index that nothing else
        has.

        With equal indexes the kernel's link watch would delay the carrier by up to a second.
        """
        peer = nested(_VETH_INFO_PEER, two.link() + two.attributes(mtu))
        information = nested(IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"veth\0") + nested(_IFLA_INFO_DATA, peer))
        self.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, one.link() + one.attributes(mtu) + information)

    def add_bridge(self, end: End, mtu: int) -> None:
        """A bridge that forwards at once, keeps what it learned for a day, and treats multicast as broadcast;
        up."""
        data = nested(
            _IFLA_INFO_DATA,
            attribute(_IFLA_BR_FORWARD_DELAY, struct.pack("=I", 0))
            + attribute(_IFLA_BR_AGEING_TIME, struct.pack("=I", _AGEING_HUNDREDTHS))
            + attribute(_IFLA_BR_STP_STATE, struct.pack("=I", 0))
            + attribute(_IFLA_BR_MCAST_SNOOPING, b"\0"),
        )
        information = nested(IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"bridge\0") + data)
        self.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, end.link(up=True) + end.attributes(mtu) + information)

    def set_link(
        self, index: int, *, up: bool | None = None, master: int | None = None, mtu: int | None = None
    ) -> None:
        """Up or down; member of the bridge `master` (0: of none); its MTU."""
        change = IFF_UP if up is not None else 0
        body = _LINK.pack(0, 0, index, IFF_UP if up else 0, change)
        if master is not None:
            body += attribute(IFLA_MASTER, struct.pack("=I", master))
        if mtu is not None:
            body += attribute(IFLA_MTU, struct.pack("=I", mtu))
        self.request(RTM_SETLINK, 0, body)

    def set_learning(self, port: int, learns: bool) -> None:
        """Whether a bridge remembers which stations it hears on `port`."""
        body = _LINK.pack(socket.AF_BRIDGE, 0, port, 0, 0)
        learning = attribute(_IFLA_BRPORT_LEARNING, bytes([learns]))
        self.request(RTM_SETLINK, 0, body + nested(_IFLA_PROTINFO, learning))

    # --- addresses, routes, neighbours
    # ----------------------------------------------------------------------------

    def add_address(self, index: int, address: bytes, length: int) -> None:
        """An address without duplicate address detection."""
        body = struct.pack("=BBBBI", socket.AF_INET6, length, 0, 0, index)
        body += attribute(_IFA_ADDRESS, address) + attribute(_IFA_FLAGS, struct.pack("=I", _IFA_F_NODAD))
        self.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body)

    def add_route(self, prefix: bytes, length: int, gateway: bytes, index: int) -> None:
        """A static route (protocol ``static``) over `gateway` on the interface `index`; replaces an equal one.

        IPv4 is written as everywhere here: mapped, with 96 more of length.
        """
        self.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _static(prefix, length, gateway, index))

    def remove_route(self, prefix: bytes, length: int, gateway: bytes, index: int) -> None:
        """The same route is not there any more."""
        self.request(RTM_DELROUTE, 0, _static(prefix, length, gateway, index))

    def add_neighbour(self, index: int, address: bytes, link_layer: bytes) -> None:
        """A neighbour that needs no discovery."""
        body = struct.pack("=BxxxiHBB", socket.AF_INET6, index, _NUD_PERMANENT, 0, 0)
        body += attribute(_NDA_DST, address) + attribute(_NDA_LLADDR, link_layer)
        self.request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)

    def forget_station(self, port: int, link_layer: bytes) -> bool:
        """The bridge of `port` forgets what it learned of `link_layer`; False when it had learned nothing."""
        body = struct.pack("=BxxxiHBB", socket.AF_BRIDGE, port, 0, _NTF_MASTER, 0)
        try:
            self.request(RTM_DELNEIGH, 0, body + attribute(_NDA_LLADDR, link_layer))
        except FileNotFoundError:
            return False
        return True

    # --- queues
    # ---------------------------------------------------------------------------------------------------

    def add_netem(self, index: int, delay: int, loss: float) -> None:
        """Delay (ns) and loss (share) of what leaves the interface. Raises OSError where the kernel has no
        netem."""
        packets = 100_000
        options = struct.pack("=IIIIII", 0, packets, round(loss * 0xFFFFFFFF), 0, 0, 0)
        self._add_qdisc(index, b"netem", options + attribute(10, struct.pack("=q", delay)))

    def add_tbf(self, index: int, rate: int) -> None:
        """At most `rate` bits a second leave the interface, in bursts of up to 2 ms. Raises OSError without
        tbf."""
        octets_a_second = rate // 8
        burst = max(octets_a_second // 500, 5000)
        limit = burst + max(octets_a_second // 20, 15_000)  # 50 ms of queue
        specification = struct.pack("=BBHhHI", 0, 1, 0, -1, 0, min(octets_a_second, 0xFFFFFFFF))
        ticks = round(burst / octets_a_second * 1e9 / 64)  # PSCHED: 64 ns a tick
        parameters = specification + struct.pack("=BBHhHI", 0, 0, 0, 0, 0, 0) + struct.pack("=III", limit, ticks, 0)
        options = attribute(1, parameters) + attribute(6, struct.pack("=I", burst))
        self._add_qdisc(index, b"tbf", options)

    def _add_qdisc(self, index: int, kind: bytes, options: bytes) -> None:
        body = struct.pack("=BxxxiIII", 0, index, 0, _TC_ROOT, 0)
        body += attribute(_TCA_KIND, kind + b"\0") + attribute(_TCA_OPTIONS, options)
        self.request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)


class End:
    """One interface to be made: where, what it is called, its index and its MAC address."""

    __slots__ = ("index", "link_layer", "name", "namespace")

    def __init__(self, namespace: NetworkNamespace, name: str, index: int, link_layer: bytes) -> None:
        self.namespace, self.name, self.index, self.link_layer = namespace, name, index, link_layer

    def link(self, up: bool = False) -> bytes:
        """Its ifinfomsg."""
        return _LINK.pack(0, 0, self.index, IFF_UP if up else 0, IFF_UP if up else 0)

    def attributes(self, mtu: int) -> bytes:
        """Its name, place, MAC address and MTU."""
        return (
            attribute(IFLA_IFNAME, self.name.encode() + b"\0")
            + attribute(IFLA_NET_NS_FD, struct.pack("=I", self.namespace.descriptor))
            + attribute(IFLA_ADDRESS, self.link_layer)
            + attribute(IFLA_MTU, struct.pack("=I", mtu))
        )


def _static(prefix: bytes, length: int, gateway: bytes, index: int) -> bytes:
    """Of either family; the neighbour is named by its IPv6 address also in IPv4 (RTA_VIA, since Linux 5.2)."""
    over = attribute(_RTA_OIF, struct.pack("=I", index))
    if length >= 96 and is_ipv4(prefix):
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, length - 96, 0, 0, 254, 4, 0, 1, 0)
        return body + attribute(_RTA_DST, to_ipv4(prefix)) + over + attribute(_RTA_VIA, _IPV6_VIA + gateway)
    body = struct.pack("=BBBBBBBBI", socket.AF_INET6, length, 0, 0, 254, 4, 0, 1, 0)
    if length:
        body += attribute(_RTA_DST, prefix)
    return body + attribute(_RTA_GATEWAY, gateway) + over
