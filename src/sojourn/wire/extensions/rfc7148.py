"""Prefixes delegated to a mobile router behind a gateway (RFC 7148)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.addresses import Prefix
from sojourn.wire.fields import Bits, Flag, PrefixLength, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(55, align=(8, 2))
@dataclass(slots=True)
class DelegatedMobileNetworkPrefix(MobilityOption):
    """A prefix for the network behind the mobile node (RFC 7148 4.1).

    The alignment 8n+2 is the RFC's, although it puts the prefix at 8n+6 and the figure begins at 8n.
    """

    ipv4: Annotated[bool, Flag()]
    """V: the prefix is one of IPv4."""
    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    prefix_length: PrefixLength
    address: Annotated[bytes, Rest(sizes=(4, 16))]

    @classmethod
    def of(cls, prefix: Prefix) -> "DelegatedMobileNetworkPrefix":
        """The option for an IPv6 prefix."""
        return cls(False, prefix.length, prefix.address)

    @property
    def prefix(self) -> Prefix | None:
        """The prefix, if it is one of IPv6."""
        return Prefix.of(self.address, self.prefix_length) if len(self.address) == 16 else None
