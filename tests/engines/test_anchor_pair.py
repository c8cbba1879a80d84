"""Two LMAs for one address: one of them is it, whoever dies, is cut off or hangs; and nobody takes back."""

from __future__ import annotations

import random

import pytest

from sojourn.core.events import MessageReceived
from sojourn.engines.anchor_pair import ACTIVE, STANDBY
from sojourn.wire import Heartbeat
from sojourn.wire.addresses import address
from sojourn.wire.units import MILLISECOND, SECOND, Instant
from support.anchor_pair import DETECTED, FAST, OWN, WAY, Pair, begun


def test_whoever_comes_first_is_it_and_nobody_else_ever() -> None:
    pair = begun()
    assert pair.run(600 * SECOND) == [0]
    assert pair.store.epoch == 1


def test_of_two_that_begin_at_once_the_store_takes_one() -> None:
    pair = Pair()
    for machine in pair.machines:
        machine.start()
    assert len(pair.run(5 * SECOND)) == 1
    assert pair.store.epoch == 1


def test_one_that_dies_is_replaced_within_a_second_and_stands_by_when_it_is_back() -> None:
    pair = begun()
    pair.machines[0].kill()
    assert pair.run(DETECTED) == [1]
    pair.machines[0].start()
    assert pair.run(60 * SECOND) == [1]
    pair.machines[1].kill()
    assert pair.run(DETECTED) == [0]
    assert pair.store.epoch == 3


def test_one_that_is_back_before_it_is_missed_goes_on() -> None:
    pair = begun()
    pair.machines[0].kill()
    pair.run(300 * MILLISECOND)
    pair.machines[0].start()
    assert pair.run(20 * SECOND) == [0]
    assert pair.store.epoch == 2


def test_one_that_hung_gives_up_within_a_beat_when_it_goes_on() -> None:
    pair = begun()
    pair.machines[0].frozen = True
    pair.run(5 * SECOND)
    assert pair.machines[1].serving == 2
    pair.machines[0].thaw()
    assert pair.run(FAST.interval) == [1]
    assert pair.run(60 * SECOND) == [1]


@pytest.mark.parametrize("ways", [{(0, 1)}, {(1, 0)}, {(0, 1), (1, 0)}])
def test_who_cannot_be_heard_is_replaced_once_and_does_not_take_back(ways: set[tuple[int, int]]) -> None:
    """Both reach the store all the time: nothing goes to and fro."""
    pair = begun()
    pair.cut |= ways
    assert pair.run(60 * SECOND) in ([0], [1])
    assert pair.store.epoch <= 2
    pair.cut.clear()
    pair.run(10 * SECOND)
    assert pair.store.epoch <= 2


def test_cut_off_from_everybody_it_gives_up_when_the_other_one_takes_over() -> None:
    pair = begun()
    pair.cut |= {(0, 1), (1, 0), (0, 2), (2, 0)}
    both: list[Instant] = []
    assert pair.run(5 * SECOND, lambda: both.append(pair.now) if len(pair.active()) > 1 else None) == [1]
    assert not both or both[-1] - both[0] <= FAST.interval
    pair.cut.clear()
    assert pair.run(10 * SECOND) == [1]


def test_a_store_that_is_away_changes_nothing() -> None:
    pair = begun()
    pair.cut |= {(0, 2), (1, 2)}
    assert pair.run(60 * SECOND) == [0]
    pair.cut.clear()
    assert pair.run(10 * SECOND) == [0]
    assert pair.store.epoch == 1


def test_one_that_cannot_reach_the_store_is_replaced_by_one_that_can_and_hears_so_from_it() -> None:
    """It could answer nobody. What tells it is the other one, as the store does not."""
    pair = begun()
    pair.cut.add((0, 2))
    assert pair.run(10 * SECOND) == [1]


