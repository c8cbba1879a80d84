"""What each way costs, computed by hand for one walk over a line of places that are 10 ms apart."""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.comparison import compare, observe
from sojourn.evaluation.models.mobility import NoSteadyState
from sojourn.evaluation.models.octets import Sizes, host_exchange, host_return, route_update, route_withdrawal
from sojourn.evaluation.replay import Replay, replay
from sojourn.evaluation.ways import DATABASE, TUNNELLED, Way, distances
from sojourn.evaluation.ways.latency import latencies
from sojourn.evaluation.ways.signalling import signalling_of
from sojourn.evaluation.ways.state import states
from sojourn.evaluation.ways.traffic import at_edge, traffic, with_edge
from sojourn.sim.protocol import ProtocolSettings
from sojourn.wire.units import SECOND
from support.workloads import line, stream

LINE = line(4)
CENTRAL = 1
# A session from 0 to 50 s that began at place 0, another from 25 to 70 s that began at place 1.
WALK = stream(
    (0, 0, "attach", 0),
    (10, 0, "begin", 1, 3),
    (20, 0, "attach", 1),
    (25, 0, "begin", 2, 1),
    (30, 0, "attach", 2),
    (50, 0, "end", 1),
    (60, 0, "attach", 3),
    (70, 0, "end", 2),
)


def counted(hold: float = 0) -> Replay:
    return replay(WALK, 4, start=0, end=100 * SECOND, hold=round(hold * SECOND))


def assumptions(**settings: object) -> Assumptions:
    return Assumptions(ProtocolSettings(idle_hold=0, **settings), CENTRAL)  # type: ignore[arg-type]


def test_the_time_until_an_old_prefix_works_again() -> None:
    found = latencies(counted().handovers, distances(LINE), CENTRAL, wireless=2)
    # Handover 1: to 1, prefix of 0. Handover 2: to 2, prefixes of 0 and 1. Handover 3: to 3, prefix of 1.
    assert list(found[Way.CENTRAL].restored) == [0, 20, 20, 40]
    assert list(found[Way.RELAY].restored) == [20, 40, 40, 60]
    assert list(found[Way.PROXY].restored) == [20, 40, 20, 40]
    assert list(found[Way.LOCATOR].restored) == [20, 40, 20, 40]
    # Of the router just left, which names the others.
    assert list(found[Way.DIRECT].restored) == [20, 40 + 20, 20, 40 + 20]
    assert list(found[Way.RELOCATION].restored) == [0 + 10 + 10, 10 + 0 + 10, 10 + 0 + 10, 20 + 10 + 10]
    assert list(found[Way.HOST].restored) == [24, 44, 24, 44]


def test_the_time_until_the_central_node_answers_and_new_sessions_can_begin() -> None:
    found = latencies(counted().handovers, distances(LINE), CENTRAL, wireless=2)
    assert list(found[Way.CENTRAL].registered) == [0, 20, 40]
    assert list(found[Way.PROXY].registered) == [0, 20, 40]
    # Told at handover 3: 1, and 2 that was just left; the farthest is 10 ms from the database.
    assert list(found[Way.RELAY].registered) == [20, 40, 60]
    assert list(found[Way.LOCATOR].registered) == [20, 20, 40]
    assert list(found[Way.CENTRAL].usable) == [0, 20, 40]
    for way in (*DATABASE, Way.DIRECT, Way.RELOCATION, Way.HOST):
        assert list(found[way].usable) == [0, 0, 0]
    assert not len(found[Way.DIRECT].registered)


def test_messages_of_the_walk() -> None:
    found = signalling_of(counted(), 4, assumptions())
    assert found[Way.CENTRAL].messages * 3 == 12
    in_use, told, retired = (1, 2, 1), (1, 2, 2), 3
    assert found[Way.PROXY].drawn * 3 == pytest.approx(sum(2 + 2 * n for n in in_use))
    assert found[Way.PROXY].messages * 3 == pytest.approx(sum(2 + 2 * k for k in told) + 4 * retired)
    assert found[Way.RELAY].messages == found[Way.PROXY].messages
    assert found[Way.LOCATOR].drawn * 3 == pytest.approx(sum(1 + 3 * n for n in in_use))
    checked = 3  # every stay is longer than 3 s
    assert found[Way.LOCATOR].messages * 3 == pytest.approx(sum(1 + 3 * k for k in told) + 4 * retired + 2 * checked)
    assert found[Way.DIRECT].drawn == found[Way.HOST].drawn == pytest.approx(2 * sum(in_use) / 3)
    assert found[Way.DIRECT].messages * 3 == pytest.approx(2 * sum(told) + 2 * retired)
    withdrawn = 2
    assert found[Way.HOST].messages * 3 == pytest.approx(2 * sum(in_use) + 2 * withdrawn)
    assert found[Way.RELOCATION].messages * 3 == pytest.approx(4 * (3 + withdrawn))


