"""DHCP for IPv4 between a host and a server on its link (RFC 2131, RFC 2132).

The fixed part is declared as the other messages are. Options are octets by number: few are looked at here, and
most of these are one address or one number. An option that occurs several times is one long option (RFC 3396); what
overflows into the fields for names (option 52) is read, never written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any

from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import U8, U16, U32, Ip4, Octets, Rest
from sojourn.wire.generate import STRICT, define
from sojourn.wire.tlv import WALKERS, Message
from sojourn.wire.units import SECOND, Duration

SERVER_PORT, CLIENT_PORT = 67, 68
MAGIC_COOKIE = bytes((99, 130, 83, 99))
BROADCAST_FLAG = 0x8000
BOOTREQUEST, BOOTREPLY = 1, 2
ETHERNET = 1
SHORTEST = 300
"""Octets that old clients and relays expect at least (RFC 1542 2.1)."""
_LONGEST_LEASE = 0xFFFFFFFF
_FIXED = 240


class DhcpType(IntEnum):
    """Option 53 (RFC 2132 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Code(IntEnum):
    """Options that are used here (RFC 2132)."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVERS = 6
    DOMAIN_NAME = 15
    INTERFACE_MTU = 26
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    MESSAGE = 56
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_IDENTIFIER = 61
    AGENT_INFORMATION = 82
    END = 255


@dataclass(slots=True)
class _Fixed(Message):
    """What precedes the options (RFC 2131 2)."""

    op: U8
    hardware_type: U8
    hardware_length: U8
    hops: U8
    transaction: U32
    seconds: U16
    flags: U16
    client: Ip4
    yours: Ip4
    server: Ip4
    relay: Ip4
    hardware: Annotated[bytes, Octets(16)]
    server_name: Annotated[bytes, Octets(64)]
    file: Annotated[bytes, Octets(128)]
    cookie: Annotated[bytes, Octets(4)]
    area: Annotated[bytes, Rest()]


define(_Fixed, None, (1, 0), WALKERS, lambda get: None)
_ANY = bytes(4)


@dataclass(slots=True)
class Dhcpv4Message:
    """A message between client and server (RFC 2131 2). Addresses are 4 octets."""

    op: int
    transaction: int
    hardware: bytes
    """chaddr: the client's Ethernet address."""
    options: dict[int, bytes] = field(default_factory=dict)
    """By number; no Pad, no End."""
    flags: int = 0
    seconds: int = 0
    client: bytes = _ANY
    """ciaddr: the address that the client has and answers for."""
    yours: bytes = _ANY
    """yiaddr: the address that the server gives."""
    server: bytes = _ANY
    """siaddr: where the client would go on booting."""
    relay: bytes = _ANY
    """giaddr."""

    @property
    def kind(self) -> int:
        """The DHCP message type; 0 when there is none (that is BOOTP)."""
        value = self.options.get(Code.MESSAGE_TYPE, b"")
        return value[0] if len(value) == 1 else 0

    def address(self, code: Code) -> bytes | None:
        """An option that is one address."""
        value = self.options.get(code, b"")
        return value if len(value) == 4 else None

    def encode(self) -> bytes:
        """The octets, with options in the order of the dictionary. Raises `EncodeError`."""
        if len(self.hardware) != 6:
            raise EncodeError(f"Dhcpv4Message.hardware (RFC 2131 2): {self.hardware!r} is not 6 octets")
        area = bytearray()
        for code, value in self.options.items():
            _put_option(area, code, value)
        area.append(Code.END)
        area += bytes(max(SHORTEST - _FIXED - len(area), 0))
        fixed = _Fixed(
            self.op,
            ETHERNET,
            6,
            0,
            self.transaction,
            self.seconds,
            self.flags,
            self.client,
            self.yours,
            self.server,
            self.relay,
            self.hardware + bytes(10),
            bytes(64),
            bytes(128),
            MAGIC_COOKIE,
            bytes(area),
        )
        out = bytearray()
        fixed.put(out, False)
        return bytes(out)


def _put_option(out: bytearray, code: int, value: bytes) -> None:
    if not 0 < code < 255:
        raise EncodeError(f"DHCPv4 option {code} (RFC 2132 2): cannot carry octets")
    for start in range(0, len(value) or 1, 255):
        part = value[start : start + 255]
        out += bytes((code, len(part))) + part


def decode_dhcpv4(octets: bytes) -> Dhcpv4Message:
    """The message in a UDP payload. Raises `DecodeError` and nothing else."""
    octets = bytes(octets)
    fixed: Any = _Fixed.get(octets, 0, len(octets), STRICT)
    if fixed.cookie != MAGIC_COOKIE:
        raise DecodeError("DHCPv4 (RFC 2131 3): no magic cookie", _FIXED - 4)
    if fixed.hardware_type != ETHERNET or fixed.hardware_length != 6:
        raise DecodeError("DHCPv4 (RFC 2131 2): not an Ethernet address", 1)
    options: dict[int, bytes] = {}
    _collect(options, fixed.area, _FIXED)
    overload = options.pop(Code.OVERLOAD, b"\0")
    if len(overload) != 1 or overload[0] > 3:
        raise DecodeError(f"DHCPv4 option 52 (RFC 2132 9.3): {overload[:8].hex()}", _FIXED)
    if overload[0] & 1:
        _collect(options, fixed.file, 108)
    if overload[0] & 2:
        _collect(options, fixed.server_name, 44)
    return Dhcpv4Message(
        fixed.op,
        fixed.transaction,
        fixed.hardware[:6],
        options,
        fixed.flags,
        fixed.seconds,
        fixed.client,
        fixed.yours,
        fixed.server,
        fixed.relay,
    )


def _collect(options: dict[int, bytes], area: bytes, offset: int) -> None:
    """The options of one area; of those that occur again, the octets are joined (RFC 3396 7)."""
    position = 0
    while position < len(area):
        code = area[position]
        if code == Code.PAD:
            position += 1
            continue
        if code == Code.END:
            return
        stop = position + 2 + area[position + 1] if position + 1 < len(area) else len(area) + 1
        if stop > len(area):
            raise DecodeError(f"DHCPv4 option {code} (RFC 2132 2) does not end within its message", offset + position)
        options[code] = options.get(code, b"") + area[position + 2 : stop]
        position = stop


def lease_octets(duration: Duration) -> bytes:
    """A lease time for the wire: whole seconds (RFC 2132 9.2)."""
    return struct.pack("!I", min(duration // SECOND, _LONGEST_LEASE))
