"""From places and links to a `Topology`: connected or mended, several routers per place, delays along shortest paths.

Sources (`topology_files`, `topology_generated`) make a `Graph`; what is true of all of them is done here. The shortest
path is the one of least delay, and among those the one of fewest links, so that the hops do not depend on the order in
which links were written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra

from sojourn.sim.plane import EARTH_RADIUS, distance
from sojourn.sim.topology import Topology
from sojourn.wire.units import SECOND, Duration

MOST_PLACES = 5_000
"""The matrix of delays has the square of this: 200 MB and 50 MB of hops."""
LONGEST_LINK = 10 * SECOND
_HOPS = 1 << 13
"""A path's weight is its delay times this, and one for each link: more than there are places."""
_EXACT = 1 << 53
"""Weights below are exact as floats: paths of up to 1,099 s."""


class NotPossible(Exception):
    """A topology cannot be made so; `wrong` and `expected` are for people, `key` is below ``topology``."""

    def __init__(self, key: str, wrong: str, expected: str) -> None:
        self.key, self.wrong, self.expected = key, wrong, expected
        super().__init__(f"{key}: {wrong}; {expected}")


@dataclass(frozen=True, slots=True)
class Link:
    """A line between two places, equal in both directions."""

    one: int
    other: int
    delay: Duration


@dataclass(frozen=True, slots=True)
class Cable:
    """What a link delays that is known by its length."""

    per_km: Duration
    per_link: Duration
    """Whatever its length: equipment."""

    def delay(self, metres: float) -> Duration:
        """Of a link of this length."""
        return self.per_link + round(self.per_km * metres / 1000)

    def along(self, pairs: Iterable[tuple[int, int]], positions: NDArray[np.float64], geographic: bool) -> list[Link]:
        """Straight links between places."""
        return [
            Link(one, other, self.delay(float(distance(positions[[one, other]], geographic, 0)[1])))
            for one, other in pairs
        ]


