"""How long the messages are: each is built as the engines build it and counted, with its IPv6 header.

Without IPsec. The options are those of `sojourn.engines` (a test compares the lengths with what the engines send);
RFC 5213 and RFC 6275 messages carry what these RFCs ask for. Route updates have no codec here: their formula is in
`route_update`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sojourn.wire import (
    AccessTechnologyType,
    AlternateCareOfAddress,
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    Timestamp,
    encode,
)
from sojourn.wire.addresses import Prefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageAuthentication, MobilityMessageReplayProtection
from sojourn.wire.ipv6 import DestinationOptions, HomeAddress, RoutingHeader2
from sojourn.wire.mobility import MobilityMessage

_IPV6 = 40
_ADDRESS = bytes(16)
_PREFIX = Prefix(_ADDRESS, 64)
_LINK_LAYER: Sequence[MobilityOption] = (MobileNodeLinkLayerIdentifier(bytes(6)),)
_ATTACHMENT: Sequence[MobilityOption] = (HandoffIndicator(3), AccessTechnologyType(4))
_STAMP: Sequence[MobilityOption] = (Timestamp(0),)
DLIF: Sequence[MobilityOption] = (DlifLinkLocalAddress(_ADDRESS), DlifLinkLayerAddress(bytes(6)))
"""The link-local and link-layer address of an anchor's DLIF (RFC 8885 4.7, 4.8)."""


def _update(options: Sequence[MobilityOption]) -> int:
    return _length(BindingUpdate(0, 0, 0, tuple(options)))


def _answer(options: Sequence[MobilityOption]) -> int:
    return _length(BindingAcknowledgement(0, 0, 0, 0, tuple(options)))


