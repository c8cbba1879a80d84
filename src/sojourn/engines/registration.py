"""What a Proxy Binding Update asks for, checked as RFC 5213 5.3.1 orders it, and how it is refused.

Shared by every role that answers updates.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire import (
    AccessTechnologyType,
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    IdentifierType,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import Duration

IDENTIFIER_MAX = 72
"""Longest identifier kept, in octets: an NAI of the length that RFC 4282 asks devices to support."""

ECHOED_PREFIXES = 16
"""Most Home Network Prefix options returned by an answer."""
LISTED_PREFIXES = 32
"""Most prefixes listed in one message, which has room for 2048 octets (RFC 6275 6.1.1)."""
LOCAL_PREFIXES = 8
"""Most local networks told, and remembered, of one MAAR."""
_ECHOED = frozenset(
    {
        MobileNodeIdentifier,
        HandoffIndicator,
        AccessTechnologyType,
        MobileNodeLinkLayerIdentifier,
        LinkLocalAddress,
        Timestamp,
    }
)
"""Options that an answer returns as they came (RFC 5213 5.3.6), next to the prefixes."""

PROXY_DMM = int(BindingUpdateFlags.A | BindingUpdateFlags.P | BindingUpdateFlags.D)
PROXY = int(BindingUpdateFlags.A | BindingUpdateFlags.P)
ACKNOWLEDGED_DMM = int(BindingAcknowledgementFlags.P | BindingAcknowledgementFlags.D)


class Refused(Exception):
    """The request ends here; the peer learns `status` (RFC 5213 8.9)."""

    def __init__(self, status: Status, reason: str, sequence: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.sequence = sequence
        """The last accepted sequence number, where the answer is to tell it (RFC 6275 9.5.1)."""


@dataclass(slots=True)
class Registration:
    """A Proxy Binding Update, taken apart."""

    node: bytes
    """Subtype and identifier of the Mobile Node Identifier option: the key of every table."""
    source: Address
    sequence: int
    lifetime: Duration
    handoff: int
    timestamp: int
    home_network_prefixes: tuple[Prefix, ...]
    anchored_prefixes: tuple[Prefix, ...]
    serving: Address | None

    @classmethod
    def of(cls, update: BindingUpdate, source: Address) -> Registration:
        """Take `update` apart. Raises `Refused` as RFC 5213 5.3.1 and 8.9 say."""
        node = node_of(update)
        if len(node) > 1 + IDENTIFIER_MAX:
            raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "identifier too long")
        prefixes, handoff, _ = mandatory(update)
        timestamp = update.first(Timestamp)
        if timestamp is None:
            raise Refused(Status.TIMESTAMP_MISMATCH, "no Timestamp option")
        serving = update.first(ServingMaar)
        return cls(
            node=node,
            source=source,
            sequence=update.sequence,
            lifetime=update.lifetime,
            handoff=handoff,
            timestamp=timestamp.ticks,
            home_network_prefixes=tuple(prefix for prefix in prefixes if prefix != ANY),
            anchored_prefixes=tuple(option.prefix for option in update.all(AnchoredPrefix)),
            serving=serving.address if serving is not None else None,
        )

    @property
    def refreshes(self) -> bool:
        """Whether the node did not move (handoff state not changed, RFC 5213 8.4)."""
        return self.handoff == Handoff.NOT_CHANGED


def node_of(update: BindingUpdate) -> bytes:
    """Subtype and identifier of the node that `update` is about. Raises `Refused` (RFC 5213 5.3.1, 4.)."""
    identifier = update.first(MobileNodeIdentifier)
    if identifier is None:
        raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "no Mobile Node Identifier option")
    if not identifier.identifier:
        raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "empty identifier")
    return bytes((identifier.subtype,)) + identifier.identifier


def mandatory(update: BindingUpdate) -> tuple[tuple[Prefix, ...], int, int]:
    """Prefixes, Handoff Indicator and Access Technology Type. Raises `Refused` (RFC 5213 5.3.1, 10. to 12.)."""
    prefixes = tuple(option.prefix for option in update.all(HomeNetworkPrefix))
    if not prefixes:
        raise Refused(Status.MISSING_HOME_NETWORK_PREFIX_OPTION, "no Home Network Prefix option")
    handoff = update.first(HandoffIndicator)
    if handoff is None:
        raise Refused(Status.MISSING_HANDOFF_INDICATOR_OPTION, "no Handoff Indicator option")
    technology = update.first(AccessTechnologyType)
    if technology is None:
        raise Refused(Status.MISSING_ACCESS_TECH_TYPE_OPTION, "no Access Technology Type option")
    return prefixes, handoff.indicator, technology.technology


def identifier_option(node: bytes) -> MobileNodeIdentifier:
    """The inverse of `Registration.node`."""
    return MobileNodeIdentifier(node[0], node[1:])


def echo(update: BindingUpdate) -> list[MobilityOption]:
    """What an answer returns as it came (RFC 5213 5.3.6), within limits that keep the answer one message.

    Each option once, Home Network Prefixes as often as they fit. The Anchored Prefix of an update of lifetime 0 is
    returned as well: it says which retirement is answered.
    """
    kept: list[MobilityOption] = []
    seen: set[type[MobilityOption]] = set()
    prefixes = 0
    for option in update.options:
        kind = type(option)
        if kind is HomeNetworkPrefix:
            prefixes += 1
            if prefixes <= ECHOED_PREFIXES:
                kept.append(option)
        elif kind not in seen and (kind in _ECHOED or (kind is AnchoredPrefix and update.lifetime == 0)):
            seen.add(kind)
            kept.append(option)
    return kept


def refusal(
    update: BindingUpdate, refused: Refused, now_ticks: int, *, distributed: bool = True
) -> BindingAcknowledgement:
    """The answer to a refused update (RFC 5213 5.3.6): mandatory options that it lacks are empty.

    The Timestamp is ours, and there is none where none was sent. `distributed`: we know what the D flag means.
    """
    kept = [Timestamp(now_ticks) if isinstance(option, Timestamp) else option for option in echo(update)]
    present = {type(option) for option in kept}
    if MobileNodeIdentifier not in present:
        kept.insert(0, MobileNodeIdentifier(int(IdentifierType.NAI), b""))
    if HomeNetworkPrefix not in present:
        kept.append(HomeNetworkPrefix.of(ANY))
    if HandoffIndicator not in present:
        kept.append(HandoffIndicator(0))
    if AccessTechnologyType not in present:
        kept.append(AccessTechnologyType(0))
    flags = int(BindingAcknowledgementFlags.P)
    if distributed and update.flags & BindingUpdateFlags.D:
        flags = ACKNOWLEDGED_DMM
    sequence = update.sequence if refused.sequence is None else refused.sequence
    return BindingAcknowledgement(int(refused.status), flags, sequence, 0, tuple(kept))
