"""Scenario files and the simulator, as an evaluation uses them: the one module that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.inputs import Engines, Inputs
from sojourn.evaluation.survey import worst_place
from sojourn.evaluation.ways import Way
from sojourn.sim.population import Population
from sojourn.sim.protocol import Mode
from sojourn.sim.scenario import Scenario, load
from sojourn.sim.sessions import Correspondents, Mix, SessionClass
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Workload
from sojourn.wire.units import MICROSECOND, MILLISECOND

_NODES = 1000
"""Looked at by default: enough for intervals of a few percent."""


_MODES: Mapping[Way, Mode] = {Way.RELAY: "relay", Way.PROXY: "proxy", Way.LOCATOR: "locator"}
"""The ways whose engines are simulated."""
_FIGURES = {
    "usable_ms": ("new_prefix_ms", "mean"),
    "registered_ms": ("registration_ms", "mean"),
    "told_ms": ("old_prefix_ms", "mean"),
    "told_p50_ms": ("old_prefix_ms", "p50"),
    "told_p95_ms": ("old_prefix_ms", "p95"),
    "told_p99_ms": ("old_prefix_ms", "p99"),
    "contacted": ("contacted", "mean"),
    "in_use": ("anchors_at_handover", "mean"),
    "anchors": ("anchors", "mean"),
    "tunnelled": ("tunnelled_share", "mean"),
    "messages": ("messages_per_handover", "mean"),
    "octets": ("octets_per_handover", "mean"),
}
"""Our names, and the simulator's with what is taken of its distribution."""


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
        engines=_engines(scenario, topology, central) if simulation and find_spec("sojourn.sim.run") else None,
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


def _engines(scenario: Scenario, topology: Topology, central: int) -> Engines:
    """The simulator with one process: what is simulated here takes seconds."""

    def run(way: Way, workload: Workload, seed: int) -> Mapping[str, float]:
        from sojourn.sim.run import simulate  # type: ignore[import-not-found]

        settings = replace(scenario.settings, mode=_MODES[way], database=central)
        with TemporaryDirectory(prefix="sojourn-evaluate-") as folder:
            summary: Mapping[str, Mapping[str, Any]] = simulate(
                topology, workload, settings, Path(folder),
                seed=seed, jobs=1, progress=None, warm_up=scenario.warm_up,
            )  # fmt: skip
            return {ours: float(summary[name][part]) for ours, (name, part) in _FIGURES.items() if name in summary}

    return run
