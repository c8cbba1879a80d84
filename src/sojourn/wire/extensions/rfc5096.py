"""Room for experiments (RFC 5096)."""

from dataclasses import dataclass
from typing import Annotated

from sojourn.wire.errors import EncodeError
from sojourn.wire.fields import Rest
from sojourn.wire.mobility import MobilityMessage, MobilityOption, mobility_message, mobility_option


@mobility_message(11)
@dataclass(slots=True)
class ExperimentalMobilityHeader(MobilityMessage):
    """Whatever an experiment says; no options (RFC 5096 3).

    The data reach to the end that Header Len announces, so an experiment has to know its own length: what is sent is
    filled up with zeros, two octets of them if there are no data at all.
    """

    data: Annotated[bytes, Rest(minimum=2)] = b"\0\0"

    def put(self, out: bytearray, align: bool) -> None:
        """Append the data, filled up with zeros rather than with an option that means nothing here."""
        if problem := Rest().problem(self.data):
            raise EncodeError(f"ExperimentalMobilityHeader.data (RFC 5096 3): {problem}")
        out += self.data
        if align:
            out += bytes(-len(out) % 8)

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> "ExperimentalMobilityHeader":
        """All octets are data."""
        return ExperimentalMobilityHeader(octets[start:stop])


@mobility_option(18)
@dataclass(slots=True)
class ExperimentalMobilityOption(MobilityOption):
    """Whatever an experiment adds; before a Binding Authorization Data option (RFC 5096 4).

    RFC 5726 uses the same number for pseudo home addresses; `rfc5726.pseudo_home_address` reads those.
    """

    data: Annotated[bytes, Rest()] = b""
