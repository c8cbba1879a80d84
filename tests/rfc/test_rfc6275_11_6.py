"""RFC 6275 11.6 and 11.7.2: a mobile node and its correspondent nodes (see `test_rfc6275_11`)."""

from __future__ import annotations

import pytest

from sojourn.core.events import (
    Commanded,
    CorrespondentSeen,
    IcmpErrorReceived,
    MessageReceived,
)
from sojourn.engines.return_routability import signed as proven
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    MobilityMessage,
    decode,
    encode,
)
from sojourn.wire.addresses import Address, address
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.mip6_messages import CN, COA, COA2, HA, HOA, HOME_LINK, STRANGER, A
from support.mip6_watch import (
    acknowledge,
    away,
    optimised,
    reported,
    silent,
    stamp_of,
    states,
    update_of,
    updates,
)

# --- 11.6 and 11.7.2: correspondent nodes -----------------------------------------------------------------------------


def test_11_6_1_both_tests_begin_together_one_through_the_tunnel() -> None:
    net = away()
    net.downlink()
    (home,), (care_of,) = net.sent(HomeTestInit), net.sent(CareOfTestInit)
    assert (home.source, home.destination, home.home_address) == (HOA, CN, None)
    assert (care_of.source, care_of.destination, care_of.home_address) == (COA, CN, None)


def test_11_7_2_the_update_as_it_is_to_be() -> None:
    net = optimised()
    (sent,) = updates(net, CN)
    assert (sent.source, sent.home_address) == (COA, HOA)
    assert update_of(sent).flags == A
    assert update_of(sent).lifetime <= 420 * SECOND


def test_11_7_2_route_optimisation_returns_within_two_round_trips_after_the_tunnel() -> None:
    net = optimised(
        delays={("mn", "ha"): 20 * MILLISECOND, ("mn", "cn"): 20 * MILLISECOND, ("ha", "cn"): 20 * MILLISECOND}
    )
    net.roam("f2", settle=0)
    while net.entry.registered != COA2:
        net.run(1 * MILLISECOND)
    assert net.host.direct == {}
    registered = net.now
    while not net.host.direct:
        net.run(1 * MILLISECOND)
    assert net.now - registered <= 80 * MILLISECOND
    assert len(net.sent(HomeTestInit)) == 1  # the home token was fresh (5.2.7)


def test_11_7_2_no_tests_before_the_home_agent_answered() -> None:
    net = silent(BindingAcknowledgement)
    net.attach("f1")
    net.tell("mn", CorrespondentSeen(HOA, CN))
    assert not net.sent(HomeTestInit)
    net.lose = lambda source, destination, message: False
    net.run(5 * SECOND)
    assert net.sent(HomeTestInit)


@pytest.mark.parametrize("who", [HA, HOA, address("ff02::1"), address("fe80::1")])
def test_11_7_2_nobody_is_asked_who_is_no_correspondent_node(who: Address) -> None:
    net = away()
    net.tell("mn", CorrespondentSeen(HOA, who))
    net.tell("mn", CorrespondentSeen(STRANGER, CN))
    assert not net.sent(HomeTestInit)


def test_11_6_2_tests_that_do_not_belong_to_a_question_are_ignored() -> None:
    net = silent(HomeTest, CareOfTest)
    net.attach("f1")
    net.downlink()
    home, care_of = net.sent(HomeTestInit)[0].message, net.sent(CareOfTestInit)[0].message
    assert isinstance(home, HomeTestInit)
    assert isinstance(care_of, CareOfTestInit)
    for message, source, destination in (
        (HomeTest(1, b"wrong!!!", bytes(8)), CN, HOA),
        (HomeTest(1, home.cookie, bytes(8)), STRANGER, HOA),
        (HomeTest(1, home.cookie, bytes(8)), CN, COA),
        (CareOfTest(1, home.cookie, bytes(8)), CN, COA),
        (CareOfTest(1, care_of.cookie, bytes(8)), CN, COA2),
        (CareOfTest(1, bytes(8), bytes(8)), CN, COA),
    ):
        net.tell("mn", MessageReceived(message, source, destination))
    assert reported(net, "test-discarded") == 6
    net.tell("mn", MessageReceived(HomeTest(1, home.cookie, b"token of"), CN, HOA))
    net.tell("mn", MessageReceived(HomeTest(2, home.cookie, b"another!"), CN, HOA))  # a duplicate
    assert reported(net, "test-discarded") == 7
    (peer,) = net.mn.correspondents.values()
    assert peer.home_token is not None
    assert peer.home_token.index == 1


def test_11_8_repeated_tests_have_new_cookies_and_who_never_answers_is_left_alone() -> None:
    net = away(correspondent=False)
    net.downlink()
    net.run(60 * SECOND)
    sent = [message.message for message in net.sent(HomeTestInit)]
    assert len({message.cookie for message in sent if isinstance(message, HomeTestInit)}) == len(sent) == 4
    assert states(net) == ["refused"]
    assert net.uplink() == net.downlink() == "tunnel"
    assert not net.sent(HomeTestInit)[4:]
    net.run(10 * MINUTE)
    net.downlink()
    assert len(net.sent(HomeTestInit)) == 5


