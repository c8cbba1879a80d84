"""Mobility over UDP: signalling and packets through IPv4 and NATs.

* Port 5436 carries Mobility Headers of Proxy Mobile IPv6 directly behind UDP; their checksum is zero and not looked at
  (RFC 5844 4).
* Port 4191 carries IP packets of Dual-Stack Mobile IPv6: signalling as IPv6 with a Home Address option, and data
  (RFC 5555 4). Their first nibble is the version.
* Where GRE was agreed upon, a TLV header stands first, whose first nibble is zero (RFC 5845 7.2).
* Port 5437 carries the packets of Proxy Mobile IPv6 in the same way (RFC 5844 6).

`read` tells these apart. It makes no packets of UDP itself: that belongs to sockets and captures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sojourn.wire.errors import DecodeError, EncodeError

DSMIPV6: Final = 4191
PMIPV6_CONTROL: Final = 5436
PMIPV6_DATA: Final = 5437
PORTS: Final = frozenset((DSMIPV6, PMIPV6_CONTROL, PMIPV6_DATA))

GRE: Final = 47
IPV6: Final = 41
IPV4: Final = 4


class Payload(Enum):
    """What is in a UDP payload."""

    MOBILITY_HEADER = "mobility header"
    IPV6 = "IPv6"
    IPV4 = "IPv4"
    GRE = "GRE"
    KEEPALIVE = "keepalive"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class TlvHeader:
    """Four octets before GRE, or before IPv6, in UDP (RFC 5845 7.2)."""

    next_header: int
    """47 GRE, 41 IPv6, 4 IPv4."""
    length: int
    """Octets of header and payload, all that UDP carries."""
    reserved: int = 0
    """Four bits."""

    @classmethod
    def decode(cls, octets: bytes) -> TlvHeader:
        """The header in a UDP payload; its length must agree with that (RFC 5845 7.2). Raises `DecodeError`."""
        if len(octets) < 4 or octets[0] >> 4:
            raise DecodeError("TlvHeader (RFC 5845 7.2): there is none", 0)
        length = int.from_bytes(octets[2:4], "big")
        if length != len(octets):
            raise DecodeError(f"TlvHeader (RFC 5845 7.2): {len(octets)} octets where {length} are announced", 2)
        return cls(octets[1], length, octets[0] & 15)

    def encode(self) -> bytes:
        """The four octets. Raises `EncodeError`."""
        if not (0 <= self.next_header <= 255 and 0 <= self.length <= 0xFFFF and 0 <= self.reserved <= 15):
            raise EncodeError(f"TlvHeader (RFC 5845 7.2): {self} does not fit")
        return bytes((self.reserved, self.next_header)) + self.length.to_bytes(2, "big")


_INNER = {GRE: Payload.GRE, IPV6: Payload.IPV6, IPV4: Payload.IPV4}


def read(port: int, octets: bytes) -> tuple[Payload, bytes]:
    """What a UDP payload on one of `PORTS` is, and its octets without a TLV header. Raises `DecodeError`.

    A single octet is a keepalive of IKE (RFC 3948 2.3), which also keeps bindings of NATs alive (RFC 5555 4.3).
    """
    if port == PMIPV6_CONTROL:
        return Payload.MOBILITY_HEADER, octets
    if octets == b"\xff":
        return Payload.KEEPALIVE, octets
    match octets[0] >> 4 if octets else -1:
        case 6:
            return Payload.IPV6, octets
        case 4:
            return Payload.IPV4, octets
        case 0:
            header = TlvHeader.decode(octets)
            return _INNER.get(header.next_header, Payload.UNKNOWN), octets[4:]
    return Payload.UNKNOWN, octets


def signalling(octets: bytes) -> bytes:
    """The UDP payload on port 5436 for an encoded Mobility Header: itself, with a checksum of zero (RFC 5844 4)."""
    return b"".join((octets[:4], b"\0\0", octets[6:]))


def tlv(octets: bytes, next_header: int) -> bytes:
    """The UDP payload for a packet where the TLV header was agreed upon (RFC 5845 7.2). Raises `EncodeError`."""
    return TlvHeader(next_header, 4 + len(octets)).encode() + octets
