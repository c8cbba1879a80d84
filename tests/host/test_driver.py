"""The driver: batches, order, one commit, failures that come back, one timer."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from sojourn.core.effects import (
    Advertise,
    CheckBinding,
    CountTraffic,
    DeleteBinding,
    Effect,
    EnsureCounter,
    EnsureDelivery,
    EnsureHold,
    EnsurePrefix,
    EnsureTunnel,
    ProbeNode,
    Report,
    SendMessage,
    StoreBinding,
    StoreEffect,
)
from sojourn.core.events import (
    ClockStepped,
    Commanded,
    EffectFailed,
    Event,
    MessageReceived,
    NodeDetached,
    NodeSeen,
    Sighting,
    TrafficCounted,
)
from sojourn.host.driver import FOLLOW_UPS
from sojourn.host.notes import RECENT
from sojourn.stores import MemoryStore, StoreError
from sojourn.wire import BindingAcknowledgement, BindingError, Heartbeat, HeartbeatFlags
from sojourn.wire.units import MILLISECOND, SECOND
from support.toy import MAC, OURS, PEER, PREFIX, Scripted, World

SEEN = NodeSeen("acc0", MAC, Sighting.STATION)
GONE = NodeDetached("acc0", MAC)
MESSAGE = SendMessage(BindingError(2, bytes(16)), OURS, PEER)
SENT = ("send", MESSAGE.message, OURS, PEER)


def test_effects_are_carried_out_in_order() -> None:
    advertise = Advertise("acc0", MAC, OURS, MAC, SECOND, ())
    probe = ProbeNode("acc0", MAC, None)
    effects: list[Effect] = [EnsureTunnel(1, PEER), EnsurePrefix(PREFIX, 1), MESSAGE, advertise, probe, EnsureHold(1)]
    world = World(Scripted(lambda event, now: effects))
    world.driver.dispatch([SEEN])
    assert world.log == [EnsureTunnel(1, PEER), EnsurePrefix(PREFIX, 1), SENT, advertise, probe, EnsureHold(1)]


def test_a_batch_is_stored_with_one_commit_before_anything_later_is_sent() -> None:
    answers: dict[type, list[Effect]] = {
        NodeSeen: [MESSAGE, StoreBinding(b"a", b"1")],
        NodeDetached: [DeleteBinding(b"b"), MESSAGE, EnsureHold(1)],
    }
    world = World(Scripted(lambda event, now: answers[type(event)]))
    world.driver.dispatch([SEEN, GONE])
    commit = ("commit", [StoreBinding(b"a", b"1"), DeleteBinding(b"b")])
    assert world.log == [SENT, EnsureHold(1), commit, SENT]


def test_nobody_waits_for_counters() -> None:
    answer: list[Effect] = [EnsureCounter(PREFIX), EnsureHold(1), StoreBinding(b"a", b"1"), MESSAGE]
    world = World(Scripted(lambda event, now: answer))
    world.driver.dispatch([SEEN])
    commit = ("commit", [StoreBinding(b"a", b"1")])
    assert world.log == [EnsureHold(1), commit, SENT, EnsureCounter(PREFIX)]


def test_a_batch_without_bindings_does_not_trouble_the_store() -> None:
    world = World(Scripted(lambda event, now: [MESSAGE]))
    world.driver.dispatch([SEEN])
    assert world.log == [SENT]


def test_what_the_kernel_refuses_returns_after_the_batch_and_the_rest_goes_on() -> None:
    engine = Scripted(lambda event, now: [EnsurePrefix(PREFIX, 9), MESSAGE] if event == SEEN else [])
    world = World(engine)
    world.driver.dispatch([SEEN, GONE])
    assert world.log == [SENT]
    told = [event for _, event in engine.told]
    assert told[:2] == [SEEN, GONE]
    failure = told[2]
    assert isinstance(failure, EffectFailed)
    assert failure.effect == EnsurePrefix(PREFIX, 9)
    assert failure.error == errno.ENOENT
    assert "points nowhere" in failure.reason
    assert world.driver.counters["effects-failed"] == 1


def test_what_fails_again_and_again_is_given_up() -> None:
    engine = Scripted(lambda event, now: [EnsurePrefix(PREFIX, 9)])
    world = World(engine)
    world.driver.dispatch([SEEN])
    assert len(engine.told) == 1 + FOLLOW_UPS
    assert world.driver.counters["follow-ups-dropped"] == 1
    world.driver.dispatch([GONE])
    assert len(engine.told) == 2 * (1 + FOLLOW_UPS), "the next batch begins anew"


class BrokenStore(MemoryStore):
    def apply(self, effects: object) -> None:
        raise StoreError("/x", "is full", "make room", errno.ENOSPC)


def test_a_store_that_refuses_is_told_to_the_engine_and_stops_nobody() -> None:
    answers: dict[type, list[Effect]] = {NodeSeen: [StoreBinding(b"a", b"1"), DeleteBinding(b"b"), MESSAGE]}
    engine = Scripted(lambda event, now: answers.get(type(event), []))
    world = World(engine, BrokenStore())
    world.driver.dispatch([SEEN])
    assert world.log == [SENT]
    failures = [event for _, event in engine.told if isinstance(event, EffectFailed)]
    assert [failure.effect for failure in failures] == [StoreBinding(b"a", b"1"), DeleteBinding(b"b")]
    assert {(failure.error, failure.reason) for failure in failures} == {(errno.ENOSPC, "/x: is full; make room")}


def test_an_access_link_that_is_gone_is_told_to_the_engine() -> None:
    engine = Scripted(lambda event, now: [ProbeNode("acc0", MAC, None)] if event == SEEN else [])
    world = World(engine)

    def gone(effect: object) -> None:
        raise OSError(errno.ENODEV, "no such device")

    world.driver._outlets._access = gone
    world.driver.dispatch([SEEN])
    assert engine.told[1][1] == EffectFailed(ProbeNode("acc0", MAC, None), errno.ENODEV, "no such device")


def test_counting_is_answered_with_an_event() -> None:
    answers: dict[type, list[Effect]] = {NodeSeen: [EnsureCounter(PREFIX), CountTraffic()]}
    engine = Scripted(lambda event, now: answers.get(type(event), []))
    world = World(engine)
    world.driver.dispatch([SEEN])
    assert engine.told[1][1] == TrafficCounted({PREFIX: 0})


def test_one_timer_is_armed_only_when_the_deadline_moves() -> None:
    engine = Scripted()
    world = World(engine)
    world.driver.dispatch([SEEN])
    assert world.armed == []
    engine.due = [(world.now + SECOND, [MESSAGE])]
    world.driver.dispatch([SEEN])
    world.driver.dispatch([SEEN])
    assert world.armed == [world.now + SECOND]
    world.now += SECOND
    world.driver.wake()
    assert world.log == [SENT]
    assert world.armed == [world.now]
    engine.due = [(world.now + SECOND, [])]
    world.driver.dispatch([SEEN])
    engine.due = []
    world.driver.dispatch([SEEN])
    assert world.armed[1:] == [world.now + SECOND, None]


def test_a_timer_that_fires_early_is_armed_again() -> None:
    engine = Scripted()
    engine.due = [(1_001 * SECOND, [MESSAGE])]
    world = World(engine)
    world.driver.dispatch([SEEN])
    world.driver.wake()
    assert world.log == []
    assert world.armed == [1_001 * SECOND, 1_001 * SECOND]


def test_the_engine_learns_that_the_wall_clock_was_set() -> None:
    engine = Scripted()
    wall = [1_700_000_000 * SECOND]
    world = World(engine, wall=lambda: wall[0])
    world.now += SECOND
    wall[0] += SECOND + 9 * MILLISECOND
    world.driver.dispatch([SEEN])
    wall[0] += 5 * MILLISECOND  # 14 ms by now, but the clocks were compared a moment ago
    world.driver.dispatch([SEEN])
    assert [event for _, event in engine.told] == [SEEN, SEEN]
    world.now += SECOND
    wall[0] += SECOND
    world.driver.dispatch([SEEN])
    world.now += SECOND
    wall[0] += SECOND
    world.driver.wake()
    assert [event for _, event in engine.told[2:]] == [ClockStepped(wall[0] - world.now), SEEN, None]


def test_events_that_arrive_while_one_is_handled_wait_for_it() -> None:
    engine = Scripted()
    world = World(engine)
    order: list[str] = []

    def answer(event: Event, now: int) -> list[Effect]:
        order.append(type(event).__name__)
        return [MESSAGE] if event == SEEN else []

    def loops_back(message: object, source: object, destination: object) -> None:
        world.driver.dispatch([GONE])
        order.append("sent")

    engine.answer = answer
    world.driver._outlets._send = loops_back
    world.driver.dispatch([SEEN])
    assert order == ["NodeSeen", "sent", "NodeDetached"]


def test_a_bug_in_an_engine_comes_out_and_the_next_batch_is_handled() -> None:
    def answer(event: Event, now: int) -> list[Effect]:
        if event == SEEN:
            raise ZeroDivisionError
        return [MESSAGE]

    world = World(Scripted(answer))
    with pytest.raises(ZeroDivisionError):
        world.driver.dispatch([SEEN])
    world.driver.dispatch([GONE])
    assert world.log == [SENT]


def test_start_restores_and_reconciles() -> None:
    engine = Scripted()
    engine.at_restore = [EnsureDelivery(1, "acc0", MAC), EnsurePrefix(PREFIX, 1), StoreBinding(b"a", b"2")]
    world = World(engine)
    world.store.records[b"a"] = b"1"
    world.dataplane.apply(EnsureTunnel(7, PEER))
    world.dataplane.apply(EnsureDelivery(1, "acc0", MAC))
    world.log.clear()
    removed = world.driver.start()
    assert engine.restored == [(b"a", b"1")]
    assert len(removed) == 1
    assert set(world.dataplane.state.slots) == {1}
    assert world.store.records == {b"a": b"2"}
    assert engine.told == []


@pytest.mark.parametrize(("withdraw", "log"), [(True, ["dataplane closed", "store closed"]), (False, ["store closed"])])
def test_close_leaves_forwarding_to_a_successor_or_nothing_at_all(withdraw: bool, log: list[str]) -> None:
    engine = Scripted(lambda event, now: [MESSAGE])
    world = World(engine)
    world.driver.close(withdraw)
    assert world.log == log
    assert world.armed == [None]
    world.driver.dispatch([SEEN])
    world.driver.wake()
    assert engine.told == [], "what arrives late is left alone"


def test_everything_is_counted_by_name_and_the_latest_is_kept() -> None:
    world = World(Scripted(lambda event, now: [Report("attached", {"n": 1}), EnsureHold(1)]))
    world.driver.dispatch([SEEN, GONE])
    counters = world.driver.counters
    assert counters["NodeSeen"] == counters["NodeDetached"] == 1
    assert counters["Report"] == counters["EnsureHold"] == counters["reports:attached"] == 2
    report = Report("attached", {"n": 1})
    assert [item for _, item in world.driver.recent] == [SEEN, report, GONE, report]
    for _ in range(RECENT):
        world.driver.dispatch([Commanded("x")])
    assert len(world.driver.recent) == RECENT


def test_heartbeats_push_nothing_out_of_what_is_remembered() -> None:
    """With `liveness` there are a dozen a second, and all that people could look at was gone in twenty seconds."""
    world = World(Scripted(lambda event, now: []))
    beat = MessageReceived(Heartbeat(HeartbeatFlags(0), 1), PEER, OURS)
    world.driver.dispatch([SEEN, *[beat] * (2 * RECENT)])
    assert [item for _, item in world.driver.recent] == [SEEN]
    assert world.driver.counters["MessageReceived"] == 2 * RECENT


def test_what_is_recorded_is_what_happened_in_order() -> None:
    lines: list[tuple[int, object]] = []
    engine = Scripted(lambda event, now: [EnsureHold(1)])
    world = World(engine, record=lambda now, item: lines.append((now, item)))
    world.driver.dispatch([SEEN])
    world.driver.wake()
    engine.due = [(world.now, [MESSAGE])]
    world.driver.wake()
    assert lines == [(world.now, SEEN), (world.now, EnsureHold(1)), (world.now, None), (world.now, MESSAGE)]


class Disk(MemoryStore):
    """Full or not."""

    full = True

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        if self.full:
            raise StoreError("/x", "is full", "make room", errno.ENOSPC)
        super().apply(effects)


def acknowledgement(sequence: int, status: int = 0) -> SendMessage:
    return SendMessage(BindingAcknowledgement(status, 0, sequence, SECOND), OURS, PEER)


def sequences(world: World) -> list[int]:
    """Of the acknowledgements that were sent."""
    sent = [entry[1] for entry in world.log if isinstance(entry, tuple)]
    return [message.sequence for message in sent if isinstance(message, BindingAcknowledgement)]


def test_where_a_store_is_required_nothing_is_acknowledged_before_it_took_it() -> None:
    a, b = StoreBinding(b"a", b"1"), StoreBinding(b"b", b"1")
    script: list[list[Effect]] = [
        [CheckBinding(b"c"), acknowledgement(1)],  # safe
        [EnsureHold(1), acknowledgement(2), a, MESSAGE],  # whatever comes first
        [CheckBinding(b"a"), acknowledgement(3, 131), acknowledgement(4)],  # asked again, and once refused
        [a, b, acknowledgement(5)],
    ]
    disk = Disk()
    world = World(Scripted(lambda event, now: script.pop(0) if event == SEEN else []), disk, store_required=True)
    world.driver.dispatch([SEEN, SEEN])
    assert sequences(world) == [1]
    assert EnsureHold(1) in world.log, "forwarding goes on"
    assert SENT in world.log, "and so does what is sent unasked"
    world.driver.dispatch([SEEN])
    assert sequences(world) == [1, 3]
    world.driver.dispatch([SEEN])
    assert sequences(world) == [1, 3]
    assert world.driver.counters["answers-withheld"] == 3
    disk.full = False
    for expected, effects in (([], [a]), ([5], [DeleteBinding(b"b")]), ([6], [a, acknowledgement(6)])):
        before = sequences(world)
        script.append(list(effects))
        world.driver.dispatch([SEEN])
        assert sequences(world) == before + expected, "when all that it says is safe, and the latest of each node"


def test_where_no_store_is_required_everything_is_acknowledged() -> None:
    effects: list[Effect] = [StoreBinding(b"a", b"1"), acknowledgement(1)]
    world = World(Scripted(lambda event, now: effects if event == SEEN else []), Disk())
    world.driver.dispatch([SEEN])
    assert sequences(world) == [1]
