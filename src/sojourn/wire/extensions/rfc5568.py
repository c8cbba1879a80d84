"""Fast handovers between neighbouring access routers (RFC 5568), with the proxy flags of RFC 5949.

What they say in ICMPv6 is in `rfc5568_discovery`.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Annotated

from sojourn.wire.fields import U8, U16, U32, Ip6, PrefixLength, Rest
from sojourn.wire.messages import Lifetime
from sojourn.wire.mobility import MobilityMessage, MobilityOption, Options, mobility_message, mobility_option


class FastBindingUpdateFlags(IntFlag):
    """Flags of Fast Binding Updates (RFC 5568 6.2.2): A and H must be set, others than these must not."""

    A = ACKNOWLEDGE = 0x8000
    H = HOME_REGISTRATION = 0x4000
    L = LINK_LOCAL_COMPATIBILITY = 0x2000
    K = KEY_MANAGEMENT = 0x1000


class FastBindingAcknowledgmentFlags(IntFlag):
    """Flags of Fast Binding Acknowledgments (RFC 5568 6.2.3)."""

    K = KEY_MANAGEMENT = 0x80


class FastBindingStatus(IntEnum):
    """Status of Fast Binding Acknowledgments (RFC 5568 6.2.3)."""

    FAST_BINDING_UPDATE_ACCEPTED = 0
    ACCEPTED_BUT_NCOA_INVALID_USE_NCOA_IN_ALTERNATE_COA = 1
    REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    INCORRECT_INTERFACE_IDENTIFIER_LENGTH = 131


class HandoverInitiateFlags(IntFlag):
    """Flags of Handover Initiate (RFC 5568 6.2.1.1, RFC 5949 6.1.1); those of the answer stand one bit higher."""

    S = ASSIGNED_ADDRESS = 0x80
    U = BUFFER = 0x40
    P = PROXY = 0x20
    F = FORWARDING = 0x10


class HandoverAcknowledgeFlags(IntFlag):
    """Flags of Handover Acknowledge (RFC 5949 6.1.2): U, P, F where Handover Initiate has S, U, P."""

    U = BUFFER = 0x80
    P = PROXY = 0x40
    F = FORWARDING = 0x20


class HandoverInitiateCode(IntEnum):
    """Codes of Handover Initiate (RFC 5568 6.2.1.1, RFC 5949 6.1.1)."""

    FBU_WITH_THE_PCOA_AS_SOURCE_IP_ADDRESS = 0
    FBU_WHOSE_SOURCE_IP_ADDRESS_IS_NOT_PCOA = 1
    INDICATE_THE_COMPLETION_OF_FORWARDING = 2
    ALL_AVAILABLE_CONTEXT_TRANSFERRED = 3


class HandoverAcknowledgeCode(IntEnum):
    """Codes of Handover Acknowledge (RFC 5568 6.2.1.2, RFC 5949 6.1.2)."""

    HANDOVER_ACCEPTED = 0
    """With a valid NCoA, if P is not set."""
    HANDOVER_ACCEPTED_NCOA_NOT_VALID = 1
    HANDOVER_ACCEPTED_NCOA_ASSIGNED = 2
    HANDOVER_ACCEPTED_USE_PCOA = 3
    MESSAGE_SENT_UNSOLICITED = 4
    CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL = 5
    ALL_AVAILABLE_CONTEXT_TRANSFERRED = 6
    HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    REQUESTED_CONTEXT_NOT_AVAILABLE = 131
    FORWARDING_NOT_AVAILABLE = 132


class LinkLayerCode(IntEnum):
    """Whose link-layer address it is (RFC 5568 6.4.3)."""

    WILDCARD = 0
    NEW_ACCESS_POINT = 1
    MN = 2
    NAR = 3
    SOURCE_OF_RTSOLPR_OR_PRRTADV = 4
    AP_ON_CURRENT_INTERFACE = 5
    NO_PREFIX_INFORMATION_FOR_AP = 6
    NO_FAST_HANDOVER_SUPPORT_AT_AP = 7


class AddressCode(IntEnum):
    """Whose address or prefix it is (RFC 5568 6.4.1)."""

    OLD_CARE_OF_ADDRESS = 1
    NEW_CARE_OF_ADDRESS = 2
    NARS_IP_ADDRESS = 3
    NARS_PREFIX = 4


@mobility_message(8)
@dataclass(slots=True)
class FastBindingUpdate(MobilityMessage):
    """A mobile node asks its router to forward to the next one (RFC 5568 6.2.2)."""

    sequence: U16
    flags: Annotated[U16, FastBindingUpdateFlags]
    lifetime: Lifetime
    """The RFC says "in seconds" and "identical to" the Binding Update: read as its units of 4 s, as others do."""
    options: Options = ()


@mobility_message(9)
@dataclass(slots=True)
class FastBindingAcknowledgment(MobilityMessage):
    """The answer to a Fast Binding Update (RFC 5568 6.2.3)."""

    status: Annotated[U8, FastBindingStatus]
    flags: Annotated[U8, FastBindingAcknowledgmentFlags]
    sequence: U16
    lifetime: Lifetime
    """In units of 4 s, as in `FastBindingUpdate`."""
    options: Options = ()


@mobility_message(14)
@dataclass(slots=True)
class HandoverInitiate(MobilityMessage):
    """One access router tells the next of a mobile node that comes (RFC 5568 6.2.1.1, RFC 5949 6.1.1)."""

    sequence: U16
    flags: Annotated[U8, HandoverInitiateFlags]
    code: Annotated[U8, HandoverInitiateCode]
    options: Options = ()


@mobility_message(15)
@dataclass(slots=True)
class HandoverAcknowledge(MobilityMessage):
    """The answer to Handover Initiate (RFC 5568 6.2.1.2, RFC 5949 6.1.2)."""

    sequence: U16
    flags: Annotated[U8, HandoverAcknowledgeFlags]
    code: Annotated[U8, HandoverAcknowledgeCode]
    options: Options = ()


@mobility_option(7)
@dataclass(slots=True)
class MobilityHeaderLinkLayerAddress(MobilityOption):
    """A link-layer address (RFC 5568 6.4.4); no octet of padding stands before it."""

    code: Annotated[U8, LinkLayerCode]
    link_layer: Annotated[bytes, Rest()]


@mobility_option(21, align=(4, 2))
@dataclass(slots=True)
class BindingAuthorizationDataForFmipv6(MobilityOption):
    """The proof of a handover key; comes last (RFC 5568 6.4.5).

    The text has the length count the authenticator alone. It counts the SPI too, as all options do and all known
    implementations have it: otherwise nobody could find the end.
    """

    spi: U32
    authenticator: Annotated[bytes, Rest()]


@mobility_option(34, align=(8, 4))
@dataclass(slots=True)
class MobilityHeaderIpv6AddressPrefix(MobilityOption):
    """An address or prefix of a handover (RFC 5568 6.4.2). That section prints type 17; section 11 and IANA say 34."""

    code: Annotated[U8, AddressCode]
    prefix_length: PrefixLength
    address: Ip6
