"""A store that says when its disk refuses, and when it takes again what is to be kept.

The engines go on meanwhile and try again every second (design decision 8: what was not stored comes back from other
routers). People must know all the same that a crash now would cost that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sojourn.core.effects import StoreEffect
from sojourn.stores import Store


class WatchedStore:
    """A `Store` around `store`. `changed` is told the first refusal, and "" when all is well again."""

    def __init__(self, store: Store, changed: Callable[[str], None]) -> None:
        self._store = store
        self._changed = changed
        self.refusal = ""
        """Why the latest attempt failed; empty: it did not."""

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """See `Store.load`."""
        return self._store.load()

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        """See `Store.apply`."""
        try:
            self._store.apply(effects)
        except OSError as error:
            first, self.refusal = not self.refusal, error.strerror or str(error)
            if first:
                self._changed(self.refusal)
            raise
        if self.refusal:
            self.refusal = ""
            self._changed("")

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()
