"""Shares of a socket."""

from __future__ import annotations

from sojourn.host.limits import Limiter
from sojourn.wire.units import SECOND


def test_a_burst_and_then_the_rate() -> None:
    limiter: Limiter[str] = Limiter(rate=10, burst=3, keys=5)
    assert [limiter.allow("a", 0) for _ in range(5)] == [True, True, True, False, False]
    assert not limiter.allow("a", SECOND // 10 - 1)
    assert limiter.allow("a", SECOND // 10)
    assert not limiter.allow("a", SECOND // 10)
    assert [limiter.allow("a", 10 * SECOND) for _ in range(4)] == [True, True, True, False], "no more than the burst"


def test_one_key_does_not_use_the_share_of_another() -> None:
    limiter: Limiter[str] = Limiter(rate=1, burst=1, keys=5)
    assert limiter.allow("a", 0)
    assert not limiter.allow("a", 0)
    assert limiter.allow("b", 0)


def test_memory_is_bounded() -> None:
    limiter: Limiter[int] = Limiter(rate=1, burst=1, keys=100)
    assert all(limiter.allow(key, 0) for key in range(10_000))
    assert len(limiter) == 100
