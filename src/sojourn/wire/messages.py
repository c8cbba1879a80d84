"""The messages of Mobile IPv6 and what others added to them."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import U8, U16, U32, Ip6, Octets, Scaled
from sojourn.wire.mobility import MobilityMessage, Options, mobility_message
from sojourn.wire.units import SECOND, Duration
from sojourn.wire.values import (
    BindingAcknowledgementFlags,
    BindingErrorStatus,
    BindingRevocationFlags,
    BindingUpdateFlags,
    HeartbeatFlags,
    RevocationStatus,
    RevocationTrigger,
    RevocationType,
    Status,
)

LIFETIME_UNIT: Duration = 4 * SECOND
"""What the lifetime fields of bindings count (RFC 6275 6.1.7)."""
LIFETIME_INFINITE: Duration = 0xFFFF * LIFETIME_UNIT
"""The largest lifetime that travels; it means infinity where an RFC knows one."""
Lifetime = Annotated[Duration, Scaled(2, unit=LIFETIME_UNIT)]
Token = Annotated[bytes, Octets(8)]
"""Cookies and keygen tokens."""


@mobility_message(0)
@dataclass(slots=True)
class BindingRefreshRequest(MobilityMessage):
    """A mobile node is asked to renew its binding (RFC 6275 6.1.2)."""

    reserved: U16 = field(default=0, kw_only=True)
    options: Options = ()


@mobility_message(1)
@dataclass(slots=True)
class HomeTestInit(MobilityMessage):
    """A mobile node, through its home agent, asks a correspondent node for a home test (RFC 6275 6.1.3)."""

    reserved: U16 = field(default=0, kw_only=True)
    cookie: Token
    options: Options = ()


@mobility_message(2)
@dataclass(slots=True)
class CareOfTestInit(MobilityMessage):
    """A mobile node asks a correspondent node for a care-of test (RFC 6275 6.1.4)."""

    reserved: U16 = field(default=0, kw_only=True)
    cookie: Token
    options: Options = ()


@mobility_message(3)
@dataclass(slots=True)
class HomeTest(MobilityMessage):
    """The answer to a Home Test Init (RFC 6275 6.1.5)."""

    nonce_index: U16
    cookie: Token
    keygen_token: Token
    options: Options = ()


@mobility_message(4)
@dataclass(slots=True)
class CareOfTest(MobilityMessage):
    """The answer to a Care-of Test Init (RFC 6275 6.1.6)."""

    nonce_index: U16
    cookie: Token
    keygen_token: Token
    options: Options = ()


@mobility_message(5)
@dataclass(slots=True)
class BindingUpdate(MobilityMessage):
    """A mobile node, or with P a gateway on its behalf, says where it is now (RFC 6275 6.1.7, RFC 5213 8.1)."""

    sequence: U16
    """Increases modulo 2**16; never compare with ``<``."""
    flags: Annotated[U16, BindingUpdateFlags]
    """`BindingUpdateFlags`, with the reserved bits as they came."""
    lifetime: Lifetime
    """Zero asks for the binding to be deleted."""
    options: Options = ()


@mobility_message(6)
@dataclass(slots=True)
class BindingAcknowledgement(MobilityMessage):
    """The answer to a Binding Update (RFC 6275 6.1.8, RFC 5213 8.2)."""

    status: Annotated[U8, Status]
    """`Status`; from 128 on the request is refused, and then the lifetime means nothing."""
    flags: Annotated[U8, BindingAcknowledgementFlags]
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

    status: Annotated[U8, BindingErrorStatus]
    """`BindingErrorStatus`."""
    reserved: U8 = field(default=0, kw_only=True)
    home_address: Ip6
    """The Home Address option that caused this; unspecified if there was none."""
    options: Options = ()


@mobility_message(13)
@dataclass(slots=True)
class Heartbeat(MobilityMessage):
    """A proof of life between gateway and anchor (RFC 5847 3.3)."""

    flags: Annotated[U16, HeartbeatFlags]
    """`HeartbeatFlags`."""
    sequence: U32
    options: Options = ()


@mobility_message(16, subtype=b"\x01")
@dataclass(slots=True)
class BindingRevocationIndication(MobilityMessage):
    """The holder of a binding ends it, or asks for that (RFC 5846 5.1)."""

    revocation_type: Annotated[U8, RevocationType] = field(default=1, init=False)
    trigger: Annotated[U8, RevocationTrigger]
    """Why; from 128 on for all bindings of the receiver."""
    sequence: U16
    flags: Annotated[U16, BindingRevocationFlags]
    """`BindingRevocationFlags`."""
    options: Options = ()


@mobility_message(16, subtype=b"\x02")
@dataclass(slots=True)
class BindingRevocationAcknowledgement(MobilityMessage):
    """The answer to a Binding Revocation Indication (RFC 5846 5.2)."""

    revocation_type: Annotated[U8, RevocationType] = field(default=2, init=False)
    status: Annotated[U8, RevocationStatus]
    """From 128 on the revocation failed."""
    sequence: U16
    flags: Annotated[U16, BindingRevocationFlags]
    """`BindingRevocationFlags`."""
    options: Options = ()
