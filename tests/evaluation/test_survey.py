"""From inputs to a study: runs, engines, places, other sessions, deaths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sojourn.evaluation.checks import checks
from sojourn.evaluation.failure import outage
from sojourn.evaluation.inputs import Some
from sojourn.evaluation.replay import replay
from sojourn.evaluation.survey import survey, worst_place
from sojourn.evaluation.ways import SIMULATED, Way
from sojourn.wire.units import SECOND
from support.evaluations import PLACES, engines, inputs, study
from support.workloads import Exponential, line, stream


def test_progress_counts_up_to_its_total() -> None:
    told: list[tuple[str, int, int]] = []
    survey(inputs(engines=engines, seeds=(1,)), lambda step, done, total: told.append((step, done, total)))
    assert [done for _, done, _ in told] == list(range(len(told)))
    assert told[-1][1] == told[-1][2]
    assert {total for _, _, total in told} == {told[-1][2]}
    assert "engines, proxy mode, seed 1" in [step for step, _, _ in told]


@pytest.mark.slow
def test_engines_run_for_every_mode_and_seed_and_the_checks_have_them() -> None:
    one = study()
    assert set(one.simulated) == set(SIMULATED)
    assert one.simulated[Way.PROXY]["messages"].mean == pytest.approx(8.52)
    found = {check.name: check for check in checks(one)}
    assert found["messages per handover"].engines == one.simulated[Way.PROXY]["messages"]
    assert found["traffic tunnelled"].counted.mean == pytest.approx(one.mean(Way.PROXY, "tunnelled"))
    assert all(check.engines is None for check in checks(study(simulated=False)))


def test_the_central_node_is_seen_at_three_places() -> None:
    one = study()
    places = {placement.rule: placement.place for placement in one.placements}
    assert places == {"best": 3, "worst": 0, "given": 3}
    assert worst_place(line(PLACES)) == 0
    worst = next(placement for placement in one.placements if placement.rule == "worst")
    assert worst.figures[Way.CENTRAL]["added_ms"].mean > one.mean(Way.CENTRAL, "added_ms")
    far, near = one.edge_added["worst", Way.CENTRAL]
    assert (near > far).all()


def test_longer_sessions_have_more_old_anchors() -> None:
    points = study().points
    assert [point.session / study().behaviour.dwell for point in points] == pytest.approx([0.1, 0.3, 1.0, 3.0])
    means = [point.mean.mean for point in points]
    assert means == sorted(means)
    assert all(point.simulated for point in points)


def test_what_dies_breaks_what_depends_on_it() -> None:
    """Two nodes: one stays at place 1 with its session, the other began one at 0 and moves on to 2 at 500 s."""
    events = stream(
        (0, 0, "attach", 1), (0, 1, "attach", 0), (0, 0, "begin", 1, 3), (0, 1, "begin", 1, 3), (500, 1, "attach", 2)
    )
    run = replay(events, 4, start=0, end=1000 * SECOND, hold=0)
    found = outage([run], 0, horizon=100)
    assert found.seconds[-1] == 100
    assert [one.mean for one in found.router] == pytest.approx([0.5] * len(found.seconds))  # one of the two, for ever
    database = [one.mean for one in found.database]
    assert database[0] == 0
    # The node that moves after the death loses its session: in the last of twelve deaths up to 899 s it moved before.
    assert max(database) <= 0.5
    elsewhere = outage([run], 3, horizon=100)
    assert not any(one.mean for one in elsewhere.router)


def test_some_nodes_of_a_workload_are_the_first_or_spread_over_it() -> None:
    whole = Exponential(30, 600 * SECOND, 4, 60, 60, 60)
    first, spread = Some(whole, 10), Some(whole, 10, 3)
    assert first.duration == whole.duration
    assert set(first.shard(0, 30).node) == set(range(10))
    assert set(spread.shard(0, 10).node) == set(range(10))
    third = whole.shard(0, 30)
    of_nine = spread.shard(0, 10)
    assert np.array_equal(of_nine.time[of_nine.node == 3], third.time[third.node == 9])
    assert np.array_equal(spread.shard(5, 8).time, of_nine.time[(of_nine.node >= 5) & (of_nine.node < 8)])


def test_a_study_of_one_run_has_no_intervals() -> None:
    one = survey(inputs(seeds=(1,)), lambda step, done, total: None)
    assert np.isnan(one.estimates[Way.PROXY]["messages"].half)


def test_without_a_warm_up_the_same_population_is_counted_for_longer() -> None:
    one = survey(replace(inputs(seeds=(1,)), warm_up=0), lambda step, done, total: None)
    assert one.window == 1800
