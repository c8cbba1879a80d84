"""Fast handovers for Proxy Mobile IPv6: RFC 5949 by section, on engines at a table. For packets see `tests/linux`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from sojourn.core.effects import EnsureFlowToNode, EnsureQueue, EnsureTunnel, ProbePath
from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.configuration import GatewayProfile
from sojourn.engines.way_settings import (
    DelegationOfLma,
    DelegationOfMag,
    FlowMobilityOfLma,
    FlowMobilityOfMag,
    LocalizedRoutingOfLma,
    LocalizedRoutingOfMag,
    UserPlaneOfLma,
    UserPlaneOfMag,
)
from sojourn.wire import BindingUpdate, HandoffIndicator, HomeNetworkPrefix, MobileNodeIdentifier, Timestamp
from sojourn.wire import MobileNodeLinkLayerIdentifier as LinkLayerIdentifier
from sojourn.wire.addresses import address, link_layer_text, prefix
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledge, HandoverInitiate
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledgeCode as Code
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledgeFlags as AckFlags
from sojourn.wire.extensions.rfc5568 import HandoverInitiateFlags as Flags
from sojourn.wire.extensions.rfc5949 import ContextRequest, LocalMobilityAnchorAddress, RequestedContext
from sojourn.wire.extensions.rfc7148 import DelegatedMobileNetworkPrefix
from sojourn.wire.units import MILLISECOND, SECOND, ticks
from support.handovers import PF, PU, answer_to, context, expected, initiate, sent, served
from support.pmip import LMA2, ProxyDomain, gateway, home
from support.pmip_extensions import command
from support.table import EPOCH, HOSTS, node


def predictive() -> ProxyDomain:
    """mag2 waits for mn1."""
    domain = served()
    expected(domain)
    domain.run(10 * MILLISECOND)
    return domain


# --- 4.1, predictive --------------------------------------------------------------------------------------------------


def test_4_1_c_hi_must_have_p_identifier_prefixes_anchor_and_link_layer_identifier() -> None:
    """ "The HI message MUST have the 'P' flag set and include the MN ID, the HNP(s), and the address of the local
    mobility anchor ... valid (non-zero) MN Link-layer Identifier ... MUST also be included"."""
    domain = predictive()
    (message,) = sent(domain, HandoverInitiate)
    assert message.flags & Flags.P
    assert message.first(MobileNodeIdentifier).key() == node("mn1")  # type: ignore[union-attr]
    assert [option.prefix for option in message.all(HomeNetworkPrefix)] == [home(0)]
    assert message.first(LocalMobilityAnchorAddress).address == domain.at("mag1").lma  # type: ignore[union-attr]
    assert message.first(LinkLayerIdentifier).identifier == HOSTS["mn1"]  # type: ignore[union-attr]


def test_4_1_d_hack_has_p_and_4_2_the_same_sequence_number() -> None:
    domain = predictive()
    (message,), (answer,) = sent(domain, HandoverInitiate), sent(domain, HandoverAcknowledge)
    assert answer.flags & AckFlags.P
    assert answer.sequence == message.sequence


def test_4_1_f_packets_are_forwarded_and_4_2_wait_until_the_node_is_ready() -> None:
    """ "otherwise, it SHOULD buffer them until the mobile node is ready"."""
    domain = predictive()
    assert domain.plane("mag1").way(home(0)) == EnsureTunnel(1, gateway(2))
    assert domain.plane("mag2").way(home(0)) == EnsureQueue(1, False)
    assert domain.plane("mag2").state.forwarded == {1: EnsureQueue(1, True)}


def test_4_1_i_packets_go_to_the_node_as_soon_as_it_is_attached() -> None:
    domain = predictive()
    domain.attach("mn1", "mag2")
    assert domain.plane("mag2").state.forwarded == {1: EnsureFlowToNode(1, True, "acc0", HOSTS["mn1"])}


