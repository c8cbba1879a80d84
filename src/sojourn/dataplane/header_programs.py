"""eBPF for route optimisation (RFC 6275 6.3, 6.4): headers come into packets that leave, and out of those that arrive.

    at           program               what it looks up                         what it does
    mobile node  leaves                source, destination, mark -> care-of     Home Address option in, source = care-of
    mobile node  arrives               destination and the header's address     type 2 header out, destination = home
    correspondent leaves               destination and mark -> care-of          type 2 header in, destination = care-of
    correspondent arrives              source and the option's address          Home Address option out, source = home

A packet whose mark says that it is of a flow (`flow_filter`) goes where that flow goes, if it has a way of its own,
else where all others go.

Both headers have 24 octets and stand right behind the IPv6 header. No checksum changes: RFC 6275 computes them with the
home address. A packet that carries a Mobility Header is left alone, and so is what is not found: then the kernel, which
knows neither header, drops it (RFC 6275 15.6: nobody can use a Home Address option without a binding). Where several of
a TCP stream travel as one (GSO), they stay so, with smaller segments; datagrams that do keep their size.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from sojourn.dataplane.bpf_assembler import Alu, Assembler, Jump, R, Size
from sojourn.dataplane.classifier import SHOT, UNSPEC

HEADER = 24
"""Octets of a Destination Options header with a Home Address option, or of a type 2 routing header."""
_LOOKUP, _STORE, _LOAD, _ADJUST_ROOM = 1, 9, 26, 50
_RECOMPUTE_CHECKSUM = 1
_BEHIND_IPV6 = 0
"""BPF_ADJ_ROOM_NET."""
_FIXED_GSO = 1
_PROTOCOL_AT, _MARK_AT = 16, 8
_IPV6_HERE = int.from_bytes(b"\x86\xdd", sys.byteorder)
"""ETH_P_IPV6 in network order, as this machine reads it."""
_PAYLOAD_LENGTH, _NEXT_HEADER, _SOURCE, _DESTINATION = 4, 6, 8, 24
_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS, _MOBILITY = 0, 43, 60, 135
_IPV6, _EXTENSION, _KEY, _CARE_OF, _WAY = -40, -64, -96, -112, -152
"""Where on the stack: the IPv6 header, the other header, a key of 32 octets, an address, a key of 36 octets."""
_ADDRESS = 8
"""Where both headers have their address."""


@dataclass(frozen=True)
class Kind:
    """One of both headers."""

    number: int
    fixed: tuple[int, ...]
    """Its octets behind the next header, up to the address: length, and what says that it is this one."""
    side: int
    """Which address of the IPv6 header it is about."""


HOME_ADDRESS = Kind(_DESTINATION_OPTIONS, (2, 1, 2, 0, 0, 0xC9, 16), _SOURCE)
"""PadN of four octets, then the option."""
TYPE_2 = Kind(_ROUTING, (2, 2, 1, 0, 0, 0, 0), _DESTINATION)


def leaving(kind: Kind, ways: int, link_header: int, mask: int) -> bytes:
    """The program for packets that leave through an interface with a link-layer header of that length.

    `ways` is a map from addresses to care-of addresses: for the Home Address option from source and destination, for
    the routing header from the destination, each with a packet mark, of which the bits of `mask` count. A Home Address
    option goes behind no other header, and what cannot have one does not leave: it would show the home address on a
    foreign link.
    """
    code = _beginning(link_header)
    code.load(Size.OCTET, R.R8, R.R10, _IPV6 + _NEXT_HEADER)
    code.jump(Jump.EQUAL, R.R8, _MOBILITY, "pass")
    key, octets = (_SOURCE, 32) if kind is HOME_ADDRESS else (_DESTINATION, 16)
    code.copy(octets, R.R10, _WAY, R.R10, _IPV6 + key, R.R1)
    code.load(Size.WORD, R.R7, R.R6, _MARK_AT).alu(Alu.AND, R.R7, mask)
    code.store(Size.WORD, R.R10, _WAY + octets, R.R7)
    code.map(R.R1, ways).move(R.R2, R.R10).add(R.R2, _WAY).call(_LOOKUP)
    code.jump(Jump.NOT_EQUAL, R.R0, 0, "found").jump(Jump.EQUAL, R.R7, 0, "pass")
    code.store(Size.WORD, R.R10, _WAY + octets, 0)
    code.map(R.R1, ways).move(R.R2, R.R10).add(R.R2, _WAY).call(_LOOKUP)
    code.jump(Jump.EQUAL, R.R0, 0, "pass").label("found")
    code.copy(16, R.R10, _CARE_OF, R.R0, 0, R.R1)
    for other in (_HOP_BY_HOP, _ROUTING):
        code.jump(Jump.EQUAL, R.R8, other, "drop" if kind is HOME_ADDRESS else "pass")
    code.store(Size.OCTET, R.R10, _EXTENSION, R.R8)
    for at, octet in enumerate(kind.fixed, 1):
        code.store(Size.OCTET, R.R10, _EXTENSION + at, octet)
    code.copy(16, R.R10, _EXTENSION + _ADDRESS, R.R10, _IPV6 + kind.side, R.R1)
    _adjust(code, HEADER)
    _store(code, link_header + 40, _EXTENSION, HEADER, 0)
    code.store(Size.OCTET, R.R10, _IPV6 + _NEXT_HEADER, kind.number)
    code.copy(16, R.R10, _IPV6 + kind.side, R.R10, _CARE_OF, R.R1)
    _change_length(code, HEADER)
    _store(code, link_header, _IPV6, 40, 0)
    return _end(code)


def arriving(kind: Kind, pairs: int, link_header: int) -> bytes:
    """The program for packets that arrive. `pairs` is a map from care-of and home address to a counter of packets."""
    code = _beginning(link_header)
    code.load(Size.OCTET, R.R8, R.R10, _IPV6 + _NEXT_HEADER)
    code.jump(Jump.NOT_EQUAL, R.R8, kind.number, "pass")
    _load(code, link_header + 40, _EXTENSION, HEADER)
    for at, octet in enumerate(kind.fixed, 1):
        if octet:  # padding and what is reserved: whatever it is
            code.load(Size.OCTET, R.R1, R.R10, _EXTENSION + at).jump(Jump.NOT_EQUAL, R.R1, octet, "pass")
    code.load(Size.OCTET, R.R8, R.R10, _EXTENSION)
    code.jump(Jump.EQUAL, R.R8, _MOBILITY, "pass")
    code.copy(16, R.R10, _KEY, R.R10, _IPV6 + kind.side, R.R1)
    code.copy(16, R.R10, _KEY + 16, R.R10, _EXTENSION + _ADDRESS, R.R1)
    code.map(R.R1, pairs).move(R.R2, R.R10).add(R.R2, _KEY).call(_LOOKUP)
    code.jump(Jump.EQUAL, R.R0, 0, "pass")
    code.move(R.R1, 1).atomic_add(R.R0, 0, R.R1)
    code.store(Size.OCTET, R.R10, _IPV6 + _NEXT_HEADER, R.R8)
    code.copy(16, R.R10, _IPV6 + kind.side, R.R10, _EXTENSION + _ADDRESS, R.R1)
    _change_length(code, -HEADER)
    _adjust(code, -HEADER)
    _store(code, link_header, _IPV6, 40, _RECOMPUTE_CHECKSUM)
    return _end(code)


def _beginning(link_header: int) -> Assembler:
    """R6 is the packet, its IPv6 header is on the stack."""
    code = Assembler().move(R.R6, R.R1).load(Size.WORD, R.R1, R.R6, _PROTOCOL_AT)
    code.jump(Jump.NOT_EQUAL, R.R1, _IPV6_HERE, "pass")
    _load(code, link_header, _IPV6, 40)
    return code


def _load(code: Assembler, at: int, to: int, octets: int) -> None:
    code.move(R.R1, R.R6).move(R.R2, at).move(R.R3, R.R10).add(R.R3, to).move(R.R4, octets).call(_LOAD)
    code.jump(Jump.NOT_EQUAL, R.R0, 0, "pass")


def _store(code: Assembler, at: int, what: int, octets: int, flags: int) -> None:
    code.move(R.R1, R.R6).move(R.R2, at).move(R.R3, R.R10).add(R.R3, what).move(R.R4, octets).move(R.R5, flags)
    code.call(_STORE).jump(Jump.NOT_EQUAL, R.R0, 0, "drop")


def _adjust(code: Assembler, octets: int) -> None:
    """Make room behind the IPv6 header, or take it away; if that fails, for datagrams in one, with their size kept."""
    for flags in (0, _FIXED_GSO):
        code.move(R.R1, R.R6).move(R.R2, octets).move(R.R3, _BEHIND_IPV6).move(R.R4, flags).call(_ADJUST_ROOM)
        if flags == 0:
            code.jump(Jump.EQUAL, R.R0, 0, "adjusted")
    code.jump(Jump.NOT_EQUAL, R.R0, 0, "drop").label("adjusted")


def _change_length(code: Assembler, octets: int) -> None:
    at = _IPV6 + _PAYLOAD_LENGTH
    code.load(Size.HALF, R.R1, R.R10, at).big_endian(R.R1, 16).add(R.R1, octets).alu(Alu.AND, R.R1, 0xFFFF)
    code.big_endian(R.R1, 16).store(Size.HALF, R.R10, at, R.R1)


def _end(code: Assembler) -> bytes:
    code.label("pass").move(R.R0, UNSPEC).leave().label("drop").move(R.R0, SHOT).leave()
    return code.assemble()
