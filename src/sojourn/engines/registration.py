"""What a Proxy Binding Update asks for, checked as RFC 5213 5.3.1 orders it, and how it is refused.

Shared by every role that answers updates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

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
from sojourn.wire.extensions.rfc6602 import GroupSubtype, MobileNodeGroupIdentifier
from sojourn.wire.mobility import MobilityMessage as Message
from sojourn.wire.units import Duration

IDENTIFIER_MAX = 72
"""Longest identifier kept, in octets: an NAI of the length that RFC 4282 asks devices to support."""

ECHOED_PREFIXES = 16
"""Most Home Network Prefix options returned by an answer."""
LISTED_PREFIXES = 32
"""Most prefixes listed in one message, which has room for 2048 octets (RFC 6275 6.1.1)."""
NO_TIME = 1 << 62
"""No clock shows such a Timestamp, in ticks, or a later one. Below it there is room for later ones to come."""
LOCAL_PREFIXES = 8
"""Most local networks told, and remembered, of one MAAR."""
_ECHOED = frozenset(
    {
        HomeNetworkPrefix,
        MobileNodeIdentifier,
        HandoffIndicator,
        AccessTechnologyType,
        MobileNodeLinkLayerIdentifier,
        LinkLocalAddress,
        Timestamp,
    }
)
"""Options that an answer returns as they came (RFC 5213 5.3.6)."""
_ECHOED_BUT_PREFIXES = _ECHOED - {HomeNetworkPrefix}
_ECHOED_AT_THE_END = _ECHOED | {AnchoredPrefix}
"""With the one that says which retirement is answered."""

_MANDATORY = {
    HomeNetworkPrefix: (Status.MISSING_HOME_NETWORK_PREFIX_OPTION, "no Home Network Prefix option"),
    HandoffIndicator: (Status.MISSING_HANDOFF_INDICATOR_OPTION, "no Handoff Indicator option"),
    AccessTechnologyType: (Status.MISSING_ACCESS_TECH_TYPE_OPTION, "no Access Technology Type option"),
}
"""What an update must have besides, in the order of RFC 5213 5.3.1 (10. to 12.), and how one without it is refused."""
PROXY_DMM = int(BindingUpdateFlags.A | BindingUpdateFlags.P | BindingUpdateFlags.D)
PROXY = int(BindingUpdateFlags.A | BindingUpdateFlags.P)
DISTRIBUTED = int(BindingAcknowledgementFlags.D)
"""Plain numbers: the flags of `enum` cost half a microsecond at every use."""
REFUSING = int(Status.REASON_UNSPECIFIED)
"""From this status on a request is refused."""
ACKNOWLEDGED_DMM = int(BindingAcknowledgementFlags.P | BindingAcknowledgementFlags.D)


class Refused(Exception):
    """The request ends here; the peer learns `status` (RFC 5213 8.9)."""

    def __init__(
        self, status: Status, reason: str, sequence: int | None = None, more: tuple[MobilityOption, ...] = ()
    ) -> None:
        super().__init__(reason)
        self.more = more
        """Options that say more of why."""
        self.status = status
        self.reason = reason
        self.sequence = sequence
        """The last accepted sequence number, where the answer is to tell it (RFC 6275 9.5.1)."""


class Registration(Struct, gc=False):
    """A Proxy Binding Update, taken apart."""

    firsts: dict[type, Any]
    """The first of its options of each class."""

    node: bytes
    """Subtype and identifier of the Mobile Node Identifier option: the key of every table."""
    source: Address
    sequence: int
    lifetime: Duration
    handoff: int
    technology: int
    timestamp: int
    home_network_prefixes: list[Prefix]
    anchored_prefixes: list[Prefix]
    serving: Address | None

    @classmethod
    def of(cls, update: BindingUpdate, source: Address) -> Registration:
        """Take `update` apart. Raises `Refused` as RFC 5213 5.3.1 and 8.9 say."""
        firsts = update.firsts()
        node = node_in(firsts)
        if len(node) > 1 + IDENTIFIER_MAX:
            raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "identifier too long")
        if not firsts.keys() >= _MANDATORY.keys():
            demand(firsts)
        if Timestamp not in firsts:
            raise Refused(Status.TIMESTAMP_MISMATCH, "no Timestamp option")
        if firsts[Timestamp].ticks >= NO_TIME:
            raise Refused(Status.TIMESTAMP_MISMATCH, "no clock shows this time")
        serving: ServingMaar | None = firsts.get(ServingMaar)
        return cls(
            firsts,
            node,
            source,
            update.sequence,
            update.lifetime,
            firsts[HandoffIndicator].indicator,
            firsts[AccessTechnologyType].technology,
            firsts[Timestamp].ticks,
            prefixes_in(HomeNetworkPrefix, update, firsts),
            prefixes_in(AnchoredPrefix, update, firsts) if AnchoredPrefix in firsts else [],
            None if serving is None else serving.address,
        )

    @property
    def refreshes(self) -> bool:
        """Whether the node did not move (handoff state not changed, RFC 5213 8.4)."""
        return self.handoff == Handoff.NOT_CHANGED


def node_in(firsts: dict[type, Any]) -> bytes:
    """Subtype and identifier of the node that an update is about; `firsts` is ``update.firsts()``.

    Raises `Refused` (RFC 5213 5.3.1, 4.).
    """
    identifier: MobileNodeIdentifier | None = firsts.get(MobileNodeIdentifier)
    if identifier is None:
        raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "no Mobile Node Identifier option")
    if not identifier.identifier:
        raise Refused(Status.MISSING_MN_IDENTIFIER_OPTION, "empty identifier")
    return identifier.key()


def group_in(firsts: dict[type, Any]) -> int | None:
    """The bulk binding update group that a message names (RFC 6602 4.3); `firsts` is ``message.firsts()``."""
    option: MobileNodeGroupIdentifier | None = firsts.get(MobileNodeGroupIdentifier)
    return None if option is None or option.subtype != GroupSubtype.BULK_BINDING_UPDATE_GROUP else option.group


def demand(firsts: dict[type, Any]) -> None:
    """Raises `Refused` for the first mandatory option that is not there (RFC 5213 5.3.1, 10. to 12.)."""
    for kind, refusal in _MANDATORY.items():
        if kind not in firsts:
            raise Refused(*refusal)


def prefixes_in(
    kind: type[HomeNetworkPrefix | AnchoredPrefix], message: Message, firsts: dict[type, Any]
) -> list[Prefix]:
    """All prefixes in options of this class, ::/0 left out; `firsts` is ``message.firsts()``."""
    if kind not in firsts:
        return []
    if len(firsts) == len(message.options):  # none is there twice
        option = firsts[kind]
        return [Prefix.of(option.address, option.prefix_length)] if option.prefix_length else []
    return [option.prefix for option in message.all(kind) if option.prefix_length]


HANDOFFS = [HandoffIndicator(number) for number in range(max(Handoff) + 1)]
"""The option for each value of `Handoff`."""
TECHNOLOGIES = [AccessTechnologyType(number) for number in range(256)]
"""The option for each `AccessTechnology`, known or not."""


def identifier_option(node: bytes) -> MobileNodeIdentifier:
    """The inverse of `Registration.node`."""
    return MobileNodeIdentifier(node[0], node[1:])


def echo(update: BindingUpdate, prefixes: bool = True) -> list[MobilityOption]:
    """What an answer returns as it came (RFC 5213 5.3.6), within limits that keep the answer one message.

    Each option once, Home Network Prefixes (unless they are not asked for) as often as they fit.
    """
    echoed = _ECHOED_AT_THE_END if not update.lifetime else _ECHOED if prefixes else _ECHOED_BUT_PREFIXES
    kinds = set(map(type, update.options))
    if len(kinds) < len(update.options):  # some are there twice
        return list(_limited(option for option in update.options if type(option) in echoed))
    if kinds <= echoed:
        return list(update.options)
    return [option for option in update.options if type(option) in echoed]


def _limited(options: Iterable[MobilityOption]) -> Iterator[MobilityOption]:
    numbers: Counter[type] = Counter()
    for option in options:
        kind = type(option)
        numbers[kind] += 1
        if numbers[kind] <= (ECHOED_PREFIXES if kind is HomeNetworkPrefix else 1):
            yield option


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
    kept += refused.more
    flags = int(BindingAcknowledgementFlags.P)
    if distributed and update.flags & int(BindingUpdateFlags.D):
        flags = ACKNOWLEDGED_DMM
    sequence = update.sequence if refused.sequence is None else refused.sequence
    return BindingAcknowledgement(int(refused.status), flags, sequence, 0, tuple(kept))
