"""Acknowledgements of what a journal refused: they wait until it takes it (`store_required` in the file).

A registration that was acknowledged is believed to be safe by whoever asked. Where that matters more than serving new
nodes at once, it is not answered while its record is on no disk: the request is repeated, the engine asks the
store again every second, and the first success lets the answer go. Everything else goes on: forwarding, what is sent
unasked, and answers about nodes whose records are safe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from sojourn.core.effects import CheckBinding, DeleteBinding, Effect, SendMessage, StoreBinding, StoreEffect
from sojourn.wire import BindingAcknowledgement

_REFUSING = 128
"""A status from here on acknowledges nothing (RFC 6275 6.1.8)."""


class _Held:
    """Acknowledgements of one answer, and the keys that are still to be stored for it."""

    __slots__ = ("keys", "messages")

    def __init__(self, keys: AbstractSet[bytes], messages: Sequence[Effect]) -> None:
        self.keys = set(keys)
        self.messages = messages


class Withheld:
    """What waits for a store, and why."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._unsafe: set[bytes] = set()
        """Keys whose latest change was refused."""
        self._held: dict[bytes, _Held] = {}
        """By these keys; of one key, the latest answer: who asked before asks again."""

    def refused(self, changes: Iterable[StoreEffect]) -> None:
        """None of `changes` was carried out."""
        self._unsafe.update([change.key for change in changes if not isinstance(change, CheckBinding)])

    def sift(
        self, stored: Iterable[StoreEffect], answers: Iterable[Sequence[Effect]], messages: Sequence[Effect]
    ) -> Sequence[Effect]:
        """What may be sent now: what waited for what is `stored` now, and those of `messages`, which are of these
        `answers`, that say nothing else."""
        if not self._unsafe:
            return messages
        stored_keys = {change.key for change in stored if not isinstance(change, CheckBinding)} & self._unsafe
        self._unsafe -= stored_keys
        kept: set[int] = set()
        for answer in answers:
            keys = {effect.key for effect in answer if isinstance(effect, StoreBinding | DeleteBinding | CheckBinding)}
            acknowledged = [effect for effect in answer if _acknowledges(effect)]
            if not acknowledged:
                continue
            for key in keys:
                self._held.pop(key, None)  # this answer is a later one
            keys &= self._unsafe
            if keys:
                self._held.update(dict.fromkeys(keys, _Held(keys, acknowledged)))
                self._counters["answers-withheld"] += len(acknowledged)
                kept.update(map(id, acknowledged))
        return [*self._freed(stored_keys), *[message for message in messages if id(message) not in kept]]

    def _freed(self, stored_keys: AbstractSet[bytes]) -> list[Effect]:
        freed: list[Effect] = []
        for key in stored_keys:
            held = self._held.pop(key, None)
            if held is not None:
                held.keys.discard(key)
                if not held.keys:
                    freed += held.messages
        return freed


def _acknowledges(effect: Effect) -> bool:
    if type(effect) is not SendMessage:
        return False
    message = effect.message
    return type(message) is BindingAcknowledgement and message.status < _REFUSING
