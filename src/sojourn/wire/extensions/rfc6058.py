"""Bindings during a handover, at both gateways (RFC 6058)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import Bits, Flag, Scaled
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.units import MILLISECOND, Duration


@mobility_option(43)
@dataclass(slots=True)
class TransientBinding(MobilityOption):
    """The binding shall be transient at first (RFC 6058 5.1)."""

    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    late: Annotated[bool, Flag()]
    """L: late path switch."""
    lifetime: Annotated[Duration, Scaled(1, unit=100 * MILLISECOND)]
