"""Distances between places, and who is whose neighbour on a plane."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

EARTH_RADIUS = 6_371_009.0
"""Metres; the mean radius."""


def metres(positions: NDArray[np.float64], geographic: bool) -> NDArray[np.float64]:
    """Positions on a plane. Longitude and latitude are laid flat around their middle: right for a city or a country."""
    if not geographic:
        return positions
    middle = positions.mean(axis=0)
    scale = np.radians(1.0) * EARTH_RADIUS * np.array([math.cos(math.radians(middle[1])), 1.0])
    return np.asarray((positions - middle) * scale)


def distance(positions: NDArray[np.float64], geographic: bool, one: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Metres from the place `one` to all: along the great circle, or straight on a plane."""
    if not geographic:
        return np.asarray(np.hypot(*(positions - positions[one]).T))
    longitude, latitude = np.radians(positions).T
    half = (
        np.sin((latitude - latitude[one]) / 2) ** 2
        + np.cos(latitude) * np.cos(latitude[one]) * np.sin((longitude - longitude[one]) / 2) ** 2
    )
    return np.asarray(2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))


def neighbours(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pairs of points whose cells (what is nearer to them than to all others) touch. No two points may be equal."""
    if len(points) < 2:
        return np.empty((0, 2), dtype=np.int64)
    try:
        corners = Delaunay(points).simplices if len(points) > 2 else None
    except QhullError:
        corners = None
    if corners is None:  # all on one line, where cells touch in its order
        order = np.lexsort((points[:, 1], points[:, 0]))
        return np.column_stack((order[:-1], order[1:]))
    pairs = np.concatenate((corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]))
    return np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64)


def gabriel_links(points: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs in whose circle no third point lies: a network of short links that is always connected.

    The links between points that touch each other on a plane, without those for which there is a way round that is
    nowhere longer. Equal points are linked with the first of them.
    """
    single, first, same = np.unique(points, axis=0, return_index=True, return_inverse=True)
    links = [(int(first[number]), place) for place, number in enumerate(same.ravel()) if first[number] != place]
    for one, other in neighbours(single):
        away = ((single - (single[one] + single[other]) / 2) ** 2).sum(axis=1)
        away[[one, other]] = np.inf
        if not (away <= ((single[one] - single[other]) ** 2).sum() / 4 * (1 + 1e-9)).any():
            links.append((int(first[one]), int(first[other])))
    return sorted((min(pair), max(pair)) for pair in links)
