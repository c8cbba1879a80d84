"""Sessions as they were: a log of flows, as a CSV file of any length, read as a trace is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.movements import AWAY
from sojourn.sim.rows import Column, Mistakes, Piece, Rows, times
from sojourn.sim.sessions import Correspondents, nanoseconds
from sojourn.sim.spool import Spool
from sojourn.sim.traces import NODE
from sojourn.sim.workload import BLOCK
from sojourn.wire.units import SECOND, Duration

START = Column("when the flow begins", times("start"))
LASTING = Column("how long the flow lasts", times("duration"))
PEER = Column("the place of the correspondent", {"peer": 1}, needed=False)

_FLOW = np.dtype([("time", "<i8"), ("node", "<u4"), ("lasting", "<i8"), ("peer", "<i4")])
BY_MIX = -2
"""The peer of a flow whose log does not say it."""


@dataclass(frozen=True, slots=True)
class FlowSource:
    """Where a log of flows is and how it is read."""

    path: Path
    begin: float
    duration: Duration
    repair: bool
    correspondents: Correspondents
    """Of flows whose peer the log does not say."""


class Flows:
    """Sessions as they were."""

    def __init__(self, source: FlowSource, places: Sequence[str], nodes: int, names: Mapping[str, int]) -> None:
        """Read the whole file. Raises `ConfigurationError`.

        `names`: the nodes of the trace; empty: they are numbers.
        """
        self._spool = Spool(_FLOW)
        self.correspondents = source.correspondents
        reader = _Reader(source, places, nodes, names)
        self._spool.fill(reader.parts(), str(source.path))
        self.repairs = tuple(reader.repairs())

    @property
    def count(self) -> int:
        """All flows."""
        return self._spool.count

    def block(self, number: int) -> tuple[NDArray[np.int64], ...]:
        """Node (from 0 in the block), start, duration and peer (a place or `BY_MIX`) of flows, in no order."""
        rows = self._spool.block(number)
        node = rows["node"].astype(np.int64) - number * BLOCK
        return node, rows["time"], rows["lasting"], rows["peer"].astype(np.int64)


class _Reader:
    """A log on its way from the file to the spool."""

    def __init__(self, source: FlowSource, places: Sequence[str], nodes: int, names: Mapping[str, int]) -> None:
        self._source, self._nodes, self._names = source, nodes, names
        self._places = {name: number for number, name in enumerate(places)}
        self._mistakes = Mistakes(str(source.path), source.repair, "mend the row, or say repair = true")
        self._rows = Rows(source.path, (START, NODE, LASTING, PEER), self._mistakes)
        self._outside = 0

    def parts(self) -> Iterator[NDArray[np.void]]:
        """All rows."""
        for piece in self._rows.pieces():
            yield self._piece(piece)
        self._mistakes.check()

    def repairs(self) -> Iterator[str]:
        """What was mended."""
        file = self._source.path
        for kind, count in self._mistakes.mended.items():
            yield f"{file}: {count} rows with {kind} left out"
        if self._outside:
            yield f"{file}: {self._outside} flows outside of the simulated time left out"

    def _piece(self, piece: Piece) -> NDArray[np.void]:
        rows = self._rows
        start = rows.numbers(piece, START.what) - self._source.begin * SECOND
        lasting = rows.numbers(piece, LASTING.what)
        for row in np.flatnonzero(lasting <= 0):
            rows.wrong(piece, int(row), LASTING.what, "bad number", "a flow that lasts no time")
        node = _known_nodes(rows, piece, self._nodes, self._names)
        peer = _peers(rows, piece, self._places)
        good = (lasting > 0) & np.isfinite(start) & (node >= 0) & (peer != AWAY)
        inside = good & (start >= 0) & (start <= self._source.duration)
        self._outside += int((good & ~inside).sum())
        kept = np.empty(int(inside.sum()), dtype=_FLOW)
        kept["time"] = np.rint(start[inside]).astype(np.int64)
        kept["node"] = node[inside]
        kept["lasting"] = nanoseconds(lasting[inside] / SECOND)
        kept["peer"] = peer[inside]
        return kept


def _known_nodes(rows: Rows, piece: Piece, nodes: int, names: Mapping[str, int]) -> NDArray[np.int64]:
    """The numbers of nodes, negative where there is none."""
    written = rows.text(piece, NODE.what)
    if names:
        numbers = [names.get(name, -1) for name in written]
    else:
        numbers = [int(name) if name.isdecimal() and len(name) < 10 else -1 for name in written]
    node = np.array(numbers, dtype=np.int64)
    node[node >= nodes] = -1
    for row in np.flatnonzero(node < 0):
        known = "of the trace" if names else f"0 to {nodes - 1}"
        rows.wrong(piece, int(row), NODE.what, "an unknown node", f"{written[row]!r} is no node {known}")
    return node


def _peers(rows: Rows, piece: Piece, places: Mapping[str, int]) -> NDArray[np.int64]:
    """The places of correspondents: `BY_MIX` where it is not said, `AWAY` where it is wrong."""
    if PEER.what not in rows.found:
        return np.full(len(piece.rows), BY_MIX, dtype=np.int64)
    written = rows.text(piece, PEER.what)
    peer = np.array([places.get(name, AWAY if name else BY_MIX) for name in written], dtype=np.int64)
    for row in np.flatnonzero(peer == AWAY):
        rows.wrong(piece, int(row), PEER.what, "an unknown place", f"{written[row]!r} is no place of the topology")
    return peer
