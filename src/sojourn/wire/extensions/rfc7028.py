"""Multicast that goes straight into the access network (RFC 7028)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

from sojourn.wire.fields import U8, U16, Bits, Flag, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


class MulticastProtocol(IntEnum):
    """How the records are written (RFC 7028 5.1.2): types of MLD and IGMP reports."""

    IGMPV1 = 0x12
    IGMPV2 = 0x16
    IGMPV3 = 0x22
    MLDV1 = 131
    MLDV2 = 143


@mobility_option(54)
@dataclass(slots=True)
class DynamicIpMulticastSelector(MobilityOption):
    """Which groups the gateway may take from its own network (RFC 7028 5.1.2).

    The figure draws the protocol nine columns wide; it has eight bits.
    """

    protocol: Annotated[U8, MulticastProtocol]
    direct: Annotated[bool, Flag()]
    """M: these groups by direct routing; otherwise through the anchor."""
    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    count: U16
    """Multicast address records that follow."""
    records: Annotated[bytes, Rest()] = b""
