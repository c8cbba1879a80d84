"""Flow bindings: which flows take which way (RFC 6089).

Section 8 prints the numbers of the two options the other way round; the body and IANA have 44 for Flow Summary and 45
for Flow Identification.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, TypeAlias

from sojourn.wire.catalogue import PACKAGE
from sojourn.wire.errors import DecodeError
from sojourn.wire.extensions.rfc6088 import TrafficSelector as Selector
from sojourn.wire.extensions.rfc6088 import TrafficSelectorFormat, alignment, format_of, selector
from sojourn.wire.fields import U8, U16, Repeated, Rest, Tlvs
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.tlv import Family, SubRemainder, Tlv, UnknownSubOption


class FlowStatus(IntEnum):
    """What became of a flow binding (RFC 6089 4.2)."""

    FLOW_BINDING_SUCCESSFUL = 0
    ADMINISTRATIVELY_PROHIBITED = 128
    FLOW_BINDING_REJECTED_REASON_UNSPECIFIED = 129
    FLOW_IDENTIFICATION_MOBILITY_OPTION_MALFORMED = 130
    BID_NOT_FOUND = 131
    FID_NOT_FOUND = 132
    TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED = 133


FLOW_SUB_OPTIONS = Family("flow identification sub-options", UnknownSubOption, SubRemainder, pad1=True, padding=(0, 1))
"""RFC 6089 4.2.1. For PadN, 4.2.1.2 has the length count all of it; 4.2.1, and the encoder here, all but two octets."""
FLOW_SUB_OPTIONS.classes.elsewhere.update({4: f"{PACKAGE}.rfc7109", 5: f"{PACKAGE}.rfc7109"})
flow_sub_option = FLOW_SUB_OPTIONS.option
FlowSubOptions: TypeAlias = Annotated[tuple[Tlv, ...], Tlvs("flow identification sub-options")]


class FlowSubOption(Tlv):
    """A sub-option of `FlowIdentification`."""

    __slots__ = ()


@flow_sub_option(0)
@dataclass(slots=True)
class FlowPad1(FlowSubOption):
    """One octet of padding (RFC 6089 4.2.1.1)."""

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> "FlowPad1":
        """There is nothing to read."""
        if start != stop:
            raise DecodeError(f"FlowPad1 (RFC 6089 4.2.1.1): {stop - start} octets where 0 are expected", start)
        return FlowPad1()

    def put(self, out: bytearray, align: bool) -> None:
        """Append a zero."""
        out.append(0)


@flow_sub_option(1)
@dataclass(slots=True)
class FlowPadN(FlowSubOption):
    """Two octets of padding or more (RFC 6089 4.2.1.2)."""

    data: Annotated[bytes, Rest()] = b""


@flow_sub_option(2, align=(2, 0))
@dataclass(slots=True)
class BidReference(FlowSubOption):
    """Which bindings the flow may use; at most one in an option (RFC 6089 4.2.1.3)."""

    identifiers: Annotated[tuple[int, ...], Repeated(2, minimum=1)]


@flow_sub_option(3, align=lambda option: alignment(option.format, option.octets))
@dataclass(slots=True)
class TrafficSelector(FlowSubOption):
    """Which packets the flow has (RFC 6089 4.2.1.4, RFC 6909 3.1); the alignment is that of RFC 6088 3."""

    format: Annotated[U8, TrafficSelectorFormat]
    reserved: U8 = field(default=0, kw_only=True)
    octets: Annotated[bytes, Rest()]

    @classmethod
    def of(cls, value: Selector) -> "TrafficSelector":
        """The sub-option for a selector."""
        return cls(format_of(value), value.encode())

    @property
    def selector(self) -> Selector | None:
        """The selector, if format and octets are understood."""
        return selector(self.format, self.octets)


@mobility_option(44, align=(2, 0))
@dataclass(slots=True)
class FlowSummary(MobilityOption):
    """Flow bindings to keep as they are (RFC 6089 4.2.2)."""

    identifiers: Annotated[tuple[int, ...], Repeated(2, minimum=1)]


@mobility_option(45, align=(2, 0))
@dataclass(slots=True)
class FlowIdentification(MobilityOption):
    """A flow, and what shall become of it (RFC 6089 4.2, RFC 7109 6)."""

    identifier: U16
    """FID."""
    priority: U16
    """Lower is looked at earlier."""
    reserved: U8 = field(default=0, kw_only=True)
    status: Annotated[U8, FlowStatus] = 0
    sub_options: FlowSubOptions = ()
