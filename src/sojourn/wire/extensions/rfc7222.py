"""Quality of service per session and per flow (RFC 7222)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, TypeAlias

from sojourn.wire.extensions.rfc6088 import TrafficSelector as Selector
from sojourn.wire.extensions.rfc6088 import TrafficSelectorFormat, format_of, selector
from sojourn.wire.fields import U8, U16, U24, U32, Bits, Flag, Rest, Tlvs
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.tlv import Family, SubRemainder, Tlv, UnknownSubOption


class OperationalCode(IntEnum):
    """What to do (RFC 7222 4.1)."""

    RESPONSE = 0
    ALLOCATE = 1
    DE_ALLOCATE = 2
    MODIFY = 3
    QUERY = 4
    NEGOTIATE = 5


QOS_ATTRIBUTES = Family("quality-of-service attributes", UnknownSubOption, SubRemainder)
"""RFC 7222 4.2: no padding."""
qos_attribute = QOS_ATTRIBUTES.option
QosAttributes: TypeAlias = Annotated[tuple[Tlv, ...], Tlvs("quality-of-service attributes")]


class QosAttribute(Tlv):
    """An attribute of `QualityOfService`."""

    __slots__ = ()


@qos_attribute(1)
@dataclass(slots=True)
class PerMnAggMaxDlBitRate(QosAttribute):
    """For all sessions of the node, towards it (RFC 7222 4.2.1)."""

    reserved: U16 = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(2)
@dataclass(slots=True)
class PerMnAggMaxUlBitRate(QosAttribute):
    """For all sessions of the node, from it (RFC 7222 4.2.2)."""

    reserved: U16 = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(3)
@dataclass(slots=True)
class PerSessionAggMaxDlBitRate(QosAttribute):
    """For a session, towards the node (RFC 7222 4.2.3)."""

    service: Annotated[bool, Flag()]
    """S: for all sessions of the same service."""
    exclude: Annotated[bool, Flag()]
    """E: flows with a guaranteed rate do not count."""
    reserved: Annotated[int, Bits(14)] = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(4)
@dataclass(slots=True)
class PerSessionAggMaxUlBitRate(QosAttribute):
    """For a session, from the node (RFC 7222 4.2.4)."""

    service: Annotated[bool, Flag()]
    """S: for all sessions of the same service."""
    exclude: Annotated[bool, Flag()]
    """E: flows with a guaranteed rate do not count."""
    reserved: Annotated[int, Bits(14)] = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(5)
@dataclass(slots=True)
class AllocationRetentionPriority(QosAttribute):
    """Who goes first when there is not enough (RFC 7222 4.2.5)."""

    reserved: U8 = field(default=0, kw_only=True)
    priority: Annotated[int, Bits(4)]
    """1 is highest."""
    capability: Annotated[int, Bits(2)]
    """0: it may take resources of others, 1: it may not."""
    vulnerability: Annotated[int, Bits(2)]
    """0: others may take its resources, 1: they may not."""


@qos_attribute(6)
@dataclass(slots=True)
class AggregateMaxDlBitRate(QosAttribute):
    """For the flows of the selector, towards the node (RFC 7222 4.2.6)."""

    reserved: U16 = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(7)
@dataclass(slots=True)
class AggregateMaxUlBitRate(QosAttribute):
    """For the flows of the selector, from the node (RFC 7222 4.2.7)."""

    reserved: U16 = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(8)
@dataclass(slots=True)
class GuaranteedDlBitRate(QosAttribute):
    """Never less than this towards the node (RFC 7222 4.2.8)."""

    reserved: U16 = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(9)
@dataclass(slots=True)
class GuaranteedUlBitRate(QosAttribute):
    """Never less than this from the node (RFC 7222 4.2.9)."""

    reserved: U16 = field(default=0, kw_only=True)
    rate: U32
    """Bits a second."""


@qos_attribute(10)
@dataclass(slots=True)
class QosTrafficSelector(QosAttribute):
    """Which flows are meant (RFC 7222 4.2.10); the format comes second, in `rfc6089.TrafficSelector` first."""

    reserved: U8 = field(default=0, kw_only=True)
    format: Annotated[U8, TrafficSelectorFormat]
    octets: Annotated[bytes, Rest()]

    @classmethod
    def of(cls, value: Selector) -> "QosTrafficSelector":
        """The attribute for a selector."""
        return cls(format_of(value), value.encode())

    @property
    def selector(self) -> Selector | None:
        """The selector, if format and octets are understood."""
        return selector(self.format, self.octets)


@qos_attribute(11)
@dataclass(slots=True)
class QosVendorSpecificAttribute(QosAttribute):
    """Whatever a vendor defines (RFC 7222 4.2.11)."""

    reserved: U16 = field(default=0, kw_only=True)
    vendor: U32
    """Private enterprise number."""
    subtype: U8
    data: Annotated[bytes, Rest()] = b""


@mobility_option(58, align=(4, 0))
@dataclass(slots=True)
class QualityOfService(MobilityOption):
    """A service request: what is wanted for a session or its flows; several allowed (RFC 7222 4.1)."""

    service_request: U8
    """The number of the request."""
    code_point: Annotated[int, Bits(6)]
    """DSCP of the traffic."""
    reserved: Annotated[int, Bits(2)] = field(default=0, kw_only=True)
    operation: Annotated[U8, OperationalCode]
    reserved2: U24 = field(default=0, kw_only=True)
    attributes: QosAttributes = ()
