"""Routers that die in the simulation: the engines notice, a partner takes the pool over and gives it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sojourn.files.toml import ConfigurationError
from sojourn.sim.figures import OutageFigures
from sojourn.sim.outages import Outage, drawn
from sojourn.sim.protocol import Failures
from sojourn.sim.run import simulate
from sojourn.sim.world import World
from sojourn.wire.units import MILLISECOND, SECOND
from support.simulations import Event, scenario, star, walk, world

DELAYS = star(2.0, 3.0, 5.0, 7.0, across=4.0)
DIES, BACK = 25, 55
STEP_S = 0.05


def died(mode: str, events: list[Event], *, seconds: float = 120.0, **told: Any) -> tuple[World, OutageFigures]:
    """The router at place 1 dies, and comes back; at place 4 is one that only looks on."""
    settings = {"routers": (1,), "at": (DIES * SECOND,), "lasting": (BACK - DIES) * SECOND}
    beside: list[Event] = [(0.0, 1, "attach", 3), (0.0, 2, "attach", 4)]
    failures = Failures(**{**settings, **told})
    made = world(DELAYS, sorted([*events, *beside], key=lambda one: one[0]), seconds, mode=mode, failures=failures)
    assert made.outages is not None
    return made, made.outages.figures


MOVED = walk(1, 2, every=10.0, long=1e3)
"""It has a session with an anchor at place 1, and is at place 2 from 10 s on."""


@pytest.mark.parametrize("mode", ["proxy", "relay", "locator", "direct"])
def test_a_session_whose_anchor_dies_stands_still_until_the_partner_has_its_pool(mode: str) -> None:
    """In the lab (scenario takeover): less than 1.5 s, and 0.75 s are a beat and its misses."""
    _, figures = died(mode, MOVED, partners=True)
    assert (figures.deaths, figures.takeovers) == (1, 1)
    assert (figures.elsewhere, figures.elsewhere_lost, figures.here) == (1, 0, 0)
    assert 0.5 * SECOND <= figures.elsewhere_silence.total <= 1.5 * SECOND


def test_and_as_long_as_the_anchor_is_away_without_a_partner() -> None:
    _, figures = died("proxy", MOVED)
    assert (figures.elsewhere, figures.elsewhere_lost, figures.takeovers) == (1, 0, 0)
    assert abs(figures.elsewhere_silence.total / SECOND - (BACK - DIES)) < 1.0


def test_who_gives_up_earlier_is_lost() -> None:
    _, figures = died("proxy", MOVED, gives_up=20 * SECOND)
    assert (figures.elsewhere, figures.elsewhere_lost, figures.elsewhere_silence.count) == (1, 1, 0)


def test_an_anchor_that_stays_away_loses_its_sessions_unless_it_has_a_partner() -> None:
    for partners in (False, True):
        _, figures = died("proxy", MOVED, seconds=200.0, lasting=0, partners=partners)
        assert (figures.elsewhere, figures.elsewhere_lost) == (1, 0 if partners else 1)


def test_nodes_at_the_dead_router_come_up_with_it() -> None:
    _, figures = died("proxy", walk(1, every=10.0, long=1e3), partners=True)
    assert (figures.elsewhere, figures.here, figures.here_lost) == (0, 1, 0)
    assert abs(figures.here_silence.total / SECOND - (BACK - DIES)) < 1.0


def test_a_node_that_comes_to_a_dead_router_stands_still_there() -> None:
    _, figures = died("proxy", walk(2, 3, 4, 1, every=10.0, long=1e3), partners=True)
    assert (figures.elsewhere, figures.here, figures.here_lost) == (0, 3, 0)
    assert abs(figures.here_silence.total / SECOND / 3 - (BACK - 30)) < 1.0


def test_a_node_that_moves_while_its_anchor_is_held_has_that_prefix_at_once() -> None:
    """Relay waits for the anchor's answer first, and locator too (docs/operations.md)."""
    moves = [*walk(1, 2, every=10.0, long=1e3), (35.0, 0, "attach", 3)]
    _, proxy = died("proxy", moves, partners=True)
    _, relay = died("relay", moves, partners=True)
    assert proxy.elsewhere_silence.total <= 1.5 * SECOND
    assert 1.3 * SECOND <= relay.elsewhere_silence.total - proxy.elsewhere_silence.total <= 1.6 * SECOND


def test_who_shares_state_asks_for_each_other_at_most_ten_times_a_second() -> None:
    made, _ = died("proxy", MOVED, seconds=20.0)
    survival = made.ledger.by_purpose[3]
    pairs = 4 + 1  # each router with the database, and ar1 with ar2
    assert 0 < survival <= pairs * 10 * 20


