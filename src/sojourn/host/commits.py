"""What waits for a store elsewhere that is ours alone (`LeasedStore`): messages, until what they tell of is safe.

Nobody else changes what is kept there, so the engine goes on, and this machine's forwarding follows at once, as with a
disk of our own. What other machines would notice waits: for what was to be stored before it, and in any case for the
store to say that it is still we who answer. One batch is under way at a time; all that comes meanwhile is the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from sojourn.core.effects import Effect, StoreEffect
from sojourn.stores.base import LeasedStore

MOST = 20_000
"""Messages that wait; of more, the oldest are dropped, counted: whoever asked repeats it."""


class Commits:
    """What is under way to `store`, and what waits for that; `send` carries out what may be noticed elsewhere."""

    def __init__(self, store: LeasedStore, send: Callable[[Effect], None], counters: Counter[str]) -> None:
        self._store = store
        self._send = send
        self._counters = counters
        self._changes: dict[bytes, StoreEffect] = {}
        """The next batch: the last word on each key."""
        self._messages: list[Effect] = []
        self._under_way: list[Effect] | None = None
        """What the batch under way lets go; None: there is none."""

    def __bool__(self) -> bool:
        return self._under_way is not None

    def add(self, changes: Sequence[StoreEffect], messages: Sequence[Effect]) -> None:
        """`messages` are sent when `changes`, and all before, are safe."""
        for change in changes:
            self._changes[change.key] = change
        self._messages += messages
        if len(self._messages) > MOST:
            self._counters["messages-dropped"] += len(self._messages) - MOST
            del self._messages[:-MOST]
        if self._under_way is None:
            self._begin()

    def _begin(self) -> None:
        if not self._changes and not self._messages:
            return
        changes, self._changes = list(self._changes.values()), {}
        self._under_way, self._messages = self._messages, []
        self._store.commit(changes, self._done)

    def _done(self) -> None:
        messages, self._under_way = self._under_way, None
        assert messages is not None
        self._begin()
        for message in messages:
            self._send(message)
