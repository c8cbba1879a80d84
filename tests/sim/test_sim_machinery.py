"""The simulation itself: a seed is always the same, nothing that can happen is left out, and episodes get short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

import pytest

from sim.clock import EPOCH, Clock
from sim.dmm import Dmm
from sim.episode import CASTS, described, happenings_of, play
from sim.happenings import Attack, Begin, Boot, Die, Expect, Fail, Happening, Leave, Roam
from sim.script import EVENTS, TEMPERS
from sim.shrink import shrink
from sim.stage import Stage
from sim.trace import Trace
from sim.world import Machine, World
from sojourn.core.effects import StoreBinding
from sojourn.core.events import ClockStepped, NodeSeen, Sighting
from sojourn.engines.configuration import CENTRAL
from sojourn.wire.units import HOUR, SECOND
from support.toy import MAC, OURS, Scripted

pytestmark = pytest.mark.sim


def _traced(seed: int, happenings: Sequence[Happening] | None = None) -> list[str]:
    lines: list[str] = []
    play(seed, happenings=happenings, watch=lambda stage: Trace(stage, lines.append))
    return lines


# --- episodes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_a_seed_is_always_the_same_to_the_last_effect(seed: int) -> None:
    lines = _traced(seed)
    assert len(lines) > 500
    assert lines == _traced(seed)


def test_a_list_of_happenings_replays_as_the_seed_that_made_it() -> None:
    assert _traced(7, happenings_of(7, Dmm)) == _traced(7)


@pytest.mark.parametrize("name", CASTS)
def test_seeds_let_everything_happen_that_can_happen(name: str) -> None:
    seen: Counter[type] = Counter()
    tempers = set()
    for seed in range(60):
        happenings = happenings_of(seed, CASTS[name])
        assert len(happenings) == EVENTS
        seen.update(map(type, happenings))
        tempers.add(CASTS[name](seed).temper)
    strangers = any(CASTS[name](seed).attacks for seed in range(60))
    expected = any("expect" in CASTS[name](seed).besides for seed in range(60))
    unseen = (set() if strangers else {Attack}) | (set() if expected else {Expect})
    if not any("fail" in CASTS[name](seed).besides for seed in range(60)):
        unseen.add(Fail)
    assert seen.keys() == set(get_args(Happening)) - unseen
    assert tempers == TEMPERS.keys()


def test_seeds_draw_every_mode_and_every_shape() -> None:
    drawn = {(players.domain.mode, players.shape.__name__) for players in map(Dmm, range(150))}
    assert len(drawn) == len(CENTRAL) * 5


@pytest.mark.parametrize("seed", range(3))
def test_every_happening_makes_sense_alone(seed: int) -> None:
    """Whatever is left out of an episode, the rest can be played."""
    for happening in {type(happening): happening for happening in happenings_of(seed + 3, Dmm)}.values():
        assert play(seed + 3, happenings=[happening]).faults == []


@pytest.mark.slow
def test_sessions_are_claimed_and_not_only_excused() -> None:
    """The reference model would be worth nothing if everything were excused."""
    outcomes = [play(seed) for seed in range(40)]
    flows = sum(outcome.flows for outcome in outcomes)
    assert flows > 300
    assert sum(outcome.excused for outcome in outcomes) < 0.75 * flows


def test_an_engine_that_raises_is_a_fault() -> None:
    def broken(configuration: object, epoch: int) -> Scripted:
        def answer(event: object, now: int) -> list[object]:
            raise ZeroDivisionError("on purpose")

        return Scripted(answer)  # type: ignore[arg-type]

    outcome = play(1, lambda seed: Dmm(seed, cmd_engine=broken))
    assert "ZeroDivisionError: on purpose" in outcome.faults[0]


def test_a_session_that_is_cut_though_all_is_calm_is_a_fault() -> None:
    """A node walks; the second router forgets its way back to the first."""
    happenings = [Roam("mn1", "ar1", then=SECOND), Begin("mn1"), Roam("mn1", "ar2", then=SECOND), Leave("mn2")]
    seed = next(seed for seed in range(100) if _plain(Dmm(seed)))

    def sabotage(stage: Stage) -> None:
        def cut(number: int, happening: Happening) -> None:
            if number == 3:
                uplinks = stage.world.machines["ar2"].plane.state.uplinks
                uplinks.pop(next(prefix for prefix, anchor in uplinks.items() if anchor is not None))

        stage.before = cut

    assert play(seed, happenings=happenings).faults == []
    assert any("ways from" in fault for fault in play(seed, happenings=happenings, watch=sabotage).faults)


def _plain(players: Dmm) -> bool:
    return not players.tight and players.cap > 2 and len(players.air.nodes) > 1


# --- shrinking ------------------------------------------------------------------------------------------------------


def test_a_failing_episode_gets_short_and_simple() -> None:
    happenings = happenings_of(3, Dmm)
    roams = [happening for happening in happenings if isinstance(happening, Roam)]
    culprits = [roams[5], roams[40]]

    def fails(candidate: Sequence[Happening]) -> bool:
        kept = [happening for happening in candidate if isinstance(happening, Roam)]
        names = [(roam.node, roam.place) for roam in kept]
        first = (culprits[0].node, culprits[0].place)
        return first in names and (culprits[1].node, culprits[1].place) in names[names.index(first) + 1 :]

    short = shrink(happenings, fails, 20.0)
    assert short == [Roam(culprit.node, culprit.place) for culprit in culprits]


def test_what_is_printed_can_be_pasted_into_a_test() -> None:
    happenings = [Roam("mn1", "ar2", then=SECOND), Die("cmd", fuse=3), Boot("cmd", store=False)]
    text = described("dmm", 3, ["something is wrong"], happenings)
    assert "something is wrong" in text
    assert "make sim CAST=dmm SEED=3" in text
    pasted = [line.strip().rstrip(",") for line in text.splitlines() if line.startswith("    ")]
    assert [eval(line) for line in pasted] == happenings


# --- machines -------------------------------------------------------------------------------------------------------


def _machine(engine: Scripted) -> Machine:
    machine = Machine(World(), "m", OURS, lambda epoch: engine)
    machine.start()
    return machine


SEEN = NodeSeen("acc0", MAC, Sighting.STATION)


def test_a_process_that_dies_in_the_middle_does_no_more_and_keeps_what_it_stored() -> None:
    engine = Scripted(lambda event, now: [StoreBinding(b"a", b"1")])
    machine = _machine(engine)
    machine.fuse = 1
    machine.tell(SEEN)
    assert machine.store == {b"a": b"1"}
    machine.store.clear()
    machine.tell(SEEN)
    assert machine.driver is None
    assert machine.store == {}
    machine.boot()
    assert machine.driver is not None


def test_what_arrives_at_a_process_that_stands_still_waits_for_it() -> None:
    engine = Scripted()
    machine = _machine(engine)
    machine.pause()
    machine.tell(SEEN)
    machine.tell(SEEN)
    assert engine.told == []
    machine.resume()
    assert [event for _, event in engine.told[:2]] == [SEEN, SEEN]


@pytest.mark.parametrize(("cast", "seed"), [("partners", 954733069), ("partners", 130139), ("stand-in", 955595056)])
def test_nothing_is_expected_of_a_node_that_was_with_a_dead_router_for_too_long(cast: str, seed: int) -> None:
    """Nobody refreshed its binding there; and a stay at a router that was dead already is no stay at home."""
    assert play(seed, CASTS[cast]).faults == []


def test_a_clock_that_is_set_is_told_and_one_that_drifts_is_not() -> None:
    engine = Scripted()
    machine = _machine(engine)
    machine.run_clock_at(5_000)
    for _ in range(3):
        machine.world.run(2 * SECOND)
        machine.tell(SEEN)
    assert [event for _, event in engine.told] == [SEEN] * 3
    machine.clock.step(2 * HOUR)
    machine.world.run(2 * SECOND)
    machine.tell(SEEN)
    assert engine.told[3][1] == ClockStepped(machine.clock.epoch)


def test_a_timer_fires_when_the_clock_of_the_machine_says_so() -> None:
    engine = Scripted()
    machine = _machine(engine)
    machine.run_clock_at(100_000)  # ten per cent too fast
    engine.due = [(11 * SECOND, [])]
    machine.tell(SEEN)
    machine.world.run(10 * SECOND - 1)
    assert engine.due
    machine.world.run(1)
    assert not engine.due


@pytest.mark.parametrize("rate", [-5_000, 0, 1, 777, 100_000])
def test_a_reading_comes_at_the_first_instant_that_shows_it(rate: int) -> None:
    clock = Clock(ahead=5 * SECOND)
    clock.run_at(rate, 3 * SECOND)
    for reading in (3 * SECOND + 1, 10 * SECOND + 7, 1_000 * SECOND):
        moment = clock.when(reading)
        assert clock.monotonic(moment) >= reading > clock.monotonic(moment - 1)
    assert clock.wall(0) == EPOCH + 5 * SECOND + clock.monotonic(0)
