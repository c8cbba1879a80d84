"""Answers of an engine that wait for a shared store, several batches of them at a time.

What an engine answers is made of what it believes; the store says whether that is true. As it takes milliseconds (two
disks, one after the other), the engine goes on meanwhile with what happened next. Three rules keep that from being
noticed:

* a key is on its way to the store once at a time, so that each change takes the one before it for granted;
* answers are released in the order in which they were made, whoever was answered first;
* when a key turns out to be different, every answer that mentions it, made since, is void: what happened is to be
  handled again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from sojourn.core.effects import Effect, StoreEffect
from sojourn.core.events import BindingChanged, Event
from sojourn.stores.base import SharedStore

MOST = 4
"""Batches under way."""
WORTH = 16
"""Events that are worth a batch of their own while others are under way: each costs the store and us a fixed part."""

Answer: TypeAlias = tuple[Event | None, int, Sequence[Effect]]
"""What happened (None: time passed), how often it was handled before, and what the engine asks for."""


class _Batch:
    """Answers to what happened at once. It is done when it began and `overtaken` is there."""

    __slots__ = ("answers", "began", "keys", "overtaken")

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = answers
        self.began = False
        self.keys: frozenset[bytes] = frozenset()
        self.overtaken: Sequence[BindingChanged] | None = None

    def changes(self) -> list[StoreEffect]:
        return [effect for _, _, answer in self.answers for effect in answer if isinstance(effect, StoreEffect)]


class Swaps:
    """What is under way to `store`; `settled` is called when there may be something in `released`."""

    def __init__(self, store: SharedStore, settled: Callable[[], None]) -> None:
        self._store = store
        self._settled = settled
        self._batches: deque[_Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    def room(self, waiting: int) -> bool:
        """Whether as many events as are `waiting` are to be handled now, and not together with what comes next."""
        return room(len(self._batches), waiting)

    def mentions(self, key: bytes) -> bool:
        """Whether a change of `key` is under way, or waits for its turn."""
        return any(key in batch.keys for batch in self._batches)

    def add(self, answers: Sequence[Answer]) -> None:
        """To be released when the store carried out what they change."""
        batch = _Batch(answers)
        batch.keys = frozenset([change.key for change in batch.changes()])
        self._batches.append(batch)
        self._begin()

    def released(self) -> Iterator[tuple[Sequence[Answer], Sequence[BindingChanged], Sequence[Answer]]]:
        """Answers that hold, what is true instead of what the others were made of, and these others."""
        while self._batches and self._batches[0].overtaken is not None:
            batch = self._batches.popleft()
            assert batch.overtaken is not None
            lost = {changed.key for changed in batch.overtaken}
            void: list[Answer] = []
            if lost:
                batch.answers = _without(batch.answers, lost, void)
                for later in self._batches:
                    if not later.keys.isdisjoint(lost):  # it did not begin, as this one was in its way
                        later.answers = _without(later.answers, lost, void)
                        later.keys = frozenset([change.key for change in later.changes()])
            self._begin()
            yield batch.answers, batch.overtaken, void

    def _begin(self) -> None:
        before: set[bytes] = set()
        for batch in list(self._batches):
            if not batch.began and batch.keys.isdisjoint(before):
                batch.began = True
                if batch.keys:
                    self._store.swap(batch.changes(), partial(self._done, batch))
                else:
                    batch.overtaken = ()
            before |= batch.keys

    def _done(self, batch: _Batch, overtaken: Sequence[BindingChanged]) -> None:
        batch.overtaken = overtaken
        self._settled()


def room(under_way: int, waiting: int, worth: int = WORTH) -> bool:
    """Whether what is `waiting` is a batch of its own now that so many are `under_way`."""
    return not under_way or (under_way < MOST and waiting >= worth)


def mentioned(key: bytes, answers: Iterable[Answer]) -> bool:
    """Whether any of `answers` changes, or was made of, what is kept under `key`."""
    return any(isinstance(effect, StoreEffect) and effect.key == key for _, _, made in answers for effect in made)


def _without(answers: Sequence[Answer], lost: set[bytes], void: list[Answer]) -> list[Answer]:
    """`answers` but for those that mention a key of `lost`, which are appended to `void`."""
    kept: list[Answer] = []
    for answer in answers:
        mentions = any(isinstance(effect, StoreEffect) and effect.key in lost for effect in answer[2])
        (void if mentions else kept).append(answer)
    return kept
