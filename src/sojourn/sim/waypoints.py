"""Random waypoint on cells: a node goes straight to a random point, rests, goes on; the nearest place serves it.

The crossings are exact: along a straight line the difference of the squared distances to two places is linear in time,
so the next cell is the neighbour whose line is met first. The population starts in its steady state (Le Boudec,
Vojnovic: perfect simulation of random waypoint): legs in proportion to their length, speeds to their duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sojourn.sim.movements import MOBILITY, Movements, generator
from sojourn.sim.plane import neighbours
from sojourn.sim.workload import BLOCK
from sojourn.wire.units import SECOND, Duration

Points = NDArray[np.float64]


def mean_distance(width: float, height: float) -> float:
    """Between two points that are anywhere in a rectangle."""
    a, b, d = width, height, math.hypot(width, height)
    cubes = a**3 / b**2 + b**3 / a**2 + d * (3 - a**2 / b**2 - b**2 / a**2)
    return (cubes + 2.5 * (b**2 / a * math.log((a + d) / b) + a**2 / b * math.log((b + d) / a))) / 15


class Cells:
    """What is nearer to each place than to all others."""

    def __init__(self, places: Points) -> None:
        """`places` in metres, no two equal."""
        self.places = places
        self.nearest = cKDTree(places)
        pairs = neighbours(places)
        both = np.concatenate((pairs, pairs[:, ::-1]))
        both = both[np.argsort(both[:, 0], kind="stable")]
        degree = np.bincount(both[:, 0], minlength=len(places))
        self.beside = np.repeat(np.arange(len(places))[:, None], max(1, degree.max(initial=0)), axis=1)
        """The neighbours of each, filled up with the place itself."""
        self.beside[both[:, 0], np.arange(len(both)) - np.repeat(np.cumsum(degree) - degree, degree)] = both[:, 1]
        self._square = (places**2).sum(axis=1)

    def crossing(
        self, cell: NDArray[np.int64], here: Points, way: Points
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The part of `way` after which the cell ends, infinite if it does not, and the cell after it."""
        others = self.beside[cell]
        apart = self.places[others] - self.places[cell][:, None, :]
        ahead = 2 * (apart * way[:, None, :]).sum(axis=2)
        left = self._square[others] - self._square[cell][:, None] - 2 * (apart * here[:, None, :]).sum(axis=2)
        part = np.full(ahead.shape, np.inf)
        np.divide(np.maximum(left, 0.0), ahead, out=part, where=ahead > 0)
        which = part.argmin(axis=1)
        rows = np.arange(len(cell))
        return part[rows, which], others[rows, which]


@dataclass(frozen=True, slots=True, eq=False)
class Waypoints:
    """Nodes that go from point to point."""

    nodes: int
    duration: Duration
    seed: int
    access: NDArray[np.int64]
    cells: Cells
    """Of the places where nodes attach, in that order."""
    low: Points
    high: Points
    """Corners of the area."""
    slowest: float
    fastest: float
    """Metres per second, uniform in between; not 0, or the population would come to rest."""
    pause: float = 0.0
    """Seconds at each point."""
    arrive: Duration = 0

    @property
    def moves(self) -> float:
        """By the fluid flow model: the mean speed, and the sides of square cells of equal area."""
        area = float(np.prod(self.high - self.low)) / len(self.access)
        going = self._leg() / (self._leg() + self.pause)
        crossings = self._speed() * going * 4 * math.sqrt(area) / (math.pi * area)
        return 1 + crossings * self.duration / SECOND

    def block(self, number: int) -> Movements:
        """What these nodes do."""
        random = generator(self.seed, number, MOBILITY)
        count = min(BLOCK, self.nodes - number * BLOCK)
        time = random.random(count) * (self.arrive / SECOND)
        here, target, speed, rest = self._start(random, count)
        cell = self.cells.nearest.query(here)[1].astype(np.int64)
        happened = [(np.arange(count), time.copy(), cell.copy())]
        time += rest
        going = np.arange(count)
        while len(going := going[time[going] < self.duration / SECOND]):
            way = target[going] - here[going]
            part, after = self.cells.crossing(cell[going], here[going], way)
            crosses = part < 1.0
            step = np.where(crosses, part, 1.0)
            time[going] += step * np.hypot(*way.T) / speed[going]
            here[going] += step[:, None] * way
            crossing = going[crosses]
            cell[crossing] = after[crosses]
            happened.append((crossing, time[crossing], cell[crossing]))
            there = going[~crosses]
            time[there] += self.pause
            target[there] = self._anywhere(random, len(there))
            speed[there] = random.uniform(self.slowest, self.fastest, len(there))
        return self._columns(happened)

    def _columns(self, happened: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]]) -> Movements:
        node, when, cell = (np.concatenate([part[field] for part in happened]) for field in range(3))
        time = np.rint(when * SECOND).astype(np.int64)
        order = np.argsort(node, kind="stable")  # what one node does is in order already
        order = order[time[order] <= self.duration]
        return Movements(node[order], time[order], self.access[cell[order]])

    def _start(self, random: np.random.Generator, count: int) -> tuple[Points, Points, Points, Points]:
        """Position, target, speed and seconds still at rest, in the steady state."""
        source, target = self._legs(random, count)
        part = random.random(count)
        here = source + part[:, None] * (target - source)
        speed = self.slowest * (self.fastest / self.slowest) ** random.random(count)
        resting = random.random(count) < self.pause / (self.pause + self._leg())
        here[resting] = self._anywhere(random, int(resting.sum()))
        target[resting] = self._anywhere(random, int(resting.sum()))
        speed[resting] = random.uniform(self.slowest, self.fastest, int(resting.sum()))
        rest = np.where(resting, random.random(count) * self.pause, 0.0)
        return here, target, speed, rest

    def _legs(self, random: np.random.Generator, count: int) -> tuple[Points, Points]:
        """Pairs of points, in proportion to their distance: longer ones are more often kept."""
        longest = math.hypot(*(self.high - self.low))
        source, target = np.empty((count, 2)), np.empty((count, 2))
        missing = np.arange(count)
        while len(missing):
            one, other = self._anywhere(random, len(missing)), self._anywhere(random, len(missing))
            kept = random.random(len(missing)) * longest < np.hypot(*(one - other).T)
            source[missing[kept]], target[missing[kept]] = one[kept], other[kept]
            missing = missing[~kept]
        return source, target

    def _anywhere(self, random: np.random.Generator, count: int) -> Points:
        return np.asarray(self.low + random.random((count, 2)) * (self.high - self.low))

    def _leg(self) -> float:
        """Mean seconds of a leg."""
        return mean_distance(*(self.high - self.low)) / self._speed()

    def _speed(self) -> float:
        """Mean metres per second while going: the harmonic mean, as slow legs last longer."""
        if self.fastest == self.slowest:
            return self.slowest
        return (self.fastest - self.slowest) / math.log(self.fastest / self.slowest)
