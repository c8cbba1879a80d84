"""Anchors that die: those of their nodes are told, or a partner takes the pool over and gives it back (REQ6f)."""

from __future__ import annotations

import random

import pytest

from sojourn.core.effects import EnsureDelivery, EnsurePool, EnsurePrefix, EnsureTunnel, WithdrawPool
from sojourn.core.events import Commanded
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.liveness import SUCCESSION
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.engines.registration import PROXY_DMM
from sojourn.wire import (
    AccessTechnologyType,
    AnchoredPrefix,
    BindingRefreshRequest,
    BindingUpdate,
    HandoffIndicator,
    Heartbeat,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    Timestamp,
)
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import HOSTS, Domain, node, pool, router

FAST = LivenessSettings()
GONE = FAST.patience + 2 * FAST.interval
"""After this a router that died is missed, and everything is told."""
FORGOTTEN = GONE + FAST.hold
"""After this nothing leads to it any more, if nobody is in its place."""
PARTNER = {"ar1": "ar3"}


def away(partners: dict[str, str] | None = None, maars: int = 4, **settings: object) -> tuple[Domain, Prefix]:
    """A domain whose node came from ar1 to ar2, and its old prefix."""
    each = Domain(maars=maars, partners=PARTNER if partners is None else partners, **settings)  # type: ignore[arg-type]
    each.attach("mn1", "ar1")
    each.run(1 * SECOND)
    own = each.own("ar1", "mn1")
    each.roam("mn1", "ar1", "ar2")
    each.run(2 * SECOND)
    each.clear()
    return each, own


def leads(each: Domain, prefix: Prefix) -> list[str]:
    """The routers that a packet to `prefix` passes, as the network and their tunnels lead it; the last has the node."""
    holders = [
        machine
        for machine in each.routers
        if machine.powered and any(held.contains(prefix) for held in machine.plane.state.pools)
    ]
    assert len(holders) <= 1, f"{[one.name for one in holders]} announce one pool"
    at = holders[0] if holders else each.home(prefix)
    passed: list[str] = []
    while at is not None and at.powered:
        assert at.name not in passed, f"{prefix} goes round: {passed}"
        passed.append(at.name)
        plane = at.plane
        way = plane.way(prefix)
        if way is None:
            way = next((plane.way(held) for held in plane.state.pools if held.contains(prefix)), None)
        if isinstance(way, EnsureDelivery):
            return passed
        if not isinstance(way, EnsureTunnel):
            return [*passed, "nowhere"]
        at = each.members[each.names[way.remote]]
    return [*passed, "dark"]


def dark(each: Domain, name: str) -> None:
    """The whole machine is gone."""
    each.members[name].lose_power()


# --- liveness ---------------------------------------------------------------------------------------------------------


def test_only_those_who_share_state_watch_each_other() -> None:
    each, _ = away({})
    assert set(each.maar("ar2").survival.liveness.neighbours) == {router(1), each.databases["cmd"]}
    assert set(each.maar("ar4").survival.liveness.neighbours) == {each.databases["cmd"]}


def test_at_most_ten_messages_a_second_between_two_neighbours() -> None:
    each, _ = away({})
    each.run(20 * SECOND)
    pair = {"ar1", "ar2"}
    beats = [1 for source, destination, _ in each.sent(Heartbeat) if {source, destination} == pair]
    assert 6 * 20 < len(beats) <= 10 * 20


def test_neighbours_that_are_busy_with_each_other_cost_nothing() -> None:
    """Whatever is said is a sign of life."""
    each, own = away({})
    refresh = BindingRefreshRequest()
    for _ in range(200):
        each.inject(router(1), "ar2", refresh)
        each.run(100 * MILLISECOND)
    asked = [1 for source, to, one in each.sent(Heartbeat) if (source, to) == ("ar2", "ar1") and not one.flags]
    assert not asked
    assert own in each.maar("ar2").sessions[node("mn1")].anchored


