"""Mobile IPv6 secured with TLS (RFC 6618): the header before signalling and data on UDP port 7872, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sojourn.wire.errors import DecodeError, EncodeError

PORT = 7872


class PacketType(IntEnum):
    """What follows the header (RFC 6618 8.1)."""

    NON_ENCRYPTED_IP_PACKET = 0
    ENCRYPTED_IP_PACKET = 1
    MOBILITY_HEADER = 8


@dataclass(slots=True)
class TlsPacket:
    """A packet between mobile node and home agent (RFC 6618 6.2)."""

    type: int
    """`PacketType`."""
    spi: int
    """28 bits; zero: not protected, and then neither padding nor check value follows."""
    sequence: int
    payload: bytes

    @classmethod
    def decode(cls, octets: bytes) -> TlsPacket:
        """The packet in a UDP payload. Raises `DecodeError`."""
        if len(octets) < 8:
            raise DecodeError(f"TlsPacket (RFC 6618 6.2): {len(octets)} octets where at least 8 are expected", 0)
        word = int.from_bytes(octets[:4], "big")
        return cls(word >> 28, word & 0xFFFFFFF, int.from_bytes(octets[4:8], "big"), octets[8:])

    def encode(self) -> bytes:
        """The UDP payload. Raises `EncodeError`."""
        if not (0 <= self.type < 16 and 0 <= self.spi < 1 << 28 and 0 <= self.sequence < 1 << 32):
            raise EncodeError(f"TlsPacket (RFC 6618 6.2): {self.type}, {self.spi} or {self.sequence} does not fit")
        return (self.type << 28 | self.spi).to_bytes(4, "big") + self.sequence.to_bytes(4, "big") + self.payload
