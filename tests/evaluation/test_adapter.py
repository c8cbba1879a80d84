"""Scenario files and the simulator, as an evaluation meets them."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sojourn.evaluation import adapter
from sojourn.evaluation.survey import worst_place
from sojourn.evaluation.ways import Way

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_scenario_says_what_is_supposed() -> None:
    found = adapter.inputs(EXAMPLES / "campus", None, None, simulation=False)
    assert (found.name, found.placement, found.population, found.nodes) == ("campus", "given", 20_000, 1000)
    assert found.topology.places[found.assumptions.central] == "core1"
    assert found.assumptions.session_rate == 0.5
    assert found.assumptions.message_cost == 25
    assert list(found.seeds) == [1, 2, 3, 4, 5]
    assert found.window == 3000
    assert found.step == 1
    assert found.engines is None


def test_options_go_before_the_scenario_and_seeds_change_moves_and_sessions() -> None:
    found = adapter.inputs(EXAMPLES / "campus", 50, 2, simulation=False)
    assert (found.nodes, list(found.seeds)) == (50, [1, 2])
    one, same, other = (found.workload(seed).shard(0, 50) for seed in (1, 1, 2))
    assert np.array_equal(one.time, same.time)
    assert not np.array_equal(one.time[:100], other.time[:100])


def test_other_sessions_are_laid_over_the_same_moves() -> None:
    found = adapter.inputs(EXAMPLES / "campus", 50, 1, simulation=False)
    own, overlaid = found.workload(1).shard(0, 50), found.overlay(1, 30.0, 90.0).shard(0, 50)
    assert np.array_equal(own.time[own.kind == 0], overlaid.time[overlaid.kind == 0])
    begins = np.count_nonzero(overlaid.kind == 2)
    assert begins == pytest.approx(50 * 3600 / 90, rel=0.1)


def test_of_a_trace_every_so_many_nodes_are_looked_at_and_seeds_change_sessions_only() -> None:
    found = adapter.inputs(EXAMPLES / "bologna", 100, 2, simulation=False)
    assert found.nodes == 100
    assert found.step == found.population // 100
    one, other = (found.workload(seed).shard(0, 200) for seed in (1, 2))
    assert np.array_equal(one.time[one.kind == 0], other.time[other.kind == 0])
    assert not np.array_equal(one.time[one.kind == 2], other.time[other.kind == 2])


@pytest.mark.parametrize(("rule", "place"), [("best", None), ("worst", "internet")])
def test_the_place_of_the_central_node_follows_its_rule(tmp_path: Path, rule: str, place: str | None) -> None:
    text = (EXAMPLES / "campus/scenario.toml").read_text().replace('database = "core1"\n', "")
    (tmp_path / "scenario.toml").write_text(text.replace("[evaluate]", f'[evaluate]\nplacement = "{rule}"'))
    found = adapter.inputs(tmp_path, 10, 1, simulation=False)
    expected = worst_place(found.topology) if rule == "worst" else found.topology.best_place()
    assert found.assumptions.central == expected
    assert found.placement == rule
    if place:
        assert found.topology.places[expected] == place


def test_the_simulator_is_asked_for_each_mode_and_its_figures_are_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def simulate(topology: object, workload: object, settings: Any, output: Path, **more: Any) -> dict[str, Any]:
        assert output.is_dir()
        asked.append({"mode": settings.mode, "database": settings.database, **more})
        return {"old_prefix_ms": {"mean": 3.0, "p50": 2.0, "p95": 5.0, "p99": 7.0}, "contacted": {"mean": 1.5}}

    module = ModuleType("sojourn.sim.run")
    module.__spec__ = ModuleSpec("sojourn.sim.run", None)
    module.simulate = simulate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sojourn.sim.run", module)
    found = adapter.inputs(EXAMPLES / "campus", 10, 1, simulation=True)
    assert found.engines is not None
    figures = found.engines(Way.RELAY, found.workload(1), 7)
    assert figures == {"told_ms": 3, "told_p50_ms": 2, "told_p95_ms": 5, "told_p99_ms": 7, "contacted": 1.5}
    assert asked == [{
        "mode": "relay", "database": found.assumptions.central, "seed": 7, "jobs": 1, "progress": None,
        "warm_up": found.warm_up,
    }]  # fmt: skip
