"""Fast handovers that gateways carry out for nodes (RFC 5949); its flags are in `rfc5568`."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, TypeAlias

from sojourn.wire.errors import EncodeError
from sojourn.wire.fields import U8, U16, Octets, Rest, Tlvs
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.tlv import Family, Tlv


class LmaAddressCode(IntEnum):
    """Of which kind the address is (RFC 5949 6.2.2)."""

    RESERVED = 0
    IPV6 = 1
    IPV4 = 2


@dataclass(slots=True)
class RequestedContext(Tlv):
    """The number of a mobility option that is asked for, and what tells it from others of its kind."""

    type: int
    data: bytes = b""
    """Such as the vendor and subtype of a Vendor Specific option."""

    def put(self, out: bytearray, align: bool) -> None:
        """Append the request."""
        if len(self.data) > 255 or not 0 <= self.type <= 255:
            raise EncodeError(f"RequestedContext (RFC 5949 6.2.1): type {self.type}, {len(self.data)} octets")
        out += bytes((self.type, len(self.data))) + self.data


@dataclass(slots=True)
class ContextRemainder(Tlv):
    """Octets at the end that are no request."""

    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        """Append the octets."""
        out += self.data


CONTEXT_REQUESTS = Family("context requests", RequestedContext, ContextRemainder)
"""RFC 5949 6.2.1. There is no padding inside: type 0 would ask for an option 0, it is no Pad1."""
ContextRequests: TypeAlias = Annotated[tuple[Tlv, ...], Tlvs("context requests")]


@mobility_option(40)
@dataclass(slots=True)
class ContextRequest(MobilityOption):
    """Which options the new gateway wants to hear of (RFC 5949 6.2.1)."""

    reserved: U16 = field(default=0, kw_only=True)
    requests: ContextRequests = ()
    """`RequestedContext` objects."""


@mobility_option(41)
@dataclass(slots=True)
class LocalMobilityAnchorAddress(MobilityOption):
    """The anchor of the mobile node (RFC 5949 6.2.2)."""

    code: Annotated[U8, LmaAddressCode]
    reserved: U8 = field(default=0, kw_only=True)
    address: Annotated[bytes, Rest(sizes=(4, 16))]


@mobility_option(42)
@dataclass(slots=True)
class MobileNodeLinkLocalAddressInterfaceIdentifier(MobilityOption):
    """The interface identifier of the node's link-local address (RFC 5949 6.2.3)."""

    reserved: U16 = field(default=0, kw_only=True)
    identifier: Annotated[bytes, Octets(8)]
