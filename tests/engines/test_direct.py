"""Direct mode: MAARs tell each other, with no CMD between them, or one that is told afterwards (`maar_direct`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import Advertise, EnsurePrefix, EnsureTunnel
from sojourn.core.events import HandoverExpected, NodeSeen, Sighting
from sojourn.engines.configuration import Mode
from sojourn.engines.maar_direct import DirectAccessRouter
from sojourn.engines.maar_session import Presence
from sojourn.engines.registration import PROXY_DMM
from sojourn.wire import (
    AccessTechnologyType,
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    PreviousMaar,
    ServingMaar,
    Timestamp,
)
from sojourn.wire.units import HOUR, MICROSECOND, MILLISECOND, SECOND, Duration
from support import checkers
from support.domain import HOSTS, Domain, node, pool, router
from support.messages import stamp


def domain(maars: int = 4, cmds: int = 0, **settings: object) -> Domain:
    return Domain(Mode.DIRECT, maars, cmds=cmds, **settings)  # type: ignore[arg-type]


def arrives(each: Domain, host: str, name: str, previous: int | None = None) -> None:
    """The link says which router it comes from, if it does."""
    comes_from = None if previous is None else router(previous)
    each.event(name, NodeSeen("acc0", HOSTS[host], Sighting.STATION, previous=comes_from))


def walked(*path: int, cmds: int = 0, maars: int = 4, **settings: object) -> Domain:
    """A node was at these routers, one after the other."""
    each = domain(maars, cmds, **settings)
    for old, new in zip((None, *path), path, strict=False):
        if old is not None:
            each.detach("mn1", f"ar{old}")
        each.attach("mn1", f"ar{new}")
        each.run(2 * SECOND)
    return each


def right(each: Domain) -> list[str]:
    """What is wrong when routers that the node left pass nothing on any more."""
    each.run(2 * SECOND)
    return checkers.owners(each) + checkers.loops(each) + checkers.routes_equal(each, checkers.bindings(each))


def served(each: Domain, name: str, host: str = "mn1") -> set[str]:
    """Routers whose prefixes work at `name`."""
    session = each.session(name, host)
    assert session is not None
    assert session.presence is Presence.SERVED
    return {each.names[anchor] for anchor in session.anchored.values()}


@pytest.mark.parametrize("k", range(1, 6))
def test_a_handover_costs_two_messages_for_each_previous_anchor(k: int) -> None:
    """2p (standards.md 7.4), where the router that the node comes from is known; the oldest anchors are told by it."""
    each = walked(*range(1, k + 1), maars=8)
    each.clear()
    each.detach("mn1", f"ar{k}")
    arrives(each, "mn1", "ar8", previous=k)
    each.run(SECOND)
    assert len(each.messages) == 2 * k
    assert served(each, "ar8") == {f"ar{n}" for n in range(1, k + 1)}
    assert right(each) == []


def test_the_access_point_that_it_comes_from_tells_its_router() -> None:
    point = b"\x02\xaa\0\0\0\x02"
    each = domain(8)
    peers = each.maar_configurations["ar8"].peers
    each.reconfigure("ar8", peers=tuple(replace(p, access_points=(point,) if p.name == "ar2" else ()) for p in peers))
    each.attach("mn1", "ar1")
    each.run(2 * SECOND)
    each.roam("mn1", "ar1", "ar2", 2 * SECOND)
    each.clear()
    each.detach("mn1", "ar2")
    each.event("ar8", NodeSeen("acc0", HOSTS["mn1"], Sighting.STATION, previous=point))
    each.run(SECOND)
    assert len(each.messages) == 2 * 2
    assert served(each, "ar8") == {"ar1", "ar2"}
    each.clear()
    each.detach("mn1", "ar8")
    each.event("ar5", NodeSeen("acc0", HOSTS["mn1"], Sighting.STATION, previous=b"\x02\xaa\0\0\0\x09"))
    each.run(SECOND)
    assert len(each.messages) == 2 * 7, "nobody knows that one: all are asked"
    assert served(each, "ar5") == {"ar1", "ar2", "ar8"}


def test_the_router_that_announced_it_is_asked_alone() -> None:
    """RFC 5949, predictive: it said before that the node would come."""
    each = domain(6, handovers=4)
    each.attach("mn1", "ar1")
    each.run(2 * SECOND)
    each.event("ar1", HandoverExpected(HOSTS["mn1"], router(3)))
    each.run(20 * MILLISECOND)
    each.detach("mn1", "ar1")
    each.clear()
    each.attach("mn1", "ar3")
    each.run(SECOND)
    told = [update[:2] for update in each.sent(BindingUpdate)]
    assert told == [("ar3", "ar1")]
    assert served(each, "ar3") == {"ar1"}
    assert right(each) == []


def test_the_anchors_that_a_fast_handover_names_are_told_where_the_node_is() -> None:
    """Found by the simulation: their prefixes were served already when the answer named them, so nobody told them."""
    each = domain(6, handovers=4)
    each.attach("mn1", "ar4")
    for old, new in (("ar4", "ar3"), ("ar3", "ar6"), ("ar6", "ar3")):
        each.roam("mn1", old, new)
    assert served(each, "ar3") == {"ar4", "ar6"}
    assert right(each) == []


def test_without_a_word_of_where_it_comes_from_the_neighbours_are_asked_once_each() -> None:
    each = walked(1, 2, maars=6)
    each.clear()
    each.detach("mn1", "ar2")
    each.attach("mn1", "ar3")
    each.run(SECOND)
    assert len(each.messages) == 2 * 5
    assert served(each, "ar3") == {"ar1", "ar2"}
    assert right(each) == []


def test_a_return_to_an_anchor_costs_two_messages_for_each_of_the_others() -> None:
    each = walked(1, 2, 3)
    own = each.own("ar1", "mn1")
    each.clear()
    each.roam("mn1", "ar3", "ar1")
    assert len(each.messages) == 2 * 2
    assert each.own("ar1", "mn1") == own
    assert served(each, "ar1") == {"ar2", "ar3"}
    assert right(each) == []


@pytest.mark.parametrize("delay", [100 * MICROSECOND, 5 * MILLISECOND, 40 * MILLISECOND])
def test_the_new_prefix_works_at_once_and_an_old_one_after_a_round_trip(delay: Duration) -> None:
    """0 and 2p (standards.md 7.5)."""
    each = domain(2, delays={("ar1", "ar2"): delay})
    each.attach("mn1", "ar1")
    each.run(SECOND)
    old = each.own("ar1", "mn1")
    each.clear()
    begin = each.now
    each.roam("mn1", "ar1", "ar2", SECOND)

    def first(name: str, kind: type, prefix: object = None) -> Duration:
        return next(
            when - begin
            for when, who, effect in each.effects
            if who == name and isinstance(effect, kind) and prefix in (None, getattr(effect, "prefix", None))
        )

    assert first("ar2", Advertise) == 0
    assert first("ar1", EnsureTunnel) == delay
    assert first("ar2", EnsurePrefix, old) == 2 * delay


def test_a_router_that_knows_nothing_of_a_node_answers_once_and_keeps_nothing() -> None:
    each = domain(3)
    each.attach("mn1", "ar1")
    each.run(SECOND)
    assert not each.maar("ar2").sessions
    assert len(each.sent(BindingAcknowledgement)) == 2
    each.run(200 * SECOND)
    assert len(each.messages) == 4, "nobody who knows nothing is told again"


# --- who is right -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", ["ar1", "ar2"])
@pytest.mark.parametrize("cmds", [0, 1])
def test_of_two_attachments_that_race_the_later_wins_at_everybody(slow: str, cmds: int) -> None:
    """Whatever is heard first: ar3 anchors, ar1 and ar2 believe that the node is theirs, a millisecond apart."""
    delays = {(slow, "ar3"): 30 * MILLISECOND, ("ar1", "ar2"): 80 * MILLISECOND}
    each = domain(3, cmds, delays=delays)
    each.attach("mn1", "ar3")
    each.run(SECOND)
    each.detach("mn1", "ar3")
    each.attach("mn1", "ar1")
    each.run(MILLISECOND)
    each.attach("mn1", "ar2")
    each.run(10 * SECOND)
    assert served(each, "ar2") == {"ar1", "ar3"}, "also the prefix that it had for a millisecond"
    for name in ("ar1", "ar3"):
        session = each.session(name, "mn1")
        assert session is not None
        assert session.serving == router(2)
    assert right(each) == []


def test_two_attachments_at_the_same_instant_are_told_apart_by_address() -> None:
    each = domain(3)
    each.attach("mn1", "ar1")
    each.attach("mn1", "ar2")
    each.run(10 * SECOND)
    assert served(each, "ar2") == {"ar1"}
    assert right(each) == []


@pytest.mark.parametrize("behind", [100 * MILLISECOND, 2 * SECOND, 30 * HOUR])
@pytest.mark.parametrize("late", ["ar1", "ar2", "ar3"])
def test_a_clock_that_is_behind_or_ahead_loses_no_node(behind: Duration, late: str) -> None:
    each = domain(3)
    each.on_probe = lambda name, probe: (
        name == "ar3" and each.event(name, NodeSeen(probe.interface, probe.link_layer, Sighting.NEIGHBOUR))
    )
    each.skew(late, -behind)
    each.attach("mn1", "ar1")
    each.run(SECOND)
    each.roam("mn1", "ar1", "ar2", SECOND)
    each.roam("mn1", "ar2", "ar3", 10 * SECOND)
    assert served(each, "ar3") == {"ar1", "ar2"}
    assert right(each) == []


def test_who_is_told_by_a_peer_that_another_one_serves_a_node_does_not_believe_it() -> None:
    """A router speaks for itself only."""
    each = walked(1, 2)
    each.clear()
    message = next(m for _, _, m in walked(1, 2).sent(BindingUpdate) if m.lifetime)
    each.inject(router(4), "ar1", message)
    assert each.reported("ar1", "update-refused") == 1
    assert each.session("ar1", "mn1").serving == router(2)  # type: ignore[union-attr]


def test_a_prefix_of_a_pool_that_is_not_the_senders_is_not_served() -> None:
    each = domain(3)
    each.maar("ar2")._peers[router(1)] = type(each.maar("ar2")._peers[router(1)])(router(1), "ar1", pool(1))
    each.attach("mn1", "ar2")
    each.run(SECOND)
    session = each.session("ar2", "mn1")
    assert session is not None
    assert each.maar("ar2")._trouble_with(session, pool(3).subnet(1, 64), router(1))


# --- silence ----------------------------------------------------------------------------------------------------------


def test_a_neighbour_that_does_not_answer_delays_nobody_and_its_prefix_follows_when_it_does() -> None:
    each = walked(1, 2)
    each.world.network.cut = {("ar1", "ar3"), ("ar3", "ar1")}
    each.clear()
    each.roam("mn1", "ar2", "ar3", 0)
    assert each.members["ar3"].advertised, "the host has its new prefix"
    each.run(5 * SECOND)
    assert served(each, "ar3") == {"ar2"}
    each.world.network.cut = set()
    each.run(40 * SECOND)
    assert served(each, "ar3") == {"ar1", "ar2"}
    assert right(each) == []


def test_a_neighbour_that_is_gone_is_not_asked_for_ever() -> None:
    each = domain(3, lifetime=20 * SECOND)
    each.crash("ar3")
    each.attach("mn1", "ar1")
    for round_ in range(12):
        each.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
        each.run(10 * SECOND)
        if round_ == 2:
            each.clear()
    assert not each.messages


def test_an_answer_that_is_lost_loses_no_anchor() -> None:
    """The one that served it lets go of its list with the answer; asked again, it still knows it."""
    each = walked(1, 2)
    lost: list[object] = []

    def lose(source: str, destination: str, message: object) -> bool:
        if source == "ar2" and isinstance(message, BindingAcknowledgement) and len(lost) < 4:
            lost.append(message)
            return True
        return False

    each.lose = lose
    each.clear()
    each.detach("mn1", "ar2")
    arrives(each, "mn1", "ar4", previous=2)
    each.run(20 * SECOND)
    assert len(lost) == 4
    assert served(each, "ar4") == {"ar1", "ar2"}


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_an_idle_prefix_retires_by_word_of_its_anchor_to_who_serves() -> None:
    each = walked(1, 2, idle_hold=8 * SECOND)
    each.clear()
    each.run(20 * SECOND)
    assert served(each, "ar2") == set()
    assert each.session("ar1", "mn1") is None
    assert [(source, destination) for source, destination, _ in each.sent()] == [("ar1", "ar2"), ("ar2", "ar1")]


def test_anchors_are_refreshed_by_who_serves_and_by_nobody_else() -> None:
    each = walked(1, 2, 3, lifetime=20 * SECOND, watch=False)
    each.clear()
    for _ in range(10):
        each.event("ar3", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
        each.run(10 * SECOND)
    assert served(each, "ar3") == {"ar1", "ar2"}
    assert {source for source, _, _ in each.sent(BindingUpdate)} == {"ar3"}
    assert len(each.messages) == 10 * 2 * 2


def test_an_anchor_whose_time_is_over_asks_and_is_led_to_who_serves_now() -> None:
    """ar1 did not hear that the node went on from ar2 to ar3, which did not know of ar1."""
    each = walked(1, 2, lifetime=20 * SECOND, watch=False, maars=3)
    each.maar("ar3").direct.neighbours = ()
    each.session("ar2", "mn1").anchored.clear()  # type: ignore[union-attr]
    each.maar("ar2")._foreign.clear()
    each.detach("mn1", "ar2")
    arrives(each, "mn1", "ar3", previous=2)
    for _ in range(8):
        each.event("ar3", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
        each.run(5 * SECOND)
    assert served(each, "ar3") == {"ar1", "ar2"}


def test_a_node_that_left_the_domain_is_forgotten_by_everybody() -> None:
    each = walked(1, 2, 3, lifetime=20 * SECOND, watch=False)
    each.detach("mn1", "ar3")
    each.run(60 * SECOND)
    assert checkers.nothing_left(each) == []


def test_a_node_with_more_prefixes_than_it_may_have_loses_the_one_that_it_left_first() -> None:
    each = walked(1, 2, 3, 4, prefixes_per_node=2)
    assert served(each, "ar4") == {"ar2", "ar3"}
    assert each.session("ar1", "mn1") is None
    assert right(each) == []


# --- memory -----------------------------------------------------------------------------------------------------------


def test_an_anchor_that_lost_its_memory_is_told_by_those_that_serve() -> None:
    each = walked(1, 2, watch=False)
    own = each.own("ar1", "mn1")
    each.restart("ar1", store=False)
    each.run(5 * SECOND)
    assert each.own("ar1", "mn1") == own
    assert served(each, "ar2") == {"ar1"}
    assert right(each) == []


def test_who_serves_and_lost_its_memory_finds_the_anchors_when_it_sees_the_node() -> None:
    each = walked(1, 2, watch=False)
    each.restart("ar2", store=False)
    each.attach("mn1", "ar2")
    each.run(5 * SECOND)
    assert served(each, "ar2") == {"ar1"}
    assert right(each) == []


def test_a_prefix_that_was_given_again_before_its_anchor_remembered_is_exchanged() -> None:
    each = walked(1, 2, watch=False)
    own = each.own("ar1", "mn1")
    each.world.network.cut = {(f"ar{n}", "ar1") for n in (2, 3, 4)}
    each.restart("ar1", store=False)
    each.attach("mn2", "ar1")
    each.run(SECOND)
    assert each.own("ar1", "mn2") == own
    each.world.network.cut = set()
    each.run(40 * SECOND)
    assert each.own("ar1", "mn1") == own
    assert each.own("ar1", "mn2") != own
    assert right(each) == []


def test_a_repeated_answer_to_a_question_what_was_forgotten_is_never_answered() -> None:
    """Two routers that took it for a question would answer each other for ever."""
    each = domain(2)
    each.clear()
    mine, theirs = Timestamp(stamp(each)), Timestamp(stamp(each))
    each.inject(router(1), "ar2", BindingRefreshRequest((mine, theirs)))
    each.run(SECOND)
    assert not each.messages
    each.inject(router(1), "ar2", BindingRefreshRequest((mine,)))
    each.run(SECOND)
    assert len(each.messages) == 1


def test_questions_about_unknown_nodes_are_paced() -> None:
    """A flood of invented nodes is not one of messages."""
    each = domain(4, ask_rate=100)
    for number in range(150):
        each.event("ar1", NodeSeen("acc0", b"\x02\0\0\0\x02" + bytes((number,)), Sighting.STATION))
    each.run(500 * MILLISECOND)
    assert len(each.sent(BindingUpdate)) <= 64 + 50


# --- with a CMD -------------------------------------------------------------------------------------------------------


def test_a_cmd_is_told_afterwards_and_speaks_to_nobody_else() -> None:
    each = walked(1, 2, 3, cmds=1)
    known = {(prefix, each.names[maar]) for prefix, maar in each.cmd.entries[node("mn1")].anchors}
    assert known == {(each.own(f"ar{n}", "mn1"), f"ar{n}") for n in (1, 2, 3)}
    assert each.cmd.entries[node("mn1")].serving == router(3)
    assert not [m for source, _, m in each.sent(BindingUpdate) if source == "cmd"]


def test_a_handover_does_not_wait_for_a_cmd_that_is_dead_and_it_knows_everything_when_it_is_back() -> None:
    each = walked(1, 2, cmds=1)
    each.crash("cmd")
    each.roam("mn1", "ar2", "ar3", SECOND)
    assert served(each, "ar3") == {"ar1", "ar2"}
    each.restart("cmd", store=False)
    each.run(40 * SECOND)
    assert len(each.cmd.entries[node("mn1")].anchors) == 3
    assert each.cmd.entries[node("mn1")].serving == router(3)


def test_what_no_neighbour_says_the_cmd_does() -> None:
    """The shared view: ar4 asks nobody, and the CMD names those who anchor."""
    each = walked(1, 2, cmds=1)
    each.maar("ar4").direct.neighbours = ()
    each.roam("mn1", "ar2", "ar4", SECOND)
    assert served(each, "ar4") == {"ar1", "ar2"}
    assert right(each) == []


def test_what_retired_is_over_at_the_cmd_too() -> None:
    each = walked(1, 2, cmds=1, idle_hold=8 * SECOND)
    each.run(20 * SECOND)
    assert [maar for _, maar in each.cmd.entries[node("mn1")].anchors] == [router(2)]


def test_the_list_of_who_served_it_is_in_order() -> None:
    """The oldest first, whoever answers first: this is what a limit goes by, here and at the next router."""
    each = walked(1, 2, 3, maars=5, delays={("ar1", "ar4"): 1 * MILLISECOND, ("ar2", "ar4"): 9 * MILLISECOND})
    each.roam("mn1", "ar3", "ar4", SECOND)
    session = each.session("ar4", "mn1")
    assert session is not None
    assert [each.names[anchor] for anchor in session.anchored.values()] == ["ar1", "ar2", "ar3"]
    each.clear()
    each.roam("mn1", "ar4", "ar5", SECOND)
    (listed,) = [m.all(PreviousMaar) for source, _, m in each.sent(BindingAcknowledgement) if source == "ar4"]
    assert [each.names[option.maar] for option in listed] == ["ar1", "ar2", "ar3"]


def test_two_that_believe_of_each_other_that_they_serve_a_node_forget_it() -> None:
    """Found by the simulation: each was refused by the other, took a later time, and so on for ever."""
    each = walked(1, 2, maars=2, lifetime=20 * SECOND)
    ours = each.maar("ar2").sessions[node("mn1")]
    claim = BindingUpdate(
        7,
        PROXY_DMM,
        20 * SECOND,
        (
            MobileNodeIdentifier(5, HOSTS["mn1"]),
            HomeNetworkPrefix.of(each.own("ar1", "mn1")),
            HandoffIndicator(Handoff.UNKNOWN),
            AccessTechnologyType(4),
            Timestamp(ours.attached + 100),
            ServingMaar(router(1)),
        ),
    )
    each.inject(router(1), "ar2", claim)
    assert ours.serving == router(1)
    each.run(3 * ours.lifetime)
    assert not each.maar("ar1").sessions
    assert not each.maar("ar2").sessions


def test_three_that_believe_in_a_ring_that_the_next_one_serves_a_node_forget_it() -> None:
    each = walked(1, 2, 3, maars=3, lifetime=20 * SECOND)
    each.lose = lambda source, destination, message: True
    each.detach("mn1", "ar3")
    sessions = [each.maar(f"ar{number}").sessions[node("mn1")] for number in (1, 2, 3)]
    ring = list(zip((1, 2, 3), (2, 3, 1), sessions, strict=True))
    for number, following, session in ring:
        each.maar(f"ar{number}")._give_up(session, router(following), session.attached + 1000, 20 * SECOND)
    each.lose = lambda source, destination, message: False
    each.run(10 * 20 * SECOND)
    assert not any(each.maar(f"ar{number}").sessions for number in (1, 2, 3))


@pytest.mark.parametrize("crossing", [False, True])
def test_a_late_refresh_does_not_bring_back_a_prefix_that_is_over(crossing: bool) -> None:
    """Found by the simulation: the copy of one that crossed the end did, and packets went to and fro for a lifetime."""
    each = walked(1, 2, maars=2, idle_hold=8 * SECOND, lifetime=40 * SECOND)
    own = each.own("ar1", "mn1")
    ar2 = each.maar("ar2")
    assert isinstance(ar2, DirectAccessRouter)
    refresh = ar2._statement(ar2.sessions[node("mn1")], Handoff.NOT_CHANGED)
    assert own in [option.prefix for option in refresh.all(PreviousMaar)]
    each.lose = lambda source, destination, message: crossing
    for _ in range(60):
        each.run(1 * SECOND)
        if any(message.all(AnchoredPrefix) for _, _, message in each.sent(BindingUpdate)):
            break
    each.lose = lambda source, destination, message: False
    for _ in range(2):
        each.inject(router(2), "ar1", refresh)
    each.run(1 * SECOND)
    assert each.plane("ar1").way(own) is None
    each.run(15 * SECOND)
    assert own not in ar2.sessions[node("mn1")].anchored
