"""Scenario files and the simulator, as an evaluation uses them: the one module that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.inputs import Engines, EnginesFailed, Inputs
from sojourn.evaluation.survey import worst_place
from sojourn.evaluation.ways import Way
from sojourn.sim.population import Population
from sojourn.sim.protocol import Mode
from sojourn.sim.run import simulate
from sojourn.sim.scenario import Scenario, load
from sojourn.sim.sessions import Correspondents, Mix, SessionClass
from sojourn.sim.summary import Summary
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Workload
from sojourn.wire.units import MICROSECOND, MILLISECOND

_NODES = 400
"""Looked at by default: intervals of a few percent, in less than a minute with the engines."""


_MODES: Mapping[Way, Mode] = {
    Way.CENTRAL: "pmipv6",
    Way.RELAY: "relay",
    Way.PROXY: "proxy",
    Way.LOCATOR: "locator",
    Way.DIRECT: "direct",
    Way.HOST: "mipv6",
}
"""The ways whose engines are simulated."""


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
        engines=_engines(scenario, topology, central) if simulation else None,
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
        settings = replace(
            scenario.settings,
            mode=_MODES[way],
            database=central,
            anchors=True,
            route_optimisation=False,
            wireless=scenario.evaluate.wireless,
        )
        found = simulate(topology, workload, settings, seed=seed, jobs=1, wire="size", warm_up=scenario.warm_up)
        if found["failed"]:
            raise EnginesFailed(f"the simulation in {way.value} mode with seed {seed}: {found['failed'][0]['reason']}")
        return measured(found)

    return run


def measured(summary: Summary) -> dict[str, float]:
    """Figures of a simulation by our names; those that it does not have are left out."""
    handovers = max(summary["handovers"], 1)
    later = summary["signalling"]["retirement"]
    if summary["mode"] == "locator":
        later += summary["signalling"]["upkeep"]  # nearly all of it is the check after 3 s (`signalling.LOCATOR_CHECK`)
    redirection = summary["messages_per_handover"]["mean"]
    found = {
        "usable_ms": summary["new_prefix_ms"]["mean"],
        "registered_ms": summary["registration_ms"]["mean"],
        "restored_ms": summary["old_prefix_ms"]["mean"],
        **{f"restored_{part}_ms": summary["old_prefix_ms"][part] for part in ("p50", "p95", "p99")},
        "contacted": summary["contacted"]["mean"],
        "in_use": summary["anchors_at_handover"]["mean"],
        "anchors": summary["anchors"],
        "tunnelled": summary["sessions"]["tunnelled_share"],
        "messages": None if redirection is None else redirection + later / handovers,
        "redirection_octets": summary["octets_per_handover"]["mean"],
    }
    if summary["mode"] == "direct":
        del found["registered_ms"]  # nowhere
    return {name: value for name, value in found.items() if value is not None}
