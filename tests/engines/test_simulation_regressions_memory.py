"""Defects that the fault simulation found of routers that die, and begin again without what they knew or did last.

To others the node is still there, and what they send there has to end there.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel
from sojourn.core.events import Sighting
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.maar_session import Presence, Session
from sojourn.wire import BindingAcknowledgement, HomeNetworkPrefix, MobilityMessage, MobilityOption, PreviousMaar
from sojourn.wire.addresses import Address, Prefix, prefix
from sojourn.wire.units import HOUR, MILLISECOND, SECOND
from support import checkers
from support.dhcp import Client, single
from support.domain import CMD, Domain, node, pool, router
from support.messages import answers, pba, stamp

_LIFETIME = 40 * SECOND


def _walked(*path: str, mode: Mode = Mode.PROXY, **settings: object) -> Domain:
    """mn1 walked along `path`, a second at each place."""
    settings = {"lifetime": _LIFETIME, "cmd": {"warm_up": 0}, "maars": 4, **settings}
    domain = Domain(mode, **settings)  # type: ignore[arg-type]
    domain.attach("mn1", path[0])
    domain.run(SECOND)
    for old, new in pairwise(path):
        domain.roam("mn1", old, new, SECOND)
    domain.clear()
    return domain


def _forgets(domain: Domain, name: str) -> None:
    """The node is nowhere, and its router begins again with nothing."""
    domain.restart(name, store=False)
    domain.run(SECOND)


def _session(domain: Domain, name: str, host: str = "mn1") -> Session:
    session = domain.session(name, host)
    assert session is not None
    return session


def _ends_at(domain: Domain, name: str, own: Prefix) -> None:
    """What ar1 anchors is sent to `name`, and not back, and all is over with the binding."""
    way = domain.plane("ar1").way(own)
    assert isinstance(way, EnsureTunnel)
    assert domain.names[way.remote] == name
    assert isinstance(domain.plane(name).way(own), EnsureHold)
    assert _session(domain, name).presence is Presence.DEPARTED
    assert checkers.routes_equal_bindings(domain) == []
    domain.run(2 * _LIFETIME)
    assert checkers.nothing_left(domain) == []


# --- the router that served (`leasing` 141) -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CENTRAL)
def test_what_is_sent_to_a_router_that_forgot_whom_it_served_ends_there(mode: Mode) -> None:
    """It sent that back to the anchor, to and fro, until the binding was over: nobody told it whom it had served."""
    domain = _walked("ar1", "ar2", mode=mode)
    own = domain.own("ar1", "mn1")
    _forgets(domain, "ar2")
    _ends_at(domain, "ar2", own)


@pytest.mark.parametrize("mode", CENTRAL)
def test_what_is_sent_to_a_router_that_died_while_it_registered_a_node_ends_there(mode: Mode) -> None:
    """The answer was one to nobody who was known."""
    domain = _walked("ar1", mode=mode)
    own = domain.own("ar1", "mn1")
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    _forgets(domain, "ar2")
    _ends_at(domain, "ar2", own)


def test_so_it_does_where_the_router_remembers_others_and_asks_nobody() -> None:
    """It died between the update and its store; the answer was gathered meanwhile."""
    domain = _walked("ar1", mode=Mode.RELAY, delays={("cmd", "ar1"): 50 * MILLISECOND})
    own = domain.own("ar1", "mn1")
    domain.attach("mn2", "ar2")
    domain.run(SECOND)
    before = dict(domain.members["ar2"].store)
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.run(10 * MILLISECOND)
    domain.crash("ar2")
    domain.members["ar2"].store.clear()
    domain.members["ar2"].store.update(before)
    domain.restart("ar2", store=True)
    domain.detach("mn2", "ar2")
    domain.run(SECOND)
    _ends_at(domain, "ar2", own)


@pytest.mark.parametrize("sighting", [Sighting.STATION, Sighting.NEIGHBOUR])
@pytest.mark.parametrize("mode", CENTRAL)
def test_a_node_that_its_router_forgot_has_all_its_prefixes_when_it_is_seen(mode: Mode, sighting: Sighting) -> None:
    """It did not leave for all that is known, so any sign of it counts, and at once."""
    domain = _walked("ar1", "ar2", mode=mode)
    first, second = domain.own("ar1", "mn1"), domain.own("ar2", "mn1")
    domain.restart("ar2", store=False)
    domain.run(5 * MILLISECOND)
    domain.attach("mn1", "ar2", sighting)
    domain.run(SECOND)
    session = _session(domain, "ar2")
    assert (session.own, set(session.anchored)) == (second, {first})
    assert session.confirmed
    assert isinstance(domain.plane("ar2").way(first), EnsureDelivery)
    assert checkers.routes_equal_bindings(domain) == []


def test_on_no_link_a_router_shows_itself_for_a_node_that_it_did_not_see() -> None:
    """Neither as the router of an anchor with networks of its own, nor as that of an IPv4 address."""
    domain = Domain(dhcp=True)
    domain.reconfigure("ar1", routes=(prefix("fd00:1::/32"),))
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    client = Client(domain, "mn1")
    leased = single(client.obtain_ipv4("ar1"))
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2", 3 * SECOND)
    shown = domain.plane("ar2").state.logical_interfaces
    assert len(shown) == 2
    before = set(shown)
    _forgets(domain, "ar2")
    assert leased in _session(domain, "ar2").anchored
    assert domain.plane("ar2").state.logical_interfaces == set()
    domain.attach("mn1", "ar2")
    domain.run(SECOND)
    assert domain.plane("ar2").state.logical_interfaces == before


def test_what_is_gathered_about_a_router_that_forgot_is_told_when_it_is_complete() -> None:
    """Relay mode: it would send what it gets for the node back to an anchor that does not know of it yet."""
    domain = _walked("ar1", mode=Mode.RELAY, delays={("cmd", "ar1"): 50 * MILLISECOND})
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.run(5 * MILLISECOND)
    domain.clear()
    domain.restart("ar2", store=False)
    domain.run(40 * MILLISECOND)
    assert answers(domain, "ar2") == []
    domain.run(SECOND)
    assert len(answers(domain, "ar2")) == 1
    assert _session(domain, "ar2").anchored


@pytest.mark.parametrize("mode", CENTRAL)
def test_a_node_that_its_router_forgot_may_turn_up_elsewhere(mode: Mode) -> None:
    """No link is asked for anything in its name before."""
    domain = _walked("ar1", "ar2", mode=mode)
    own = {domain.own("ar1", "mn1"), domain.own("ar2", "mn1")}
    _forgets(domain, "ar2")
    domain.attach("mn1", "ar3")
    domain.run(SECOND)
    assert _session(domain, "ar2").serving == router(3)
    assert set(_session(domain, "ar3").anchored) == own
    domain.run(4 * SECOND)
    assert checkers.routes_equal_bindings(domain) == []
    assert not [effect for _, name, effect in domain.effects if getattr(effect, "interface", name) == ""]


def test_a_router_that_forgot_takes_back_what_it_gave_to_somebody_else_since() -> None:
    """As it does of what it anchors for nodes that are elsewhere."""
    domain = _walked("ar1", "ar2")
    second = domain.own("ar2", "mn1")
    domain.crash("ar2")
    domain.restart("ar2", store=False)
    domain.attach("mn2", "ar2")
    assert domain.own("ar2", "mn2") == second
    domain.run(SECOND)
    assert domain.own("ar2", "mn1") == second
    assert domain.own("ar2", "mn2") != second
    assert checkers.routes_equal_bindings(domain) == []


def test_a_router_that_forgot_is_told_at_the_pace_of_the_database() -> None:
    """Somebody else's update waits for its turn behind as many as that router served."""
    domain = Domain(cmd={"pace_rate": 20})
    for host in ("mn1", "mn2", "mn3"):
        domain.attach(host, "ar1")
        domain.run(SECOND)
        domain.roam(host, "ar1", "ar2", SECOND)
    domain.restart("ar2", store=False)
    domain.run(10 * MILLISECOND)
    assert len(domain.maar("ar2").sessions) == 1
    domain.run(200 * MILLISECOND)
    assert len(domain.maar("ar2").sessions) == 3


