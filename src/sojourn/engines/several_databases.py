"""A MAAR in a domain with several CMDs on one store, each of which answers for any node.

To the procedures there is one CMD, the first of the configuration. Here it is decided which one a message goes to: a
node always has the same one, so that it costs only one of them memory, until that one does not answer: what is repeated
goes to the next one. One that is missed (`liveness`, where there is any) is left for the next one before anything is
said to it. Answers go to whoever asked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sojourn.core.effects import Effect, SendMessage
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    Heartbeat,
    MobileNodeIdentifier,
    MobilityMessage,
)
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND, Instant

UNANSWERED = 3
"""So many messages without a sign of life, and it is passed over ..."""
PATIENCE = 100 * MILLISECOND
"""... if the first of them is that old: many at once are no sign."""
REMEMBERED = 1_000
"""Nodes that were asked about last."""
REST = 5 * SECOND
"""For so long; then one message tries it again."""


class SeveralDatabases:
    """Which CMD is spoken to. The first of `addresses` stands for all of them."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = tuple(addresses)
        self.heard: dict[Address, Instant] = {}
        self.lost: set[Address] = set()
        """Those that are missed."""
        self._speaker: Address = self.addresses[0]
        self._unanswered: dict[Address, tuple[int, Instant]] = {}
        self._resting: dict[Address, Instant] = {}
        self._asked: dict[bytes, tuple[Address, Instant]] = {}
        """Who was asked about a node last, and when; the latest nodes last."""
        self._waits = False
        """Nobody is registered before we asked what we anchor."""
        self._keeper: Address | None = None
        """Who knows what we anchor, until ..."""
        self._kept_until: Instant = 0
        self.abandoned = False
        """That one fell silent, and another one is to be asked."""

    def received(self, source: Address, now: Instant) -> Address:
        """Whose message it is, as the procedures know it."""
        if source not in self.addresses:
            return source
        self.heard[source] = now
        self._unanswered.pop(source, None)
        self._resting.pop(source, None)
        self._speaker = source
        return self.addresses[0]

    def wait(self) -> None:
        """We do not know what we anchor, and ask."""
        self._keeper, self.abandoned, self._waits = None, False, True

    def remembered(self, until: Instant) -> None:
        """Who was heard last knows it, and is asked about every new node `until` we do (0: it is nothing). What waited
        may be sent now.
        """
        if self._waits:
            self._waits, self._keeper, self._kept_until = False, self._speaker, until

    def directed(self, effects: Iterable[Effect], now: Instant) -> list[Effect]:
        """`effects` with messages to the CMD going to the right one, but for updates that have to wait: lost, to us."""
        result: list[Effect] = []
        for effect in effects:
            about_one = type(effect) is SendMessage and type(effect.message) is Heartbeat
            if type(effect) is not SendMessage or effect.destination != self.addresses[0] or about_one:
                result.append(effect)
                continue
            if self._keeper is not None and not self._keeps(self._keeper, effect.message, now):
                self._resting[self._keeper] = now + REST
                self.wait()
                self.abandoned = True
            if not self._waits or not isinstance(effect.message, BindingUpdate):
                result.append(replace(effect, destination=self._destination(effect, now)))
        return result

    def _keeps(self, keeper: Address, message: MobilityMessage, now: Instant) -> bool:
        """Whether it need not be given up. What is repeated without a sign of its life goes to another one."""
        if now >= self._kept_until:
            self._keeper = None
            return True
        if keeper in self.lost:
            return False
        last, when = self._asked.get(_node(message), (None, 0))
        return not _is_first(message) or last != keeper or self.heard.get(keeper, -1) >= when

    def silent(self, now: Instant) -> list[Address]:
        """Those that are passed over."""
        return [address for address in self.addresses if address in self.lost or self._resting.get(address, now) > now]

    def _destination(self, effect: SendMessage, now: Instant) -> Address:
        message = effect.message
        if isinstance(message, BindingAcknowledgement):
            return self._speaker
        node = _node(message) or effect.source
        chosen = self._chosen(node, now, _is_first(message))
        self._asked.pop(node, None)
        self._asked[node] = chosen, now
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]
        count, since = self._unanswered.get(chosen, (0, now))
        self._unanswered[chosen] = (count + 1, since)
        return chosen

    def _chosen(self, node: bytes, now: Instant, new: bool) -> Address:
        if new and self._keeper is not None:
            return self._keeper
        first = zlib.crc32(node) % len(self.addresses)
        last, when = self._asked.get(node, (None, 0))
        if last is not None and self.heard.get(last, -1) < when:
            first = self.addresses.index(last) + 1
        order = self.addresses[first:] + self.addresses[:first]
        if self.lost:
            order = tuple([address for address in order if address not in self.lost]) or order
        for address in order:
            until = self._resting.get(address)
            if until is not None and until > now:
                continue
            count, since = self._unanswered.get(address, (0, now))
            if count < UNANSWERED or now - since < PATIENCE:
                return address
            self._resting[address] = now + REST
            self._unanswered[address] = (UNANSWERED - 1, now - PATIENCE)
        return min(order, key=lambda address: self._resting[address])  # nobody answers: whoever rested longest


def _is_first(message: MobilityMessage) -> bool:
    """Whether it may tell of a prefix that no CMD heard of."""
    if not isinstance(message, BindingUpdate) or not message.lifetime:
        return False
    indicator = message.first(HandoffIndicator)
    return indicator is None or indicator.indicator != Handoff.NOT_CHANGED


def _node(message: MobilityMessage) -> bytes:
    """The node that an update is about."""
    identifier = message.first(MobileNodeIdentifier) if isinstance(message, BindingUpdate) else None
    return b"" if identifier is None else identifier.key()
