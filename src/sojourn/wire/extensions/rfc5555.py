"""Dual-stack Mobile IPv6: IPv4 home and care-of addresses, NATs on the way (RFC 5555).

The encapsulation in UDP is in `sojourn.wire.udp`.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Network
from typing import Annotated

from sojourn.wire.fields import U8, U16, U32, Bits, Flag, Ip4
from sojourn.wire.mobility import MobilityOption, mobility_option


class Ipv4AddressAcknowledgementStatus(IntEnum):
    """What became of the request for an IPv4 home address (RFC 5555 3.2.1)."""

    SUCCESS = 0
    FAILURE_REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INCORRECT_IPV4_HOME_ADDRESS = 130
    INVALID_IPV4_ADDRESS = 131
    DYNAMIC_IPV4_HOME_ADDRESS_ASSIGNMENT_NOT_AVAILABLE = 132
    PREFIX_ALLOCATION_UNAUTHORIZED = 133


@mobility_option(29, align=(4, 0))
@dataclass(slots=True)
class Ipv4HomeAddress(MobilityOption):
    """The IPv4 home address, or with all zeros the wish for one (RFC 5555 3.1.1)."""

    prefix_length: Annotated[int, Bits(6, maximum=32)]
    """Zero is an error, says the RFC."""
    prefix_requested: Annotated[bool, Flag()]
    """P: a whole prefix for a mobile network."""
    reserved: Annotated[int, Bits(9)] = field(default=0, kw_only=True)
    address: Ip4

    @property
    def network(self) -> IPv4Network:
        """The network in which the address lies."""
        return IPv4Network((self.address, self.prefix_length), strict=False)


@mobility_option(30, align=(4, 0))
@dataclass(slots=True)
class Ipv4AddressAcknowledgement(MobilityOption):
    """The answer to `Ipv4HomeAddress` (RFC 5555 3.2.1). Section 8 prints its number as 29: a misprint for 30."""

    status: Annotated[U8, Ipv4AddressAcknowledgementStatus]
    prefix_length: Annotated[int, Bits(6, maximum=32)]
    reserved: Annotated[int, Bits(2)] = field(default=0, kw_only=True)
    address: Ip4

    @property
    def network(self) -> IPv4Network:
        """The network in which the address lies."""
        return IPv4Network((self.address, self.prefix_length), strict=False)


@mobility_option(31, align=(4, 0))
@dataclass(slots=True)
class NatDetection(MobilityOption):
    """There is a NAT between us, or UDP is wanted anyway (RFC 5555 3.2.2)."""

    force: Annotated[bool, Flag()]
    """F: UDP encapsulation even without a NAT."""
    reserved: Annotated[int, Bits(15)] = field(default=0, kw_only=True)
    refresh: U32
    """Seconds between keepalives; 0 is to be ignored, 0xffffffff says that there is no NAT."""


@mobility_option(32, align=(4, 0))
@dataclass(slots=True)
class Ipv4CareOfAddress(MobilityOption):
    """The IPv4 address at which the mobile node is (RFC 5555 3.1.2)."""

    reserved: U16 = field(default=0, kw_only=True)
    address: Ip4
