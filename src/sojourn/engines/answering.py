"""A role that answers Proxy Binding Updates: whom it listens to, how it refuses, how long it grants (RFC 5213 5.3).

A CMD and an LMA are made on this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sojourn.core.effects import SendMessage
from sojourn.engines.base import OutboxEngine, TokenBucket
from sojourn.engines.registration import Refused, refusal
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    EncodeError,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    encode,
)
from sojourn.wire.addresses import Address
from sojourn.wire.units import Duration, Instant, WallClock

_ACKNOWLEDGE = int(BindingUpdateFlags.A)
_STRANGER_RATE = 50
"""Answers a second to sources that are not in the configuration, all together."""


class Answering(OutboxEngine):
    """`address` is the own one, `askers` are those in the configuration."""

    _distributed = True
    """The role knows what the D flag means."""

    def __init__(self, address: Address, askers: Collection[Address], lifetime_max: Duration, epoch: WallClock) -> None:
        super().__init__(epoch)
        self.heard: dict[Address, Instant] = {}
        self._address = address
        self._askers = askers
        self._lifetime_max = lifetime_max
        self._strangers = TokenBucket(_STRANGER_RATE, _STRANGER_RATE)
        self._serves: Counter[Address] = Counter()
        """Nodes that each asker serves."""

    def _refuse(self, update: BindingUpdate, source: Address, refused: Refused) -> None:
        identifier = update.first(MobileNodeIdentifier)
        self._report(
            "update-refused",
            source=source,
            status=int(refused.status),
            reason=refused.reason,
            node=identifier.key() if identifier else "",
        )
        if not update.flags & _ACKNOWLEDGE:
            return
        answer = refusal(update, refused, self._ticks(), distributed=self._distributed)
        if source in self._askers or len(encode(answer)) <= len(encode(update)):  # nobody is hit harder through us
            self._send(answer, source)

    def _fitting(self, answer: BindingAcknowledgement, more: list[MobilityOption]) -> BindingAcknowledgement:
        """`answer` with `more` options, if that is one message still (RFC 6275 6.1.1); a request may ask for more."""
        if not more:
            return answer
        longer = BindingAcknowledgement(
            answer.status, answer.flags, answer.sequence, answer.lifetime, (*answer.options, *more)
        )
        if fits(longer):
            return longer
        self._report("answer-too-long", options=len(more))
        return answer

    def _granted(self, lifetime: Duration) -> Duration:
        return lifetime if lifetime < self._lifetime_max else self._lifetime_max

    def _send(self, message: MobilityMessage, destination: Address) -> None:
        self._do(SendMessage(message, self._address, destination))


def fits(message: MobilityMessage) -> bool:
    """Whether it is short enough to travel."""
    try:
        encode(message)
    except EncodeError:
        return False
    return True