def test_4_1_k_the_registration_goes_to_the_anchor_that_was_told() -> None:
    domain = ProxyDomain(2, anchors=2, handovers=8)
    known = domain.mag_configurations["mag2"].everybody
    domain.reconfigure("mag2", profiles=(replace(known, link_layer=HOSTS["mn9"], lma=LMA2),))
    told = LocalMobilityAnchorAddress(1, LMA2)
    elsewhere = domain.lma_configurations["lma2"].pools[0].subnet(1, 64)
    assert (
        answer_to(domain, initiate(HomeNetworkPrefix.of(elsewhere), told))
        == Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL
    )
    domain.attach("mn1", "mag2")
    assert [target for _, target, _ in domain.sent(BindingUpdate)] == ["lma2"]


def test_4_1_the_end_of_forwarding_is_f_with_code_2() -> None:
    """ "the HI message with the 'F' flag set and the Option Code value set to 2"; both tear down the tunnel."""
    domain = predictive()
    domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    last = sent(domain, HandoverInitiate, "mag1")[-1]
    assert (last.flags, last.code) == (PF, 2)
    assert domain.listed("mag1") is None
    assert domain.mag("mag2").handovers == {}
    assert domain.plane("mag2").state.forwarded == {}


def test_4_1_nobody_is_deregistered_while_the_previous_gateway_forwards() -> None:
    """The anchor would drop what is to be forwarded; "transparent to the local mobility anchor"."""
    domain = predictive()
    domain.detach("mn1", "mag1")
    domain.run(500 * MILLISECOND)
    assert sent(domain, BindingUpdate) == []
    domain.run(2 * SECOND)  # it came nowhere
    assert [update.lifetime for update in sent(domain, BindingUpdate)] == [0]


# --- 4.1, reactive ----------------------------------------------------------------------------------------------------


def reactive() -> ProxyDomain:
    """mn1 turned up at mag2, of which mag1 heard nothing."""
    domain = served()
    domain.attach("mn1", "mag2")
    return domain


def test_4_1_reactive_c_hi_must_have_p_and_identifier_6_2_1_prefixes_and_link_layer_identifier_are_asked_for() -> None:
    domain = reactive()
    (message,) = sent(domain, HandoverInitiate)
    assert message.flags & Flags.P
    assert message.first(MobileNodeIdentifier).key() == node("mn1")  # type: ignore[union-attr]
    requested = message.first(ContextRequest).requests  # type: ignore[union-attr]
    assert {one.type for one in requested if isinstance(one, RequestedContext)} >= {22, 25}


def test_4_1_reactive_c_alone_is_asked_where_the_link_says_that_it_comes_from() -> None:
    domain = ProxyDomain(4, handovers=8)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    domain.clear()
    domain.event("mag2", NodeSeen("acc0", HOSTS["mn1"], Sighting.STATION, previous=gateway(1)))
    assert {destination for _, destination, _ in domain.sent(HandoverInitiate)} == {"mag1"}


def test_4_1_reactive_d_hack_must_include_the_prefixes_and_should_identifier_and_anchor() -> None:
    domain = reactive()
    domain.run(2 * MILLISECOND)
    answer = sent(domain, HandoverAcknowledge)[0]
    assert answer.flags & AckFlags.P
    assert [option.prefix for option in answer.all(HomeNetworkPrefix)] == [home(0)]
    assert answer.first(LinkLayerIdentifier).identifier == HOSTS["mn1"]  # type: ignore[union-attr]
    assert answer.first(LocalMobilityAnchorAddress) is not None
    assert answer.code == Code.ALL_AVAILABLE_CONTEXT_TRANSFERRED


def test_4_2_u_is_followed_by_f() -> None:
    """ "It MUST be followed by another HI message with the 'F' flag set"."""
    domain = reactive()
    domain.run(10 * MILLISECOND)
    flags = [message.flags for message in sent(domain, HandoverInitiate, "mag2")]
    assert flags[:2] == [PU, PF]


def test_4_1_reactive_context_that_is_not_there_is_answered_with_131() -> None:
    """6.1.2: "the PMAG returns the HAck message with Code value 131 without any context information"."""
    domain = served()
    code = answer_to(domain, initiate(host="mn2", flags=PU), source=2, target="mag1")
    assert code == Code.REQUESTED_CONTEXT_NOT_AVAILABLE
    assert sent(domain, HandoverAcknowledge)[0].first(HomeNetworkPrefix) is None


