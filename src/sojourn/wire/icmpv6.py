"""What routers and hosts say on an access link: neighbour discovery and multicast listeners.

Router and neighbour discovery (RFC 4861) with route information (RFC 4191), declared as the mobility messages are;
of multicast listener discovery (RFC 2710, RFC 3810) what it takes to ask who is there and to notice an answer. Other
ICMPv6 messages stay octets. Whether a hop limit is 255 and which source addresses are allowed is not visible here.

A lifetime with all bits set is infinity: `INFINITE` for the 32-bit lifetimes.
"""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Annotated, Any, TypeAlias

from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix
from sojourn.wire.catalogue import SUBTYPED_ICMPV6, places
from sojourn.wire.checksum import internet_checksum
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import U8, U16, U24, U32, Bits, Ip6, PrefixLength, Rest, Scaled, Tlvs
from sojourn.wire.generate import STRICT
from sojourn.wire.listeners import MulticastAddressRecord, RecordType, interval_code, pack_records, parse_records
from sojourn.wire.tlv import Family, Message, Registry, Tlv
from sojourn.wire.units import MILLISECOND, SECOND, Duration

ICMPV6 = 58
"""The protocol number (next header)."""
INFINITE: Duration = 0xFFFFFFFF * SECOND
"""A prefix or route lifetime without end."""
_HEADER = 4
"""Octets of the header: type, code, checksum."""

Seconds16: TypeAlias = Annotated[Duration, Scaled(2, unit=SECOND)]
Seconds32: TypeAlias = Annotated[Duration, Scaled(4, unit=SECOND)]
Milliseconds16: TypeAlias = Annotated[Duration, Scaled(2, unit=MILLISECOND)]
Milliseconds32: TypeAlias = Annotated[Duration, Scaled(4, unit=MILLISECOND)]


class RouterAdvertisementFlags(IntFlag):
    """Flags of Router Advertisements, with the two bits of the default router preference."""

    MANAGED = 0x80  # RFC 4861 4.2
    OTHER = 0x40
    HOME_AGENT = 0x20  # RFC 6275 7.1
    PREFERENCE_HIGH = 0x08  # RFC 4191 2.2
    PREFERENCE_LOW = 0x18
    PROXY = 0x04  # RFC 5175 5


class PrefixInformationFlags(IntFlag):
    """Flags of Prefix Information."""

    ON_LINK = 0x80  # RFC 4861 4.6.2
    AUTONOMOUS = 0x40
    ROUTER_ADDRESS = 0x20  # RFC 6275 7.2


class NeighbourAdvertisementFlags(IntFlag):
    """Flags of Neighbour Advertisements (RFC 4861 4.4)."""

    ROUTER = 0x80
    SOLICITED = 0x40
    OVERRIDE = 0x20


# --- options ------------------------------------------------------------------------------------------------------


class NdOption(Tlv):
    """A neighbour discovery option: its length counts units of eight octets (RFC 4861 4.6)."""

    __slots__ = ()


@dataclass(slots=True)
class UnknownNdOption(NdOption):
    """An option without a class here, or one that is malformed; its octets are kept."""

    type: int
    data: bytes
    """All after the length octet."""

    def put(self, out: bytearray, align: bool) -> None:
        """Append the option as it came."""
        units, left = divmod(2 + len(self.data), 8)
        if left or not 0 <= units <= 255 or not 0 <= self.type <= 255:
            raise EncodeError(f"UnknownNdOption: type {self.type} cannot carry {len(self.data)} octets")
        out += bytes((self.type, units)) + self.data


ND_OPTIONS = Family("neighbour discovery options", UnknownNdOption, base=0, unit=8)
"""RFC 4861 4.6. One without a length spoils the whole message, as it must (RFC 4861 6.1)."""
ND_OPTIONS.classes.elsewhere.update(places("discovery"))
nd_option = ND_OPTIONS.option
NdOptions: TypeAlias = Annotated[tuple[NdOption, ...], Tlvs("neighbour discovery options")]


