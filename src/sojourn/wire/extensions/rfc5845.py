"""GRE keys for Proxy Mobile IPv6 (RFC 5845). The header between UDP and GRE is in `sojourn.wire.udp`."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.fields import U16, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(33, align=(4, 0))
@dataclass(slots=True)
class GreKey(MobilityOption):
    """GRE encapsulation, with a key or without (RFC 5845 6.1)."""

    reserved: U16 = field(default=0, kw_only=True)
    octets: Annotated[bytes, Rest(sizes=(0, 4))] = b""
    """The key; none asks for GRE without one."""

    @classmethod
    def of(cls, key: int | None) -> "GreKey":
        """The option with this key."""
        return cls(b"" if key is None else key.to_bytes(4, "big"))

    @property
    def key(self) -> int | None:
        """The key as a number."""
        return int.from_bytes(self.octets, "big") if self.octets else None
