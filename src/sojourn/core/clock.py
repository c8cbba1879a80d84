"""Named deadlines with a total firing order.

An engine owns one `Timers`; whoever drives the engine arms a single real timer for `deadline()`. Starting a name
again moves it. Equal deadlines fire in the order in which they were started, so that a replay is exact.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from sojourn.wire.units import Instant

Name = TypeVar("Name", bound=Hashable)

_STALE_FACTOR = 2
"""At most so many entries of the heap for one that runs: what was moved or stopped takes memory until it surfaces."""


class Timers(Generic[Name]):
    """A heap of (deadline, order, name); an entry that was moved or stopped is skipped when it surfaces."""

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, int, Name]] = []
        self._live: dict[Name, tuple[Instant, int]] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, name: Name) -> bool:
        return name in self._live

    def start(self, name: Name, deadline: Instant) -> None:
        """`name` fires at `deadline`, whatever was set for it before."""
        self._order += 1
        self._live[name] = (deadline, self._order)
        heapq.heappush(self._heap, (deadline, self._order, name))
        if len(self._heap) > 64 and len(self._heap) > _STALE_FACTOR * len(self._live):
            self._compact()

    def stop(self, name: Name) -> None:
        """`name` does not fire; stopping what is not running is no mistake."""
        self._live.pop(name, None)

    def when(self, name: Name) -> Instant | None:
        """The deadline of `name`, if it is running."""
        live = self._live.get(name)
        return live[0] if live else None

    def deadline(self) -> Instant | None:
        """The earliest deadline."""
        heap = self._heap
        while heap:
            deadline, order, name = heap[0]
            if self._live.get(name) == (deadline, order):
                return deadline
            heapq.heappop(heap)
        return None

    def pop_due(self, now: Instant) -> Name | None:
        """The name that is due first, which is no longer running afterwards; None when nothing is due."""
        deadline = self.deadline()
        if deadline is None or deadline > now:
            return None
        name = heapq.heappop(self._heap)[2]
        del self._live[name]
        return name

    def _compact(self) -> None:
        live = self._live
        self._heap = [entry for entry in self._heap if live.get(entry[2]) == (entry[0], entry[1])]
        heapq.heapify(self._heap)
