"""`sojourn.engines.prefix_pool`: each prefix to one node, and not to another soon after."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sojourn.engines.prefix_pool import PrefixPool
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire.units import SECOND

_POOL = prefix("2001:db8:a100::/48")
_SMALL = prefix("2001:db8:a100::/62")
_REST = 60 * SECOND


def test_lowest_first_and_never_twice() -> None:
    pool = PrefixPool(_POOL, 64, _REST)
    assert [str(pool.allocate(0)) for _ in range(3)] == [
        "2001:db8:a100::/64",
        "2001:db8:a100:1::/64",
        "2001:db8:a100:2::/64",
    ]
    assert len(pool) == 3


def test_an_empty_pool_gives_none() -> None:
    pool = PrefixPool(_SMALL, 64, _REST)
    assert len({pool.allocate(0) for _ in range(4)} - {None}) == 4
    assert pool.allocate(0) is None


def test_a_returned_prefix_rests_and_is_then_the_first_choice() -> None:
    pool = PrefixPool(_POOL, 64, _REST)
    first = pool.allocate(0)
    assert first is not None
    pool.release(first, SECOND)
    assert pool.allocate(SECOND) != first
    assert pool.allocate(_REST) != first
    assert pool.allocate(SECOND + _REST) == first


def test_a_claimed_prefix_rests_too_after_it_came_back() -> None:
    """A prefix above those given out so far was found again by counting, in spite of its quarantine."""
    pool = PrefixPool(_SMALL, 64, _REST)
    claimed = _SMALL.subnet(1, 64)
    assert pool.claim(claimed)
    pool.release(claimed, 0)
    given_out = [pool.allocate(SECOND) for _ in range(4)]
    assert claimed not in given_out
    assert given_out[3] is None
    assert pool.allocate(_REST) == claimed


def test_released_claimed_and_released_again_it_rests_from_the_last_time_on() -> None:
    pool = PrefixPool(_SMALL, 64, _REST)
    first = pool.allocate(0)
    assert first is not None
    pool.release(first, 0)
    assert pool.claim(first)
    pool.release(first, 30 * SECOND)
    assert first not in [pool.allocate(_REST) for _ in range(4)]
    assert pool.allocate(30 * SECOND + _REST) == first


def test_what_rests_longer_keeps_back_nothing_that_rested_long_enough() -> None:
    pool = PrefixPool(_SMALL, 64, _REST)
    one, other = pool.allocate(0), pool.allocate(0)
    assert one is not None
    assert other is not None
    pool.release(one, 0)
    pool.rest_longer(one, 3 * _REST)
    pool.rest_longer(one, 2 * _REST)
    pool.rest_longer(other, 3 * _REST)  # it is used
    pool.release(other, SECOND)
    rest = [pool.allocate(_REST + SECOND) for _ in range(4)]
    assert rest[0] == other
    assert one not in rest
    assert rest[3] is None
    assert pool.allocate(3 * _REST - 1) is None
    assert pool.allocate(3 * _REST) == one


def test_only_prefixes_of_the_pool_that_nobody_uses_can_be_claimed() -> None:
    pool = PrefixPool(_POOL, 64, _REST)
    used = pool.allocate(0)
    assert used is not None
    assert not pool.claim(used)
    assert not pool.claim(prefix("2001:db8:a200::/64"))
    assert not pool.claim(prefix("2001:db8:a100::/63"))
    assert not pool.claim(prefix("2001:db8:a100::/65"))


def test_releasing_what_is_not_used_changes_nothing() -> None:
    pool = PrefixPool(_POOL, 64, _REST)
    pool.release(prefix("2001:db8:a100::/64"), 0)
    pool.release(prefix("2001:db8:ffff::/64"), 0)
    assert str(pool.allocate(0)) == "2001:db8:a100::/64"


def test_leaps_find_the_end_of_what_was_given_out_in_a_few_steps() -> None:
    """A router that forgot 20,000 prefixes is told of each that it tries that it is in use."""
    pool = PrefixPool(_POOL, 64, _REST)
    tried = []
    for _ in range(9):
        prefix_ = pool.allocate(0)
        assert prefix_ is not None
        tried.append(_POOL.index(prefix_))
        pool.release(prefix_, 0)
        pool.leap()
    assert tried[:4] == [0, 2, 7, 24]
    assert tried[-1] > 20_000


def test_after_the_last_prefix_those_that_were_leapt_over_are_used() -> None:
    pool = PrefixPool(_SMALL, 64, _REST)
    pool.leap()
    assert {pool.allocate(0) for _ in range(4)} == {_SMALL.subnet(index, 64) for index in range(4)}


@given(st.lists(st.tuples(st.sampled_from(["allocate", "release", "claim", "leap"]), st.integers(0, 7)), max_size=80))
def test_whatever_happens_no_prefix_has_two_users(actions: list[tuple[str, int]]) -> None:
    pool = PrefixPool(prefix("2001:db8:a100::/61"), 64, 3)
    held: set[Prefix] = set()
    for now, (action, index) in enumerate(actions):
        prefix_ = pool.pool.subnet(index, 64)
        if action == "allocate":
            allocated = pool.allocate(now)
            assert allocated is not None or len(held) == 8 or pool._resting
            assert allocated not in held
            if allocated is not None:
                held.add(allocated)
        elif action == "claim":
            assert pool.claim(prefix_) == (prefix_ not in held)
            held.add(prefix_)
        elif action == "release":
            pool.release(prefix_, now)
            held.discard(prefix_)
        else:
            pool.leap()
        assert len(pool) == len(held)
