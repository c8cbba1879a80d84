"""How long sessions stand still after a moment, judged by how late the machine was before it."""

from __future__ import annotations

from sojourn.lab.measure import Window
from sojourn.lab.standstill import Standstill, in_time
from sojourn.lab.traffic import Direction, FlowRecord
from sojourn.wire.units import MILLISECOND, SECOND, Duration

MOMENT = 10 * SECOND


def stream(dead: Duration, late: Duration = 0) -> FlowRecord:
    """Packets each 10 ms, 2 ms on their way; none arrives for a while; one before was late."""
    sent = list(range(8 * SECOND, 12 * SECOND, 10 * MILLISECOND))
    received = [0 if MOMENT <= at < MOMENT + dead else at + 2 * MILLISECOND for at in sent]
    received[sent.index(MOMENT - 500 * MILLISECOND)] += late
    way = Direction(sent=sent, received=received)
    return FlowRecord("call", "stream", "mn", "2001:db8::1", 0, up=way, down=way)


def after(dead: Duration, late: Duration = 0) -> Standstill:
    return Standstill("it dies", [stream(dead, late)], Window(MOMENT, 12 * SECOND))


def test_what_is_lost_and_the_longest_silence_are_those_after_the_moment() -> None:
    found = after(300 * MILLISECOND)
    assert (found.sent, found.lost) == (400, 60)
    assert found.silence == 310 * MILLISECOND
    assert not found.lossless().holds
    assert after(0).lossless("of others").holds


def test_a_limit_is_wider_by_what_this_machine_was_late_before() -> None:
    """Six turns: three routers' daemons, twice each."""
    assert not after(300 * MILLISECOND).still(200 * MILLISECOND).holds
    assert after(300 * MILLISECOND, late=20 * MILLISECOND).still(200 * MILLISECOND).holds


def test_who_never_goes_on_is_not_in_time() -> None:
    found = Standstill("it dies", [stream(2 * SECOND)], Window(MOMENT, 12 * SECOND))
    verdict = in_time("sessions", found.silence, SECOND, 0)
    assert (verdict.measured, verdict.holds) == ("never", False)
