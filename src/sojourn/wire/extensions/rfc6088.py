"""Traffic selectors: which packets a flow has (RFC 6088).

A selector is a set of ranges. On the wire a word of flags says which ends of which ranges are there; a range without an
end is a single value. Selectors travel within sub-options of RFC 6089, 6909 and 7222.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeAlias

from sojourn.wire.errors import DecodeError, EncodeError

AddressRange: TypeAlias = tuple[bytes, bytes | None] | None
"""First and last address; the last is None for a single one; None: any."""
NumberRange: TypeAlias = tuple[int, int | None] | None


class TrafficSelectorFormat(IntEnum):
    """How a selector is written (RFC 6088 3, RFC 6089 8)."""

    RESERVED = 0
    IPV4_BINARY_TRAFFIC_SELECTOR = 1
    IPV6_BINARY_TRAFFIC_SELECTOR = 2


class _Selector:
    __slots__ = ()
    _codes: ClassVar[str]
    """The `struct` code of each range."""
    reserved: int

    @classmethod
    def _ranges(cls) -> list[str]:
        return [name for name in cls.__annotations__ if name not in ("_codes", "reserved")]

    @classmethod
    def decode(cls, octets: bytes) -> Any:
        """The selector in the octets behind the format. Raises `DecodeError`."""
        if len(octets) < 4:
            raise DecodeError(f"{cls.__name__} (RFC 6088 3): {len(octets)} octets where at least 4 are expected", 0)
        flags = int.from_bytes(octets[:4], "big")
        names = cls._ranges()
        ranges: dict[str, Any] = {}
        position, bit = 4, 1 << 31
        for name, code in zip(names, cls._codes.split(), strict=True):
            ends: list[Any] = []
            for _ in range(2):
                if flags & bit:
                    size = struct.calcsize("!" + code)
                    if position + size > len(octets):
                        raise DecodeError(f"{cls.__name__}.{name} (RFC 6088 3): beyond the end", position)
                    ends += struct.unpack_from("!" + code, octets, position)
                    position += size
                else:
                    ends.append(None)
                bit >>= 1
            if ends[0] is None and ends[1] is not None:
                raise DecodeError(f"{cls.__name__}.{name} (RFC 6088 3): an end without a start", 0)
            ranges[name] = None if ends[0] is None else tuple(ends)
        if position != len(octets):
            raise DecodeError(f"{cls.__name__} (RFC 6088 3): {len(octets) - position} octets too many", position)
        make: Any = cls
        return make(**ranges, reserved=flags & (2 * bit - 1))

    def encode(self) -> bytes:
        """The octets behind the format. Raises `EncodeError`."""
        names = self._ranges()
        flags, bit, out = 0, 1 << 31, b""
        for name, code in zip(names, self._codes.split(), strict=True):
            value = getattr(self, name)
            for end in value or (None, None):
                if end is not None:
                    flags |= bit
                    out += self._pack(name, code, end)
                bit >>= 1
        if not 0 <= self.reserved < 2 * bit:
            raise EncodeError(f"{type(self).__name__}.reserved (RFC 6088 3): {self.reserved!r} does not fit")
        return (flags | self.reserved).to_bytes(4, "big") + out

    def _pack(self, name: str, code: str, end: Any) -> bytes:
        try:
            if code.endswith("s") and len(end) != int(code[:-1]):
                raise TypeError
            return struct.pack("!" + code, end)
        except (struct.error, TypeError):
            raise EncodeError(f"{type(self).__name__}.{name} (RFC 6088 3): {end!r} does not fit") from None

    def alignment(self) -> tuple[int, int]:
        """Where a sub-option with it begins: at the size of its largest field, 8 at most (RFC 6088 3.1, 3.2)."""
        present = [code for name, code in zip(self._ranges(), self._codes.split(), strict=True) if getattr(self, name)]
        return max((min(struct.calcsize("!" + code), 8) for code in present), default=1), 0


@dataclass(slots=True)
class Ipv4TrafficSelector(_Selector):
    """Packets of IPv4 on their way from a correspondent to the mobile node (RFC 6088 3.1)."""

    _codes = "4s 4s I H H B B"

    source: AddressRange = None
    destination: AddressRange = None
    spi: NumberRange = None
    source_port: NumberRange = None
    destination_port: NumberRange = None
    service: NumberRange = None
    """Differentiated services in the upper six bits."""
    protocol: NumberRange = None
    reserved: int = 0
    """18 bits."""


@dataclass(slots=True)
class Ipv6TrafficSelector(_Selector):
    """Packets of IPv6 on their way from a correspondent to the mobile node (RFC 6088 3.2)."""

    _codes = "16s 16s I I H H B B"

    source: AddressRange = None
    destination: AddressRange = None
    spi: NumberRange = None
    flow_label: NumberRange = None
    """The RFC calls it 24 bits wide; it has 20 (RFC 8200 6), in the low bits of 32."""
    source_port: NumberRange = None
    destination_port: NumberRange = None
    traffic_class: NumberRange = None
    next_header: NumberRange = None
    reserved: int = 0
    """16 bits."""


TrafficSelector: TypeAlias = Ipv4TrafficSelector | Ipv6TrafficSelector
CLASSES: dict[int, type[TrafficSelector]] = {1: Ipv4TrafficSelector, 2: Ipv6TrafficSelector}


def selector(number: int, octets: bytes) -> TrafficSelector | None:
    """The selector of format `number`, or None where format or octets are not understood."""
    cls = CLASSES.get(number)
    if cls is None:
        return None
    try:
        found: TrafficSelector = cls.decode(octets)
    except DecodeError:
        return None
    return found


def format_of(value: TrafficSelector) -> int:
    """The number of its format."""
    return 1 if isinstance(value, Ipv4TrafficSelector) else 2


def alignment(number: int, octets: bytes) -> tuple[int, int]:
    """Where a sub-option with these octets begins."""
    value = selector(number, octets)
    return value.alignment() if value else (1, 0)
