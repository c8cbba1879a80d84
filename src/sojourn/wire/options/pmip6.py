"""Options of Proxy Mobile IPv6 (RFC 5213 8) and its heartbeat (RFC 5847)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.addresses import Prefix
from sojourn.wire.fields import U8, U16, U32, U64, Bits, Flag, Ip6, PrefixLength, Rest
from sojourn.wire.generate import NATURAL
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.values import AccessTechnology, Handoff


@mobility_option(22, align=(8, 4))
@dataclass(slots=True)
class HomeNetworkPrefix(MobilityOption):
    """A prefix assigned to the mobile node; ::/0 asks for one (RFC 5213 8.3, RFC 7864 4.1)."""

    off_link: Annotated[bool, Flag()] = field(default=False, kw_only=True)
    """The prefix must not be advertised as on-link (RFC 7864 4.1)."""
    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    prefix_length: PrefixLength
    address: Ip6

    @classmethod
    def of(cls, prefix: Prefix) -> "HomeNetworkPrefix":
        """The option for `prefix`."""
        return cls(prefix.length, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix; bits beyond its length are ignored, as the RFC asks."""
        return Prefix.of(self.address, self.prefix_length)


@mobility_option(23)
@dataclass(slots=True)
class HandoffIndicator(MobilityOption):
    """What kind of attachment this registration is about (RFC 5213 8.4)."""

    reserved: U8 = field(default=0, kw_only=True)
    indicator: Annotated[U8, Handoff]
    """`Handoff`."""


@mobility_option(24)
@dataclass(slots=True)
class AccessTechnologyType(MobilityOption):
    """How the mobile node is attached (RFC 5213 8.5)."""

    reserved: U8 = field(default=0, kw_only=True)
    technology: Annotated[U8, AccessTechnology]
    """`AccessTechnology`."""


@mobility_option(25, align=NATURAL)
@dataclass(slots=True)
class MobileNodeLinkLayerIdentifier(MobilityOption):
    """The link-layer address of the mobile node's attached interface (RFC 5213 8.6)."""

    reserved: U16 = field(default=0, kw_only=True)
    identifier: Annotated[bytes, Rest()]


@mobility_option(26, align=(8, 6))
@dataclass(slots=True)
class LinkLocalAddress(MobilityOption):
    """The link-local address of the gateway on the access link; unspecified asks for one (RFC 5213 8.7)."""

    address: Ip6


@mobility_option(27, align=(8, 2))
@dataclass(slots=True)
class Timestamp(MobilityOption):
    """When the attachment happened, for the order of registrations (RFC 5213 8.8).

    The alignment 8n+2 is the RFC's, although it leaves the 64-bit number on a boundary of four octets.
    """

    ticks: U64
    """1/65536 s since 1970-01-01 UTC; see `units.ticks` and `units.wall_clock`."""


@mobility_option(28, align=(4, 2))
@dataclass(slots=True)
class RestartCounter(MobilityOption):
    """How often the sender of a heartbeat response lost its bindings (RFC 5847 3.4)."""

    counter: U32
