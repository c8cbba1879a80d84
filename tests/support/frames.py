"""Frames, packets and capture files of every kind that `sojourn decode` reads, octet by octet."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from sojourn import wire
from sojourn.wire.addresses import address
from support.capture import ipv6

A1, A2, CMD = address("2001:db8:a1::1"), address("2001:db8:a2::1"), address("2001:db8:c::1")
HOME = address("2001:db8:f00::5")
V4_A, V4_B = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
START = 1_790_000_000_123_456_789
MOBILITY = 135


def mobility(message: wire.MobilityMessage, source: bytes = A1, destination: bytes = CMD) -> bytes:
    """A Mobility Header with its checksum."""
    return wire.seal(wire.encode(message), source, destination)


def packet(message: wire.MobilityMessage, source: bytes = A1, destination: bytes = CMD) -> bytes:
    """The IPv6 packet that carries a message."""
    return ipv6(MOBILITY, mobility(message, source, destination), source, destination)


def extension(kind: bytes, next_header: int) -> bytes:
    """An extension header whose data after the length octet are `kind`, filled to eight octets."""
    size = -(-(2 + len(kind)) // 8)
    return bytes((next_header, size - 1)) + kind + bytes(8 * size - 2 - len(kind))


def home_address_option(next_header: int, home: bytes = HOME) -> bytes:
    """Destination options with a Home Address option at 8n+6 (RFC 6275 6.3)."""
    return extension(b"\x01\x02\0\0" + b"\xc9\x10" + home, next_header)


def type_2_routing(next_header: int, home: bytes = HOME) -> bytes:
    """A type 2 routing header (RFC 6275 6.4)."""
    return bytes((next_header, 2, 2, 1, 0, 0, 0, 0)) + home


def fragments(whole: bytes, size: int, identification: int = 7) -> list[bytes]:
    """An IPv6 packet without extension headers, cut into fragments of `size` octets of data (a multiple of 8)."""
    next_header, data = whole[6], whole[40:]
    found = []
    for offset in range(0, len(data), size):
        more = offset + size < len(data)
        header = struct.pack("!BBHI", next_header, 0, offset | more, identification)
        found.append(ipv6(44, header + data[offset : offset + size], whole[8:24], whole[24:40]))
    return found


def ipv4(protocol: int, payload: bytes, source: bytes = V4_A, destination: bytes = V4_B, fragment: int = 0) -> bytes:
    """An IPv4 packet; `fragment` is its flags and offset."""
    return struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 9, fragment, 64, protocol, 0, source, destination
    ) + (payload)


def udp(port: int, payload: bytes) -> bytes:
    """A UDP datagram without checksum."""
    return struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload


def ethernet(payload: bytes, ethertype: int = 0x86DD, tags: Sequence[int] = ()) -> bytes:
    """An Ethernet frame, with VLAN tags of these types."""
    around = b"".join(struct.pack("!HH", tag, 5) for tag in tags)
    return bytes(12) + around + struct.pack("!H", ethertype) + payload


def pcap(
    packets: Iterable[bytes], link: int = 1, *, order: str = "<", nano: bool = False, step: int = 1_000_000
) -> bytes:
    """A classic capture; each packet `step` ns after the one before."""
    unit = 1 if nano else 1000
    parts = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)]
    for number, octets in enumerate(packets):
        seconds, rest = divmod(START + number * step, 1_000_000_000)
        parts.append(struct.pack(order + "IIII", seconds, rest // unit, len(octets), len(octets)) + octets)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """A pcapng option."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    """A section header."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, order: str = "<", options: bytes = b"") -> bytes:
    """An interface description."""
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(octets: bytes, time: int, index: int = 0, order: str = "<", options: bytes = b"") -> bytes:
    """An enhanced packet block; `time` in the interface's unit."""
    head = struct.pack(order + "IIIII", index, time >> 32, time & 0xFFFFFFFF, len(octets), len(octets))
    return block(6, head + octets + bytes(-len(octets) % 4) + options, order)


def pcapng(packets: Iterable[bytes], link: int = 1, *, order: str = "<", step: int = 1_000_000) -> bytes:
    """A capture of one interface, with nanoseconds."""
    found = [section(order), interface(link, order, option(9, b"\x09", order))]
    found += [enhanced(octets, START + number * step, 0, order) for number, octets in enumerate(packets)]
    return b"".join(found)