def test_a_simulation_without_failures_says_nothing_of_them() -> None:
    made = world(DELAYS, MOVED, 60.0, mode="proxy")
    assert made.outages is None
    assert made.ledger.by_purpose[3] == 0


# --- when -------------------------------------------------------------------------------------------------------------


def test_times_are_those_that_are_written() -> None:
    each = Failures((3, 5), (10 * SECOND, 20 * SECOND), lasting=5 * SECOND)
    assert drawn(each, [3, 4, 5], 0, 60 * SECOND, 1) == [
        Outage(3, 10 * SECOND, 15 * SECOND),
        Outage(5, 20 * SECOND, 25 * SECOND),
    ]
    again = Failures((3,), (10 * SECOND, 12 * SECOND, 20 * SECOND), lasting=5 * SECOND)
    assert [one.begin for one in drawn(again, [3], 0, 60 * SECOND, 1)] == [10 * SECOND, 20 * SECOND]  # dead already
    together = Failures((3, 5), (10 * SECOND,), lasting=0)
    assert drawn(together, [3, 5], 0, 60 * SECOND, 1) == [Outage(3, 10 * SECOND, None), Outage(5, 10 * SECOND, None)]
    assert drawn(together, [4], 0, 60 * SECOND, 1) == []  # nobody is ever there


def test_deaths_by_chance_are_those_of_the_seed_and_as_many_as_they_should_be() -> None:
    told = Failures(every=10 * SECOND, lasting=1 * MILLISECOND)
    found = drawn(told, range(5), 100 * SECOND, 10_100 * SECOND, 7)
    assert found == drawn(told, range(5), 100 * SECOND, 10_100 * SECOND, 7)
    assert found != drawn(told, range(5), 100 * SECOND, 10_100 * SECOND, 8)
    assert 850 <= len(found) <= 1150
    assert {one.place for one in found} == set(range(5))
    assert all(one.begin >= 100 * SECOND for one in found)


# --- files ------------------------------------------------------------------------------------------------------------

SCENARIO = """
duration = "90s"
warm_up = "20s"
wire = "size"
[topology.ring]
places = 5
delay = "2ms"
[failures]
{failures}
[mobility]
nodes = 40
[mobility.walk]
dwell = "30s"
to = "neighbours"
[sessions.web]
every = "20s"
lasting = "60s"
"""


def test_a_scenario_with_failures_says_what_came_of_them(tmp_path: Path) -> None:
    told = 'every = "15s"\nlasting = "5s"\npartner = "nearest"'
    read = scenario(tmp_path, SCENARIO.format(failures=told))
    found = [
        simulate(read.topology(), read.workload(read.topology()), read.settings, seed=read.seed, jobs=jobs)
        for jobs in (1, 2)
    ]
    assert found[0]["log"] == found[1]["log"]
    failures = found[0]["failures"]
    assert found[0]["failed"] == []
    assert failures == found[1]["failures"]
    assert failures["deaths"] >= 2
    assert failures["takeovers"] >= 2
    assert failures["sessions"] > 0
    assert failures["lost"] == 0
    assert failures["silence_s"]["mean"] <= 2.0
    assert failures["messages"] == found[0]["signalling"]["survival"] > 0


@pytest.mark.parametrize(
    ("failures", "mode", "complaint"),
    [
        ('routers = ["r1"]', "proxy", "says not when routers die; expected at or every"),
        ('at = ["30s"]\nevery = "1m"', "proxy", "in two ways"),
        ('routers = ["r9"]\nat = ["30s"]', "proxy", "'r9' is no place of the topology"),
        ('at = ["30s"]', "proxy", "1 times for 0 routers"),
        ('routers = ["r1", "r2"]\nat = ["30s", "31s", "32s"]', "proxy", "3 times for 2 routers"),
        ('routers = ["r1"]\nat = ["10s"]', "proxy", "before the end of the warm-up"),
        ('every = "0s"', "proxy", "nobody could live"),
        ('every = "10s"\ninterval = "1ms"', "proxy", "no time to beat in"),
        ('every = "10s"', "pmipv6", "no router that others could stand in for"),
    ],
)
def test_what_cannot_be_is_refused(failures: str, mode: str, complaint: str, tmp_path: Path) -> None:
    text = SCENARIO.format(failures=failures) + f'[protocol]\nmode = "{mode}"\n'
    with pytest.raises(ConfigurationError, match=complaint):
        scenario(tmp_path, text)
