"""Several care-of addresses at a time (RFC 5648)."""

from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.fields import U8, U16, Bits, Flag, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.values import Status


@mobility_option(35, align=lambda option: (8, 2) if option.care_of else (2, 0))
@dataclass(slots=True)
class BindingIdentifier(MobilityOption):
    """Which of a node's bindings is meant (RFC 5648 4.3, RFC 6089 4.1).

    With it, and without P, bit 0x0040 of a Binding Update means O, overwrite, which was never registered; with P it is
    B, bulk (RFC 6602 4.1). The number has 16 bits here and 8 in RFC 8278.
    """

    identifier: U16
    """BID; zero is reserved."""
    status: Annotated[U8, Status] = 0
    home: Annotated[bool, Flag()] = False
    """H: at home and abroad at once."""
    priority: Annotated[int, Bits(7)] = 0
    """Lower is better, zero is reserved (RFC 6089 4.1)."""
    care_of: Annotated[bytes, Rest(sizes=(0, 4, 16))] = b""
    """An IPv4 or IPv6 address, in Binding Updates only."""