def test_who_moved_on_before_its_turn_is_not_told_of_where_it_was() -> None:
    domain = Domain(cmd={"pace_rate": 1})
    for host in ("mn1", "mn2"):
        domain.attach(host, "ar1")
        domain.run(SECOND)
        domain.roam(host, "ar1", "ar2", SECOND)
    domain.restart("ar2", store=False)
    domain.run(10 * MILLISECOND)
    (told,) = domain.maar("ar2").sessions
    other = "mn2" if told == node("mn1") else "mn1"
    domain.attach(other, "ar3")
    domain.run(10 * MILLISECOND)
    domain.clear()
    domain.run(3 * SECOND)
    assert not [one for name in ("ar2", "ar3") for one in answers(domain, name) if one.lifetime]
    assert _session(domain, "ar2", other).serving == router(3)


# --- answers that are to be left alone ------------------------------------------------------------------------------


def _late(
    domain: Domain, timestamp: int, *own: Prefix, first: Prefix | None = None, host: str = "mn1"
) -> BindingAcknowledgement:
    """What the CMD said once of a node at ar2, with `first` at ar1."""
    told: list[MobilityOption] = [HomeNetworkPrefix.of(one) for one in own]
    told += [] if first is None else [PreviousMaar.of(first, router(1))]
    return pba(domain, *told, host=host, timestamp=timestamp, lifetime=_LIFETIME)


