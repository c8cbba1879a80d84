"""Routers that lie about who is dead and who serves whom: what a configured peer can do, strangers cannot do at all."""

from __future__ import annotations

import pytest
from test_survival import away

from sojourn.core.effects import EnsureTunnel, ProbeNode
from sojourn.core.events import Sighting
from sojourn.engines.liveness import RESTARTS_APART, response
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshAdvice,
    BindingRefreshRequest,
    BindingUpdate,
    Heartbeat,
    HeartbeatFlags,
    PreviousMaar,
    RestartCounter,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration
from support.domain import HOSTS, Domain, node, pool, router
from support.messages import pbu, stamp

GONE = 1250 * MILLISECOND
BEAT = int(HeartbeatFlags.UNSOLICITED | HeartbeatFlags.RESPONSE)
STRANGER = address("2001:db8:bad::1")


def many_away(count: int) -> Domain:
    """A node that came from ar1, whose partner is ar3, to ar2, and so many besides; ar4 is the attacker."""
    each, _ = away()
    hosts = [f"mn{number}" for number in range(3, 3 + count)]
    for host in hosts:
        each.attach(host, "ar1")
    each.run(1 * SECOND)
    for host in hosts:
        each.roam(host, "ar1", "ar2", settle=10 * MILLISECOND)
    each.run(3 * SECOND)
    each.clear()
    return each


def shows_itself(each: Domain, host: str, place: str) -> None:
    """The host answers whoever asks it on the link where it is."""

    def answer(name: str, probe: ProbeNode) -> None:
        if name == place and probe.link_layer == HOSTS[host]:
            each.attach(host, name, Sighting.NEIGHBOUR)

    each.on_probe = answer


def claim(each: Domain, own: Prefix, number: int = 4, host: str = "mn1", ahead: Duration = 0) -> BindingUpdate:
    """As a router says that it serves a node."""
    at = stamp(each, ahead)
    return pbu(each, own, host=host, timestamp=at, more=(PreviousMaar.of(own, router(1)), ServingMaar(router(number))))


def goes_to(each: Domain, name: str, own: Prefix) -> bytes | None:
    way = each.plane(name).way(own)
    return way.remote if isinstance(way, EnsureTunnel) else None


# --- who serves a node ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cmd", "ahead"), [(True, 0), (True, HOUR), (False, 0)])
def test_a_router_that_claims_a_node_has_it_for_a_moment_only(cmd: bool, ahead: Duration) -> None:
    """Who served it looks whether it is there; the CMD is asked."""
    each, own = away()
    shows_itself(each, "mn1", "ar2")
    if not cmd:
        each.crash("cmd")
    each.inject(router(4), "ar1", claim(each, own, ahead=ahead))
    assert goes_to(each, "ar1", own) == router(4), "it may be true"
    each.run(1500 * MILLISECOND)
    assert goes_to(each, "ar1", own) == router(2)
    each.run(60 * SECOND)
    assert goes_to(each, "ar1", own) == router(2)


def test_of_a_silent_node_the_cmd_knows() -> None:
    each, own = away()
    each.inject(router(4), "ar1", claim(each, own))
    each.run(1100 * MILLISECOND)
    assert goes_to(each, "ar1", own) == router(2)


def test_a_node_that_is_at_its_anchor_is_not_claimed_away() -> None:
    each, _ = away()
    each.attach("mn2", "ar1")
    each.run(1 * SECOND)
    own = each.own("ar1", "mn2")
    shows_itself(each, "mn2", "ar1")
    each.inject(router(4), "ar1", claim(each, own, host="mn2"))
    each.run(100 * MILLISECOND)
    session = each.session("ar1", "mn2")
    assert session is not None
    assert session.serving is None
    assert goes_to(each, "ar1", own) is None


def test_a_pool_that_is_held_is_not_claimed_away_either() -> None:
    each, own = away()
    shows_itself(each, "mn1", "ar2")
    each.members["ar1"].lose_power()
    each.run(GONE)
    assert goes_to(each, "ar3", own) == router(2)
    each.inject(router(4), "ar3", claim(each, own))
    assert goes_to(each, "ar3", own) == router(4)
    each.run(500 * MILLISECOND)
    assert goes_to(each, "ar3", own) == router(2)