def test_messages_that_are_lost_now_and_then_are_no_death() -> None:
    each, own = away({})
    luck = random.Random(5)
    each.lose = lambda source, destination, message: isinstance(message, Heartbeat) and luck.random() < 0.1
    each.run(40 * SECOND)
    assert not each.reported("ar2", "anchor-gone")
    assert own in each.maar("ar2").sessions[node("mn1")].anchored


@pytest.mark.parametrize("silent", [("ar1", "ar2"), ("ar2", "ar1")])
def test_a_link_that_is_dead_in_one_direction_is_dead_to_both(silent: tuple[str, str]) -> None:
    each, own = away({})
    each.world.network.cut.add(silent)
    each.run(FORGOTTEN + SECOND)
    assert each.reported("ar1", "peer-lost") == each.reported("ar2", "peer-lost") == 1
    assert own not in each.maar("ar2").sessions[node("mn1")].anchored
    each.world.network.cut.clear()
    each.run(3 * SECOND)
    assert each.reported("ar1", "peer-back") == each.reported("ar2", "peer-back") == 1
    assert own in each.maar("ar2").sessions[node("mn1")].anchored


def test_a_machine_that_was_late_itself_misses_nobody() -> None:
    each, own = away({})
    each.members["ar2"].pause()
    each.run(5 * SECOND)
    each.members["ar2"].resume()
    each.run(100 * MILLISECOND)
    assert not each.reported("ar2", "peer-lost")
    assert own in each.maar("ar2").sessions[node("mn1")].anchored


# --- several databases ------------------------------------------------------------------------------------------------


def asked(each: Domain, host: str, name: str) -> str:
    """The first database that a router asks about a host that comes to it."""
    each.clear()
    each.attach(host, name)
    each.run(500 * MILLISECOND)
    return next(to for source, to, _ in each.sent(BindingUpdate) if source == name and to in each.databases)


def test_each_database_is_watched_and_a_dead_one_is_left_for_the_next_before_anything_is_said_to_it() -> None:
    each = Domain(maars=2, cmds=3, partners={})
    assert set(each.maar("ar1").survival.liveness.neighbours) == set(each.databases.values())
    hosts = [f"mn{number}" for number in range(1, 30)]
    usual = {host: asked(each, host, "ar1") for host in hosts}
    assert set(usual.values()) == set(each.databases), "each has its share"
    each.crash("cmd2")
    each.run(GONE)
    assert each.reported("ar2", "peer-lost") == 1
    assert [row["alive"] for row in each.maar("ar2").show("peers", each.now)[:3]] == [True, False, True]
    for host in hosts:
        each.detach(host, "ar1")
        first = asked(each, host, "ar2")
        assert first == (usual[host] if usual[host] != "cmd2" else "cmd3")
        assert each.session("ar2", host).confirmed
    each.restart("cmd2", store=True)
    each.run(GONE + SECOND)
    for host in [host for host in hosts if usual[host] == "cmd2"][:3]:
        each.detach(host, "ar2")
        assert asked(each, host, "ar1") == "cmd2", "it is back"


def test_when_all_databases_are_dead_they_are_asked_in_turn_and_the_first_that_is_back_answers() -> None:
    each = Domain(maars=2, cmds=2, partners={})
    for name in each.databases:
        each.crash(name)
    each.run(GONE)
    each.attach("mn1", "ar1")
    each.run(10 * SECOND)
    assert not each.session("ar1", "mn1").confirmed
    each.restart("cmd2", store=True)
    each.run(20 * SECOND)
    assert each.session("ar1", "mn1").confirmed


# --- no partner -------------------------------------------------------------------------------------------------------


def test_the_nodes_of_a_dead_anchor_are_told_and_nothing_leads_there() -> None:
    each, own = away({})
    new = each.own("ar2", "mn1")
    dark(each, "ar1")
    each.run(GONE)
    told = [one for _, effect in each.members["ar2"].advertised for one in effect.prefixes if one.prefix == own]
    assert [(one.preferred, one.valid) for one in told[:1]] == [(0, 0)]
    each.run(FAST.hold)
    state = each.plane("ar2").state
    assert own not in state.prefixes
    assert own not in state.uplinks
    assert new in state.prefixes, "its other prefix is not touched"
    each.run(60 * SECOND)
    assert own not in each.plane("ar2").state.prefixes, "whatever the CMD still believes"
    each.roam("mn1", "ar2", "ar4")
    assert each.maar("ar4").sessions[node("mn1")].own is not None


