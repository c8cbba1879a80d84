"""RFC 3810 section 7, the multicast router, as an access router applies it: each node on a link is followed by itself.

Where RFC 3810 lets a router ask the link before it stops to forward, because it does not remember who reported, the
answer is known here. These departures are named in the tests that show what happens instead.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sojourn.core.effects import (
    EnsureMembership,
    EnsureMulticastRoute,
    ForgetMulticast,
    QueryListeners,
    WithdrawMembership,
)
from sojourn.engines.multicast_proxy import AT_ONCE
from sojourn.wire.addresses import Address, address
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import MINUTE, SECOND
from support.listeners import (
    CONFIGURATION,
    LISTENING,
    NODES,
    S1,
    S2,
    S3,
    SSM,
    G,
    H,
    Table,
    allow,
    block,
    is_ex,
    is_in,
    to_ex,
    to_in,
)

ALL: tuple[bool, frozenset[Address]] = (True, frozenset())


def _with(*said: MulticastAddressRecord) -> Table:
    """Node a said that."""
    table = Table()
    table.attach("a")
    table.say("a", *said)
    return table


def _wants(table: Table) -> tuple[bool, frozenset[Address]]:
    """What node a wants of G, as the network upstream is asked for it."""
    return table.upstream.get(G, (False, frozenset()))


# --- 7.1, 7.6: queries --------------------------------------------------------------------------------------------


def test_7_1_what_an_earlier_life_forwarded_is_over_when_all_had_time_to_answer_the_second_query() -> None:
    """Not before: who did not hear the first query answers the second one."""
    table = Table()
    table.proxy.started(0)
    second = CONFIGURATION.query_interval // 4
    table.run(second + CONFIGURATION.query_response_interval - 1)
    assert not any(isinstance(effect, ForgetMulticast) for effect in table.effects)
    assert [at for at, _ in table.queries if at] == [second, second]
    table.run(1)
    table.run(10 * MINUTE)
    assert sum(isinstance(effect, ForgetMulticast) for effect in table.effects) == 1


def test_7_1_general_queries_at_once_then_a_quarter_apart_then_in_each_interval() -> None:
    """9.6: "[Startup Query Interval] default: 1/4 the [Query Interval]"; 9.7: as many as the robustness says."""
    table = Table(robustness=3)
    table.proxy.started(0)
    table.run(10 * MINUTE)
    times = [now for now, query in table.queries if query.interface == "acc0"]
    interval = CONFIGURATION.query_interval
    assert [after - before for before, after in pairwise(times)][:4] == [
        interval // 4,
        interval // 4,
        interval,
        interval,
    ]
    assert times[0] == 0
    assert {query.interface for _, query in table.queries} == {"acc0", "acc1"}


def test_5_1_a_general_query_says_how_the_router_counts() -> None:
    table = Table(robustness=3, query_interval=60 * SECOND)
    table.proxy.started(0)
    assert table.queries[0][1] == QueryListeners("acc0", None, None, 10 * SECOND, 3, 60 * SECOND)


def test_7_1_a_link_that_comes_back_is_asked_again_from_the_start() -> None:
    table = Table()
    table.proxy.started(0)
    table.run(5 * MINUTE)
    table.queries.clear()
    table.proxy.link_up("acc1", table.now)
    table.run(CONFIGURATION.query_interval // 4)
    assert [query.interface for _, query in table.queries if query.interface == "acc1"] == ["acc1"] * 2
    table.proxy.link_up("elsewhere", table.now)
    assert all(query.interface != "elsewhere" for _, query in table.queries)


def test_a_node_that_attaches_is_asked_at_once_and_by_itself() -> None:
    """RFC 6224 3, step 6: a General Query on the new downstream link; here to the one node, with the least delay."""
    table = Table()
    table.attach("a")
    assert [(query.link_layer, query.group, query.within) for _, query in table.queries] == [
        (NODES["a"][1:], None, AT_ONCE)
    ]


def test_9_1_a_node_that_does_not_answer_is_asked_again_as_often_as_the_robustness_says() -> None:
    table = Table(robustness=3)
    table.attach("a", "b")
    table.say("b", is_ex(G))
    table.run(MINUTE)
    asked = [(now, query.link_layer) for now, query in table.queries]
    assert [now for now, link_layer in asked if link_layer == NODES["a"][1:]] == [0, SECOND, 2 * SECOND]
    assert [now for now, link_layer in asked if link_layer == NODES["b"][1:]] == [0]


def test_a_node_that_lives_and_has_not_answered_is_asked_again_a_few_times() -> None:
    """RFC 3810 7.4: what it says while it has no address yet does not count; a host of version 1 does not repeat it."""
    table = Table()
    table.attach("a")
    table.run(CONFIGURATION.query_interval)
    for _ in range(100):
        table.proxy.seen(NODES["a"], table.now)
        table.run(SECOND // 10)
    assert len(table.queries) == 2 + 8
    assert all(after - before >= SECOND for (before, _), (after, _) in pairwise(table.queries))
    table.attach("b")
    table.say("b", is_ex(G))
    table.queries.clear()
    table.run(MINUTE)
    table.proxy.seen(NODES["b"], table.now)
    assert table.queries == []


# --- 7.2: state ---------------------------------------------------------------------------------------------------


def test_7_2_3_who_does_not_repeat_it_does_not_listen_any_more() -> None:
    """9.4: [Multicast Address Listening Interval] = robustness x query interval + query response interval."""
    table = _with(is_ex(G))
    table.run(LISTENING - 1)
    assert table.goes_to(G, S1) == ("acc0",)
    table.run(1)
    assert table.routes == {}
    assert table.upstream == {}
    assert table.proxy.groups == {}


def test_7_2_3_who_repeats_it_goes_on_listening_and_nothing_changes() -> None:
    table = _with(is_ex(G))
    table.effects.clear()
    for _ in range(5):
        table.run(CONFIGURATION.query_interval)
        table.say("a", is_ex(G))
    assert table.effects == []
    assert table.goes_to(G, S1) == ("acc0",)


def test_7_2_3_each_source_has_its_own_time() -> None:
    table = _with(is_in(G, S1, S2))
    table.run(LISTENING // 2)
    table.say("a", is_in(G, S2))
    table.run(LISTENING // 2)
    assert _wants(table) == (False, frozenset({S2}))
    table.run(LISTENING // 2)
    assert table.upstream == {}


@pytest.mark.parametrize("seed", range(40))
def test_7_3_forwarding_is_what_the_listeners_of_each_link_want(seed: int) -> None:
    """Against the plainest model there is: per node and source, is it wanted or not."""
    dice = random.Random(seed)
    table = Table()
    places = {"a": "acc0", "b": "acc0", "c": "acc1", "d": "acc1"}
    wanted: dict[str, tuple[bool, frozenset[Address]]] = {}
    for name, interface in places.items():
        table.attach(name, interface=interface)
    for _ in range(60):
        name = dice.choice(list(places))
        sources = frozenset(dice.sample([S1, S2, S3], dice.randrange(4)))
        if dice.random() < 0.5:
            table.say(name, to_ex(G, *sources), interface=places[name])
            wanted[name] = True, sources
        else:
            table.say(name, to_in(G, *sources), interface=places[name])
            wanted[name] = False, sources
        for source in (S1, S2, S3, address("2001:db8:9::9")):
            expected = {places[n] for n, (excluding, named) in wanted.items() if (source in named) != excluding}
            assert set(table.goes_to(G, source)) == expected
            excluding, named = _wants(table)
            assert ((source in named) != excluding) == bool(expected)
        for ways in table.routes.values():
            assert len(set(ways)) == len(ways)


# --- 7.4.1: current state records ---------------------------------------------------------------------------------


def test_7_4_1_include_and_is_in_adds_sources() -> None:
    """INCLUDE (A), IS_IN (B): INCLUDE (A+B)."""
    assert _wants(_with(is_in(G, S1), is_in(G, S2))) == (False, frozenset({S1, S2}))


def test_7_4_1_include_and_is_ex_means_all_but_those() -> None:
    """INCLUDE (A), IS_EX (B): EXCLUDE (A*B, B-A): B stays away."""
    assert _wants(_with(is_in(G, S1), is_ex(G, S2))) == (True, frozenset({S2}))


def test_7_4_1_exclude_and_is_in_lets_those_in_again() -> None:
    """EXCLUDE (X,Y), IS_IN (A): EXCLUDE (X+A, Y-A)."""
    assert _wants(_with(is_ex(G, S1, S2), is_in(G, S1))) == (True, frozenset({S2}))


def test_7_4_1_exclude_and_is_ex_means_all_but_the_latest() -> None:
    """EXCLUDE (X,Y), IS_EX (A): EXCLUDE (A-Y, Y*A); what one node does not want is what it said last."""
    assert _wants(_with(is_ex(G, S1), is_ex(G, S2))) == (True, frozenset({S2}))


# --- 7.4.2: filter mode change and source list change records -----------------------------------------------------


def test_7_4_2_allow_and_block_while_including() -> None:
    """INCLUDE (A), ALLOW (B): INCLUDE (A+B). BLOCK (B): RFC 3810 asks first; who said it is the only one to ask."""
    table = _with(is_in(G, S1), allow(G, S2))
    assert _wants(table) == (False, frozenset({S1, S2}))
    table.say("a", block(G, S1))
    assert _wants(table) == (False, frozenset({S2}))
    table.say("a", block(G, S2))
    assert table.upstream == {}


def test_7_4_2_allow_and_block_while_excluding() -> None:
    table = _with(to_ex(G), block(G, S1))
    assert _wants(table) == (True, frozenset({S1}))
    table.say("a", allow(G, S1))
    assert _wants(table) == ALL


def test_7_4_2_to_in_takes_effect_at_once() -> None:
    """EXCLUDE (X,Y), TO_IN (A): INCLUDE (A); RFC 3810 sends Q(MA) and goes on for a while."""
    table = _with(to_ex(G))
    table.say("a", to_in(G, S1))
    assert _wants(table) == (False, frozenset({S1}))
    table.say("a", to_in(G))
    assert table.upstream == {}
    assert table.routes == {}


def test_7_4_2_another_node_is_not_touched_by_it() -> None:
    """Why RFC 3810 asks the link: others may want it. They are known here, so they lose nothing meanwhile."""
    table = _with(to_ex(G))
    table.attach("b")
    table.say("b", to_ex(G))
    table.effects.clear()
    table.say("a", to_in(G))
    assert table.effects == []
    assert table.goes_to(G, S1) == ("acc0",)


def test_5_2_12_a_record_of_an_unknown_type_is_passed_over() -> None:
    """ "Unrecognized Record Type values MUST be silently ignored." """
    table = _with(MulticastAddressRecord(7, G, (S1,)), MulticastAddressRecord(0, G), is_ex(H))
    assert set(table.upstream) == {H}
    assert table.reports[-1].name == "group-joined"


def test_leaving_what_nobody_joined_leaves_nothing_behind() -> None:
    table = _with(to_in(G), block(G, S1), is_in(G))
    assert table.proxy.groups == {}
    assert table.timers.deadline() is None


# --- which groups -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["ff02::1:ff00:1", "ff01::1", "ff12::7", "ff00::1", "ff0f::1", "2001:db8::1"])
def test_what_no_router_forwards_makes_no_state(group: str) -> None:
    """RFC 3810 6: not for scopes 0 and 1; RFC 4291 2.7: link scope stays on the link, 0 and F are reserved."""
    assert _with(is_ex(address(group))).proxy.groups == {}


def test_a_source_specific_group_needs_its_sources() -> None:
    """RFC 4604 2.2: EXCLUDE in the SSM range is ignored; a listener of version 1 cannot name sources."""
    table = _with(is_ex(SSM))
    table.say("a", is_ex(SSM), old=True)
    assert table.proxy.groups == {}
    assert table.refused() == ["all sources of a source-specific group"] * 2
    table.say("a", is_in(SSM, S1))
    assert table.goes_to(SSM, S1) == ("acc0",)
    assert table.goes_to(SSM, S2) == ()


# --- 8.3: listeners of version 1 ----------------------------------------------------------------------------------


def test_8_3_2_after_a_listener_of_version_1_the_link_is_asked_who_is_left() -> None:
    """RFC 2710 4: who hears the report of another keeps silent, so that not all of them are known."""
    table = Table()
    table.attach("a", "b")
    table.say("a", is_ex(G), old=True)
    table.queries.clear()
    table.say("a", to_in(G), old=True)
    table.run(1)
    assert table.goes_to(G, S1) == ("acc0",)
    table.run(SECOND)
    assert [(now, query.link_layer, query.group, query.within) for now, query in table.queries if query.group] == [
        (0, None, G, SECOND),
        (SECOND, None, G, SECOND),
    ]
    table.run(SECOND)
    assert table.routes == {}


def test_8_3_2_one_that_answers_goes_on() -> None:
    table = Table()
    table.attach("a", "b")
    table.say("a", is_ex(G), old=True)
    table.depart("a")
    table.run(SECOND // 2)
    table.effects.clear()
    table.say("b", is_ex(G), old=True)
    table.run(MINUTE)
    assert table.effects == []
    assert table.goes_to(G, S1) == ("acc0",)


def test_8_3_2_where_all_speak_version_2_nobody_is_asked() -> None:
    table = Table()
    table.attach("a")
    table.say("a", is_ex(G))
    table.queries.clear()
    table.say("a", to_in(G))
    assert table.queries == []
    assert table.routes == {}


def test_8_3_2_listeners_of_version_1_are_forgotten_when_none_was_heard_for_long() -> None:
    table = Table()
    table.attach("a", "b")
    table.say("a", is_ex(G), old=True)
    table.run(LISTENING - SECOND)
    table.say("a", is_ex(G))
    table.say("b", is_ex(G))
    table.run(2 * SECOND)
    table.say("b", to_in(G))
    table.say("a", to_in(G))
    assert table.routes == {}


# --- 10: what a node can do to a router ---------------------------------------------------------------------------


def test_10_a_node_that_asks_for_everything_gets_its_share() -> None:
    table = Table(groups_per_node=8)
    table.attach("a", "b")
    groups = [address(f"ff0e::{number:x}") for number in range(1, 101)]
    for group in groups:
        table.say("a", is_ex(group))
    table.say("b", is_ex(G))
    assert set(table.upstream) == {*groups[:8], G}
    assert len(table.timers) == 9
    assert table.refused() == ["too many groups of one node"] * 92


def test_10_all_nodes_together_have_a_limit_too_and_groups_that_are_there_go_on() -> None:
    table = Table(groups=3)
    table.attach("a", "b")
    for number in range(10):
        table.say("a", is_ex(address(f"ff0e::{number:x}")))
    table.say("b", is_ex(G), is_ex(address("ff0e::1")))
    assert len(table.upstream) == 3
    assert table.refused() == ["too many groups"] * 8
    table.say("a", to_in(address("ff0e::0")))
    table.say("b", is_ex(G))
    assert G in table.upstream


def test_10_a_node_that_joins_and_leaves_all_the_time_changes_little_for_others() -> None:
    """RFC 6224 6: "threats of resource exhaustion ... arrive from rapid state changes"."""
    table = Table()
    table.attach("a", "b")
    for turn in range(1000):
        table.say("a", is_ex(G) if turn % 2 else to_in(G))
        table.run(SECOND // 1000)
    changes = [effect for effect in table.effects if isinstance(effect, EnsureMembership | WithdrawMembership)]
    assert len(changes) <= 128 + 32
    table.say("b", is_ex(H))
    assert table.goes_to(H, S1) == ("acc0",)  # at once
    table.say("a", is_ex(G))
    table.run(SECOND)
    assert table.goes_to(G, S1) == ("acc0",)
    table.depart("a")
    assert set(table.upstream) == {H}  # at once


def test_10_a_refresh_costs_no_change() -> None:
    table = _with(is_ex(G))
    for _ in range(1000):
        table.say("a", is_ex(G))
    table.say("a", to_in(G))
    assert table.upstream == {}


def test_10_sources_are_limited_for_a_node_and_for_a_group() -> None:
    sources = [address(f"2001:db8::{number:x}") for number in range(1, 200)]
    table = Table(sources_per_node=40)
    table.attach("a", "b", "c")
    table.say("a", is_in(SSM, *sources[:100]))
    assert table.upstream[SSM] == (False, frozenset(sources[:40]))
    table.say("a", is_in(G, sources[150]))
    assert G not in table.upstream
    table.say("b", is_in(SSM, *sources[30:70]))
    assert len(table.upstream[SSM][1]) == 64  # what a filter of the kernel upstream can hold
    assert len(table.routes) == 64
    table.say("c", is_in(SSM, *sources[:10]))  # known already
    assert table.refused() == ["too many sources"] * 3


def test_10_blocked_sources_beyond_the_limit_come_all_the_same() -> None:
    sources = [address(f"2001:db8::{number:x}") for number in range(1, 200)]
    table = Table(sources_per_node=10)
    table.attach("a")
    table.say("a", to_ex(G, *sources))
    assert table.upstream[G] == (True, frozenset(sources[:10]))
    assert table.goes_to(G, sources[100]) == ("acc0",)


def test_who_is_not_served_here_says_nothing() -> None:
    table = Table()
    table.say("a", is_ex(G))
    table.attach("b", interface="acc1")
    table.say("b", is_ex(G), interface="acc0")
    assert table.proxy.groups == {}


@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_said_leaves_nothing_when_all_are_gone(seed: int) -> None:
    """Any records in any order, attachments, departures and time: bounded meanwhile, nothing at the end."""
    dice = random.Random(seed)
    table = Table(groups=6, groups_per_node=4, sources_per_node=5)
    groups = [address(f"ff0e::{number:x}") for number in range(10)] + [SSM, address("ff02::1")]
    for _ in range(400):
        name = dice.choice(list(NODES))
        interface = dice.choice(["acc0", "acc1"])
        match dice.randrange(8):
            case 0:
                table.attach(name, interface=interface)
            case 1:
                table.depart(name)
            case 2:
                table.run(dice.choice([SECOND, 30 * SECOND, LISTENING]))
            case _:
                kind = dice.choice([*RecordType, 0, 9])
                sources = tuple(dice.choices([S1, S2, S3, *groups], k=dice.randrange(5)))
                said = MulticastAddressRecord(kind, dice.choice(groups), sources)
                table.say(name, said, interface=interface, old=dice.random() < 0.2)
        assert len(table.proxy.groups) <= 6
        assert len(table.routes) <= 6 * 64
        assert set(table.upstream) <= set(table.proxy.groups)
    for name in NODES:
        table.depart(name)
    table.run(LISTENING)
    assert table.proxy.groups == {}
    assert (table.routes, table.upstream) == ({}, {})
    assert table.timers.deadline() is None


def test_the_table_for_people_has_a_row_for_each_node_and_group() -> None:
    table = _with(is_ex(G), is_in(SSM, S1))
    table.run(10 * SECOND)
    assert table.proxy.rows(table.now) == [
        {
            "group": "ff0e::1234",
            "interface": "acc0",
            "node": NODES["a"].hex(),
            "wants": "all",
            "sources": [],
            "expires": 250,
        },
        {
            "group": "ff3e::8000:1",
            "interface": "acc0",
            "node": NODES["a"].hex(),
            "wants": "only",
            "sources": ["2001:db8:5::1"],
            "expires": 250,
        },
    ]


def test_a_route_is_there_before_the_group_is_joined() -> None:
    """Else the first packets would find no way down."""
    table = _with(is_ex(G))
    kinds = [type(effect).__name__ for effect in table.effects if not isinstance(effect, QueryListeners)]
    assert kinds == ["EnsureMulticastRoute", "EnsureMembership", "Report"]
    assert EnsureMulticastRoute(G, None, ("acc0",)) in table.effects
