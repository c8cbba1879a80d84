"""Scenario files and the simulator, as an evaluation uses them: the one module that knows both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.inputs import Inputs
from sojourn.evaluation.survey import worst_place
from sojourn.sim.population import Population
from sojourn.sim.scenario import Scenario, load
from sojourn.sim.sessions import Correspondents, Mix, SessionClass
from sojourn.sim.topology import Topology
from sojourn.wire.units import MICROSECOND, MILLISECOND

_NODES = 1000
"""Looked at by default: enough for intervals of a few percent."""


def inputs(path: Path, nodes: int | None, seeds: int | None, simulation: bool) -> Inputs:
    """Of the scenario in a file or folder; `nodes` and `seeds` go before what it says. Raises `ConfigurationError`."""
    scenario = load(path)
    topology, table = scenario.topology(), scenario.evaluate
    central, placement = _central(scenario, topology)
    first = scenario.workload(topology)
    nodes = min(nodes or table.nodes or _NODES, first.nodes)
    return Inputs(
        name=scenario.name,
        topology=topology,
        assumptions=Assumptions(
            settings=scenario.settings,
            central=central,
            edge=table.edge,
            wireless=table.wireless / MILLISECOND,
            session_rate=table.session_rate,
            message_cost=table.message_cost / MICROSECOND,
            worthwhile=table.worthwhile / MILLISECOND,
        ),
        placement=placement,
        duration=scenario.duration,
        warm_up=scenario.warm_up,
        population=table.population or first.nodes,
        nodes=nodes,
        step=first.nodes // nodes if scenario.file.mobility.trace else 1,
        seeds=range(scenario.seed, scenario.seed + (seeds or table.seeds)),
        workload=lambda seed: first if seed == scenario.seed else _reseeded(scenario, topology, seed),
        overlay=lambda seed, session, every: _overlaid(_reseeded(scenario, topology, seed), session, every),
        repairs=(*topology.repairs, *first.repairs),
    )


def _central(scenario: Scenario, topology: Topology) -> tuple[int, str]:
    """The place of the central node, and how it was found."""
    given = scenario.settings.database
    if given is not None:
        return given, "given"
    rule = scenario.evaluate.placement
    return topology.best_place() if rule == "best" else worst_place(topology), rule


def _reseeded(scenario: Scenario, topology: Topology, seed: int) -> Population:
    """The same population by another seed; a trace stays what it is, sessions are drawn anew."""
    return replace(scenario, file=scenario.file.model_copy(update={"seed": seed})).workload(topology)


def _overlaid(population: Population, session: float, every: float) -> Population:
    one = SessionClass("overlay", every, session, "exponential", 0.0, Correspondents(uniform=1.0))
    return replace(population, mix=Mix([one]), flows=None)
