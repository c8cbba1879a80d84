"""Topologies that are made: ring, grid, tree, star, campus, random geometric.

Every link of a kind has one delay, except where it follows from the length. Positions are metres, `spacing` apart, for
maps and for mobility by distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from sojourn.sim.graph import Cable, Graph, Link
from sojourn.sim.plane import gabriel_links
from sojourn.wire.units import Duration


def ring(places: int, delay: Duration, spacing: float) -> Graph:
    """A closed line."""
    angle = 2 * math.pi * np.arange(places) / places
    radius = spacing / (2 * math.sin(math.pi / places))
    links = [Link(place, (place + 1) % places, delay) for place in range(places)]
    positions = radius * np.column_stack((np.cos(angle), np.sin(angle)))
    return Graph("ring", _numbered("r", places), links, positions)


def grid(rows: int, columns: int, delay: Duration, spacing: float) -> Graph:
    """A chessboard; its squares are ``r1c1`` and so on."""
    links = []
    for row in range(rows):
        for column in range(columns):
            place = row * columns + column
            if column + 1 < columns:
                links.append(Link(place, place + 1, delay))
            if row + 1 < rows:
                links.append(Link(place, place + columns, delay))
    names = [f"r{row + 1}c{column + 1}" for row in range(rows) for column in range(columns)]
    positions = np.array([(column, row) for row in range(rows) for column in range(columns)], dtype=np.float64)
    return Graph("grid", names, links, positions * spacing)


def star(places: int, delay: Duration, spacing: float) -> Graph:
    """A hub, ``core``, and around it the places where nodes attach."""
    angle = 2 * math.pi * np.arange(places) / places
    around = spacing * np.column_stack((np.cos(angle), np.sin(angle)))
    links = [Link(0, place, delay) for place in range(1, places + 1)]
    positions = np.concatenate((np.zeros((1, 2)), around))
    return Graph("star", ["core", *_numbered("r", places)], links, positions, access=list(range(1, places + 1)))


def tree(branches: int, levels: int, delay: Duration, spacing: float) -> Graph:
    """A root, ``core``, each place with as many below it; nodes attach at the lowest level."""
    sizes = [branches**level for level in range(levels + 1)]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    names, positions, links = ["core"], [(0.0, 0.0)], []
    for level in range(1, levels + 1):
        for number in range(sizes[level]):
            place = int(starts[level]) + number
            links.append(Link(int(starts[level - 1]) + number // branches, place, delay))
            names.append(f"l{level}-{number + 1}")
            # Centred above the leaves below it, so that a map of the tree has no crossing.
            width = sizes[levels] / sizes[level]
            positions.append((spacing * ((number + 0.5) * width - sizes[levels] / 2), -spacing * level))
    access = list(range(int(starts[levels]), int(starts[levels + 1])))
    return Graph("tree", names, links, np.array(positions), access=access)


@dataclass(frozen=True, slots=True)
class CampusDelays:
    """Of the links of a campus."""

    core: Duration
    building: Duration
    router: Duration
    border: Duration


def campus(buildings: int, routers: int, delays: CampusDelays, spacing: float) -> Graph:
    """Two core switches, a building router on both, access routers below it, and the world behind ``internet``."""
    names, positions = ["core1", "core2", "internet"], [(-spacing / 4, 0.0), (spacing / 4, 0.0), (0.0, spacing / 2)]
    links = [Link(0, 1, delays.core), Link(0, 2, delays.border), Link(1, 2, delays.border)]
    access, site = [], [0, 1, 2]
    reach = spacing * buildings / math.pi if buildings > 2 else spacing
    for building in range(buildings):
        angle = 2 * math.pi * building / buildings
        centre = (reach * math.cos(angle), reach * math.sin(angle))
        house = len(names)
        names.append(f"b{building + 1}")
        positions.append(centre)
        site.append(house)
        links += [Link(0, house, delays.building), Link(1, house, delays.building)]
        for router in range(routers):
            turn = 2 * math.pi * router / routers
            links.append(Link(house, len(names), delays.router))
            access.append(len(names))
            names.append(f"b{building + 1}-r{router + 1}")
            positions.append((centre[0] + spacing / 4 * math.cos(turn), centre[1] + spacing / 4 * math.sin(turn)))
            site.append(house)
    return Graph("campus", names, links, np.array(positions), access=access, site=site)


def geometric(places: int, side: float, reach: float | None, seed: int, cable: Cable) -> Graph:
    """Places anywhere in a square of `side` metres, linked within `reach` (None: with whom none lies between)."""
    positions = np.random.default_rng((seed, places)).uniform(0.0, side, (places, 2))
    pairs = gabriel_links(positions) if reach is None else sorted(cKDTree(positions).query_pairs(reach))
    return Graph("geometric", _numbered("r", places), cable.along(pairs, positions, False), positions)


def _numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{number + 1}" for number in range(count)]
