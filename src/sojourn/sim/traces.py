"""Where real nodes were: a trace of attachments, as a CSV file of any length.

It is checked row by row when it is loaded (`rows`), turned into numbers, and kept by block on disk (`spool`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.movements import AWAY, Movements, nothing_new
from sojourn.sim.rows import Column, Mistakes, Piece, Rows, times
from sojourn.sim.spool import Spool
from sojourn.sim.workload import BLOCK
from sojourn.wire.units import SECOND, Duration

MOST_NODES = 10_000_000
TIME = Column("time", times("time"))
NODE = Column("the node", {"node": 1})
ATTACHMENT = Column("where the node is attached", {"attachment": 1, "place": 1, "site": 1})

_MOVE = np.dtype([("time", "<i8"), ("node", "<u4"), ("place", "<i4")])


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Where a trace is and how it is read."""

    path: Path
    begin: float
    """The time in the file that is 0 in the simulation; in seconds."""
    duration: Duration
    leave: str
    """What stands for no attachment, besides an empty field."""
    repair: bool


@dataclass(frozen=True, slots=True)
class TraceFigures:
    """What is in a trace."""

    rows: int
    nodes: int
    handovers: int
    departures: int
    dwell: float
    """Mean seconds at one place, of stays whose end is in the trace."""
    repairs: tuple[str, ...]


