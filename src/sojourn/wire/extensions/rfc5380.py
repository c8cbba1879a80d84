"""Hierarchical Mobile IPv6: the mobility anchor point of a domain (RFC 5380)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import Bits, Flag, Ip6
from sojourn.wire.icmpv6 import NdOption, Seconds32, nd_option


@nd_option(23)
@dataclass(slots=True)
class MobilityAnchorPoint(NdOption):
    """A mobility anchor point, advertised on the link (RFC 5380 5)."""

    distance: Annotated[int, Bits(4)]
    """Hops to it; at least 1."""
    preference: Annotated[int, Bits(4)]
    """15 is best, 0: it must not be used by new nodes."""
    allocates: Annotated[bool, Flag()]
    """R: the regional care-of address comes from the MAP."""
    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    lifetime: Seconds32
    address: Ip6
