"""RFC 5846: binding revocation by LMA and MAG."""

from __future__ import annotations

import pytest

from sojourn.engines.access_session import Presence
from sojourn.engines.configuration import Gateway
from sojourn.engines.extension_settings import RevocationSettings
from sojourn.engines.registration import identifier_option
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityOption,
    RevocationStatus,
    RevocationTrigger,
)
from sojourn.wire.addresses import Address, Prefix, prefix, text, to_ipv4
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import LMA, ProxyDomain, gateway, request, status_of
from support.pmip_extensions import STRANGER, UNKNOWN_TYPE, command, messages, named, profiles, reply, settled
from support.table import HOSTS, node

P, V, G = 0x8000, 0x4000, 0x2000
MAG1 = named("mag1@example.net")
ADMINISTRATIVE = RevocationTrigger.ADMINISTRATIVE_REASON
UNKNOWN_HANDOVER = RevocationTrigger.INTER_MAG_HANDOVER_UNKNOWN


def revoking(**more: object) -> ProxyDomain:
    """LMA and MAGs know revocation; mag1 may end all of its bindings. mn1 and mn2 are at mag1, mn3 at mag2."""
    domain = ProxyDomain(
        lma={
            "revocation": RevocationSettings(authorized=((MAG1, gateway(1)),)),
            "ipv4_pool": prefix("10.9.0.0/24"),
        },
        revocation=RevocationSettings(identity=MAG1),
        profiles=profiles(mn1="ann@example.net", mn2="bob@foo.example.net"),
        **more,  # type: ignore[arg-type]
    )
    return settled(domain, ("mn1", "mag1"), ("mn2", "mag1"), ("mn3", "mag2"))


def indication(
    *options: MobilityOption, trigger: int = ADMINISTRATIVE, sequence: int = 7, flags: int = P
) -> BindingRevocationIndication:
    return BindingRevocationIndication(trigger, sequence, flags, options)


def answer(domain: ProxyDomain, name: str, peer: Address, message: BindingRevocationIndication) -> int:
    """The status of the answer, which must be there."""
    found = reply(domain, name, peer, message, BindingRevocationAcknowledgement)
    assert found is not None
    assert (found.sequence, found.flags) == (message.sequence, message.flags)  # 6.1.2
    return found.status


def sessions(domain: ProxyDomain) -> int:
    return len(domain.lma.cache)


# --- 8.1, 9.1: an LMA revokes ---------------------------------------------------------------------------------------


def test_8_1_the_binding_of_a_node_is_revoked_and_ends_on_both_sides() -> None:
    domain = revoking()
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    assert command(domain, "lma", "revoke", node="ann@example.net")
    (sent,) = messages(domain, BindingRevocationIndication)
    assert (sent.flags, sent.trigger) == (P, ADMINISTRATIVE)
    assert sent.options == (identifier_option(entry.node), *map(HomeNetworkPrefix.of, entry.prefixes))
    domain.run(SECOND)
    assert [message.status for message in messages(domain, BindingRevocationAcknowledgement)] == [0]
    assert domain.lma.cache.of(entry.node) == ()
    assert domain.at("mag1").presence is Presence.REFUSED
    last = domain.advertisement("mag1")
    assert (last.lifetime, [(one.preferred, one.valid) for one in last.prefixes]) == (0, [(0, 0)])
    assert sessions(domain) == 2


