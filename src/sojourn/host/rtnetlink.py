"""What the kernel says about links and bridge stations: the two messages that matter, parsed.

rtnetlink(7): a message is a header, a fixed part and attributes. Only what `sojourn.host.links` asks is kept.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sojourn.dataplane.netlink import attributes
from sojourn.wire.addresses import LinkLayer

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
AF_BRIDGE = 7

IFF_UP, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x40, 0x10000
NUD_STALE, NUD_PERMANENT = 0x04, 0x80
NTF_SELF = 0x02

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_CARRIER_DOWN_COUNT = 1, 3, 10, 18, 48
_IFLA_INFO_KIND = 1
_NDA_LLADDR, _NDA_MASTER = 2, 9

_LINK = struct.Struct("=BxHiII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_NUMBER = struct.Struct("=I")


@dataclass(slots=True)
class Link:
    """An interface, as RTM_NEWLINK and RTM_DELLINK tell of it."""

    index: int
    name: str
    flags: int
    master: int
    """Index of the bridge that it is a port of; 0 for none."""
    kind: str
    """``bridge``, ``veth`` ...; empty for hardware."""
    downs: int
    """How often the carrier went away so far."""
    link_layer: LinkLayer = b""
    """Its own address, if it has one like Ethernet's."""

    @property
    def up(self) -> bool:
        """Whether the kernel forwards over it: the test by which it throws away nexthops
        (net/ipv4/nexthop.c).
        """
        return bool(self.flags & IFF_UP and self.flags & (IFF_RUNNING | IFF_LOWER_UP))


@dataclass(slots=True)
class Station:
    """An entry of a bridge's forwarding table, as AF_BRIDGE neighbour messages tell of it."""

    bridge: int
    port: int
    link_layer: bytes
    state: int
    flags: int

    @property
    def learned(self) -> bool:
        """Whether it stands for a station, and not for a port or the bridge itself."""
        return not self.state & NUD_PERMANENT and not self.flags & NTF_SELF and len(self.link_layer) == 6

    @property
    def expired(self) -> bool:
        """Whether it was silent for the bridge's ageing time."""
        return bool(self.state & NUD_STALE)


DUMP_LINKS = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
"""The body of an RTM_GETLINK that asks for all."""
DUMP_STATIONS = struct.pack("=BxxxiHBB", AF_BRIDGE, 0, 0, 0, 0)
"""The body of an RTM_GETNEIGH that asks for the forwarding entries of all bridges."""


def link(payload: bytes) -> Link | None:
    """An interface; None for what RTM_NEWLINK says in the name of a bridge about one of its ports."""
    family, _type, index, flags, _change = _LINK.unpack_from(payload)
    if family == AF_BRIDGE:
        return None
    found = attributes(payload, _LINK.size)
    information = attributes(found.get(_IFLA_LINKINFO, b""), 0)
    return Link(
        index,
        found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace"),
        flags,
        _number(found.get(_IFLA_MASTER)),
        information.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace"),
        _number(found.get(_IFLA_CARRIER_DOWN_COUNT)),
        octets if len(octets := found.get(_IFLA_ADDRESS, b"")) == 6 else b"",
    )


def station(payload: bytes) -> Station | None:
    """A bridge's forwarding entry; None for a neighbour of another family."""
    family, port, state, flags, _type = _NEIGHBOUR.unpack_from(payload)
    if family != AF_BRIDGE:
        return None
    found = attributes(payload, _NEIGHBOUR.size)
    return Station(_number(found.get(_NDA_MASTER)), port, found.get(_NDA_LLADDR, b""), state, flags)


def _number(octets: bytes | None) -> int:
    return int(_NUMBER.unpack(octets)[0]) if octets is not None and len(octets) == 4 else 0
