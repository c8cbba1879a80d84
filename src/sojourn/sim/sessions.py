"""Sessions: they arrive as a Poisson process, in several classes, and last as long as a class says.

All classes together are one Poisson process whose arrivals are of a class with the probability of its share, so that a
mix costs no more than one class. Means are means of the distribution that is drawn from, whatever its tail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.movements import AWAY
from sojourn.sim.topology import Topology
from sojourn.wire.units import SECOND, Duration

Law = Literal["exponential", "pareto", "lognormal", "fixed"]
LONGEST = 10**17
"""Nanoseconds, 3 years: no session lasts longer, whatever the tail; that is beyond what is simulated."""


@dataclass(frozen=True, slots=True)
class Correspondents:
    """Where the other ends of sessions are, as shares that add up to 1."""

    local: float = 0.0
    """At the access router where the node is when the session begins."""
    edge: float = 0.0
    """At the site of that router: a cache in the same building or city."""
    uniform: float = 0.0
    """At any site where nodes attach."""
    fixed: tuple[tuple[int, float], ...] = ()
    """At one place each."""


@dataclass(frozen=True, slots=True)
class SessionClass:
    """Sessions of one kind."""

    name: str
    every: float
    """Mean seconds between two that a node begins."""
    lasting: float
    """Mean seconds."""
    law: Law
    tail: float
    """Pareto: its exponent, above 1. Lognormal: the standard deviation of the logarithm."""
    correspondents: Correspondents

    def durations(self, random: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Seconds."""
        match self.law:
            case "exponential":
                return self.lasting * random.standard_exponential(count)
            case "pareto":
                return self.lasting * (self.tail - 1) / self.tail * (1 + random.pareto(self.tail, count))
            case "lognormal":
                return self.lasting * np.exp(self.tail * random.standard_normal(count) - self.tail**2 / 2)
            case "fixed":
                return np.full(count, self.lasting)


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Columns of equal length, sorted by node and then by time."""

    node: NDArray[np.int64]
    """From 0 in the block."""
    time: NDArray[np.int64]
    lasting: NDArray[np.int64]
    peer: NDArray[np.int64]
    """A place, or one of the codes of `Mix`."""


class Mix:
    """Several classes of sessions."""

    LOCAL, EDGE, UNIFORM = -10, -11, -12
    """Correspondents whose place depends on the node's, or is drawn later."""

    def __init__(self, classes: Sequence[SessionClass]) -> None:
        self.classes = tuple(classes)
        self.rate = math.fsum(1 / each.every for each in classes)
        """Arrivals of one node per second."""
        self._shares = np.cumsum([1 / each.every / self.rate for each in classes]) if classes else np.ones(1)

    def arrivals(self, random: np.random.Generator, count: int, duration: Duration) -> Arrivals:
        """Of `count` nodes from 0 to `duration`."""
        often = random.poisson(self.rate * duration / SECOND, count) if self.classes else np.zeros(count, np.int64)
        node = np.repeat(np.arange(count), often)
        # One sort of node and time together: a span for each node.
        span = duration + 1
        node, time = np.divmod(np.sort(node * span + random.integers(0, span, len(node))), span)
        kind = np.minimum(np.searchsorted(self._shares, random.random(len(node)), side="right"), len(self._shares) - 1)
        lasting, peer = np.zeros(len(node)), np.zeros(len(node), dtype=np.int64)
        for number, each in enumerate(self.classes):
            of_this = np.flatnonzero(kind == number) if len(self.classes) > 1 else np.arange(len(node))
            lasting[of_this] = each.durations(random, len(of_this))
            peer[of_this] = self.peers(random, each.correspondents, len(of_this))
        return Arrivals(node, time, nanoseconds(lasting), peer)

    @staticmethod
    def peers(random: np.random.Generator, where: Correspondents, count: int) -> NDArray[np.int64]:
        """Places and codes in the proportion of their shares."""
        codes = [Mix.LOCAL, Mix.EDGE, Mix.UNIFORM, *(place for place, _ in where.fixed)]
        shares = np.cumsum([where.local, where.edge, where.uniform, *(share for _, share in where.fixed)])
        chosen = np.searchsorted(shares, random.random(count) * shares[-1], side="right")
        return np.asarray(np.array(codes, dtype=np.int64)[chosen])


def nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """At least one, at most `LONGEST`."""
    return np.asarray(np.rint(np.clip(seconds * SECOND, 1.0, float(LONGEST))).astype(np.int64))


class Peers:
    """Finds the places of correspondents."""

    def __init__(self, topology: Topology) -> None:
        self._site = topology.sites()
        self._sites = np.unique(self._site[topology.attachable()])

    def placed(
        self, random: np.random.Generator, peer: NDArray[np.int64], place: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The places of `peer`, of nodes that are at `place`."""
        anywhere = self._sites[(random.random(len(peer)) * len(self._sites)).astype(np.int64)]
        known = place != AWAY
        beside = np.where(known, self._site[np.where(known, place, 0)], 0)
        codes = [peer == Mix.LOCAL, peer == Mix.EDGE, peer == Mix.UNIFORM]
        return np.select(codes, [place, beside, anywhere], peer)