def test_a_store_that_is_away_while_the_other_one_is_stopped_in_order_changes_nothing() -> None:
    """It said that it goes: its silence means nothing."""
    pair = begun()
    machine = pair.machines[1]
    machine.told("stop")
    pair.run(1 * SECOND)
    machine.kill()
    pair.cut |= {(0, 2), (1, 2)}
    assert pair.run(60 * SECOND) == [0]


def test_cut_off_by_a_silent_partner_and_store_it_is_it_again_as_soon_as_the_store_answers() -> None:
    pair = begun()
    pair.machines[1].kill()
    pair.run(2 * SECOND)
    pair.cut.add((0, 2))
    assert pair.run(3 * SECOND) == [], "nobody can know that the other one has not got it"
    pair.cut.clear()
    assert pair.run(2 * SECOND) == [0]


def test_one_that_took_over_and_is_busy_with_that_does_not_give_up() -> None:
    """Its own lateness is no silence of the store."""
    pair = begun()
    pair.machines[0].kill()
    successor = pair.machines[1]

    def busy() -> None:
        successor.frozen = bool(successor.serving)

    assert pair.run(DETECTED + 1 * SECOND, busy) == [1]
    successor.thaw()
    pair.run(30 * SECOND)
    assert pair.store.epoch == 2


def test_one_that_was_late_itself_does_not_take_that_for_a_silence_of_the_store() -> None:
    """The answer is there, and was not read yet; the other one died before."""
    pair = begun()
    machine = pair.machines[0]
    pair.machines[1].kill()
    pair.run(2 * SECOND)
    while machine.asked is None:
        pair.run(1 * MILLISECOND)
    pair.run(2 * WAY)
    machine.frozen = True
    pair.run(2 * SECOND)
    machine.thaw()
    assert pair.run(10 * SECOND) == [0]
    assert pair.store.epoch == 1


def test_one_that_took_over_from_a_dead_partner_outlives_a_store_that_is_away() -> None:
    pair = begun()
    pair.machines[0].kill()
    pair.run(DETECTED)
    pair.cut.add((1, 2))
    assert pair.run(60 * SECOND) == [1]


def test_one_that_goes_is_replaced_at_once() -> None:
    pair = begun()
    machine = pair.machines[0]
    machine.told("stop")
    pair.run(20 * MILLISECOND)
    machine.kill()
    assert pair.run(20 * MILLISECOND) == [1]


def test_one_that_is_succeeded_by_another_process_is_not_replaced() -> None:
    pair = begun()
    machine = pair.machines[0]
    machine.told("leave")
    pair.run(20 * MILLISECOND)
    machine.kill()
    pair.run(5 * SECOND)
    machine.start()
    assert pair.run(30 * SECOND) == [0]
    assert pair.store.epoch == 2


def test_another_machine_without_a_pair_gets_the_address_when_the_time_of_the_lease_is_over() -> None:
    pair = begun(paired=False)
    assert pair.run(60 * SECOND) == [0]
    pair.machines[0].kill()
    assert pair.run(2 * SECOND) == []
    assert pair.run(8 * SECOND) == [1]
    pair.machines[0].start()
    assert pair.run(60 * SECOND) == [1]


def test_a_store_that_is_away_for_long_does_not_give_the_address_to_another_machine_without_a_pair() -> None:
    """The time of the lease is over, but its holder renews it first."""
    pair = begun(paired=False)
    for _ in range(5):
        pair.cut |= {(0, 2), (1, 2)}
        pair.run(20 * SECOND)
        pair.cut.clear()
        assert pair.run(5 * SECOND) == [0]
    assert pair.store.epoch == 1


NAMESAKES = ("lma", "lma")


def test_two_machines_of_one_name_do_not_take_the_lease_from_each_other_again_and_again() -> None:
    """Both took it for their own: the address went to and fro every second."""
    pair = Pair(paired=False, names=NAMESAKES)
    pair.machines[0].start()
    pair.run(3 * SECOND)
    pair.machines[1].start()  # takes what it finds for that of an earlier life, where the daemon did not notice
    assert pair.run(60 * SECOND) == [1]
    assert pair.store.epoch == 2
    assert pair.machines[0].reports[-1] == "name-taken"