def test_an_anchor_that_was_only_cut_off_is_the_anchor_again() -> None:
    each, own = away({})
    each.world.network.cut |= {("ar1", "ar2"), ("ar2", "ar1")}
    each.run(FORGOTTEN)
    assert own not in each.plane("ar2").state.prefixes
    each.world.network.cut.clear()
    each.run(2 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]
    assert each.plane("ar2").state.uplinks[own] == router(1)


def lifetimes(each: Domain, name: str, own: Prefix) -> list[int]:
    """The valid lifetimes of `own` that a host heard of, as they changed."""
    told = [one.valid for _, effect in each.members[name].advertised for one in effect.prefixes if one.prefix == own]
    return [valid for valid, before in zip(told, [None, *told], strict=False) if valid != before]


@pytest.mark.parametrize("partners", [{}, PARTNER], ids=["no partner", "partner"])
@pytest.mark.parametrize("slow", ["ar1", "ar3"])
def test_a_router_that_was_only_slow_loses_no_packet_of_anybody(partners: dict[str, str], slow: str) -> None:
    """Found by a crowded machine: a daemon stood still for a moment, its kernel forwarded, and others cut the way."""
    each, own = away(partners)
    each.roam("mn1", "ar2", "ar3")
    each.roam("mn1", "ar3", "ar4", settle=2 * SECOND)
    other = next(prefix for prefix, at in each.session("ar4", "mn1").anchored.items() if at == router(3))
    each.clear()
    for length in (1, 2, 4):
        each.members[slow].pause()
        for moment in range(length * 10 + 100):
            if moment == length * 10:
                each.members[slow].resume()
            each.run(100 * MILLISECOND)
            for prefix, anchor in ((own, 1), (other, 3)):
                assert leads(each, prefix)[-1] == "ar4"
                assert each.plane("ar4").state.uplinks[prefix] in (router(anchor), router(3))
    assert each.reported("ar4", "peer-lost") == 3, "it was missed all the same"
    assert leads(each, own) == ["ar1", "ar4"]
    if not partners:
        heard = lifetimes(each, "ar4", own if slow == "ar1" else other)
        assert heard[:2] == [0, each.maar("ar4").configuration.valid_lifetime]


def test_a_host_that_comes_while_its_anchor_is_missed_is_told_too() -> None:
    each, own = away({})
    dark(each, "ar1")
    each.run(GONE)
    each.roam("mn1", "ar2", "ar4", settle=GONE)
    assert lifetimes(each, "ar4", own)[-1] == 0
    each.run(FAST.hold)
    assert own not in each.plane("ar4").state.prefixes


# --- a partner --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_the_partner_takes_the_pool_over_and_gives_it_back(whole: bool) -> None:
    each, own = away()
    if whole:
        dark(each, "ar1")
    else:
        each.crash("ar1")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar2"]
    assert each.plane("ar2").state.uplinks[own] == router(3)
    assert own in each.maar("ar2").sessions[node("mn1")].anchored
    each.run(60 * SECOND)
    assert leads(each, own) == ["ar3", "ar2"]
    each.restart("ar1", store=True)
    each.run(FAST.hold - SECOND)
    assert leads(each, own)[0] == "ar3", "not at once"
    for _ in range(200):
        each.run(20 * MILLISECOND)
        assert leads(each, own)[-1] == "ar2", "at no moment of the way back"
    assert leads(each, own) == ["ar1", "ar2"]
    assert each.plane("ar2").state.uplinks[own] == router(1)
    assert not each.plane("ar3").state.pools
    assert not each.plane("ar3").state.slots


def test_who_is_attached_where_only_the_daemon_died_is_reached_by_way_of_the_partner() -> None:
    each, _ = away()
    each.attach("mn2", "ar1")
    each.run(1 * SECOND)
    own = each.own("ar1", "mn2")
    each.crash("ar1")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar1"]


