"""A local mobility anchor of RFC 5213 that never heard of the D flag: just enough to be talked to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sojourn.core.effects import Effect, SendMessage
from sojourn.core.engine import Row
from sojourn.core.events import Event, MessageReceived
from sojourn.engines.registration import echo
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    Status,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Instant


class LegacyAnchor:
    """Gives each node the next prefix of `pool`; refuses updates with the D flag first, if it is `strict`."""

    def __init__(self, address: Address, pool: Prefix, *, strict: bool) -> None:
        self.address = address
        self.pool = pool
        self.strict = strict
        self.bindings: dict[bytes, tuple[Prefix, Address]] = {}
        self._given: dict[bytes, Prefix] = {}

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Answer updates (RFC 5213 5.3), never with a D flag; a reserved bit means nothing to it."""
        if not isinstance(event, MessageReceived) or not isinstance(event.message, BindingUpdate):
            return []
        update = event.message
        node = update.first(MobileNodeIdentifier)
        if node is None or not update.flags & BindingUpdateFlags.P:
            return []
        if self.strict and update.flags & BindingUpdateFlags.D:
            return [self._answer(update, event.source, int(Status.ADMINISTRATIVELY_PROHIBITED), None)]
        prefix = self._given.setdefault(node.identifier, self.pool.subnet(len(self._given), 64))
        if update.lifetime:
            self.bindings[node.identifier] = (prefix, event.source)
        else:
            self.bindings.pop(node.identifier, None)
        return [self._answer(update, event.source, 0, prefix)]

    def _answer(self, update: BindingUpdate, source: Address, status: int, prefix: Prefix | None) -> Effect:
        options = [option for option in echo(update) if prefix is None or not isinstance(option, HomeNetworkPrefix)]
        if prefix is not None:
            options.append(HomeNetworkPrefix.of(prefix))
        flags = int(BindingAcknowledgementFlags.P)
        answer = BindingAcknowledgement(status, flags, update.sequence, update.lifetime, tuple(options))
        return SendMessage(answer, self.address, source)

    def expire(self, now: Instant) -> Sequence[Effect]:
        """Time means nothing to it."""
        return []

    def deadline(self) -> Instant | None:
        """Never."""
        return None

    @property
    def restoring(self) -> bool:
        return False

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        """It has no memory."""
        return []

    def show(self, topic: str, now: Instant) -> list[Row]:
        """Nothing to see."""
        return []
