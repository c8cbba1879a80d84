"""Options of distributed mobility management (RFC 8885 4)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.fields import U8, U16, Ip6, PrefixLength, Rest
from sojourn.wire.generate import NATURAL
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(65, align=(8, 4))
@dataclass(slots=True)
class AnchoredPrefix(MobilityOption):
    """A prefix of the mobile node that the anchoring router keeps (RFC 8885 4.3)."""

    reserved: U8 = field(default=0, kw_only=True)
    prefix_length: PrefixLength
    address: Ip6

    @classmethod
    def of(cls, prefix: Prefix) -> "AnchoredPrefix":
        """The option for `prefix`."""
        return cls(prefix.length, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix; bits beyond its length are ignored, as the RFC asks."""
        return Prefix.of(self.address, self.prefix_length)


@mobility_option(66, align=(8, 4))
@dataclass(slots=True)
class LocalPrefix(MobilityOption):
    """A prefix of a local network, reachable only through the anchoring router (RFC 8885 4.4)."""

    reserved: U8 = field(default=0, kw_only=True)
    prefix_length: PrefixLength
    address: Ip6

    @classmethod
    def of(cls, prefix: Prefix) -> "LocalPrefix":
        """The option for `prefix`."""
        return cls(prefix.length, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix; bits beyond its length are ignored, as the RFC asks."""
        return Prefix.of(self.address, self.prefix_length)


@mobility_option(67, align=(8, 4))
@dataclass(slots=True)
class PreviousMaar(MobilityOption):
    """A previous router and the prefix that it anchors (RFC 8885 4.5)."""

    reserved: U8 = field(default=0, kw_only=True)
    prefix_length: PrefixLength
    maar: Ip6
    address: Ip6

    @classmethod
    def of(cls, prefix: Prefix, maar: Address) -> "PreviousMaar":
        """The option that says that `maar` anchors `prefix`."""
        return cls(prefix.length, maar, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix; bits beyond its length are ignored, as the RFC asks."""
        return Prefix.of(self.address, self.prefix_length)


@mobility_option(68, align=(8, 6))
@dataclass(slots=True)
class ServingMaar(MobilityOption):
    """The router that serves the mobile node now (RFC 8885 4.6)."""

    address: Ip6


@mobility_option(69, align=(8, 6))
@dataclass(slots=True)
class DlifLinkLocalAddress(MobilityOption):
    """The link-local address that the anchor showed on its access link (RFC 8885 4.7)."""

    address: Ip6


@mobility_option(70, align=NATURAL)
@dataclass(slots=True)
class DlifLinkLayerAddress(MobilityOption):
    """The link-layer address that the anchor showed on its access link (RFC 8885 4.8)."""

    reserved: U16 = field(default=0, kw_only=True)
    link_layer: Annotated[bytes, Rest()]
