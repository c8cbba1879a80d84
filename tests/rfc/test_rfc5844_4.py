"""IPv4 between gateway and anchor, with and without a NAT (RFC 5844 4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import EnsureTransport, EnsureTunnel, SendMessage
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import Address, address, to_ipv4
from sojourn.wire.extensions.rfc5555 import Ipv4CareOfAddress, NatDetection
from sojourn.wire.units import SECOND
from support.ipv4_transport import LMA4, NAT4, Ipv4Domain, inside
from support.pmip import PROXY, gateway, request
from support.table import HOSTS, node

F = int(BindingUpdateFlags.F)
FORCED = {"accept_forced_ipv4_udp_encapsulation_request": True}
STRANGER = address("192.0.2.66")


def at_home(made: Ipv4Domain, name: str, host: str = "mn1") -> None:
    made.attach(host, name)
    made.run(SECOND)
    assert made.at(name, host).confirmed


def care_of(own: Address) -> MobilityOption:
    return Ipv4CareOfAddress(to_ipv4(own))


def answer_in(sent: list[SendMessage]) -> BindingAcknowledgement:
    (effect,) = sent
    assert isinstance(effect.message, BindingAcknowledgement)
    return effect.message


# --- without a NAT -------------------------------------------------------------------------------------------------


def test_4_2_2_1_updates_go_over_ipv4_from_and_to_port_5436() -> None:
    made = Ipv4Domain()
    at_home(made, "mag2")
    updates = [effect for name, effect in made.datagrams if name == "mag2"]
    assert {(one.source, one.destination, one.own_port, one.port) for one in updates} == {(inside(2), LMA4, 5436, 5436)}


def test_4_1_3_2_the_answer_is_from_where_the_request_went_and_to_its_source_port() -> None:
    made = Ipv4Domain()
    (sent,) = made.datagram(request(made), inside(2), port=33_333)
    assert (sent.source, sent.own_port) == (LMA4, 5436)
    assert (sent.destination, sent.port) == (inside(2), 33_333)
    assert isinstance(sent.message, BindingAcknowledgement)
    assert sent.message.status == Status.ACCEPTED


def test_4_1_3_1_without_flag_f_packets_travel_in_ipv4_and_nothing_else() -> None:
    made = Ipv4Domain()
    at_home(made, "mag2")
    assert made.transport("lma", "mag2") == EnsureTransport(gateway(2), inside(2), 0)
    assert made.transport("mag2", "lma") == EnsureTransport(made.lma.configuration.address, LMA4, 0)
    assert isinstance(made.plane("lma").way(made.entry().prefixes[0]), EnsureTunnel)
    (answer,) = [one for _, _, one in made.sent(BindingAcknowledgement)]
    assert isinstance(answer, BindingAcknowledgement)
    assert answer.first(NatDetection) is None


def test_4_1_3_1_forced_udp_is_refused_unless_the_anchor_is_told_otherwise() -> None:
    made = Ipv4Domain()
    answer = answer_in(made.datagram(request(made, flags=PROXY | F, more=(care_of(inside(2)),)), inside(2)))
    assert answer.status == Status.ADMINISTRATIVELY_PROHIBITED
    assert made.entries() == ()
    assert made.transport("lma", "mag2") is None


def test_4_2_2_with_flag_f_packets_travel_in_udp_at_both_ends() -> None:
    made = Ipv4Domain(FORCED, {"force_ipv4_udp_encapsulation_support": True})
    at_home(made, "mag2")
    assert made.transport("lma", "mag2") == EnsureTransport(gateway(2), inside(2), 5437)
    assert made.transport("mag2", "lma") == EnsureTransport(made.lma.configuration.address, LMA4, 5437)
    assert made.ports("mag2") == {5436}, "there is no NAT: signalling stays where it is"


def test_4_2_2_a_nat_detection_option_without_flag_f_changes_nothing() -> None:
    made = Ipv4Domain()
    made.change = lambda message: (
        replace(message, options=(*message.options, NatDetection(force=False, refresh=20)))
        if isinstance(message, BindingAcknowledgement)
        else message
    )
    at_home(made, "mag2")
    (answer,) = [one for _, _, one in made.sent(BindingAcknowledgement)]
    assert isinstance(answer, BindingAcknowledgement)
    assert answer.first(NatDetection) is not None
    assert made.transport("mag2", "lma") == EnsureTransport(made.lma.configuration.address, LMA4, 0)


def test_4_2_2_1_deregistration_is_like_the_registration() -> None:
    made = Ipv4Domain()
    at_home(made, "mag2")
    made.detach("mn1", "mag2")
    made.run(SECOND)
    first, *_, last = [one for _, _, one in made.sent(BindingUpdate)]
    assert isinstance(first, BindingUpdate)
    assert isinstance(last, BindingUpdate)
    assert last.lifetime == 0
    assert [type(option) for option in last.options] == [type(option) for option in first.options]
    assert made.ports("mag2") == {5436}


# --- behind a NAT --------------------------------------------------------------------------------------------------


def test_a_nat_is_found_and_packets_go_to_what_it_made_of_port_5437() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    port = made.nat.ports[inside(1), 5437, 5437]
    assert made.transport("lma", "mag1") == EnsureTransport(gateway(1), NAT4, port)
    assert made.transport("mag1", "lma") == EnsureTransport(made.lma.configuration.address, LMA4, 5437)
    options = [one.first(NatDetection) for _, _, one in made.sent(BindingAcknowledgement)]
    assert all(option is not None and option.force and option.refresh == 20 for option in options)


def test_before_the_nat_is_known_nothing_is_sent_to_a_port_that_it_did_not_show() -> None:
    made = Ipv4Domain()
    made.datagram(request(made, more=(care_of(inside(1)),)), NAT4, port=40_000, own_port=5436)
    assert made.entry().gateway == gateway(1)
    assert made.transport("lma", "mag1") is None


def test_a_nat_sees_something_of_us_in_every_interval_though_nothing_happens() -> None:
    made = Ipv4Domain({"keepalive": 5 * SECOND})
    at_home(made, "mag1")
    made.datagrams.clear()
    made.run(60 * SECOND)
    updates = [effect for name, effect in made.datagrams if name == "mag1"]
    assert 11 <= len(updates) <= 13
    assert {effect.port for effect in updates} == {5437}


def test_without_a_nat_there_are_no_keepalives() -> None:
    made = Ipv4Domain({"keepalive": 5 * SECOND})
    at_home(made, "mag2")
    made.datagrams.clear()
    made.run(60 * SECOND)
    assert made.datagrams == []


def test_a_nat_that_forgot_is_followed_by_the_next_registration() -> None:
    made = Ipv4Domain({"keepalive": 5 * SECOND})
    at_home(made, "mag1")
    before = made.transport("lma", "mag1")
    made.nat.forget()
    made.run(6 * SECOND)
    after = made.transport("lma", "mag1")
    assert after is not None
    assert after != before
    assert after.port == made.nat.ports[inside(1), 5437, 5437]
    assert made.listed("mag1") is not None
    assert made.reported("mag1", "binding-expired") == 0


def test_any_node_that_comes_repairs_the_way_of_all() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    made.nat.forget()
    at_home(made, "mag1", "mn2")
    after = made.transport("lma", "mag1")
    assert after is not None
    assert after.port == made.nat.ports[inside(1), 5437, 5437]


def test_a_copy_of_a_registration_from_another_port_moves_nothing() -> None:
    """By whoever sees the NAT's address as his own: the same Timestamp was accepted before."""
    made = Ipv4Domain()
    at_home(made, "mag1")
    before = made.transport("lma", "mag1")
    update = [one for _, _, one in made.sent(BindingUpdate)][-1]
    answer = answer_in(made.datagram(update, NAT4, port=6_666, own_port=5437))
    assert answer.status == Status.TIMESTAMP_MISMATCH
    assert made.transport("lma", "mag1") == before


