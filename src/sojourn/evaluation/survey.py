"""From inputs to findings: count each run, see it with the eyes of every way, run the engines, vary what plots vary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sojourn.evaluation.comparison import Run, compare, estimates, mean_behaviour
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.failure import outage
from sojourn.evaluation.fidelity import LabRun
from sojourn.evaluation.inputs import Inputs, Some
from sojourn.evaluation.replay import Floats, Replay, Segments, replay
from sojourn.evaluation.study import Placement, Point, Study
from sojourn.evaluation.ways import SIMULATED, Way, distances
from sojourn.evaluation.ways.traffic import at_edge, path_delays, with_edge
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Workload

_RATIOS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Session lengths over dwell time at which old anchors are counted."""
_LONGEST = 0.25
"""Of the window: longer sessions would not be in their steady state."""
_VARIED_NODES = 300
"""Looked at where sessions are varied: curves need less than the figures of the table."""
_HORIZON = 1200.0
"""Seconds after a death."""


class Progress(Protocol):
    """Is told how far we are."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of `total` things of `step` are done."""
        ...


@dataclass(slots=True)
class _Steps:
    progress: Progress
    total: int
    done: int = 0

    def step(self, name: str) -> None:
        self.progress(name, self.done, self.total)
        self.done += 1


def survey(inputs: Inputs, progress: Progress, lab: LabRun | None = None) -> Study:
    """All of it. Raises `NoSteadyState`, with a sentence, before anything takes long."""
    steps = _Steps(progress, len(inputs.seeds) * (2 + (len(SIMULATED) if inputs.engines else 0)))
    runs: list[Run] = []
    for seed in inputs.seeds:
        steps.step(f"moves and sessions of seed {seed}")
        runs.append(compare(_counted(inputs, inputs.workload(seed), inputs.nodes), inputs.topology, inputs.assumptions))
    behaviour = mean_behaviour(runs)
    lengths = _lengths(behaviour.dwell, inputs.window)
    simulated = _simulated(inputs, steps)
    points = _points(inputs, lengths, behaviour.inter_arrival, steps)
    placements, added = _placements(inputs, [run.counted for run in runs])
    place = int(np.mean([run.dependent[Way.PROXY] for run in runs], axis=0).argmax())
    progress("done", steps.total, steps.total)
    return Study(
        name=inputs.name,
        topology=inputs.topology,
        assumptions=inputs.assumptions,
        placement=inputs.placement,
        nodes=runs[0].counted.nodes,
        population=inputs.population,
        seeds=inputs.seeds,
        runs=runs,
        behaviour=behaviour,
        estimates=estimates(runs),
        simulated=simulated,
        placements=placements,
        edge_added=added,
        edge_now=float(np.mean([_edge_now(run.counted.segments, inputs) for run in runs])),
        points=points,
        outage=outage([run.counted for run in runs], place, _HORIZON),
        lab=lab,
        repairs=inputs.repairs,
    )


def _some(inputs: Inputs, workload: Workload, nodes: int) -> Some:
    """Fewer nodes than `inputs` looks at are spread as far."""
    step = inputs.step * (inputs.nodes // nodes if inputs.step > 1 else 1)
    return Some(workload, min(nodes, workload.nodes // step), step)


def _counted(inputs: Inputs, workload: Workload, nodes: int) -> Replay:
    some = _some(inputs, workload, nodes)
    return replay(
        some.shard(0, some.nodes),
        len(inputs.topology.places),
        start=inputs.warm_up,
        end=inputs.duration,
        hold=inputs.assumptions.settings.idle_hold,
    )


def _simulated(inputs: Inputs, steps: _Steps) -> dict[Way, dict[str, Estimate]]:
    """By the engines, for every way that has some, on the same nodes."""
    if inputs.engines is None:
        return {}
    found: dict[Way, defaultdict[str, list[float]]] = {way: defaultdict(list) for way in SIMULATED}
    for seed in inputs.seeds:
        for way in SIMULATED:
            steps.step(f"engines, {way.value} mode, seed {seed}")
            for name, value in inputs.engines(way, _some(inputs, inputs.workload(seed), inputs.nodes), seed).items():
                found[way][name].append(value)
    return {way: {name: Estimate.of(values) for name, values in figures.items()} for way, figures in found.items()}


# --- old anchors against session length -------------------------------------------------------------------------------


def _lengths(dwell: float, window: float) -> list[float]:
    return [ratio * dwell for ratio in _RATIOS if ratio * dwell <= _LONGEST * window]


def _points(inputs: Inputs, lengths: Sequence[float], every: float, steps: _Steps) -> list[Point]:
    """Each length on the moves of each seed; the engines once for each length, with the first seed."""
    means: dict[float, list[float]] = defaultdict(list)
    tails: dict[float, list[float]] = defaultdict(list)
    for seed in inputs.seeds:
        steps.step(f"other sessions on the moves of seed {seed}")
        for length in lengths:
            counted = _counted(inputs, inputs.overlay(seed, length, every), min(inputs.nodes, _VARIED_NODES))
            means[length].append(counted.mean_old_anchors)
            tails[length].append(counted.old_anchors_quantile(0.99))
    simulated = dict(_varied_engines(inputs, lengths, every))
    return [
        Point(length, Estimate.of(means[length]), Estimate.of(tails[length]), simulated.get(length))
        for length in lengths
    ]


def _varied_engines(inputs: Inputs, lengths: Sequence[float], every: float) -> Iterator[tuple[float, Estimate]]:
    if inputs.engines is None:
        return
    seed = inputs.seeds[0]
    for length in lengths:
        some = _some(inputs, inputs.overlay(seed, length, every), min(inputs.nodes, _VARIED_NODES))
        yield length, Estimate.of([inputs.engines(Way.PROXY, some, seed)["anchors"]])


# --- places of the central node, correspondents at the edge -----------------------------------------------------------


def worst_place(topology: Topology) -> int:
    """The place with the largest mean delay to where nodes attach."""
    return int(topology.delay[:, topology.attachable()].mean(axis=1).argmax())


def _placements(
    inputs: Inputs, counted: Sequence[Replay]
) -> tuple[list[Placement], dict[tuple[str, Way], tuple[Floats, Floats]]]:
    """The given place, or the best, and the worst."""
    places = {"best": inputs.topology.best_place(), "worst": worst_place(inputs.topology)}
    if inputs.placement == "given":
        places["given"] = inputs.assumptions.central
    found, added = [], {}
    for rule, place in places.items():
        assumptions = replace(inputs.assumptions, central=place)
        runs = [compare(one, inputs.topology, assumptions) for one in counted]
        found.append(Placement(rule, place, estimates(runs)))
        for way in (Way.CENTRAL, Way.PROXY):
            added[rule, way] = _added_at_the_edge(inputs.topology, place, way, counted)
    return found, added


def _added_at_the_edge(topology: Topology, place: int, way: Way, counted: Sequence[Replay]) -> tuple[Floats, Floats]:
    """ms added with none and with all correspondents at the edge, for each run; between them it is a line."""
    distance = distances(topology)

    def added(parts: Segments) -> float:
        delays = path_delays(parts, distance, place)
        return float(np.average(delays[way] - delays[Way.RELOCATION], weights=parts.seconds))

    sites = topology.sites()
    far, near = (np.array([added(with_edge(one.segments, share, sites)) for one in counted]) for share in (0.0, 1.0))
    return far, near


def _edge_now(parts: Segments, inputs: Inputs) -> float:
    if inputs.assumptions.edge is not None:
        return inputs.assumptions.edge
    return float(np.average(at_edge(parts, inputs.topology.sites()), weights=parts.seconds))