def test_what_a_router_says_of_a_held_prefix_lasts_no_longer_than_anybody_registers() -> None:
    each, own = away(lifetime=60 * SECOND)
    each.members["ar1"].lose_power()
    each.run(GONE)
    other = Prefix(own.address[:6] + b"\x77" + own.address[7:], 64)
    update = claim(each, other, host="mn7")
    each.inject(router(4), "ar3", BindingUpdate(1, update.flags, 60 * HOUR, update.options))
    stand = each.maar("ar3").survival.standing[router(1)]
    assert other in stand.entries
    each.run(61 * SECOND)
    assert other not in stand.entries


# --- memory -----------------------------------------------------------------------------------------------------------


def test_no_router_fills_the_memory_of_another_one_with_nodes_that_it_serves() -> None:
    """An anchor that began anew believes others, for a lifetime; of each no more than half of what it has room for."""
    each, _ = away(nodes=20, lifetime=60 * SECOND)
    each.restart("ar1", store=False)
    each.run(1 * SECOND)
    maar = each.maar("ar1")
    before = len(maar.sessions)
    for number in range(60):
        each.inject(router(4), "ar1", claim(each, pool(1).subnet(100 + number, 64), host=f"mn{number + 10}"))
    assert len(maar.sessions) - before == 10
    each.attach("mn2", "ar1")
    assert node("mn2") in maar.sessions, "there is room for who comes"
    each.run(61 * SECOND)
    before = len(maar.sessions)
    each.inject(router(2), "ar1", claim(each, pool(1).subnet(300, 64), number=2, host="mn90"))
    assert len(maar.sessions) <= before
    assert node("mn90") not in maar.sessions


def test_no_router_fills_what_a_partner_holds() -> None:
    each, _ = away(nodes=5, prefixes_per_node=4)
    each.members["ar1"].lose_power()
    each.run(GONE)
    for number in range(80):
        each.inject(router(4), "ar3", claim(each, pool(1).subnet(100 + number, 64), host=f"mn{number + 10}"))
    stand = each.maar("ar3").survival.standing[router(1)]
    assert stand.serves[router(4)] == 10
    each.attach("mn3", "ar2")
    each.inject(router(2), "ar3", claim(each, pool(1).subnet(90, 64), number=2, host="mn3"))
    assert stand.serves[router(2)] >= 1


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_a_forged_restart_makes_nobody_say_much_and_not_again_and_again() -> None:
    """Counters that go up, back, and are replayed; twenty of them in a second."""
    each = many_away(20)
    for number in range(200):
        counter = (number * 7919) % 50
        each.inject(router(1), "ar2", response(0, counter, BEAT))
        each.run(50 * MILLISECOND)
    told = [1 for source, to, _ in each.sent(BindingUpdate) if (source, to) == ("ar2", "ar1")]
    times = 1 + 10 * SECOND // RESTARTS_APART
    assert 21 <= len(told) <= 21 * times


def test_a_second_restart_soon_after_the_first_is_not_forgotten() -> None:
    each, own = away()
    for _ in range(2):
        each.restart("ar1", store=False)
        each.run(1500 * MILLISECOND)
    each.run(RESTARTS_APART)
    assert goes_to(each, "ar1", own) == router(2)


def test_words_are_paced_after_a_restart() -> None:
    each = many_away(50)
    each.inject(router(1), "ar2", response(0, 1, BEAT))
    each.run(10 * MILLISECOND)
    told = [1 for source, to, _ in each.sent(BindingUpdate) if (source, to) == ("ar2", "ar1")]
    assert len(told) <= 11


# --- who holds a pool -------------------------------------------------------------------------------------------------


def word(each: Domain, holder: int, ahead: Duration = 0) -> BindingRefreshRequest:
    return BindingRefreshRequest((Timestamp(stamp(each, ahead)), PreviousMaar.of(pool(1), router(holder))))


