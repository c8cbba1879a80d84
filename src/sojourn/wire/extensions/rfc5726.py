"""Pseudo home addresses for location privacy (RFC 5726), which travel in options of experimental number 18."""

from dataclasses import dataclass
from enum import IntEnum

from sojourn.wire.errors import DecodeError
from sojourn.wire.extensions.rfc5096 import ExperimentalMobilityOption


class PseudoHomeAddressStatus(IntEnum):
    """What became of the request (RFC 5726 7.4)."""

    SUCCESS = 0
    FAILURE_REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INCORRECT_PSEUDO_HOME_ADDRESS = 130
    INVALID_PSEUDO_HOME_ADDRESS = 131
    DYNAMIC_PSEUDO_HOME_ADDRESS_ASSIGNMENT_NOT_AVAILABLE = 132


@dataclass(slots=True)
class PseudoHomeAddress:
    """A pseudo home address, or the wish for one (RFC 5726 7.3); with a status, the answer (RFC 5726 7.4)."""

    prefix_length: int
    address: bytes = b""
    """16 octets, or none."""
    status: int | None = None
    """`PseudoHomeAddressStatus` in acknowledgements."""

    def option(self) -> ExperimentalMobilityOption:
        """The option that carries it. The caller aligns: 4n, or 2n for acknowledgements."""
        if self.status is None:
            return ExperimentalMobilityOption(bytes((0, self.prefix_length)) + self.address)
        return ExperimentalMobilityOption(bytes((0x80, self.prefix_length, self.status, 0)) + self.address)


def pseudo_home_address(option: ExperimentalMobilityOption) -> PseudoHomeAddress:
    """What the option says, if both sides agreed on RFC 5726. Raises `DecodeError`."""
    data = option.data
    answer = bool(data) and data[0] >= 0x80
    begin = 4 if answer else 2
    if len(data) - begin not in (0, 16) or data[1] > 128:
        raise DecodeError(f"PseudoHomeAddress (RFC 5726 7.3, 7.4): {len(data)} octets of another kind", 0)
    return PseudoHomeAddress(data[1], data[begin:], data[2] if answer else None)
