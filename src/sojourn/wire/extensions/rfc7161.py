"""What a node listens to, before it arrives (RFC 7161).

Sections 4.1 and 5 draw the flag S of registrations on top of F and T; section 9, IANA and the verified errata 4146 and
4147 have it at 0x0020 and 0x04, where `BindingUpdateFlags` and `BindingAcknowledgementFlags` have it.
"""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Annotated

from sojourn.wire.fields import U8, Rest
from sojourn.wire.mobility import MobilityMessage, MobilityOption, Options, mobility_message, mobility_option


class SubscriptionFlags(IntFlag):
    """Flags of Subscription Responses (RFC 7161 4.3.2.2)."""

    I = INFORMATION = 0x80  # noqa: E741


@mobility_message(22)
@dataclass(slots=True)
class SubscriptionQuery(MobilityMessage):
    """What does this node listen to (RFC 7161 4.3.1.2)."""

    sequence: U8
    """Modulo 256; all other messages count modulo 65536."""
    reserved: U8 = field(default=0, kw_only=True)
    options: Options = ()


@mobility_message(23)
@dataclass(slots=True)
class SubscriptionResponse(MobilityMessage):
    """The answer to a Subscription Query (RFC 7161 4.3.2.2)."""

    sequence: U8
    """Of the query, modulo 256."""
    flags: Annotated[U8, SubscriptionFlags]
    """I: there is multicast information in the options."""
    options: Options = ()


@mobility_option(56, align=(4, 1))
@dataclass(slots=True)
class ActiveMulticastSubscriptionIpv4(MobilityOption):
    """Groups of IPv4 (RFC 7161 6.1)."""

    igmp_type: U8
    """Of the membership report whose records follow."""
    context: Annotated[bytes, Rest(minimum=4)]


@mobility_option(57, align=(8, 1))
@dataclass(slots=True)
class ActiveMulticastSubscriptionIpv6(MobilityOption):
    """Groups of IPv6 (RFC 7161 4.1.2); at 8n+1 the records begin at 8n+4."""

    mld_type: U8
    """Of the listener report whose records follow."""
    context: Annotated[bytes, Rest(minimum=20)]
