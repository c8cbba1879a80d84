"""`sojourn.core.sequence`: arithmetic modulo 2**16 (RFC 6275 9.5.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.sequence import following, newer

_numbers = st.integers(0, 0xFFFF)


@pytest.mark.parametrize("number", [10001, 42767, 10000 + 32767])
def test_c025_accepted_after_10000(number: int) -> None:
    assert newer(number, 10000)


@pytest.mark.parametrize("number", [0, 9999])
def test_c025_accepted_after_a_wrap(number: int) -> None:
    assert newer(number, 42768)


@pytest.mark.parametrize("number", [9999, 10000, 42768, 0])
def test_c026_refused_after_10000(number: int) -> None:
    assert not newer(number, 10000)


@given(_numbers, st.integers(1, 32767))
def test_the_next_32767_numbers_are_newer_and_never_both_ways(number: int, step: int) -> None:
    assert newer(following(number, step), number)
    assert not newer(number, following(number, step))


@given(_numbers)
def test_no_number_is_newer_than_itself_nor_the_one_half_way_round(number: int) -> None:
    assert not newer(number, number)
    assert not newer(following(number, 32768), number)


def test_following_wraps() -> None:
    assert following(0xFFFF) == 0
    assert following(0xFFF0, 0x20) == 0x10