@dataclass(slots=True)
class Graph:
    """Places and links as a source has them."""

    name: str
    places: list[str]
    links: list[Link]
    positions: NDArray[np.float64] | None = None
    geographic: bool = False
    access: list[int] | None = None
    """Where nodes attach; None: everywhere."""
    site: list[int] | None = None
    """Beside which place each place stands; None: each by itself."""
    repairs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done with a graph from any source."""

    largest_part: bool = False
    """Of a topology that is not connected the largest part is taken."""
    access: Sequence[str] = ()
    """Names of places where nodes attach, with ``*`` for any letters; empty: as the source says."""
    routers_per_place: int = 1
    """As many access routers at each of those places."""
    router_delay: Duration = 0
    """Between a place and its routers, where there are several."""
    router_distance: float = 1_000.0
    """Metres between a place and its routers, where there are several."""


def finish(graph: Graph, how: Finish) -> Topology:
    """The topology of `graph`. Raises `NotPossible`."""
    if not graph.places:
        raise NotPossible("", "has no places", "name at least one")
    graph = _choose_access(_connected(graph, how.largest_part), how.access)
    if how.routers_per_place > 1:
        graph = _with_routers(graph, how)
    if len(graph.places) > MOST_PLACES:
        raise NotPossible("", f"has {len(graph.places)} places", f"expected at most {MOST_PLACES}")
    delay, hops = shortest_paths(len(graph.places), graph.links)
    return Topology(
        graph.name,
        tuple(graph.places),
        delay,
        hops,
        tuple((link.one, link.other) for link in graph.links),
        graph.positions,
        tuple(graph.repairs),
        graph.geographic,
        () if graph.access is None else tuple(graph.access),
        () if graph.site is None else tuple(graph.site),
    )


def shortest_paths(places: int, links: Sequence[Link]) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """One-way nanoseconds and links between all places, which are connected; of parallel links the fastest counts.

    Raises `NotPossible`.
    """
    weights: dict[tuple[int, int], int] = {}
    for link in links:
        ends = (link.one, link.other)
        one = link.delay * _HOPS + 1
        for pair in (ends, ends[::-1]):
            weights[pair] = min(one, weights.get(pair, one))
    rows, columns = np.array(list(weights) or np.empty((0, 2)), dtype=np.int32).T
    matrix = coo_array((np.array(list(weights.values()), dtype=np.float64), (rows, columns)), shape=(places, places))
    weight = dijkstra(matrix.tocsr())
    if weight.max(initial=0.0) >= _EXACT:
        raise NotPossible("", "has paths that take more than 1,099 s", "expected delays of a network on earth")
    whole = weight.astype(np.int64)
    return whole // _HOPS, (whole % _HOPS).astype(np.uint16)


def _connected(graph: Graph, largest_part: bool) -> Graph:
    ends = np.array([(link.one, link.other) for link in graph.links] or np.empty((0, 2)), dtype=np.int32).T
    size = len(graph.places)
    parts, part = connected_components(coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(size, size)))
    if parts == 1:
        return graph
    sizes = np.bincount(part)
    largest = int(sizes.argmax())
    outside = [name for name, number in zip(graph.places, part, strict=True) if number != largest]
    said = f"{parts} parts without a link between them; {some(outside)} cannot be reached from the largest"
    if not largest_part:
        raise NotPossible("", f"falls into {said}", "add the missing links, or take that part: largest_part = true")
    kept = restricted(graph, np.flatnonzero(part == largest).tolist())
    kept.repairs.append(f"{len(outside)} of {size} places left out: {said}")
    return kept


def restricted(graph: Graph, kept: Sequence[int]) -> Graph:
    """`graph` with these places only, and the links between them."""
    new = {old: number for number, old in enumerate(kept)}
    return replace(
        graph,
        places=[graph.places[old] for old in kept],
        links=[
            Link(new[link.one], new[link.other], link.delay)
            for link in graph.links
            if link.one in new and link.other in new
        ],
        positions=None if graph.positions is None else graph.positions[list(kept)],
        access=None if graph.access is None else [new[old] for old in graph.access if old in new],
        site=None if graph.site is None else [new.get(graph.site[old], new[old]) for old in kept],
        repairs=list(graph.repairs),
    )


def _choose_access(graph: Graph, patterns: Sequence[str]) -> Graph:
    if not patterns:
        return graph
    chosen: set[int] = set()
    for pattern in patterns:
        found = [number for number, name in enumerate(graph.places) if fnmatchcase(name, pattern)]
        if not found:
            raise NotPossible("access", f"{pattern!r} is the name of no place", f"there are {some(graph.places)}")
        chosen.update(found)
    return replace(graph, access=sorted(chosen))


def _with_routers(graph: Graph, how: Finish) -> Graph:
    """Several routers around each place where nodes attach; the place itself stays, and nodes do not attach to it."""
    at = list(range(len(graph.places))) if graph.access is None else graph.access
    site = list(range(len(graph.places))) if graph.site is None else list(graph.site)
    places, links, access = list(graph.places), list(graph.links), []
    positions = [] if graph.positions is None else [graph.positions]
    for place in at:
        for number in range(how.routers_per_place):
            links.append(Link(place, len(places), how.router_delay))
            access.append(len(places))
            places.append(f"{graph.places[place]}/{number + 1}")
            site.append(place)
        if graph.positions is not None:
            positions.append(_around(graph.positions[place], how, graph.geographic))
    return replace(
        graph,
        places=places,
        links=links,
        access=access,
        site=site,
        positions=np.concatenate(positions) if positions else None,
    )


def _around(position: NDArray[np.float64], how: Finish, geographic: bool) -> NDArray[np.float64]:
    angle = 2 * math.pi * np.arange(how.routers_per_place) / how.routers_per_place
    offset = how.router_distance * np.column_stack((np.cos(angle), np.sin(angle)))
    if geographic:
        offset = np.degrees(offset / EARTH_RADIUS) / (max(0.01, math.cos(math.radians(position[1]))), 1.0)
    return np.asarray(position + offset)


def some(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
