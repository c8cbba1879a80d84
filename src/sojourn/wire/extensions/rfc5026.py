"""Bootstrapping: a home agent that updates the DNS (RFC 5026)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

from sojourn.wire.fields import U8, Bits, Flag, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


class DnsUpdateStatus(IntEnum):
    """What became of the update (RFC 5026 8.1)."""

    DNS_UPDATE_PERFORMED = 0
    REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    DNS_UPDATE_FAILED = 130


@mobility_option(17)
@dataclass(slots=True)
class DnsUpdate(MobilityOption):
    """The name under which the mobile node wants to be found (RFC 5026 8.1).

    The number is 17 although RFC 5568 6.4.2 prints it for an option of its own (which is 34).
    """

    status: Annotated[U8, DnsUpdateStatus]
    """Zero in Binding Updates."""
    remove: Annotated[bool, Flag()]
    """Take the entry away."""
    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    name: Annotated[bytes, Rest()]
    """The fully qualified name in the octets of RFC 1035 3.1."""

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The labels of the name, as far as they are complete."""
        found, position, name = [], 0, self.name
        while position < len(name) and 0 < name[position] < 64 and position + name[position] < len(name):
            found.append(name[position + 1 : position + 1 + name[position]])
            position += 1 + name[position]
        return tuple(found)