def _length(message: MobilityMessage) -> int:
    return _IPV6 + len(encode(message))


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths of messages of a network-based protocol; how nodes are named and what else is told decides them."""

    identifier: MobileNodeIdentifier = field(default_factory=lambda: MobileNodeIdentifier(5, bytes(6)))
    """sojourn names hosts by EUI-48 (RFC 8371)."""
    link_layer: Sequence[MobilityOption] = _LINK_LAYER
    """The Mobile Node Link-layer Identifier, in what serving routers send only."""
    dlif: Sequence[MobilityOption] = ()
    """What follows each Previous MAAR option where anchors have local networks: `DLIF`."""

    def _common(self, *more: MobilityOption) -> list[MobilityOption]:
        return [self.identifier, HomeNetworkPrefix.of(_PREFIX), *_ATTACHMENT, *more, *_STAMP]

    def registration(self) -> int:
        """PBU of a serving router, also of a PMIPv6 gateway."""
        return _update(self._common(*self.link_layer))

    def acceptance(self, previous: int = 0) -> int:
        """PBA to the serving router, with a Previous MAAR option for each of `previous` anchors."""
        listed = [PreviousMaar.of(_PREFIX, _ADDRESS), *self.dlif] * previous
        return _answer([*self._common(*self.link_layer), *listed])

    def notice(self) -> int:
        """PBU of the central database to an old anchor, with the Serving MAAR option."""
        return _update([*self._common(), ServingMaar(_ADDRESS)])

    def confirmation(self) -> int:
        """PBA of an old anchor to the database; its prefix comes last, before the Serving MAAR option."""
        return _answer([*self._answered_by_anchor(), ServingMaar(_ADDRESS), *self.dlif])

    def anchor_answer(self) -> int:
        """PBA of an old anchor to the serving router (locator mode)."""
        return _answer([*self._answered_by_anchor(), *self.dlif])

    def _answered_by_anchor(self) -> list[MobilityOption]:
        return [self.identifier, *_ATTACHMENT, *_STAMP, HomeNetworkPrefix.of(_PREFIX)]

    def retirement(self) -> int:
        """PBU of lifetime 0 with Anchored Prefix, from an anchor or the database; the answers are as long."""
        return _update([*self._common(), AnchoredPrefix.of(_PREFIX)])

    # --- of a handover ------------------------------------------------------------------------------------------------

    def central(self) -> int:
        """PMIPv6: de-registration and registration, which are of one length, with their answers."""
        return 2 * (self.registration() + self.acceptance())

    def relay_or_proxy(self, previous: int) -> int:
        """Registration, its answer that lists `previous` anchors, and notice and confirmation for each."""
        told = self.notice() + self.confirmation()
        return self.registration() + self.acceptance(previous) + previous * told

    def locator(self, previous: int) -> int:
        """Registration; notice, confirmation and its answer to the serving router for each of `previous` anchors.

        The database answers itself when there is none.
        """
        told = self.notice() + self.confirmation() + self.anchor_answer()
        return self.registration() + (previous * told if previous else self.acceptance())

    def direct(self, previous: int) -> int:
        """For each of `previous` anchors a claim of the serving router and its answer.

        The router just left is the first of them, and names the others. These are told what it anchors, and say that to
        them the node is still where it was.
        """
        if not previous:
            return 0
        others = previous - 1
        first = self._claim() + self._answer_to_claim(*[PreviousMaar.of(_PREFIX, _ADDRESS)] * others)
        told_late = self._claim(PreviousMaar.of(_PREFIX, _ADDRESS)) + self._answer_to_claim(ServingMaar(_ADDRESS))
        return first + others * told_late

    def _claim(self, *listed: MobilityOption) -> int:
        return _update([*self._common(*self.link_layer), ServingMaar(_ADDRESS), *listed])

    def _answer_to_claim(self, *named: MobilityOption) -> int:
        """With the time at which the anchor served last."""
        echoed = [self.identifier, *_ATTACHMENT, *self.link_layer, *_STAMP]
        return _answer([*echoed, HomeNetworkPrefix.of(_PREFIX), *_STAMP, *self.dlif, *named])

    def retiring_directly(self) -> int:
        """Both messages with which an anchor retires a prefix in direct mode."""
        return 2 * self.retirement()

    def retiring(self) -> int:
        """All four messages with which sojourn retires a prefix."""
        return 4 * self.retirement()

    def refreshing(self) -> int:
        """A refresh and its answer."""
        return self.registration() + self.acceptance()


def host_exchange() -> int:
    """Binding Update with Home Address option and alternate care-of address, and its acknowledgement with a type 2
    routing header (RFC 6275 6.1.7, 6.1.8): what a host sends to and hears from one anchor. Both have the identifier of
    the node, a time and an authenticator (RFC 4283, RFC 4285).
    """
    home = DestinationOptions(135, (HomeAddress(_ADDRESS),)).encode()
    routing = RoutingHeader2(135, _ADDRESS).encode()
    return host_return() + len(home) + len(routing)


def host_return() -> int:
    """The same from the address itself, on its own link (RFC 6275 11.5.5)."""
    proof = [
        MobileNodeIdentifier(5, bytes(6)),
        MobilityMessageReplayProtection(0),
        MobilityMessageAuthentication(1, 256, bytes(12)),
    ]
    return _update([AlternateCareOfAddress(_ADDRESS), *proof]) + _answer(proof)


def route_update(prefixes: int = 1) -> int:
    """BGP UPDATE that announces `prefixes` of 64 bits: TCP/IPv6 60, header 23, ORIGIN 4, AS_PATH 3, LOCAL_PREF 7,
    MP_REACH_NLRI 25 + 9 per prefix (RFC 4271 4.3, RFC 4760 3)."""
    return 60 + 23 + 4 + 3 + 7 + 25 + 9 * prefixes


def route_withdrawal(prefixes: int = 1) -> int:
    """BGP UPDATE that withdraws: TCP/IPv6 60, header 23, MP_UNREACH_NLRI 7 + 9 per prefix (RFC 4760 4)."""
    return 60 + 23 + 7 + 9 * prefixes
