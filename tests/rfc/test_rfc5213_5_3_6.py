"""RFC 5213 5.3.6: what an LMA's answers consist of; and what those who ask can make grow, which is bounded."""

from __future__ import annotations

import pytest

from sojourn.core.effects import SendMessage
from sojourn.engines.configuration import HomeProfile
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    Timestamp,
)
from sojourn.wire.addresses import ANY, address, prefix
from sojourn.wire.units import MILLISECOND, SECOND, ticks
from support.pmip import LMA, ProxyDomain, gateway, home, prefixes_of, registered, request, status_of
from support.table import EPOCH, HOSTS

_LINK_LOCAL = address("fe80::1234")
_ASK = LinkLocalAddress(bytes(16))


# --- 5.3.6 the answer -------------------------------------------------------------------------------------------------

_BOTH = pytest.mark.parametrize("accepted", [True, False])


def _answer(domain: ProxyDomain, accepted: bool, **more: object) -> BindingAcknowledgement:
    wanted = (home(0),) if accepted else (prefix("2001:db8:a100::/64"),)
    answer = domain.ask(request(domain, *wanted, **more))  # type: ignore[arg-type]
    assert answer is not None
    assert (answer.status < 128) is accepted
    return answer


@_BOTH
def test_5_3_6_flags_addresses_and_mandatory_options(accepted: bool) -> None:
    """Text: "P flag must be set to value of 1"; "Source Address ... MUST be set to the destination address of the
    received Proxy Binding Update", "Destination Address ... to the source address"; "The Mobile Node Identifier option
    MUST be present ... copied"; the same for Handoff Indicator and Access Technology Type."""
    domain = ProxyDomain()
    domain.clear()
    answer = _answer(domain, accepted, handoff=Handoff.NEW_INTERFACE, technology=5, sequence=4711)
    assert answer.flags == int(BindingAcknowledgementFlags.P)
    assert answer.sequence == 4711
    assert answer.all(MobileNodeIdentifier) == (MobileNodeIdentifier(5, HOSTS["mn1"]),)
    assert answer.all(HandoffIndicator) == (HandoffIndicator(1),)
    assert answer.all(AccessTechnologyType) == (AccessTechnologyType(5),)
    (sent,) = [effect for _, name, effect in domain.effects if name == "lma" and isinstance(effect, SendMessage)]
    assert (sent.source, sent.destination) == (LMA, gateway(1))


@pytest.mark.parametrize("missing", [HandoffIndicator, AccessTechnologyType])
def test_5_3_6_mandatory_options_that_were_not_sent_are_zero(missing: type[MobilityOption]) -> None:
    """Text: "If the option was not present in the request, the value in the option MUST be set to zero"."""
    domain = ProxyDomain()
    answer = domain.ask(request(domain, without=(missing,)))
    assert answer is not None
    assert answer.all(missing) == (missing(0),)  # type: ignore[call-arg]


def test_5_3_6_an_acceptance_lists_every_prefix_of_the_session() -> None:
    """Text: "At least one Home Network Prefix option MUST be present"; "a Home Network Prefix option for each of the
    assigned home network prefixes"."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=4)})
    for handoff in (Handoff.UNKNOWN, Handoff.NOT_CHANGED):
        answer = domain.ask(request(domain, handoff=handoff))
        assert answer is not None
        assert prefixes_of(answer) == [home(index) for index in range(4)]
        domain.run(SECOND)


def test_5_3_6_a_refusal_returns_the_prefixes_of_the_request() -> None:
    """Text: "all the Home Network Prefix options that were present in the request (along with their prefix values) MUST
    be present in the reply"; "if there was no Home Network Prefix option ..., then there MUST be only one"."""
    domain = ProxyDomain()
    wanted = [prefix(f"2001:db8:a{number}00::/64") for number in range(1, 8)]
    answer = domain.ask(request(domain, *wanted))
    assert answer is not None
    assert (answer.status, prefixes_of(answer)) == (155, wanted)
    answer = domain.ask(request(domain, without=(HomeNetworkPrefix,)))
    assert answer is not None
    assert prefixes_of(answer) == [ANY]


@_BOTH
@pytest.mark.parametrize("kind", [Timestamp, MobileNodeLinkLayerIdentifier, LinkLocalAddress])
def test_5_3_6_options_that_are_returned_if_they_were_sent_and_only_then(
    kind: type[MobilityOption], accepted: bool
) -> None:
    """Text: "MUST be present only if the same option was present in the received Proxy Binding Update message and MUST
    NOT be present otherwise"; the link-layer identifier and, in a refusal, the link-local address "MUST be copied"."""
    domain = ProxyDomain()
    more = (LinkLocalAddress(_LINK_LOCAL),)
    sent = request(domain, more=more).all(kind)
    assert _answer(domain, accepted, more=more).all(kind) == sent
    domain = ProxyDomain()
    more = tuple(option for option in more if not isinstance(option, kind))
    assert _answer(domain, accepted, more=more, without=(kind,)).all(kind) == ()


