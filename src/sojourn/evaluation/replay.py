"""A workload walked through once, node by node, with nothing but book-keeping: which old prefixes were in use when.

The formulas of `sojourn.evaluation.models` suppose exponential times; this does not. It counts, for the moves and
sessions that really happen on the topology, what every way of managing mobility has to pay for: the handovers with
the prefixes that they must redirect, the time that sessions spend at each pair of anchor and serving router, and the
old prefixes that exist at a time. No message is sent here: that is the simulator's part, and both must agree.

A node has one prefix of each place; coming back to a place whose prefix still lives takes it up again.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.workload import Happening, Stream
from sojourn.wire.units import SECOND, Duration

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """For each handover some places: a column of places, and for each the number of its handover."""

    handover: Integers
    place: Integers

    def counts(self, handovers: int) -> Integers:
        """Places of each handover."""
        return np.bincount(self.handover, minlength=handovers)


@dataclass(frozen=True, slots=True, eq=False)
class Handovers:
    """The moves within the window."""

    node: Integers
    time: Floats
    """Seconds."""
    origin: Integers
    target: Integers
    in_use: Pairs
    """Old prefixes with an open session: what has to be redirected (their number is n_HO)."""
    held: Pairs
    """Old prefixes that sojourn's engines know: in use, just left, or idle for less than the hold time."""
    returned: Integers
    """1 where the node comes back to a place whose prefix is in use, which is no old one there any more."""
    stay: Floats
    """Seconds until the node moves on, leaves, or the window ends."""

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Stretches of sessions between two moves."""

    peer: Integers
    """Place of the correspondent."""
    anchor: Integers
    """Place where the session began."""
    serving: Integers
    """Place of the node."""
    seconds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Sessions that were open within the window."""

    node: Integers
    anchor: Integers
    begin: Floats
    """Seconds; before the window too."""
    end: Floats
    """The end of the window for those that were still open."""


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """Every stay from the beginning on, sorted by node, then time."""

    node: Integers
    place: Integers
    begin: Floats
    end: Floats
    """Of the window, for who is still there."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What happened in the window."""

    window: float
    """Seconds."""
    start: float
    nodes: int
    handovers: Handovers
    segments: Segments
    sessions: Sessions
    stays: Stays
    attached: Floats
    """Node seconds at each place."""
    anchored: Floats
    """Seconds of old prefixes in use, by the place of the anchor."""
    served: Floats
    """The same by the place of the node."""
    old_anchors: Floats
    """Node seconds with 0, 1, 2, ... old prefixes in use."""
    begins: int
    """Sessions that began, and that ended, in the window."""
    ends: int
    withdrawn: int
    """Prefixes whose last session ended after the node had left."""
    retired: int
    """Prefixes that were idle for the hold time after the node had left."""

    @property
    def node_seconds(self) -> float:
        """Time of all nodes in the domain."""
        return float(self.attached.sum())

    @property
    def tunnelled(self) -> float:
        """Share of session time away from the session's anchor: phi."""
        segments = self.segments
        away = segments.seconds[segments.anchor != segments.serving].sum()
        return float(away / segments.seconds.sum())

    @property
    def mean_old_anchors(self) -> float:
        """Of a node at any time: n_rand."""
        return float(self.old_anchors @ np.arange(len(self.old_anchors)) / self.node_seconds)

    def old_anchors_quantile(self, share: float) -> int:
        """The number of old anchors that a node does not exceed for `share` of the time."""
        grown = np.cumsum(self.old_anchors) / self.node_seconds
        return int(np.searchsorted(grown, share))


def replay(stream: Stream, places: int, *, start: Duration, end: Duration, hold: Duration) -> Replay:
    """Walk through `stream` of a topology of `places`; count from `start` to `end`, with `hold` for idle prefixes."""
    order = np.argsort(stream.node, kind="stable")
    columns = (stream.time, stream.node, stream.kind, stream.argument, stream.peer)
    time, node, kind, argument, peer = (column[order].tolist() for column in columns)
    walk = _Walk(places, start / SECOND, end / SECOND, hold / SECOND)
    for now, who, what, which, other in zip(time, node, kind, argument, peer, strict=True):
        seconds = now / SECOND
        if seconds > walk.end:
            continue
        if who != walk.node:
            walk.next_node(who)
        walk.handle(seconds, what, which, other)
    walk.finish()
    return walk.result()


