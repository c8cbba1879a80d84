"""Who is missed, and who is not: one router looks at another one, and either of them may be late (`liveness`)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.effects import Effect, SendMessage
from sojourn.engines.liveness import Liveness
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.wire.addresses import Address, address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

WATCHER, NEIGHBOUR = address("2001:db8::1"), address("2001:db8::2")
SETTINGS = LivenessSettings()
INTERVAL = SETTINGS.interval
UNREAD = 50 * MILLISECOND
"""A machine that stood still has read its sockets after so long; its timers fire at once."""
Pauses = Sequence[tuple[Instant, Duration]]
"""When a machine stands still, and for how long."""


class Side:
    """One of the two, with a loop that may stand still."""

    def __init__(self, table: Table, own: Address, pauses: Pauses) -> None:
        self.table, self.own, self.pauses = table, own, pauses
        self.dead: Instant = 1 << 62
        self.lost: list[Instant] = []
        self.back: list[Instant] = []
        self.armed: dict[Address, Instant] = {}
        self.liveness = each = Liveness(SETTINGS, own, self.do, self.wake, lambda other: self.armed.pop(other))
        each.on_suspected = each.on_restarted = lambda other: None
        each.on_lost = lambda other: self.lost.append(table.now)
        each.on_back = lambda other: self.back.append(table.now)

    def awake(self, moment: Instant) -> Instant:
        """When its loop turns, at `moment` or after it."""
        for begin, length in sorted(self.pauses):
            if begin <= moment < begin + length:
                moment = begin + length
        return moment

    def do(self, effect: Effect) -> None:
        assert isinstance(effect, SendMessage)
        self.table.send(self, effect)

    def wake(self, other: Address, moment: Instant) -> None:
        self.armed[other] = moment
        self.table.later(self.awake(moment), lambda: self.ring(other, moment))

    def ring(self, other: Address, moment: Instant) -> None:
        if self.armed.get(other) == moment and self.table.now < self.dead:
            del self.armed[other]
            self.liveness.due(other, self.table.now)

    def receive(self, effect: SendMessage) -> None:
        now = self.table.now
        if now < self.dead:
            self.liveness.heard(effect.source, effect.message, now)
            self.liveness.on_heartbeat(effect.message, effect.source, now)  # type: ignore[arg-type]


class Table:
    """Both of them, and the way between."""

    def __init__(self, watcher: Pauses = (), neighbour: Pauses = ()) -> None:
        self.now: Instant = 0
        self._queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self._order = 0
        self.watcher, self.neighbour = Side(self, WATCHER, watcher), Side(self, NEIGHBOUR, neighbour)
        self.sides = {WATCHER: self.watcher, NEIGHBOUR: self.neighbour}
        self.watcher.liveness.watch(NEIGHBOUR, 0)
        self.neighbour.liveness.watch(WATCHER, 0)

    def send(self, sender: Side, effect: SendMessage) -> None:
        receiver = self.sides[effect.destination]
        arrives = self.now + MILLISECOND
        read = receiver.awake(arrives)
        self.later(arrives if read == arrives else read + UNREAD, lambda: receiver.receive(effect))

    def later(self, moment: Instant, act: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (moment, self._order, act))

    def run(self, until: Instant) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        self.now = until


def pauses(longest: Duration) -> st.SearchStrategy[list[tuple[Instant, Duration]]]:
    """Some, anywhere within ten seconds."""
    lengths = st.integers(1, longest // MILLISECOND).map(lambda length: length * MILLISECOND)
    moments = st.integers(0, 10_000).map(lambda moment: moment * MILLISECOND)
    return st.lists(st.tuples(moments, lengths), max_size=6)


@given(pauses(3 * SECOND))
def test_a_machine_that_stands_still_misses_nobody(still: Pauses) -> None:
    """However often and for how long: only for the other one it was away."""
    table = Table(watcher=still)
    table.run(20 * SECOND)
    assert table.watcher.lost == []


@given(pauses(3 * SECOND), st.integers(0, 10_000))
def test_a_death_is_seen_whatever_the_watcher_was_busy_with(still: Pauses, died: int) -> None:
    """A second after it, and later only by what the watcher itself was late, and an interval each time."""
    table = Table(watcher=still)
    table.neighbour.dead = died * MILLISECOND
    table.run(60 * SECOND)
    busy = sum(length + INTERVAL for begin, length in still if begin + length > table.neighbour.dead)
    assert table.watcher.lost, "it is never seen"
    first = next(moment for moment in table.watcher.lost if moment >= table.neighbour.dead)
    assert first <= table.neighbour.dead + SECOND + busy


@given(pauses(450 * MILLISECOND))
def test_a_death_is_seen_within_a_second_even_of_a_neighbour_that_was_late_before(late: Pauses) -> None:
    table = Table(neighbour=late)
    table.neighbour.dead = 11 * SECOND
    table.run(13 * SECOND)
    seen = [moment for moment in table.watcher.lost if moment >= table.neighbour.dead]
    assert len(seen) == 1
    assert seen[0] <= table.neighbour.dead + SECOND


@pytest.mark.parametrize("longest", [400, 560, 660])
def test_a_neighbour_that_is_late_again_and_again_is_known_to_be_so(longest: int) -> None:
    """At first it may be missed; afterwards its time is longer, and what is nearly as bad does not end it."""
    late = [(second * SECOND, longest * MILLISECOND) for second in range(2, 40)]
    table = Table(neighbour=late)
    table.run(40 * SECOND)
    assert len(table.watcher.lost) <= 1
    assert len(table.watcher.back) == len(table.watcher.lost)


def test_that_is_forgotten_when_it_is_punctual_again() -> None:
    table = Table(neighbour=[(2 * SECOND, 450 * MILLISECOND)])
    table.run(3 * SECOND)
    known = table.watcher.liveness.neighbours[NEIGHBOUR]
    assert known.spread > 100 * MILLISECOND
    table.run(90 * SECOND)
    assert known.spread < 10 * MILLISECOND


def test_a_machine_that_is_always_late_sees_a_death_all_the_same() -> None:
    """Who can keep a router busy cannot hide a death from it for good."""
    table = Table(watcher=[(moment * 100 * MILLISECOND, 90 * MILLISECOND) for moment in range(600)])
    table.run(5 * SECOND)
    table.neighbour.dead = 5 * SECOND
    table.run(20 * SECOND)
    assert table.watcher.lost
    assert table.watcher.lost[0] - table.neighbour.dead < 4 * SECOND
