"""RFC 6275 section 11: the mobile node, among real engines of home agent and correspondent node (`support.mip6`)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sojourn.core.effects import Report, SendMessage
from sojourn.core.events import (
    AddressChanged,
    Commanded,
    Icmpv6Received,
    LinkChanged,
    MessageReceived,
    RouterProbed,
)
from sojourn.core.mobile_effects import AnnounceAddress, EnsureReverseTunnel, ProbeAddress, ProbeRouter, SendIcmpv6
from sojourn.engines.authentication import signed
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
)
from sojourn.wire.addresses import address
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.extensions.rfc6275_discovery import (
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
)
from sojourn.wire.icmpv6 import PrefixInformation
from sojourn.wire.units import HOUR, MILLISECOND, MINUTE, SECOND
from support.mip6 import ROUTER, Roaming
from support.mip6_messages import ASSOCIATION, COA, COA2, HA, HOA, HOME_LINK, STRANGER, A, H, L
from support.mip6_watch import (
    acknowledge,
    away,
    icmp,
    reported,
    silent,
    stamp_of,
    update_of,
    updates,
)

# --- 11.5.1 to 11.5.4: movement ---------------------------------------------------------------------------------------


def test_11_5_1_a_link_that_comes_up_is_asked_for_routers() -> None:
    net = Roaming()
    net.attach("f1", settle=0)
    sent = net.asked(SendIcmpv6, "mn")[0]
    assert isinstance(sent, SendIcmpv6)
    assert (sent.interface, sent.destination) == ("wlan0", address("ff02::2"))


def test_11_5_1_a_new_router_is_no_movement_while_the_old_one_can_be_reached() -> None:
    net = away()
    net.clear()
    net.networks["f2"].router = address("fe80::f2")
    advertised = net.networks["f2"].advertisement()
    net.tell("mn", Icmpv6Received(advertised, address("fe80::f2"), address("ff02::1"), "wlan0"))
    net.tell("mn", AddressChanged("wlan0", COA2, 64, True, HOUR, HOUR))
    assert net.asked(ProbeRouter, "mn") == [ProbeRouter("wlan0", address("fe80::f1"))]
    net.run(5 * SECOND)
    assert net.bound() == COA
    assert not updates(net)


def test_11_5_1_and_is_one_when_it_cannot() -> None:
    net = away()
    net.attached["wlan0"] = "f2"  # nobody noticed
    net.advertise("f2")
    net.configure("f2")
    net.run(3 * SECOND)
    assert net.bound() == COA2


def test_11_5_1_missing_advertisements_are_a_reason_to_ask_not_to_move() -> None:
    net = Roaming()
    net.networks["f1"].interval = 50 * MILLISECOND
    net.attach("f1", settle=100 * MILLISECOND)
    net.run(5 * SECOND)
    assert net.asked(ProbeRouter, "mn")
    assert net.bound() == COA
    net.tell("mn", RouterProbed("wlan0", address("fe80::f1"), False))
    assert net.mn.current == ("", None)


def test_c073_advertisements_that_get_lost_and_come_late_cause_nothing() -> None:
    net = Roaming()
    net.networks["f1"].interval = 70 * MILLISECOND
    net.attach("f1")
    before = len(updates(net))
    for number in range(1000):
        if number % 5:
            net.later((60 * number + (number * 37) % 50) * MILLISECOND, lambda: net.advertise("f1"))
    net.run(60 * SECOND)
    assert len(updates(net)) == before


def test_11_5_2_home_is_where_the_home_prefix_is() -> None:
    net = Roaming()
    net.attach("home")
    assert net.entry.place.value == "home"
    assert not net.sent(BindingUpdate)
    assert net.asked(ProbeAddress, "mn") == [ProbeAddress("wlan0", HOA)]
    assert net.from_home() == "home"


def test_11_5_5_at_home_without_a_binding_an_address_that_somebody_took_is_not_used() -> None:
    net = Roaming()
    net.taken.add(HOA)
    net.attach("home")
    assert HOA not in net.host.addresses
    assert net.mn.show("bindings", net.now)[0]["stopped"]


def test_11_5_3_no_more_than_three_updates_a_second_and_the_last_care_of_address_wins() -> None:
    net = away()
    net.clear()
    for network in ("f2", "f1", "f2", "f1", "f2"):
        net.roam(network, settle=100 * MILLISECOND)
    net.run(3 * SECOND)
    times = [when for when, who, _, sent in net.messages if who == "mn" and isinstance(sent.message, BindingUpdate)]
    assert all(later - earlier >= SECOND for earlier, later in zip(times, times[3:], strict=False))
    assert net.bound() == COA2


def test_11_5_3_a_deprecated_care_of_address_gives_way_to_a_preferred_one() -> None:
    net = away()
    other = address("2001:db8:100::77")
    net.host.care_of[other] = "wlan0", "f1"
    net.tell("mn", AddressChanged("wlan0", other, 64, True, HOUR, HOUR))
    assert net.entry.care_of == COA
    net.configure("f1", preferred=0)
    net.run(1 * SECOND)
    assert net.bound() == other


def test_11_5_4_the_first_interface_of_the_configuration_is_preferred_and_the_other_one_takes_over() -> None:
    net = away()
    net.attach("f2", "lte0")
    assert net.bound() == COA
    net.detach("wlan0")
    net.run(1 * SECOND)
    assert net.bound() == COA2
    net.attach("f1", "wlan0")
    assert net.bound() == COA


@pytest.mark.parametrize("bad", ["fe80::5", "ff02::1", "::1"])
def test_11_5_3_addresses_of_the_link_alone_are_no_care_of_addresses(bad: str) -> None:
    net = Roaming()
    net.attached["wlan0"] = "f1"
    net.tell("mn", LinkChanged("wlan0", True))
    net.advertise("f1")
    net.tell("mn", AddressChanged("wlan0", address(bad), 64, True, HOUR, HOUR))
    assert not net.sent(BindingUpdate)


# --- 11.7.1: registration ---------------------------------------------------------------------------------------------


def test_11_7_1_the_update_as_it_is_to_be() -> None:
    net = away(home={"link_local": True})
    sent = updates(net)[0]
    message = update_of(sent)
    assert (sent.source, sent.destination, sent.home_address) == (COA, HA, HOA)
    assert message.flags == A | H | L
    assert message.first(AlternateCareOfAddress) == AlternateCareOfAddress(COA)
    assert 0 < message.lifetime <= 5 * MINUTE


def test_11_7_1_no_lifetime_beyond_that_of_the_care_of_address() -> None:
    net = Roaming()
    net.attached["wlan0"] = "f1"
    net.tell("mn", LinkChanged("wlan0", True))
    net.advertise("f1")
    net.host.care_of[COA] = "wlan0", "f1"
    net.tell("mn", AddressChanged("wlan0", COA, 64, True, 100 * SECOND, 102 * SECOND))
    assert update_of(updates(net)[0]).lifetime == 100 * SECOND


def test_11_3_1_nothing_leaves_with_the_home_address_before_the_tunnel_is_there() -> None:
    net = silent(BindingAcknowledgement)
    assert HOA in net.host.blocked
    net.attach("f1", settle=30 * SECOND)
    assert HOA in net.host.blocked
    assert net.from_home() == "lost"
    net.lose = lambda source, destination, message: False
    net.run(40 * SECOND)
    assert HOA not in net.host.blocked
    assert net.uplink() == "tunnel"


def test_11_8_the_first_registration_waits_longer_then_the_pauses_double_with_new_numbers() -> None:
    net = silent(BindingUpdate)
    net.attach("f1", settle=60 * SECOND)
    times = [when for when, _, _, sent in net.messages if isinstance(sent.message, BindingUpdate)]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:5] == [1500 * MILLISECOND, 3 * SECOND, 6 * SECOND, 12 * SECOND, 24 * SECOND]
    numbers = [update_of(sent).sequence for sent in updates(net)]
    assert [(later - earlier) % 65536 for earlier, later in pairwise(numbers)] == [1] * 5


def test_11_6_3_a_tunnel_that_is_there_moves_with_the_update() -> None:
    net = away()
    net.clear()
    net.roam("f2", settle=25 * MILLISECOND)
    order = [
        effect
        for _, who, effect in net.effects
        if who == "mn" and isinstance(effect, SendMessage | EnsureReverseTunnel)
    ]
    assert [type(effect) for effect in order] == [SendMessage, EnsureReverseTunnel]
    assert net.host.tunnels[HOA] == (COA2, HA)


def test_11_7_1_the_interruption_is_one_round_trip_to_the_home_agent() -> None:
    net = away(delays={("mn", "ha"): 30 * MILLISECOND})
    net.roam("f2", settle=0)
    net.run(20 * MILLISECOND)
    started = net.now
    while net.to_home() == "lost":
        net.run(1 * MILLISECOND)
    assert net.now - started <= 30 * MILLISECOND  # half of it: from then on packets go to the new place
    net.run(30 * MILLISECOND)
    assert net.entry.registered == COA2


def test_11_7_1_it_is_refreshed_before_its_end_for_ever() -> None:
    net = away()
    for _ in range(20):
        net.run(3 * MINUTE)
        assert net.bound() == COA
    assert not net.asked(Report, "ha") or not reported(net, "binding-expired", "ha")


# --- 11.7.3: acknowledgements -----------------------------------------------------------------------------------------


def test_11_7_3_the_lifetime_counts_from_the_update_and_is_what_was_granted() -> None:
    net = away(ha={"lifetime_max": 100 * SECOND})
    sent = next(when for when, _, _, sent in net.messages if isinstance(sent.message, BindingUpdate))
    assert net.entry.expires == sent + 100 * SECOND


def test_11_7_3_advice_of_a_home_agent_is_taken() -> None:
    net = away(ha={"stores": False, "refresh_advice": 40 * SECOND})
    before = len(updates(net))
    net.run(40 * SECOND)
    assert len(updates(net)) == before + 1


def test_11_7_3_what_does_not_belong_to_an_update_is_discarded() -> None:
    net = silent(BindingAcknowledgement)
    net.attach("f1", settle=100 * MILLISECOND)
    number = update_of(updates(net)[-1]).sequence
    stamp = stamp_of(net)
    acknowledge(net, 0, sequence=(number + 1) % 65536, options=stamp)
    acknowledge(net, 0)  # no timestamp
    unsigned = BindingAcknowledgement(0, 0, number, 400 * SECOND, stamp)
    net.tell("mn", MessageReceived(unsigned, HA, COA, None, HOA))
    net.tell("mn", MessageReceived(signed(unsigned, ASSOCIATION, COA2, HOA), HA, COA, None, HOA))
    net.tell(
        "mn",
        MessageReceived(
            signed(BindingAcknowledgement(0, 0, number, 0, stamp), ASSOCIATION, COA, HOA), STRANGER, COA, None, HOA
        ),
    )
    assert net.entry.registered is None
    acknowledge(net, 0, options=stamp)
    assert net.entry.registered == COA


def test_b_the_number_of_a_status_135_is_adopted() -> None:
    """RFC 6275 Appendix B: "the mobile node adopts the home agent's sequence number"."""
    plain = HomeNode(HOA)
    net = Roaming(home={"association": None}, profile=plain)
    net.attach("f1")
    net.entry.sequence = (net.entry.sequence - 500) % 65536
    net.roam("f2")
    assert 135 in [sent.message.status for sent in net.sent(BindingAcknowledgement, "ha")]  # type: ignore[attr-defined]
    assert net.bound() == COA2


def test_rfc4285_6_a_clock_eight_seconds_off_costs_one_round_trip_more() -> None:
    net = Roaming()
    net.mn._epoch += 8 * SECOND  # the node's clock is ahead
    net.attach("f1")
    assert reported(net, "clock-adjusted") == 1
    assert net.bound() == COA
    net.roam("f2")
    assert reported(net, "clock-adjusted") == 1
    assert net.bound() == COA2


@pytest.mark.parametrize("status", [128, 129, 130, 131, 132, 133, 174, 255])
def test_11_7_3_a_refusal_ends_the_tunnel_and_is_not_repeated_in_a_hurry(status: int) -> None:
    net = silent(BindingAcknowledgement)
    net.attach("f1", settle=100 * MILLISECOND)
    stamp = stamp_of(net)
    acknowledge(net, status, options=stamp)
    before = len(updates(net))
    assert HOA in net.host.blocked
    net.run(29 * SECOND)
    assert len(updates(net)) == before
    net.run(2 * SECOND)
    assert len(updates(net)) == before + 1


def test_11_7_1_after_134_nothing_is_asked_until_somebody_says_so() -> None:
    net = silent(BindingAcknowledgement)
    net.attach("f1", settle=100 * MILLISECOND)
    stamp = stamp_of(net)
    acknowledge(net, 134, options=stamp)
    before = len(updates(net))
    net.run(HOUR)
    net.roam("f2")
    assert len(updates(net)) == before
    net.lose = lambda source, destination, message: False
    net.tell("mn", Commanded("register"))
    net.run(2 * SECOND)
    assert net.bound() == COA2


def test_11_7_4_a_refresh_request_is_followed_if_there_is_a_binding() -> None:
    net = away()
    net.clear()
    net.tell("mn", MessageReceived(BindingRefreshRequest(), STRANGER, COA, None, HOA))
    assert not net.sent(BindingUpdate)
    net.tell("mn", MessageReceived(BindingRefreshRequest(), HA, COA, None, HOA))
    assert len(updates(net)) == 1


def test_11_3_6_a_home_agent_that_lost_its_memory_is_told_again() -> None:
    net = away()
    net.start("ha")
    net.tell("mn", MessageReceived(BindingError(1, HOA), STRANGER, COA))
    assert net.bound() is None
    net.tell("mn", MessageReceived(BindingError(1, HOA), HA, COA))
    net.run(2 * SECOND)
    assert net.bound() == COA


# --- 11.5.5: returning home -------------------------------------------------------------------------------------------


def test_11_5_5_at_home_the_home_agent_is_told_and_then_all_others() -> None:
    net = away()
    net.clear()
    net.roam("home")
    sent = updates(net)[0]
    assert (sent.source, sent.home_address, update_of(sent).lifetime, update_of(sent).flags) == (HOA, None, 0, A | H)
    assert update_of(sent).first(AlternateCareOfAddress) == AlternateCareOfAddress(HOA)
    assert net.bound() is None
    order = [type(effect).__name__ for _, who, effect in net.effects if who == "mn" and not isinstance(effect, Report)]
    assert order.index("EnsureHomeAddress") < order.index("SendMessage") < order.index("AnnounceAddress")
    assert net.asked(AnnounceAddress, "mn") == [AnnounceAddress("wlan0", HOA)]
    assert not net.asked(ProbeAddress, "mn")  # "MUST NOT perform Duplicate Address Detection"
    assert net.from_home() == net.to_home() == "home"


def test_11_5_5_the_link_local_address_is_announced_too_if_the_home_agent_defended_it() -> None:
    net = away(home={"link_local": True})
    net.roam("home")
    told = [effect.address for effect in net.asked(AnnounceAddress, "mn") if isinstance(effect, AnnounceAddress)]
    assert told == [HOA, address("fe80::5")]


def test_11_7_3_a_133_means_home_again_and_no_storm() -> None:
    net = away()
    net.start("ha")
    net.clear()
    net.roam("home", settle=60 * SECOND)
    assert [sent.message.status for sent in net.sent(BindingAcknowledgement)] == [133]  # type: ignore[attr-defined]
    assert len(updates(net)) == 1
    assert net.entry.place.value == "home"


def test_11_5_5_a_home_agent_that_is_dead_does_not_keep_the_node_from_being_at_home() -> None:
    net = away()
    net.lose = lambda source, destination, message: True
    net.roam("home", settle=90 * SECOND)
    assert net.entry.place.value == "home"


def test_10_3_2_leaving_and_returning_while_messages_are_late() -> None:
    net = away(delays={("mn", "ha"): 300 * MILLISECOND})
    for network in ("f2", "home", "f1", "home"):
        net.roam(network, settle=200 * MILLISECOND)
    net.run(30 * SECOND)
    assert net.bound() is None
    assert net.to_home() == net.from_home() == "home"


# --- 11.4: home agents and prefixes -----------------------------------------------------------------------------------


def test_11_4_1_a_home_agent_is_found_at_the_anycast_address() -> None:
    net = away(home={"home_agent": None})
    ((_, sent),) = icmp(net, HomeAgentAddressDiscoveryRequest)
    assert sent.destination == address("2001:db8:4000::fdff:ffff:ffff:fffe")
    assert sent.source == COA


def test_11_4_1_discovery_is_repeated_with_doubling_pauses_and_not_for_ever() -> None:
    net = Roaming(home={"home_agent": None})
    del net.ha_configurations["ha"]
    del net.engines["ha"]
    net._transmit_icmpv6 = lambda name, sent: None  # type: ignore[method-assign]
    net.attach("f1", settle=100 * SECOND)
    asked = [when for when, _ in icmp(net, HomeAgentAddressDiscoveryRequest)]
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == [3 * SECOND << number for number in range(4)]


def test_11_4_1_a_reply_that_nobody_asked_for_is_ignored() -> None:
    net = Roaming(home={"home_agent": None})
    net.attach("f1", settle=22 * MILLISECOND)
    wrong = HomeAgentAddressDiscoveryReply((net.entry.identifier + 1) % 65536, 0, (STRANGER,))
    net.tell("mn", Icmpv6Received(wrong, STRANGER, COA, "wlan0"))
    assert net.entry.agent is None


def test_11_4_1_an_agent_that_does_not_answer_gives_way_to_the_next_one() -> None:
    net = Roaming(home={"home_agent": None}, home_agents=2)
    net.lose = lambda source, destination, message: destination == "ha"
    net.attach("f1", settle=22 * MILLISECOND)
    reply = HomeAgentAddressDiscoveryReply(net.entry.identifier, 0, (HA, net.second))
    net.tell("mn", Icmpv6Received(reply, HA, COA, "wlan0"))
    net.run(2 * MINUTE)
    assert net.bound("ha2") == COA
    assert net.uplink() == "tunnel"


def test_11_7_3_status_1_is_followed_by_a_solicitation_and_11_4_3_the_answer_is_believed() -> None:
    net = Roaming()
    net.tell("ha", Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "100", "valid": "5000"}))
    net.attach("f1")
    ((_, sent),) = icmp(net, MobilePrefixSolicitation)
    assert (sent.source, sent.destination, sent.home_address) == (COA, HA, HOA)
    assert net.entry.valid_until < 5002 * SECOND


def test_11_4_3_a_solicitation_is_repeated_after_three_seconds() -> None:
    net = Roaming()
    net.tell("ha", Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "100", "valid": "5000"}))
    transmit = net._transmit_icmpv6
    net._transmit_icmpv6 = lambda name, sent: None if name == "ha" else transmit(name, sent)  # type: ignore[method-assign]
    net.attach("f1", settle=25 * SECOND)
    asked = [(when, sent.message) for when, sent in icmp(net, MobilePrefixSolicitation)]
    assert [later[0] - earlier[0] for earlier, later in pairwise(asked)] == [3 * SECOND, 6 * SECOND, 12 * SECOND]


def test_11_4_3_advertisements_that_nobody_asked_for_cause_a_question_others_nothing() -> None:
    net = away()
    option = PrefixInformation.of(HOME_LINK, 0xC0, 60 * SECOND, 60 * SECOND)
    advertisement = MobilePrefixAdvertisement(4711, options=(option,))
    net.tell("mn", Icmpv6Received(advertisement, STRANGER, COA, "wlan0", None, HOA))
    net.tell("mn", Icmpv6Received(advertisement, HA, COA, "wlan0"))
    assert not icmp(net, MobilePrefixSolicitation)
    net.tell("mn", Icmpv6Received(advertisement, HA, COA, "wlan0", None, HOA))
    assert icmp(net, MobilePrefixSolicitation)
    assert net.entry.valid_until > 24 * HOUR


# --- several things ---------------------------------------------------------------------------------------------------


def test_without_any_home_agent_the_plain_internet_is_left_alone() -> None:
    net = Roaming()
    net.lose = lambda source, destination, message: True
    net.attach("f1", settle=10 * MINUTE)
    assert net.host.care_of
    assert not net.asked(EnsureReverseTunnel, "mn")
    assert len(updates(net)) < 30


def test_rfc5142_the_home_agent_sends_the_node_to_another_one() -> None:
    net = away(home_agents=2)
    net.tell("ha", Commanded("switch", {"to": "2001:db8:4000::2"}))
    net.run(3 * SECOND)
    assert net.bound("ha") is None
    assert net.bound("ha2") == COA
    assert net.uplink() == "tunnel"
    net.roam("f2")
    assert net.bound("ha2") == COA2


def test_rfc5142_without_another_one_by_name_the_node_looks_for_one() -> None:
    net = away()
    net.tell("ha", Commanded("switch"))
    net.run(500 * MILLISECOND)
    assert icmp(net, HomeAgentAddressDiscoveryRequest)
    assert net.bound() is None
    assert net.from_home() == "lost"


def test_a_home_address_whose_prefix_is_gone_is_not_used_any_more() -> None:
    net = away()
    net.entry.valid_until = net.now + 10 * SECOND
    net.run(5 * MINUTE)
    assert net.mn.show("bindings", net.now)[0]["stopped"]
    assert HOA not in net.host.addresses
    assert net.from_home() == "lost"


def test_11_5_1_a_router_ends_with_its_lifetime() -> None:
    net = away()
    net.advertise("f1", lifetime=30 * SECOND)
    net.run(29 * SECOND)
    assert net.mn.current == ("wlan0", COA)
    net.run(2 * SECOND)
    assert net.mn.current == ("", None)


def test_a_node_that_is_switched_off_and_on_registers_again() -> None:
    net = away()
    net.start("mn")
    net.attach("f1")
    assert net.bound() == COA
    assert net.uplink() == "tunnel"


def test_a_node_that_forgot_its_binding_is_not_kept_from_its_home_by_its_home_agent() -> None:
    net = away()
    net.start("mn")
    net.roam("home", settle=5 * SECOND)
    assert net.bound() is None
    assert net.to_home() == net.from_home() == "home"


def test_rfc5142_a_message_that_is_old_forged_or_replayed_is_discarded() -> None:
    net = away(home_agents=2)
    net.tell("ha", Commanded("switch", {"to": "2001:db8:4000::2"}))
    message = net.sent(HomeAgentSwitch)[0].message
    for damaged in (HomeAgentSwitch((STRANGER,)), HomeAgentSwitch((STRANGER,), message.options)):
        net.tell("mn", MessageReceived(damaged, HA, COA, None, HOA))
    assert reported(net, "order-discarded") == 2
    net.run(8 * SECOND)
    assert net.bound("ha2") == COA
    net.tell("mn", MessageReceived(message, net.second, COA, None, HOA))
    net.entry.agent = HA  # as if it were there again
    net.tell("mn", MessageReceived(message, HA, COA, None, HOA))
    assert reported(net, "order-discarded") == 4


def test_interfaces_that_nobody_configured_do_not_matter() -> None:
    net = away()
    net.clear()
    net.tell("mn", LinkChanged("eth7", True))
    net.tell("mn", AddressChanged("eth7", COA2, 64, True, HOUR, HOUR))
    net.tell("mn", RouterProbed("eth7", ROUTER, False))
    assert not net.sent(BindingUpdate)