def test_a_node_that_moves_while_the_partner_holds_its_prefix() -> None:
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    each.roam("mn1", "ar2", "ar4")
    assert leads(each, own) == ["ar3", "ar4"]
    each.roam("mn1", "ar4", "ar3")
    assert leads(each, own) == ["ar3"]
    assert each.plane("ar3").state.uplinks[own] is None
    each.roam("mn1", "ar3", "ar2", settle=5 * SECOND)
    assert leads(each, own) == ["ar3", "ar2"]
    each.restart("ar1", store=True)
    each.run(20 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]


@pytest.mark.parametrize("before", [-600, -300, -100, 0, 200, 400, 600, 800, 1000, 1200])
def test_a_node_that_comes_back_to_its_anchor_just_before_that_has_its_pool_again_is_reached(before: int) -> None:
    """Its partner sent packets to the router that the node had left, for two seconds after that one had forgotten it:
    it was told of the return by nobody, as that router took the pool for the anchor's by then. Found by a simulation.
    """
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    each.restart("ar1", store=True)
    each.run(FAST.hold - before * MILLISECOND)
    each.roam("mn1", "ar2", "ar1", 100 * MILLISECOND)
    for _ in range(300):
        each.run(20 * MILLISECOND)
        assert leads(each, own)[-1] == "ar1"
    assert leads(each, own) == ["ar1"]


@pytest.mark.parametrize("store", [True, False])
def test_a_node_that_moved_meanwhile_is_where_it_is_when_the_anchor_is_back(store: bool) -> None:
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    each.roam("mn1", "ar2", "ar4")
    each.restart("ar1", store=store)
    for _ in range(500):
        each.run(20 * MILLISECOND)
        assert leads(each, own)[-1] == "ar4"
    assert leads(each, own) == ["ar1", "ar4"]


def test_a_node_of_the_dead_router_itself_comes_to_another_one() -> None:
    each, _ = away()
    each.attach("mn2", "ar1")
    each.run(1 * SECOND)
    own = each.own("ar1", "mn2")
    dark(each, "ar1")
    each.run(GONE)
    each.attach("mn2", "ar4")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar4"]
    assert each.plane("ar4").state.uplinks[own] == router(3)


def test_a_partner_that_is_itself_cut_off_takes_nothing() -> None:
    each, own = away()
    for name in each.members:
        each.world.network.cut |= {(name, "ar3"), ("ar3", name)}
    each.run(10 * SECOND)
    assert not each.plane("ar3").state.pools
    each.world.network.cut.clear()
    each.run(10 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]
    assert not each.reported("ar3", "pool-taken")


def test_an_anchor_that_only_its_partner_does_not_hear_loses_no_session_and_no_prefix() -> None:
    """Both are alive: the partner's word counts for everybody who hears it, and the anchor judges nobody idle."""
    each, own = away(idle_hold=5 * SECOND)
    each.world.network.cut |= {("ar1", "ar3"), ("ar3", "ar1")}
    for _ in range(150):
        each.run(100 * MILLISECOND)
        assert leads(each, own)[-1] == "ar2"
        each.plane(leads(each, own)[0]).traffic(own)
    assert leads(each, own) == ["ar3", "ar2"]
    each.world.network.cut.clear()
    for _ in range(100):
        each.run(100 * MILLISECOND)
        assert leads(each, own)[-1] == "ar2"
        each.plane(leads(each, own)[0]).traffic(own)
    assert leads(each, own) == ["ar1", "ar2"]
    assert each.reported("ar3", "pool-taken") == 1


def test_an_anchor_that_comes_and_goes_does_not_make_the_pool_flap() -> None:
    each, own = away()
    for _ in range(5):
        dark(each, "ar1")
        each.run(2 * SECOND)
        assert leads(each, own) == ["ar3", "ar2"]
        each.restart("ar1", store=True)
        each.run(2 * SECOND)
    assert each.reported("ar3", "pool-taken") == 1
    assert each.reported("ar3", "pool-returned") == 0
    each.run(20 * SECOND)
    assert each.reported("ar3", "pool-returned") == 1
    assert leads(each, own) == ["ar1", "ar2"]


