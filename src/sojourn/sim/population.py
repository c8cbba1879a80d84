"""A population and what it does: movements and sessions put together as the stream that the kernel merges.

A session begins where its node is attached; one that arrives while the node is away does not begin and is counted. Each
block is made from its own random numbers, so that a shard is the same however the others are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.flows import BY_MIX, Flows
from sojourn.sim.movements import AWAY, SESSIONS, Mobility, Movements, generator
from sojourn.sim.sessions import Arrivals, Mix, Peers
from sojourn.sim.workload import BLOCK, Happening, Stream
from sojourn.wire.units import SECOND, Duration

LONGEST = 100 * 24 * 3600 * SECOND
"""No simulation is longer: node and time of a block go into one whole number of 64 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """A workload (`sojourn.sim.workload.Workload`)."""

    duration: Duration
    seed: int
    mobility: Mobility
    mix: Mix
    peers: Peers
    flows: Flows | None = None
    repairs: tuple[str, ...] = ()
    """What had to be mended in traces and logs, in sentences."""

    @property
    def nodes(self) -> int:
        """How many."""
        return self.mobility.nodes

    @property
    def records(self) -> float:
        """Rows of the stream that one node makes, about: what a shard needs in memory is 40 octets for each."""
        flows = self.flows.count / self.nodes if self.flows else 0.0
        return self.mobility.moves + 2 * (self.mix.rate * self.duration / SECOND + flows)

    def shard(self, first: int, last: int) -> Stream:
        """What the nodes `first` to `last` - 1 do."""
        blocks = [self._block(number) for number in range(first // BLOCK, -(-last // BLOCK))]
        time, node = _joined([block.time for block in blocks]), _joined([block.node for block in blocks])
        # Stable: at one time a node moves first, then sessions begin, then they end; and blocks have an order.
        order = np.argsort(time, kind="stable")
        if first % BLOCK or last % BLOCK:
            order = order[(node[order] >= first) & (node[order] < last)]
        return Stream(
            time[order],
            node[order],
            _joined([block.kind for block in blocks])[order],
            _joined([block.argument for block in blocks])[order],
            _joined([block.peer for block in blocks])[order],
            sum(block.lost for block in blocks),
        )

    def _block(self, number: int) -> Stream:
        """What the nodes of a block do, not yet in the order of time."""
        movements = self.mobility.block(number)
        begun, lost = self._begun(number, movements)
        end = begun.time + begun.lasting
        ended = np.flatnonzero(end <= self.duration)
        numbers = _within_node(begun.node)
        away = movements.place == AWAY
        counts = (len(away), len(end), len(ended))
        node = _joined([movements.node, begun.node, begun.node[ended]])
        kind = np.repeat(np.array([Happening.ATTACH, Happening.BEGIN, Happening.END], dtype=np.uint8), counts)
        kind[: len(away)][away] = Happening.LEAVE
        argument = np.zeros(len(node), dtype=np.uint32)
        argument[: len(away)][~away] = movements.place[~away]
        argument[len(away) :] = _joined([numbers, numbers[ended]])
        peer = np.zeros(len(node), dtype=np.uint32)
        peer[len(away) : len(away) + len(end)] = begun.peer
        return Stream(
            _joined([movements.time, begun.time, end[ended]]),
            (node + number * BLOCK).astype(np.uint32),
            kind,
            argument,
            peer,
            lost,
        )

    def _begun(self, number: int, movements: Movements) -> tuple[Arrivals, int]:
        """The sessions that begin, with the places of their correspondents, and how many do not."""
        random = generator(self.seed, number, SESSIONS)
        arrivals = self.mix.arrivals(random, min(BLOCK, self.nodes - number * BLOCK), self.duration)
        if self.flows:
            arrivals = self._with_flows(random, number, arrivals)
        span = self.duration + 1
        moved = movements.node * span + movements.time
        before = np.searchsorted(moved, arrivals.node * span + arrivals.time, side="right") - 1
        # Two rows more, so that there is a movement before the first and after the last.
        node, place = np.append(movements.node, [-1, -1]), np.append(movements.place, [AWAY, AWAY])
        place = np.where(node[before] == arrivals.node, place[before], AWAY)
        begins = np.flatnonzero(place != AWAY)
        between = (place == AWAY) & (node[before] == arrivals.node) & (node[before + 1] == arrivals.node)
        return (
            Arrivals(
                arrivals.node[begins],
                arrivals.time[begins],
                arrivals.lasting[begins],
                self.peers.placed(random, arrivals.peer[begins], place[begins]),
            ),
            int(between.sum()),
        )

    def _with_flows(self, random: np.random.Generator, number: int, arrivals: Arrivals) -> Arrivals:
        assert self.flows is not None
        node, time, lasting, peer = self.flows.block(number)
        unsaid = np.flatnonzero(peer == BY_MIX)
        peer[unsaid] = Mix.peers(random, self.flows.correspondents, len(unsaid))
        node, time = _joined([arrivals.node, node]), _joined([arrivals.time, time])
        order = np.lexsort((time, node))
        return Arrivals(
            node[order],
            time[order],
            _joined([arrivals.lasting, lasting])[order],
            _joined([arrivals.peer, peer])[order],
        )


T = TypeVar("T", bound=np.generic)


def _joined(parts: Sequence[NDArray[T]]) -> NDArray[T]:
    return np.concatenate(parts)


def _within_node(node: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row its number among those of its node; `node` sorted."""
    counts = np.bincount(node)
    return np.arange(len(node)) - np.repeat(np.cumsum(counts) - counts, counts)