@pytest.mark.parametrize("source", [router(4), router(1), router(2), STRANGER])
def test_nobody_but_the_partner_says_who_holds_a_pool(source: bytes) -> None:
    each, own = away()
    uplink = each.plane("ar2").state.uplinks[own]
    for holder in (1, 2, 3, 4):
        each.inject(source, "ar2", word(each, holder))
    assert each.plane("ar2").state.uplinks[own] == uplink
    assert not each.maar("ar2").survival.holders


def test_a_partner_gives_a_pool_to_nobody_but_itself_and_an_old_word_counts_for_nothing() -> None:
    each, own = away()
    each.inject(router(3), "ar2", word(each, 4))
    assert each.plane("ar2").state.uplinks[own] == router(1)
    old = word(each, 3)
    each.run(1 * SECOND)
    each.inject(router(3), "ar2", word(each, 1))
    each.inject(router(3), "ar2", old)
    assert each.plane("ar2").state.uplinks[own] == router(1)


def test_a_goodbye_that_is_said_for_another_ends_with_its_next_word() -> None:
    """Who can write another router's address can do that; what it says itself is stronger at once."""
    each, own = away()
    counter = RestartCounter(each.maar("ar1").survival.liveness.counter)
    each.inject(router(1), "ar2", Heartbeat(BEAT, 0, (counter, BindingRefreshAdvice(50 * HOUR))))
    each.run(500 * MILLISECOND)
    each.members["ar1"].lose_power()
    each.run(GONE)
    assert each.plane("ar2").state.uplinks[own] == router(3)


def test_nothing_of_this_is_heard_from_strangers() -> None:
    each, own = away()
    before = len(each.maar("ar1").sessions)
    each.clear()
    for message in (
        response(0, 1, BEAT),
        Heartbeat(0, 1),
        word(each, 3),
        claim(each, own),
        claim(each, pool(1).subnet(99, 64), host="mn9"),
    ):
        for name in ("ar1", "ar2", "ar3"):
            each.inject(STRANGER, name, message)
    assert each.sent() == []
    assert len(each.maar("ar1").sessions) == before
    assert goes_to(each, "ar1", own) == router(2)


def test_a_refusal_of_a_partner_that_is_forged_ends_nothing() -> None:
    """An answer to nothing that was asked."""
    each, own = away()
    each.members["ar1"].lose_power()
    each.run(GONE)
    refused = BindingAcknowledgement(int(Status.ADMINISTRATIVELY_PROHIBITED), 0x24, 1, 0, claim(each, own).options[:2])
    for source in (router(3), router(4), STRANGER):
        each.inject(source, "ar2", refused)
    assert each.plane("ar2").state.uplinks[own] == router(3)


def leaves(counter: int) -> Heartbeat:
    """Of one who goes for good."""
    return Heartbeat(BEAT, 0, (RestartCounter(counter), BindingRefreshAdvice(0)))


def test_an_old_farewell_that_is_said_again_counts_for_nothing() -> None:
    each, own = away()
    now = each.maar("ar1").survival.liveness.counter
    for counter in (now - 1, now + 1, 0):
        each.inject(router(1), "ar3", leaves(counter))
    each.run(2 * SECOND)
    assert each.reported("ar3", "peer-lost") == 0
    assert each.reported("ar3", "pool-taken") == 0
    assert goes_to(each, "ar1", own) == router(2)


def test_a_farewell_that_somebody_says_for_an_anchor_is_contradicted_by_it() -> None:
    """It was to stay gone for as long as it lived."""
    each, own = away()
    each.inject(router(1), "ar3", leaves(each.maar("ar1").survival.liveness.counter))
    each.run(2 * SECOND)
    assert each.plane("ar3").state.pools, "its partner has to believe it"
    each.run(60 * SECOND)
    assert not each.plane("ar3").state.pools
    assert goes_to(each, "ar1", own) == router(2)
    assert each.plane("ar2").state.uplinks[own] == router(1)