def test_a_partner_that_restarts_while_it_holds_a_pool_goes_on_holding_it() -> None:
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    each.restart("ar3", store=True)
    each.run(500 * MILLISECOND)
    assert leads(each, own) == ["ar3", "ar2"]


def test_a_disk_that_refuses_does_not_make_a_partner_hold_a_pool_again_that_it_gave_back() -> None:
    """Found by the simulation: the record stayed, and the next life took the pool of a living anchor over."""
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    each.restart("ar1", store=True)
    each.members["ar3"].refuses = lambda effect: effect is None
    each.run(15 * SECOND)
    assert each.reported("ar3", "pool-returned") == 1
    each.members["ar3"].refuses = None
    each.run(2 * SECOND)
    each.restart("ar3", store=True)
    each.run(1 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]


@pytest.mark.parametrize("refused", [EnsurePool, EnsurePrefix, WithdrawPool, EnsureTunnel])
def test_what_a_kernel_refuses_of_a_pool_is_asked_for_again_and_nothing_is_left_of_it(refused: type) -> None:
    """Found by the simulation: a route to a pool that was refused was never asked for again; tunnels came back."""
    each, own = away()
    until = {"now": 0}
    each.members["ar3"].refuses = lambda effect: isinstance(effect, refused) and each.now < until["now"]
    dark(each, "ar1")
    until["now"] = each.now + 2 * SECOND
    each.run(4 * SECOND)
    assert leads(each, own) == ["ar3", "ar2"]
    each.restart("ar1", store=True)
    each.run(FAST.hold)
    until["now"] = each.now + 6 * SECOND
    each.run(20 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]
    state = each.plane("ar3").state
    assert not state.pools
    assert not state.slots
    assert not state.prefixes


def test_anchor_and_partner_are_both_gone() -> None:
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    dark(each, "ar3")
    each.run(FORGOTTEN)
    assert own not in each.plane("ar2").state.prefixes
    assert any(one.prefix == own and not one.valid for _, a in each.members["ar2"].advertised for one in a.prefixes)


def test_a_router_that_did_not_hear_the_word_still_finds_the_partner() -> None:
    each, own = away()
    each.lose = lambda source, destination, message: isinstance(message, BindingRefreshRequest)
    dark(each, "ar1")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar2"]


@pytest.mark.parametrize("mode", list(Mode))
def test_in_every_mode(mode: Mode) -> None:
    each, own = away(mode=mode)
    dark(each, "ar1")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar2"]
    each.restart("ar1", store=True)
    each.run(20 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]


@pytest.mark.parametrize(("mode", "patience"), [(Mode.PROXY, 0.2), (Mode.RELAY, 1.6), (Mode.LOCATOR, 3.2)])
def test_who_moves_while_its_anchor_is_dead_soon_has_its_prefix_again(mode: Mode, patience: float) -> None:
    each, own = away(mode=mode)
    dark(each, "ar1")
    each.run(GONE)
    each.roam("mn1", "ar2", "ar4", settle=int(patience * SECOND))
    assert leads(each, own) == ["ar3", "ar4"]
    assert each.plane("ar4").state.uplinks[own] == router(3)


def test_without_the_table_nobody_says_anything() -> None:
    each = Domain(maars=3)
    each.attach("mn1", "ar1")
    each.run(1 * SECOND)
    each.roam("mn1", "ar1", "ar2")
    each.run(60 * SECOND)
    assert not each.sent(Heartbeat)
    assert pool(1)


# --- what nobody uses any more ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CENTRAL)
def test_what_nobody_uses_retires_at_the_partner_as_it_would_at_its_anchor(mode: Mode) -> None:
    each, own = away(mode=mode, idle_hold=20 * SECOND)
    dark(each, "ar1")
    each.run(GONE)
    for _ in range(60):
        each.run(1 * SECOND)
        each.plane("ar3").traffic(own)
    assert leads(each, own) == ["ar3", "ar2"], "it is used"
    each.run(30 * SECOND)
    for name in ("ar2", "ar3"):
        assert own not in each.plane(name).state.prefixes
        assert own not in each.plane(name).state.counters
    assert own not in each.session("ar2", "mn1").anchored
    assert lifetimes(each, "ar2", own)[-1] == 0
    assert not any(own in (prefix for prefix, _ in entry.anchors) for entry in each.cmd.entries.values())
    each.restart("ar1", store=True)
    each.run(20 * SECOND)
    assert each.session("ar1", "mn1") is None, "its anchor hears of it"
    assert own not in each.session("ar2", "mn1").anchored


