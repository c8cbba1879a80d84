"""What the kernel lets through to a packet socket: what hosts say about themselves, and to the DHCP server; what
stations say when they come to an access point from another one.

Classic BPF, by hand: a jump names the line that it goes to.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final, TypeAlias

_SO_ATTACH_FILTER = 26
_ETH_P_IPV6 = 0x86DD
_LOAD_HALF, _LOAD_BYTE, _IF_EQUAL, _IF_ANY, _RETURN = 0x28, 0x30, 0x15, 0x45, 0x06
_LOAD_IP_LENGTH, _LOAD_HALF_BEHIND = 0xB1, 0x48
"""The length of the IPv4 header into the index register, and half a word behind that."""
_SHIFT_LEFT, _ADD_INDEX, _TO_INDEX, _LOAD_BYTE_BEHIND = 0x64, 0x0C, 0x07, 0x50
"""A number in the order of radiotap, the least significant octet first, becomes the index register."""
_PACKET_TYPE = 0xFFFFF004
"""SKF_AD_OFF + SKF_AD_PKTTYPE: where a filter reads how the frame came."""
_PACKET_OUTGOING = 4

Program: TypeAlias = list[tuple[str, int, int, str, str]]
"""Label, code, operand, then go to, else go to; "" is the next line."""

_NOT_OURS: Final[Program] = [
    ("", _LOAD_BYTE, _PACKET_TYPE, "", ""),
    ("", _IF_EQUAL, _PACKET_OUTGOING, "drop", ""),  # what we send is none of our business
]
_END: Final[Program] = [
    ("take", _RETURN, 0xFFFF, "", ""),
    ("drop", _RETURN, 0, "", ""),
]
IPV6: Final[Program] = [
    *_NOT_OURS,
    ("", _LOAD_HALF, 12, "", ""),
    ("", _IF_EQUAL, _ETH_P_IPV6, "", "drop"),
    ("", _LOAD_BYTE, 20, "", ""),  # next header
    ("", _IF_EQUAL, 17, "udp", ""),
    ("", _IF_EQUAL, 58, "", "options"),
    ("", _LOAD_BYTE, 54, "", ""),
    ("", _IF_EQUAL, 133, "take", ""),  # Router Solicitation
    ("", _IF_EQUAL, 135, "take", ""),  # Neighbour Solicitation
    ("", _IF_EQUAL, 136, "take", "drop"),  # Neighbour Advertisement
    ("options", _IF_EQUAL, 0, "", "drop"),  # Hop-by-Hop Options, as multicast listener messages have
    ("", _LOAD_HALF, 54, "", ""),
    ("", _IF_EQUAL, 58 << 8, "", "drop"),  # eight octets of them, then ICMPv6
    ("", _LOAD_BYTE, 62, "", ""),
    ("", _IF_EQUAL, 130, "take", ""),  # queries, to count them
    ("", _IF_EQUAL, 131, "take", ""),  # reports of either version
    ("", _IF_EQUAL, 132, "take", ""),  # the end of listening, in version 1
    ("", _IF_EQUAL, 143, "take", "drop"),
    ("udp", _LOAD_HALF, 56, "", ""),  # destination port
    ("", _IF_EQUAL, 547, "take", "drop"),
    *_END,
]
ARP: Final[Program] = [*_NOT_OURS, *_END]
IPV4: Final[Program] = [
    *_NOT_OURS,
    ("", _LOAD_BYTE, 23, "", ""),  # protocol
    ("", _IF_EQUAL, 17, "", "drop"),
    ("", _LOAD_HALF, 20, "", ""),
    ("", _IF_ANY, 0x3FFF, "drop", ""),  # a fragment
    ("", _LOAD_IP_LENGTH, 14, "", ""),
    ("", _LOAD_HALF_BEHIND, 16, "", ""),  # destination port
    ("", _IF_EQUAL, 67, "take", "drop"),
    *_END,
]
REASSOCIATION: Final[Program] = [
    ("", _LOAD_BYTE, 3, "", ""),  # where the frame begins, behind the radiotap header
    ("", _SHIFT_LEFT, 8, "", ""),
    ("", _TO_INDEX, 0, "", ""),
    ("", _LOAD_BYTE, 2, "", ""),
    ("", _ADD_INDEX, 0, "", ""),
    ("", _TO_INDEX, 0, "", ""),
    ("", _LOAD_BYTE_BEHIND, 0, "", ""),
    ("", _IF_EQUAL, 0x20, "take", "drop"),  # management, reassociation request
    *_END,
]
"""At a monitor interface (IEEE 802.11)."""


def _assemble(lines: Program) -> bytes:
    """An array of `struct sock_filter` (linux/filter.h); jumps count the instructions that they leave out."""
    labels = {line[0]: number for number, line in enumerate(lines)}
    program = b""
    for number, (_, code, operand, then, otherwise) in enumerate(lines):
        jumps = [labels[to] - number - 1 if to else 0 for to in (then, otherwise)]
        program += struct.pack("=HBBI", code, *jumps, operand)
    return program


def attach(packet_socket: socket.socket, program: Program) -> None:
    """Nothing else arrives at `packet_socket`. Raises OSError."""
    octets = _assemble(program)
    memory = ctypes.create_string_buffer(octets, len(octets))
    request = struct.pack("@HP", len(program), ctypes.addressof(memory))
    packet_socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, request)  # the kernel copies it
