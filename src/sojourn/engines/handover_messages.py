"""Handover Initiate and Handover Acknowledge with the P flag: written and read (RFC 5949 6).

Context is carried in the options that the RFC names: Mobile Node Identifier, Home Network Prefix, Local Mobility Anchor
Address, Mobile Node Link-layer Identifier; and a Timestamp (RFC 5213 8.8) of the attachment that the new router speaks
of, because a node may be back before its message arrives. A MAAR adds what RFC 5949 cannot know of: a Previous MAAR
option (RFC 8885 4.5) for each prefix that neither of the two routers anchors; a MAG what its extensions lead to the
node: Delegated Mobile Network Prefix options (RFC 7148), Home Network Prefix options with the bit L (RFC 7864).
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.engines.registration import identifier_option
from sojourn.wire import (
    HomeNetworkPrefix,
    IdentifierType,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    PreviousMaar,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, LinkLayer, Prefix
from sojourn.wire.extensions.rfc5568 import (
    HandoverAcknowledge,
    HandoverAcknowledgeCode,
    HandoverAcknowledgeFlags,
    HandoverInitiate,
    HandoverInitiateCode,
    HandoverInitiateFlags,
)
from sojourn.wire.extensions.rfc5949 import (
    ContextRequest,
    LmaAddressCode,
    LocalMobilityAnchorAddress,
    RequestedContext,
)

COMPLETION = int(HandoverInitiateCode.INDICATE_THE_COMPLETION_OF_FORWARDING)
ACCEPTED = int(HandoverAcknowledgeCode.HANDOVER_ACCEPTED)
_FORWARD = int(HandoverInitiateFlags.P | HandoverInitiateFlags.F)
_BUFFER = int(HandoverInitiateFlags.P | HandoverInitiateFlags.U)
_REQUESTED = tuple(RequestedContext(number) for number in (22, 25, 41))
"""Home network prefixes, link-layer identifier, anchor (6.2.1)."""


@dataclass(slots=True)
class Subject:
    """Who a message is about, and what it says of its prefixes."""

    identity: bytes
    """Subtype and identifier; empty when the message has none."""
    link_layer: LinkLayer
    """Empty when it is not told."""
    prefixes: dict[Prefix, Address]
    """With the anchor of each."""
    options: tuple[MobilityOption, ...] = ()
    """All that the message has."""


def subject(message: HandoverInitiate | HandoverAcknowledge, source: Address) -> Subject:
    """What `message` from `source` is about. An anchor that is not told is the router that speaks."""
    options = message.options
    identifiers = [option for option in options if isinstance(option, MobileNodeIdentifier)]
    identity = identifiers[0].key() if identifiers else b""
    layers = [option.identifier for option in options if isinstance(option, MobileNodeLinkLayerIdentifier)]
    anchors = [option for option in options if isinstance(option, LocalMobilityAnchorAddress)]
    anchor = next((option.address for option in anchors if option.code == LmaAddressCode.IPV6), source)
    prefixes: dict[Prefix, Address] = {}
    for option in options:
        if isinstance(option, HomeNetworkPrefix) and option.prefix != ANY and not option.off_link:
            prefixes[option.prefix] = anchor
        elif isinstance(option, PreviousMaar):
            prefixes[option.prefix] = option.maar
    link_layer = next((octets for octets in layers if any(octets)), b"")
    if not link_layer and identity[:1] == bytes((int(IdentifierType.EUI_48),)):
        link_layer = identity[1:]
    return Subject(identity, link_layer, prefixes, options)


def context_options(
    link_layer: LinkLayer, prefixes: tuple[Prefix, ...], anchor: Address, previous: dict[Prefix, Address]
) -> tuple[MobilityOption, ...]:
    """`prefixes` are anchored by `anchor`, those of `previous` by MAARs that the node was at before."""
    return (
        MobileNodeLinkLayerIdentifier(link_layer),
        *(HomeNetworkPrefix.of(prefix) for prefix in prefixes),
        LocalMobilityAnchorAddress(int(LmaAddressCode.IPV6), anchor),
        *(PreviousMaar.of(prefix, maar) for prefix, maar in previous.items()),
    )


def expecting(sequence: int, identity: bytes, context: tuple[MobilityOption, ...]) -> HandoverInitiate:
    """Predictive (4.1 (c)): the node is about to come; packets for it are forwarded from the answer on."""
    code = int(HandoverInitiateCode.ALL_AVAILABLE_CONTEXT_TRANSFERRED)
    return HandoverInitiate(sequence, _FORWARD, code, (identifier_option(identity), *context))


def asking(sequence: int, identity: bytes, link_layer: LinkLayer, attached: int) -> HandoverInitiate:
    """Reactive (4.1 (c)): the node is here; what is known of it? Its packets wait until there is a way for them."""
    request = ContextRequest(_REQUESTED)
    return HandoverInitiate(sequence, _BUFFER, 0, (*_who(identity, link_layer), request, Timestamp(attached)))


def fetching(sequence: int, identity: bytes, link_layer: LinkLayer, attached: int) -> HandoverInitiate:
    """4.2: what was buffered "MUST be followed by another HI message with the 'F' flag set": now there is a way."""
    return HandoverInitiate(sequence, _FORWARD, 0, (*_who(identity, link_layer), Timestamp(attached)))


def completing(sequence: int, identity: bytes, link_layer: LinkLayer) -> HandoverInitiate:
    """The completion of forwarding (6.1.1, code 2): the new router's wish, the previous one's end marker."""
    return HandoverInitiate(sequence, _FORWARD, COMPLETION, _who(identity, link_layer))


def _who(identity: bytes, link_layer: LinkLayer) -> tuple[MobilityOption, ...]:
    return identifier_option(identity), MobileNodeLinkLayerIdentifier(link_layer)


def attached_there(message: HandoverInitiate) -> int | None:
    """When the node attached there, in ticks, if it is told: of two attachments the later one counts (RFC 5213 5.5)."""
    option = message.first(Timestamp)
    return None if option is None else option.ticks


def answer(
    request: HandoverInitiate, code: HandoverAcknowledgeCode, context: tuple[MobilityOption, ...] = ()
) -> HandoverAcknowledge:
    """ "The mobility option that uniquely identifies the target mobile node MUST be copied" (6.1.2), sequence too."""
    flags = HandoverAcknowledgeFlags.P
    if code < HandoverAcknowledgeCode.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED:
        if request.flags & HandoverInitiateFlags.F:
            flags |= HandoverAcknowledgeFlags.F
        if request.flags & HandoverInitiateFlags.U:
            flags |= HandoverAcknowledgeFlags.U
    copied = tuple(option for option in request.options if isinstance(option, MobileNodeIdentifier))[:1]
    return HandoverAcknowledge(request.sequence, int(flags), int(code), (*copied, *context))
