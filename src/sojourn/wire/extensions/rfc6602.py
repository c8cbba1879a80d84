"""Many bindings in one message (RFC 6602); the flag B is among `BindingUpdateFlags`."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

from sojourn.wire.fields import U8, U32
from sojourn.wire.mobility import MobilityOption, mobility_option


class GroupSubtype(IntEnum):
    """What the group is for (RFC 6602 7)."""

    RESERVED = 0
    BULK_BINDING_UPDATE_GROUP = 1
    RESERVED_255 = 255


@mobility_option(50)
@dataclass(slots=True)
class MobileNodeGroupIdentifier(MobilityOption):
    """A group of mobile nodes (RFC 6602 4.3)."""

    subtype: Annotated[U8, GroupSubtype]
    reserved: U8 = field(default=0, kw_only=True)
    group: U32
    """0 is reserved, 1 means all sessions."""
