"""Localized routing between gateways (RFC 6705)."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Annotated

from sojourn.wire.fields import U8, U16, Ip6, Scaled
from sojourn.wire.mobility import MobilityMessage, MobilityOption, Options, mobility_message, mobility_option
from sojourn.wire.units import SECOND, Duration


class LocalizedRoutingFlags(IntFlag):
    """Flags of Localized Routing Acknowledgments (RFC 6705 10.2)."""

    U = UNSOLICITED = 0x80


class LocalizedRoutingStatus(IntEnum):
    """What became of it (RFC 6705 10.2); IANA has no registry for these."""

    SUCCESS = 0
    LOCALIZED_ROUTING_NOT_ALLOWED = 128
    MN_NOT_ATTACHED = 129


@mobility_message(17)
@dataclass(slots=True)
class LocalizedRoutingInitiation(MobilityMessage):
    """Packets between these nodes shall go straight (RFC 6705 10.1).

    Each node has its identifier followed by its prefixes, so the order of the options matters.
    """

    sequence: U16
    reserved: U16 = field(default=0, kw_only=True)
    lifetime: Annotated[Duration, Scaled(2, unit=SECOND)]
    """In seconds, not in units of four; the largest value means infinity."""
    options: Options = ()


@mobility_message(18)
@dataclass(slots=True)
class LocalizedRoutingAcknowledgment(MobilityMessage):
    """The answer to a Localized Routing Initiation (RFC 6705 10.2)."""

    sequence: U16
    flags: Annotated[U8, LocalizedRoutingFlags]
    status: Annotated[U8, LocalizedRoutingStatus]
    lifetime: Annotated[Duration, Scaled(2, unit=SECOND)]
    """In seconds."""
    options: Options = ()


@mobility_option(51, align=(8, 4))
@dataclass(slots=True)
class MagIpv6Address(MobilityOption):
    """The gateway of the other node (RFC 6705 11.1)."""

    reserved: U8 = field(default=0, kw_only=True)
    address_length: U8 = field(default=128, kw_only=True)
    """Always 128."""
    address: Ip6
