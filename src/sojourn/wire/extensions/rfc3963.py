"""Network mobility: the prefixes of a mobile router (RFC 3963)."""

from dataclasses import dataclass, field

from sojourn.wire.addresses import Prefix
from sojourn.wire.fields import U8, Ip6, PrefixLength
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(6, align=(8, 4))
@dataclass(slots=True)
class MobileNetworkPrefix(MobilityOption):
    """A prefix behind a mobile router; only in Binding Updates with R, several allowed (RFC 3963 4.3)."""

    reserved: U8 = field(default=0, kw_only=True)
    prefix_length: PrefixLength
    address: Ip6

    @classmethod
    def of(cls, prefix: Prefix) -> "MobileNetworkPrefix":
        """The option for `prefix`."""
        return cls(prefix.length, prefix.address)

    @property
    def prefix(self) -> Prefix:
        """The prefix without bits beyond its length."""
        return Prefix.of(self.address, self.prefix_length)
