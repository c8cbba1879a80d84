"""Where the packets of sessions go: delay, stretch, and what each router carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.replay import Floats, Integers, Replay, Segments
from sojourn.evaluation.ways import TUNNELLED, Way, distances
from sojourn.sim.topology import Topology


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Of one way; means over session time."""

    delay: float
    """ms one way from correspondent to node, the wireless link included."""
    direct: float
    """ms that the shortest path would take."""
    longer_than_central: float
    """Share of session time in which the path is longer than through the central anchor."""
    tunnelled: float
    """Share of session time in which the packets are tunnelled."""
    carried: Floats
    """Mean sessions whose packets pass each place as serving router or old anchor; the central anchor has its own."""
    through_central: float
    """Mean sessions whose packets pass the central anchor."""
    dependent: Floats
    """Share of session time that needs each place, as old anchor or as the router where the node is."""

    @property
    def added(self) -> float:
        """ms over the shortest path."""
        return self.delay - self.direct

    @property
    def stretch(self) -> float:
        """Of the mean delay. (A mean of ratios explodes where the direct path is short.)"""
        return self.delay / self.direct if self.direct else 1.0


def traffic(counted: Replay, topology: Topology, assumptions: Assumptions) -> dict[Way, Traffic]:
    """Of all ways."""
    distance, central, wireless = distances(topology), assumptions.central, assumptions.wireless
    edge = assumptions.edge
    parts = counted.segments if edge is None else with_edge(counted.segments, edge, topology.sites())
    ways = path_delays(parts, distance, central)
    served, anchored = _by_place(counted.segments, len(distance))
    total = counted.segments.seconds.sum()
    found = {}
    for way in Way:
        passed = served + anchored if way in TUNNELLED else served
        found[way] = Traffic(
            delay=float(np.average(ways[way], weights=parts.seconds)) + wireless,
            direct=float(np.average(ways[Way.RELOCATION], weights=parts.seconds)) + wireless,
            longer_than_central=float(np.average(ways[way] > ways[Way.CENTRAL] + 1e-9, weights=parts.seconds)),
            tunnelled={Way.CENTRAL: 1.0, Way.RELOCATION: 0.0}.get(way, counted.tunnelled),
            carried=passed / counted.window,
            through_central=total / counted.window if way is Way.CENTRAL else 0.0,
            dependent=passed / total,
        )
    return found


def _by_place(parts: Segments, places: int) -> tuple[Floats, Floats]:
    """Session seconds at each serving router, and at each old anchor."""
    away = parts.anchor != parts.serving
    served = np.bincount(parts.serving, parts.seconds, places)
    anchored = np.bincount(parts.anchor[away], parts.seconds[away], places)
    return served.astype(np.float64), anchored.astype(np.float64)


def path_delays(parts: Segments, distance: Floats, central: int) -> dict[Way, Floats]:
    """ms from correspondent to serving router for each segment; `distance` in ms."""
    through_anchor = distance[parts.peer, parts.anchor] + distance[parts.anchor, parts.serving]
    return {
        **dict.fromkeys(TUNNELLED, through_anchor),
        Way.CENTRAL: distance[parts.peer, central] + distance[central, parts.serving],
        Way.RELOCATION: distance[parts.peer, parts.serving],
    }


def at_edge(parts: Segments, sites: Integers) -> NDArray[np.bool_]:
    """Whose correspondent stands at the site of the router where the session began (`Topology.sites`)."""
    return np.asarray(sites[parts.peer] == sites[parts.anchor])


def with_edge(parts: Segments, share: float, sites: Integers) -> Segments:
    """The same segments with `share` of their time towards correspondents at the edge.

    The rest goes to the correspondents that are elsewhere, or to all places alike where there are none.
    """
    far = np.flatnonzero(~at_edge(parts, sites))
    peer = parts.peer[far]
    if not len(far):
        far, peer = np.arange(len(parts.peer)), np.arange(len(parts.peer)) % len(sites)
    near_weight = parts.seconds * share / parts.seconds.sum()
    far_weight = parts.seconds[far] * (1 - share) / parts.seconds[far].sum()
    return Segments(
        np.concatenate((sites[parts.anchor], peer)),
        np.concatenate((parts.anchor, parts.anchor[far])),
        np.concatenate((parts.serving, parts.serving[far])),
        np.concatenate((near_weight, far_weight)),
    )
