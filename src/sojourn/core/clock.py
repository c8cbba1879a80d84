"""Named deadlines with a total firing order.

An engine owns one `Timers`; whoever drives the engine arms a single real timer for `deadline()`. Starting a name
again moves it. Equal deadlines fire in the order in which they were started, so that a replay is exact.

Most timers of a protocol are far away and are moved or stopped before they fire. So only the nearest are in a heap; the
others are names in a list for their span of time, without any order until that span is the next one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from sojourn.wire.units import Instant

Name = TypeVar("Name", bound=Hashable)

_ORDER_BITS = 48
"""A *stamp* is a deadline and, in its low bits, when it was set: one number that sorts as both do."""
_ORDER = (1 << _ORDER_BITS) - 1
_SPAN_BITS = _ORDER_BITS + 28
"""Of a stamp: spans are 2**28 ns, a good quarter of a second. Whoever started a million timers at once, as after a
restart, has 30,000 of them in one: what is put in order when it begins."""
_NEVER: Instant = 1 << 62
_STALE_FACTOR = 2
"""At most so many entries for one that runs: what was moved or stopped takes memory until its time comes."""
_FEW = 64
"""So many entries are never too many."""


class Timers(Generic[Name]):
    """A heap of (stamp, name) and lists of names; what was moved or stopped is skipped when its time comes.

    A running name is in the heap with its stamp, or in the list of its own span or of an earlier one.
    """

    def __init__(self) -> None:
        self.soonest: Instant = _NEVER
        """No deadline is earlier; `deadline` brings it up to date."""
        self._live: dict[Name, int] = {}
        """The stamps of those that run."""
        self._heap: list[tuple[int, Name]] = []
        self._later: dict[int, list[Name]] = {}
        """By span, from `_edge` on."""
        self._spans: list[int] = []
        """A heap of these."""
        self._edge = 0
        """Stamps below this are in the heap."""
        self._queued = 0
        """Entries in the heap and in the lists."""
        self._most = _FEW
        """With more of them, those that are of no use are looked for."""
        self._order = 0

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, name: Name) -> bool:
        return name in self._live

    @property
    def queued(self) -> int:
        """Entries, with those that are of no use any more."""
        return self._queued

    def start(self, name: Name, deadline: Instant) -> None:
        """`name` fires at `deadline`, whatever was set for it before."""
        if deadline < self.soonest:
            self.soonest = deadline
        self._order = order = self._order + 1
        stamp = deadline << _ORDER_BITS | order
        live = self._live
        before = live.get(name)
        live[name] = stamp
        if stamp < self._edge:
            heappush(self._heap, (stamp, name))
        elif before is not None and self._edge <= before <= stamp:
            return  # in the list of that span, or of an earlier one, and taken along when its time comes
        elif (names := self._later.get(span := stamp >> _SPAN_BITS)) is not None:
            names.append(name)
        else:
            self._begin_span(span, name)
        self._queued = queued = self._queued + 1
        if queued > self._most:
            self._compact()

    def stop(self, name: Name) -> None:
        """`name` does not fire; stopping what is not running is no mistake."""
        self._live.pop(name, None)

    def stop_all(self, names: Iterable[Name]) -> None:
        """None of `names` fires."""
        stop = self._live.pop
        for name in names:
            stop(name, None)

    def when(self, name: Name) -> Instant | None:
        """The deadline of `name`, if it is running."""
        stamp = self._live.get(name)
        return None if stamp is None else stamp >> _ORDER_BITS

    def deadline(self) -> Instant | None:
        """The earliest deadline."""
        heap, live = self._heap, self._live
        while heap or self._next_span():
            stamp, name = heap[0]
            if live.get(name) == stamp:
                self.soonest = soonest = stamp >> _ORDER_BITS
                return soonest
            heappop(heap)
            self._queued -= 1
        self.soonest = _NEVER
        return None

    def pop_due(self, now: Instant) -> Name | None:
        """The name that is due first, which is no longer running afterwards; None when nothing is due."""
        deadline = self.deadline()
        if deadline is None or deadline > now:
            return None
        name = heappop(self._heap)[1]
        self._queued -= 1
        del self._live[name]
        return name

    def _next_span(self) -> bool:
        """The heap is empty: the timers of the next span that has any go there, or to a later one if they were moved.

        False when there are none.
        """
        while self._spans and not self._heap:
            span = heappop(self._spans)
            self._edge = (span + 1) << _SPAN_BITS
            names = self._later.pop(span)
            self._queued -= len(names)
            self._enter(dict.fromkeys(names))
        return bool(self._heap)

    def _compact(self) -> None:
        """Entries of no use go, if they are many; nothing is twice in one list."""
        self._most = max(_FEW, _STALE_FACTOR * len(self._live))
        if self._queued <= self._most:
            return
        self._heap.clear()
        self._later.clear()
        self._spans.clear()
        self._queued = 0
        self._enter(self._live)

    def _enter(self, entering: Iterable[Name]) -> None:
        heap, later, live = self._heap, self._later, self._live
        for name in entering:
            stamp = live.get(name)
            if stamp is None:
                continue
            self._queued += 1
            if stamp < self._edge:
                heap.append((stamp, name))
            elif (names := later.get(span := stamp >> _SPAN_BITS)) is not None:
                names.append(name)
            else:
                self._begin_span(span, name)
        heapify(heap)

    def _begin_span(self, span: int, name: Name) -> None:
        self._later[span] = [name]
        heappush(self._spans, span)
