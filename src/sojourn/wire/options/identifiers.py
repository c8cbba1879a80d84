"""Options that carry names and what vendors add."""

from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.fields import U8, U32, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.values import IdentifierType

_SUBTYPES = [bytes((number,)) for number in range(256)]


@mobility_option(8)
@dataclass(slots=True)
class MobileNodeIdentifier(MobilityOption):
    """Who the mobile node is, whatever its address (RFC 4283 3, RFC 8371 4)."""

    subtype: Annotated[U8, IdentifierType]
    """`IdentifierType`."""
    identifier: Annotated[bytes, Rest()]

    def key(self) -> bytes:
        """Both in one, for tables."""
        return _SUBTYPES[self.subtype] + self.identifier


@mobility_option(19, align=(4, 2))
@dataclass(slots=True)
class VendorSpecific(MobilityOption):
    """Whatever a vendor defines (RFC 5094 3)."""

    vendor: U32
    """Private enterprise number."""
    subtype: U8
    data: Annotated[bytes, Rest()] = b""
