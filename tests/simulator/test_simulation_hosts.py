"""Mobile IPv6 in the simulator: hosts with engines of their own (RFC 6275), with anchors (RFC 8818) or one for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sojourn.sim.figures import Reckoning
from sojourn.sim.ledger import Purpose
from sojourn.sim.world import World
from sojourn.wire.units import MILLISECOND
from support.simulations import Event, star, walk, world

TOPOLOGY = star(5.0, 5.0, 5.0, across=3.0)
"""Place 0 in the middle; 5 ms to each of three, which are 3 ms apart."""


def _hosts(events: list[Event], seconds: float = 100.0, **settings: Any) -> World:
    return world(TOPOLOGY, events, seconds, mode="mipv6", **{"wireless": 1 * MILLISECOND, **settings})


def _messages(made: World) -> list[int]:
    return [int(count) for count in made.ledger.by_purpose]


def _restored(made: World) -> list[tuple[int, int, float]]:
    """Turn, place of the anchor, and ms since the turn began."""
    begin = made._itinerary.visits.begin
    rows = np.asarray(made.seen.restored, np.int64).reshape(-1, 3)
    return [(int(turn), int(place), (int(at) - int(begin[turn])) / MILLISECOND) for turn, place, at in rows]


@pytest.mark.parametrize("wire", ["off", "size", "full"])
@pytest.mark.parametrize("settings", [{}, {"anchors": False}, {"anchors": False, "route_optimisation": True}])
def test_what_happens_does_not_depend_on_how_messages_travel(wire: str, settings: dict[str, Any]) -> None:
    events = walk(1, 2, 3, 1)
    plain = _hosts(events, **settings)
    other = _hosts(events, wire=wire, **settings)
    assert (other.ledger.digest, _messages(other)) == (plain.ledger.digest, _messages(plain))


def test_with_anchors_each_old_prefix_in_use_costs_an_exchange_over_the_wireless_link() -> None:
    """From 1 to 2 and 3, with a session begun at each: one exchange, then two."""
    made = _hosts(walk(1, 2, 3), 29.0)
    assert made.ledger.of_turn.tolist() == [0, 2, 4]
    assert _restored(made) == [(1, 1, 8.0), (2, 2, 8.0), (2, 1, 8.0)] or sorted(_restored(made)) == [
        (1, 1, 8.0), (2, 1, 8.0), (2, 2, 8.0),
    ]  # fmt: skip


def test_an_address_that_no_session_uses_costs_nothing() -> None:
    made = _hosts(walk(1, 2, 3, sessions=False), 29.0)
    assert made.ledger.messages == 0


def test_when_the_last_session_is_over_the_binding_ends() -> None:
    made = _hosts(walk(1, 2, long=8.0), 60.0)
    assert _messages(made)[Purpose.HANDOVER] == 2
    assert _messages(made)[Purpose.RETIREMENT] == 2


def test_back_at_an_anchor_its_binding_ends_before_the_others_move() -> None:
    """2 ms on the link itself, and then 8 for the other anchor."""
    made = _hosts(walk(1, 2, 1), 29.0)
    assert made.ledger.of_turn.tolist() == [0, 2, 4]
    assert (2, 2, 10.0) in _restored(made)


def test_with_one_home_agent_each_move_is_one_exchange_with_it() -> None:
    made = _hosts(walk(1, 2, 3), 29.0, anchors=False)
    assert made.ledger.of_turn.tolist() == [2, 2, 2]
    assert [row[1:] for row in _restored(made)] == [(0, 12.0)] * 3
    registered = np.asarray(made.seen.registered) - made._itinerary.visits.begin
    assert [value / MILLISECOND for value in registered.tolist()] == [12.0] * 3


def test_the_direct_way_costs_tests_and_an_exchange_with_each_correspondent_and_none_of_the_stretch() -> None:
    """Two tests and a registration (6) when the session begins; at the move the home token is fresh: 4."""
    events: list[Event] = [(0, 0, "attach", 1), (5, 0, "begin", 1, 2), (10, 0, "attach", 3), (80, 0, "end", 1)]
    made = _hosts(events, 29.0, anchors=False, route_optimisation=True)
    assert made.ledger.of_turn.tolist()[1] == 2 + 4
    assert _messages(made)[Purpose.UPKEEP] == 6
    plain, direct = (_stretch(events, direct) for direct in (False, True))
    assert plain > 1.5
    assert direct == 1.0


def _stretch(events: list[Event], direct: bool) -> float:
    from sojourn.sim.itinerary import understand
    from sojourn.wire.units import SECOND
    from support.workloads import stream

    itinerary = understand(stream(*events), 29 * SECOND, SECOND, 0)
    reckoning = Reckoning(itinerary, TOPOLOGY, warm_up=0, end=29 * SECOND, central=True, direct=direct)
    reckoning.sessions()
    return reckoning.figures.actual.total / reckoning.figures.direct.total
