"""Numbers for what a node has in the kernel: the lowest that is free."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


class Slots:
    """From 1 upwards."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 1

    def take(self) -> int:
        """A number that nobody has."""
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """Nobody has `number` any more."""
        heapq.heappush(self._free, number)

    def restore(self, used: Iterable[int]) -> None:
        """After a restart: these are in use, and no others."""
        taken = set(used)
        self._next = max(taken, default=0) + 1
        self._free = [number for number in range(1, self._next) if number not in taken]
