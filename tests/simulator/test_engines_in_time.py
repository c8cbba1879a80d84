"""The real engines in simulated time: what a handover takes, and how many messages (`standards.md` 7.4, 7.5).

Places: the database at 0. a is the delay from the serving router to it, c_i from it to an anchor, p_i from there to the
serving router.
"""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.sim.ledger import Purpose
from sojourn.sim.world import World
from sojourn.wire.units import MILLISECOND, SECOND
from support.simulations import Event, asymmetric, star, walk, world

DELAYS = star(2.0, 3.0, 5.0, 7.0, across=4.0)
"""Milliseconds from the database; 4 ms between routers."""
A, C, P = 7.0, (2.0, 3.0, 5.0), 4.0
"""For the walk 1, 2, 3, 4: serving router 4, anchors 1, 2, 3."""


def last_handover(mode: str, **settings: Any) -> tuple[World, int]:
    """The walk 1, 2, 3, 4 with a session at each place that never ends; its world, and the last turn."""
    return world(DELAYS, walk(1, 2, 3, 4), 40.0, mode=mode, **settings), 3


def since(made: World, turn: int, instant: int) -> float:
    """Milliseconds since the attachment."""
    return (instant - turn * 10 * SECOND) / MILLISECOND


def restored(made: World, turn: int) -> dict[int, float]:
    """Old prefixes by anchor: milliseconds until their packets reach the node again."""
    found = list(made.seen.restored)
    rows = zip(found[::3], found[1::3], found[2::3], strict=True)
    return {anchor: since(made, turn, at) for number, anchor, at in rows if number == turn}


@pytest.mark.parametrize(
    ("mode", "registered", "old"),
    [
        ("proxy", 2 * A, {i + 1: max(2 * A, A + c + P) for i, c in enumerate(C)}),
        ("relay", 2 * A + 2 * max(C), {i + 1: max(2 * A + 2 * max(C), A + c + P) for i, c in enumerate(C)}),
        ("locator", min(A + c + P for c in C), {i + 1: A + c + P for i, c in enumerate(C)}),
        ("direct", 0.0, {1: 4 * P, 2: 4 * P, 3: 2 * P}),  # the last one is known, and names the others
    ],
)
def test_latencies_are_those_of_the_message_order(mode: str, registered: float, old: dict[int, float]) -> None:
    made, turn = last_handover(mode)
    assert since(made, turn, made.seen.registered[turn]) == registered
    assert restored(made, turn) == old
    assert made.seen.advertised[turn] == turn * 10 * SECOND  # a new prefix is there at once


@pytest.mark.parametrize(
    ("mode", "usable"), [("proxy", 2 * A), ("relay", 2 * A + 2 * max(C)), ("locator", min(A + c + P for c in C))]
)
def test_a_new_prefix_that_waits_for_its_confirmation_comes_with_it(mode: str, usable: float) -> None:
    made, turn = last_handover(mode, advertise_confirmed=True)
    assert since(made, turn, made.seen.advertised[turn]) == usable


@pytest.mark.parametrize(
    ("a", "c", "p", "relay", "proxy"), [(10, 10, 4, 40, 24), (2, 2, 2, 8, 6), (25, 25, 5, 100, 55)]
)
def test_the_examples_of_the_standards_sheet(a: float, c: float, p: float, relay: float, proxy: float) -> None:
    expected = {"relay": relay, "proxy": proxy, "locator": proxy}
    for mode, latency in expected.items():
        made = world(star(c, a, across=p), walk(1, 2), 20.0, mode=mode)
        assert restored(made, 1) == {1: latency}


def test_delays_need_not_be_symmetric() -> None:
    there = asymmetric((0, 1, 2), (10, 0, 4), (20, 8, 0))
    made = world(there, walk(1, 2), 20.0, mode="proxy")
    assert since(made, 1, made.seen.registered[1]) == 20 + 2
    assert restored(made, 1) == {1: max(20 + 2, 20 + 1 + 4)}


@pytest.mark.parametrize(
    ("mode", "first", "each"), [("proxy", 2, 2), ("relay", 2, 2), ("locator", 1, 3), ("direct", 0, 2)]
)
def test_messages_of_a_handover_are_as_drawn(mode: str, first: int, each: int) -> None:
    """RFC 8885 3.2 to 3.4: 2 + 2k in proxy and relay mode, 1 + 3k in locator mode; k is 1, 2, 3 in this walk.

    2k in direct mode, where nobody is asked at a first attachment.
    """
    made, _ = last_handover(mode)
    assert [made.seen.contacted[turn] for turn in range(4)] == [0, 1, 2, 3]
    assert made.ledger.of_turn.tolist() == [0 if mode == "direct" else 2, *(first + each * k for k in (1, 2, 3))]


