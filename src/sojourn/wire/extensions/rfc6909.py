"""IPv4 flows that leave at the gateway (RFC 6909)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.extensions.rfc6089 import FlowSubOptions
from sojourn.wire.fields import Bits, Flag
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(53, align=(4, 0))
@dataclass(slots=True)
class Ipv4TrafficOffloadSelector(MobilityOption):
    """Which IPv4 flows are offloaded, or are not (RFC 6909 3.1).

    The sub-option is the `TrafficSelector` of `rfc6089`, format 1 only; in acknowledgements it must be there. The text
    asks for 4n, the figure is drawn at 4n+2: 4n.
    """

    except_these: Annotated[bool, Flag()]
    """M, the offload mode: set, all flows but the selected ones are offloaded."""
    reserved: Annotated[int, Bits(31)] = field(default=0, kw_only=True)
    sub_options: FlowSubOptions = ()
