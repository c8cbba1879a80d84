"""How a route or a nexthop object says that packets go into a tunnel: an outer IPv6 header in front (RFC 2473).

Linux has two ways, and both put the same octets on the wire: `SegmentTunnel` for the SRv6 code, which needs no device,
and `HeaderTunnel` for an ip6tnl device that takes the header's addresses from the route (collect-metadata mode).
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from sojourn.dataplane.netlink import attribute, attributes, nested
from sojourn.wire.addresses import UNSPECIFIED, Address

HEADER, SEGMENTS, SEGMENTS_LOCAL = 4, 5, 7
"""Kinds of lightweight tunnels (enum lwtunnel_encap_types)."""
_SEG6_IPTUNNEL_SRH = 1
_MODE_ENCAP_RED = 3
_SEGMENT_ROUTING_HEADER = struct.pack("=iBBBBBBH", _MODE_ENCAP_RED, 0, 2, 4, 0, 0, 0, 0)
_IP6_DESTINATION, _IP6_SOURCE = 2, 3


@dataclass(frozen=True, slots=True)
class SegmentTunnel:
    """Mode encap.red with one segment, which is a plain IPv6 header; the kernel finds the source by itself."""

    kind: ClassVar[int] = SEGMENTS
    remote: Address

    def body(self) -> bytes:
        return attribute(_SEG6_IPTUNNEL_SRH, _SEGMENT_ROUTING_HEADER + self.remote)


@dataclass(frozen=True, slots=True)
class HeaderTunnel:
    """The addresses of the outer header, for an ip6tnl device. The hop limit is the inner one's."""

    kind: ClassVar[int] = HEADER
    remote: Address
    local: Address

    def body(self) -> bytes:
        return attribute(_IP6_DESTINATION, self.remote) + attribute(_IP6_SOURCE, self.local)


Tunnel: TypeAlias = SegmentTunnel | HeaderTunnel


def encode(tunnel: Tunnel, kind_attribute: int, attribute_number: int) -> bytes:
    """The two attributes of a route or nexthop."""
    kind = struct.pack("=HHHxx", 6, kind_attribute, tunnel.kind)
    return kind + nested(attribute_number, tunnel.body())


def decode(kind: bytes | None, body: bytes | None) -> Tunnel | None:
    """The tunnel in the two attributes of a dump answer; None when there is none, or none that we would make."""
    if kind is None or body is None:
        return None
    match int.from_bytes(kind, sys.byteorder):
        case SegmentTunnel.kind:
            header = attributes(body).get(_SEG6_IPTUNNEL_SRH, b"")
            plain = header[:4] == _SEGMENT_ROUTING_HEADER[:4] and len(header) == 28
            return SegmentTunnel(header[12:28]) if plain else None
        case HeaderTunnel.kind:
            found = attributes(body)
            return HeaderTunnel(found.get(_IP6_DESTINATION, UNSPECIFIED), found.get(_IP6_SOURCE, UNSPECIFIED))
        case _:
            return None
