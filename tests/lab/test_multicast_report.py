"""What the multicast scenario says of what it saw, from numbers that are made up."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from sojourn.lab.multicast import RATE, Phase, Result, make_report


def _run(lost: int = 10) -> Result:
    """Nobody moves for 100 packets, mn2 goes to ar2 (losing the first `lost`) and back, mn1 and mn2 go to ar2."""
    at = {"mn1": "ar1", "mn2": "ar1"}
    phases = [
        Phase(at, 0, 100),
        Phase(at | {"mn2": "ar2"}, 100, 200, "mn2"),
        Phase(at, 200, 300, "mn2"),
        Phase({"mn1": "ar2", "mn2": "ar2"}, 300, 400, "mn1"),
        Phase({"mn1": "ar2", "mn2": "ar2"}, 400, 500),
    ]
    heard = {"mn1": Counter(range(500)), "mn2": Counter(n for n in range(500) if not 100 <= n < 100 + lost)}
    passed = {"ar1:to-core": Counter(range(305)), "ar2:to-core": Counter([*range(110, 205), *range(300, 500)])}
    traffic: Any = SimpleNamespace(heard=heard, passed=passed)
    return Result(traffic, phases, signalling_ms=10.0)


def test_a_run_as_it_should_be() -> None:
    report = make_report(_run())
    assert report.failures == []
    assert report.data["lost_per_move"] == [10, 0]
    assert report.tables[0].rows[1] == ("mn2 to ar2", "100", "0", "10", "100/0", "90/0")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: run.traffic.passed["ar1:to-core"].update([7]), "100 of 100, 1 twice, but 100 of 100, 0 twice"),
        (lambda run: run.traffic.passed["ar1:to-core"].pop(7), "99 of 100"),
        (lambda run: run.traffic.heard["mn1"].pop(50), "lost by both while nobody moved: 1"),
        (lambda run: run.traffic.heard["mn1"].pop(150), "lost by mn1, which stayed, while mn2 moved: 1"),
        (lambda run: run.traffic.heard["mn2"].update([450]), "packets that a listener which rested got twice: 1"),
        (lambda run: run.traffic.passed["ar1:to-core"].update([450]), "ar1 still pulled when both had left: 1"),
        (lambda run: run.traffic.passed["ar2:to-core"].update([450]), "100, 1, but 100, 0"),
    ],
)
def test_each_thing_that_must_hold_can_fail(spoil: Any, said: str) -> None:
    run = _run()
    spoil(run)
    [failure] = make_report(run).failures
    assert said in failure


def test_a_move_that_takes_too_long_fails() -> None:
    [failure] = make_report(_run(lost=RATE // 10)).failures
    assert failure == "lost by mn2 in a move to ar2, median of 1: 100 ms, but at most 42 ms was required"
