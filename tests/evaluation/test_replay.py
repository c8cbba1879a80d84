"""What happened, counted by hand; and, for exponential times, what the closed forms say."""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.evaluation.models import anchors
from sojourn.evaluation.replay import Replay, replay
from sojourn.sim.workload import Stream
from sojourn.wire.units import SECOND
from support.workloads import Exponential, stream


def walked(events: Stream, *, start: float = 0, end: float = 100, hold: float = 0) -> Replay:
    return replay(events, 4, start=round(start * SECOND), end=round(end * SECOND), hold=round(hold * SECOND))


WALK = stream(
    (0, 7, "attach", 0),
    (10, 7, "begin", 1, 3),
    (20, 7, "attach", 1),
    (25, 7, "begin", 2, 2),
    (30, 7, "attach", 2),
    (50, 7, "end", 1),
    (60, 7, "attach", 3),
    (70, 7, "end", 2),
)


def test_a_handover_has_the_prefixes_that_are_in_use_and_those_that_are_held() -> None:
    found = walked(WALK).handovers
    assert list(found.origin) == [0, 1, 2]
    assert list(found.target) == [1, 2, 3]
    assert list(found.in_use.counts(3)) == [1, 2, 1]
    assert list(found.in_use.place) == [0, 0, 1, 1]
    # The router just left (2) is told though nothing uses its prefix; the one of 0 is over since 50 s.
    assert list(found.held.place[found.held.handover == 2]) == [1, 2]
    longer = walked(WALK, hold=15).handovers
    assert list(longer.held.place[longer.held.handover == 2]) == [0, 1, 2]


def test_time_is_divided_among_places_anchors_and_sessions() -> None:
    found = walked(WALK)
    assert list(found.attached) == [20, 10, 30, 40]
    assert list(found.anchored) == [30, 40, 0, 0]  # 0 from 20 to 50 s, 1 from 30 to 70 s
    assert list(found.served) == [0, 10, 20 + 30, 10]
    assert list(found.old_anchors) == [20 + 30, 10 + 10 + 10, 20]
    assert [found.old_anchors_quantile(share) for share in (0.5, 0.8, 0.99)] == [0, 1, 2]
    assert found.mean_old_anchors == pytest.approx(0.7)
    segments = found.segments
    assert segments.seconds.sum() == 40 + 45
    assert found.tunnelled == pytest.approx((30 + 40) / 85)
    assert set(zip(segments.peer.tolist(), segments.anchor.tolist(), segments.serving.tolist(), strict=True)) == {
        (3, 0, 0), (3, 0, 1), (3, 0, 2), (2, 1, 1), (2, 1, 2), (2, 1, 3),
    }  # fmt: skip
    assert (found.begins, found.ends, found.withdrawn, found.retired) == (2, 2, 2, 3)


def test_the_window_cuts_time_but_not_memory() -> None:
    found = walked(WALK, start=40, end=65)
    assert found.attached.sum() == 25
    assert len(found.handovers) == 1
    assert list(found.handovers.in_use.place) == [1]
    assert found.begins == 0
    assert found.ends == 1
    assert list(found.sessions.begin) == [10, 25]
    assert list(found.sessions.end) == [50, 65]


def test_who_comes_back_takes_its_prefix_up_again() -> None:
    found = walked(
        stream(
            (0, 0, "attach", 0),
            (1, 0, "begin", 1, 2),
            (10, 0, "attach", 1),
            (20, 0, "attach", 0),
            (30, 0, "end", 1),
            (40, 0, "attach", 2),
        )
    )
    assert list(found.handovers.in_use.counts(3)) == [1, 0, 0]
    assert list(found.handovers.held.counts(3)) == [1, 1, 1]
    assert found.anchored[0] == 10
    assert found.withdrawn == 0


def test_sessions_end_with_their_node_and_the_same_place_again_is_no_move() -> None:
    found = walked(
        stream(
            (0, 0, "attach", 0), (5, 0, "attach", 0), (6, 0, "begin", 1, 2), (10, 0, "leave"), (20, 0, "end", 1),
            (30, 0, "begin", 2, 2), (50, 0, "attach", 3), (0, 1, "attach", 1),
        )
    )  # fmt: skip
    assert len(found.handovers) == 0
    assert found.segments.seconds.sum() == 4
    assert found.ends == 1
    assert found.begins == 1
    assert found.nodes == 2
    assert found.node_seconds == 10 + 50 + 100


def test_old_prefixes_of_a_node_that_left_retire_and_its_last_one_only_when_it_comes_back_elsewhere() -> None:
    away = stream((0, 0, "attach", 0), (10, 0, "attach", 1), (12, 0, "leave"))
    assert walked(away, hold=5).retired == 1
    back = stream((0, 0, "attach", 0), (10, 0, "attach", 1), (12, 0, "leave"), (30, 0, "attach", 2))
    assert walked(back, hold=5).retired == 2
    assert len(walked(back, hold=5).handovers) == 1
    same = stream((0, 0, "attach", 0), (12, 0, "leave"), (30, 0, "attach", 0))
    assert walked(same, hold=5).retired == 0


@pytest.mark.parametrize(("dwell", "session", "inter_arrival"), [(60, 60, 30), (20, 60, 60), (120, 30, 30)])
def test_exponential_times_give_the_closed_forms(dwell: float, session: float, inter_arrival: float) -> None:
    """Many places, so that nobody comes back. At these numbers samples are off by up to 5 %."""
    workload = Exponential(60, 7200 * SECOND, 5000, dwell, session, inter_arrival)
    found = replay(workload.shard(0, 60), 5000, start=600 * SECOND, end=7200 * SECOND, hold=0)
    kappa, rho = session / dwell, session / inter_arrival
    assert found.node_seconds / len(found.handovers) == pytest.approx(dwell, rel=0.06)
    assert found.tunnelled == pytest.approx(anchors.tunnelled_share_exponential(kappa), rel=0.06)
    assert found.mean_old_anchors == pytest.approx(anchors.old_anchors(kappa, rho), rel=0.06)
    moves = len(found.handovers)
    assert len(found.handovers.in_use.place) / moves == pytest.approx(anchors.anchors_at_handover(kappa, rho), rel=0.05)
    assert len(found.handovers.held.place) / moves == pytest.approx(anchors.contacted(kappa, rho), rel=0.05)
    redirected = np.count_nonzero(found.handovers.in_use.counts(moves)) / moves
    assert redirected == pytest.approx(anchors.redirected(rho), rel=0.05)
    assert found.withdrawn / moves == pytest.approx(anchors.left_in_use(kappa, rho), rel=0.06)


def test_a_hold_time_adds_the_handovers_that_it_spans() -> None:
    workload = Exponential(40, 3600 * SECOND, 5000, 60, 30, 60)
    found = replay(workload.shard(0, 40), 5000, start=600 * SECOND, end=3600 * SECOND, hold=60 * SECOND)
    moves = len(found.handovers)
    expected = anchors.contacted(0.5, 0.5, 1 / 60, 60)
    assert len(found.handovers.held.place) / moves == pytest.approx(expected, rel=0.05)
    assert found.retired / moves == pytest.approx(1, rel=0.05)  # each handover leaves a prefix that retires one day
