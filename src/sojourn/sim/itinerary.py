"""A shard's stream, understood before anything runs: who is where and when, and what that means for the sessions.

All here is arithmetic on columns: it costs a fraction of a microsecond a record, where a handler in Python costs
several. What an engine has to be told in its time remains: attachments, departures, and the end of the last session on
an old prefix. What can be said without an engine is said here: which anchors a node has live sessions at, and for how
long which session is away from its anchor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.workload import Happening, Stream
from sojourn.wire.units import Duration

Times = NDArray[np.int64]
Places = NDArray[np.int32]
Indices = NDArray[np.int64]

NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Stays at a place, by node and then by time. The number of a visit is the *turn* of the node that it begins."""

    node: Indices
    place: Places
    begin: Times
    end: Times
    """When it goes elsewhere or leaves; the end of the simulation when it does neither."""
    came_from: Places
    """The place that it moved from; `NOWHERE` when it was not attached before."""

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Sessions that began while their node was attached."""

    node: Indices
    anchor: Places
    """The place whose prefix it uses."""
    peer: Places
    visit: Indices
    """During which it began."""
    begin: Times
    end: Times

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, slots=True, eq=False)
class Spells:
    """A session, or the prefix that sessions keep alive, cut at each move of the node: one row for each visit."""

    of: Indices
    """The row that was cut."""
    visit: Indices
    begin: Times
    end: Times


@dataclass(frozen=True, slots=True, eq=False)
class Retirements:
    """Old prefixes whose last session has been over for a while."""

    time: Times
    node: Indices
    anchor: Places


@dataclass(frozen=True, slots=True, eq=False)
class Itinerary:
    """What the nodes of a shard do."""

    records: int
    """Of the stream."""
    visits: Visits
    departures: tuple[Times, Indices]
    """LEAVE: when, and which visit it ends."""
    sessions: Sessions
    homeless: int
    """Sessions that began while their node was nowhere: they are left out."""
    live: Sessions
    """Prefixes as long as a session keeps them alive, in the form of sessions; `peer` means nothing."""
    retirements: Retirements


def understand(stream: Stream, end: Duration, idle_hold: Duration, home: int | None = None) -> Itinerary:
    """The itinerary of `stream`, whose nodes are simulated until `end`.

    `home` is the place of the anchor of all prefixes, where there is one (PMIPv6); they never retire.
    """
    moves = (stream.kind == Happening.ATTACH) | (stream.kind == Happening.LEAVE)
    begins = stream.kind == Happening.BEGIN
    rows = np.flatnonzero(moves | begins)
    rows = rows[np.argsort(stream.node[rows], kind="stable")]
    node = stream.node[rows].astype(np.int64)
    place = np.where(stream.kind[rows] == Happening.ATTACH, stream.argument[rows].astype(np.int32), NOWHERE)
    visits, departures, kept = _visits(rows, node, place, moves[rows], stream.time, end)
    sessions, homeless = _sessions(stream, rows, visits, kept, moves[rows], end)
    if home is None:
        retirements = _retirements(visits, sessions, idle_hold, end)
    else:
        sessions = replace(sessions, anchor=np.full(len(sessions), home, np.int32))
        retirements = Retirements(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32))
    return Itinerary(len(stream), visits, departures, sessions, homeless, _live(sessions, end), retirements)


def _visits(
    rows: Indices, node: Indices, place: Places, moves: NDArray[np.bool_], time: Times, end: Duration
) -> tuple[Visits, tuple[Times, Indices], Indices]:
    """The visits, what ends some of them, and for each of `rows` the visit that runs then (-1: none)."""
    at = np.flatnonzero(moves)
    who, where, when = node[at], place[at], time[rows[at]]
    same = np.concatenate(([False], who[1:] == who[:-1]))
    before = np.where(same, np.concatenate(([NOWHERE], where[:-1])), NOWHERE).astype(np.int32)
    # A node that attaches where it is, or leaves when it is gone, does nothing new.
    real = where != before
    at, who, where, when, before = at[real], who[real], where[real], when[real], before[real]
    same_next = np.concatenate((who[1:] == who[:-1], [False])) if len(who) else np.zeros(0, bool)
    until = np.where(same_next, np.concatenate((when[1:], [end])) if len(when) else when, end)
    here = where != NOWHERE
    number = np.cumsum(here) - 1
    visits = Visits(who[here], where[here], when[here], until[here], before[here])
    gone = ~here
    departures = (when[gone], number[gone])
    # For every row the last move before it, if that is one of the same node and an attachment.
    state = np.full(len(rows), -2, np.int64)
    state[at] = np.where(here, number, -1)
    known = np.where(state != -2, np.arange(len(rows)), -1)
    last = np.maximum.accumulate(known) if len(rows) else known
    running = np.where(last >= 0, state[last], -1)
    running = np.where((running >= 0) & (node[last] == node), running, -1)
    return visits, departures, running


def _sessions(
    stream: Stream, rows: Indices, visits: Visits, running: Indices, moves: NDArray[np.bool_], end: Duration
) -> tuple[Sessions, int]:
    begun = ~moves
    records, visit = rows[begun], running[begun]
    ends = _ends(stream, records, end)
    attached = visit >= 0
    records, visit, ends = records[attached], visit[attached], ends[attached]
    sessions = Sessions(
        visits.node[visit],
        visits.place[visit],
        stream.peer[records].astype(np.int32),
        visit,
        stream.time[records],
        ends,
    )
    return sessions, int(np.count_nonzero(~attached))


def _ends(stream: Stream, begins: Indices, end: Duration) -> Times:
    """When each of the sessions that the records `begins` begin is over."""
    finishes = np.flatnonzero(stream.kind == Happening.END)
    both = np.concatenate((begins, finishes))
    order = np.lexsort((both, stream.argument[both], stream.node[both]))
    both = both[order]
    followed = np.zeros(len(both), bool)
    followed[:-1] = (
        (stream.kind[both[1:]] == Happening.END)
        & (stream.argument[both[1:]] == stream.argument[both[:-1]])
        & (stream.node[both[1:]] == stream.node[both[:-1]])
    )
    until = np.full(len(both), end, np.int64)
    until[:-1][followed[:-1]] = stream.time[both[1:]][followed[:-1]]
    result = np.empty(len(both), np.int64)
    result[order] = until
    return np.minimum(result[: len(begins)], end)


def _grouped_maximum(group: Indices, value: Times) -> Times:
    """The running maximum of `value` within each group; groups are contiguous and ascending."""
    if not len(value):
        return value
    levels, rank = np.unique(value, return_inverse=True)
    running = np.maximum.accumulate(group * len(levels) + rank)
    return np.asarray(levels[running - group * len(levels)], np.int64)


def _groups(*keys: NDArray[np.signedinteger]) -> Indices:
    """Numbers of the runs of equal keys."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    changed = np.zeros(len(keys[0]), bool)
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.cumsum(changed)


