"""`sojourn.sim.kernel`: what is due is executed once, in order of time and then of scheduling."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from sojourn.sim.kernel import Entry, Kernel
from sojourn.wire.units import HOUR, SECOND, Instant

_TIMES = st.integers(0, 5 * SECOND)


class Note:
    """Notes what was executed when."""

    def __init__(self) -> None:
        self.seen: list[tuple[Instant, object, int]] = []

    def __call__(self, now: Instant, item: object, cause: int) -> None:
        self.seen.append((now, item, cause))

    def stream(self, times: list[Instant]) -> Iterator[Entry]:
        for index, time in enumerate(sorted(times)):
            yield time, index - len(times), self, "record", index


@given(st.lists(_TIMES), st.lists(_TIMES))
def test_stream_and_scheduled_are_merged_and_the_stream_goes_first(records: list[int], scheduled: list[int]) -> None:
    kernel, note = Kernel(), Note()
    for number, time in enumerate(scheduled):
        kernel.schedule(time, note, "scheduled", number)
    kernel.run(6 * SECOND, note.stream(records))
    expected = [(time, 0, "record", index) for index, time in enumerate(sorted(records))]
    expected += [(time, 1, "scheduled", number) for number, time in enumerate(scheduled)]
    assert note.seen == [(time, item, number) for time, _, item, number in sorted(expected)]


def test_what_an_action_schedules_is_executed_also_when_it_is_far_away() -> None:
    kernel, note = Kernel(), Note()

    def again(now: Instant, left: object, cause: int) -> None:
        note(now, left, cause)
        if isinstance(left, int) and left:
            kernel.schedule(now + 20 * 60 * SECOND, again, left - 1, cause)

    kernel.schedule(0, again, 2, 7)
    kernel.run(HOUR)
    assert note.seen == [(0, 2, 7), (1200 * SECOND, 1, 7), (2400 * SECOND, 0, 7)]


def test_nothing_is_executed_at_the_end_or_after_it_until_the_kernel_goes_on() -> None:
    kernel, note = Kernel(), Note()
    for time in (SECOND // 2 - 1, SECOND // 2, SECOND // 2 + 1, 3 * SECOND):
        kernel.schedule(time, note, "", 0)
    kernel.run(SECOND // 2)
    assert [now for now, _, _ in note.seen] == [SECOND // 2 - 1]
    kernel.run(10 * SECOND)
    assert [now for now, _, _ in note.seen[1:]] == [SECOND // 2, SECOND // 2 + 1, 3 * SECOND]


def test_time_may_begin_before_zero() -> None:
    kernel, note = Kernel(-10 * SECOND), Note()
    kernel.schedule(-10 * SECOND, note, "", 0)
    kernel.schedule(-1, note, "", 0)
    kernel.schedule(0, note, "", 0)
    kernel.run(0)
    assert [now for now, _, _ in note.seen] == [-10 * SECOND, -1]


def test_progress_is_told_every_second() -> None:
    told: list[Instant] = []
    Kernel().run(4 * SECOND, every_second=told.append)
    assert told == sorted(told)
    assert len(told) == 4
    assert told[-1] == 4 * SECOND
