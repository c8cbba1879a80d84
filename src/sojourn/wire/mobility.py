"""The Mobility Header (RFC 6275 6.1.1): registry, decoding, encoding, checksum.

Messages and options are declared elsewhere in this package, one class each, with the decorators `mobility_message`
and `mobility_option`. Decoding and encoding are exact inverses: ``encode(decode(octets, padding=True), like=octets)``
is `octets` for everything that decodes, however oddly its sender padded and ordered it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from sojourn.wire.addresses import Address
from sojourn.wire.catalogue import SUBTYPED, places
from sojourn.wire.checksum import internet_checksum
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import Tlvs
from sojourn.wire.generate import PADDING, PADDINGS, STRICT
from sojourn.wire.tlv import Family, Message, Registry, Tlv

if TYPE_CHECKING:
    from sojourn.wire.tolerance import Tolerance

MOBILITY_HEADER = 135
"""The protocol number (next header) of Mobility Headers."""
NO_NEXT_HEADER = 59
"""What the Payload Proto field must say (RFC 6275 6.1.1)."""
_HEADER = 6
"""Octets of the header before the message data."""
_HEADERS = [bytes((NO_NEXT_HEADER, 0, number, 0, 0, 0)) for number in range(256)]


class MobilityOption(Tlv):
    """An option of a Mobility Header (RFC 6275 6.2)."""

    __slots__ = ()


@dataclass(slots=True)
class UnknownOption(MobilityOption):
    """An option without a class here, or one that is malformed; its octets are kept."""

    type: int
    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        """Append the option as it came."""
        length, left = len(self.data), 0
        if self.type in _ODD_LENGTHS:
            base, unit = _ODD_LENGTHS[self.type]
            length, left = divmod(2 + length - base, unit)
        if left or not 0 <= length <= 255 or not 0 <= self.type <= 255:
            raise EncodeError(f"UnknownOption: type {self.type} cannot carry {len(self.data)} octets")
        out += bytes((self.type, length)) + self.data


@dataclass(slots=True)
class Remainder(MobilityOption):
    """Octets at the end of a message that are no option; kept, so that the message can be rebuilt."""

    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        """Append the octets."""
        out += self.data


MOBILITY_OPTIONS = Family("mobility options", UnknownOption, Remainder, pad1=True, padding=(0, 1))
"""RFC 6275 6.2 and the IANA registry "Mobility Options"."""
mobility_option = MOBILITY_OPTIONS.option
"""Class decorator: ``@mobility_option(number, align=(x, y))`` above a dataclass with slots."""

# RFC 7411 5.3 and 5.4 count 32-bit words after the first four octets. Who does not know that loses all that follows.
MOBILITY_OPTIONS.set_length(60, base=4, unit=4)
MOBILITY_OPTIONS.set_length(61, base=4, unit=4)
_ODD_LENGTHS = MOBILITY_OPTIONS.odd_lengths
MOBILITY_OPTIONS.classes.elsewhere.update(places("options"))

Options: TypeAlias = Annotated[tuple[MobilityOption, ...], Tlvs("mobility options")]


class MobilityMessage(Message):
    """A Mobility Header without its first six octets."""

    __slots__ = ()
    options: Options = ()


@dataclass(slots=True)
class UnknownMessage(MobilityMessage):
    """A message without a class here; the answer to one is a Binding Error (RFC 6275 9.3.3 and 9.2)."""

    type: int
    data: bytes
    """All after the checksum."""

    def put(self, out: bytearray, align: bool) -> None:
        """Append the data as it came."""
        out[2] = self.type
        out += self.data


_REGISTRY: Registry[MobilityMessage] = Registry()
_READERS = _REGISTRY.readers
for _number, _module in places("messages").items():
    (_REGISTRY.subtypes if _number in SUBTYPED else _REGISTRY.classes).elsewhere[_number] = _module
MESSAGES = _REGISTRY.classes
"""The class of each Mobility Header type (RFC 6275 6.1.1 and the IANA registry "Mobility Header Types")."""
SUBTYPED_MESSAGES = _REGISTRY.subtypes
"""The classes of Mobility Header types whose data begin with a type of their own, by the octets of that type."""
mobility_message = _REGISTRY.message
"""Class decorator: ``@mobility_message(number)`` above a dataclass with slots."""


def decode(
    octets: bytes,
    *,
    strict: bool = False,
    padding: bool = False,
    tolerated: Counter[Tolerance] | None = None,
) -> MobilityMessage:
    """The message in a Mobility Header that begins at the first octet. Raises `DecodeError` and nothing else.

    A malformed option becomes an `UnknownOption`, octets after the header's end are ignored: both are errors if
    `strict`, and counted in `tolerated` if that is given (`sojourn.wire.tolerance` has the list). With `padding`, Pad1
    and PadN stay among the options. The checksum is not looked at: that is `verify`.
    """
    if type(octets) is not bytes:
        octets = bytes(octets)
    if len(octets) < 8:
        raise DecodeError(f"Mobility Header (RFC 6275 6.1.1): {len(octets)} octets where at least 8 are expected", 0)
    end = 8 * octets[1] + 8
    if end > len(octets):
        raise DecodeError(f"Mobility Header (RFC 6275 6.1.1): {len(octets)} octets where {end} are announced", 1)
    if octets[0] != NO_NEXT_HEADER:
        raise DecodeError(f"Mobility Header (RFC 6275 6.1.1): payload protocol {octets[0]} follows it", 0)
    if strict and end != len(octets):
        raise DecodeError(f"Mobility Header (RFC 6275 6.1.1): {len(octets)} octets where {end} are announced", end)
    read = _READERS[octets[2]] or _REGISTRY.reader(octets[2])
    mode = STRICT if strict else 0
    message: MobilityMessage | None = read(octets, _HEADER, end, mode | PADDING if padding else mode) if read else None
    if message is None:
        message = UnknownMessage(octets[2], octets[_HEADER:end])
    if tolerated is not None:
        from sojourn.wire.tolerance import count

        count(message, octets, tolerated)
    return message


def decode_to_end(octets: bytes) -> MobilityMessage:
    """The message in all of `octets`, as if Header Len said so: for peers that forget to count their padding.

    Raises `DecodeError` and nothing else.
    """
    decode(octets)  # what is wrong with the header is wrong here too
    read = _REGISTRY.reader(octets[2])
    message: MobilityMessage | None = read(octets, _HEADER, len(octets), 0) if read else None
    return UnknownMessage(octets[2], octets[_HEADER:]) if message is None else message


def encode(message: MobilityMessage, like: bytes | None = None) -> bytes:
    """The Mobility Header for `message`, checksum zero; `seal` fills it. Raises `EncodeError`.

    Options get the padding that their alignment needs. With `like`, the octets that `message` was decoded from with
    padding, nothing is added and the header's own octets are taken over, so that the copy is exact.
    """
    if like is not None:
        return _encode_like(message, like)
    out = bytearray(_HEADERS[message.number])
    message.put(out, True)
    out += PADDINGS[-len(out) % 8]
    try:
        out[1] = (len(out) >> 3) - 1
    except ValueError:
        raise EncodeError(f"{type(message).__name__}: {len(out)} octets where at most 2048 can travel") from None
    return bytes(out)


def _encode_like(message: MobilityMessage, like: bytes) -> bytes:
    out = bytearray(like[:_HEADER])
    message.put(out, False)
    return bytes(out + like[8 * like[1] + 8 :])


def seal(octets: bytes, source: Address, destination: Address) -> bytes:
    """The same header with its checksum (RFC 6275 6.1.1).

    `source` is the home address where a Home Address option travels, `destination` the final one where a type 2
    routing header does.
    """
    bare = b"".join((octets[:4], b"\0\0", octets[_HEADER:]))
    value = internet_checksum(bare, source, destination, MOBILITY_HEADER)
    return b"".join((octets[:4], value.to_bytes(2, "big"), octets[_HEADER:]))


def verify(octets: bytes, source: Address, destination: Address) -> bool:
    """Whether the checksum is right, for the same addresses as in `seal`."""
    return internet_checksum(octets, source, destination, MOBILITY_HEADER) == 0


__all__ = [
    "MESSAGES",
    "MOBILITY_HEADER",
    "MOBILITY_OPTIONS",
    "MobilityMessage",
    "MobilityOption",
    "Options",
    "Remainder",
    "UnknownMessage",
    "UnknownOption",
    "decode",
    "encode",
    "mobility_message",
    "mobility_option",
    "seal",
    "verify",
]
