"""Which service a mobile node wants (RFC 5149)."""

from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.fields import Rest
from sojourn.wire.mobility import MobilityOption, mobility_option


@mobility_option(20)
@dataclass(slots=True)
class ServiceSelection(MobilityOption):
    """The name of a service; at most one, after the identifier, before authentication options (RFC 5149 3)."""

    identifier: Annotated[bytes, Rest(minimum=1)]
    """UTF-8 in the RFC; 3GPP systems send the labels of a DNS name."""

    @property
    def text(self) -> str:
        """The name for people. A first octet below 32 begins a DNS label, for no name in UTF-8 begins so."""
        if self.identifier[0] >= 32:
            return self.identifier.decode("utf-8", "replace")
        labels, position, octets = [], 0, self.identifier
        while position < len(octets):
            labels.append(octets[position + 1 : position + 1 + octets[position]].decode("utf-8", "replace"))
            position += 1 + octets[position]
        return ".".join(labels)
