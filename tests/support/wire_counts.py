"""Mobility messages and tunnelled packets among the frames of a capture, and their octets, without what counts ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sojourn.wire.addresses import Address
from support.wire_clock import Frame

_EXTENSIONS = frozenset({0, 43, 60})
"""Hop-by-hop options, routing header, destination options: their lengths are counted in units of 8 octets."""
_TUNNELLED, _MOBILITY = frozenset({4, 41}), 135
_HEADER = 40


class Counts(NamedTuple):
    """Packets, and their octets with the IPv6 header."""

    packets: int
    octets: int


def signalling(frames: Iterable[Frame], *, leaves: bool, of: Address | None = None, inside: bool = False) -> Counts:
    """Messages that go out (or come in), of a machine whose address is `of`; with `inside` those in a tunnel, too."""
    found = []
    for packet in _packets(frames, leaves, of):
        if inside and packet[6] == 41:
            packet = packet[_HEADER:]
        if _carried(packet) == _MOBILITY:
            found.append(_length(packet))
    return Counts(len(found), sum(found))


def tunnelled(frames: Iterable[Frame], *, leaves: bool, of: Address | None = None) -> Counts:
    """Packets in packets."""
    found = [_length(packet) for packet in _packets(frames, leaves, of) if packet[6] in _TUNNELLED]
    return Counts(len(found), sum(found))


def _packets(frames: Iterable[Frame], leaves: bool, of: Address | None) -> Iterable[bytes]:
    """Those of IPv6 in one direction, from or to `of`."""
    for frame in frames:
        if frame.leaves == leaves and frame.octets[12:14] == b"\x86\xdd":
            packet = frame.packet
            if of in (None, packet[8:24] if leaves else packet[24:40]):
                yield packet


def _carried(packet: bytes) -> int:
    """The header behind all extension headers."""
    kind, at = packet[6], _HEADER
    while kind in _EXTENSIONS and at + 2 <= len(packet):
        kind, at = packet[at], at + 8 * (packet[at + 1] + 1)
    return kind


def _length(packet: bytes) -> int:
    return _HEADER + int.from_bytes(packet[4:6], "big")
