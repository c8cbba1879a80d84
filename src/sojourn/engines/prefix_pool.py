"""The prefixes that a router gives to nodes: each to one node, and not to another soon after it came back."""

from __future__ import annotations

from collections import deque

from sojourn.wire.addresses import Prefix
from sojourn.wire.units import Duration, Instant


class PrefixPool:
    """Prefixes of equal length inside `pool`, lowest first; returned ones rest before they are used again."""

    def __init__(self, pool: Prefix, length: int, quarantine: Duration) -> None:
        self.pool = pool
        self._length = length
        self._size = 1 << (length - pool.length)
        self._quarantine = quarantine
        self._next = 0
        self._returned: deque[tuple[Instant, Prefix]] = deque()
        self._used: set[Prefix] = set()

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._used)

    def owns(self, prefix: Prefix) -> bool:
        """Whether `prefix` is one that this pool gives out."""
        return prefix.length == self._length and self.pool.contains(prefix)

    def allocate(self, now: Instant) -> Prefix | None:
        """A prefix that nobody uses; None when there is none."""
        while self._returned and self._returned[0][0] <= now:
            prefix = self._returned.popleft()[1]
            if prefix not in self._used:
                self._used.add(prefix)
                return prefix
        while self._next < self._size:
            prefix = self.pool.subnet(self._next, self._length)
            self._next += 1
            if prefix not in self._used:
                self._used.add(prefix)
                return prefix
        return None

    def claim(self, prefix: Prefix) -> bool:
        """Take this very prefix; False when it is in use or not of this pool."""
        if not self.owns(prefix) or prefix in self._used:
            return False
        self._used.add(prefix)
        return True

    def release(self, prefix: Prefix, now: Instant) -> None:
        """Nobody uses `prefix` any more."""
        if prefix in self._used:
            self._used.discard(prefix)
            self._returned.append((now + self._quarantine, prefix))
