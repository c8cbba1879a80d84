"""Messages as a peer would send them, for tests that inject them."""

from __future__ import annotations

from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY_DMM, identifier_option
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Prefix
from sojourn.wire.units import SECOND, Duration, ticks
from support.domain import Domain
from support.table import EPOCH, Table, node


def stamp(domain: Table, ahead: Duration = 0) -> int:
    """The Timestamp of an attachment at this moment."""
    return ticks(EPOCH + domain.now + ahead)


def pbu(
    domain: Domain,
    *prefixes: Prefix,
    host: str = "mn1",
    sequence: int = 1,
    flags: int = PROXY_DMM,
    lifetime: Duration = 300 * SECOND,
    handoff: int = int(Handoff.UNKNOWN),
    timestamp: int | None = None,
    more: tuple[MobilityOption, ...] = (),
    without: tuple[type[MobilityOption], ...] = (),
) -> BindingUpdate:
    """A Proxy Binding Update as RFC 5213 6.9.1.5 builds it; `without` leaves options of a kind out."""
    options: tuple[MobilityOption, ...] = (
        identifier_option(node(host)),
        *(HomeNetworkPrefix.of(prefix) for prefix in prefixes or (ANY,)),
        HandoffIndicator(handoff),
        AccessTechnologyType(4),
        Timestamp(stamp(domain) if timestamp is None else timestamp),
        *more,
    )
    kept = tuple(option for option in options if not isinstance(option, without))
    return BindingUpdate(sequence, flags, lifetime, kept)


def pba(
    domain: Domain,
    *more: MobilityOption,
    host: str = "mn1",
    status: int = 0,
    sequence: int = 1,
    flags: int = ACKNOWLEDGED_DMM,
    lifetime: Duration = 300 * SECOND,
    timestamp: int | None = None,
) -> BindingAcknowledgement:
    """A Proxy Binding Acknowledgement."""
    options = (
        identifier_option(node(host)),
        Timestamp(stamp(domain) if timestamp is None else timestamp),
        *more,
    )
    return BindingAcknowledgement(status, flags, sequence, lifetime, options)


def about(message: MobilityMessage) -> str | None:
    """The host that `message` is about, by its identifier in hexadecimal."""
    option = message.first(MobileNodeIdentifier)
    return None if option is None else option.identifier.hex()


def answers(domain: Table, receiver: str) -> list[BindingAcknowledgement]:
    """Acknowledgements that were sent to `receiver` since the last `clear`."""
    return [
        message
        for _, destination, message in domain.sent(BindingAcknowledgement)
        if destination == receiver and isinstance(message, BindingAcknowledgement)
    ]


def updates(domain: Table, source: str, receiver: str) -> list[BindingUpdate]:
    """Updates that `source` sent to `receiver` since the last `clear`."""
    return [
        message
        for sender, destination, message in domain.sent(BindingUpdate)
        if sender == source and destination == receiver and isinstance(message, BindingUpdate)
    ]