class Trace:
    """Mobility as it was."""

    def __init__(self, source: TraceSource, places: Sequence[str]) -> None:
        """Read the whole file. Raises `ConfigurationError`."""
        self.names: dict[str, int] = {}
        """The number of each node, by its name in the file."""
        self._spool = Spool(_MOVE)
        self.figures = _Reader(source, {name: number for number, name in enumerate(places)}, self).read()

    @property
    def nodes(self) -> int:
        """All that are in the file."""
        return self.figures.nodes

    @property
    def moves(self) -> float:
        """Mean of all nodes."""
        return self.figures.rows / self.figures.nodes

    def __getstate__(self) -> dict[str, object]:
        """For another process: without the names, which may be millions."""
        return {"names": {}, "_spool": self._spool, "figures": self.figures}

    def block(self, number: int) -> Movements:
        """The rows of these nodes that change where they are."""
        node, time, place = self._sorted(number)
        new = ~nothing_new(node, place)
        return Movements(node[new], time[new], place[new])

    def _sorted(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        rows = self._spool.block(number)
        order = np.lexsort((rows["time"], rows["node"]))
        rows = rows[order]
        return rows["node"].astype(np.int64) - number * BLOCK, rows["time"], rows["place"].astype(np.int64)


class _Reader:
    """A trace on its way from the file to the spool."""

    def __init__(self, source: TraceSource, places: Mapping[str, int], trace: Trace) -> None:
        self._source, self._places, self._trace = source, places, trace
        self._mistakes = Mistakes(str(source.path), source.repair, "mend the row, or say repair = true")
        self._rows = Rows(source.path, (TIME, NODE, ATTACHMENT), self._mistakes)
        self._latest = -np.inf
        self._outside = 0
        self._range = (np.inf, -np.inf)

    def read(self) -> TraceFigures:
        spool = self._trace._spool
        spool.fill(self._parts(), str(self._source.path))
        if not spool.count:
            raise self._nothing()
        return self._count()

    def _parts(self) -> Iterator[NDArray[np.void]]:
        for piece in self._rows.pieces():
            yield self._piece(piece)
        self._mistakes.check()

    def _piece(self, piece: Piece) -> NDArray[np.void]:
        written = self._rows.numbers(piece, TIME.what)
        time = written - self._source.begin * SECOND
        self._in_order(piece, written)
        place = self._placed(piece)
        inside = (time >= 0) & (time <= self._source.duration)  # not of NaN either
        self._outside += int((~inside & np.isfinite(time)).sum())
        kept = np.flatnonzero(inside)
        rows = np.empty(len(kept), dtype=_MOVE)
        rows["time"] = np.rint(time[kept]).astype(np.int64)
        rows["place"] = place[kept]
        rows["node"] = self._numbered(piece, kept)
        return rows

    def _numbered(self, piece: Piece, kept: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The numbers of nodes, which get them as they appear."""
        written, names = self._rows.text(piece, NODE.what), self._trace.names
        if "" in written:
            line = int(piece.lines[written.index("")])
            raise self._mistakes.fatal(line, 0, NODE.what, "is missing", "expected the name or number of a node")
        numbers = [names.setdefault(written[row], len(names)) for row in kept]
        if len(names) > MOST_NODES:
            raise self._mistakes.fatal(0, 0, "", f"has more than {MOST_NODES} nodes", "cut it into several files")
        return np.array(numbers, dtype=np.uint32)

    def _in_order(self, piece: Piece, time: NDArray[np.float64]) -> None:
        known = np.flatnonzero(np.isfinite(time))
        if not len(known):
            return
        before = np.maximum.accumulate(np.concatenate(([self._latest], time[known])))
        for index in np.flatnonzero(time[known] < before[:-1]):
            row = int(known[index])
            wrong = f"{self._rows.text(piece, TIME.what)[row]} is earlier than the row before: out of order"
            self._rows.wrong(piece, row, TIME.what, "out of order", wrong)
        self._latest = before[-1]
        self._range = (min(self._range[0], float(time[known].min())), float(before[-1]))

    def _placed(self, piece: Piece) -> NDArray[np.int32]:
        written = self._rows.text(piece, ATTACHMENT.what)
        away, unknown = {self._source.leave, ""}, -3
        placed = np.array(
            [self._places.get(name, AWAY if name in away else unknown) for name in written], dtype=np.int32
        )
        for row in np.flatnonzero(placed == unknown):
            wrong = f"{written[row]!r} is no place of the topology"
            self._rows.wrong(piece, int(row), ATTACHMENT.what, "unknown place", wrong)
        placed[placed == unknown] = AWAY
        return placed

    def _nothing(self) -> Exception:
        first, last = (bound / SECOND for bound in self._range)
        wrong = f"has no row between 0 and {self._source.duration / SECOND:g} s"
        if np.isfinite(first):
            wrong += f" after begin = {self._source.begin:g}; its times are {first:.10g} to {last:.10g} s"
        return self._mistakes.fatal(0, 0, "", wrong, "expected rows; begin says which time is 0")

    def _count(self) -> TraceFigures:
        """What there is, block by block."""
        handovers = departures = idle = 0
        stays, stayed = 0, 0.0
        for number in range(self._trace._spool.blocks):
            node, time, place = self._trace._sorted(number)
            new = ~nothing_new(node, place)
            idle += int((~new).sum())
            node, time, place = node[new], time[new], place[new]
            ended = (node[1:] == node[:-1]) & (place[:-1] != AWAY)
            stays += int(ended.sum())
            stayed += float(np.diff(time)[ended].sum())
            handovers += int((ended & (place[1:] != AWAY)).sum())
            departures += int((place == AWAY).sum())
        return TraceFigures(
            self._trace._spool.count,
            len(self._trace.names),
            handovers,
            departures,
            stayed / stays / SECOND if stays else 0.0,
            tuple(self._repairs(idle)),
        )

    def _repairs(self, idle: int) -> list[str]:
        consequences = {
            "out of order": "rows out of order sorted",
            "unknown place": "rows with unknown places taken for leaving",
            "bad number": "rows with a bad number left out",
            "wrong number of fields": "rows with too many or too few fields left out",
        }
        file = self._source.path
        said = [f"{file}: {count} {consequences[kind]}" for kind, count in self._mistakes.mended.items()]
        if idle:
            said.append(f"{file}: {idle} rows that change nothing left out")
        if self._outside:
            said.append(f"{file}: {self._outside} rows outside of the simulated time left out")
        return said
