"""Small workloads for the tests of the evaluation: written out, or drawn from exponential times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sojourn.sim.topology import Topology
from sojourn.sim.workload import Happening, Stream
from sojourn.wire.units import MILLISECOND, SECOND, Duration

KINDS = {"attach": Happening.ATTACH, "leave": Happening.LEAVE, "begin": Happening.BEGIN, "end": Happening.END}


def stream(*events: tuple[float, int, str, int, int] | tuple[float, int, str, int] | tuple[float, int, str]) -> Stream:
    """From (seconds, node, kind, argument, peer) in the order of time."""
    rows = [(*event, 0, 0)[:5] for event in events]
    return Stream(
        np.array([round(row[0] * SECOND) for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.uint32),
        np.array([KINDS[row[2]] for row in rows], dtype=np.uint8),
        np.array([row[3] for row in rows], dtype=np.uint32),
        np.array([row[4] for row in rows], dtype=np.uint32),
    )


def line(places: int, milliseconds: float = 10.0) -> Topology:
    """Places in a row, with the same delay between neighbours."""
    index = np.arange(places)
    hops = np.abs(index[:, None] - index[None, :])
    return Topology(
        "line",
        tuple(f"p{number}" for number in index),
        (hops * milliseconds * MILLISECOND).astype(np.int64),
        hops.astype(np.uint16),
        tuple((number, number + 1) for number in range(places - 1)),
    )


@dataclass(frozen=True)
class Exponential:
    """Nodes that go to any other place after exponential times, with Poisson arrivals of exponential sessions."""

    nodes: int
    duration: Duration
    places: int
    dwell: float
    session: float
    inter_arrival: float
    seed: int = 0

    def shard(self, first: int, last: int) -> Stream:
        """See `Workload.shard`."""
        events: list[tuple[float, int, str, int, int]] = []
        for node in range(first, last):
            events += self._events(node, np.random.default_rng((self.seed, node)))
        return stream(*sorted(events))

    def _events(self, node: int, random: np.random.Generator) -> list[tuple[float, int, str, int, int]]:
        end, events, now = self.duration / SECOND, [], 0.0
        place = int(random.integers(self.places))
        events.append((0.0, node, "attach", place, 0))
        while (now := now + random.exponential(self.dwell)) < end:
            place = (place + 1 + int(random.integers(self.places - 1))) % self.places
            events.append((now, node, "attach", place, 0))
        now, number = 0.0, 0
        while (now := now + random.exponential(self.inter_arrival)) < end:
            identity = node * 100_000 + number
            number += 1
            events.append((now, node, "begin", identity, int(random.integers(self.places))))
            over = now + random.exponential(self.session)
            if over < end:
                events.append((over, node, "end", identity, 0))
        return events