def test_4_1_reactive_forwarding_that_is_not_executable_is_answered_with_132() -> None:
    domain = served(handovers=1)
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    domain.detach("mn2", "mag1")  # it is the one that is looked out for
    assert answer_to(domain, initiate(), source=2, target="mag1") == Code.FORWARDING_NOT_AVAILABLE


def test_a_2_the_previous_gateway_takes_it_that_the_node_left() -> None:
    domain = reactive()
    domain.run(4 * MILLISECOND)
    assert domain.plane("mag1").way(home(0)) == EnsureTunnel(1, gateway(2))


def test_a_1_the_handoff_is_one_between_gateways() -> None:
    domain = predictive()
    domain.attach("mn1", "mag2")
    (update,) = sent(domain, BindingUpdate)
    assert update.first(HandoffIndicator).indicator == 3  # type: ignore[union-attr]


def test_a_2_a_node_that_was_seen_here_after_it_attached_there_is_here() -> None:
    """It came back, and nobody had noticed that it left: the time of its attachment alone does not tell."""
    domain = served()
    there = Timestamp(ticks(EPOCH + domain.now))
    domain.run(5 * MILLISECOND)
    domain.attach("mn1", "mag1")
    question = initiate(there, flags=PU)
    assert answer_to(domain, question, 2, "mag1") == Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED
    assert domain.at("mag1").presence.value == "served"


# --- 4, 5.2 -----------------------------------------------------------------------------------------------------------


def test_4_a_handover_that_a_host_does_itself_is_none_of_ours() -> None:
    """Without P it is one of RFC 5568: "behave as if they do not implement FMIPv6"."""
    domain = served()
    assert answer_to(domain, initiate(*context(), flags=int(Flags.F))) is None
    assert domain.listed("mag2") is None


def test_5_2_the_prefix_is_advertised_as_soon_as_the_node_attaches() -> None:
    domain = predictive()
    domain.lose = lambda source, destination, message: destination == "lma"
    domain.attach("mn1", "mag2")
    assert [one.prefix for one in domain.advertisement("mag2").prefixes] == [home(0)]


def test_5_2_a_prefix_that_the_registration_does_not_confirm_must_be_withdrawn() -> None:
    """ "the NMAG MUST withdraw the advertised HNP by sending another RA with zero prefix lifetime"."""
    domain = served()
    other = prefix("2001:db8:f900::/64")
    assert answer_to(domain, initiate(*context(other))) == Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL
    domain.attach("mn1", "mag2")
    assert [one.prefix for one in domain.advertisement("mag2").prefixes] == [other]
    domain.run(SECOND)
    lifetimes = {(one.prefix, one.valid > 0) for _, seen in domain.members["mag2"].advertised for one in seen.prefixes}
    assert (other, False) in lifetimes
    assert (home(0), True) in lifetimes


def test_5_2_an_ipv4_home_address_that_the_registration_does_not_confirm_is_served_no_longer() -> None:
    domain = served(lma={"ipv4_pool": prefix("::ffff:10.9.0.0/120")}, ipv4=True)
    stray = prefix("::ffff:10.9.0.200/128")
    told = (*context(), HomeNetworkPrefix.of(stray))
    assert answer_to(domain, initiate(*told)) == Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert sorted(domain.at("mag2").anchored) == sorted(domain.entry().prefixes)
    assert domain.plane("mag2").way(stray) is None


# --- beside extensions ------------------------------------------------------------------------------------------------


def test_nodes_that_met_directly_meet_at_their_anchor_while_one_is_handed_over() -> None:
    """A way past the anchor leads to the access link, where the node is no more."""
    pair = (node("mn1"), node("mn2"))
    meeting = LocalizedRoutingOfMag((gateway(1), gateway(2)))
    domain = served(lma={"localized_routing": LocalizedRoutingOfLma((pair,))}, localized_routing=meeting)
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert domain.plane("mag1").state.shortcuts
    expected(domain)
    domain.run(10 * MILLISECOND)
    domain.detach("mn1", "mag1")
    assert domain.plane("mag1").state.shortcuts == {}


