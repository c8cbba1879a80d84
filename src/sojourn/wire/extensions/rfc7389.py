"""Control and user plane of an anchor at different addresses (RFC 7389)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import U16, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(59, align=(8, 2))
@dataclass(slots=True)
class LmaUserPlaneAddress(MobilityOption):
    """Where the tunnel ends at the anchor (RFC 7389 4). The alignment 8n+2 is the RFC's, if not a natural one."""

    reserved: U16 = field(default=0, kw_only=True)
    address: Annotated[bytes, Rest(sizes=(0, 4, 16))] = b""
    """Of IPv4 or IPv6; none asks for one."""
