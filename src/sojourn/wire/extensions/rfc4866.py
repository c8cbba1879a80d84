"""Enhanced route optimization: addresses that prove themselves (RFC 4866), as data."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.fields import Octets, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(11)
@dataclass(slots=True)
class CgaParametersRequest(MobilityOption):
    """The correspondent node is asked for its parameters (RFC 4866 5.6)."""


@mobility_option(12)
@dataclass(slots=True)
class CgaParameters(MobilityOption):
    """A piece of the parameters; all but the last are 255 octets long and follow each other (RFC 4866 5.1)."""

    data: Annotated[bytes, Rest(minimum=1)]

    @classmethod
    def split(cls, parameters: bytes) -> "tuple[CgaParameters, ...]":
        """The options for the whole parameters."""
        return tuple(cls(parameters[at : at + 255]) for at in range(0, len(parameters), 255))

    @staticmethod
    def join(options: "Iterable[CgaParameters]") -> bytes:
        """The whole parameters from all options of a message."""
        return b"".join(option.data for option in options)


@mobility_option(13)
@dataclass(slots=True)
class Signature(MobilityOption):
    """The proof, after the parameters (RFC 4866 5.2)."""

    signature: Annotated[bytes, Rest(minimum=1)]


@mobility_option(14)
@dataclass(slots=True)
class PermanentHomeKeygenToken(MobilityOption):
    """A token to keep, encrypted for the mobile node (RFC 4866 5.3)."""

    token: Annotated[bytes, Rest(minimum=8)]


@mobility_option(15)
@dataclass(slots=True)
class CareOfTestInitOption(MobilityOption):
    """A care-of test, asked for in a Binding Update (RFC 4866 5.4)."""


@mobility_option(16)
@dataclass(slots=True)
class CareOfTestOption(MobilityOption):
    """The care-of keygen token, in the acknowledgement (RFC 4866 5.5)."""

    token: Annotated[bytes, Octets(8)]
