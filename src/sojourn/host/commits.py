"""What waits for a store elsewhere that is ours alone (`LeasedStore`): messages, until what they tell of is safe.

Nobody else changes what is kept there, so the engine goes on, and this machine's forwarding follows at once, as with a
disk of our own. What other machines would notice waits: for what was to be stored before it, and in any case for the
store to say that it is still we who answer. As that takes two disks, a few batches are under way at a time, as in
`swaps`; the store takes them in their order, so a key may be in several.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from sojourn.core.effects import Effect, StoreEffect
from sojourn.host.swaps import room
from sojourn.stores.base import LeasedStore

MOST = 20_000
"""Messages that wait; of more, the oldest are dropped, counted: whoever asked repeats it."""

WORTH = 32
"""Changes or messages that are worth a batch of their own while others are under way (16 cost a fifth more)."""


class Commits:
    """What is under way to `store`, and what waits for that; `send` carries out what may be noticed elsewhere."""

    def __init__(self, store: LeasedStore, send: Callable[[Effect], None], counters: Counter[str]) -> None:
        self._store = store
        self._send = send
        self._counters = counters
        self._changes: dict[bytes, StoreEffect] = {}
        """The next batch: the last word on each key."""
        self._messages: list[Effect] = []
        self._under_way: deque[list[Effect]] = deque()
        """What each batch under way lets go."""

    def __bool__(self) -> bool:
        return bool(self._under_way)

    def add(self, changes: Sequence[StoreEffect], messages: Sequence[Effect]) -> None:
        """`messages` are sent when `changes`, and all before, are safe."""
        for change in changes:
            self._changes[change.key] = change
        self._messages += messages
        if len(self._messages) > MOST:
            self._counters["messages-dropped"] += len(self._messages) - MOST
            del self._messages[:-MOST]
        self._begin()

    def _begin(self) -> None:
        waiting = max(len(self._changes), len(self._messages))
        if not waiting or not room(len(self._under_way), waiting, WORTH):
            return
        changes, self._changes = list(self._changes.values()), {}
        self._under_way.append(self._messages)
        self._messages = []
        self._store.commit(changes, self._done)

    def _done(self) -> None:
        messages = self._under_way.popleft()
        self._begin()
        for message in messages:
            self._send(message)
