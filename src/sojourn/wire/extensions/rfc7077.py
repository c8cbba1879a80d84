"""The anchor tells its gateways that something changed (RFC 7077, RFC 7222, RFC 7864, RFC 8191)."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Annotated

from sojourn.wire.fields import U8, U16, U24
from sojourn.wire.mobility import MobilityMessage, Options, mobility_message


class UpdateNotificationFlags(IntFlag):
    """Flags of Update Notifications (RFC 7077 4.1)."""

    A = ACKNOWLEDGEMENT_REQUESTED = 0x8000
    D = RETRANSMIT = 0x4000


class UpdateNotificationReason(IntEnum):
    """What changed (RFC 7077 4.1). 16 bits on the wire, although 255 is reserved as if it were the end."""

    RESERVED = 0
    FORCE_REREGISTRATION = 1
    UPDATE_SESSION_PARAMETERS = 2
    VENDOR_SPECIFIC_REASON = 3
    ANI_PARAMS_REQUESTED = 4
    QOS_SERVICE_REQUEST = 5  # RFC 7222 4.4
    PGW_TRIGGERED_PCSCF_RESTORATION_PCO = 6  # 3GPP TS 29.275
    PGW_TRIGGERED_PCSCF_RESTORATION_DHCP = 7
    FLOW_MOBILITY = 8  # RFC 7864 4.2
    RESERVED_255 = 255


class UpdateAcknowledgementStatus(IntEnum):
    """What the gateway says to it (RFC 7077 4.2)."""

    SUCCESS = 0
    FAILED_TO_UPDATE_SESSION_PARAMETERS = 128
    MISSING_VENDOR_SPECIFIC_OPTION = 129
    CANNOT_MEET_QOS_SERVICE_REQUEST = 130  # RFC 7222 4.5
    REASON_UNSPECIFIED = 131  # RFC 7864 4.3
    MN_NOT_ATTACHED = 132


@mobility_message(19)
@dataclass(slots=True)
class UpdateNotification(MobilityMessage):
    """Something changed: register again, or do what the reason says (RFC 7077 4.1)."""

    sequence: U16
    reason: Annotated[U16, UpdateNotificationReason]
    flags: Annotated[U16, UpdateNotificationFlags]
    options: Options = ()


@mobility_message(20)
@dataclass(slots=True)
class UpdateNotificationAcknowledgement(MobilityMessage):
    """The answer to an Update Notification (RFC 7077 4.2)."""

    sequence: U16
    status: Annotated[U8, UpdateAcknowledgementStatus]
    reserved: U24 = field(default=0, kw_only=True)
    options: Options = ()
