"""A seed is a test: whatever happens to nodes, routers, clocks and the network, what must be true is true.

`--seeds 2000` plays more (`make test` does), ``make sim`` as many as time allows. A failure prints its seed and a short
list of happenings that fails in the same way; what it teaches becomes a test in tests/engines/test_regressions.py.
"""

from __future__ import annotations

import pytest

from sim.episode import CASTS, described, play, shortened

_TOGETHER = 10
"""Seeds per test item."""
_SHRINK_SECONDS = 30.0
_SHARE = {"cluster": 4, "dmm": 35, "pmip": 20, "partners": 3, "stand-in": 3, "direct-fast": 2}
"""Per cent of the seeds; casts that differ little from others play fewer."""
_SMALL_SHARE = 9
_OPEN = {
    ("cluster", 500016): "a prefix is given on when its time is over, and another CMD has it yet for its former node",
    ("extended", 400143): "a path of a MAG that the node left becomes its first path",
}
"""Seeds that show a defect that we know and did not mend yet, and what is wrong."""

pytestmark = pytest.mark.sim


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("--seeds")
        items = [
            (cast, first)
            for cast in CASTS
            for first in range(0, seeds * _SHARE.get(cast, _SMALL_SHARE) // 100, _TOGETHER)
        ]
        metafunc.parametrize(("cast", "first"), items)


def test_whatever_happens_what_must_be_true_is_true(cast: str, first: int) -> None:
    """One owner per prefix, the latest attachment wins, ways equal bindings, nothing grows, sessions live on."""
    for seed in range(first, first + _TOGETHER):
        if play(seed, CASTS[cast]).faults:
            outcome, happenings = shortened(seed, CASTS[cast], _SHRINK_SECONDS)
            pytest.fail(described(cast, seed, outcome.faults, happenings))


@pytest.mark.parametrize(("cast", "seed"), _OPEN)
def test_a_defect_that_is_known_is_on_the_list_for_as_long_as_it_is_there(cast: str, seed: int) -> None:
    assert play(seed, CASTS[cast]).faults, f"it is mended: {_OPEN[cast, seed]}"
