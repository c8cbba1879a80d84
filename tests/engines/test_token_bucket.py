"""`sojourn.engines.base.TokenBucket`: at most so many at once, and so many a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sojourn.engines.base import TokenBucket
from sojourn.wire.units import MILLISECOND, SECOND


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(99 * MILLISECOND)
    assert bucket.take(100 * MILLISECOND)
    assert not bucket.take(100 * MILLISECOND)


def test_idle_time_saves_no_more_than_a_burst() -> None:
    bucket = TokenBucket(rate=10, burst=3)
    assert bucket.take(0)
    assert [bucket.take(3600 * SECOND) for _ in range(4)] == [True, True, True, False]


def test_reservations_are_spread_at_the_rate_after_the_burst() -> None:
    bucket = TokenBucket(rate=10, burst=2)
    assert [bucket.reserve(0) for _ in range(4)] == [0, 0, 100 * MILLISECOND, 200 * MILLISECOND]
    assert bucket.reserve(SECOND) == SECOND


def test_what_was_reserved_is_gone_for_who_takes() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.reserve(0) == 0
    assert not bucket.take(0)
    assert bucket.take(SECOND)


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.integers(0, SECOND // 4), max_size=60))
def test_never_more_than_burst_and_rate_in_any_span(rate: int, burst: int, pauses: list[int]) -> None:
    bucket = TokenBucket(rate, burst)
    now, passed = 0, []
    for pause in pauses:
        now += pause
        if bucket.take(now):
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            span = passed[last] - start
            assert last - first + 1 <= burst + span * rate // SECOND + 1