def test_a_host_that_returns_to_a_prefix_in_use_ends_its_binding_first() -> None:
    """From 0 to 1 and back with a session from 0: an exchange there, and one at the return, before anything else."""
    there = [(0, 0, "attach", 0), (10, 0, "begin", 1, 3), (20, 0, "attach", 1), (25, 0, "begin", 2, 3)]
    walk = stream(*there, (30, 0, "attach", 0), (80, 0, "end", 1), (80, 0, "end", 2))
    found = replay(walk, 4, start=0, end=100 * SECOND, hold=0)
    assert found.handovers.returned.tolist() == [0, 1]
    signals = signalling_of(found, 4, assumptions())[Way.HOST]
    assert signals.messages * 2 == pytest.approx(2 + 2 + 2 + 2 * found.withdrawn)
    assert signals.redirection * 2 == pytest.approx(2 * host_exchange() + host_return())
    restored = latencies(found.handovers, distances(LINE), CENTRAL, wireless=2)[Way.HOST].restored
    assert list(restored) == [2 * (10 + 2), 2 * (10 + 2) + 2 * 2]


def test_octets_of_the_walk() -> None:
    found, sizes = signalling_of(counted(), 4, assumptions()), Sizes()
    assert found[Way.CENTRAL].octets == sizes.central()
    proxy = sum(sizes.relay_or_proxy(k) for k in (1, 2, 2)) + 3 * sizes.retiring()
    assert found[Way.PROXY].octets * 3 == pytest.approx(proxy)
    locator = sum(sizes.locator(k) for k in (1, 2, 2)) + 3 * sizes.retiring() + 3 * sizes.refreshing()
    assert found[Way.LOCATOR].octets * 3 == pytest.approx(locator)
    assert found[Way.PROXY].redirection * 3 == pytest.approx(proxy - 3 * sizes.retiring())
    assert found[Way.LOCATOR].redirection * 3 == pytest.approx(sum(sizes.locator(k) for k in (1, 2, 2)))
    assert found[Way.DIRECT].redirection * 3 == pytest.approx(sum(sizes.direct(k) for k in (1, 2, 2)))
    direct = sum(sizes.direct(k) for k in (1, 2, 2)) + 3 * sizes.retiring_directly()
    assert found[Way.DIRECT].octets * 3 == pytest.approx(direct)
    assert found[Way.HOST].redirection * 3 == pytest.approx(4 * host_exchange())
    assert found[Way.HOST].octets * 3 == pytest.approx((4 + 2) * host_exchange())
    moved = 2 * route_update(1) + route_update(2) + 2 * route_withdrawal()
    assert found[Way.RELOCATION].octets * 3 == pytest.approx(4 * moved)


def test_the_busiest_node_and_refreshes() -> None:
    found = signalling_of(counted(), 4, assumptions())
    assert found[Way.PROXY].busiest == pytest.approx(found[Way.PROXY].per_second)
    assert found[Way.LOCATOR].busiest * 100 == pytest.approx(found[Way.LOCATOR].per_second * 100 - 5)
    # Places 0 and 1 are told twice each, 1 and 2 tell one and two others; three prefixes retire, where five were told.
    assert found[Way.DIRECT].busiest * 100 == pytest.approx(2 * 3 * (1 + 3 / 5))
    # An anchor of two exchanges, and of the end of what it anchors.
    assert found[Way.HOST].busiest * 100 == pytest.approx(2 * 2 + 2)
    often = signalling_of(counted(), 4, assumptions(lifetime=20 * SECOND))
    # Stays of 20, 10, 30 and 40 s hold 2 + 1 + 3 + 4 halves of 20 s.
    assert (often[Way.PROXY].per_second - found[Way.PROXY].per_second) * 100 == pytest.approx(2 * 10)
    assert (often[Way.HOST].per_second - found[Way.HOST].per_second) * 100 == pytest.approx(2 * (1 * 1 + 3 * 2 + 4 * 1))