def test_8_1_a_node_in_hexadecimal_and_one_of_its_prefixes() -> None:
    domain = revoking()
    identity = node("mn3")
    (entry,) = domain.lma.cache.of(identity)
    assert not command(domain, "lma", "revoke", node=identity.hex(), prefix="2001:db8::/64")
    assert command(domain, "lma", "revoke", node=identity.hex(), prefix=str(entry.prefixes[0]))
    assert command(domain, "lma", "revoke", node=HOSTS["mn3"].hex(":"))  # is under way already
    assert len(messages(domain, BindingRevocationIndication)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"node": "nobody@example.net"},
        {"node": "ann@example.net", "trigger": "128"},
        {"node": "ann@example.net", "trigger": "x"},
        {"node": "ann@example.net", "gateway": "mag1"},
        {"gateway": "mag9"},
        {"gateway": "mag1", "trigger": "128"},
        {"realm": "example.net", "colour": "red"},
        {"prefix": "2001:db8::/64"},
    ],
)
def test_a_command_that_makes_no_sense_is_refused(arguments: dict[str, str]) -> None:
    domain = revoking()
    assert not command(domain, "lma", "revoke", **arguments)
    assert domain.sent() == []


def test_8_1_all_bindings_of_a_gateway() -> None:
    """G, Per-Peer Policy, and no options."""
    domain = revoking()
    assert command(domain, "lma", "revoke", gateway="mag1")
    (sent,) = messages(domain, BindingRevocationIndication)
    assert (sent.flags, sent.trigger) == (P | G, RevocationTrigger.PER_PEER_POLICY)
    assert sent.options == ()
    domain.run(SECOND)
    assert [domain.names[entry.source] for entry in domain.lma.cache] == ["mag2"]
    assert {session.presence for session in domain.mag("mag1").sessions.values()} == {Presence.REFUSED}


def test_8_1_all_bindings_of_a_realm_and_not_of_its_subdomains() -> None:
    domain = revoking()
    assert command(domain, "lma", "revoke", gateway=text(gateway(1)), realm="example.net")
    (sent,) = messages(domain, BindingRevocationIndication)
    assert (sent.flags, sent.trigger) == (P | G, RevocationTrigger.REVOKING_MOBILITY_NODE_LOCAL_POLICY)
    assert sent.options == (MobileNodeIdentifier(1, b"@example.net"),)
    domain.run(SECOND)
    assert domain.lma.cache.of(named("ann@example.net")) == ()
    assert len(domain.lma.cache.of(named("bob@foo.example.net"))) == 1


def test_8_1_a_realm_without_a_gateway_is_asked_of_all() -> None:
    domain = revoking()
    assert command(domain, "lma", "revoke", realm="example.net")
    assert len(messages(domain, BindingRevocationIndication)) == 2
    domain.run(SECOND)
    assert sorted(one.status for one in messages(domain, BindingRevocationAcknowledgement)) == [0, 131]
    assert sessions(domain) == 2


def test_8_1_the_tunnel_end_is_told_where_it_is_not_the_gateway() -> None:
    domain = ProxyDomain(1, lma={"revocation": RevocationSettings()})
    other = gateway(9)
    domain.reconfigure("lma", gateways=(Gateway(gateway(1), "mag1", (other,)),))
    domain.ask(request(domain, more=(AlternateCareOfAddress(other),)))
    domain.clear()
    assert command(domain, "lma", "revoke", node=node("mn1").hex())
    (sent,) = messages(domain, BindingRevocationIndication)
    assert sent.first(AlternateCareOfAddress) == AlternateCareOfAddress(other)


