"""Interfaces: what there is, those of our own (veth, ip6tnl), and the stations that a bridge has learned."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from pathlib import Path

from sojourn.dataplane.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    u32,
)
from sojourn.dataplane.object_parts import AF_BRIDGE, RTM_DELNEIGH, RTM_GETNEIGH
from sojourn.wire.addresses import Address, LinkLayer

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_AF_SPEC = 1, 3, 4, 18, 20, 26
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_IPTUN_LOCAL, _IFLA_IPTUN_FLAGS, _IFLA_IPTUN_PROTO, _IFLA_IPTUN_COLLECT_METADATA = 2, 8, 9, 19
_IP6_TNL_F_IGN_ENCAP_LIMIT = 1
_IPV6_IN_IPV6 = 41
_IFLA_INET6_ADDR_GEN_MODE, _MODE_NONE = 8, 1
_AF_INET6 = 10
_IFF_UP = 1
_NDA_LLADDR, _NDA_MASTER = 2, 9
_NTF_MASTER = 4
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, hardware, index, flags, which flags change."""
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_SYSCTL = Path("/proc/sys/net")
IPV4, IPV6 = "ipv4", "ipv6"


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as it is now."""

    index: int
    name: str
    kind: str
    """``bridge``, ``veth`` ...; empty for a physical one."""
    link_layer: LinkLayer
    alias: str
    up: bool
    tunnel_end: Address | None = None
    """The address at which an ip6tnl interface takes packets out of tunnels."""
    hardware: int = 0
    """What kind of link-layer headers it has (ARPHRD_...)."""


def links(netlink: Netlink) -> dict[str, Link]:
    """All interfaces of the namespace by name."""
    return {link.name: link for link in map(_parse, netlink.dump(_RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0)))}


def _parse(body: bytes) -> Link:
    _, hardware, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body, _LINK.size)
    information = attributes(found.get(_IFLA_LINKINFO, b""))
    kind = _text(information.get(_IFLA_INFO_KIND))
    return Link(
        index,
        _text(found.get(_IFLA_IFNAME)),
        kind,
        found.get(_IFLA_ADDRESS, b""),
        _text(found.get(_IFLA_IFALIAS)),
        bool(flags & _IFF_UP),
        attributes(information.get(_IFLA_INFO_DATA, b"")).get(_IFLA_IPTUN_LOCAL) if kind == "ip6tnl" else None,
        hardware,
    )


def _text(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace") if value else ""


def add_veth(netlink: Netlink, near: str, far: str, mtu: int) -> None:
    """Make a veth pair in this namespace, both ends down."""
    peer = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, far.encode() + b"\0") + u32(_IFLA_MTU, mtu)
    information = attribute(_IFLA_INFO_KIND, b"veth") + nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer))
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, near.encode() + b"\0") + u32(_IFLA_MTU, mtu)
    netlink.request(Message(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + nested(_IFLA_LINKINFO, information)))


def add_tunnel_entry(netlink: Netlink, name: str) -> None:
    """Make an ip6tnl interface that takes the outer header's addresses from routes (collect-metadata mode).

    EEXIST when there is one already, of whatever name: a namespace has room for one.
    """
    _add_ip6tnl(netlink, name, NLM_F_EXCL, attribute(_IFLA_IPTUN_COLLECT_METADATA, b""))


def add_tunnel_exit(netlink: Netlink, name: str, local: Address) -> None:
    """Make an ip6tnl interface for what comes to `local` from anywhere, or give the one there is this address."""
    _add_ip6tnl(netlink, name, 0, attribute(_IFLA_IPTUN_LOCAL, local))


def _add_ip6tnl(netlink: Netlink, name: str, flags: int, what: bytes) -> None:
    what += attribute(_IFLA_IPTUN_PROTO, bytes((_IPV6_IN_IPV6,))) + u32(_IFLA_IPTUN_FLAGS, _IP6_TNL_F_IGN_ENCAP_LIMIT)
    information = attribute(_IFLA_INFO_KIND, b"ip6tnl") + nested(_IFLA_INFO_DATA, what)
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name.encode() + b"\0")
    netlink.request(Message(_RTM_NEWLINK, NLM_F_CREATE | flags, body + nested(_IFLA_LINKINFO, information)))


def raise_quiet(netlink: Netlink, index: int, mtu: int) -> None:
    """Take an interface up with `mtu` and without a link-local address: it is not there to talk to."""
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_MODE_NONE,)))
    quiet = nested(_IFLA_AF_SPEC, nested(_AF_INET6, mode)) + u32(_IFLA_MTU, mtu)
    netlink.request(
        Message(_RTM_SETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + quiet),
        Message(_RTM_SETLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP)),
    )


def set_link_layer(netlink: Netlink, index: int, link_layer: LinkLayer) -> None:
    """Give an interface another link-layer address. EBUSY from hardware that must be down for it."""
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_ADDRESS, link_layer)
    netlink.request(Message(_RTM_SETLINK, 0, body))


def set_alias(netlink: Netlink, index: int, alias: str) -> None:
    """Write up to 255 octets of text on an interface."""
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_IFALIAS, alias.encode())
    netlink.request(Message(_RTM_SETLINK, 0, body))


def delete_link(netlink: Netlink, index: int) -> None:
    """Remove an interface, for a veth its peer too; gone already is fine."""
    netlink.request(Message(_RTM_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0), (errno.ENODEV,)))


def forget_station(netlink: Netlink, bridge: int, link_layer: LinkLayer) -> None:
    """Remove what a bridge has learned about a station; nothing learned is fine."""
    station = attribute(_NDA_LLADDR, link_layer)
    try:
        request = _NEIGHBOUR.pack(AF_BRIDGE, 0, 0, 0, 0) + station + u32(_NDA_MASTER, bridge)
        entry = netlink.get(RTM_GETNEIGH, request)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return
        raise
    port = _NEIGHBOUR.unpack_from(entry)[1]
    body = _NEIGHBOUR.pack(AF_BRIDGE, port, 0, _NTF_MASTER, 0) + station
    netlink.request(Message(RTM_DELNEIGH, 0, body, (errno.ENOENT,)))


def read_setting(name: str, family: str = IPV6) -> str:
    """``net/FAMILY/NAME`` of the namespace of the calling thread."""
    return (_SYSCTL / family / name).read_text().strip()


def write_setting(name: str, value: str | int, family: str = IPV6) -> None:
    """Set ``net/FAMILY/NAME`` in the namespace of the calling thread; nothing is written when it is so already."""
    path = _SYSCTL / family / name
    if path.read_text().strip() != str(value):
        path.write_text(str(value))
