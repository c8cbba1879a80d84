"""Sessions as they were: a log of flows, as a CSV file of any length, read as a trace is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.movements import AWAY
from sojourn.sim.rows import Column, Mistakes, Piece, Rows, times
from sojourn.sim.sessions import Correspondents
from sojourn.sim.spool import MOST_IN_A_BLOCK, Spool
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
        self.repairs: tuple[str, ...] = ()
        self._read(source, {name: number for number, name in enumerate(places)}, nodes, names)

    @property
    def count(self) -> int:
        """All flows."""
        return self._spool.count

    def block(self, number: int) -> tuple[NDArray[np.int64], ...]:
        """Node (from 0 in the block), start, duration and peer (a place or `BY_MIX`) of flows, in no order."""
        rows = self._spool.block(number)
        node = rows["node"].astype(np.int64) - number * BLOCK
        return node, rows["time"], rows["lasting"], rows["peer"].astype(np.int64)

    def _read(self, source: FlowSource, places: Mapping[str, int], nodes: int, names: Mapping[str, int]) -> None:
        mistakes = Mistakes(str(source.path), source.repair, "mend the row, or say repair = true")
        rows = Rows(source.path, (START, NODE, LASTING, PEER), mistakes)
        outside = 0
        for piece in rows.pieces():
            start = rows.numbers(piece, START.what) - source.begin * SECOND
            lasting = rows.numbers(piece, LASTING.what)
            for row in np.flatnonzero(lasting <= 0):
                rows.wrong(piece, int(row), LASTING.what, "bad number", "a flow that lasts no time")
            node = _known_nodes(rows, piece, nodes, names)
            peer = _peers(rows, piece, places)
            good = (lasting > 0) & np.isfinite(start) & (node >= 0) & (peer != AWAY)
            inside = good & (start >= 0) & (start <= source.duration)
            outside += int((good & ~inside).sum())
            kept = np.empty(int(inside.sum()), dtype=_FLOW)
            kept["time"] = np.rint(start[inside]).astype(np.int64)
            kept["node"] = node[inside]
            kept["lasting"] = np.maximum(1, np.rint(np.minimum(lasting[inside], 1e18))).astype(np.int64)
            kept["peer"] = peer[inside]
            self._spool.add(kept)
        mistakes.check()
        if self._spool.fullest > MOST_IN_A_BLOCK:
            wrong = f"has {self._spool.fullest} flows of a thousand nodes"
            raise mistakes.fatal(0, 0, "", wrong, f"expected at most {MOST_IN_A_BLOCK}; simulate a shorter time")
        self._spool.finish()
        said = [f"{source.path}: {count} rows with {kind} left out" for kind, count in mistakes.mended.items()]
        if outside:
            said.append(f"{source.path}: {outside} flows outside of the simulated time left out")
        self.repairs = tuple(said)


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
