"""What an evaluation starts from: as little of scenario files and simulator as it needs. `adapter` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.ways import Way
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Stream, Workload
from sojourn.wire.units import SECOND, Duration

Engines = Callable[[Way, Workload, int], Mapping[str, float]]
"""Runs the engines of a way over a workload, from a seed, and answers with figures: names as in `comparison.compare`,
and `contacted` and `in_use` (routers told, and prefixes in use, per handover), ``restored_p50_ms`` and
``_p99_ms``."""


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
    """The first nodes of a workload, as a workload."""

    whole: Workload
    nodes: int

    @property
    def duration(self) -> Duration:
        """See `Workload`."""
        return self.whole.duration

    def shard(self, first: int, last: int) -> Stream:
        """See `Workload`."""
        return self.whole.shard(first, min(last, self.nodes))
