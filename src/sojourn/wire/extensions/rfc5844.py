"""IPv4 for Proxy Mobile IPv6 (RFC 5844). Its transport over UDP is in `sojourn.wire.udp`."""

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Network
from typing import Annotated

from sojourn.wire.fields import U8, U16, Bits, Flag, Ip4
from sojourn.wire.mobility import MobilityOption, mobility_option


class Ipv4HomeAddressReplyStatus(IntEnum):
    """What became of the request (RFC 5844 3.3.2)."""

    SUCCESS = 0
    FAILURE_REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INCORRECT_IPV4_HOME_ADDRESS = 130
    INVALID_IPV4_ADDRESS = 131
    DYNAMIC_IPV4_HOME_ADDRESS_ASSIGNMENT_NOT_AVAILABLE = 132


@mobility_option(36, align=(4, 0))
@dataclass(slots=True)
class Ipv4HomeAddressRequest(MobilityOption):
    """An IPv4 home address for the mobile node is wanted; 0.0.0.0 leaves the choice to the anchor (RFC 5844 3.3.1)."""

    prefix_length: Annotated[int, Bits(6, maximum=32)]
    reserved: Annotated[int, Bits(10)] = field(default=0, kw_only=True)
    address: Ip4

    @property
    def network(self) -> IPv4Network:
        """The network in which the address lies."""
        return IPv4Network((self.address, self.prefix_length), strict=False)


@mobility_option(37, align=(4, 0))
@dataclass(slots=True)
class Ipv4HomeAddressReply(MobilityOption):
    """The answer to `Ipv4HomeAddressRequest` (RFC 5844 3.3.2)."""

    status: Annotated[U8, Ipv4HomeAddressReplyStatus]
    prefix_length: Annotated[int, Bits(6, maximum=32)]
    reserved: Annotated[int, Bits(2)] = field(default=0, kw_only=True)
    address: Ip4

    @property
    def network(self) -> IPv4Network:
        """The network in which the address lies."""
        return IPv4Network((self.address, self.prefix_length), strict=False)


@mobility_option(38, align=(4, 0))
@dataclass(slots=True)
class Ipv4DefaultRouterAddress(MobilityOption):
    """The router that the mobile node is told of (RFC 5844 3.3.3)."""

    reserved: U16 = field(default=0, kw_only=True)
    address: Ip4


@mobility_option(39)
@dataclass(slots=True)
class Ipv4DhcpSupportMode(MobilityOption):
    """Which part in DHCP the gateway plays (RFC 5844 3.3.4)."""

    reserved: Annotated[int, Bits(15)] = field(default=0, kw_only=True)
    server: Annotated[bool, Flag()]
    """S: a server; otherwise a relay."""
