"""A seed is a test: nodes roam while messages get lost and machines die, then it gets quiet (see `support.walk`).

`--seeds 2000` takes more. A failure names its seed; ``Walk(seed)`` in a debugger repeats it, and what it teaches
becomes a test in tests/engines/test_regressions.py.
"""

from __future__ import annotations

import pytest

from support.walk import Walk

_STEPS = 60
_TOGETHER = 20
"""Seeds per test item."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first" in metafunc.fixturenames:
        metafunc.parametrize("first", range(0, metafunc.config.getoption("--seeds"), _TOGETHER))


def test_after_a_random_walk_everything_is_right(first: int) -> None:
    """One owner per prefix, the latest attachment wins, routes equal bindings, no loop, and nothing stays behind."""
    faults = [fault for seed in range(first, first + _TOGETHER) for fault in _faults(seed)]
    assert not faults, "\n".join(faults)


def test_after_a_random_walk_with_dhcp_everything_is_right(first: int) -> None:
    """The same with leases, which follow the nodes and end when nobody renews them."""
    faults = [fault for seed in range(first, first + _TOGETHER // 2) for fault in _faults(seed, dhcp=True)]
    assert not faults, "\n".join(faults)


def _faults(seed: int, *, dhcp: bool = False) -> list[str]:
    walk = Walk(seed, dhcp=dhcp)
    for _ in range(_STEPS):
        walk.step()
    faults = walk.settle() or walk.retire() or walk.depart()
    return [f"seed {seed}, {walk.domain.mode.value}: {fault}" for fault in faults]
