"""RFC 5213 5.1 to 5.3: what an LMA keeps, and how it answers Proxy Binding Updates, step by step.

The role ``lma``; `test_rfc5213_5` has the same section as a CMD of RFC 8885 takes it.
"""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureTunnel, SendMessage, StoreBinding
from sojourn.engines.configuration import Gateway, HomeProfile
from sojourn.engines.registration import PROXY_DMM
from sojourn.wire import (
    AccessTechnologyType,
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdateFlags,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import ANY, Prefix, address, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.messages import stamp
from support.pmip import HOME, ProxyDomain, gateway, home, prefixes_of, registered, request, status_of
from support.table import HOSTS, node

_OTHER_TUNNEL = address("2001:db8:b1::99")


# --- 5.1 the Binding Cache entry --------------------------------------------------------------------------------------


def test_5_1_an_entry_for_each_registered_node() -> None:
    """Text: "MUST maintain a Binding Cache entry for each currently registered mobile node"."""
    domain = ProxyDomain()
    for host in ("mn1", "mn2", "mn3"):
        assert status_of(domain.ask(request(domain, host=host))) == 0
    assert {entry.node for entry in domain.lma.cache} == {node("mn1"), node("mn2"), node("mn3")}


def test_5_1_what_the_update_does_not_say_is_all_zero() -> None:
    """Text: "If the option was not present in the request, this variable length field MUST be set to two (octets) and
    MUST be initialized to a value of ALL_ZERO"; "If the Timestamp option is not present ..., the value MUST be set to
    ALL_ZERO"."""
    domain = ProxyDomain()
    entry = registered(domain, link_layer=None, timestamp=False)
    assert (entry.link_layer, entry.timestamp) == (b"\0\0", 0)


def test_5_1_what_the_update_says_is_kept() -> None:
    domain = ProxyDomain()
    update = request(domain, technology=5, sequence=77)
    domain.ask(update)
    entry = domain.entry()
    assert (entry.node, entry.link_layer, entry.technology) == (node("mn1"), HOSTS["mn1"], 5)
    assert (entry.timestamp, entry.sequence, entry.gateway) == (stamp(domain), 77, gateway(1))


# --- 5.2 prefix models ------------------------------------------------------------------------------------------------


def test_5_2_every_prefix_is_of_one_session_only() -> None:
    """Text: "all of those assigned prefixes MUST be unique to that mobile node"; "each of the attached interfaces MUST
    be assigned one or more unique prefixes"; "Prefixes that are not assigned to the same interface MUST NOT be managed
    under the same mobility session"."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=2)})
    domain.ask(request(domain, host="mn1", handoff=Handoff.NEW_INTERFACE))
    domain.run(MILLISECOND)
    domain.ask(request(domain, host="mn1", link_layer=HOSTS["mn9"], handoff=Handoff.NEW_INTERFACE), "mag2")
    domain.ask(request(domain, host="mn2"))
    sessions = [entry.prefixes for entry in domain.lma.cache]
    assert [len(prefixes) for prefixes in sessions] == [2, 2, 2]
    assert len({each for prefixes in sessions for each in prefixes}) == 6
    assert len(domain.entries("mn1")) == 2


# --- 5.3.1 the steps --------------------------------------------------------------------------------------------------


def test_5_3_1_step_1_messages_of_others_than_the_configured_gateways_change_nothing() -> None:
    """Text: "MUST be authenticated as described in Section 4". IPsec is the operator's; sources are checked here."""
    domain = ProxyDomain()
    domain.inject(address("2001:db8:ffff::1"), "lma", request(domain))
    assert len(domain.lma.cache) == 0


def test_5_3_1_step_3_there_is_no_home_address_option_and_nobody_asks_for_one() -> None:
    """Text: "MUST ignore the check ... related to the presence of the Home Address destination option"."""
    domain = ProxyDomain()
    assert status_of(domain.ask(request(domain))) == 0


def test_5_3_1_step_4_the_identifier_is_what_a_node_is_known_by() -> None:
    """Text: "MUST identify the mobile node from the identifier present in the Mobile Node Identifier option"."""
    domain = ProxyDomain()
    domain.ask(request(domain, identity=b"\x01somebody@example.net"))
    assert [entry.node for entry in domain.lma.cache] == [b"\x01somebody@example.net"]


def test_5_3_1_step_4_without_an_identifier_160_with_one_of_zero_length() -> None:
    """Text: "MUST reject the request ... MISSING_MN_IDENTIFIER_OPTION ... MUST be set to a zero length identifier"."""
    domain = ProxyDomain()
    for update in (
        request(domain, without=(MobileNodeIdentifier,)),
        request(domain, without=(MobileNodeIdentifier,), more=(MobileNodeIdentifier(1, b""),)),
    ):
        answer = domain.ask(update)
        assert status_of(answer) == Status.MISSING_MN_IDENTIFIER_OPTION
        assert answer is not None
        assert answer.all(MobileNodeIdentifier) == (MobileNodeIdentifier(1, b""),)
    assert len(domain.lma.cache) == 0


def test_5_3_1_steps_5_and_6_an_unknown_gateway_gets_154() -> None:
    """Text: "MUST apply the required policy checks"; "MUST reject ... MAG_NOT_AUTHORIZED_FOR_PROXY_REG"."""
    domain = ProxyDomain()
    domain.clear()
    domain.inject(address("2001:db8:ffff::1"), "lma", request(domain))
    ((_, _, answer),) = domain.sent(BindingAcknowledgement)
    assert isinstance(answer, BindingAcknowledgement)
    assert answer.status == Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG


def test_5_3_1_steps_5_and_6_a_gateway_that_may_not_speak_for_this_node_gets_154() -> None:
    """Text: "authorized to send Proxy Binding Update messages on behalf of this mobile node" (and section 4: "specific
    combinations")."""
    domain = ProxyDomain(lma={"profiles": (HomeProfile(node("mn1"), gateways=(gateway(2),)),)})
    assert status_of(domain.ask(request(domain))) == Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert status_of(domain.ask(request(domain), "mag2")) == 0
    assert status_of(domain.ask(request(domain, host="mn2"))) == 0


def test_5_3_1_step_7_an_unknown_node_gets_153() -> None:
    """Text: "MUST reject ... NOT_LMA_FOR_THIS_MOBILE_NODE"."""
    domain = ProxyDomain(lma={"everybody": None, "profiles": (HomeProfile(node("mn2")),)})
    assert status_of(domain.ask(request(domain))) == Status.NOT_LMA_FOR_THIS_MOBILE_NODE
    assert status_of(domain.ask(request(domain, host="mn2"))) == 0


@pytest.mark.parametrize(("octets", "status"), [(253, 0), (254, 153)])
def test_5_3_1_step_7_an_identifier_that_cannot_be_one_gets_153(octets: int, status: int) -> None:
    """A Mobile Node Identifier option has room for 254 octets, an NAI has at most 253 (RFC 4282 2.2)."""
    domain = ProxyDomain()
    assert status_of(domain.ask(request(domain, identity=b"\x01" + b"x" * octets))) == status


def test_5_3_1_step_8_a_node_without_service_gets_152() -> None:
    """Text: "not authorized for the network-based mobility management service ... PROXY_REG_NOT_ENABLED"."""
    domain = ProxyDomain(lma={"profiles": (HomeProfile(node("mn1"), service=False),)})
    assert status_of(domain.ask(request(domain))) == Status.PROXY_REG_NOT_ENABLED
    assert status_of(domain.ask(request(domain, host="mn2"))) == 0


@pytest.mark.parametrize(
    ("missing", "status"),
    [
        (HomeNetworkPrefix, Status.MISSING_HOME_NETWORK_PREFIX_OPTION),
        (HandoffIndicator, Status.MISSING_HANDOFF_INDICATOR_OPTION),
        (AccessTechnologyType, Status.MISSING_ACCESS_TECH_TYPE_OPTION),
    ],
)
def test_5_3_1_steps_10_to_12_a_mandatory_option_is_missing(missing: type[MobilityOption], status: Status) -> None:
    """Text: "MUST reject the request and send a Proxy Binding Acknowledgement message with the Status field set to"
    158, 161, 162."""
    domain = ProxyDomain()
    assert status_of(domain.ask(request(domain, without=(missing,)))) == status
    assert len(domain.lma.cache) == 0


def test_5_3_the_order_of_the_steps() -> None:
    """Text: "the specified order MUST be maintained": whatever is wrong besides, the first fault is told."""
    profiles = (
        HomeProfile(node("mn1"), service=False),
        HomeProfile(node("mn2"), gateways=(gateway(2),), service=False),
    )
    domain = ProxyDomain(lma={"everybody": None, "profiles": profiles, "nodes": 0})
    wrong = (HomeNetworkPrefix, HandoffIndicator, AccessTechnologyType)
    late = 10 * SECOND
    assert status_of(domain.ask(request(domain, host="mn2", without=(*wrong, MobileNodeIdentifier), ahead=late))) == 160
    assert status_of(domain.ask(request(domain, host="mn2", without=wrong, ahead=late))) == 154
    assert status_of(domain.ask(request(domain, host="mn3", without=wrong, ahead=late))) == 153
    assert status_of(domain.ask(request(domain, host="mn1", without=wrong, ahead=late))) == 152
    domain = ProxyDomain(lma={"nodes": 0})
    assert status_of(domain.ask(request(domain, without=wrong, ahead=late))) == 156
    assert status_of(domain.ask(request(domain, without=wrong))) == 158
    assert status_of(domain.ask(request(domain, without=wrong[1:]))) == 161
    assert status_of(domain.ask(request(domain, without=wrong[2:]))) == 162
    assert status_of(domain.ask(request(domain))) == 130


def test_5_3_1_step_13_the_same_gateway_extends_and_another_one_is_a_handoff() -> None:
    """Text: "If the Proxy-CoA in the Binding Cache entry matches the source address of the request ..., considerations
    from Section 5.3.3 ... MUST be applied"; "For all other cases, considerations from Section 5.3.4"."""
    domain = ProxyDomain()
    registered(domain)
    domain.run(SECOND)
    domain.clear()
    registered(domain, handoff=Handoff.NOT_CHANGED)
    assert domain.reported("lma", "handover") == 0
    domain.run(SECOND)
    registered(domain, source="mag2")
    assert domain.reported("lma", "handover") == 1


def test_5_3_1_step_13_the_alternate_care_of_address_is_the_proxy_coa() -> None:
    """Text: "(or the address in the Alternate Care-of Address option, if the option is present)"; answers go to the
    source."""
    gateways = (Gateway(gateway(1), "mag1", care_of=(_OTHER_TUNNEL,)),)
    domain = ProxyDomain(gateways=1, lma={"gateways": gateways})
    apart = (AlternateCareOfAddress(_OTHER_TUNNEL),)
    entry = registered(domain, more=apart)
    assert (entry.gateway, entry.source) == (_OTHER_TUNNEL, gateway(1))
    assert domain.plane("lma").way(entry.prefixes[0]) == EnsureTunnel(entry.slot, _OTHER_TUNNEL)
    domain.run(SECOND)
    domain.clear()
    registered(domain, more=apart, handoff=Handoff.NOT_CHANGED)
    assert domain.reported("lma", "handover") == 0
    domain.run(SECOND)
    domain.ask(request(domain, lifetime=0))
    assert not entry.waiting  # another Proxy-CoA than that of the entry
    domain.ask(request(domain, more=apart, lifetime=0))
    assert entry.waiting


def test_an_alternate_care_of_address_of_somebody_else_gets_174() -> None:
    """RFC 6275 6.1.8. Nobody can have another machine's packets sent to him, or his to another machine."""
    domain = ProxyDomain()
    update = request(domain, more=(AlternateCareOfAddress(gateway(2)),))
    assert status_of(domain.ask(update)) == Status.INVALID_CARE_OF_ADDRESS


@pytest.mark.parametrize("flags", [0x8000, 0xC000, 0x4000])
def test_what_is_no_proxy_registration_gets_131_if_it_wants_an_answer(flags: int) -> None:
    """RFC 6275 6.1.8, 10.3.1. A home agent for hosts is a role of its own."""
    domain = ProxyDomain()
    answer = domain.ask(request(domain, flags=flags))
    assert (answer is not None) == bool(flags & BindingUpdateFlags.A)
    assert answer is None or answer.status == Status.HOME_REGISTRATION_NOT_SUPPORTED
    assert len(domain.lma.cache) == 0


def test_without_the_a_flag_a_registration_is_accepted_in_silence() -> None:
    domain = ProxyDomain()
    assert domain.ask(request(domain, flags=int(BindingUpdateFlags.P))) is None
    assert len(domain.lma.cache) == 1


def test_the_d_flag_means_nothing_to_an_lma() -> None:
    """Design decision 3: it is ignored, and the answer has none."""
    domain = ProxyDomain()
    answer = domain.ask(request(domain, flags=PROXY_DMM))
    assert answer is not None
    assert (answer.status, answer.flags) == (0, int(BindingAcknowledgementFlags.P))
    refused = domain.ask(request(domain, prefix("2001:db8:a100::/64"), host="mn2", flags=PROXY_DMM))
    assert refused is not None
    assert (refused.status, refused.flags) == (155, int(BindingAcknowledgementFlags.P))


def test_the_d_flag_is_refused_where_the_configuration_says_so() -> None:
    """RFC 8885 4.1: "MUST NOT be processed by the LMA, and an error MUST be returned"."""
    domain = ProxyDomain(lma={"refuse_distributed": True})
    assert status_of(domain.ask(request(domain, flags=PROXY_DMM))) == Status.ADMINISTRATIVELY_PROHIBITED
    assert len(domain.lma.cache) == 0
    assert status_of(domain.ask(request(domain))) == 0


# --- 5.3.2 a new session ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_5_3_2_step_1_all_zero_asks_for_prefixes(count: int) -> None:
    """Text: "MUST allocate one or more home network prefixes"; "can be based on a global policy"."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=count)})
    answer = domain.ask(request(domain))
    assert answer is not None
    assert prefixes_of(answer) == [home(index) for index in range(count)]


def test_5_3_2_step_1_all_zero_beside_others_asks_for_prefixes() -> None:
    """Text: "at least one instance ... with the prefix value set to ALL_ZERO"."""
    domain = ProxyDomain()
    answer = domain.ask(request(domain, HOME.subnet(7, 64), ANY))
    assert answer is not None
    assert prefixes_of(answer) == [home(0)]


def test_5_3_2_step_1_a_node_with_prefixes_of_its_own_gets_these() -> None:
    """Text: "or a policy specific to that mobile node"; nobody else ever gets them, not even from the pool."""
    own = (home(0), prefix("2001:db8:aaaa::/64"))
    domain = ProxyDomain(lma={"profiles": (HomeProfile(node("mn2"), prefixes=own),)})
    first = domain.ask(request(domain, host="mn1"))
    assert first is not None
    assert prefixes_of(first) == [home(1)]
    answer = domain.ask(request(domain, host="mn2"))
    assert answer is not None
    assert prefixes_of(answer) == list(own)


def test_5_3_2_step_1_what_was_given_is_in_use() -> None:
    """Text: "MUST ensure the allocated prefix(es) is not in use by any other node or mobility session"."""
    domain = ProxyDomain(lma={"pools": (Prefix(HOME.address, 62),)})
    given = [domain.ask(request(domain, host=f"mn{number}")) for number in range(1, 5)]
    assert len({prefixes_of(answer)[0] for answer in given if answer is not None}) == 4


def test_5_3_2_step_2_no_prefix_is_left_130() -> None:
    """Text: "If the local mobility anchor is unable to allocate any home network prefix ..., it MUST reject"."""
    domain = ProxyDomain(lma={"pools": (Prefix(HOME.address, 64),)})
    assert status_of(domain.ask(request(domain))) == 0
    answer = domain.ask(request(domain, host="mn2"))
    assert status_of(answer) == Status.INSUFFICIENT_RESOURCES
    assert answer is not None
    assert prefixes_of(answer) == [ANY]
    assert domain.entries("mn2") == ()


def test_5_3_2_step_2_all_the_prefixes_of_a_session_or_none() -> None:
    pools = (Prefix(HOME.address, 64), Prefix(address("2001:db8:f200::"), 64), Prefix(address("2001:db8:f300::"), 64))
    domain = ProxyDomain(lma={"pools": pools, "everybody": HomeProfile(count=2), "quarantine": 0})
    assert status_of(domain.ask(request(domain, host="mn1"))) == 0
    assert status_of(domain.ask(request(domain, host="mn2"))) == 130
    domain.lma._profiles[node("mn2")] = HomeProfile(node("mn2"))
    domain.run(SECOND)
    assert status_of(domain.ask(request(domain, host="mn2"))) == 0  # the one that was left over


def test_5_3_2_step_2_a_node_with_prefixes_of_its_own_only() -> None:
    """A second interface gets nothing where the profile gives nothing from the pools."""
    profile = HomeProfile(node("mn1"), prefixes=(home(5),), dynamic=False)
    domain = ProxyDomain(lma={"profiles": (profile,)})
    assert status_of(domain.ask(request(domain))) == 0
    domain.run(SECOND)
    second = request(domain, link_layer=HOSTS["mn9"], handoff=Handoff.NEW_INTERFACE)
    assert status_of(domain.ask(second, "mag2")) == Status.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize(
    "wanted",
    [
        (prefix("2001:db8:a100::/64"),),  # not ours
        (home(3), prefix("2001:db8:a100::/64")),  # one of two is not
        (Prefix(HOME.address, 63),),  # not one that is given
        (home(3), home(3)),
        tuple(home(index) for index in range(9)),  # more than a session may have
    ],
)
def test_5_3_2_step_3_prefixes_that_are_not_for_this_node_155(wanted: tuple[Prefix, ...]) -> None:
    """Text: "MUST ensure each one of those prefixes is owned by the local mobility anchor, and further that the mobile
    node is authorized to use these prefixes"; "MUST reject ... NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX"."""
    domain = ProxyDomain()
    answer = domain.ask(request(domain, *wanted))
    assert status_of(answer) == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert answer is not None
    assert prefixes_of(answer) == list(wanted)
    assert status_of(domain.ask(request(domain, home(3), host="mn2"))) == 0  # nothing was taken


def test_5_3_2_step_3_the_own_prefixes_of_another_node_155() -> None:
    domain = ProxyDomain(lma={"profiles": (HomeProfile(node("mn2"), prefixes=(home(9),)),)})
    assert status_of(domain.ask(request(domain, home(9)))) == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert status_of(domain.ask(request(domain, home(9), host="mn2"))) == 0


def test_5_3_2_step_3_a_free_prefix_may_be_asked_for() -> None:
    """As a MAG does after the LMA lost its memory; not where the profile gives no others than the own ones."""
    domain = ProxyDomain(lma={"profiles": (HomeProfile(node("mn2"), prefixes=(home(9),), dynamic=False),)})
    answer = domain.ask(request(domain, home(7)))
    assert answer is not None
    assert (answer.status, prefixes_of(answer)) == (0, [home(7)])
    assert status_of(domain.ask(request(domain, home(8), host="mn2"))) == 155


def test_5_3_2_steps_4_to_7_entry_tunnel_routes_and_then_the_answer() -> None:
    """Text: "MUST create a Binding Cache entry"; "MUST establish a bi-directional tunnel"; "MUST create a prefix
    route(s) over the tunnel"; "MUST send ... 0". The answer is the last to go out."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=2), "lifetime_max": 100 * SECOND})
    domain.clear()
    answer = domain.ask(request(domain, lifetime=400 * SECOND, sequence=9))
    assert answer is not None
    assert (answer.status, answer.lifetime, answer.sequence) == (0, 100 * SECOND, 9)
    entry = domain.entry()
    for each in entry.prefixes:
        assert domain.plane("lma").way(each) == EnsureTunnel(entry.slot, gateway(1))
    kinds = [type(effect) for _, name, effect in domain.effects if name == "lma"]
    assert kinds[0] is EnsureTunnel
    assert kinds[-1] is SendMessage
    assert kinds.index(StoreBinding) < kinds.index(SendMessage)


# --- 5.3.3 and 5.3.4 lifetime extension -------------------------------------------------------------------------------


def test_5_3_3_the_binding_lives_on_with_the_values_of_the_refresh() -> None:
    """Text: "MUST update the Binding Cache entry with the accepted registration values"; status 0."""
    domain = ProxyDomain()
    entry = registered(domain)
    domain.run(200 * SECOND)
    refresh = request(domain, *entry.prefixes, handoff=Handoff.NOT_CHANGED, lifetime=40 * SECOND, sequence=2)
    answer = domain.ask(refresh)
    assert answer is not None
    assert (answer.status, answer.lifetime, prefixes_of(answer)) == (0, 40 * SECOND, list(entry.prefixes))
    assert (entry.expires, entry.timestamp, entry.sequence) == (domain.now + 40 * SECOND, stamp(domain), 2)
    domain.run(39 * SECOND)
    assert domain.entries() == (entry,)
    domain.run(2 * SECOND)
    assert domain.entries() == ()


def test_a_binding_that_is_not_extended_ends_with_its_lifetime_and_leaves_nothing() -> None:
    """RFC 6275 9.5.2: "the binding ... MUST be deleted"."""
    domain = ProxyDomain()
    registered(domain)
    domain.run(301 * SECOND)
    state = domain.plane("lma").state
    assert not any((len(domain.lma.cache), state.slots, state.prefixes, state.counters, domain.members["lma"].store))
    assert len(domain.lma._timers) == 0


def test_5_3_4_the_session_follows_to_the_other_gateway() -> None:
    """Text: "MUST update the Binding Cache entry"; "MUST remove the previously created route(s)"; "MUST establish a bi-
    directional tunnel"; "MUST create prefix route(s) over the tunnel"; status 0."""
    domain = ProxyDomain()
    entry = registered(domain)
    (own,) = entry.prefixes
    for number in (2, 1, 2):
        domain.run(SECOND)
        answer = domain.ask(request(domain), f"mag{number}")
        assert answer is not None
        assert (answer.status, prefixes_of(answer)) == (0, [own])
        assert entry.gateway == gateway(number)
        assert domain.plane("lma").way(own) == EnsureTunnel(entry.slot, gateway(number))
        assert domain.plane("lma").state.prefixes == {own: entry.slot}
        assert len(domain.plane("lma").state.slots) == 1  # the way to the other gateway is gone


# --- 5.3.5 de-registration --------------------------------------------------------------------------------------------


def test_5_3_5_step_1_of_another_gateway_ignored() -> None:
    """Text: "different from what is present in the Proxy-CoA field in the Binding Cache entry, ... MUST ignore the
    request"."""
    domain = ProxyDomain()
    entry = registered(domain, source="mag2")
    domain.run(SECOND)
    assert domain.ask(request(domain, *entry.prefixes, lifetime=0)) is None
    assert not entry.waiting
    assert entry.expires == domain.now + 299 * SECOND


@pytest.mark.parametrize("delay", [10 * SECOND, 3 * SECOND])
def test_5_3_5_step_2_the_entry_waits_and_its_traffic_is_dropped(delay: int) -> None:
    """Text: "MUST wait for MinDelayBeforeBCEDelete"; "MUST send ... 0"; "SHOULD drop the mobile node's data traffic";
    "By the end of this wait period ... MUST delete the Binding Cache entry and remove the routing state"."""
    domain = ProxyDomain(lma={"min_delay_before_bce_delete": delay})
    entry = registered(domain)
    (own,) = entry.prefixes
    domain.run(SECOND)
    answer = domain.ask(request(domain, own, lifetime=0))
    assert answer is not None
    assert (answer.status, answer.lifetime, prefixes_of(answer)) == (0, 0, [own])
    domain.run(delay - 1)
    assert domain.entries() == (entry,)
    assert domain.plane("lma").way(own) is None
    domain.run(1)
    assert domain.entries() == ()
    assert domain.plane("lma").state.slots == {}
    assert domain.members["lma"].store == {}


def test_5_3_5_step_2_a_new_registration_ends_the_wait() -> None:
    """Text: "then the Binding Cache entry MUST NOT be deleted, but must be updated ..., and the wait period should be
    ended"."""
    domain = ProxyDomain()
    entry = registered(domain)
    (own,) = entry.prefixes
    domain.run(SECOND)
    domain.ask(request(domain, own, lifetime=0))
    domain.run(9 * SECOND)
    answer = domain.ask(request(domain), "mag2")
    assert answer is not None
    assert prefixes_of(answer) == [own]
    assert domain.plane("lma").way(own) == EnsureTunnel(entry.slot, gateway(2))
    domain.run(60 * SECOND)
    assert domain.entries() == (entry,)


def test_5_3_5_step_2_what_is_repeated_is_answered_and_delays_nothing() -> None:
    domain = ProxyDomain()
    entry = registered(domain)
    for second in range(1, 10):
        domain.run(SECOND)
        assert status_of(domain.ask(request(domain, *entry.prefixes, lifetime=0, sequence=second))) == 0
    domain.run(2 * SECOND)
    assert domain.entries() == ()


def test_5_3_5_the_prefix_of_a_session_that_ended_rests_and_is_given_again() -> None:
    """Text: "can potentially reassign the prefix(es) ... to other mobile nodes"."""
    domain = ProxyDomain(lma={"pools": (Prefix(HOME.address, 64),), "quarantine": 60 * SECOND})
    entry = registered(domain)
    domain.run(SECOND)
    domain.ask(request(domain, *entry.prefixes, lifetime=0))
    domain.run(20 * SECOND)
    assert status_of(domain.ask(request(domain, host="mn2"))) == 130
    domain.run(60 * SECOND)
    assert status_of(domain.ask(request(domain, host="mn2"))) == 0


def test_a_node_that_was_away_too_long_gets_the_prefix_that_it_still_has_addresses_of() -> None:
    """Not in the RFC. Found by a soak, where a gateway was dead for longer than MinDelayBeforeBCEDelete."""
    domain = ProxyDomain()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    prefixes = domain.entry().prefixes
    domain.detach("mn1", "mag1")
    domain.run(15 * SECOND)
    assert domain.entries() == ()
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert domain.entry("mn2").prefixes != prefixes
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert domain.entry().prefixes == prefixes


def test_after_a_restart_with_its_store_who_moved_meanwhile_is_registered_at_once() -> None:
    """Not in the RFC. Found by a soak: its gateway would have repeated its request only when that was due."""
    domain = ProxyDomain()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.crash("lma")
    domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(8 * SECOND)  # repetitions at 1, 3 and 7; the next one would be at 15
    domain.restart("lma", store=True)
    domain.run(SECOND)
    assert domain.entry().gateway == gateway(2)
