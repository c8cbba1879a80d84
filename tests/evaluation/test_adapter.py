"""Scenario files and the simulator, as an evaluation meets them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sojourn.evaluation import adapter
from sojourn.evaluation.comparison import compare
from sojourn.evaluation.inputs import EnginesFailed, Some
from sojourn.evaluation.replay import Replay, replay
from sojourn.evaluation.survey import worst_place
from sojourn.evaluation.ways import DATABASE, Way
from support.marks import first_is_quick

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_scenario_says_what_is_supposed() -> None:
    found = adapter.inputs(EXAMPLES / "campus", None, None, simulation=False)
    assert (found.name, found.placement, found.population, found.nodes) == ("campus", "given", 20_000, 400)
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


def both(way: Way) -> tuple[Replay, Mapping[str, float], Mapping[str, float]]:
    """40 nodes of the campus: their moves, what the count makes of them, what the engines do on them."""
    found = adapter.inputs(EXAMPLES / "campus", 40, 1, simulation=True)
    assert found.engines is not None
    some = Some(found.workload(1), 40)
    counted = replay(
        some.shard(0, 40), len(found.topology.places), start=found.warm_up, end=found.duration,
        hold=found.assumptions.settings.idle_hold,
    )  # fmt: skip
    expected = compare(counted, found.topology, found.assumptions).figures[way]
    return counted, expected, found.engines(way, some, 1)


@pytest.mark.parametrize("way", first_is_quick(DATABASE))
def test_the_engines_do_on_the_same_moves_what_the_count_says(way: Way) -> None:
    """The strongest check of both: two programs that share nothing but the moves, equal to the last message."""
    counted, expected, engines = both(way)
    moves = len(counted.handovers)
    assert engines["contacted"] == pytest.approx(len(counted.handovers.held.place) / moves, rel=1e-3)
    assert engines["in_use"] == pytest.approx(len(counted.handovers.in_use.place) / moves, rel=1e-3)
    assert engines["anchors"] == pytest.approx(counted.mean_old_anchors, rel=1e-3)
    assert engines["tunnelled"] == pytest.approx(counted.tunnelled, rel=1e-3)
    for name in ("registered_ms", "restored_ms", "messages", "redirection_octets"):
        assert engines[name] == pytest.approx(expected[name], rel=5e-3), name
    assert engines["usable_ms"] == 0


def test_the_engines_of_direct_mode_do_what_the_count_says() -> None:
    """An anchor that heard nothing since the node left it names, to the next router too, what it had served for others:
    some octets, and an exchange where such a prefix is over by then.
    """
    counted, expected, engines = both(Way.DIRECT)
    assert engines["contacted"] == pytest.approx(len(counted.handovers.held.place) / len(counted.handovers), rel=1e-3)
    assert engines["in_use"] == pytest.approx(len(counted.handovers.in_use.place) / len(counted.handovers), rel=1e-3)
    assert engines["anchors"] == pytest.approx(counted.mean_old_anchors, rel=1e-3)
    assert engines["tunnelled"] == pytest.approx(counted.tunnelled, rel=1e-3)
    assert engines["restored_ms"] == pytest.approx(expected["restored_ms"], rel=1e-3)
    for name in ("messages", "redirection_octets"):
        assert expected[name] <= engines[name] <= 1.02 * expected[name], name
    assert engines["usable_ms"] == 0
    assert "registered_ms" not in engines


def test_the_engines_of_hosts_do_what_the_count_says() -> None:
    """Mobile nodes with anchors (RFC 8818). A binding whose last session is over for less than the hold time is told of
    a move, too, which the count leaves out.
    """
    counted, expected, engines = both(Way.HOST)
    assert engines["in_use"] == pytest.approx(len(counted.handovers.in_use.place) / len(counted.handovers), rel=1e-3)
    assert engines["anchors"] == pytest.approx(counted.mean_old_anchors, rel=1e-3)
    assert engines["tunnelled"] == pytest.approx(counted.tunnelled, rel=1e-3)
    assert engines["restored_ms"] == pytest.approx(expected["restored_ms"], rel=5e-3)
    for name in ("contacted", "messages", "redirection_octets"):
        wanted = engines["in_use"] if name == "contacted" else expected[name]
        assert wanted <= engines[name] <= 1.03 * wanted, name
    assert engines["usable_ms"] == 0
    assert "registered_ms" not in engines


def test_a_simulation_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "simulate", lambda *_, **__: {"failed": [{"reason": "ValueError: odd"}]})
    found = adapter.inputs(EXAMPLES / "campus", 10, 1, simulation=True)
    assert found.engines is not None
    with pytest.raises(EnginesFailed, match="in relay mode with seed 7: ValueError: odd"):
        found.engines(Way.RELAY, found.workload(1), 7)