def test_5_3_6_the_link_local_address_is_made_once_and_is_the_same_everywhere() -> None:
    """Text: "the local mobility anchor MUST generate the link-local address"; "MUST be copied to the Link-local Address
    option in the reply"; "MUST also be copied to the link-local address field of Binding Cache entry"; later "the link-
    local address from the Binding Cache entry MUST be copied"."""
    domain = ProxyDomain()
    found = set()
    for source in ("mag1", "mag2", "mag1"):
        answer = domain.ask(request(domain, more=(_ASK,)), source)
        assert answer is not None
        (option,) = answer.all(LinkLocalAddress)
        found.add(option.address)
        assert domain.entry().link_local == option.address
        domain.run(SECOND)
    (made,) = found
    assert made[:8] == address("fe80::")[:8]
    other = domain.ask(request(domain, host="mn2", more=(_ASK,)))
    assert other is not None
    assert other.all(LinkLocalAddress)[0].address != made


def test_5_3_6_the_link_local_address_of_the_gateway_replaces_ours() -> None:
    """Text: "with NON_ZERO value, then the link-local address from the request MUST be copied to the Link-local Address
    option in the reply ... MUST also be copied to the link-local address field of the Binding Cache entry"."""
    domain = ProxyDomain()
    domain.ask(request(domain, more=(_ASK,)))
    domain.run(SECOND)
    uploaded = domain.ask(request(domain, more=(LinkLocalAddress(_LINK_LOCAL),)))
    domain.run(SECOND)
    asked = domain.ask(request(domain, more=(_ASK,)), "mag2")
    for answer in (uploaded, asked):
        assert answer is not None
        assert answer.all(LinkLocalAddress) == (LinkLocalAddress(_LINK_LOCAL),)
    assert domain.entry().link_local == _LINK_LOCAL


def test_5_3_6_an_answer_fits_into_one_message_whatever_was_asked() -> None:
    """A Mobility Header has at most 2048 octets (RFC 6275 6.1.1): of very many prefixes a refusal returns the first."""
    domain = ProxyDomain()
    wanted = [prefix(f"2001:db8:a{number:03x}::/64") for number in range(70)]
    answer = domain.ask(request(domain, *wanted))
    assert answer is not None
    assert prefixes_of(answer) == wanted[:16]


# --- what a peer can make grow ----------------------------------------------------------------------------------------


def test_a_gateway_that_claims_every_node_gets_its_share_and_disturbs_nobody() -> None:
    domain = ProxyDomain(lma={"nodes_per_gateway": 5})
    registered(domain, source="mag2")
    domain.run(SECOND)
    statuses = [status_of(domain.ask(request(domain, host=f"mn{number}"))) for number in range(10, 30)]
    assert statuses == [0] * 5 + [130] * 15
    assert status_of(domain.ask(request(domain))) == 130  # nor can it take over what is elsewhere
    assert domain.entry().gateway == gateway(2)
    domain.run(SECOND)
    assert status_of(domain.ask(request(domain, host="mn50"), "mag2")) == 0


def test_a_node_that_invents_interfaces_gets_its_share() -> None:
    domain = ProxyDomain(lma={"sessions_per_node": 3})
    statuses = []
    for number in range(10, 20):
        domain.run(MILLISECOND)
        update = request(domain, link_layer=HOSTS[f"mn{number}"], handoff=Handoff.NEW_INTERFACE)
        statuses.append(status_of(domain.ask(update)))
    assert statuses == [0, 0, 0] + [130] * 7


def test_all_sessions_together_have_a_limit() -> None:
    domain = ProxyDomain(lma={"nodes": 2})
    assert [status_of(domain.ask(request(domain, host=f"mn{number}"))) for number in (1, 2, 3)] == [0, 0, 130]
    domain.run(MILLISECOND)
    assert status_of(domain.ask(request(domain), "mag2")) == 0  # what there is goes on


def test_strangers_are_answered_a_few_times_a_second_and_never_with_more_octets() -> None:
    domain = ProxyDomain()
    domain.clear()
    for number in range(200):
        domain.inject(address(f"2001:db8:ffff::{number:x}"), "lma", request(domain, host="mn1"))
    assert 0 < len(domain.sent(BindingAcknowledgement)) <= 50
    domain.run(SECOND)
    domain.clear()
    domain.inject(address("2001:db8:ffff::1"), "lma", request(domain, without=(HomeNetworkPrefix, HandoffIndicator)))
    assert domain.sent(BindingAcknowledgement) == []
    assert len(domain.lma.heard) == 0


def test_two_hosts_with_one_identifier_have_a_session_each() -> None:
    """An identifier that is used twice, with two link-layer addresses: nobody's prefix goes to the other."""
    domain = ProxyDomain(lma={"max_delay_before_new_bce_assign": 1500 * MILLISECOND})
    domain.ask(request(domain))
    domain.run(SECOND)
    domain.inject(gateway(2), "lma", request(domain, link_layer=HOSTS["mn9"]))
    domain.run(2 * SECOND)
    one, other = domain.entries()
    assert {one.gateway, other.gateway} == {gateway(1), gateway(2)}
    assert not {*one.prefixes} & {*other.prefixes}


def test_two_hosts_with_one_link_layer_address_take_the_session_from_each_other_and_disturb_nobody() -> None:
    domain = ProxyDomain()
    domain.ask(request(domain, host="mn2"))
    for turn in range(20):
        domain.run(SECOND)
        assert status_of(domain.ask(request(domain), f"mag{1 + turn % 2}")) == 0
    assert len(domain.lma.cache) == 2
    assert len(domain.plane("lma").state.slots) == 2
    assert ticks(EPOCH) < domain.entry().timestamp