@nd_option(1)
@dataclass(slots=True)
class SourceLinkLayerAddress(NdOption):
    """The link-layer address of the sender (RFC 4861 4.6.1)."""

    link_layer: Annotated[bytes, Rest()]
    """Filled with zeros to the end of the option, as on the wire; 6 octets on Ethernet."""


@nd_option(2)
@dataclass(slots=True)
class TargetLinkLayerAddress(NdOption):
    """The link-layer address of the target (RFC 4861 4.6.1)."""

    link_layer: Annotated[bytes, Rest()]
    """As in `SourceLinkLayerAddress`."""


@nd_option(3)
@dataclass(slots=True)
class PrefixInformation(NdOption):
    """A prefix that is on the link or makes addresses, or both (RFC 4861 4.6.2)."""

    prefix_length: PrefixLength
    flags: Annotated[U8, PrefixInformationFlags]
    """`PrefixInformationFlags`."""
    valid: Seconds32
    preferred: Seconds32
    reserved: U32 = field(default=0, kw_only=True)
    address: Ip6

    @classmethod
    def of(cls, prefix: Prefix, flags: int, valid: Duration, preferred: Duration) -> "PrefixInformation":
        """The option for `prefix`."""
        return cls(prefix.length, flags, valid, preferred, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix; bits beyond its length are ignored, as the RFC asks."""
        return Prefix.of(self.address, self.prefix_length)


@nd_option(5)
@dataclass(slots=True)
class Mtu(NdOption):
    """The MTU of the link (RFC 4861 4.6.4)."""

    reserved: U16 = field(default=0, kw_only=True)
    mtu: U32


@nd_option(24)
@dataclass(slots=True)
class RouteInformation(NdOption):
    """A route through the sender, more specific than the default route (RFC 4191 2.3)."""

    prefix_length: PrefixLength
    reserved: Annotated[int, Bits(3)] = field(default=0, kw_only=True)
    preference: Annotated[int, Bits(2)] = field(default=0, kw_only=True)
    """0 medium, 1 high, 3 low; an option with 2 must be ignored."""
    reserved2: Annotated[int, Bits(3)] = field(default=0, kw_only=True)
    lifetime: Seconds32
    leading: Annotated[bytes, Rest(sizes=(0, 8, 16))]
    """The first octets of the prefix, as many as it needs."""

    @classmethod
    def of(cls, prefix: Prefix, lifetime: Duration, preference: int = 0) -> "RouteInformation":
        """The option for `prefix`."""
        size = 8 * ((prefix.length + 63) // 64)
        return cls(prefix.length, lifetime, prefix.address[:size], preference=preference)

    @property
    def prefix(self) -> Prefix:
        """The prefix; octets that are not there are zero."""
        return Prefix.of(self.leading.ljust(16, b"\0"), self.prefix_length)


# --- messages -----------------------------------------------------------------------------------------------------


class Icmpv6Message(Message):
    """An ICMPv6 message without its first four octets."""

    __slots__ = ()


@dataclass(slots=True)
class UnknownIcmpv6(Icmpv6Message):
    """A message without a class here; its octets are kept."""

    type: int
    code: int
    data: bytes
    """All after the checksum."""

    def put(self, out: bytearray, align: bool) -> None:
        """Append the data as it came."""
        out[:2] = bytes((self.type, self.code))
        out += self.data


_REGISTRY: Registry[Icmpv6Message] = Registry()
for _number, _module in places("icmpv6").items():
    (_REGISTRY.subtypes if _number in SUBTYPED_ICMPV6 else _REGISTRY.classes).elsewhere[_number] = _module
MESSAGES = _REGISTRY.classes
"""The class of each ICMPv6 type."""
SUBTYPED_MESSAGES = _REGISTRY.subtypes
"""The classes of ICMPv6 types whose data begin with a type of their own."""
icmpv6_message = _REGISTRY.message


@icmpv6_message(133)
@dataclass(slots=True)
class RouterSolicitation(Icmpv6Message):
    """A host asks for routers (RFC 4861 4.1)."""

    reserved: U32 = field(default=0, kw_only=True)
    options: NdOptions = ()


@icmpv6_message(134)
@dataclass(slots=True)
class RouterAdvertisement(Icmpv6Message):
    """A router says that it is there, and which prefixes are (RFC 4861 4.2)."""

    hop_limit: U8 = 64
    """For the packets of hosts; 0: not said."""
    flags: Annotated[U8, RouterAdvertisementFlags] = 0
    """`RouterAdvertisementFlags`."""
    lifetime: Seconds16 = 0
    """As a default router; zero: it is none."""
    reachable: Milliseconds32 = 0
    """How long a neighbour counts as reachable; 0: not said."""
    retransmit: Milliseconds32 = 0
    """Between neighbour solicitations; 0: not said."""
    options: NdOptions = ()


@icmpv6_message(135)
@dataclass(slots=True)
class NeighbourSolicitation(Icmpv6Message):
    """Who has this address, or: are you there (RFC 4861 4.3)."""

    reserved: U32 = field(default=0, kw_only=True)
    target: Ip6
    options: NdOptions = ()


@icmpv6_message(136)
@dataclass(slots=True)
class NeighbourAdvertisement(Icmpv6Message):
    """This link-layer address has the target address (RFC 4861 4.4)."""

    flags: Annotated[U8, NeighbourAdvertisementFlags]
    """`NeighbourAdvertisementFlags`."""
    reserved: U24 = field(default=0, kw_only=True)
    target: Ip6
    options: NdOptions = ()


@icmpv6_message(130)
@dataclass(slots=True)
class MulticastListenerQuery(Icmpv6Message):
    """Who listens to multicast groups (RFC 2710 3, RFC 3810 5.1)."""

    maximum_response: Milliseconds16
    """Answers may take so long. From 32768 ms on it is a code in version 2, not a duration."""
    reserved: U16 = field(default=0, kw_only=True)
    group: Ip6 = UNSPECIFIED
    version2: Annotated[bytes, Rest()] = b""
    """What version 2 adds: S and QRV, QQIC, sources; empty in version 1."""

    @classmethod
    def general(cls, maximum_response: Duration) -> "MulticastListenerQuery":
        """A query of version 2 to all listeners, with the default robustness 2 and interval 125 s (RFC 3810 9)."""
        return cls.about(UNSPECIFIED, maximum_response, 2, 125 * SECOND)

    @classmethod
    def about(
        cls, group: Address, maximum_response: Duration, robustness: int, interval: Duration
    ) -> "MulticastListenerQuery":
        """A query of version 2 about one group; `UNSPECIFIED`: about all of them. `maximum_response` is below 32 s."""
        told = robustness if robustness <= 7 else 0  # RFC 3810 5.1.8
        return cls(maximum_response, group=group, version2=bytes((told, interval_code(interval), 0, 0)))


class MulticastListenerReport(Icmpv6Message):
    """A host says which groups it listens to, in either version of the protocol."""

    __slots__ = ()

    @property
    def memberships(self) -> tuple[MulticastAddressRecord, ...]:
        """What it says of each group, as a report of version 2 would (RFC 3810 8.3.2)."""
        raise NotImplementedError

    @property
    def groups(self) -> tuple[Address, ...]:
        """The multicast addresses that it names."""
        return tuple(record.group for record in self.memberships)


@icmpv6_message(131)
@dataclass(slots=True)
class MulticastListenerReport1(MulticastListenerReport):
    """The report of version 1: one group (RFC 2710 3)."""

    maximum_response: U16 = field(default=0, kw_only=True)
    reserved: U16 = field(default=0, kw_only=True)
    group: Ip6

    @property
    def memberships(self) -> tuple[MulticastAddressRecord, ...]:
        """All sources of the one group."""
        return (MulticastAddressRecord(RecordType.MODE_IS_EXCLUDE, self.group),)


@icmpv6_message(132)
@dataclass(slots=True)
class MulticastListenerDone(MulticastListenerReport):
    """A host of version 1 ceases to listen to a group (RFC 2710 3)."""

    maximum_response: U16 = field(default=0, kw_only=True)
    reserved: U16 = field(default=0, kw_only=True)
    group: Ip6

    @property
    def memberships(self) -> tuple[MulticastAddressRecord, ...]:
        """No source of the one group."""
        return (MulticastAddressRecord(RecordType.CHANGE_TO_INCLUDE_MODE, self.group),)


@icmpv6_message(143)
@dataclass(slots=True)
class MulticastListenerReport2(MulticastListenerReport):
    """The report of version 2: any number of records (RFC 3810 5.2)."""

    reserved: U16 = field(default=0, kw_only=True)
    count: U16
    records: Annotated[bytes, Rest()]
    """type:u8 aux_words:u8 sources:u16 group:ip6 source:ip6* aux, so many times as `count` says."""

    @classmethod
    def of(cls, *records: MulticastAddressRecord) -> "MulticastListenerReport2":
        """The report that consists of `records`."""
        return cls(len(records), pack_records(records))

    @property
    def memberships(self) -> tuple[MulticastAddressRecord, ...]:
        """The records that are complete."""
        return parse_records(self.records, self.count)


# --- octets -------------------------------------------------------------------------------------------------------

_DISCOVERY = range(133, 138)
"""Types whose code must be zero (RFC 4861 6.1, 7.1, 8.1)."""


def decode_icmpv6(octets: bytes, *, strict: bool = False) -> Icmpv6Message:
    """The message in an ICMPv6 packet, all of whose octets are given. Raises `DecodeError` and nothing else.

    A malformed option becomes an `UnknownNdOption` and is an error only if `strict`; one of length zero always is.
    The checksum is not looked at: that is `verify_icmpv6`, and the kernel's raw sockets do it.
    """
    octets = bytes(octets)
    if len(octets) < _HEADER:
        raise DecodeError(f"ICMPv6 (RFC 4443 2.1): {len(octets)} octets where at least {_HEADER} are expected", 0)
    number, code = octets[0], octets[1]
    read = _REGISTRY.readers[number] or _REGISTRY.reader(number)
    if read is None:
        return UnknownIcmpv6(number, code, octets[_HEADER:])
    if code and number in _DISCOVERY:
        raise DecodeError(f"{MESSAGES[number].__name__} ({MESSAGES[number].rfc}): code {code}", 1)
    message: Any = read(octets, _HEADER, len(octets), STRICT * strict)
    if message is None:
        return UnknownIcmpv6(number, code, octets[_HEADER:])
    if hasattr(type(message), "code"):
        message.code = code
    found: Icmpv6Message = message
    return found


def encode_icmpv6(message: Icmpv6Message) -> bytes:
    """The octets of `message`, checksum zero; `seal_icmpv6` or the kernel fills it. Raises `EncodeError`."""
    code = getattr(message, "code", 0)
    if not isinstance(code, int) or not 0 <= code <= 255:
        raise EncodeError(f"{type(message).__name__}.code ({getattr(message, 'rfc', 'RFC 4443 2.1')}): {code!r}")
    out = bytearray((message.number, code, 0, 0))
    message.put(out, True)
    return bytes(out)


def seal_icmpv6(octets: bytes, source: Address, destination: Address) -> bytes:
    """The same packet with its checksum (RFC 4443 2.3)."""
    bare = b"".join((octets[:2], b"\0\0", octets[_HEADER:]))
    value = internet_checksum(bare, source, destination, ICMPV6)
    return b"".join((octets[:2], value.to_bytes(2, "big"), octets[_HEADER:]))


def verify_icmpv6(octets: bytes, source: Address, destination: Address) -> bool:
    """Whether the checksum is right."""
    return internet_checksum(octets, source, destination, ICMPV6) == 0
