"""Fast handovers on the access link: ICMPv6 messages and options (RFC 5568 6.1, 6.4)."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Annotated

from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc5568 import AddressCode, LinkLayerCode
from sojourn.wire.fields import U8, U16, U32, InHeader, Ip6, PrefixLength, Rest
from sojourn.wire.icmpv6 import Icmpv6Message, NdOption, NdOptions, icmpv6_message, nd_option


class FastHandoverSubtype(IntEnum):
    """Subtypes of ICMPv6 154 (RFC 5568 11); 4 and 5 of RFC 4068 are Mobility Header messages now."""

    RTSOLPR = 2
    PRRTADV = 3
    HI_DEPRECATED = 4
    HACK_DEPRECATED = 5


class ProxyAdvertisementFlags(IntFlag):
    """The octet that RFC 5568 reserves (RFC 7411 5.1)."""

    M = MULTICAST = 0x80


class NeighbourAcknowledgementStatus(IntEnum):
    """What a router says of an address that a node brought (RFC 5568 6.4.6)."""

    NCOA_IS_INVALID_PERFORM_ADDRESS_CONFIGURATION = 1
    NCOA_IS_INVALID_USE_THE_SUPPLIED_NCOA = 2
    NCOA_IS_INVALID_USE_NARS_IP_ADDRESS_AS_NCOA_IN_FBU = 3
    PCOA_SUPPLIED_DO_NOT_SEND_FBU = 4
    LINK_LAYER_ADDRESS_UNRECOGNIZED = 128


@icmpv6_message(154, subtype=b"\x02")
@dataclass(slots=True)
class RouterSolicitationForProxyAdvertisement(Icmpv6Message):
    """A mobile node asks its router about neighbouring ones: RtSolPr (RFC 5568 6.1.1)."""

    code: Annotated[int, InHeader()] = field(default=0, kw_only=True)
    subtype: Annotated[U8, FastHandoverSubtype] = field(default=2, init=False)
    reserved: U8 = field(default=0, kw_only=True)
    identifier: U16
    options: NdOptions = ()


@icmpv6_message(154, subtype=b"\x03")
@dataclass(slots=True)
class ProxyRouterAdvertisement(Icmpv6Message):
    """What a router knows of its neighbours: PrRtAdv (RFC 5568 6.1.2)."""

    code: Annotated[int, InHeader()] = field(default=0, kw_only=True)
    """0 to 5."""
    subtype: Annotated[U8, FastHandoverSubtype] = field(default=3, init=False)
    flags: Annotated[U8, ProxyAdvertisementFlags] = field(default=0, kw_only=True)
    identifier: U16
    """Of the solicitation; zero if there was none."""
    options: NdOptions = ()


@nd_option(17)
@dataclass(slots=True)
class IpAddressPrefix(NdOption):
    """An address or prefix of a handover (RFC 5568 6.4.1)."""

    code: Annotated[U8, AddressCode]
    prefix_length: PrefixLength
    reserved: U32 = field(default=0, kw_only=True)
    address: Ip6


@nd_option(19)
@dataclass(slots=True)
class LinkLayerAddress(NdOption):
    """A link-layer address of a handover, filled with zeros to units of eight octets (RFC 5568 6.4.3)."""

    code: Annotated[U8, LinkLayerCode]
    link_layer: Annotated[bytes, Rest()]


@nd_option(20)
@dataclass(slots=True)
class NeighborAdvertisementAcknowledgment(NdOption):
    """What the router thinks of the address in an unsolicited advertisement (RFC 5568 6.4.6)."""

    code: U8 = field(default=0, kw_only=True)
    status: Annotated[U8, NeighbourAcknowledgementStatus]
    reserved: U32 = field(default=0, kw_only=True)
    new_care_of: Annotated[bytes, Rest(sizes=(0, 16))] = b""
    """With status 2 only."""

    @property
    def address(self) -> Address | None:
        """The address to use instead."""
        return self.new_care_of or None
