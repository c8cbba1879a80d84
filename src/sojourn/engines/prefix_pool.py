"""The prefixes that a router gives to nodes: each to one node, and not to another soon after it came back."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from sojourn.wire.addresses import Prefix
from sojourn.wire.units import Duration, Instant

_LEAP_FACTOR = 4
_FEW = 64


class PrefixPool:
    """Prefixes of equal length inside `pool`, lowest first; returned ones rest before they are used again.

    `kept` are parts of `pool`, each of at least one such prefix, that are for something else.
    """

    def __init__(self, pool: Prefix, length: int, quarantine: Duration, kept: Iterable[Prefix] = ()) -> None:
        self.pool = pool
        self._length = length
        self._kept = tuple(kept)
        self._first, self._last = pool.address, pool.subnet((1 << 128 - pool.length) - 1, 128).address
        self._size = 1 << (length - pool.length)
        self._quarantine = quarantine
        self._next = 0
        self._leap = 1
        self._resting: dict[Prefix, Instant] = {}
        """Until when."""
        self._due: list[tuple[Instant, Prefix]] = []
        """A heap of these; what is not as in `_resting` counts for nothing."""
        self._had: dict[bytes, Prefix] = {}
        """Who had one of these last: an address of it may still be valid there."""
        self._used: set[Prefix] = set()
        self._room = self._size - sum(1 << (length - part.length) for part in self._kept)

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._used)

    def owns(self, prefix: Prefix) -> bool:
        """Whether `prefix` is one that this pool gives out."""
        address, length = prefix
        if length != self._length or not self._first <= address <= self._last:
            return False
        return not self._kept or not any(part.contains(prefix) for part in self._kept)

    def allocate(self, now: Instant, owner: bytes = b"") -> Prefix | None:
        """A prefix that nobody uses, best of all the one that `owner` had; None when there is none."""
        former = self._had.pop(owner, None)
        if former is not None and self._resting.pop(former, None) is not None:
            self._used.add(former)
            return former
        while self._due and self._due[0][0] <= now:
            until, prefix = heappop(self._due)
            if self._resting.get(prefix) == until:
                del self._resting[prefix]
                self._used.add(prefix)
                return prefix
        if len(self._used) + len(self._resting) >= self._room:
            return None
        while True:
            prefix = self.pool.subnet(self._next, self._length)
            self._next = (self._next + 1) % self._size
            part = next((part for part in self._kept if part.contains(prefix)), None) if self._kept else None
            if part is not None:
                self._next = (self.pool.index(part) + 1 << self._length - part.length) % self._size
            elif prefix not in self._used and prefix not in self._resting:
                self._used.add(prefix)
                return prefix

    def rests(self, prefix: Prefix) -> bool:
        """Whether it came back, and nobody has it again."""
        return prefix in self._resting

    def leap(self) -> None:
        """The prefixes that come next are in use, says somebody who knows better: go on further away, and further.

        A router that lost its memory finds the end of what it gave out in as many steps as that number has digits.
        """
        self._next = (self._next + self._leap) % self._size
        self._leap = min(_LEAP_FACTOR * self._leap, self._size)

    def skip(self, number: int) -> None:
        """Go on with the prefix of this number, modulo their count."""
        self._next = number % self._size

    def claim(self, prefix: Prefix) -> bool:
        """Take this very prefix; False when it is in use or not of this pool."""
        if not self.owns(prefix) or prefix in self._used:
            return False
        if self._resting:
            self._resting.pop(prefix, None)
        self._used.add(prefix)
        return True

    def release(self, prefix: Prefix, now: Instant, *, rest: bool = True, owner: bytes = b"") -> None:
        """Nobody uses `prefix` any more; one that nobody ever used need not `rest`. `owner` had it and may return."""
        if prefix in self._used:
            self._used.discard(prefix)
            if rest:
                self._rest(prefix, now + self._quarantine)
                if owner:
                    self._remember(owner, prefix)

    def rest_longer(self, prefix: Prefix, until: Instant) -> None:
        """It came back, but somebody else believes until then that it is used."""
        if self._resting.get(prefix, until) < until:
            self._rest(prefix, until)

    def _rest(self, prefix: Prefix, until: Instant) -> None:
        self._resting[prefix] = until
        heappush(self._due, (until, prefix))
        if len(self._due) > 2 * len(self._resting) + _FEW:
            self._due = [(until, prefix) for prefix, until in self._resting.items()]
            heapify(self._due)

    def _remember(self, owner: bytes, prefix: Prefix) -> None:
        """No more than rest: what others have by now is forgotten from time to time."""
        if len(self._had) > 2 * len(self._resting) + _FEW:
            self._had = {who: had for who, had in self._had.items() if had in self._resting}
        self._had[owner] = prefix