def _changes_nothing(domain: Domain, source: Address, late: MobilityMessage) -> None:
    before = {key: session.record() for key, session in domain.maar("ar2").sessions.items()}
    domain.clear()
    for _ in range(100):
        domain.inject(source, "ar2", late)
    domain.run(100 * MILLISECOND)
    assert {key: session.record() for key, session in domain.maar("ar2").sessions.items()} == before
    assert not [message for who, _, message in domain.sent() if who == "ar2"]
    assert checkers.routes_equal_bindings(domain) == []


def test_an_answer_about_what_was_registered_in_this_life_brings_nothing_back() -> None:
    """It was long on its way: what it tells of is over."""
    domain = _walked("ar1", "ar2")
    late = _late(domain, _session(domain, "ar2").attached, domain.own("ar2", "mn1"), first=domain.own("ar1", "mn1"))
    domain.detach("mn1", "ar2")
    domain.run(2 * _LIFETIME)
    assert domain.session("ar2", "mn1") is None
    _changes_nothing(domain, CMD, late)


def test_an_answer_to_an_earlier_life_does_not_change_what_is_known_of_the_node_since() -> None:
    """Nor is anything answered to it."""
    domain = _walked("ar1", "ar2", idle_hold=HOUR)
    late = _late(domain, _session(domain, "ar2").attached, domain.own("ar2", "mn1"), first=domain.own("ar1", "mn1"))
    domain.restart("ar2", store=True)
    domain.run(SECOND)
    domain.roam("mn1", "ar2", "ar3", 3 * SECOND)
    _changes_nothing(domain, CMD, late)
    assert _session(domain, "ar2").serving == router(3)


@pytest.mark.parametrize("source", [router(1), router(9)])
def test_nobody_but_the_database_tells_of_an_earlier_life(source: Address) -> None:
    domain = _walked("ar1")
    earlier = stamp(domain, -2 * SECOND)
    domain.restart("ar2", store=False)
    domain.run(SECOND)
    _changes_nothing(domain, source, _late(domain, earlier, pool(2).subnet(7, 64), first=pool(1).subnet(7, 64)))


def test_that_a_node_is_still_somewhere_does_not_tell_of_an_earlier_life() -> None:
    """What answers an anchor's question (RFC 8885 3.5) names no anchors; without any nothing is sent here."""
    domain = _walked("ar1")
    earlier = stamp(domain, -2 * SECOND)
    domain.restart("ar2", store=False)
    domain.run(SECOND)
    _changes_nothing(domain, CMD, _late(domain, earlier, pool(2).subnet(7, 64)))


def test_a_prefix_of_somebody_else_is_not_taken_away_by_what_an_earlier_life_registered() -> None:
    """Neither our own, nor that of an anchor, which a node has that is here."""
    domain = _walked("ar1", "ar2")
    own, first = domain.own("ar2", "mn1"), domain.own("ar1", "mn1")
    earlier = stamp(domain, -HOUR)
    for told in ((own, pool(1).subnet(9, 64)), (pool(2).subnet(9, 64), first)):
        late = _late(domain, earlier, told[0], first=told[1], host="mn2")
        domain.inject(CMD, "ar2", late)
        domain.run(SECOND)
        session = _session(domain, "ar2")
        assert (session.own, set(session.anchored)) == (own, {first})


def test_an_earlier_life_fills_no_more_room_than_there_is() -> None:
    domain = Domain(nodes=2, cmd={"warm_up": 0})
    for number, host in enumerate(("mn1", "mn2", "mn3", "mn4")):
        late = _late(
            domain, stamp(domain, -HOUR), pool(2).subnet(number, 64), first=pool(1).subnet(number, 64), host=host
        )
        domain.inject(CMD, "ar2", late)
    assert len(domain.maar("ar2").sessions) == 2
    domain.run(2 * _LIFETIME)
    assert checkers.nothing_left(domain) == []


# --- the anchor (`cluster` 132550) ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CENTRAL)
def test_a_router_that_was_dead_is_believed_of_a_node_that_was_elsewhere_for_a_moment(mode: Mode) -> None:
    """The node passed by ar3, which let it go in the end: its first prefix was over, since later than its time at ar2.

    The anchor took the word of ar2, which had been dead, for one that was long on its way, for as long as ar2 said so.
    """
    domain = _walked("ar1", "ar2", mode=mode, cmds=2, idle_hold=HOUR)
    own = domain.own("ar1", "mn1")
    domain.crash("ar2")
    domain.attach("mn1", "ar3")
    domain.run(SECOND)
    domain.detach("mn1", "ar3")
    domain.run(_LIFETIME + 5 * SECOND)
    assert domain.session("ar1", "mn1") is None
    domain.restart("ar2", store=True)
    domain.run(SECOND)
    assert _session(domain, "ar1").serving == router(2)
    assert isinstance(domain.plane("ar1").way(own), EnsureTunnel)
    assert own in _session(domain, "ar2").anchored
    assert isinstance(domain.plane("ar2").way(own), EnsureDelivery)
