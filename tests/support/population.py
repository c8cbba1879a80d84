"""A population for simulations: exponential stays and sessions, each node by itself (`standards.md` 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sojourn.sim.topology import Topology
from sojourn.sim.workload import BLOCK, Happening, Stream
from sojourn.wire.units import SECOND, Duration


def grid(places: int, delay: Duration = 1_000_000, seed: int = 1) -> Topology:
    """Places at random points of a square; a message needs `delay` from one side to the other."""
    at = np.random.default_rng(seed).random((places, 2))
    distance = np.sqrt(((at[:, None] - at[None]) ** 2).sum(axis=2))
    delays = (distance * delay).astype(np.int64)
    hops = (1 + distance * 8).astype(np.uint16)
    np.fill_diagonal(hops, 0)
    return Topology("grid", tuple(f"p{number}" for number in range(places)), delays, hops, positions=at)


@dataclass(frozen=True)
class Population:
    """Nodes that stay for a time, go to any other place, and begin sessions; all times are exponential."""

    nodes: int
    duration: Duration
    places: int
    seed: int = 1
    dwell: float = 300.0
    every: float = 300.0
    """Seconds from one session of a node to the next."""
    lasting: float = 300.0

    def shard(self, first: int, last: int) -> Stream:
        blocks = [self._block(number, min(BLOCK, self.nodes - number)) for number in range(first, last, BLOCK)]
        columns = [np.concatenate([block[index] for block in blocks]) for index in range(5)]
        order = np.argsort(columns[0], kind="stable")
        return Stream(*[column[order] for column in columns])

    def _block(self, first: int, count: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng((self.seed, first))
        seconds = self.duration / SECOND
        time, node = self._points(rng, count, self.dwell, seconds)
        start = rng.random(count)  # all come within the first second
        time, node = np.concatenate((start, time + 1)), np.concatenate((np.arange(count), node))
        order = np.lexsort((time, node))
        time, node = time[order], node[order]
        steps = rng.integers(1, self.places, len(time))
        place = np.cumsum(steps)  # each node goes on from its own place, never to the same one
        base = place[np.searchsorted(node, np.arange(count))]
        place = (place - base[node] + rng.integers(0, self.places, count)[node]) % self.places
        begin, owner = self._points(rng, count, self.every, seconds)
        begin = begin + 1
        end = begin + rng.exponential(self.lasting, len(begin))
        peer = rng.integers(0, self.places, len(begin))
        number = np.arange(len(begin)) + first * 1_000
        whole = np.concatenate((time, begin, end))
        keep = whole < seconds
        kind = np.repeat([Happening.ATTACH, Happening.BEGIN, Happening.END], [len(time), len(begin), len(begin)])
        return (
            (whole[keep] * SECOND).astype(np.int64),
            (np.concatenate((node, owner, owner)) + first).astype(np.uint32)[keep],
            kind.astype(np.uint8)[keep],
            np.concatenate((place, number, number)).astype(np.uint32)[keep],
            np.concatenate((0 * place, peer, peer)).astype(np.uint32)[keep],
        )

    @staticmethod
    def _points(rng: np.random.Generator, count: int, mean: float, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """A Poisson process for each node: times and nodes."""
        numbers = rng.poisson(seconds / mean, count)
        node = np.repeat(np.arange(count), numbers)
        return rng.random(len(node)) * seconds, node
