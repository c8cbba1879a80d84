"""What mobility adds to IPv6 headers: the Home Address option and the type 2 routing header (RFC 6275 6.3, 6.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from sojourn.wire.addresses import Address
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import Ip6, Rest, Tlvs
from sojourn.wire.generate import PADDING, STRICT
from sojourn.wire.tlv import Family, SubRemainder, Tlv, UnknownSubOption

DESTINATION_OPTIONS: Final = 60
ROUTING: Final = 43


class DestinationOption(Tlv):
    """An option of a destination options header (RFC 8200 4.2)."""

    __slots__ = ()


FAMILY = Family("destination options", UnknownSubOption, SubRemainder, pad1=True, padding=(0, 1))
destination_option = FAMILY.option
DestinationOptionsTail: TypeAlias = Annotated[tuple[Tlv, ...], Tlvs("destination options")]


@destination_option(0)
@dataclass(slots=True)
class DestinationPad1(DestinationOption):
    """One octet of padding (RFC 8200 4.2)."""

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> DestinationPad1:
        """There is nothing to read."""
        return DestinationPad1()

    def put(self, out: bytearray, align: bool) -> None:
        """Append a zero."""
        out.append(0)


@destination_option(1)
@dataclass(slots=True)
class DestinationPadN(DestinationOption):
    """Two octets of padding or more (RFC 8200 4.2)."""

    data: Annotated[bytes, Rest()] = b""


@destination_option(0xC9, align=(8, 6))
@dataclass(slots=True)
class HomeAddress(DestinationOption):
    """The home address of the sender; checksums are computed with it as the source (RFC 6275 6.3).

    Who does not know the option answers with ICMPv6 Parameter Problem, code 2: that is what the top bits of 0xc9 ask.
    """

    address: Ip6


@dataclass(slots=True)
class DestinationOptions:
    """A destination options header (RFC 8200 4.6)."""

    next_header: int
    options: tuple[Tlv, ...] = ()

    @classmethod
    def decode(cls, octets: bytes, *, strict: bool = False, padding: bool = False) -> DestinationOptions:
        """The header that begins at the first octet; it has ``8 * octets[1] + 8``. Raises `DecodeError`."""
        octets = bytes(octets)
        if len(octets) < 8 or 8 * octets[1] + 8 > len(octets):
            raise DecodeError(f"DestinationOptions (RFC 8200 4.6): {len(octets)} octets are not all of it", 0)
        mode = STRICT * strict | PADDING * padding
        return cls(octets[0], FAMILY.walk(octets, 2, 8 * octets[1] + 8, mode))

    def encode(self) -> bytes:
        """The octets, with padding as alignment needs it. Raises `EncodeError`."""
        out = bytearray((self.next_header, 0))
        for option in self.options:
            option.put(out, True)
        left = -len(out) % 8
        out += b"\0" if left == 1 else bytes((1, left - 2)) + bytes(left - 2) if left else b""
        if len(out) > 2048:
            raise EncodeError(f"DestinationOptions (RFC 8200 4.6): {len(out)} octets where at most 2048 can travel")
        out[1] = len(out) // 8 - 1
        return bytes(out)

    @property
    def home_address(self) -> Address | None:
        """The address in the Home Address option, if there is one."""
        return next((option.address for option in self.options if isinstance(option, HomeAddress)), None)


@dataclass(slots=True)
class RoutingHeader2:
    """The type 2 routing header: the packet is for this home address (RFC 6275 6.4.1)."""

    next_header: int
    home_address: Address
    segments_left: int = 1
    reserved: int = 0

    @classmethod
    def decode(cls, octets: bytes) -> RoutingHeader2:
        """The header that begins at the first octet. Raises `DecodeError`."""
        octets = bytes(octets)
        if len(octets) < 24 or octets[1] != 2 or octets[2] != 2:
            raise DecodeError("RoutingHeader2 (RFC 6275 6.4.1): not 24 octets of type 2", 0)
        return cls(octets[0], octets[8:24], octets[3], int.from_bytes(octets[4:8], "big"))

    def encode(self) -> bytes:
        """The 24 octets. Raises `EncodeError`."""
        if len(self.home_address) != 16 or not 0 <= self.segments_left <= 255 or not 0 <= self.reserved < 1 << 32:
            raise EncodeError(f"RoutingHeader2 (RFC 6275 6.4.1): {self} does not fit")
        return (
            bytes((self.next_header, 2, 2, self.segments_left)) + self.reserved.to_bytes(4, "big") + self.home_address
        )


def checksum_addresses(
    source: Address,
    destination: Address,
    options: DestinationOptions | None = None,
    routing: RoutingHeader2 | None = None,
) -> tuple[Address, Address]:
    """The addresses for `seal` and `verify` (RFC 6275 6.1.1, 9.2): home addresses where they travel."""
    home = options.home_address if options else None
    return home or source, routing.home_address if routing else destination
