"""What a listener says of one multicast address: the records of its reports (RFC 3810 5.2.4 to 5.2.12).

A report of version 1 says the same in one record: it wants all sources, or none any more (RFC 3810 8.3.2).
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Duration

_HEADER = 20
"""Octets of a record before its sources: type, auxiliary data, number of sources, multicast address."""


class RecordType(IntEnum):
    """What a record says (RFC 3810 5.2.12); one of another type is to be passed over."""

    MODE_IS_INCLUDE = 1
    MODE_IS_EXCLUDE = 2
    CHANGE_TO_INCLUDE_MODE = 3
    CHANGE_TO_EXCLUDE_MODE = 4
    ALLOW_NEW_SOURCES = 5
    BLOCK_OLD_SOURCES = 6


class MulticastAddressRecord(NamedTuple):
    """One record. Auxiliary data are not kept: "MLDv2 does not define any" (RFC 3810 5.2.11)."""

    kind: int
    """A `RecordType`, or a number that is none."""
    group: Address
    sources: tuple[Address, ...] = ()


def parse_records(octets: bytes, count: int) -> tuple[MulticastAddressRecord, ...]:
    """The first `count` records in `octets`, as far as they are complete."""
    found: list[MulticastAddressRecord] = []
    position = 0
    while len(found) < count and position + _HEADER <= len(octets):
        first = position + _HEADER
        behind = first + 16 * int.from_bytes(octets[position + 2 : position + 4], "big")
        if behind > len(octets):
            break
        sources = tuple(octets[at : at + 16] for at in range(first, behind, 16))
        found.append(MulticastAddressRecord(octets[position], octets[position + 4 : first], sources))
        position = behind + 4 * octets[position + 1]
    return tuple(found)


def pack_records(records: Iterable[MulticastAddressRecord]) -> bytes:
    """The octets of `records`."""
    return b"".join(
        bytes((record.kind, 0)) + len(record.sources).to_bytes(2, "big") + record.group + b"".join(record.sources)
        for record in records
    )


def interval_code(interval: Duration) -> int:
    """The Querier's Query Interval Code for `interval`, rounded down to what it can say (RFC 3810 5.1.9)."""
    seconds = min(interval // SECOND, 0x1F << 10)
    if seconds < 128:
        return seconds
    exponent = seconds.bit_length() - 8
    return 0x80 | exponent << 4 | (seconds >> exponent + 3) & 0x0F
