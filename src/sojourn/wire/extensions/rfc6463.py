"""Another anchor, assigned at runtime (RFC 6463)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import U16, U32, Bits, Flag, Ip4, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(46, align=(4, 0))
@dataclass(slots=True)
class RedirectCapability(MobilityOption):
    """The gateway can be sent to another anchor (RFC 6463 4.1)."""

    reserved: U16 = field(default=0, kw_only=True)


@mobility_option(47, align=(4, 0))
@dataclass(slots=True)
class Redirect(MobilityOption):
    """The anchor to use instead (RFC 6463 4.2)."""

    ipv6: Annotated[bool, Flag()]
    """K: the address is one of IPv6. Exactly one of K and N is set."""
    ipv4: Annotated[bool, Flag()]
    """N: the address is one of IPv4."""
    reserved: Annotated[int, Bits(14)] = field(default=0, kw_only=True)
    address: Annotated[bytes, Rest(sizes=(4, 16))]

    @classmethod
    def of(cls, address: bytes) -> "Redirect":
        """The option for an address of 4 or 16 octets."""
        return cls(len(address) == 16, len(address) == 4, address)


@mobility_option(48, align=(4, 0))
@dataclass(slots=True)
class LoadInformation(MobilityOption):
    """How busy the anchor is (RFC 6463 4.3)."""

    priority: U16
    """Lower is preferred."""
    sessions: U32
    maximum_sessions: U32
    used_capacity: U32
    """In kilobytes a second."""
    maximum_capacity: U32
    """In kilobytes a second."""


@mobility_option(49, align=(4, 2))
@dataclass(slots=True)
class AlternateIpv4CareOfAddress(MobilityOption):
    """The IPv4 address for the tunnel, where it is not that of the message (RFC 6463 4.4)."""

    address: Ip4
