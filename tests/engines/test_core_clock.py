"""`sojourn.core.clock`: named deadlines with a total order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.clock import Timers


def _all_due(timers: Timers[str], now: int) -> list[str]:
    due = []
    while (name := timers.pop_due(now)) is not None:
        due.append(name)
    return due


def test_deadlines_fire_in_order_and_once() -> None:
    timers: Timers[str] = Timers()
    timers.start("late", 30)
    timers.start("early", 10)
    assert timers.deadline() == 10
    assert timers.pop_due(9) is None
    assert _all_due(timers, 30) == ["early", "late"]
    assert timers.deadline() is None
    assert _all_due(timers, 1000) == []


def test_equal_deadlines_fire_in_the_order_in_which_they_were_started() -> None:
    timers: Timers[str] = Timers()
    names = [f"n{number}" for number in range(50)]
    random.Random(1).shuffle(names)
    for name in names:
        timers.start(name, 7)
    assert _all_due(timers, 7) == names


def test_starting_again_moves_a_deadline_both_ways() -> None:
    timers: Timers[str] = Timers()
    timers.start("a", 10)
    timers.start("a", 30)
    assert _all_due(timers, 29) == []
    assert timers.when("a") == 30
    timers.start("a", 5)
    assert timers.deadline() == 5
    assert _all_due(timers, 5) == ["a"]
    assert len(timers) == 0


def test_what_was_stopped_does_not_fire_and_stopping_twice_is_no_mistake() -> None:
    timers: Timers[str] = Timers()
    timers.start("a", 10)
    timers.stop("a")
    timers.stop("a")
    assert "a" not in timers
    assert timers.when("a") is None
    assert timers.deadline() is None


def test_started_again_after_it_was_stopped() -> None:
    timers: Timers[str] = Timers()
    timers.start("a", 10)
    timers.stop("a")
    timers.start("a", 20)
    assert _all_due(timers, 15) == []
    assert _all_due(timers, 20) == ["a"]


def test_a_timer_that_is_moved_a_million_times_takes_no_memory() -> None:
    timers: Timers[str] = Timers()
    for moment in range(100_000):
        timers.start("refresh", moment)
    assert timers.queued <= 66
    assert len(timers) == 1


_SPAN = 1 << 33
"""Timers that are so far apart are in different lists."""
_spans = st.one_of(
    st.integers(0, 20),
    st.builds(lambda number, beside: max(0, number * _SPAN + beside), st.integers(1, 3), st.integers(-3, 3)),
)
_actions = st.lists(
    st.tuples(st.sampled_from(["start", "stop", "advance"]), st.sampled_from("abcd"), _spans), max_size=60
)


@given(_actions)
def test_as_a_plain_dictionary_would_do_it(actions: list[tuple[str, str, int]]) -> None:
    """Against a model: a dictionary of (deadline, order), searched from end to end."""
    timers: Timers[str] = Timers()
    model: dict[str, tuple[int, int]] = {}
    now = 0
    for order, (action, name, span) in enumerate(actions):
        if action == "start":
            timers.start(name, now + span)
            model[name] = (now + span, order)
        elif action == "stop":
            timers.stop(name)
            model.pop(name, None)
        else:
            now += span
            expected = sorted((when, name) for name, when in model.items() if when[0] <= now)
            assert _all_due(timers, now) == [name for _, name in expected]
            for _, fired in expected:
                del model[fired]
        assert timers.deadline() == (min(model.values())[0] if model else None)
        assert len(timers) == len(model)
        assert {name: timers.when(name) for name in model} == {name: when for name, (when, _) in model.items()}


def test_of_many_timers_only_those_that_are_next_are_put_in_order() -> None:
    """After a restart a million were started within ten seconds, for an hour from then: nobody waits while they are."""
    timers: Timers[int] = Timers()
    for name in range(10_000):
        timers.start(name, 3_600_000_000_000 + name * 1_000_000)
    assert timers.deadline() == 3_600_000_000_000
    assert len(timers._heap) < 300
    due = [timers.pop_due(1 << 50) for _ in range(10_000)]
    assert due == list(range(10_000))


def test_timers_are_not_looked_through_while_none_of_them_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    enter = Timers._enter
    monkeypatch.setattr(Timers, "_enter", lambda self, names: (looked.append(len(self)), enter(self, names)))
    timers: Timers[int] = Timers()
    for name in range(1_000):
        timers.start(name, 10)
    assert looked == []
