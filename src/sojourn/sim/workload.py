"""What the nodes do, and when: the input of a simulation, as columns.

Nodes are numbered from 0. Whoever makes a workload draws its random numbers per block of `BLOCK` nodes, from the seed
and the number of the block, so that the same seed gives the same events however the nodes are cut into shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sojourn.wire.units import Duration

BLOCK = 1_000
"""Nodes that share one stream of random numbers; shards begin and end at multiples of it."""


class Happening(IntEnum):
    """The kinds of `Stream.kind`."""

    ATTACH = 0
    """`argument`: the place. A node that is elsewhere has moved: there is no LEAVE in between."""
    LEAVE = 1
    """The node is gone from the domain."""
    BEGIN = 2
    """A session begins, on the prefix of the place where the node is; `argument`: its number, `peer`: the place of the
    correspondent."""
    END = 3
    """The session with the number `argument` ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Columns of equal length, sorted by time; equal times in the order in which they are meant."""

    time: NDArray[np.int64]
    """Nanoseconds since the beginning."""
    node: NDArray[np.uint32]
    kind: NDArray[np.uint8]
    argument: NDArray[np.uint32]
    peer: NDArray[np.uint32]
    lost: int = 0
    """Sessions that did not begin, as their node was away when they arrived."""

    def __len__(self) -> int:
        return len(self.time)


class Workload(Protocol):
    """A population and its behaviour."""

    @property
    def nodes(self) -> int:
        """How many."""
        ...

    @property
    def duration(self) -> Duration:
        """Nothing happens later."""
        ...

    def shard(self, first: int, last: int) -> Stream:
        """What the nodes `first` to `last` - 1 do; they keep their numbers."""
        ...
