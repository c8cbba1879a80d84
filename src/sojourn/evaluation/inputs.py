"""What an evaluation starts from: as little of scenario files and simulator as it needs. `adapter` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.ways import Way
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Stream, Workload
from sojourn.wire.units import SECOND, Duration


class EnginesFailed(Exception):
    """The simulator gave up; the sentence says where."""


Engines = Callable[[Way, Workload, int], Mapping[str, float]]
"""Runs the engines of a way over a workload, from a seed: figures named as in `comparison.compare`, and `contacted` and
`in_use` (routers told, and prefixes in use, per handover). Raises `EnginesFailed`."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Of one evaluation."""

    name: str
    topology: Topology
    assumptions: Assumptions
    placement: str
    """How the place of the central node was found: ``best``, ``worst`` or ``given``."""
    duration: Duration
    warm_up: Duration
    population: int
    nodes: int
    """So many of them are looked at."""
    step: int
    """Every so many: see `Some`."""
    seeds: Sequence[int]
    workload: Callable[[int], Workload]
    """The population, by seed."""
    overlay: Callable[[int, float, float], Workload]
    """The same moves by seed, with exponential sessions of a mean length and a mean time between two (seconds)."""
    engines: Engines | None = None
    """None: no simulation."""
    repairs: Sequence[str] = ()

    @property
    def window(self) -> float:
        """Seconds that are counted."""
        return (self.duration - self.warm_up) / SECOND


@dataclass(frozen=True, slots=True)
class Some:
    """Some nodes of a workload, as a workload: the first, or those whose numbers are multiples of `step`."""

    whole: Workload
    nodes: int
    step: int = 1
    """More than 1 where neighbouring numbers are alike, as in a trace that numbers nodes as they come."""

    @property
    def duration(self) -> Duration:
        """See `Workload`."""
        return self.whole.duration

    def shard(self, first: int, last: int) -> Stream:
        """See `Workload`."""
        last = min(last, self.nodes)
        stream = self.whole.shard(first * self.step, min(last * self.step, self.whole.nodes))
        if self.step == 1:
            return stream
        chosen = np.flatnonzero(stream.node % self.step == 0)
        return Stream(
            stream.time[chosen],
            stream.node[chosen] // np.uint32(self.step),
            stream.kind[chosen],
            stream.argument[chosen],
            stream.peer[chosen],
        )