def test_the_way_of_packets() -> None:
    found = traffic(counted(), LINE, assumptions())
    # Seconds, peer, anchor, serving: 10 of 3-0-0, 10 of 3-0-1, 20 of 3-0-2; 5 of 1-1-1, 30 of 1-1-2, 10 of 1-1-3.
    direct = (10 * 30 + 10 * 20 + 20 * 10 + 5 * 0 + 30 * 10 + 10 * 20) / 85
    old = (10 * 30 + 10 * (30 + 10) + 20 * (30 + 20) + 30 * 10 + 10 * 20) / 85
    central = (10 * (20 + 10) + 10 * 20 + 20 * (20 + 10) + 5 * 0 + 30 * 10 + 10 * 20) / 85
    assert found[Way.RELOCATION].delay == found[Way.PROXY].direct == pytest.approx(1 + direct)
    assert found[Way.CENTRAL].delay == pytest.approx(1 + central)
    for way in TUNNELLED:
        assert found[way].delay == pytest.approx(1 + old)
        assert found[way].tunnelled == pytest.approx(70 / 85)
    assert found[Way.PROXY].longer_than_central == pytest.approx((10 + 20) / 85)
    assert found[Way.PROXY].stretch == pytest.approx((1 + old) / (1 + direct))
    assert found[Way.PROXY].added == pytest.approx(old - direct)
    assert found[Way.RELOCATION].added == 0


def test_what_routers_carry_and_what_depends_on_them() -> None:
    found = traffic(counted(), LINE, assumptions())
    assert found[Way.CENTRAL].carried * 100 == pytest.approx(np.array([10, 15, 50, 10]))
    assert found[Way.CENTRAL].through_central * 100 == pytest.approx(85)
    assert found[Way.PROXY].carried * 100 == pytest.approx(np.array([10 + 30, 15 + 40, 50, 10]))
    assert found[Way.PROXY].dependent[1] == pytest.approx(55 / 85)
    assert found[Way.PROXY].through_central == 0


def test_correspondents_at_the_edge() -> None:
    parts, sites = counted().segments, LINE.sites()
    assert at_edge(parts, sites).tolist() == (parts.peer == parts.anchor).tolist()
    for share in (0.0, 0.25, 1.0):
        mixed = with_edge(parts, share, sites)
        assert mixed.seconds.sum() == pytest.approx(1)
        assert mixed.seconds[at_edge(mixed, sites)].sum() == pytest.approx(share)
    near = parts.peer == parts.anchor
    only_near = type(parts)(parts.peer[near], parts.anchor[near], parts.serving[near], parts.seconds[near])
    far = with_edge(only_near, 0.0, sites)  # all at the edge: the others are anywhere
    assert set(far.peer[far.seconds > 0]) > {1}


def test_state_of_the_walk() -> None:
    found = states(counted(), 4)
    assert found[Way.CENTRAL].entries == 2
    assert found[Way.CENTRAL].busiest == 1
    assert found[Way.PROXY].anchors == pytest.approx(0.7)
    assert found[Way.PROXY].anchors_p99 == 2
    assert found[Way.PROXY].entries == pytest.approx(2 * 0.7)
    assert found[Way.PROXY].busiest == pytest.approx(0.5)  # place 1: anchor for 40 s, serving one prefix for 10 s
    assert found[Way.RELOCATION].entries == pytest.approx(4 * 0.7)
    assert found[Way.HOST].busiest == pytest.approx(0.4)


def test_a_run_has_the_same_figures_for_every_way() -> None:
    run = compare(counted(), LINE, assumptions())
    names = {frozenset(figures) for figures in run.figures.values()}
    assert len(names) == 1
    assert run.behaviour.dwell == pytest.approx(100 / 3)
    assert run.behaviour.session == pytest.approx(85 / 2)
    assert run.behaviour.inter_arrival == 50
    assert run.carried[Way.CENTRAL][CENTRAL] == pytest.approx((15 + 85) / 100)


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        (((0, 0, "attach", 0), (1, 0, "begin", 1, 2), (2, 0, "end", 1)), "no node moves in the 0.028 h"),
        (((0, 0, "attach", 0), (1, 0, "attach", 1)), "no session begins"),
        (
            ((0, 0, "attach", 0), (1, 0, "attach", 1), (2, 0, "begin", 1), (3, 0, "begin", 2), (4, 0, "begin", 3)),
            "of 3 sessions that began in the 0.028 h that are looked at only 0 ended",
        ),
    ],
)
def test_what_has_no_steady_state_is_refused_with_the_remedy(events: tuple, sentence: str) -> None:
    found = replay(stream(*events), 4, start=0, end=100 * SECOND, hold=0)
    with pytest.raises(NoSteadyState, match=sentence) as error:
        observe(found)
    assert "; give " in str(error.value)
