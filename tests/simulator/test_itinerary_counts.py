"""`sojourn.sim.itinerary` and `figures`: columns say what a walk through the same events, one by one, says.

The walk is `sojourn.evaluation.replay`, which was written apart from this and knows nothing of columns.
"""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.evaluation.replay import replay
from sojourn.sim.figures import Reckoning
from sojourn.sim.itinerary import NOWHERE, understand
from sojourn.sim.protocol import ProtocolSettings
from sojourn.sim.run import Job, one_shard, simulate
from sojourn.sim.scenario import load
from sojourn.wire.units import MINUTE, SECOND, Duration
from support.marks import first_is_quick
from support.simulations import Event, Script, star
from support.workloads import Exponential, line, stream

HOLD = 5 * SECOND
END = 40 * MINUTE
WARM_UP = 5 * MINUTE
PLACES = 6


def population(seed: int) -> Exponential:
    return Exponential(60, END, PLACES, dwell=70.0, session=90.0, inter_arrival=60.0, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_counted_is_what_a_walk_through_the_events_counts(seed: int) -> None:
    topology, workload = line(PLACES), population(seed)
    counted = replay(workload.shard(0, 60), PLACES, start=WARM_UP, end=END, hold=HOLD)
    itinerary = understand(workload.shard(0, 60), END, HOLD)
    reckoning = Reckoning(itinerary, topology, warm_up=WARM_UP, end=END)
    reckoning.nodes(workload.shard(0, 60), 60)
    reckoning.sessions()
    reckoning.anchors()
    figures = reckoning.figures
    assert figures.handovers == len(counted.handovers)
    assert figures.attached / SECOND == pytest.approx(counted.node_seconds)
    assert figures.anchors_at_handover.total == len(counted.handovers.in_use.place)
    assert figures.tunnelled_time / figures.session_time == pytest.approx(counted.tunnelled)
    assert figures.old_anchors / figures.attached == pytest.approx(counted.mean_old_anchors)
    assert np.array(figures.place_tunnels) / SECOND == pytest.approx(counted.anchored)
    assert figures.sessions == counted.begins
    retired = np.count_nonzero((itinerary.retirements.time >= WARM_UP) & (itinerary.retirements.time < END))
    assert retired == counted.retired


@pytest.mark.parametrize("mode", first_is_quick(["proxy", "relay", "locator"]))
def test_the_engines_contact_whom_the_walk_says(mode: str) -> None:
    """Previous routers of a handover: those whose prefix is in use, just left, or not yet idle for long.

    Not exactly: a retirement may be under way when its node moves.
    """
    topology, workload = line(PLACES, 1.0), population(1)
    counted = replay(workload.shard(0, 60), PLACES, start=WARM_UP, end=END, hold=HOLD)
    settings = ProtocolSettings(mode=mode, idle_hold=HOLD)  # type: ignore[arg-type]
    summary = simulate(topology, workload, settings, seed=0, jobs=1, warm_up=WARM_UP)
    held = len(counted.handovers.held.place) / len(counted.handovers)
    assert summary["contacted"]["mean"] == pytest.approx(held, rel=0.002)


def test_a_session_of_a_node_that_is_nowhere_is_left_out_and_counted() -> None:
    events: list[Event] = [
        (1.0, 0, "begin", 7, 1),
        (2.0, 0, "attach", 0),
        (3.0, 0, "begin", 8, 1),
        (4.0, 0, "leave"),
        (5.0, 0, "begin", 9, 1),
        (6.0, 0, "end", 8),
        (6.0, 0, "end", 9),
    ]
    itinerary = understand(stream(*events), 10 * SECOND, SECOND)
    assert itinerary.homeless == 2
    assert (itinerary.sessions.begin.tolist(), itinerary.sessions.end.tolist()) == ([3 * SECOND], [6 * SECOND])


def test_attaching_where_it_is_and_leaving_when_it_is_gone_is_nothing_new() -> None:
    events: list[Event] = [
        (0.0, 0, "leave"),
        (1.0, 0, "attach", 2),
        (2.0, 0, "attach", 2),
        (3.0, 0, "leave"),
        (4.0, 0, "leave"),
        (5.0, 0, "attach", 2),
        (6.0, 0, "attach", 1),
    ]
    visits = understand(stream(*events), 10 * SECOND, SECOND).visits
    assert visits.place.tolist() == [2, 2, 1]
    assert (visits.begin // SECOND).tolist() == [1, 5, 6]
    assert (visits.end // SECOND).tolist() == [3, 6, 10]
    assert visits.came_from.tolist() == [NOWHERE, NOWHERE, 2]


def test_nobody_and_nothing_make_empty_figures() -> None:
    workload = Script((), 10 * SECOND, nodes=3)
    for mode in ("proxy", "none"):
        summary = simulate(star(1.0), workload, ProtocolSettings(mode=mode), seed=0, jobs=1)  # type: ignore[arg-type]
        assert summary["handovers"] == 0
        assert summary["sessions"]["tunnelled_share"] is None
        assert summary["signalling"]["messages"] == 0


def test_without_mobility_sessions_break_at_a_move() -> None:
    events: tuple[Event, ...] = (
        (0.0, 0, "attach", 1),
        (1.0, 0, "begin", 0, 0),
        (1.0, 0, "begin", 1, 0),
        (2.0, 0, "end", 1),
        (5.0, 0, "attach", 2),
        (6.0, 0, "begin", 2, 0),
        (9.0, 0, "end", 0),
    )
    summary = simulate(star(1.0, 2.0), Script(events, 10 * SECOND), ProtocolSettings(mode="none"), seed=0, jobs=1)
    assert summary["sessions"]["broken"] == 1
    assert summary["sessions"]["seconds"] == (5 - 1) + (2 - 1) + (10 - 6)
    assert summary["sessions"]["tunnelled_share"] == 0
    assert summary["signalling"]["messages"] == 0


def test_the_way_of_a_session_is_weighed_by_time() -> None:
    """4 s directly from the peer at 0 to 1 (1 ms), then 6 s through the anchor at 1 to 2 (1 + 3 ms)."""
    events: tuple[Event, ...] = ((0.0, 0, "attach", 1), (0.0, 0, "begin", 0, 0), (4.0, 0, "attach", 2))
    summary = simulate(star(1.0, 2.0), Script(events, 10 * SECOND), ProtocolSettings(database=0), seed=0, jobs=1)
    sessions = summary["sessions"]
    assert sessions["direct_ms"]["mean"] == pytest.approx((4 * 1 + 6 * 2) / 10)
    assert sessions["actual_ms"]["mean"] == pytest.approx((4 * 1 + 6 * (1 + 3)) / 10)
    assert sessions["tunnelled_share"] == 0.6
    assert summary["by_place"]["anchored_session_s"] == [0, 10, 0]
    assert summary["by_place"]["served_session_s"] == [0, 4, 6]
    assert summary["by_place"]["tunnelled_session_s"] == [0, 6, 0]
    assert summary["by_place"]["tunnels"] == [0, 0.6, 0]


def test_a_day_of_nodes_that_stay_does_not_overflow() -> None:
    day: Duration = 24 * 3600 * SECOND
    events: list[Event] = [(0.0, node, "attach", 1 + node % 2) for node in range(2000)]
    events += [(0.0, node, "begin", node, 0) for node in range(2000)]
    job = Job(star(1.0, 2.0), Script(tuple(events), day, 2000), ProtocolSettings(mode="none"), 0, "off", 0)
    figures, _ = one_shard(job, (0, 2000))
    assert figures.session_time == 2000 * day


def test_the_example_of_the_campus_is_simulated() -> None:
    scenario = load("examples/campus", grid=False).varied({"mobility.nodes": 20, "duration": "20m"})
    topology = scenario.topology()
    summary = simulate(topology, scenario.workload(topology), scenario.settings, seed=1, jobs=1)
    assert summary["handovers"] > 50
    assert summary["unregistered"] == 0
