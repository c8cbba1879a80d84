"""Scenario files and the simulator, as an evaluation meets them."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize("way", [Way.PROXY, Way.RELAY, Way.LOCATOR])
def test_the_engines_of_each_mode_give_all_figures(way: Way) -> None:
    found = adapter.inputs(EXAMPLES / "campus", 60, 1, simulation=True)
    assert found.engines is not None
    figures = found.engines(way, found.workload(1), 7)
    assert figures.keys() == adapter.FIGURES
    assert 0 < figures["tunnelled"] < 1
    assert 0 < figures["told_p50_ms"] <= figures["told_p95_ms"] <= figures["told_p99_ms"]
    assert figures["contacted"] >= 1
    assert figures["messages"] > 4  # the router just left is told, and some prefixes retire