def test_what_nobody_uses_retires_also_when_its_node_is_at_the_partner() -> None:
    each, own = away(idle_hold=20 * SECOND)
    dark(each, "ar1")
    each.run(GONE)
    each.roam("mn1", "ar2", "ar3", settle=2 * SECOND)
    for _ in range(60):
        each.run(1 * SECOND)
        each.plane("ar3").traffic(own)
    assert own in each.session("ar3", "mn1").anchored
    each.run(30 * SECOND)
    assert own not in each.session("ar3", "mn1").anchored
    assert own not in each.plane("ar3").state.counters
    assert lifetimes(each, "ar3", own)[-1] == 0


def test_only_who_holds_the_pool_says_that_nobody_uses_a_prefix() -> None:
    """Neither another router, nor the partner while the anchor is there."""
    each, own = away()
    session = each.session("ar2", "mn1")
    update = BindingUpdate(
        1,
        PROXY_DMM,
        0,
        (
            MobileNodeIdentifier(5, HOSTS["mn1"]),
            HomeNetworkPrefix.of(own),
            HandoffIndicator(4),
            AccessTechnologyType(4),
            Timestamp(session.attached),
            AnchoredPrefix.of(own),
        ),
    )
    for number in (1, 3, 4):
        each.inject(router(number), "ar2", update)
    assert own in session.anchored
    dark(each, "ar1")
    each.run(GONE)
    each.inject(router(4), "ar2", update)
    assert own in session.anchored
    each.inject(router(3), "ar2", update)
    assert own not in session.anchored


# --- a process that is succeeded --------------------------------------------------------------------------------------


@pytest.mark.parametrize("partners", [{}, PARTNER], ids=["no partner", "partner"])
def test_who_says_goodbye_is_not_missed_until_its_successor_is_there(partners: dict[str, str]) -> None:
    """``systemctl restart``: forwarding stays in the kernel, so nobody may withdraw or take over anything."""
    each, own = away(partners)
    for _ in range(3):
        each.event("ar1", Commanded("leave", {}))
        each.crash("ar1")
        each.run(6 * SECOND)
        assert leads(each, own) == ["ar1", "ar2"]
        each.restart("ar1", store=True)
        each.run(2 * SECOND)
        assert leads(each, own) == ["ar1", "ar2"]
    assert [each.reported(name, "peer-lost") for name in ("ar2", "ar3")] == [0, 0]
    session = each.session("ar2", "mn1")
    assert session is not None
    assert own in session.anchored


def test_a_successor_that_does_not_come_is_missed_in_the_end() -> None:
    each, own = away()
    each.event("ar1", Commanded("leave", {}))
    dark(each, "ar1")
    each.run(SUCCESSION - SECOND)
    assert each.reported("ar3", "peer-lost") == 0
    each.run(2 * SECOND + GONE)
    assert each.reported("ar3", "peer-lost") == 1
    assert leads(each, own) == ["ar3", "ar2"]


def test_a_goodbye_excuses_nothing_that_comes_after_the_return() -> None:
    """The first word of the successor ends it: what dies then is missed as fast as ever."""
    each, own = away()
    each.event("ar1", Commanded("leave", {}))
    each.restart("ar1", store=True)
    each.run(2 * SECOND)
    dark(each, "ar1")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar2"]


# --- a drain to the partner (`maar_drain`) ----------------------------------------------------------------------------


