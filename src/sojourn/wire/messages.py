"""The messages of Mobile IPv6 and what others added to them."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import U8, U16, U32, Ip6, Scaled
from sojourn.wire.mobility import MobilityMessage, Options, mobility_message
from sojourn.wire.units import SECOND, Duration

LIFETIME_UNIT: Duration = 4 * SECOND
"""What the lifetime fields of bindings count (RFC 6275 6.1.7)."""
LIFETIME_INFINITE: Duration = 0xFFFF * LIFETIME_UNIT
"""The largest lifetime that travels; it means infinity where an RFC knows one."""
Lifetime = Annotated[Duration, Scaled(2, unit=LIFETIME_UNIT)]


@mobility_message(0)
@dataclass(slots=True)
class BindingRefreshRequest(MobilityMessage):
    """A mobile node is asked to renew its binding (RFC 6275 6.1.2)."""

    reserved: U16 = field(default=0, kw_only=True)
    options: Options = ()


@mobility_message(5)
@dataclass(slots=True)
class BindingUpdate(MobilityMessage):
    """A mobile node, or with P a gateway on its behalf, says where it is now (RFC 6275 6.1.7, RFC 5213 8.1)."""

    sequence: U16
    """Increases modulo 2**16; never compare with ``<``."""
    flags: U16
    """`BindingUpdateFlags`, with the reserved bits as they came."""
    lifetime: Lifetime
    """Zero asks for the binding to be deleted."""
    options: Options = ()


@mobility_message(6)
@dataclass(slots=True)
class BindingAcknowledgement(MobilityMessage):
    """The answer to a Binding Update (RFC 6275 6.1.8, RFC 5213 8.2)."""

    status: U8
    """`Status`; from 128 on the request is refused, and then the lifetime means nothing."""
    flags: U8
    """`BindingAcknowledgementFlags`."""
    sequence: U16
    """Of the Binding Update."""
    lifetime: Lifetime
    """What was granted."""
    options: Options = ()


@mobility_message(7)
@dataclass(slots=True)
class BindingError(MobilityMessage):
    """A peer uses mobility without a binding, or a message type that we do not know (RFC 6275 6.1.9)."""

    status: U8
    """`BindingErrorStatus`."""
    reserved: U8 = field(default=0, kw_only=True)
    home_address: Ip6
    """The Home Address option that caused this; unspecified if there was none."""
    options: Options = ()


@mobility_message(13)
@dataclass(slots=True)
class Heartbeat(MobilityMessage):
    """A proof of life between gateway and anchor (RFC 5847 3.3)."""

    flags: U16
    """`HeartbeatFlags`."""
    sequence: U32
    options: Options = ()


@mobility_message(16, subtype=b"\x01")
@dataclass(slots=True)
class BindingRevocationIndication(MobilityMessage):
    """The holder of a binding ends it, or asks for that (RFC 5846 5.1)."""

    revocation_type: U8 = field(default=1, init=False)
    trigger: U8
    """Why; from 128 on for all bindings of the receiver."""
    sequence: U16
    flags: U16
    """`BindingRevocationFlags`."""
    options: Options = ()


@mobility_message(16, subtype=b"\x02")
@dataclass(slots=True)
class BindingRevocationAcknowledgement(MobilityMessage):
    """The answer to a Binding Revocation Indication (RFC 5846 5.2)."""

    revocation_type: U8 = field(default=2, init=False)
    status: U8
    """From 128 on the revocation failed."""
    sequence: U16
    flags: U16
    """`BindingRevocationFlags`."""
    options: Options = ()
