"""Where the nodes of a block are, and when: what every kind of mobility makes, and all that sessions need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

AWAY = -1
"""No place: the node is gone from the domain."""


@dataclass(frozen=True, slots=True, eq=False)
class Movements:
    """Columns of equal length, sorted by node and then by time."""

    node: NDArray[np.int64]
    """From 0 in the block."""
    time: NDArray[np.int64]
    place: NDArray[np.int64]
    """Where the node is from then on: a place of the topology, or `AWAY`."""


class Mobility(Protocol):
    """A way in which nodes move."""

    @property
    def nodes(self) -> int:
        """How many."""
        ...

    @property
    def moves(self) -> float:
        """How many movements of one node are expected, about."""
        ...

    def block(self, number: int) -> Movements:
        """What the nodes ``number * BLOCK`` and after do; the same whoever asks."""
        ...


def generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    """The random numbers of a block. Every purpose has its own, so that a change of sessions moves no node."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, number, purpose))))


MOBILITY, SESSIONS = 1, 2
"""Purposes."""


def nothing_new(node: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which movements lead where the node is already, or away though it is not there; sorted by node and time."""
    before = np.full(len(place), AWAY, dtype=np.int64)
    same = node[1:] == node[:-1]
    before[1:][same] = place[:-1][same]
    return np.asarray(before == place)
