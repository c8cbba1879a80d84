"""Timers of gateways, set by their anchor (RFC 8127)."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from sojourn.wire.fields import U16, Scaled, Tlvs
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.tlv import Family, SubRemainder, Tlv, UnknownSubOption
from sojourn.wire.units import SECOND, Duration

LCMP_SUB_OPTIONS = Family("LMA-controlled MAG parameters", UnknownSubOption, SubRemainder)
"""RFC 8127 3.1. Both want 4n and have it without padding: the option begins at 4n+2, and eight octets is their size."""
lcmp_sub_option = LCMP_SUB_OPTIONS.option
LcmpSubOptions: TypeAlias = Annotated[tuple[Tlv, ...], Tlvs("LMA-controlled MAG parameters")]


class LcmpSubOption(Tlv):
    """A sub-option of `LmaControlledMagParameters`."""

    __slots__ = ()


@lcmp_sub_option(1)
@dataclass(slots=True)
class BindingReregistrationControl(LcmpSubOption):
    """When and how to register again (RFC 8127 3.1.1): one value in units of four seconds, the others in seconds."""

    start: Annotated[Duration, Scaled(2, unit=4 * SECOND)]
    """So long before the lifetime ends."""
    initial_retransmission: Annotated[Duration, Scaled(2, unit=SECOND)]
    maximum_retransmission: Annotated[Duration, Scaled(2, unit=SECOND)]


@lcmp_sub_option(2)
@dataclass(slots=True)
class HeartbeatControl(LcmpSubOption):
    """How to use heartbeats (RFC 8127 3.1.2)."""

    interval: Annotated[Duration, Scaled(2, unit=SECOND)]
    retransmission_delay: Annotated[Duration, Scaled(2, unit=SECOND)]
    maximum_retransmissions: U16
    """A number, not a time."""


@mobility_option(62, align=(4, 2))
@dataclass(slots=True)
class LmaControlledMagParameters(MobilityOption):
    """Timers for the gateway; at most one, with at least one sub-option (RFC 8127 3)."""

    sub_options: LcmpSubOptions = ()
