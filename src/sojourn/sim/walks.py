"""Mobility as a renewal process: a node stays for a random time, then goes to a place that a chain chooses.

Dwell times are Gamma with a given mean (shape 1: exponential). The first is what is left of one in its steady state,
and the first place is drawn from the chain's stationary distribution, so that a population needs no time to settle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree

from sojourn.sim.movements import AWAY, MOBILITY, Movements, generator, nothing_new
from sojourn.sim.plane import distance
from sojourn.sim.topology import Topology
from sojourn.sim.workload import BLOCK
from sojourn.wire.units import SECOND, Duration


def dwell_of(speed: float, radius: float) -> float:
    """Seconds in a round cell of `radius` metres at `speed` m/s, by the fluid flow model: pi R / 2v."""
    return math.pi * radius / (2 * speed)


class Chain(Protocol):
    """Where a node goes next; places are numbered as in the list of those where nodes attach."""

    def first(self, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Places of the stationary distribution, by numbers that are uniform in [0, 1)."""
        ...

    def walk(self, first: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """The places after `first`, a row for each node, by as many rows of uniform numbers."""
        ...


class Anywhere:
    """Every other place is equally likely."""

    def __init__(self, places: int) -> None:
        self._places = places

    def first(self, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """All places are equal."""
        return np.asarray((draws * self._places).astype(np.int64))

    def walk(self, first: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Steps of 1 to n - 1 around a circle."""
        steps = 1 + (draws * (self._places - 1)).astype(np.int64)
        return np.asarray((first[:, None] + np.cumsum(steps, axis=1)) % self._places)


class Weighted:
    """Every place has a few others to which a node may go, with weights."""

    def __init__(self, others: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """A row for each place; rows are as long as the longest, filled up with weight 0."""
        share = np.cumsum(weights, axis=1)
        self._others = others
        self._width = others.shape[1]
        # Row r is the interval [r, r + 1), so that one search in one sorted array finds the step of many nodes.
        self._edges = (share / share[:, -1:] + np.arange(len(others))[:, None]).ravel()
        self._last = self._width - 1 - (weights[:, ::-1] > 0).argmax(axis=1)
        self._stationary = np.cumsum(_stationary(others, weights / share[:, -1:]))

    def first(self, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Places as often as they are visited in the long run."""
        found = np.searchsorted(self._stationary, draws * self._stationary[-1], side="right")
        return np.asarray(np.minimum(found, len(self._others) - 1))

    def walk(self, first: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Step by step, all nodes at once."""
        places = np.empty(draws.shape, dtype=np.int64)
        here = first
        for step in range(draws.shape[1]):
            found = np.searchsorted(self._edges, here + draws[:, step], side="right") - here * self._width
            # here + draw may have been rounded up to the next row.
            here = self._others[here, np.minimum(found, self._last[here])]
            places[:, step] = here
        return places


def _stationary(others: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each place is visited; the chain waits in half of its steps, or it could swing for ever."""
    visits = np.full(len(others), 1 / len(others))
    for _ in range(2_000):
        after = 0.5 * visits + 0.5 * np.bincount(
            others.ravel(), (visits[:, None] * share).ravel(), minlength=len(others)
        )
        if np.abs(after - visits).max() < 1e-12:
            break
        visits = after
    return visits


def neighbours(topology: Topology, nearest: int, inside: float) -> Weighted:
    """To one of the places beside it: with probability `inside` at the same site, else at a site beside this one."""
    access = topology.attachable()
    sites, site = np.unique(topology.sites()[access], return_inverse=True)
    beside = _sites_beside(topology.delay[np.ix_(access, access)], site.ravel(), len(sites), nearest)
    members = [np.flatnonzero(site == number) for number in range(len(sites))]
    rows: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for here in range(len(access)):
        own = members[site[here]][members[site[here]] != here]
        outside = [members[number] for number in np.flatnonzero(beside[site[here]])]
        share = inside if len(own) and len(outside) else float(len(own) > 0)
        weights = [np.full(len(own), share / max(1, len(own)))]
        weights += [np.full(len(there), (1 - share) / len(outside) / len(there)) for there in outside]
        rows.append((np.concatenate([own, *outside]), np.concatenate(weights)))
    width = max(len(row) for row, _ in rows)
    others, table = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width))
    for here, (row, weight) in enumerate(rows):
        others[here, : len(row)], table[here, : len(row)] = row, weight
    return Weighted(others, table)


def _sites_beside(delay: NDArray[np.int64], site: NDArray[np.int64], sites: int, nearest: int) -> NDArray[np.bool_]:
    """Which sites are beside which: the `nearest` by delay, and those that are as near as the last of them.

    In both directions, so that a grid has no bias and no corner of a network can be entered but not left; and with the
    links of a minimum spanning tree, so that every site can be reached from every other.
    """
    far = np.iinfo(np.int64).max
    between = np.full((sites, sites), far, dtype=np.int64)
    np.minimum.at(between, (site[:, None], site[None, :]), delay)
    np.fill_diagonal(between, far)
    limit = np.sort(between, axis=1)[:, min(nearest, sites) - 1]
    beside = (between <= limit[:, None]) & (between < far)
    apart = between.astype(np.float64) + 1.0  # a delay of 0 would be no link for csgraph
    np.fill_diagonal(apart, 0.0)
    beside |= minimum_spanning_tree(apart).toarray() > 0
    return np.asarray(beside | beside.T)


def gravity(topology: Topology, masses: NDArray[np.float64], exponent: float) -> Weighted:
    """To any place, the more so the heavier and the nearer it is: m / d^exponent.

    The distance is that of the positions, or the delay where there are none; nothing is nearer than the nearest pair.
    """
    access = topology.attachable()
    if topology.positions is None:
        apart = topology.delay[np.ix_(access, access)].astype(np.float64)
    else:
        where = topology.positions[access]
        apart = np.array([distance(where, topology.geographic, place) for place in range(len(access))])
    closest = apart[apart > 0].min(initial=np.inf)
    weights = masses[None, :] / np.maximum(apart, closest if np.isfinite(closest) else 1.0) ** exponent
    np.fill_diagonal(weights, 0.0)
    return Weighted(np.broadcast_to(np.arange(len(access)), apart.shape), weights)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Nodes that stay and go."""

    nodes: int
    duration: Duration
    seed: int
    access: NDArray[np.int64]
    chain: Chain | None
    """None: there is only one place."""
    dwell: float
    """Mean seconds at one place."""
    shape: float = 1.0
    """Of the Gamma distribution."""
    arrive: Duration = 0
    """Nodes come one after the other within this time."""
    gap_share: float = 0.0
    """So many moves lead out of the domain first."""
    gap: float = 0.0
    """Mean seconds there, exponential."""

    @property
    def moves(self) -> float:
        """Attachments and departures of one node."""
        return 1 + self.duration / SECOND / (self.dwell + self.gap_share * self.gap) * (1 + self.gap_share)

    def block(self, number: int) -> Movements:
        """What these nodes do."""
        random = generator(self.seed, number, MOBILITY)
        count = min(BLOCK, self.nodes - number * BLOCK)
        arrival = random.random(count) * (self.arrive / SECOND)
        stays, gaps = self._stays(random, self.duration / SECOND - arrival)
        came = arrival[:, None] + np.cumsum(stays + gaps, axis=1)
        places = self._places(random, count, stays.shape[1])
        time = np.rint(np.hstack((arrival[:, None], came)) * SECOND).astype(np.int64)
        if not self.gap_share:
            return self._columns(time, places)
        left = np.rint((came - gaps) * SECOND).astype(np.int64)
        left[gaps == 0] = self.duration + 1  # went straight on
        return self._columns(
            np.concatenate((time, left), axis=1), np.concatenate((places, np.full(left.shape, AWAY)), axis=1)
        )

    def _stays(self, random: np.random.Generator, until: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Seconds at each place and then outside, a row for each node, for as long as any node needs."""
        mean = self.dwell + self.gap_share * self.gap
        expected = float(until.max(initial=0.0)) / mean
        stays = [self._rest(random, len(until))[:, None]]
        gaps = [self._gaps(random, (len(until), 1))]
        passed = stays[0][:, 0] + gaps[0][:, 0]
        more = int(expected + 4 * math.sqrt(expected / min(self.shape, 1.0)) + 4)
        while (passed < until).any():
            stays.append(random.standard_gamma(self.shape, (len(until), more)) * (self.dwell / self.shape))
            gaps.append(self._gaps(random, (len(until), more)))
            passed += stays[-1].sum(axis=1) + gaps[-1].sum(axis=1)
            more = max(4, more // 4)
        return np.hstack(stays), np.hstack(gaps)

    def _rest(self, random: np.random.Generator, count: int) -> NDArray[np.float64]:
        """What is left of a stay that one meets at any time: a uniform part of one that is long as often as it is."""
        long = random.standard_gamma(self.shape + 1, count) * (self.dwell / self.shape)
        return np.asarray(long * random.random(count))

    def _gaps(self, random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
        if not self.gap_share:
            return np.zeros(size)
        return random.standard_exponential(size) * self.gap * (random.random(size) < self.gap_share)

    def _places(self, random: np.random.Generator, count: int, moves: int) -> NDArray[np.int64]:
        if self.chain is None:
            return np.zeros((count, moves + 1), dtype=np.int64)
        first = self.chain.first(random.random(count))
        return np.hstack((first[:, None], self.chain.walk(first, random.random((count, moves)))))

    def _columns(self, time: NDArray[np.int64], place: NDArray[np.int64]) -> Movements:
        """What happens in time, sorted."""
        inside = time <= self.duration
        node = np.nonzero(inside)[0]
        time, place = time[inside], place[inside]
        if self.gap_share:
            order = np.lexsort((time, node))
            node, time, place = node[order], time[order], place[order]
        if self.chain is None:
            new = ~nothing_new(node, place)
            node, time, place = node[new], time[new], place[new]
        return Movements(node, time, np.where(place == AWAY, AWAY, self.access[place]))