@pytest.mark.parametrize(("mode", "messages"), [("proxy", 4), ("direct", 2)])
def test_a_prefix_without_sessions_retires_when_the_hold_is_over(mode: str, messages: int) -> None:
    """The anchor asks the CMD, which tells the serving router; or it tells that itself."""
    quiet = walk(1, 2, sessions=False)
    before = world(DELAYS, quiet, 10.0 + 3.0, idle_hold=3 * SECOND, mode=mode)
    assert before.ledger.by_purpose[Purpose.RETIREMENT] == 0
    after = world(DELAYS, quiet, 10.0 + 4.0, idle_hold=3 * SECOND, mode=mode)
    assert after.ledger.by_purpose[Purpose.RETIREMENT] == messages
    assert after.routers[1].role.engine.show("sessions", 0) == []
    assert [row["prefixes"] for row in after.routers[2].role.engine.show("sessions", 0)] == [
        [f"{_prefix(after, 2)} preferred"]
    ]


def _prefix(made: World, place: int) -> object:
    return made.routers[place].role.engine.show("bindings", 0)[0]["prefix"]


def test_a_session_keeps_its_prefix_until_it_is_over_and_one_hold_more() -> None:
    events: list[Event] = [
        (0.0, 0, "attach", 1),
        (1.0, 0, "begin", 0, 0),
        (10.0, 0, "attach", 2),
        (20.0, 0, "attach", 3),
        (25.0, 0, "end", 0),
    ]
    made = world(DELAYS, events, 26.0)
    assert made.seen.contacted[2] == 2
    assert made.ledger.by_purpose[Purpose.RETIREMENT] == 4  # only that of place 2
    made = world(DELAYS, events, 27.0)
    assert made.ledger.by_purpose[Purpose.RETIREMENT] == 8


def test_who_returns_finds_the_old_prefix_and_nobody_tunnels_to_itself() -> None:
    made = world(DELAYS, walk(1, 2, 1), 30.0)
    sessions = made.routers[1].role.engine.show("sessions", 0)
    assert [row["presence"] for row in sessions] == ["served"]
    assert len(sessions[0]["prefixes"]) == 2  # type: ignore[arg-type]
    assert made.seen.contacted[2] == 1
    assert restored(made, 2) == {2: max(2 * 2.0, 2.0 + 3.0 + 4.0)}


def test_who_leaves_is_forgotten_when_its_lifetime_is_over() -> None:
    events: list[Event] = [(0.0, 0, "attach", 1), (10.0, 0, "attach", 2), (20.0, 0, "leave")]
    made = world(DELAYS, events, 100.0, lifetime=40 * SECOND)
    for router in made.routers.values():
        assert router.role.engine.show("sessions", 0) == []


def test_who_stays_is_asked_for_a_sign_of_life_and_refreshed() -> None:
    made = world(DELAYS, walk(1), 100.0, lifetime=40 * SECOND)
    assert made.routers[1].role.engine.show("sessions", 0)[0]["presence"] == "served"
    assert made.ledger.by_purpose[Purpose.UPKEEP] >= 8


def test_what_is_lost_is_sent_again() -> None:
    made = world(DELAYS, walk(*(1, 2, 3, 4) * 10), 400.0, loss=0.1, seed=5)
    assert made.ledger.lost > 10
    assert min(made.seen.registered) >= 0


def test_engines_that_take_their_time_are_waited_for() -> None:
    took = 3 * MILLISECOND
    made, turn = last_handover("proxy", processing=took)
    assert since(made, turn, made.seen.registered[turn]) == 2 * A + 2 * 3.0  # database, and the router itself


def test_a_node_that_moves_faster_than_its_signalling_is_found_in_the_end() -> None:
    events: list[Event] = [(0.001 * number, 0, "attach", 1 + number % 4) for number in range(30)]
    made = world(DELAYS, events, 30.0)
    presences = {
        place: [row["presence"] for row in router.role.engine.show("sessions", 0)]
        for place, router in made.routers.items()
    }
    assert presences[2] == ["served"]
    assert [places for place, places in presences.items() if place != 2] == [[], [], []]
