"""Gateways with several uplinks (RFC 8278)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import U8, Bits, Flag, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.values import AccessTechnology, IdentifierType


@mobility_option(63)
@dataclass(slots=True)
class MagMultipathBinding(MobilityOption):
    """One of several bindings of a node, through one uplink (RFC 8278 4.1)."""

    technology: Annotated[U8, AccessTechnology]
    label: U8
    """What kind of uplink it is, for rules on both sides."""
    identifier: U8
    """1 to 254. Eight bits here, sixteen in RFC 5648."""
    bulk: Annotated[bool, Flag()]
    """B: the lifetime is for all bindings of the node; not with O."""
    overwrite: Annotated[bool, Flag()]
    """O: this binding replaces all others; not with B."""
    reserved: Annotated[int, Bits(22)] = field(default=0, kw_only=True)


@mobility_option(64)
@dataclass(slots=True)
class MagIdentifier(MobilityOption):
    """Which gateway it is, whatever its address (RFC 8278 4.2); one octet more than a Mobile Node Identifier."""

    subtype: Annotated[U8, IdentifierType]
    reserved: U8 = field(default=0, kw_only=True)
    identifier: Annotated[bytes, Rest()]
