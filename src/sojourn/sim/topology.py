"""Places, and what a message needs from one to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Places where access routers, databases, anchors and correspondents stand. A place is its index."""

    name: str
    places: tuple[str, ...]
    delay: NDArray[np.int64]
    """One-way nanoseconds along the shortest path, by (from, to); 0 on the diagonal."""
    hops: NDArray[np.uint16]
    """Links on that path."""
    edges: tuple[tuple[int, int], ...] = ()
    """The links themselves, for maps."""
    positions: NDArray[np.float64] | None = None
    """(x, y) of each place: longitude and latitude, or metres; for maps and for mobility by distance."""
    repairs: tuple[str, ...] = ()
    """What had to be mended in the source, in sentences; nothing is mended in silence."""
    geographic: bool = False
    """`positions` are longitude and latitude in degrees; otherwise metres."""
    access: tuple[int, ...] = ()
    """The places where nodes attach; empty: all."""
    site: tuple[int, ...] = ()
    """For each place the one beside which it stands (several routers of one building or city); empty: itself."""

    def attachable(self) -> NDArray[np.int64]:
        """The places where nodes attach."""
        return np.array(self.access or range(len(self.places)), dtype=np.int64)

    def sites(self) -> NDArray[np.int64]:
        """For each place the one beside which it stands."""
        return np.array(self.site or range(len(self.places)), dtype=np.int64)

    def best_place(self) -> int:
        """The place with the least mean delay to all others: where a central database or anchor belongs."""
        return int(self.delay.mean(axis=1).argmin())
