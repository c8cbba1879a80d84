"""Defects that random walks, the transcripts or a reader found; each once, and never again.

What the fault simulation found since is in test_simulation_regressions.

Those that are best read as a conversation are transcripts: clock_ahead, clock_behind, cmd_forgets, maar_restarts_*,
cmd_gives_up_on_a_dead_anchor and others in tests/scenarios.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.core.events import Commanded, NodeSeen, Sighting
from sojourn.engines.configuration import CENTRAL, Mode, logical_link_local
from sojourn.engines.maar_session import Presence, Session
from sojourn.engines.registration import PROXY_DMM
from sojourn.wire import (
    AnchoredPrefix,
    BindingRefreshRequest,
    BindingUpdate,
    DlifLinkLocalAddress,
    Handoff,
    LocalPrefix,
    MobilityMessage,
    PreviousMaar,
    ServingMaar,
    Timestamp,
    encode,
)
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support import checkers
from support.domain import CMD, HOSTS, Domain, node, pool, router
from support.messages import answers, pba, pbu, stamp, updates

_MODES = CENTRAL


def _walked(*path: str, mode: Mode = Mode.PROXY, **settings: object) -> Domain:
    """mn1 walked along `path`, a second at each place."""
    domain = Domain(mode, maars=4, **settings)  # type: ignore[arg-type]
    domain.attach("mn1", path[0])
    domain.run(SECOND)
    for old, new in pairwise(path):
        domain.roam("mn1", old, new, SECOND)
    domain.clear()
    return domain


def _session(domain: Domain, name: str, host: str = "mn1") -> Session:
    session = domain.session(name, host)
    assert session is not None
    return session


# --- what grew or never ended ---------------------------------------------------------------------------------------


def test_forged_sources_grow_no_table() -> None:
    domain = _walked("ar1")
    for number in range(1000):
        source = b"\x20\x01" + number.to_bytes(14, "big")
        domain.inject(source, "ar1", pba(domain))
        domain.inject(source, "ar1", pbu(domain, more=(ServingMaar(router(2)),)))
        domain.inject(source, "cmd", pba(domain))
        domain.inject(source, "cmd", pbu(domain))
    assert len(domain.maar("ar1").heard) <= 4
    assert len(domain.cmd.heard) <= 4


def test_a_refused_retirement_ends() -> None:
    """The refusal did not say what it refused, so that it was never matched and the request repeated for ever."""
    domain = _walked("ar1", "ar2", idle_hold=4 * SECOND)
    domain.lose = lambda source, destination, message: (
        source == "ar1" and isinstance(message, BindingUpdate) and message.lifetime == 0
    )
    domain.run(10 * SECOND)
    (key,) = domain.maar("ar1")._requests._outstanding
    request = domain.maar("ar1")._requests.get(key)
    assert request is not None
    domain.clear()
    refused = pba(domain, AnchoredPrefix.of(domain.own("ar1", "mn1")), status=129, sequence=request.update.sequence)
    domain.inject(CMD, "ar1", refused)
    assert domain.reported("ar1", "retirement-refused") == 1
    assert len(domain.maar("ar1")._requests) == 0


def test_the_cmd_says_which_retirement_it_refuses_and_so_does_a_maar() -> None:
    domain = _walked("ar1")
    own = domain.own("ar1", "mn1")
    told = domain.cmd.entries[node("mn1")].timestamp
    request = pbu(domain, own, lifetime=0, timestamp=told, more=(AnchoredPrefix.of(own),))
    domain.inject(router(1), "cmd", request)
    domain.inject(CMD, "ar1", request)
    for receiver in ("ar1", "cmd"):
        (answer,) = answers(domain, receiver)
        assert answer.status == 129
        assert answer.all(AnchoredPrefix) == (AnchoredPrefix.of(own),)


def test_a_node_that_is_removed_leaves_no_request() -> None:
    """A retirement was asked for when the binding ran out; it was then repeated every 32 s without end."""
    domain = _walked("ar1", "ar2", idle_hold=18 * SECOND, lifetime=20 * SECOND, cmd={"warm_up": 0})
    domain.lose = lambda source, destination, message: message.first(AnchoredPrefix) is not None
    domain.detach("mn1", "ar2")
    domain.run(200 * SECOND)
    assert checkers.nothing_left(domain) == []


def test_a_record_that_does_not_fit_any_more_leaves_the_store() -> None:
    domain = _walked("ar1")
    domain.maar_configurations["ar1"] = replace(domain.maar_configurations["ar1"], pool=prefix("2001:db8:a900::/48"))
    domain.restart("ar1", store=True)
    assert domain.reported("ar1", "record-refused") == 1
    assert node("mn1") not in domain.members["ar1"].store


def test_a_maar_that_lists_another_prefix_at_every_refresh_grows_nothing() -> None:
    domain = _walked("ar1")
    told = domain.cmd.entries[node("mn1")].timestamp
    for index in range(50):
        domain.inject(router(1), "cmd", pbu(domain, pool(1).subnet(index, 64), timestamp=told))
    assert domain.cmd.entries[node("mn1")].anchors == [(pool(1).subnet(49, 64), router(1))]
    assert len(domain.cmd._owners) == 1


def test_many_local_networks_fit_into_one_message() -> None:
    """Seven previous MAARs with eight local networks each were too much for a Mobility Header."""
    networks = tuple(prefix(f"fd00:{number:x}::/32") for number in range(40))
    domain = Domain(maars=8, routes=networks)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    for number in range(1, 8):
        domain.roam("mn1", f"ar{number}", f"ar{number + 1}", SECOND)
    assert max(len(encode(message)) for _, _, message in domain.sent()) <= 2048
    assert len(_session(domain, "ar8").anchored) == 7


# --- who was not told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_an_anchor_that_was_dead_during_the_handover_is_told_when_it_is_heard(mode: Mode) -> None:
    domain = _walked("ar1", mode=mode)
    domain.crash("ar1")
    domain.attach("mn1", "ar2")
    domain.run(140 * SECOND)
    domain.restart("ar1", store=True)
    domain.run(3 * SECOND)
    assert checkers.routes_equal_bindings(domain) == []


@pytest.mark.parametrize("mode", _MODES)
def test_a_cmd_that_was_killed_in_the_middle_tells_the_rest(mode: Mode) -> None:
    domain = _walked("ar1", "ar2", mode=mode)
    domain.lose = lambda source, destination, message: (source, destination) == ("cmd", "ar1")
    domain.roam("mn1", "ar2", "ar3", 100 * MILLISECOND)
    domain.restart("cmd", store=True)
    domain.lose = lambda source, destination, message: False
    domain.run(5 * SECOND)
    assert checkers.routes_equal_bindings(domain) == []


@pytest.mark.parametrize("mode", _MODES)
def test_who_anchors_nothing_is_told_by_the_handover_that_overtakes_the_first(mode: Mode) -> None:
    """The MAAR in between had no prefix to give; when its notice was overtaken, nobody told it at all."""
    domain = Domain(mode)
    domain.reconfigure("ar1", pool=prefix("2001:db8:a100::/64"))
    domain.attach("mn2", "ar1")
    domain.run(SECOND)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: (source, destination) == ("cmd", "ar1")
    domain.attach("mn1", "ar2")
    domain.run(20 * MILLISECOND)
    domain.attach("mn1", "ar3")
    domain.run(20 * MILLISECOND)
    domain.lose = lambda source, destination, message: False
    domain.run(5 * SECOND)
    assert domain.session("ar1", "mn1") is None


def test_two_attachments_at_the_same_instant_are_settled_by_the_cmd() -> None:
    """The one that lost refused the notice, as its own attachment was not earlier."""
    domain = _walked("ar1")
    domain.attach("mn1", "ar2")
    domain.detach("mn1", "ar2")
    domain.attach("mn1", "ar3")
    assert _session(domain, "ar2").attached == _session(domain, "ar3").attached
    domain.run(20 * MILLISECOND)
    domain.event("ar3", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    domain.run(5 * SECOND)
    assert checkers.latest_wins(domain, {"mn1": "ar3"}) == []
    assert checkers.routes_equal_bindings(domain) == []


def test_a_node_that_came_back_unseen_by_the_cmd_and_by_others_too() -> None:
    """ar1 to ar2 and back while the CMD was dead: to the CMD the node had stayed, and ar2 was never told."""
    domain = _walked("ar1")
    domain.crash("cmd")
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.roam("mn1", "ar2", "ar1", SECOND)
    domain.restart("cmd", store=True)
    domain.run(5 * SECOND)
    assert checkers.latest_wins(domain, {"mn1": "ar1"}) == []
    assert checkers.routes_equal_bindings(domain) == []


def test_a_departed_node_that_nobody_could_register_keeps_its_prefix() -> None:
    """It was at ar2 for a moment while the CMD could not hear ar2; what it began there lives on from ar3."""
    domain = _walked("ar1")
    domain.lose = lambda source, destination, message: source == "ar2"
    domain.roam("mn1", "ar1", "ar2", 10 * MILLISECOND)
    domain.roam("mn1", "ar2", "ar3", 10 * MILLISECOND)
    domain.lose = lambda source, destination, message: False
    domain.run(3 * SECOND)
    assert domain.own("ar2", "mn1") in _session(domain, "ar3").anchored
    assert checkers.routes_equal_bindings(domain) == []


# --- prefixes that came back from the dead ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_a_prefix_that_just_retired_is_not_taken_up_again_from_a_refresh(mode: Mode) -> None:
    domain = _walked("ar1", "ar2", mode=mode, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    domain.lose = lambda source, destination, message: (source, destination) == ("cmd", "ar2")
    domain.event("ar1", _retire(own))
    domain.run(5 * MILLISECOND)
    told = domain.cmd.entries[node("mn1")].timestamp
    assert domain.cmd.entries[node("mn1")].anchor_of(own) is None
    refresh = pbu(
        domain,
        domain.own("ar2", "mn1"),
        sequence=99,
        timestamp=told,
        handoff=int(Handoff.NOT_CHANGED),
        more=(AnchoredPrefix.of(own),),
    )
    domain.inject(router(2), "cmd", refresh)
    assert domain.cmd.entries[node("mn1")].anchor_of(own) is None


def _retire(own: Prefix) -> Commanded:
    return Commanded("retire", {"prefix": str(own)})


def test_a_late_retirement_does_not_hit_a_node_that_came_back_and_left_again() -> None:
    """The CMD's order was repeated until the node was elsewhere again, and cut a prefix in use."""
    domain = _walked("ar1", "ar2", cmd={"prefixes_per_node": 2})
    own = domain.own("ar1", "mn1")
    late: list[MobilityMessage] = []

    def delay(source: str, destination: str, message: MobilityMessage) -> bool:
        if destination == "ar1" and isinstance(message, BindingUpdate) and message.lifetime == 0:
            late.append(message)
            return True
        return False

    domain.lose = delay
    domain.roam("mn1", "ar2", "ar3", 20 * MILLISECOND)  # over the limit: ar1 shall let go
    assert late
    domain.roam("mn1", "ar3", "ar1", 20 * MILLISECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.lose = lambda source, destination, message: False
    domain.inject(CMD, "ar1", late[0])
    domain.run(SECOND)
    assert isinstance(domain.plane("ar1").way(own), EnsureTunnel)


def test_a_late_wish_to_retire_does_not_cut_the_prefix_of_a_node_that_moved_on() -> None:
    domain = _walked("ar1", "ar2")
    own = domain.own("ar1", "mn1")
    wish = pbu(domain, own, lifetime=0, timestamp=_session(domain, "ar1").attached, more=(AnchoredPrefix.of(own),))
    domain.roam("mn1", "ar2", "ar1", SECOND)
    domain.roam("mn1", "ar1", "ar3", SECOND)
    domain.clear()
    domain.inject(router(1), "cmd", wish)
    assert answers(domain, "ar1")[0].status == 157
    assert domain.cmd.entries[node("mn1")].anchor_of(own) == router(1)


def test_a_node_that_came_back_to_its_place_does_not_keep_old_prefixes_for_ever() -> None:
    """The anchors were not told of the return, so their wish to retire seemed too old, every time."""
    domain = _walked("ar1", "ar2", idle_hold=4 * SECOND)
    domain.roam("mn1", "ar2", "ar2", SECOND)
    domain.run(20 * SECOND)
    assert domain.session("ar1", "mn1") is None
    assert _session(domain, "ar2").anchored == {}


def test_what_an_anchor_does_not_anchor_is_dropped() -> None:
    """A CMD that forgot learns from a list that is out of date; the anchor knows better."""
    domain = _walked("ar1", "ar2", "ar3")
    gone = pool(1).subnet(77, 64)
    domain.restart("cmd", store=False)
    told = _session(domain, "ar3").attached
    known = (domain.own("ar1", "mn1"), domain.own("ar2", "mn1"))
    listed = tuple(AnchoredPrefix.of(each) for each in (gone, *known))
    domain.inject(router(3), "cmd", pbu(domain, domain.own("ar3", "mn1"), timestamp=told, more=listed))
    assert domain.cmd.entries[node("mn1")].anchor_of(gone) == router(1)
    domain.run(5 * SECOND)
    assert domain.cmd.entries[node("mn1")].anchor_of(gone) is None
    assert gone not in _session(domain, "ar3").anchored
    assert checkers.routes_equal_bindings(domain) == []


@pytest.mark.parametrize("mode", _MODES)
def test_a_refresh_shows_what_is_over_also_when_the_retirement_was_lost(mode: Mode) -> None:
    """In relay mode it did not, because a gathered answer may be incomplete; the answer to a refresh never is."""
    domain = _walked("ar1", "ar2", mode=mode, lifetime=600 * SECOND, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    domain.lose = lambda source, destination, message: (
        destination == "ar2" and isinstance(message, BindingUpdate) and message.lifetime == 0
    )
    domain.event("ar1", _retire(own))
    domain.run(200 * SECOND)
    if mode is not Mode.LOCATOR:  # which refreshes after three seconds already
        assert own in _session(domain, "ar2").anchored
    for _ in range(12):
        domain.run(10 * SECOND)
        domain.event("ar2", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    assert own not in _session(domain, "ar2").anchored


def test_a_prefix_that_was_given_to_somebody_else_is_taken_from_a_node_that_left() -> None:
    """mn1 left ar2, which still passes its old prefix on, when mn2 comes with that very prefix."""
    domain = _walked("ar1", "ar2")
    old = domain.own("ar1", "mn1")
    domain.detach("mn1", "ar2")
    domain.attach("mn2", "ar2")
    (update,) = updates(domain, "ar2", "cmd")
    domain.inject(CMD, "ar2", pba(domain, PreviousMaar.of(old, router(1)), host="mn2", sequence=update.sequence))
    assert _session(domain, "ar2", "mn2").anchored == {old: router(1)}
    assert old not in _session(domain, "ar2").anchored
    way = domain.plane("ar2").way(old)
    assert isinstance(way, EnsureDelivery)
    assert way.link_layer == HOSTS["mn2"]


def test_it_is_not_taken_from_a_node_that_is_there() -> None:
    domain = _walked("ar1", "ar2")
    old = domain.own("ar1", "mn1")
    domain.attach("mn2", "ar2")
    (update,) = updates(domain, "ar2", "cmd")
    domain.inject(CMD, "ar2", pba(domain, PreviousMaar.of(old, router(1)), host="mn2", sequence=update.sequence))
    assert _session(domain, "ar2", "mn2").anchored == {}
    assert domain.reported("ar2", "anchor-refused") == 1


# --- memory ----------------------------------------------------------------------------------------------------------


def test_a_router_that_forgot_asks_until_it_is_answered_even_over_another_crash() -> None:
    domain = _walked("ar1", "ar2")
    own = domain.own("ar1", "mn1")
    domain.crash("cmd")
    domain.restart("ar1", store=False)
    domain.attach("mn2", "ar1")
    domain.run(3 * SECOND)
    domain.restart("ar1", store=True)  # its store is not empty any more
    domain.run(3 * SECOND)
    domain.restart("cmd", store=True)
    domain.run(5 * SECOND)
    way = domain.plane("ar1").way(own)
    assert isinstance(way, EnsureTunnel)
    assert checkers.routes_equal_bindings(domain) == []


def test_a_cmd_answers_a_question_for_memory_with_the_question() -> None:
    """Answers and questions are told apart by the Timestamp, or two of them would go to and fro for ever."""
    domain = _walked("ar1")
    domain.inject(router(2), "cmd", BindingRefreshRequest((Timestamp(7),)))
    assert [message for _, to, message in domain.sent() if to == "ar2"] == [BindingRefreshRequest((Timestamp(7),))]
    domain.clear()
    domain.inject(CMD, "ar1", BindingRefreshRequest((Timestamp(7),)))
    domain.run(SECOND)
    assert domain.messages == []


def test_who_asks_again_and_again_is_told_everything_every_ten_seconds_only() -> None:
    domain = _walked("ar1", "ar2")
    for _ in range(100):
        domain.inject(router(1), "cmd", BindingRefreshRequest((Timestamp(7),)))
        domain.run(200 * MILLISECOND)
    assert 2 <= len(updates(domain, "cmd", "ar1")) <= 4


def test_a_full_memory_of_a_router_that_forgot_is_found_again() -> None:
    """Sixty prefixes are in use by nodes elsewhere; the first newcomer tries a few, and nobody is refused."""
    domain = Domain(new_nodes_per_second=1000, cmd={"pace_rate": 10_000})
    hosts = [f"mn{number}" for number in range(1, 61)]
    for host in hosts:
        domain.attach(host, "ar1")
    domain.run(SECOND)
    for host in hosts:
        domain.roam(host, "ar1", "ar2", 0)
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: isinstance(message, BindingRefreshRequest)
    domain.restart("ar1", store=False)
    domain.attach("mn99", "ar1")
    domain.run(5 * SECOND)
    assert _session(domain, "ar1", "mn99").confirmed
    assert checkers.owners(domain) == []


# --- logical interfaces ---------------------------------------------------------------------------------------------


def _with_identity() -> Domain:
    domain = Domain()
    domain.reconfigure("ar1", routes=(prefix("fd00:1::/32"),))
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.clear()
    return domain


def test_an_identity_follows_to_another_link_of_the_same_router() -> None:
    domain = _with_identity()
    domain.event("ar2", NodeSeen("acc1", HOSTS["mn1"], Sighting.STATION))
    domain.run(SECOND)
    identity = logical_link_local(router(1))
    assert domain.plane("ar2").state.logical_interfaces == {("acc1", identity)}
    assert checkers.routes_equal_bindings(domain) == []


def test_an_identity_that_changes_is_withdrawn() -> None:
    domain = _with_identity()
    other = bytes.fromhex("fe800000000000000000000000001234")
    session = _session(domain, "ar2")
    (old,) = session.anchored
    more = (PreviousMaar.of(old, router(1)), DlifLinkLocalAddress(other), LocalPrefix.of(prefix("fd00:1::/32")))
    domain.inject(CMD, "ar2", pba(domain, *more, timestamp=session.attached))
    assert domain.plane("ar2").state.logical_interfaces == {("acc0", other)}


# --- clocks ---------------------------------------------------------------------------------------------------------


def test_a_router_whose_clock_is_a_little_behind_wins_as_soon_as_the_node_speaks() -> None:
    """Within the window a clock is not corrected: the notice of the CMD came first and ended the question."""
    domain = Domain()
    domain.skew("ar2", -250 * MILLISECOND)
    domain.attach("mn1", "ar1")
    domain.run(20 * MILLISECOND)
    domain.roam("mn1", "ar1", "ar2", 20 * MILLISECOND)
    assert domain.members["ar2"].probes
    domain.event("ar2", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    domain.run(2 * SECOND)
    assert checkers.latest_wins(domain, {"mn1": "ar2"}) == []
    assert checkers.routes_equal_bindings(domain) == []


def test_an_attachment_that_is_over_does_not_hold_a_prefix_against_the_place_where_the_node_is() -> None:
    """ar2 believes in a later attachment of its own than the CMD has ever heard of, and the node is not there."""
    domain = _walked("ar2", "ar1", lifetime=20 * SECOND)
    domain.crash("cmd")
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.detach("mn1", "ar2")
    _session(domain, "ar1").become(Presence.SERVED)  # ar1 did not notice anything
    domain.maar("ar2")._requests.cancel(("register", node("mn1"), CMD, None))
    domain.restart("cmd", store=True)
    domain.lose = lambda source, destination, message: (
        source == "ar2" and isinstance(message, BindingUpdate) and message.lifetime > 0
    )
    domain.maar("ar1")._register(_session(domain, "ar1"), Handoff.NOT_CHANGED)
    for _ in range(90):
        domain.run(SECOND)
        domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    assert checkers.latest_wins(domain, {"mn1": "ar1"}) == []
    assert checkers.routes_equal_bindings(domain) == []


def test_the_updates_of_these_tests_are_those_of_a_maar() -> None:
    """`support.messages.pbu` builds what a MAAR sends, but for the link-layer identifier."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    (sent,) = updates(domain, "ar1", "cmd")
    ours = pbu(domain, domain.own("ar1", "mn1"), timestamp=stamp(domain))
    assert sent.flags == ours.flags == PROXY_DMM
    assert [option for option in sent.options if type(option).__name__ != "MobileNodeLinkLayerIdentifier"] == [
        *ours.options
    ]
