"""Random faults: a seed is a test. Two thousand episodes of two hundred events, each from calm to chaos and back.

``make sim`` plays as many as time allows, ``make sim SEED=17`` tells one in full. What it teaches becomes a test with a
name of its own in tests/engines/test_regressions.py.
"""

from __future__ import annotations

import pytest

from sim.episode import CASTS, described, happenings_of, play, shortened
from sim.script import EVENTS
from sim.shrink import shrink

TOGETHER = 20
"""Seeds for one item of the test run."""
SHRINKING = 30.0
"""Seconds for making a failing episode short."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first" in metafunc.fixturenames:
        metafunc.parametrize("first", range(0, metafunc.config.getoption("--seeds"), TOGETHER))


@pytest.mark.parametrize("cast", sorted(CASTS))
def test_whatever_fails_all_is_right_again_and_nothing_is_left(cast: str, first: int) -> None:
    """One owner per prefix, the latest attachment wins, routes equal bindings, no loop; sessions live."""
    for seed in range(first, first + TOGETHER):
        outcome = play(seed, CASTS[cast])
        if outcome.faults:
            short = shortened(seed, CASTS[cast], SHRINKING)[1]
            pytest.fail(described(cast, seed, outcome.faults, short), pytrace=False)


@pytest.mark.parametrize("cast", sorted(CASTS))
def test_an_episode_is_its_seed(cast: str) -> None:
    one, same, other = (happenings_of(seed, CASTS[cast]) for seed in (3, 3, 4))
    assert one == same != other
    assert len(one) == EVENTS
    first, again = (play(3, CASTS[cast]) for _ in range(2))
    assert (first.messages, first.seconds, first.flows) == (again.messages, again.seconds, again.flows)
    assert first.messages > EVENTS / 4
    assert first.flows > 0


def test_shrinking_leaves_what_is_needed() -> None:
    happenings = happenings_of(5, CASTS["dmm"])
    needed = [happenings[20], happenings[90]]
    left = shrink(happenings, lambda some: all(each in some for each in needed), seconds=60)
    assert len(left) == 2
