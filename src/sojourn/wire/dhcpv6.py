"""DHCP for IPv6 between a host and a server on its link (RFC 8415), declared as the mobility messages are.

Numbers and lengths of options have 16 bits here. Access routers answer hosts themselves; of relays there is only the
one that a mobile router is for itself (RFC 6276). An option without a class stays octets. A malformed one spoils its
message: RFC 8415 16 lets a server discard what it cannot use, and a client that is answered about half of what it wrote
is not helped.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, TypeAlias, TypeVar

from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import U8, U16, U32, Ip6, PrefixLength, Repeated, Rest, Scaled, Tlvs
from sojourn.wire.generate import STRICT, Head, Walk, define
from sojourn.wire.tlv import WALKERS, Catalogue, Tlv
from sojourn.wire.units import MILLISECOND, SECOND, Duration

CLIENT_PORT, SERVER_PORT = 546, 547
INFINITE: Duration = 0xFFFFFFFF * SECOND
"""A lifetime without end."""
_HEAD = struct.Struct("!HH")
_RELAY_FORWARD, _RELAY_REPLY = 12, 13
_RELAY_HEAD = 34
"""Octets before the options of what relays and servers say to each other."""

Seconds: TypeAlias = Annotated[Duration, Scaled(4, unit=SECOND)]


class MessageType(IntEnum):
    """What a message is (RFC 8415 7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORMATION_REQUEST = 11


class StatusCode(IntEnum):
    """How it went (RFC 8415 21.13)."""

    SUCCESS = 0
    UNSPEC_FAIL = 1
    NO_ADDRS_AVAIL = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIX_AVAIL = 6


# --- options ------------------------------------------------------------------------------------------------------


class Dhcpv6Option(Tlv):
    """An option (RFC 8415 21.1)."""

    __slots__ = ()


@dataclass(slots=True)
class UnknownDhcpv6Option(Dhcpv6Option):
    """An option without a class here; its octets are kept."""

    type: int
    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        """Append the option as it came."""
        if len(self.data) > 0xFFFF or not 0 <= self.type <= 0xFFFF:
            raise EncodeError(f"UnknownDhcpv6Option: type {self.type} cannot carry {len(self.data)} octets")
        out += _HEAD.pack(self.type, len(self.data)) + self.data


OPTIONS: Catalogue[type[Dhcpv6Option]] = Catalogue()
"""The class of each option."""
Option = TypeVar("Option", bound=Dhcpv6Option)


_DEEPER = 4
"""Added to `mode` for each option around; the bits below are flags."""
_DEPTH_MAX = 3
"""A status in an address in an identity association."""


def _walk(octets: bytes, position: int, end: int, mode: int) -> tuple[Any, ...]:
    if mode >= _DEEPER * (_DEPTH_MAX + 1) and position < end:
        raise DecodeError("DHCPv6 options (RFC 8415 21.1) nested too deeply", position)
    found: list[Any] = []
    while position < end:
        if end - position < 4:
            raise DecodeError("DHCPv6 options (RFC 8415 21.1): half an option", position)
        number, length = _HEAD.unpack_from(octets, position)
        start, stop = position + 4, position + 4 + length
        if stop > end:
            raise DecodeError(f"DHCPv6 option {number} (RFC 8415 21.1) does not end within its message", position)
        cls = OPTIONS.ready.get(number)
        read = cls.get(octets, start, stop, mode + _DEEPER) if cls else UnknownDhcpv6Option(number, octets[start:stop])
        found.append(read)
        position = stop
    return tuple(found)


_FAMILY = "DHCPv6 options"
WALKERS[_FAMILY] = _walk
walk: Walk = _walk
Dhcpv6Options: TypeAlias = Annotated[tuple[Dhcpv6Option, ...], Tlvs(_FAMILY)]


def dhcpv6_option(number: int) -> Callable[[type[Option]], type[Option]]:
    """Class decorator: the dataclass with slots is option `number`."""

    def declare(cls: type[Option]) -> type[Option]:
        if number in OPTIONS.ready:
            raise TypeError(f"{cls.__name__}: number {number} is taken")
        cls.number = number
        define(cls, Head(number, base=4, octets=2), (1, 0), WALKERS, lambda get: None)
        OPTIONS.ready[number] = cls
        return cls

    return declare


@dhcpv6_option(1)
@dataclass(slots=True)
class ClientIdentifier(Dhcpv6Option):
    """Who asks (RFC 8415 21.2)."""

    duid: Annotated[bytes, Rest(minimum=1)]


@dhcpv6_option(2)
@dataclass(slots=True)
class ServerIdentifier(Dhcpv6Option):
    """Who answers, or is asked (RFC 8415 21.3)."""

    duid: Annotated[bytes, Rest(minimum=1)]


@dhcpv6_option(3)
@dataclass(slots=True)
class IaNa(Dhcpv6Option):
    """An identity association for addresses (RFC 8415 21.4)."""

    iaid: U32
    t1: Seconds
    t2: Seconds
    options: Dhcpv6Options = ()


@dhcpv6_option(4)
@dataclass(slots=True)
class IaTa(Dhcpv6Option):
    """An identity association for temporary addresses (RFC 8415 21.5)."""

    iaid: U32
    options: Dhcpv6Options = ()


@dhcpv6_option(5)
@dataclass(slots=True)
class IaAddress(Dhcpv6Option):
    """An address within an identity association (RFC 8415 21.6)."""

    address: Ip6
    preferred: Seconds
    valid: Seconds
    options: Dhcpv6Options = ()


@dhcpv6_option(6)
@dataclass(slots=True)
class OptionRequest(Dhcpv6Option):
    """Options that the client would like to have (RFC 8415 21.7)."""

    codes: Annotated[tuple[int, ...], Repeated(2)]


@dhcpv6_option(7)
@dataclass(slots=True)
class Preference(Dhcpv6Option):
    """How much a server wants to be chosen; with 255 the client waits for no other (RFC 8415 21.8)."""

    value: U8


@dhcpv6_option(8)
@dataclass(slots=True)
class ElapsedTime(Dhcpv6Option):
    """Since the client began to ask (RFC 8415 21.9)."""

    elapsed: Annotated[Duration, Scaled(2, unit=10 * MILLISECOND)]


@dhcpv6_option(9)
@dataclass(slots=True)
class RelayedMessage(Dhcpv6Option):
    """The message that a relay passes on (RFC 8415 21.10)."""

    octets: Annotated[bytes, Rest()]


@dhcpv6_option(13)
@dataclass(slots=True)
class Status(Dhcpv6Option):
    """How it went (RFC 8415 21.13)."""

    code: Annotated[U16, StatusCode]
    message: Annotated[bytes, Rest()] = b""


@dhcpv6_option(14)
@dataclass(slots=True)
class RapidCommit(Dhcpv6Option):
    """Two messages instead of four (RFC 8415 21.14)."""


@dhcpv6_option(23)
@dataclass(slots=True)
class DnsServers(Dhcpv6Option):
    """Recursive name servers (RFC 3646 3)."""

    addresses: Annotated[tuple[Address, ...], Repeated(16, number=False)]


@dhcpv6_option(24)
@dataclass(slots=True)
class DomainSearch(Dhcpv6Option):
    """Domains to search, each as DNS writes it (RFC 3646 4)."""

    domains: Annotated[bytes, Rest()]


@dhcpv6_option(25)
@dataclass(slots=True)
class IaPd(Dhcpv6Option):
    """An identity association for prefixes, for a host that is a router (RFC 8415 21.21)."""

    iaid: U32
    t1: Seconds
    t2: Seconds
    options: Dhcpv6Options = ()


@dhcpv6_option(26)
@dataclass(slots=True)
class IaPrefix(Dhcpv6Option):
    """A delegated prefix within an identity association (RFC 8415 21.22)."""

    preferred: Seconds
    valid: Seconds
    prefix_length: PrefixLength
    address: Ip6
    options: Dhcpv6Options = ()

    @classmethod
    def of(cls, prefix: Prefix, preferred: Duration, valid: Duration) -> IaPrefix:
        """The option for `prefix`."""
        return cls(preferred, valid, prefix.length, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix; bits beyond its length are ignored."""
        return Prefix.of(self.address, self.prefix_length)


@dhcpv6_option(32)
@dataclass(slots=True)
class InformationRefreshTime(Dhcpv6Option):
    """When to ask again (RFC 8415 21.23)."""

    time: Seconds


# --- messages -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Dhcpv6Message:
    """A message between client and server (RFC 8415 8)."""

    kind: int
    """`MessageType`."""
    transaction: bytes
    """Three octets that the answer repeats."""
    options: tuple[Dhcpv6Option, ...] = ()

    def first(self, kind: type[Option]) -> Option | None:
        """The first option of this class."""
        return next((option for option in self.options if isinstance(option, kind)), None)

    def all(self, kind: type[Option]) -> tuple[Option, ...]:
        """All options of this class, in order."""
        return tuple(option for option in self.options if isinstance(option, kind))

    def encode(self) -> bytes:
        """The octets. Raises `EncodeError`."""
        if len(self.transaction) != 3 or not 0 <= self.kind <= 255:
            raise EncodeError(f"Dhcpv6Message (RFC 8415 8): type {self.kind}, transaction {self.transaction!r}")
        out = bytearray((self.kind,)) + self.transaction
        for option in self.options:
            option.put(out, False)
        return bytes(out)


_TYPES = frozenset(MessageType)


def decode_dhcpv6(octets: bytes) -> Dhcpv6Message:
    """The message in a UDP payload. Raises `DecodeError` and nothing else."""
    octets = bytes(octets)
    if len(octets) < 4:
        raise DecodeError(f"DHCPv6 (RFC 8415 8): {len(octets)} octets where at least 4 are expected", 0)
    if octets[0] not in _TYPES:
        raise DecodeError(f"DHCPv6 (RFC 8415 7.3): message type {octets[0]}", 0)
    return Dhcpv6Message(octets[0], octets[1:4], _walk(octets, 4, len(octets), STRICT))


@dataclass(slots=True)
class RelayForward:
    """What a relay sends to a server (RFC 8415 9.1)."""

    hops: int
    link: Address
    """An address of the link of the client."""
    peer: Address
    """Who is to be answered."""
    message: bytes
    """That of the client."""

    def encode(self) -> bytes:
        """The octets. Raises `EncodeError`."""
        out = bytearray((_RELAY_FORWARD, self.hops)) + self.link + self.peer
        RelayedMessage(self.message).put(out, False)
        return bytes(out)


def decode_relay_reply(octets: bytes) -> bytes:
    """The message for the client in what a server sends to a relay (RFC 8415 9.2). Raises `DecodeError`."""
    octets = bytes(octets)
    if len(octets) < _RELAY_HEAD or octets[0] != _RELAY_REPLY:
        raise DecodeError("DHCPv6 (RFC 8415 9.2): not a Relay-reply message", 0)
    for option in _walk(octets, _RELAY_HEAD, len(octets), STRICT):
        if isinstance(option, RelayedMessage):
            return option.octets
    raise DecodeError("DHCPv6 (RFC 8415 9.2): a Relay-reply message without a message", _RELAY_HEAD)


def link_layer_duid(link_layer: LinkLayer) -> bytes:
    """A DUID made of an Ethernet address (RFC 8415 11.4)."""
    return b"\0\3\0\1" + link_layer


def uuid_duid(number: bytes) -> bytes:
    """A DUID made of 128 bits that nobody else has (RFC 6355 4)."""
    return b"\0\4" + number


def domain_names(names: tuple[str, ...]) -> bytes:
    """Domain names as DNS writes them (RFC 8415 10), without compression. Raises `EncodeError`."""
    out = bytearray()
    for name in names:
        for label in name.rstrip(".").split("."):
            octets = label.encode("ascii", "replace")
            if not 0 < len(octets) < 64:
                raise EncodeError(f"domain name (RFC 8415 10): {name!r}")
            out += bytes((len(octets),)) + octets
        out.append(0)
    return bytes(out)
