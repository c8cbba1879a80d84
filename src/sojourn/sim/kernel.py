"""Discrete events in whole nanoseconds.

What is known in advance (the workload) comes as a sorted stream; what that sets off (messages under way, timers) waits
in a heap. The heap of a Python program is bound by the memory that it touches, so only what is due within about a
second is in it; everything later lies in a list for its second, and the stream is taken a second at a time. Equal
instants are executed in a fixed order: the stream first, then what was scheduled, in the order in which that was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeAlias

from sojourn.wire.units import Instant

Action: TypeAlias = Callable[[Instant, Any, int], None]
"""``action(now, item, cause)``: `item` is what it is about, `cause` what set it off (`sojourn.sim.ledger`)."""
Entry: TypeAlias = tuple[Instant, int, Action, Any, int]
"""When, in which order at that instant, and what."""

_SPAN_BITS = 30
"""Seconds are counted as 2**30 ns."""


class Kernel:
    """What is due, and when. Time begins at `start`, which may be negative."""

    def __init__(self, start: Instant = 0) -> None:
        self.start = start
        self.heap: list[Entry] = []
        """What is due before `edge`."""
        self.edge = start
        self.order = count()
        """The next number in the order of scheduling."""
        self._later: dict[int, list[Entry]] = {}

    def schedule(self, at: Instant, action: Action, item: Any, cause: int) -> None:
        """`action` is executed at `at`, which is not in the past."""
        if at < self.edge:
            heappush(self.heap, (at, next(self.order), action, item, cause))
        else:
            self._later.setdefault(at >> _SPAN_BITS, []).append((at, next(self.order), action, item, cause))

    def run(
        self,
        until: Instant,
        stream: Iterator[Entry] = iter(()),  # noqa: B008 - it is empty, so nobody takes from it
        every_second: Callable[[Instant], None] | None = None,
    ) -> None:
        """Execute the stream, whose orders are negative, and all that was and is scheduled, up to (not at) `until`."""
        heap = self.heap
        record = next(stream, None)
        while self.edge < until:
            span = self.edge >> _SPAN_BITS
            edge = min((span + 1) << _SPAN_BITS, until)
            while record is not None and record[0] < edge:
                heap.append(record)
                record = next(stream, None)
            for entry in self._later.pop(span, ()):
                if entry[0] < edge:
                    heap.append(entry)
                else:  # the last span is not run to its end
                    self._later.setdefault(span, []).append(entry)
            heapify(heap)
            self.edge = edge
            while heap:
                at, _, action, item, cause = heappop(heap)
                action(at, item, cause)
            if every_second is not None:
                every_second(edge)