def test_a_drained_pool_is_with_the_partner_before_its_anchor_stops() -> None:
    """Sessions go on all the time: while both are there, when the anchor is stopped, and when it is back."""
    each, own = away()
    each.event("ar1", Commanded("drain", {"to": "partner"}))
    for _ in range(80):
        each.run(100 * MILLISECOND)
        assert leads(each, own)[-1] == "ar2"
    assert leads(each, own) == ["ar3", "ar2"]
    assert each.reported("ar1", "pool-held") == 1
    assert each.reported("ar1", "drained") == 1
    assert each.reported("ar3", "pool-returning") == 0, "it is there, and not trusted"
    dark(each, "ar1")
    each.run(20 * SECOND)
    assert leads(each, own) == ["ar3", "ar2"]
    each.members["ar1"].powered = True
    each.restart("ar1", store=True)
    for _ in range(150):
        each.run(100 * MILLISECOND)
        assert leads(each, own)[-1] == "ar2"
    assert leads(each, own) == ["ar1", "ar2"]


def test_a_drain_to_the_partner_that_is_called_off_gives_the_pool_back() -> None:
    each, own = away()
    each.event("ar1", Commanded("drain", {"to": "partner"}))
    each.run(5 * SECOND)
    assert leads(each, own) == ["ar3", "ar2"]
    each.event("ar1", Commanded("drain", {"off": "yes"}))
    each.run(15 * SECOND)
    assert leads(each, own) == ["ar1", "ar2"]


def test_without_a_partner_nothing_can_be_handed_to_it() -> None:
    each, own = away({})
    each.event("ar1", Commanded("drain", {"to": "partner"}))
    assert each.reported("ar1", "command-refused") == 1
    assert each.reported("ar1", "draining") == 0
    assert leads(each, own) == ["ar1", "ar2"]


def test_a_node_that_comes_to_the_partner_before_that_holds_the_pool_keeps_its_prefix() -> None:
    """Found by the scenario drain-anchor: the partner waited for somebody else to take the pool, and gave it up."""
    each, own = away()
    each.event("ar1", Commanded("drain", {"to": "partner"}))
    each.run(10 * MILLISECOND)
    each.roam("mn1", "ar2", "ar3")
    each.run(8 * SECOND)
    assert leads(each, own) == ["ar3"]
    dark(each, "ar1")
    each.run(8 * SECOND)
    assert leads(each, own) == ["ar3"]
    assert each.reported("ar3", "anchor-gone") == 0


def test_of_a_node_that_came_to_the_partner_itself_no_counter_stays() -> None:
    """Found by a soak: the elements of two sets of nf_tables stayed for ever."""
    each, own = away()
    each.crash("ar1")
    each.run(3 * SECOND)
    assert own in each.plane("ar3").state.counters
    each.roam("mn1", "ar2", "ar3")
    each.run(2 * SECOND)
    each.restart("ar1", store=True)
    each.run(20 * SECOND)
    assert leads(each, own) == ["ar1", "ar3"]
    each.roam("mn1", "ar3", "ar4")
    each.run(5 * SECOND)
    assert own not in each.plane("ar3").state.counters
    assert own not in each.plane("ar3").state.prefixes


def test_an_anchor_that_comes_back_hears_at_once_where_its_nodes_are() -> None:
    """It asked, and was told that the node is still somewhere; where, it heard with the next repetition of what it had
    been told in vain while it was dead: as long after its death as that had lasted.
    """
    each, own = away({}, liveness=None)
    each.crash("ar1")
    each.roam("mn1", "ar2", "ar3")
    each.run(9 * SECOND)
    each.restart("ar1", store=True)
    each.run(300 * MILLISECOND)
    assert leads(each, own) == ["ar1", "ar3"]


def test_what_an_anchor_sends_to_a_node_that_left_does_not_go_back_to_it_after_they_were_apart() -> None:
    """Found by the simulation: prefixes were restored for nodes that were here only; packets to others went round."""
    each, own = away({})
    each.lose = lambda source, destination, message: {source, destination} == {"ar1", "ar2"}
    each.run(GONE + FAST.hold + SECOND)
    assert own not in each.maar("ar2").sessions[node("mn1")].anchored
    each.detach("mn1", "ar2")
    each.lose = lambda source, destination, message: False
    each.run(2 * SECOND)
    assert each.maar("ar2").sessions[node("mn1")].anchored[own] == router(1)
    assert leads(each, own) == ["ar1", "ar2"]
