"""All that an evaluation found out, before it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.comparison import Run
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.failure import Outage
from sojourn.evaluation.fidelity import LabRun
from sojourn.evaluation.models.mobility import Behaviour
from sojourn.evaluation.replay import Floats
from sojourn.evaluation.ways import Way
from sojourn.sim.topology import Topology


@dataclass(frozen=True, slots=True)
class Point:
    """Old anchors of a node when sessions last `session` seconds, on the same moves."""

    session: float
    mean: Estimate
    p99: Estimate
    simulated: Estimate | None = None
    """By the engines."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What the place of the central node makes of its ways."""

    rule: str
    """``best``, ``worst`` or ``given``."""
    place: int
    figures: Mapping[Way, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Of one scenario."""

    name: str
    topology: Topology
    assumptions: Assumptions
    placement: str
    """How the place of the central node was found: ``best``, ``worst`` or ``given``."""
    nodes: int
    """That were simulated and counted."""
    population: int
    """That the scenario has; figures that grow with it are scaled up to it."""
    seeds: Sequence[int]
    runs: Sequence[Run]
    behaviour: Behaviour
    """Observed, the mean of all runs."""
    estimates: Mapping[Way, Mapping[str, Estimate]]
    outage: Outage
    simulated: Mapping[Way, Mapping[str, Estimate]] = field(default_factory=dict)
    """By the engines, for the ways that have some; empty without simulation."""
    placements: Sequence[Placement] = ()
    edge_added: Mapping[tuple[str, Way], tuple[Floats, Floats]] = field(default_factory=dict)
    """By rule of placement and way: ms added in each run, with no and with all correspondents at the edge."""
    edge_now: float = 0.0
    """Share of session time whose correspondent is where the session began."""
    points: Sequence[Point] = ()
    lab: LabRun | None = None
    repairs: Sequence[str] = ()
    """What had to be mended in the input."""

    @property
    def window(self) -> float:
        """Seconds of each run that are counted."""
        return self.runs[0].counted.window

    @property
    def scale(self) -> float:
        """From the nodes that were counted to the population."""
        return self.population / self.nodes

    def mean(self, way: Way, name: str) -> float:
        """The mean of a figure."""
        return self.estimates[way][name].mean

    def carried(self, way: Way) -> Floats:
        """Mbit/s through each place, of the whole population, the mean of all runs."""
        return np.asarray(np.mean([run.carried[way] for run in self.runs], axis=0) * self.scale)

    def place(self, number: int) -> str:
        """The name of a place."""
        return self.topology.places[number]