def test_of_two_machines_of_one_name_that_claim_at_once_one_gets_the_lease() -> None:
    """Both found their name as that of the holder."""
    pair = Pair(paired=False, names=NAMESAKES)
    for machine in pair.machines:
        machine.start()
    (there,) = pair.run(30 * SECOND)
    assert pair.store.epoch == 1
    assert pair.machines[1 - there].reports == ["name-taken"]
    pair.machines[there].kill()
    assert pair.run(10 * SECOND) == [1 - there]


def test_strangers_are_not_heard() -> None:
    pair = begun()
    machine = pair.machines[1]
    assert machine.engine is not None
    stranger = MessageReceived(Heartbeat(0, 7), address("2001:db8::bad"), OWN[1])
    assert machine.engine.handle(stranger, pair.now) == []


def test_what_it_costs() -> None:
    """At most ten messages a second between both, one question to the store in an interval or a second."""
    pair = begun()
    sent: list[int] = []
    asked: list[int] = []
    send, ask = pair.send, pair.ask
    pair.send = lambda origin, effect: (sent.append(origin), send(origin, effect))[1]  # type: ignore[method-assign]
    pair.ask = lambda machine, *rest: (asked.append(machine.number), ask(machine, *rest))[1]  # type: ignore[method-assign]
    pair.run(60 * SECOND)
    assert len(sent) <= 60 * 12
    assert asked.count(0) <= 60 * 4 + 1
    assert asked.count(1) <= 60 + 1


# --- everything at once -----------------------------------------------------------------------------------------------


def _fault(pair: Pair, luck: random.Random) -> None:
    machine = luck.choice(pair.machines)
    match luck.randrange(6):
        case 0:
            machine.kill()
        case 1:
            if machine.engine is None:
                machine.start()
        case 2:
            machine.frozen = machine.engine is not None
        case 3:
            if machine.frozen:
                machine.thaw()
        case 4:
            pair.cut.add(luck.choice([(0, 1), (1, 0), (0, 2), (1, 2)]))
        case 5:
            pair.cut.clear()


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_one_is_it_as_soon_as_it_can_be_known(seed: int) -> None:
    """At no time do two act under one lease; two that are awake are one within the time of a detection; and when all is
    well again, one of them is it, and stays it.

    But one that has not heard its partner since it is active, and does not reach the store, keeps what it has: a
    partner that is down while the store changes its primary is more likely than one that comes up and is not heard.
    """
    luck, pair = random.Random(seed), begun()
    both_since: Instant | None = None

    def check() -> None:
        nonlocal both_since
        epochs = [machine.serving for machine in pair.machines if machine.serving]
        assert len(set(epochs)) == len(epochs)
        awake = [machine for machine in pair.machines if machine.serving and not machine.frozen]
        deaf = any(machine.engine is not None and not machine.engine._heard for machine in awake)
        if len(awake) < 2 or deaf:
            both_since = None
        elif both_since is None:
            both_since = pair.now
        else:
            assert pair.now - both_since <= DETECTED, "two LMAs at one address"

    for _ in range(30):
        _fault(pair, luck)
        pair.run(luck.choice([50, 300, 1000, 4000]) * MILLISECOND, check)
    pair.cut.clear()
    for machine in pair.machines:
        if machine.frozen:
            machine.thaw()
        if machine.engine is None:
            machine.start()
    assert len(pair.run(15 * SECOND, check)) == 1
    epoch = pair.store.epoch
    assert len(pair.run(60 * SECOND, check)) == 1
    assert pair.store.epoch == epoch
    standing = sorted(machine.engine.standing.value for machine in pair.machines if machine.engine)
    assert standing == sorted((ACTIVE.value, STANDBY.value))