@pytest.mark.parametrize("kind", [HomeTestInit, CareOfTestInit, BindingUpdate])
def test_11_8_no_correspondent_node_gets_four_messages_of_a_kind_in_a_second(
    kind: type[MobilityMessage],
) -> None:
    net = optimised()
    net.clear()
    (peer,) = net.mn.correspondents.values()
    for number in range(100):
        if number % 2:
            peer.home_token = peer.ways[0].care_of_token = None
        net.tell("mn", MessageReceived(BindingError(1, HOA), CN, COA))
        net.run(40 * MILLISECOND)
    times = [when for when, _, where, sent in net.messages if where == "cn" and isinstance(sent.message, kind)]
    assert len(times) > 3
    assert all(later - earlier >= SECOND for earlier, later in zip(times, times[3:], strict=False))


@pytest.mark.parametrize("event", [IcmpErrorReceived(4, 1, CN, 135), MessageReceived(BindingError(2, HOA), CN, COA)])
def test_11_3_5_who_does_not_know_mobility_is_not_asked_again(event: IcmpErrorReceived | MessageReceived) -> None:
    net = away(correspondent=False)
    net.downlink()
    net.tell("mn", event)
    assert states(net) == ["refused"]
    net.run(60 * SECOND)
    assert len(net.sent(HomeTestInit)) == 1
    assert net.uplink() == "tunnel"


def test_11_3_5_who_does_not_know_mobility_is_asked_again_after_a_while() -> None:
    net = away(correspondent=False)
    net.downlink()
    net.tell("mn", IcmpErrorReceived(4, 1, CN, 135))
    net.run(11 * MINUTE)
    assert states(net) == []
    net.downlink()
    assert len(net.sent(HomeTestInit)) == 2


def test_11_3_5_an_error_makes_no_entry() -> None:
    net = away()
    net.tell("mn", IcmpErrorReceived(4, 1, CN, 135))
    net.tell("mn", IcmpErrorReceived(4, 2, CN, 60))
    net.tell("mn", MessageReceived(BindingError(1, HOA), CN, COA))
    assert states(net) == []


def test_11_3_6_a_correspondent_node_without_memory_is_told_again() -> None:
    net = optimised()
    net.start("cn")
    assert net.uplink() == "lost"  # it says so
    net.run(1 * SECOND)
    assert net.uplink() == net.downlink() == "direct"


def test_9_5_5_and_11_7_4_a_binding_in_use_goes_on_for_ever() -> None:
    net = optimised()
    for _ in range(30):
        net.run(1 * MINUTE)
        assert net.uplink() == net.downlink() == "direct"


def test_11_7_3_an_acknowledgement_of_a_correspondent_node_is_proven_or_ignored() -> None:
    net = silent(BindingAcknowledgement)
    net.attach("f1", settle=100 * MILLISECOND)
    acknowledge(net, 0, options=stamp_of(net))
    net.run(1500 * MILLISECOND)
    net.downlink()
    net.run(500 * MILLISECOND)
    (peer,) = net.mn.correspondents.values()
    known = peer.ways[0]
    number = update_of(updates(net, CN)[-1]).sequence
    for status in (0, 130, 135):
        answer = BindingAcknowledgement(status, 0, number, 100 * SECOND)
        wrong = proven(BindingAcknowledgement(status, 0, number, 100 * SECOND), b"another key", COA, CN)
        octets = bytearray(encode(proven(BindingAcknowledgement(status, 0, number, 100 * SECOND), known.key, COA, CN)))
        padded = bytes((*octets, 1, 6, *bytes(6)))
        padded = padded[:1] + bytes((padded[1] + 1,)) + padded[2:]
        for message, arrived in ((answer, b""), (wrong, b""), (decode(padded), padded)):
            net.tell("mn", MessageReceived(message, CN, COA, None, HOA, arrived))
    assert reported(net, "acknowledgement-discarded") == 9
    assert states(net) == ["updating"]
    good = proven(BindingAcknowledgement(0, 0, number, 100 * SECOND), known.key, COA, CN)
    net.tell("mn", MessageReceived(good, CN, COA, None, HOA))
    assert states(net) == ["bound"]


def test_11_7_3_advice_of_a_correspondent_node_is_ignored() -> None:
    net = optimised()
    (peer,) = net.mn.correspondents.values()
    known = peer.ways[0]
    assert net.mn.timers.when(("direct-refresh", known.name)) > net.now + 100 * SECOND  # type: ignore[operator]


def test_11_6_1_back_at_home_the_binding_is_deleted_with_a_home_test_alone() -> None:
    net = optimised()
    net.clear()
    net.roam("home")
    assert not net.sent(CareOfTestInit)
    (sent,) = updates(net, CN)
    assert (sent.source, sent.home_address, update_of(sent).lifetime) == (HOA, None, 0)
    assert net.routes == {}
    assert states(net) == []
    assert net.uplink() == net.downlink() == "home"


def test_11_4_2_a_shorter_life_of_the_home_address_is_told_to_correspondent_nodes() -> None:
    net = optimised()
    before = len(updates(net, CN))
    net.tell("ha", Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "60", "valid": "120"}))
    net.tell("mn", MessageReceived(BindingRefreshRequest(), HA, COA, None, HOA))
    net.run(2 * SECOND)
    assert update_of(updates(net, CN)[before]).lifetime <= 120 * SECOND


def test_a_node_without_the_wish_for_route_optimisation_stays_in_the_tunnel() -> None:
    net = away(route_optimisation=False)
    net.downlink()
    assert not net.sent(HomeTestInit)
    assert net.uplink() == net.downlink() == "tunnel"
