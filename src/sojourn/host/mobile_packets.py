"""IPv6 packets with what Mobile IPv6 adds to their headers, as octets: taken apart and put together.

A Home Address option is taken, and looked for, where everybody puts it: in a destination options header that begins
with four octets of padding (RFC 6275 6.3 asks for that alignment). `HOME_ADDRESS_AT` is where its type then is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sojourn.wire import DecodeError
from sojourn.wire.addresses import Address
from sojourn.wire.ipv6 import (
    DESTINATION_OPTIONS,
    ROUTING,
    DestinationOptions,
    DestinationPadN,
    HomeAddress,
    RoutingHeader2,
)

HEADER = 40
HOME_ADDRESS = 0xC9
HOME_ADDRESS_AT = HEADER + 6
"""Octet of the packet."""
ROUTING_TYPE_AT = HEADER + 2
HOP_LIMIT = 64
_IPV6 = struct.Struct("!IHBB16s16s")
_HOP_BY_HOP = 0
_EXTENSIONS_MAX = 8


@dataclass(slots=True)
class Packet:
    """One packet, up to its upper-layer header."""

    source: Address
    destination: Address
    hop_limit: int
    protocol: int
    """Of `payload`."""
    payload: bytes
    home_address: Address | None = None
    """In a Home Address option."""
    routed_to: Address | None = None
    """In a type 2 routing header whose next stop this is."""

    @property
    def checksum_addresses(self) -> tuple[Address, Address]:
        """Source and destination of the pseudo-header (RFC 6275 6.1.1)."""
        return self.home_address or self.source, self.routed_to or self.destination


def parsed(octets: bytes) -> Packet | None:
    """The packet that `octets` are; None: it is none that a host of Mobile IPv6 has anything to do with."""
    if len(octets) < HEADER or octets[0] >> 4 != 6:
        return None
    _, length, following, hop_limit, source, destination = _IPV6.unpack_from(octets)
    rest = octets[HEADER : HEADER + length]
    if len(rest) < length:
        return None
    packet = Packet(source, destination, hop_limit, following, rest)
    for _ in range(_EXTENSIONS_MAX):
        if packet.protocol not in (_HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS):
            return packet
        if not _step(packet):
            return None
    return None


def _step(packet: Packet) -> bool:
    """Over one extension header; False: it is wrong, or not ours."""
    octets = packet.payload
    size = 8 * octets[1] + 8 if len(octets) >= 8 else 0
    if not 8 <= size <= len(octets):
        return False
    try:
        if packet.protocol == ROUTING:
            header = RoutingHeader2.decode(octets[:size])
            if header.segments_left != 1 or packet.routed_to is not None or packet.home_address is not None:
                return False  # RFC 6275 6.4.1, and it stands before the option (6.3)
            packet.routed_to = header.home_address
        elif packet.protocol == DESTINATION_OPTIONS:
            home = DestinationOptions.decode(octets[:size]).home_address
            if home is not None and packet.home_address is not None:
                return False  # "MUST NOT appear more than once" (RFC 6275 6.3)
            packet.home_address = home or packet.home_address
    except DecodeError:
        return False
    packet.protocol, packet.payload = octets[0], octets[size:]
    return True


def built(packet: Packet) -> bytes:
    """The octets; the payload has its checksum already."""
    payload, protocol = packet.payload, packet.protocol
    if packet.home_address is not None:
        options = (DestinationPadN(bytes(2)), HomeAddress(packet.home_address))
        payload, protocol = DestinationOptions(protocol, options).encode() + payload, DESTINATION_OPTIONS
    if packet.routed_to is not None:
        payload, protocol = RoutingHeader2(protocol, packet.routed_to).encode() + payload, ROUTING
    return _IPV6.pack(6 << 28, len(payload), protocol, packet.hop_limit, packet.source, packet.destination) + payload


@dataclass(slots=True)
class Quoted:
    """What an ICMPv6 error quotes of the packet that caused it."""

    source: Address
    destination: Address
    protocol: int
    """The upper-layer protocol, or the header where the quotation ends."""


def quoted(octets: bytes) -> Quoted | None:
    """The packet in the data of an ICMPv6 error (RFC 4443 3), which may be cut off anywhere behind its header.

    With a type 2 routing header the destination is the care-of address that was written to.
    """
    if len(octets) < HEADER or octets[0] >> 4 != 6:
        return None
    _, _, following, _, source, destination = _IPV6.unpack_from(octets)
    rest = octets[HEADER:]
    for _ in range(_EXTENSIONS_MAX):
        if following not in (_HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS) or len(rest) < 8:
            break
        following, rest = rest[0], rest[8 * rest[1] + 8 :]
    return Quoted(source, destination, following)
