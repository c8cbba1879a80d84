"""Multicast in fast handovers (RFC 7411).

Both options count 32-bit words after their first four octets, as no other mobility option does: `sojourn.wire.mobility`
knows their numbers even before this module is imported.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

from sojourn.wire.fields import U8, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


class MulticastCode(IntEnum):
    """How the report is written (RFC 7411 5.3)."""

    IGMPV3 = 1
    MLDV2 = 2
    IGMPV3_FROM_IGMPV2_COMPATIBILITY = 3
    MLDV2_FROM_MLDV1_COMPATIBILITY = 4


class MulticastStatus(IntEnum):
    """What the new router can do (RFC 7411 5.4)."""

    REPORT_PAYLOAD_TYPE_UNSUPPORTED = 1
    REQUESTED_GROUP_SERVICE_UNSUPPORTED = 2
    REQUESTED_GROUP_SERVICE_ADMINISTRATIVELY_PROHIBITED = 3


@mobility_option(60, length=(4, 4))
@dataclass(slots=True)
class MulticastMobility(MobilityOption):
    """What the node listens to (RFC 7411 5.3)."""

    code: Annotated[U8, MulticastCode]
    reserved: U8 = field(default=0, kw_only=True)
    report: Annotated[bytes, Rest()]
    """The report, filled with zeros to whole words on the wire."""


@mobility_option(61, length=(4, 4))
@dataclass(slots=True)
class MulticastAcknowledgement(MobilityOption):
    """What the new router cannot forward (RFC 7411 5.4)."""

    code: U8 = field(default=0, kw_only=True)
    """Always zero."""
    status: Annotated[U8, MulticastStatus]
    report: Annotated[bytes, Rest()]
    """The groups in question, filled with zeros to whole words on the wire."""
