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
    MobileNodeIdentifier,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import Duration

IDENTIFIER_MAX = 72
"""Longest identifier kept, in octets: an NAI of the length that RFC 4282 asks devices to support."""

PROXY_DMM = int(BindingUpdateFlags.A | BindingUpdateFlags.P | BindingUpdateFlags.D)
PROXY = int(BindingUpdateFlags.A | BindingUpdateFlags.P)
ACKNOWLEDGED_DMM = int(BindingAcknowledgementFlags.P | BindingAcknowledgementFlags.D)


class Refused(Exception):
    """The request ends here; the peer learns `status` (RFC 5213 8.9)."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


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
        identifier = update.first(MobileNodeIdentifier)
        if identifier is None:
            raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "no Mobile Node Identifier option")
        if not 0 < len(identifier.identifier) <= IDENTIFIER_MAX:
            raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "identifier empty or too long")
        prefixes = tuple(option.prefix for option in update.all(HomeNetworkPrefix))
        if not prefixes:
            raise Refused(Status.MISSING_HOME_NETWORK_PREFIX_OPTION, "no Home Network Prefix option")
        handoff = update.first(HandoffIndicator)
        if handoff is None:
            raise Refused(Status.MISSING_HANDOFF_INDICATOR_OPTION, "no Handoff Indicator option")
        if update.first(AccessTechnologyType) is None:
            raise Refused(Status.MISSING_ACCESS_TECH_TYPE_OPTION, "no Access Technology Type option")
        timestamp = update.first(Timestamp)
        if timestamp is None:
            raise Refused(Status.TIMESTAMP_MISMATCH, "no Timestamp option")
        serving = update.first(ServingMaar)
        return cls(
            node=bytes((identifier.subtype,)) + identifier.identifier,
            source=source,
            sequence=update.sequence,
            lifetime=update.lifetime,
            handoff=handoff.indicator,
            timestamp=timestamp.ticks,
            home_network_prefixes=tuple(prefix for prefix in prefixes if prefix != ANY),
            anchored_prefixes=tuple(option.prefix for option in update.all(AnchoredPrefix)),
            serving=serving.address if serving is not None else None,
        )

    @property
    def refreshes(self) -> bool:
        """Whether the node did not move (handoff state not changed, RFC 5213 8.4)."""
        return self.handoff == Handoff.NOT_CHANGED


def identifier_option(node: bytes) -> MobileNodeIdentifier:
    """The inverse of `Registration.node`."""
    return MobileNodeIdentifier(node[0], node[1:])


def refusal(update: BindingUpdate, status: Status, now_ticks: int) -> BindingAcknowledgement:
    """The answer to a refused update: what identified it is returned, the Timestamp is ours (RFC 5213 5.3.6, 5.5)."""
    kept = [
        option
        for option in update.options
        if isinstance(option, MobileNodeIdentifier | HomeNetworkPrefix | HandoffIndicator | AccessTechnologyType)
    ][:8]
    flags = ACKNOWLEDGED_DMM if update.flags & BindingUpdateFlags.D else int(BindingAcknowledgementFlags.P)
    return BindingAcknowledgement(int(status), flags, update.sequence, 0, (*kept, Timestamp(now_ticks)))