def test_a_message_that_is_no_registration_moves_nothing() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    before = made.transport("lma", "mag1")
    made.datagram(BindingRefreshRequest(), NAT4, port=6_666, own_port=5437)
    assert made.transport("lma", "mag1") == before


@pytest.mark.parametrize(
    ("source", "own"),
    [(STRANGER, STRANGER), (STRANGER, inside(1)), (NAT4, NAT4), (NAT4, inside(2)), (inside(1), inside(1))],
)
def test_strangers_are_refused_wherever_they_say_they_are(source: Address, own: Address) -> None:
    made = Ipv4Domain()
    answer = answer_in(made.datagram(request(made, more=(care_of(own),)), source, port=5_000))
    assert answer.status == Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert made.entries() == ()
    assert made.plane("lma").state.transports == {}


def test_nobody_takes_a_gateways_name_over_ipv6_of_ipv4() -> None:
    """An answer to our gateway is believed from the LMA only."""
    made = Ipv4Domain()
    at_home(made, "mag2")
    forged = BindingAcknowledgement(int(Status.PROXY_REG_NOT_ENABLED), 0, 1, 0, ())
    before = made.reported("mag2", "acknowledgement-unexpected")
    made.inject(STRANGER, "mag2", forged)
    assert made.reported("mag2", "acknowledgement-unexpected") == before + 1
    assert made.at("mag2").confirmed


