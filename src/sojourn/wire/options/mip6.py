"""Options of Mobile IPv6 itself (RFC 6275 6.2)."""

from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.errors import DecodeError
from sojourn.wire.fields import U16, Ip6, Rest, Scaled
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.units import SECOND, Duration


@mobility_option(0)
@dataclass(slots=True)
class Pad1(MobilityOption):
    """One octet of padding, the only option without a length (RFC 6275 6.2.2)."""

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> "Pad1":
        """There is nothing to read."""
        if start != stop:
            raise DecodeError(f"Pad1 (RFC 6275 6.2.2): {stop - start} octets where 0 are expected", start)
        return Pad1()

    def put(self, out: bytearray, align: bool) -> None:
        """Append a zero."""
        out.append(0)


@mobility_option(1)
@dataclass(slots=True)
class PadN(MobilityOption):
    """Two octets of padding or more (RFC 6275 6.2.3)."""

    data: Annotated[bytes, Rest()] = b""
    """Zeros, if the sender obeys; ignored."""


@mobility_option(2, align=(2, 0))
@dataclass(slots=True)
class BindingRefreshAdvice(MobilityOption):
    """A home agent would like to hear earlier than the lifetime demands (RFC 6275 6.2.4)."""

    interval: Annotated[Duration, Scaled(2, unit=4 * SECOND)]


@mobility_option(3, align=(8, 6))
@dataclass(slots=True)
class AlternateCareOfAddress(MobilityOption):
    """The care-of address, where it is not the source address (RFC 6275 6.2.5)."""

    address: Ip6


@mobility_option(4, align=(2, 0))
@dataclass(slots=True)
class NonceIndices(MobilityOption):
    """Which nonces the tokens were made with; only with Binding Authorization Data (RFC 6275 6.2.6)."""

    home: U16
    care_of: U16


@mobility_option(5, align=(8, 2))
@dataclass(slots=True)
class BindingAuthorizationData(MobilityOption):
    """The proof of return routability: the last option, and no padding behind it (RFC 6275 6.2.7).

    The RFC states no alignment but 8n+2 follows from that, for the 12 octets that return routability has.
    """

    authenticator: Annotated[bytes, Rest()]