def _live(sessions: Sessions, end: Duration) -> Sessions:
    """Sessions on one prefix that touch or overlap, as one."""
    order = np.lexsort((sessions.begin, sessions.anchor, sessions.node))
    node, anchor, begin = sessions.node[order], sessions.anchor[order], sessions.begin[order]
    visit = sessions.visit[order]
    group = _groups(node, anchor)
    latest = _grouped_maximum(group, sessions.end[order])
    starts = np.ones(len(node), bool)
    starts[1:] = (group[1:] != group[:-1]) | (begin[1:] > latest[:-1])
    first = np.flatnonzero(starts)
    last = np.concatenate((first[1:], [len(node)])) - 1 if len(first) else first
    return Sessions(node[first], anchor[first], anchor[first], visit[first], begin[first], latest[last])


def _retirements(visits: Visits, sessions: Sessions, idle_hold: Duration, end: Duration) -> Retirements:
    """An old prefix retires `idle_hold` after its node moved on and its last session was over, unless it is back."""
    following = np.flatnonzero(
        (visits.node[1:] == visits.node[:-1]) & (visits.place[1:] != visits.place[:-1]) if len(visits) else []
    )
    moved = visits.begin[following + 1] if len(following) else np.zeros(0, np.int64)
    # By prefix and time: sessions as they begin, departures (after the sessions of that instant), and returns.
    node = np.concatenate((sessions.node, visits.node[following], visits.node))
    place = np.concatenate((sessions.anchor, visits.place[following], visits.place))
    time = np.concatenate((sessions.begin, moved, visits.begin))
    kind = np.concatenate(
        (np.zeros(len(sessions), np.int8), np.full(len(following), 2, np.int8), np.ones(len(visits), np.int8))
    )
    until = np.concatenate((sessions.end, moved, np.zeros(len(visits), np.int64)))
    order = np.lexsort((kind, time, place, node))
    node, place, time, kind, until = node[order], place[order], time[order], kind[order], until[order]
    group = _groups(node, place)
    idle = _grouped_maximum(group, until) + idle_hold
    back = np.full(len(node), end, np.int64)
    position = np.where(kind == 1, np.arange(len(node)), len(node))
    if len(node):
        ahead = np.minimum.accumulate(position[::-1])[::-1]
        found = (ahead < len(node)) & (group[np.minimum(ahead, len(node) - 1)] == group)
        back[found] = time[ahead[found]]
    due = (kind == 2) & (idle < back)
    return Retirements(idle[due], node[due], place[due])


def cut(sessions: Sessions, visits: Visits) -> Spells:
    """Each session by the visits of its node that it lasts over."""
    first, last = sessions.visit, _visit_at(sessions, visits)
    number = last - first + 1
    of = np.repeat(np.arange(len(sessions)), number)
    within = np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number)
    visit = first[of] + within
    begin = np.maximum(sessions.begin[of], visits.begin[visit])
    end = np.minimum(sessions.end[of], visits.end[visit])
    return Spells(of, visit, begin, np.maximum(begin, end))


def _visit_at(sessions: Sessions, visits: Visits) -> Indices:
    """The last visit of its node that begins before each session ends."""
    node = np.concatenate((visits.node, sessions.node))
    time = np.concatenate((visits.begin, sessions.end))
    kind = np.concatenate((np.ones(len(visits), np.int8), np.zeros(len(sessions), np.int8)))
    order = np.lexsort((kind, time, node))
    number = np.where(order < len(visits), order, -1)
    last = np.maximum.accumulate(number) if len(number) else number
    result = np.empty(len(node), np.int64)
    result[order] = last
    return np.maximum(result[len(visits) :], sessions.visit)