# --- restarts ------------------------------------------------------------------------------------------------------


def test_an_anchor_that_restarts_with_its_store_knows_where_gateways_are() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    before = made.transport("lma", "mag1")
    made.restart("lma", store=True)
    assert made.transport("lma", "mag1") == before


def test_an_anchor_that_lost_everything_hears_of_a_gateway_behind_a_nat_within_an_interval() -> None:
    made = Ipv4Domain({"keepalive": 5 * SECOND})
    at_home(made, "mag1")
    made.restart("lma", store=False)
    assert made.transport("lma", "mag1") is None
    made.run(6 * SECOND)
    assert made.transport("lma", "mag1") is not None
    assert made.entry().gateway == gateway(1)


def test_a_gateway_that_restarts_is_reached_again() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    made.restart("mag1", store=True)
    made.run(2 * SECOND)
    assert made.transport("mag1", "lma") == EnsureTransport(made.lma.configuration.address, LMA4, 5437)
    made.restart("mag1", store=False)
    made.attach("mn1", "mag1")
    made.run(SECOND)
    assert made.at("mag1").confirmed
    after = made.transport("lma", "mag1")
    assert after is not None
    assert after.port == made.nat.ports[inside(1), 5437, 5437]


def test_a_roam_from_behind_the_nat_to_a_gateway_without_one_and_back() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    prefixes = made.entry().prefixes
    for old, new in (("mag1", "mag2"), ("mag2", "mag1")):
        made.roam("mn1", old, new)
        made.run(SECOND)
        assert made.at(new).confirmed
        assert made.entry().prefixes == prefixes
        assert made.plane("lma").way(prefixes[0]) == EnsureTunnel(made.entry().slot, gateway(int(new[-1])))


def test_people_see_where_a_gateway_is() -> None:
    made = Ipv4Domain()
    at_home(made, "mag1")
    rows = {str(row["name"]): row for row in made.lma.show("peers", made.now)}
    port = made.nat.ports[inside(1), 5437, 5437]
    assert (rows["mag1"]["ipv4"], rows["mag1"]["packets"]) == ("203.0.113.7", f"udp {port}, nat")
    (row,) = made.mag("mag1").show("peers", made.now)
    assert row["packets"] == "udp 5437, nat"
    assert node("mn1") == b"\x05" + HOSTS["mn1"]


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_what_the_data_plane_refuses_is_tried_again(name: str) -> None:
    made = Ipv4Domain()
    refusals = [OSError(32, "the relay is gone")] * 3
    made.plane(name).trouble = lambda effect: (
        refusals.pop() if refusals and isinstance(effect, EnsureTransport) else None
    )
    at_home(made, "mag1")
    made.run(5 * SECOND)
    assert refusals == []
    assert made.transport(name, "mag1" if name == "lma" else "lma") is not None
