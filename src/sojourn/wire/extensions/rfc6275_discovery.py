"""Discovery of home agents and their prefixes: ICMPv6 messages and options of Mobile IPv6 (RFC 6275 6.5 to 6.8, 7)."""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Annotated

from sojourn.wire.addresses import Address
from sojourn.wire.fields import U16, InHeader, Repeated
from sojourn.wire.icmpv6 import (
    Icmpv6Message,
    Milliseconds32,
    NdOption,
    NdOptions,
    Seconds16,
    icmpv6_message,
    nd_option,
)


class HomeAgentDiscoveryFlags(IntFlag):
    """Flags of home agent address discovery (RFC 3963 7.1, 7.2) and of Home Agent Information (RFC 3963 7.3)."""

    R = MOBILE_ROUTER = 0x8000


class MobilePrefixAdvertisementFlags(IntFlag):
    """Flags of Mobile Prefix Advertisements (RFC 6275 6.8)."""

    M = MANAGED = 0x8000
    O = OTHER = 0x4000  # noqa: E741


@icmpv6_message(144)
@dataclass(slots=True)
class HomeAgentAddressDiscoveryRequest(Icmpv6Message):
    """A mobile node looks for home agents, at the anycast address of their link (RFC 6275 6.5)."""

    code: Annotated[int, InHeader()] = field(default=0, kw_only=True)
    identifier: U16
    flags: Annotated[U16, HomeAgentDiscoveryFlags] = 0


@icmpv6_message(145)
@dataclass(slots=True)
class HomeAgentAddressDiscoveryReply(Icmpv6Message):
    """The home agents of a link, the preferred ones first (RFC 6275 6.6)."""

    code: Annotated[int, InHeader()] = field(default=0, kw_only=True)
    identifier: U16
    flags: Annotated[U16, HomeAgentDiscoveryFlags] = 0
    addresses: Annotated[tuple[Address, ...], Repeated(16, number=False)] = ()


@icmpv6_message(146)
@dataclass(slots=True)
class MobilePrefixSolicitation(Icmpv6Message):
    """A mobile node asks about the prefixes at home; with a Home Address option (RFC 6275 6.7)."""

    code: Annotated[int, InHeader()] = field(default=0, kw_only=True)
    identifier: U16
    reserved: U16 = field(default=0, kw_only=True)
    options: NdOptions = ()


@icmpv6_message(147)
@dataclass(slots=True)
class MobilePrefixAdvertisement(Icmpv6Message):
    """The prefixes at home; with a type 2 routing header (RFC 6275 6.8)."""

    code: Annotated[int, InHeader()] = field(default=0, kw_only=True)
    identifier: U16
    flags: Annotated[U16, MobilePrefixAdvertisementFlags] = 0
    options: NdOptions = ()


@nd_option(7)
@dataclass(slots=True)
class AdvertisementInterval(NdOption):
    """At least so often the router advertises itself (RFC 6275 7.3)."""

    reserved: U16 = field(default=0, kw_only=True)
    interval: Milliseconds32


@nd_option(8)
@dataclass(slots=True)
class HomeAgentInformation(NdOption):
    """The router as a home agent (RFC 6275 7.4, RFC 3963 7.3)."""

    flags: Annotated[U16, HomeAgentDiscoveryFlags] = field(default=0, kw_only=True)
    preference: U16
    """Signed, if one believes the range; higher is better."""
    lifetime: Seconds16
    """Zero must not be used."""
