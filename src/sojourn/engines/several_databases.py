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
from sojourn.wire import BindingAcknowledgement, BindingUpdate, Heartbeat, MobileNodeIdentifier
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

    def received(self, source: Address, now: Instant) -> Address:
        """Whose message it is, as the procedures know it."""
        if source not in self.addresses:
            return source
        self.heard[source] = now
        self._unanswered.pop(source, None)
        self._resting.pop(source, None)
        self._speaker = source
        return self.addresses[0]

    def directed(self, effects: Iterable[Effect], now: Instant) -> list[Effect]:
        """`effects` with messages to the CMD going to the right one."""
        return [
            replace(effect, destination=self._destination(effect, now))
            if type(effect) is SendMessage
            and effect.destination == self.addresses[0]
            and type(effect.message) is not Heartbeat  # which is about that one
            else effect
            for effect in effects
        ]

    def silent(self, now: Instant) -> list[Address]:
        """Those that are passed over."""
        return [address for address in self.addresses if address in self.lost or self._resting.get(address, now) > now]

    def _destination(self, effect: SendMessage, now: Instant) -> Address:
        message = effect.message
        if isinstance(message, BindingAcknowledgement):
            return self._speaker
        identifier = message.first(MobileNodeIdentifier) if isinstance(message, BindingUpdate) else None
        node = b"" if identifier is None else identifier.key()
        chosen = self._chosen(node, now)
        self._asked.pop(node, None)
        self._asked[node] = chosen, now
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]
        count, since = self._unanswered.get(chosen, (0, now))
        self._unanswered[chosen] = (count + 1, since)
        return chosen

    def _chosen(self, node: bytes, now: Instant) -> Address:
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
