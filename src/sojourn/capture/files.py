"""Capture files: classic pcap in its four forms, and pcapng (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).

Own code, because none of the Python packages fits (looked at in 2026): python-pcapng reads one of the two formats, had
its last release in 2022, gives times as floats, and answered one mutated file in seven with RecursionError, KeyError
or UnicodeDecodeError; dpkt rests since 2022; bindings of libpcap need a compiled library, refuse a pcapng file with
interfaces of different link types, drop comments and end at the first damaged block; Scapy takes a second to import.

Damage is not the end: a reader says where a file is damaged (`Fault`) and goes on at the next record that can be one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from sojourn.capture.source import CHUNK, Source, unpacked
from sojourn.wire.units import SECOND, WallClock

MAXIMUM = 1 << 24
"""Octets of a packet or block that are believed; libpcap itself stops at 262144 for all we read."""


@dataclass(slots=True)
class Packet:
    """What a point of a network saw."""

    number: int
    """From 1, as other tools count."""
    time: WallClock | None
    link_type: int
    octets: bytes
    length: int
    """On the wire; `octets` may be fewer."""
    interface: str = ""
    comment: str = ""


@dataclass(slots=True)
class Fault:
    """A place where the file is not what it should be."""

    number: int
    """Of the packet that should stand there."""
    position: int
    """Octets from the file's begin."""
    what: str
    lost: bool = True
    """Octets could not be read. Otherwise it is one odd packet, and all around it is whole."""


Record: TypeAlias = Packet | Fault


def read(source: Source) -> Iterator[Record]:
    """All packets of a capture, and what stands in the way of reading them. Raises nothing."""
    source = unpacked(source)
    magic = source.peek(4)
    if magic == _SECTION_MAGIC:
        yield from _PcapngReader(source).records()
    elif magic in _CLASSIC:
        yield from _ClassicReader(source, *_CLASSIC[magic]).records()
    elif magic in _MODIFIED:
        yield Fault(1, 0, "this is the modified pcap format of 1999; `editcap` or `tshark -r FILE -w NEW` converts it")
    elif len(magic) < 4:
        yield Fault(1, 0, source.failure or ("the file is empty" if not magic else "the file is too short"))
    else:
        yield Fault(1, 0, f"this is neither pcap nor pcapng: it begins with the octets {magic.hex(' ')}")
    if source.failure and len(magic) == 4:
        yield Fault(0, source.position, source.failure)


# --- classic pcap -------------------------------------------------------------------------------------------------

_CLASSIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""Byte order, and nanoseconds that the fraction counts."""
_MODIFIED = (b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34")
_DAY = 86400


class _ClassicReader:
    def __init__(self, source: Source, order: str, unit: int) -> None:
        self._source = source
        self._unit = unit
        self._header = struct.Struct(order + "IIII")
        self._file_header = struct.Struct(order + "4x2H8xII")
        self._number = 0
        self._seconds: int | None = None
        self._limit = MAXIMUM

    def records(self) -> Iterator[Record]:
        head = self._source.take(24)
        if len(head) < 24:
            yield Fault(1, 0, "the file ends within its header")
            return
        _, _, snapshot, network = self._file_header.unpack(head)
        link_type = network & 0xFFFF  # above it: what is known about a frame check sequence
        self._limit = min(max(snapshot, 1 << 18), MAXIMUM)
        while head := self._source.peek(16):
            number, position = self._number + 1, self._source.position
            if len(head) < 16:
                yield Fault(number, position, f"the file ends within packet {number}")
                return
            seconds, fraction, captured, length = self._header.unpack(head)
            if captured > self._limit:
                yield Fault(number, position, f"packet {number} claims {captured} octets")
                if not _search(self._source, self._plausible):
                    return
                continue
            self._number = number
            self._source.take(16)
            octets = self._source.take(captured)
            time = seconds * SECOND + fraction * self._unit
            if len(octets) < captured:
                yield Fault(number, position, f"the file ends within packet {number}")
                if not octets:
                    return
                length = max(length, captured)
            self._seconds = seconds
            yield Packet(number, time, link_type, octets, max(length, len(octets)))

    def _plausible(self, at: Callable[[int], bytes]) -> bool:
        """Whether a record begins here: two headers in a row that make sense, or one and the end of the file."""
        size = self._sensible(at(16))
        if size is None:
            return False
        following = at(32 + size)[16 + size :]
        return (not following and len(at(16 + size)) == 16 + size) or self._sensible(following) is not None

    def _sensible(self, head: bytes) -> int | None:
        if len(head) < 16:
            return None
        seconds, fraction, captured, length = self._header.unpack(head)
        near = self._seconds is None or abs(seconds - self._seconds) <= _DAY
        if near and fraction * self._unit < SECOND and 0 < captured <= min(self._limit, length) and length <= 1 << 18:
            return int(captured)
        return None


# --- pcapng -------------------------------------------------------------------------------------------------------

_SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_END, _COMMENT, _NAME, _RESOLUTION, _OFFSET = 0, 1, 2, 9, 14
_LONGEST_TEXT = 1024
_MOST_INTERFACES = 4096


@dataclass(slots=True)
class _Interface:
    link_type: int
    snapshot: int
    name: str = ""
    ticks: int = 1_000_000
    """Per second."""
    offset: int = 0
    """Seconds to add."""


@dataclass(slots=True)
class _Section:
    order: str
    interfaces: list[_Interface] = field(default_factory=list)

    def unpack(self, codes: str, octets: bytes) -> tuple[int, ...]:
        return struct.unpack_from(self.order + codes, octets)


class _PcapngReader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._section = _Section("<")
        self._number = 0
        self._readers: dict[int, Callable[[bytes], Record]] = {
            _PACKET: self._packet,
            _OLD_PACKET: self._old_packet,
            _SIMPLE_PACKET: self._simple_packet,
        }

    def records(self) -> Iterator[Record]:
        source = self._source
        while head := source.peek(12):
            position = source.position
            kind, length, problem = self._head(head)
            if (not problem and kind in self._readers) or kind in (_SECTION, _INTERFACE):
                block = source.peek(length) if not problem else b""
                problem = problem or self._whole(block, length)
            elif not problem:
                if source.skip(length) < length:
                    yield Fault(self._number + 1, position, "the file ends within a block")
                continue
            if problem:
                yield Fault(self._number + 1, position, problem)
                if not _search(source, self._plausible):
                    return
                continue
            source.take(length)
            yield from self._block(kind, block[8:-4], position)

    def _head(self, head: bytes) -> tuple[int, int, str]:
        """Type and length of a block, and what is wrong with them."""
        if len(head) < 12:
            return 0, 0, "the file ends within a block"
        if head[:4] == _SECTION_MAGIC:
            order = _ORDERS.get(head[8:12])
            if order is None:
                return 0, 0, "a section begins without its byte order"
            self._section = _Section(order)
        kind, length = self._section.unpack("II", head)
        if length < 12 or length % 4 or (length > MAXIMUM and (kind in self._readers or kind == _INTERFACE)):
            return kind, length, f"a block of type {kind} claims {length} octets"
        return kind, length, ""

    def _whole(self, block: bytes, length: int) -> str:
        if len(block) < length:
            return "the file ends within a block"
        (again,) = self._section.unpack("I", block[-4:])
        return "" if again == length else f"a block begins with the length {length} and ends with {again}"

    def _plausible(self, at: Callable[[int], bytes]) -> bool:
        """Whether a packet block or a new section begins here."""
        if self._source.position % 4:
            return False
        head = at(12)
        if len(head) < 12:
            return False
        if head[:4] == _SECTION_MAGIC:
            return head[8:12] in _ORDERS
        kind, length = self._section.unpack("II", head)
        if kind != _PACKET or not 32 <= length <= CHUNK or length % 4:
            return False
        block = at(length)
        return not self._whole(block, length) and self._section.unpack("I", block[8:])[0] < len(
            self._section.interfaces
        )

    def _block(self, kind: int, body: bytes, position: int) -> Iterator[Record]:
        if kind == _INTERFACE:
            if len(body) < 8 or len(self._section.interfaces) == _MOST_INTERFACES:
                yield Fault(self._number + 1, position, "an interface description too short, or one too many")
            else:
                self._section.interfaces.append(self._interface(body))
        elif kind != _SECTION:
            self._number += 1
            try:
                record = self._readers[kind](body)
            except struct.error:
                record = self._odd("is too short")
            if isinstance(record, Fault):
                record.position = position
            yield record

    def _interface(self, body: bytes) -> _Interface:
        link_type, snapshot = self._section.unpack("H2xI", body)
        interface = _Interface(link_type, snapshot)
        for code, value in self._options(body[8:]):
            if code == _NAME:
                interface.name = _text(value)
            elif code == _RESOLUTION and value:
                interface.ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** (value[0] & 0x7F)
            elif code == _OFFSET and len(value) == 8:
                (interface.offset,) = self._section.unpack("q", value)
        return interface

    def _packet(self, body: bytes) -> Record:
        return self._packet_of(self._section.unpack("I", body)[0], body)

    def _old_packet(self, body: bytes) -> Record:
        """The obsolete Packet Block: half of the interface's number was a count of drops."""
        return self._packet_of(self._section.unpack("H", body)[0], body)

    def _packet_of(self, index: int, body: bytes) -> Record:
        high, low, captured, length = self._section.unpack("4x4I", body)
        if index >= len(self._section.interfaces):
            return self._odd(f"names interface {index}, which is not described")
        interface = self._section.interfaces[index]
        octets = body[20 : 20 + captured]
        if len(octets) < captured:
            return self._odd(f"claims {captured} octets where {len(body) - 20} are")
        comments = [
            _text(value) for code, value in self._options(body[20 + captured + -captured % 4 :]) if code == _COMMENT
        ]
        time = (high << 32 | low) * SECOND // interface.ticks + interface.offset * SECOND
        whole = max(length, captured)
        return Packet(
            self._number, time, interface.link_type, octets, whole, interface.name, " / ".join(filter(None, comments))
        )

    def _simple_packet(self, body: bytes) -> Record:
        (length,) = self._section.unpack("I", body)
        if not self._section.interfaces:
            return self._odd("belongs to no interface")
        interface = self._section.interfaces[0]
        captured = min(length, interface.snapshot or length)
        octets = body[4 : 4 + captured]
        return Packet(self._number, None, interface.link_type, octets, length, interface.name)

    def _odd(self, what: str) -> Fault:
        return Fault(self._number, 0, f"packet {self._number} {what}", lost=False)

    def _options(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        position = 0
        while position + 4 <= len(octets):
            code, size = self._section.unpack("HH", octets[position : position + 4])
            if code == _END:
                return
            yield code, octets[position + 4 : position + 4 + size]
            position += 4 + size + -size % 4


def _text(octets: bytes) -> str:
    return octets[:_LONGEST_TEXT].decode("utf-8", "replace").strip("\0")


# --- damage -------------------------------------------------------------------------------------------------------


_SEARCH = 1 << 20
"""Octets that are searched for the next record."""


def _search(source: Source, plausible: Callable[[Callable[[int], bytes]], bool]) -> bool:
    """Go on to the next place where `plausible` says that a record begins; False if there is none."""
    for _ in range(_SEARCH):
        if source.skip(1) < 1 or not source.peek(1):
            return False
        if plausible(source.peek):
            return True
    return False