def test_6_3_it_is_repeated_with_the_same_number_and_growing_timeouts_then_cleaned_up() -> None:
    domain = revoking()
    domain.reconfigure("lma", revocation=RevocationSettings(3, SECOND // 2, 2 * SECOND))
    settled(domain, ("mn3", "mag2"))
    domain.run(SECOND)
    domain.crash("mag2")
    domain.clear()
    start = domain.now
    command(domain, "lma", "revoke", node=node("mn3").hex())
    domain.run(5500 * MILLISECOND)
    times = [when - start for when, _, _, message in domain.messages]
    assert times == [0, SECOND // 2, 3 * SECOND // 2, 7 * SECOND // 2]
    assert len({str(message) for _, _, _, message in domain.messages}) == 1
    assert domain.reported("lma", "revocation-unanswered") == 1
    assert domain.lma.cache.of(node("mn3")) == ()


def test_6_2_2_an_answer_that_nobody_waits_for_is_discarded() -> None:
    domain = revoking()
    command(domain, "lma", "revoke", node="ann@example.net")
    (sent,) = messages(domain, BindingRevocationIndication)
    for source, sequence in ((gateway(2), sent.sequence), (STRANGER, sent.sequence), (gateway(1), sent.sequence + 1)):
        domain.inject(source, "lma", BindingRevocationAcknowledgement(0, sequence, P))
    assert sessions(domain) == 3


def test_6_2_who_does_not_know_revocation_is_not_asked_again() -> None:
    """Its bindings end here all the same: the operator wanted that."""
    domain = revoking()
    domain.reconfigure("mag1", revocation=None)
    settled(domain, ("mn1", "mag1"))
    command(domain, "lma", "revoke", node="ann@example.net")
    domain.run(SECOND)
    assert UNKNOWN_TYPE in [message for _, _, message in domain.sent()]
    assert domain.lma.cache.of(named("ann@example.net")) == ()
    domain.clear()
    assert command(domain, "lma", "revoke", gateway="mag1")
    assert messages(domain, BindingRevocationIndication) == []
    assert sessions(domain) == 1


def test_8_1_race_the_gateway_cannot_extend_what_is_being_revoked_and_another_one_can() -> None:
    domain = revoking()
    domain.lose = lambda source, destination, message: destination == "mag2"
    command(domain, "lma", "revoke", node=node("mn3").hex())
    (entry,) = domain.lma.cache.of(node("mn3"))
    again = request(domain, *entry.prefixes, host="mn3", handoff=5, sequence=9)
    assert status_of(domain.ask(again, "mag2")) == 129
    elsewhere = request(domain, host="mn3", handoff=3, sequence=10, ahead=10 * MILLISECOND)
    assert status_of(domain.ask(elsewhere, "mag1")) == 0
    domain.run(5 * SECOND)
    assert domain.entry("mn3").source == gateway(1)
    assert domain.reported("lma", "revocation-unanswered") == 0


@pytest.mark.parametrize("status", [129, 130, 132, 133, 134, 135])
def test_6_2_2_a_refusal_leaves_the_binding(status: int) -> None:
    domain = revoking()
    domain.lose = lambda source, destination, message: source == "lma"
    command(domain, "lma", "revoke", node="ann@example.net")
    (sent,) = messages(domain, BindingRevocationIndication)
    domain.inject(gateway(1), "lma", BindingRevocationAcknowledgement(status, sent.sequence, P))
    assert len(domain.lma.cache.of(named("ann@example.net"))) == 1
    assert not domain.lma.extensions._by_name["revocation"]._under_way  # type: ignore[attr-defined]


# --- 8.1: "Inter-MAG Handover - Unknown" ------------------------------------------------------------------------------


def moving(**more: object) -> ProxyDomain:
    """ann's interface shows another address at mag2: nobody knows whether she moved."""
    domain = revoking(**more)
    domain.mag_configurations["mag2"] = domain.mag_configurations["mag1"].__class__(
        gateway(2), LMA, profiles(mn4="ann@example.net"), revocation=RevocationSettings()
    )
    domain.restart("mag2", store=False)
    domain.run(SECOND)
    domain.clear()
    return domain


def test_8_1_the_previous_gateway_is_asked_instead_of_waited_for() -> None:
    domain = moving()
    (before,) = domain.lma.cache.of(named("ann@example.net"))
    had = before.prefixes
    domain.attach("mn4", "mag2")
    domain.run(SECOND)
    (sent,) = messages(domain, BindingRevocationIndication)
    assert sent.trigger == UNKNOWN_HANDOVER
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    assert (entry.source, entry.prefixes) == (gateway(2), had)
    assert domain.listed("mag1") is None  # 9.1: it asked the node, which did not answer
    assert domain.plane("mag1").state.prefixes.keys().isdisjoint(had)


def test_9_1_a_node_that_is_still_attached_is_not_given_up() -> None:
    """132, and the other interface gets a session of its own."""
    domain = moving()
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    domain.attach("mn4", "mag2")
    domain.run(SECOND)
    assert [one.status for one in messages(domain, BindingRevocationAcknowledgement)] == [132]
    assert {domain.names[one.source] for one in domain.lma.cache.of(named("ann@example.net"))} == {"mag1", "mag2"}
    assert domain.at("mag1").confirmed


def test_9_1_a_node_that_was_seen_with_no_address_is_asked_at_its_ipv4_home_address() -> None:
    """A host of IPv4 alone answers nothing else."""
    domain = moving(ipv4=True)
    home = domain.at("mag1").home
    asked: list[Address | None] = []
    domain.on_probe = lambda name, probe: asked.append(probe.address)
    domain.attach("mn4", "mag2")
    domain.run(SECOND)
    assert home is not None
    assert asked == [home.address]


def test_8_1_without_an_answer_there_is_a_session_more() -> None:
    domain = moving()
    domain.crash("mag1")
    domain.attach("mn4", "mag2")
    domain.run(2500 * MILLISECOND)
    assert len(domain.lma.cache.of(named("ann@example.net"))) == 1
    domain.run(SECOND)
    assert len(domain.lma.cache.of(named("ann@example.net"))) == 2


def test_8_1_a_deregistration_meanwhile_settles_it() -> None:
    domain = moving()
    domain.lose = lambda source, destination, message: isinstance(message, BindingRevocationIndication)
    domain.attach("mn4", "mag2")
    domain.run(SECOND // 10)
    domain.detach("mn1", "mag1")
    domain.run(5 * SECOND)
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    assert entry.source == gateway(2)
    assert domain.reported("lma", "revocation-unanswered") == 0


# --- 8.2: a MAG revokes -----------------------------------------------------------------------------------------------


def test_9_2_a_gateway_with_the_right_ends_all_of_its_bindings() -> None:
    domain = revoking()
    assert command(domain, "mag1", "revoke")
    (sent,) = messages(domain, BindingRevocationIndication)
    assert (sent.flags, sent.trigger) == (P | G, RevocationTrigger.PER_PEER_POLICY)
    assert sent.options == (identifier_option(MAG1),)
    domain.run(SECOND)
    assert [domain.names[entry.source] for entry in domain.lma.cache] == ["mag2"]
    assert not any(session.confirmed for session in domain.mag("mag1").sessions.values())


def test_8_2_a_gateway_without_the_right_gets_130_and_does_not_retry() -> None:
    domain = revoking()
    assert command(domain, "mag2", "revoke", lma=text(LMA))  # it claims to be mag1
    domain.run(SECOND)
    assert [one.status for one in messages(domain, BindingRevocationAcknowledgement)] == [130]
    assert sessions(domain) == 3
    assert domain.at("mag2", "mn3").confirmed
    assert not command(domain, "mag2", "revoke")


@pytest.mark.parametrize("arguments", [{"lma": "2001:db8::1"}, {"node": "ann@example.net"}])
def test_9_2_a_gateway_revokes_nothing_but_all_of_an_anchor(arguments: dict[str, str]) -> None:
    assert not command(revoking(), "mag1", "revoke", **arguments)


def test_8_2_global_revocation_without_an_identity_is_not_authorized() -> None:
    domain = revoking()
    everything = indication(trigger=RevocationTrigger.PER_PEER_POLICY, flags=P | G)
    assert answer(domain, "lma", gateway(1), everything) == RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED


def test_8_2_only_the_bindings_of_one_tunnel_end() -> None:
    domain = revoking()
    options = (identifier_option(MAG1), AlternateCareOfAddress(gateway(7)))
    some = indication(*options, trigger=RevocationTrigger.PER_PEER_POLICY, flags=P | G)
    assert answer(domain, "lma", gateway(1), some) == RevocationStatus.SUCCESS
    assert sessions(domain) == 3


def test_8_2_one_node_and_one_prefix_of_it() -> None:
    domain = revoking()
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    who = identifier_option(entry.node)
    assert answer(domain, "lma", gateway(1), indication(who, HomeNetworkPrefix.of(entry.prefixes[0]))) == 0
    assert sessions(domain) == 2
    assert answer(domain, "lma", gateway(1), indication(who)) == RevocationStatus.BINDING_DOES_NOT_EXIST
    assert answer(domain, "lma", gateway(1), indication(identifier_option(named("bob@foo.example.net")))) == 0
    assert sessions(domain) == 1


def test_8_2_a_prefix_that_is_gone_already_makes_it_a_partial_success() -> None:
    domain = revoking()
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    gone = HomeNetworkPrefix.of(prefix("2001:db8:f000:9999::/64"))
    message = indication(identifier_option(entry.node), HomeNetworkPrefix.of(entry.prefixes[0]), gone)
    found = reply(domain, "lma", gateway(1), message, BindingRevocationAcknowledgement)
    assert found is not None
    assert (found.status, found.options) == (1, (identifier_option(entry.node), gone))


# --- an IPv4 home address alone (flag V) ------------------------------------------------------------------------------


def with_ipv4() -> tuple[ProxyDomain, Prefix]:
    """ann has an IPv4 home address besides her prefix."""
    domain = ProxyDomain(
        lma={"revocation": RevocationSettings(), "ipv4_pool": prefix("::ffff:10.9.0.0/120")},
        revocation=RevocationSettings(),
        profiles=profiles(mn1="ann@example.net"),
        ipv4=True,
    )
    settled(domain, ("mn1", "mag1"))
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    return domain, entry.prefixes[-1]


def test_8_1_9_1_an_ipv4_home_address_is_revoked_and_the_rest_of_the_session_stays() -> None:
    domain, address = with_ipv4()
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    assert command(domain, "lma", "revoke", node="ann@example.net", prefix=str(address))
    (sent,) = messages(domain, BindingRevocationIndication)
    assert sent.flags == P | V
    assert [one.address for one in sent.all(Ipv4HomeAddressRequest)] == [to_ipv4(address.address)]
    domain.run(SECOND)
    (answered,) = messages(domain, BindingRevocationAcknowledgement)
    assert (answered.status, answered.flags) == (0, P | V)
    assert entry.prefixes == entry.home_prefixes
    session = domain.at("mag1")
    assert session.home is None
    assert tuple(session.anchored) == entry.prefixes
    assert session.confirmed
    for name in ("lma", "mag1"):
        assert address not in domain.plane(name).state.prefixes
        assert domain.reported(name, "revoked") == 1


def test_9_1_a_revoked_ipv4_home_address_is_asked_for_again_when_the_node_comes_anew() -> None:
    domain, address = with_ipv4()
    command(domain, "lma", "revoke", node="ann@example.net", prefix=str(address))
    domain.run(SECOND)
    command(domain, "mag1", "refresh")
    domain.run(SECOND)
    assert domain.at("mag1").home is None
    domain.roam("mn1", "mag1", "mag2", 2 * SECOND)
    assert domain.at("mag2").home is not None


def test_6_3_a_gateway_that_does_not_answer_loses_the_ipv4_home_address_all_the_same() -> None:
    domain, address = with_ipv4()
    domain.lose = lambda source, destination, message: isinstance(message, BindingRevocationIndication)
    command(domain, "lma", "revoke", node="ann@example.net", prefix=str(address))
    domain.run(60 * SECOND)
    (entry,) = domain.lma.cache.of(named("ann@example.net"))
    assert entry.prefixes == entry.home_prefixes


# --- 6.2.1 and bad input, both sides ----------------------------------------------------------------------------------

ANN = identifier_option(named("ann@example.net"))
BAD = [
    (indication(ANN, trigger=8), RevocationStatus.REVOCATION_TRIGGER_NOT_SUPPORTED),
    (indication(ANN, trigger=250), RevocationStatus.REVOCATION_TRIGGER_NOT_SUPPORTED),
    (indication(ANN, flags=P | G), RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED),
    (indication(ANN, trigger=128), RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED),
    (indication(ANN, trigger=128, flags=G), RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED),
    (indication(ANN, flags=P | V), RevocationStatus.IPV4_HOME_ADDRESS_OPTION_REQUIRED),
    (
        indication(ANN, Ipv4HomeAddressRequest(32, b"\xc0\0\2\1"), flags=P | V),
        RevocationStatus.BINDING_DOES_NOT_EXIST,
    ),
    (indication(ANN, flags=0), RevocationStatus.BINDING_DOES_NOT_EXIST),
    (indication(), RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED),
    (indication(MobileNodeIdentifier(1, b"")), RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED),
    (indication(identifier_option(named("eve@example.net"))), RevocationStatus.BINDING_DOES_NOT_EXIST),
]


@pytest.mark.parametrize(("name", "peer"), [("lma", gateway(1)), ("mag1", LMA)])
@pytest.mark.parametrize(("message", "status"), BAD)
def test_6_2_1_what_makes_no_sense_is_rejected_with_its_status(
    name: str, peer: Address, message: BindingRevocationIndication, status: RevocationStatus
) -> None:
    domain = revoking()
    assert answer(domain, name, peer, message) == status
    assert sessions(domain) == 3
    assert domain.at("mag1").confirmed


@pytest.mark.parametrize(
    ("options", "trigger", "status"),
    [
        ((ANN,), 128, RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED),
        ((), 129, RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED),
        ((ANN,), 129, RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED),
        ((MobileNodeIdentifier(1, b"@elsewhere.net"),), 129, RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED),
        (
            (MobileNodeIdentifier(1, b"@example.net"), AlternateCareOfAddress(gateway(2))),
            129,
            RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED,
        ),
    ],
)
def test_9_1_a_gateway_rejects_a_global_revocation_that_identifies_nobody(
    options: tuple[MobilityOption, ...], trigger: int, status: RevocationStatus
) -> None:
    domain = revoking()
    assert answer(domain, "mag1", LMA, indication(*options, trigger=trigger, flags=P | G)) == status
    assert domain.at("mag1").confirmed


def test_8_2_a_gateway_cannot_revoke_a_realm() -> None:
    domain = revoking()
    realm = indication(MobileNodeIdentifier(1, b"@example.net"), trigger=129, flags=P | G)
    assert answer(domain, "lma", gateway(1), realm) == RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED


def test_a_gateway_cannot_revoke_what_another_one_registered() -> None:
    domain = revoking()
    assert answer(domain, "lma", gateway(2), indication(ANN)) == RevocationStatus.BINDING_DOES_NOT_EXIST
    assert sessions(domain) == 3


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_6_2_a_stranger_is_not_even_answered(name: str) -> None:
    domain = revoking()
    for message, _ in BAD:
        domain.inject(STRANGER, name, message)
    domain.inject(STRANGER, name, indication(ANN))
    assert domain.sent() == []
    assert sessions(domain) == 3


def test_a_revoked_node_may_come_again_after_a_while() -> None:
    domain = revoking()
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    command(domain, "lma", "revoke", node="ann@example.net")
    domain.run(35 * SECOND)
    assert len(domain.lma.cache.of(named("ann@example.net"))) == 1
    assert messages(domain, BindingUpdate, "mag1") != []
    assert {one.status for one in messages(domain, BindingAcknowledgement)} == {0}
