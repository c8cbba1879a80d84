"""Flow bindings that the home agent starts (RFC 7109)."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Annotated

from sojourn.wire.extensions.rfc6089 import FlowSubOption, flow_sub_option
from sojourn.wire.fields import U8, U16, Rest
from sojourn.wire.mobility import MobilityMessage, Options, mobility_message


class FlowBindingType(IntEnum):
    """Which message it is (RFC 7109 6.1): 16 bits on the wire, although the registry ends at 255."""

    FLOW_BINDING_INDICATION = 1
    FLOW_BINDING_ACKNOWLEDGEMENT = 2


class FlowBindingIndicationFlags(IntFlag):
    """Flags of Flow Binding Indications (RFC 7109 6.1.1)."""

    A = ACKNOWLEDGE = 0x80


class FlowBindingTrigger(IntEnum):
    """Why (RFC 7109 6.1.1)."""

    RESERVED = 0
    UNSPECIFIED = 1
    ADMINISTRATIVE_REASON = 2
    POSSIBLE_OUT_OF_SYNC_BCE_STATE = 3


class FlowBindingAcknowledgementStatus(IntEnum):
    """What became of it (RFC 7109 6.1.2)."""

    SUCCESS = 0
    BINDING_DOES_NOT_EXIST = 128
    """The target care-of address has none."""
    ACTION_NOT_AUTHORIZED = 129


class FlowAction(IntEnum):
    """What to do with a flow binding (RFC 7109 6.2.1)."""

    ADD_A_FLOW_BINDING = 11
    DELETE_A_FLOW_BINDING = 12
    MODIFY_A_FLOW_BINDING = 13
    REFRESH_A_FLOW_BINDING = 14
    MOVE_A_FLOW_BINDING = 15
    REVOKE_A_FLOW_BINDING = 16


@mobility_message(21, subtype=b"\x00\x01")
@dataclass(slots=True)
class FlowBindingIndication(MobilityMessage):
    """The home agent changes a flow binding (RFC 7109 6.1, RFC 7109 6.1.1)."""

    flow_binding_type: Annotated[U16, FlowBindingType] = field(default=1, init=False)
    sequence: U16
    trigger: Annotated[U8, FlowBindingTrigger]
    flags: Annotated[U8, FlowBindingIndicationFlags]
    options: Options = ()


@mobility_message(21, subtype=b"\x00\x02")
@dataclass(slots=True)
class FlowBindingAcknowledgement(MobilityMessage):
    """The answer to a Flow Binding Indication (RFC 7109 6.1, RFC 7109 6.1.2)."""

    flow_binding_type: Annotated[U16, FlowBindingType] = field(default=2, init=False)
    sequence: U16
    status: Annotated[U8, FlowBindingAcknowledgementStatus]
    reserved: U8 = field(default=0, kw_only=True)
    options: Options = ()


@flow_sub_option(4)
@dataclass(slots=True)
class FlowBindingAction(FlowSubOption):
    """What to do (RFC 7109 6.2.1). The figure draws 7 and 9 bits; the text says 8, in the last octet."""

    reserved: U8 = field(default=0, kw_only=True)
    action: Annotated[U8, FlowAction]


@flow_sub_option(5)
@dataclass(slots=True)
class TargetCareOfAddress(FlowSubOption):
    """Where the flow is moved to (RFC 7109 6.2.2)."""

    reserved: U16 = field(default=0, kw_only=True)
    address: Annotated[bytes, Rest(sizes=(4, 16))]