class _Walk:
    """The state of the node that is being walked, and the columns that grow."""

    def __init__(self, places: int, start: float, end: float, hold: float) -> None:
        self.start, self.end, self.hold = start, end, hold
        self.node, self.nodes = _NOWHERE, 0
        self.attached = [0.0] * places
        self.anchored = [0.0] * places
        self.served = [0.0] * places
        self.histogram: defaultdict[int, float] = defaultdict(float)
        self.moves = (array("q"), array("d"), array("q"), array("q"))
        self.after = array("d")
        self.returned = array("q")
        self.in_use = (array("q"), array("q"))
        self.held = (array("q"), array("q"))
        self.parts = (array("q"), array("q"), array("q"), array("d"))
        self.closed = (array("q"), array("q"), array("d"), array("d"))
        self.stays = (array("q"), array("q"), array("d"), array("d"))
        self.begins = self.ends = self.withdrawn = self.retired = 0
        self._clear()

    def _clear(self) -> None:
        self.place = self.move = self.departed = _NOWHERE
        self.since = self.last = 0.0
        self.open: dict[int, list[Any]] = {}
        """Session: anchor, correspondent, beginning of its current stretch, its beginning."""
        self.live: dict[int, int] = {}
        """Open sessions of each prefix that exists, by its place."""
        self.idle: dict[int, float] = {}
        """When each prefix without a session, of a place that was left, is over."""

    def next_node(self, node: int) -> None:
        self.finish()
        self._clear()
        self.node = node
        self.nodes += 1

    def finish(self) -> None:
        """The window ends for this node."""
        self._pass(self.end)
        for number in list(self.open):
            self._close(number, self.end)
        self._expire(self.end)
        self._stayed(self.end)

    def handle(self, now: float, kind: int, argument: int, peer: int) -> None:
        self._pass(now)
        if kind == Happening.ATTACH:
            self._attach(now, argument)
        elif kind == Happening.BEGIN and self.place != _NOWHERE:
            self.open[argument] = [self.place, peer, now, now]
            self.live[self.place] += 1
            self.begins += now >= self.start
        elif kind == Happening.END and argument in self.open:
            self._end(now, argument)
        elif kind == Happening.LEAVE:
            for number in list(self.open):
                self._end(now, number)
            self._stayed(now)
            self.departed, self.place = self.place, _NOWHERE

    def _pass(self, now: float) -> None:
        """Time goes on at this place, with these prefixes."""
        seconds = now - max(self.last, self.start)
        self.last = now
        if seconds <= 0 or self.place == _NOWHERE:
            return
        self.attached[self.place] += seconds
        old = [place for place, sessions in self.live.items() if sessions and place != self.place]
        self.histogram[len(old)] += seconds
        self.served[self.place] += seconds * len(old)
        for place in old:
            self.anchored[place] += seconds

    def _attach(self, now: float, place: int) -> None:
        if place == self.place:
            return
        self._expire(now)
        self._stayed(now)
        left, self.place, self.since = self.place, place, now
        before = self.departed if left == _NOWHERE else left
        if before != _NOWHERE and not self.live[before]:
            self.idle[before] = now + self.hold
        if left != _NOWHERE and now >= self.start:
            self._note_handover(now, left, place)
        for session in self.open.values():
            self._stretch(session, left, now)
        self.live.setdefault(place, 0)
        self.idle.pop(place, None)

    def _stayed(self, now: float) -> None:
        if self.place != _NOWHERE:
            _append(self.stays, self.node, self.place, self.since, now)
        if self.move != _NOWHERE:
            self.after[self.move], self.move = now - self.since, _NOWHERE

    def _note_handover(self, now: float, left: int, place: int) -> None:
        self.move = number = len(self.after)
        self.after.append(0.0)
        self.returned.append(self.live.get(place, 0) > 0)
        _append(self.moves, self.node, now, left, place)
        for old, sessions in self.live.items():
            if old == place:
                continue
            self.held[0].append(number)
            self.held[1].append(old)
            if sessions:
                self.in_use[0].append(number)
                self.in_use[1].append(old)

    def _expire(self, now: float) -> None:
        """Prefixes that were idle for long enough are forgotten."""
        for place in [place for place, until in self.idle.items() if until <= now]:
            self.retired += self.idle[place] >= self.start
            del self.idle[place]
            del self.live[place]

    def _end(self, now: float, number: int) -> None:
        anchor = self.open[number][0]
        self._close(number, now)
        self.ends += now >= self.start
        self.live[anchor] -= 1
        if not self.live[anchor] and anchor != self.place:
            self.withdrawn += now >= self.start
            self.idle[anchor] = now + self.hold

    def _close(self, number: int, now: float) -> None:
        session = self.open.pop(number)
        self._stretch(session, self.place, now)
        if now > self.start:
            _append(self.closed, self.node, session[0], session[3], now)

    def _stretch(self, session: list[Any], serving: int, now: float) -> None:
        """What of `session` passed at `serving` up to now."""
        anchor, peer, since, _ = session
        session[2] = now
        seconds = now - max(since, self.start)
        if seconds > 0 and serving != _NOWHERE:
            _append(self.parts, peer, anchor, serving, seconds)

    # --- columns --------------------------------------------------------------------------------------------------

    def result(self) -> Replay:
        node, time, origin, target = self.moves
        return Replay(
            window=self.end - self.start,
            start=self.start,
            nodes=self.nodes,
            handovers=Handovers(
                _integers(node),
                _floats(time),
                _integers(origin),
                _integers(target),
                Pairs(*map(_integers, self.in_use)),
                Pairs(*map(_integers, self.held)),
                _integers(self.returned),
                _floats(self.after),
            ),
            segments=Segments(*_three(self.parts), _floats(self.parts[3])),
            sessions=Sessions(*_two_and_two(self.closed)),
            stays=Stays(*_two_and_two(self.stays)),
            attached=np.array(self.attached),
            anchored=np.array(self.anchored),
            served=np.array(self.served),
            old_anchors=np.array([self.histogram[count] for count in range(max(self.histogram, default=0) + 1)]),
            begins=self.begins,
            ends=self.ends,
            withdrawn=self.withdrawn,
            retired=self.retired,
        )


def _integers(column: array[Any]) -> Integers:
    return np.array(column, dtype=np.int64)


def _floats(column: array[Any]) -> Floats:
    return np.array(column, dtype=np.float64)


def _append(columns: Sequence[array[Any]], *values: float) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(value)


def _three(columns: Sequence[array[Any]]) -> tuple[Integers, Integers, Integers]:
    first, second, third = map(_integers, columns[:3])
    return first, second, third


def _two_and_two(columns: Sequence[array[Any]]) -> tuple[Integers, Integers, Floats, Floats]:
    return _integers(columns[0]), _integers(columns[1]), _floats(columns[2]), _floats(columns[3])
