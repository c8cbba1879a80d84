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

    def taken(self, changes: Iterable[StoreEffect]) -> list[Effect]:
        """All of them were; answers with what waited for that."""
        if not self._unsafe:
            return []
        free: list[Effect] = []
        for change in changes:
            if isinstance(change, CheckBinding) or change.key not in self._unsafe:
                continue
            self._unsafe.discard(change.key)
            held = self._held.pop(change.key, None)
            if held is not None:
                held.keys.discard(change.key)
                if not held.keys:
                    free += held.messages
        return free

    def sift(self, answers: Iterable[Sequence[Effect]], messages: Sequence[Effect]) -> Sequence[Effect]:
        """Those of `messages`, which are of these `answers`, that may be sent now."""
        if not self._unsafe:
            return messages
        kept: set[int] = set()
        for answer in answers:
            keys = {effect.key for effect in answer if isinstance(effect, StoreBinding | DeleteBinding | CheckBinding)}
            keys &= self._unsafe
            held = [effect for effect in answer if _acknowledges(effect)] if keys else []
            if held:
                waiting = _Held(keys, held)
                self._held.update(dict.fromkeys(keys, waiting))
                self._counters["answers-withheld"] += len(held)
                kept.update(map(id, held))
        return [message for message in messages if id(message) not in kept]


def _acknowledges(effect: Effect) -> bool:
    if type(effect) is not SendMessage:
        return False
    message = effect.message
    return type(message) is BindingAcknowledgement and message.status < _REFUSING
