"""Discrete events in whole nanoseconds.

What is known in advance (the workload) comes as a sorted stream; what that sets off (messages under way, timers) waits in
a heap. The heap of a Python program is bound by the memory that it touches, so only what is due within about a second
is in it; everything later lies in a list for its second and is sorted when that second begins. Equal instants are
executed in a fixed order, the stream first, then what was scheduled, in the order in which that was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

from sojourn.wire.units import Instant

Action: TypeAlias = Callable[[Instant, Any, int], None]
"""``action(now, item, turn)``: `item` is what it is about, `turn` the attachment that set it off (`World`)."""

_SPAN_BITS = 30
"""Seconds are counted as 2**30 ns."""


class Kernel:
    """What is due, and when."""

    def __init__(self, now: Instant = 0) -> None:
        self.now = now
        """When the kernel began."""
        self.executed = 0
        """Actions so far that had been scheduled."""
        self._heap: list[tuple[Instant, int, Action, Any, int]] = []
        self._later: dict[int, list[tuple[Instant, int, Action, Any, int]]] = {}
        self._span = now >> _SPAN_BITS
        self._edge: Instant = (self._span + 1) << _SPAN_BITS
        self._order = 0

    def schedule(self, at: Instant, action: Action, item: Any, turn: int) -> None:
        """`action` is executed at `at`, which is not in the past."""
        self._order = order = self._order + 1
        if at < self._edge:
            heappush(self._heap, (at, order, action, item, turn))
        else:
            self._later.setdefault(at >> _SPAN_BITS, []).append((at, order, action, item, turn))

    def run(self, stream: Iterable[tuple[Instant, Action, Any, int]], end: Instant) -> None:
        """Execute the stream and all that it sets off, up to (and not at) `end`."""
        for at, action, item, turn in stream:
            heap = self._heap
            if (heap and heap[0][0] < at) or self._edge < at:
                self.advance(at)
            action(at, item, turn)
        self.advance(end)

    def advance(self, until: Instant) -> None:
        """Execute what was scheduled for before `until`."""
        while True:
            heap = self._heap
            horizon = min(until, self._edge)
            executed = 0
            while heap and heap[0][0] < horizon:
                at, _, action, item, turn = heappop(heap)
                executed += 1
                action(at, item, turn)
            self.executed += executed
            if until <= self._edge:
                return
            self._next_span()

    def _next_span(self) -> None:
        """The heap is empty up to the edge: go on to the next second."""
        self._span += 1
        self._edge = (self._span + 1) << _SPAN_BITS
        due = self._later.pop(self._span, None)
        if due:
            self._heap += due
            heapify(self._heap)
