"""More flags for Router Advertisements (RFC 5175)."""

from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.fields import UInt
from sojourn.wire.icmpv6 import NdOption, nd_option


@nd_option(26)
@dataclass(slots=True)
class RaFlagsExtension(NdOption):
    """Flags beyond the octet that Router Advertisements have (RFC 5175 4)."""

    bits: Annotated[int, UInt(6)]