def test_the_echo_is_asked_of_whoever_tunnels() -> None:
    """With a user plane of its own (RFC 7389) that is not the LMA: its packets take another way."""
    end = address("2001:db8:f:1::1")
    domain = served(lma={"user_plane": UserPlaneOfLma(address=end)}, user_plane=UserPlaneOfMag(addresses=(end,)))
    expected(domain)
    domain.run(10 * MILLISECOND)
    domain.roam("mn1", "mag1", "mag2", SECOND)
    assert {effect.remote for _, _, effect in domain.effects if isinstance(effect, ProbePath)} == {end}


NETWORK = prefix("2001:db8:f101::/56")
ROUTERS = DelegationOfMag(everybody=True)


def network_of(domain: ProxyDomain, name: str) -> object:
    return domain.mag(name).show("sessions", domain.now)[0]["delegated"]


def router(**settings: object) -> ProxyDomain:
    """mn1 has a network behind it (RFC 7148), which it asked for."""
    pools = DelegationOfLma((prefix("2001:db8:f101::/48"),))
    domain = served(lma={"delegation": pools}, delegation=ROUTERS, **settings)
    command(domain, "mag1", "delegate", node=link_layer_text(HOSTS["mn1"]))
    domain.run(SECOND)
    assert network_of(domain, "mag1") == [str(NETWORK)]
    domain.clear()
    return domain


def test_a_delegated_prefix_has_a_way_at_the_new_gateway_before_the_registration() -> None:
    """RFC 7148 5.1.3.1: a gateway that knows the prefixes names them to the LMA; the previous one tells it."""
    domain = router()
    expected(domain)
    domain.run(10 * MILLISECOND)
    assert domain.plane("mag2").way(NETWORK) == EnsureQueue(1, False)
    assert NETWORK in domain.plane("mag2").state.uplinks
    domain.roam("mn1", "mag1", "mag2", SECOND)
    (update,) = [m for source, _, m in domain.sent(BindingUpdate) if source == "mag2"]
    assert [one.prefix for one in update.all(DelegatedMobileNetworkPrefix)] == [NETWORK]
    assert network_of(domain, "mag2") == [str(NETWORK)]
    assert domain.plane("lma").way(NETWORK) == EnsureTunnel(1, gateway(2))


def test_a_delegated_prefix_is_told_to_a_gateway_that_asks() -> None:
    domain = router()
    domain.roam("mn1", "mag1", "mag2", SECOND)
    assert network_of(domain, "mag2") == [str(NETWORK)]


def test_a_delegated_prefix_that_the_registration_does_not_confirm_is_led_no_longer() -> None:
    domain = served(lma={"delegation": DelegationOfLma()}, delegation=ROUTERS)
    told = (*context(), DelegatedMobileNetworkPrefix.of(NETWORK))
    assert answer_to(domain, initiate(*told)) == Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL
    assert domain.plane("mag2").way(NETWORK) is not None
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert domain.plane("mag2").way(NETWORK) is None
    assert domain.mag("mag2").sessions[node("mn1")].confirmed


@pytest.mark.parametrize("network", ["::/0", "fe80::/56", "2001:db8::/32"])
def test_what_is_no_network_of_a_node_is_not_taken_from_a_neighbour(network: str) -> None:
    domain = served(lma={"delegation": DelegationOfLma()}, delegation=ROUTERS)
    assert answer_to(domain, initiate(*context(), DelegatedMobileNetworkPrefix.of(prefix(network)))) is not None
    assert [*domain.plane("mag2").state.prefixes] == [home(0)]


