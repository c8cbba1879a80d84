"""`sojourn.engines.retransmission`: RFC 6275 11.8, RFC 8885 3.6, and the pace of the CMD (RFC 8885 3.2)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.clock import Timers
from sojourn.core.effects import SendMessage
from sojourn.engines.base import TokenBucket
from sojourn.engines.configuration import RetransmissionConstants
from sojourn.engines.retransmission import Key, Retransmission
from sojourn.wire import BindingUpdate
from sojourn.wire.addresses import address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

CMD = address("2001:db8:c::1")
SOURCE = address("2001:db8:a1::1")
KEY: Key = ("register", b"\x05node", CMD, None)


class Bench:
    """A `Retransmission` with its timers; notes what was sent when."""

    def __init__(self, **settings: object) -> None:
        self.now: Instant = 0
        self.sent: list[tuple[Instant, int]] = []
        self.given_up: list[Key] = []
        self.timers: Timers[tuple[str, Key]] = Timers()
        self.requests = Retransmission(
            RetransmissionConstants(),
            SOURCE,
            self._do,
            self.timers.start,
            self.timers.stop,
            **settings,  # type: ignore[arg-type]
        )

    def _do(self, effect: SendMessage) -> None:
        assert isinstance(effect.message, BindingUpdate)
        self.sent.append((self.now, effect.message.sequence))

    def start(self, sequence: int, key: Key = KEY) -> None:
        self.requests.start(key, BindingUpdate(sequence, 0, 0, ()), self.now)

    def run(self, duration: Duration) -> None:
        end = self.now + duration
        while (deadline := self.timers.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            name = self.timers.pop_due(self.now)
            assert name is not None
            given_up = self.requests.due(name[1], self.now)
            if given_up is not None:
                self.given_up.append(given_up.key)
        self.now = end

    def answered(self, sequence: int, key: Key = KEY) -> bool:
        return self.requests.answered(key, sequence, self.now) is not None

    def round_trip(self, length: Duration, sequence: int = 1) -> None:
        """One exchange that took `length`; a long pause follows."""
        self.start(sequence)
        self.run(length)
        assert self.answered(sequence)
        self.run(10 * SECOND)
        self.sent.clear()


def test_the_first_timeout_is_initial_bindack_timeout_as_long_as_no_round_trip_is_known() -> None:
    bench = Bench()
    bench.start(7)
    bench.run(SECOND - 1)
    assert bench.sent == [(0, 7)]
    bench.run(1)
    assert bench.sent == [(0, 7), (SECOND, 8)]


def test_then_it_is_four_round_trips() -> None:
    bench = Bench()
    bench.round_trip(30 * MILLISECOND)
    bench.start(2)
    begin = bench.now
    bench.run(SECOND // 2)
    assert [when - begin for when, _ in bench.sent] == [0, 120 * MILLISECOND, 360 * MILLISECOND]


def test_at_least_50_ms_and_at_most_initial_bindack_timeout() -> None:
    for round_trip, timeout in ((MILLISECOND, 50 * MILLISECOND), (600 * MILLISECOND, SECOND)):
        bench = Bench()
        bench.round_trip(round_trip)
        bench.start(2)
        bench.run(timeout)
        assert [when - bench.sent[0][0] for when, _ in bench.sent] == [0, timeout]


def test_the_timeout_doubles_until_max_bindack_timeout_and_goes_on_at_that_rate() -> None:
    bench = Bench()
    bench.start(1)
    bench.run(200 * SECOND)
    gaps = [after[0] - before[0] for before, after in zip(bench.sent, bench.sent[1:], strict=False)]
    assert [gap // SECOND for gap in gaps] == [1, 2, 4, 8, 16, 32, 32, 32, 32, 32]
    assert len(bench.requests) == 1


def test_each_transmission_has_a_new_sequence_number() -> None:
    """RFC 6275 11.8: "Retransmitted Binding Updates MUST use a Sequence Number value greater than ..."."""
    bench = Bench()
    bench.start(0xFFFE)
    bench.run(8 * SECOND)
    assert [sequence for _, sequence in bench.sent] == [0xFFFE, 0xFFFF, 0, 1]


def test_an_answer_to_any_transmission_counts_and_to_no_other() -> None:
    for answer, counts in ((4, False), (5, True), (6, True), (7, True), (8, False), (5 + 32768, False)):
        bench = Bench()
        bench.start(5)
        bench.run(3 * SECOND)
        assert [sequence for _, sequence in bench.sent] == [5, 6, 7]
        assert bench.answered(answer) is counts
        assert (len(bench.requests) == 0) is counts


def test_who_is_heard_of_again_is_told_at_once_and_as_often_as_before() -> None:
    bench = Bench(attempts=8)
    bench.round_trip(100 * MILLISECOND)
    bench.start(2)
    bench.requests.hasten(KEY, bench.now)
    assert len(bench.sent) == 1  # its answer may be on its way
    bench.run(20 * SECOND)
    before = len(bench.sent)
    bench.requests.hasten(KEY, bench.now)
    begin = bench.now
    bench.run(3 * SECOND)
    assert [(when - begin) // MILLISECOND for when, _ in bench.sent[before:]] == [0, 400, 1200, 2800]
    assert bench.sent[-1][1] == len(bench.sent) + 1
    assert bench.answered(3)  # what was on its way before counts as well
    bench.requests.hasten(KEY, bench.now)
    assert not bench.requests.get(KEY)


def test_whoever_answers_after_a_silence_is_told_everything_else_at_once() -> None:
    """After a death of 20 s it would be 10 s more for some: every request has pauses of its own."""
    bench = Bench()
    others: list[Key] = [("register", bytes((number,)), CMD, None) for number in range(3)]
    elsewhere: Key = ("register", b"node", address("2001:db8:c::2"), None)
    for key in (*others, elsewhere):
        bench.start(1, key)
        bench.run(SECOND)
    bench.run(20 * SECOND)
    bench.start(100)
    assert bench.answered(100)  # no silence: there was one transmission
    before = len(bench.sent)
    bench.start(200, others[0])
    bench.run(SECOND)
    before = len(bench.sent)
    assert bench.answered(201, others[0])
    bench.run(0)
    assert len(bench.sent) == before + 2  # not to another destination
    assert {when for when, _ in bench.sent[before:]} == {bench.now}
    assert bench.answered(bench.sent[-1][1], others[2])
    bench.run(0)
    assert len(bench.sent) == before + 2


def test_an_answered_request_is_quiet() -> None:
    bench = Bench()
    bench.start(1)
    bench.run(20 * MILLISECOND)
    assert bench.answered(1)
    assert not bench.answered(1)
    bench.run(100 * SECOND)
    assert len(bench.sent) == 1


def test_only_an_answer_to_the_latest_transmission_teaches_the_round_trip() -> None:
    """Karn: of an answer to a repeated request nobody knows which transmission it belongs to."""
    bench = Bench()
    bench.start(1)
    bench.run(SECOND + 10 * MILLISECOND)
    assert bench.answered(1)
    bench.run(10 * SECOND)
    bench.sent.clear()
    bench.start(9)
    bench.run(SECOND)
    assert [when - bench.sent[0][0] for when, _ in bench.sent] == [0, SECOND]


def test_the_round_trip_rises_at_once_and_falls_slowly() -> None:
    bench = Bench()
    bench.round_trip(20 * MILLISECOND)
    bench.round_trip(40 * MILLISECOND)
    bench.round_trip(20 * MILLISECOND)
    bench.start(1)
    bench.run(SECOND // 4)
    assert [when - bench.sent[0][0] for when, _ in bench.sent] == [0, 4 * 37_500_000]


def test_no_more_than_three_a_second_about_one_node_and_the_latest_of_those_that_wait() -> None:
    """RFC 8885 3.6: MUST NOT send PBU messages to a particular node more than MAX_UPDATE_RATE times within a second."""
    bench = Bench()
    for sequence in range(1, 9):
        bench.start(sequence)
        bench.run(10 * MILLISECOND)
        bench.requests.cancel(KEY)
    bench.start(9)
    bench.run(SECOND)
    assert bench.sent == [(0, 1), (10 * MILLISECOND, 2), (20 * MILLISECOND, 3), (SECOND, 9)]


def test_other_nodes_and_other_destinations_do_not_wait() -> None:
    bench = Bench()
    for sequence in range(1, 5):
        bench.start(sequence)
    assert len(bench.sent) == 3
    bench.start(1, ("register", b"\x05other", CMD, None))
    bench.start(1, ("notify", b"\x05node", address("2001:db8:a1::1"), None))
    assert len(bench.sent) == 5


def test_an_answer_that_comes_while_the_next_transmission_waits_for_its_turn_counts() -> None:
    """The fourth transmission had to wait for MAX_UPDATE_RATE; meanwhile the answer to the third was thrown away."""
    bench = Bench()
    bench.round_trip(MILLISECOND)
    bench.start(1)
    bench.run(400 * MILLISECOND)
    assert [sequence for _, sequence in bench.sent] == [1, 2, 3]
    assert bench.answered(3)
    bench.run(10 * SECOND)
    assert len(bench.sent) == 3


def test_a_request_that_was_never_sent_has_no_answer() -> None:
    bench = Bench()
    for sequence in range(1, 5):
        bench.start(sequence)
    assert [sequence for _, sequence in bench.sent] == [1, 2, 3]
    assert not bench.answered(4)


def test_who_does_not_answer_is_given_up_after_the_last_timeout() -> None:
    bench = Bench(attempts=3)
    bench.start(1)
    bench.run(7 * SECOND - 1)
    assert bench.given_up == []
    bench.run(1)
    assert bench.given_up == [KEY]
    assert [when // SECOND for when, _ in bench.sent] == [0, 1, 3]
    assert len(bench.requests) == 0


def test_a_fan_out_is_paced() -> None:
    """RFC 8885 3.2: "Pacing mechanisms MUST be introduced to avoid bursts on the outgoing link"."""
    bench = Bench(pacer=TokenBucket(rate=100, burst=2))
    for number in range(5):
        bench.start(number, ("notify", bytes((number,)), address(f"2001:db8:a{number}::1"), None))
    bench.run(SECOND // 2)
    assert [when // MILLISECOND for when, _ in bench.sent] == [0, 0, 10, 20, 30]


def test_a_cancelled_request_leaves_its_turn_and_sends_nothing() -> None:
    bench = Bench(pacer=TokenBucket(rate=1, burst=1))
    other: Key = ("notify", b"other", CMD, None)
    bench.start(1)
    bench.start(2, other)
    bench.requests.cancel(other)
    bench.run(SECOND // 2)
    assert bench.sent == [(0, 1)]


def test_what_was_sent_more_than_a_second_ago_is_forgotten() -> None:
    """The memory of the rate is bounded by what is sent within two seconds."""
    bench = Bench()
    for number in range(2_000):
        key: Key = ("register", number.to_bytes(2, "big"), CMD, None)
        bench.start(1, key)
        assert bench.answered(1, key)
        bench.run(10 * MILLISECOND)
    assert len(bench.requests._recent) + len(bench.requests._before) <= 201


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, SECOND // 3)), max_size=40))
def test_whatever_is_asked_for_the_rate_holds(requests: list[tuple[int, Duration]]) -> None:
    bench = Bench()
    for sequence, (kind, pause) in enumerate(requests):
        bench.start(sequence * 100, (f"purpose{kind}", b"\x05node", CMD, None))
        bench.run(pause)
    bench.run(5 * SECOND)
    times = [when for when, _ in bench.sent]
    assert all(later - earlier >= SECOND for earlier, later in zip(times, times[3:], strict=False))