def test_a_moved_flow_goes_on_while_its_link_is_handed_over() -> None:
    """RFC 7864: the previous gateway goes on with it until it is the new one's, which is told at once."""
    profiles = tuple(GatewayProfile(HOSTS[name], b"\x01ann@example.net") for name in ("mn1", "mn2"))
    flows = {"lma": {"flow_mobility": FlowMobilityOfLma()}, "profiles": profiles, "flow_mobility": FlowMobilityOfMag()}
    domain = served(3, **flows)
    domain.attach("mn2", "mag3")
    domain.run(3 * SECOND)
    command(domain, "lma", "move-flow", prefix=str(home(1)), link_layer=link_layer_text(HOSTS["mn1"]))
    domain.run(SECOND)
    assert domain.plane("lma").way(home(1)) == EnsureTunnel(1, gateway(1))
    expected(domain)
    domain.run(10 * MILLISECOND)
    domain.detach("mn1", "mag1")
    assert domain.plane("mag1").way(home(1)) == EnsureTunnel(1, gateway(2))
    assert domain.plane("mag2").way(home(1)) == EnsureQueue(1, False)
    assert home(1) not in domain.at("mag2").anchored
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert domain.plane("lma").way(home(1)) == EnsureTunnel(1, gateway(2))
    assert domain.plane("mag1").way(home(1)) is None


def test_a_node_that_two_gateways_saw_is_asked_by_the_one_that_gave_it_away() -> None:
    """It was in two cells at a time; the other one claimed it later and lost it again without taking over."""
    domain = served(3)
    domain.lose = lambda source, destination, message: source == "mag1" and isinstance(message, HandoverAcknowledge)
    domain.attach("mn1", "mag2")
    domain.run(50 * MILLISECOND)
    domain.detach("mn1", "mag2")
    domain.on_probe = lambda name, probe: domain.attach("mn1", name, Sighting.NEIGHBOUR) if name == "mag1" else None
    domain.run(5 * SECOND)
    assert domain.entry().source == gateway(1)
    assert domain.mag("mag1").sessions[node("mn1")].confirmed


# --- 6 ----------------------------------------------------------------------------------------------------------------


def test_6_1_1_s_is_never_set_and_the_last_context_has_code_3() -> None:
    domain = predictive()
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    messages = sent(domain, HandoverInitiate)
    assert not any(message.flags & Flags.S for message in messages)
    assert messages[0].code == 3


def test_6_1_1_the_identifier_must_be_there() -> None:
    domain = served()
    assert answer_to(domain, initiate(*context(), identified=False)) == Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED


def test_6_1_2_the_identifier_is_copied_and_predictive_context_is_answered_with_5() -> None:
    domain = predictive()
    (message,), (answer,) = sent(domain, HandoverInitiate), sent(domain, HandoverAcknowledge)
    assert answer.first(MobileNodeIdentifier) == message.first(MobileNodeIdentifier)
    assert answer.code == Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL


def test_rfc5568_6_2_1_1_hi_is_sent_again_three_times_ever_slower() -> None:
    domain = served()
    domain.lose = lambda source, destination, message: destination == "mag2"
    expected(domain)
    domain.run(5 * SECOND)
    times = [now for now, _, _, one in domain.messages if isinstance(one, HandoverInitiate) and one.code == 3]
    assert [(later - now) // MILLISECOND for now, later in pairwise(times)] == [100, 200, 400]
    assert domain.at("mag1").presence.value == "served", "it is still there, and served as before"


@pytest.mark.parametrize("lost", range(8))
def test_whatever_message_is_lost_the_handover_ends(lost: int) -> None:
    """The n-th message between the two gateways is lost once."""
    domain = served()
    count = iter(range(1000))

    def lose(source: str, destination: str, message: object) -> bool:
        return isinstance(message, HandoverInitiate | HandoverAcknowledge) and next(count) == lost

    domain.lose = lose
    expected(domain)
    domain.run(150 * MILLISECOND)
    domain.detach("mn1", "mag1")
    domain.run(60 * MILLISECOND)
    domain.attach("mn1", "mag2")
    domain.run(10 * SECOND)
    assert domain.mag("mag1").handovers == domain.mag("mag2").handovers == {}
    assert domain.listed("mag1") is None
    assert domain.plane("mag2").way(home(0)).interface == "acc0"  # type: ignore[union-attr]
