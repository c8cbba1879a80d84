"""RFC 5213 6.9.1: a MAG registers nodes and understands the answers."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureDelivery
from sojourn.core.events import Commanded, MessageReceived, NodeSeen, Sighting
from sojourn.engines.access_session import Presence
from sojourn.engines.configuration import GatewayProfile, RetransmissionConstants
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY, identifier_option
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingError,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.messages import stamp, updates
from support.pmip import LMA, LMA2, ProxyDomain, gateway, handoff_of, home, prefixes_of
from support.table import EPOCH, HOSTS, node

_NAI = b"\x01somebody@example.net"


def _attached(**settings: object) -> tuple[ProxyDomain, BindingUpdate]:
    """mn1 attached to mag1 and the LMA does not hear of it."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.lose = lambda source, destination, message: True
    domain.attach("mn1", "mag1")
    (update,) = updates(domain, "mag1", "lma")
    return domain, update


def _registered(**settings: object) -> ProxyDomain:
    """mn1 is attached to mag1 and registered; from then on nothing reaches anybody."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: True
    domain.clear()
    return domain


def _answer(
    domain: ProxyDomain,
    update: BindingUpdate,
    *prefixes: Prefix,
    status: int = 0,
    flags: int = int(BindingAcknowledgementFlags.P),
    ahead: int | None = None,
    sequence: int | None = None,
    instead: tuple[MobilityOption, ...] = (),
) -> None:
    """An LMA answers `update`, with `instead` in the place of its options of the same kinds."""
    kinds = tuple(type(option) for option in instead)
    kept = [option for option in update.options if not isinstance(option, (HomeNetworkPrefix, *kinds))]
    if ahead is not None:
        kept = [Timestamp(stamp(domain, ahead)) if isinstance(option, Timestamp) else option for option in kept]
    options = (*kept, *(HomeNetworkPrefix.of(each) for each in prefixes or (ANY,)), *instead)
    number = update.sequence if sequence is None else sequence
    domain.inject(LMA, "mag1", BindingAcknowledgement(status, flags, number, update.lifetime, options))


def _entry(domain: ProxyDomain) -> BindingUpdateListEntry:
    return domain.at("mag1")


# --- 6.9.1.1 attachment and initial registration ----------------------------------------------------------------------


@pytest.mark.parametrize("sighting", list(Sighting))
def test_6_9_1_1_step_1_an_attachment_is_registered_however_it_is_noticed(sighting: Sighting) -> None:
    """Text: "MUST identify the mobile node and acquire its MN-Identifier"; "MUST send a Proxy Binding Update message to
    the local mobility anchor"."""
    domain = ProxyDomain()
    domain.attach("mn1", "mag1", sighting)
    assert [pair[:2] for pair in domain.sent()] == [("mag1", "lma")]


def test_6_9_1_1_steps_2_to_10_and_6_9_1_5_what_the_update_carries() -> None:
    """Text: "P & A flags MUST be set to value 1"; "MUST include the Mobile Node Identifier option"; "The Home Network
    Prefix option(s) MUST be present ... there MUST be only one instance" with ALL_ZERO; "The Handoff Indicator option
    MUST be present"; "Either the Timestamp option ... MUST be present"; "The Mobile Node Link-layer Identifier option
    ... MUST be present ..., if the mobile access gateway is aware of the same"; "The Access Technology Type option MUST
    be present"; the addresses; "the Link-local Address option MUST NOT be present" with a fixed address."""
    domain, update = _attached()
    assert update.flags == PROXY
    assert update.options == (
        identifier_option(node("mn1")),
        HomeNetworkPrefix.of(ANY),
        HandoffIndicator(int(Handoff.UNKNOWN)),
        AccessTechnologyType(4),
        MobileNodeLinkLayerIdentifier(HOSTS["mn1"]),
        Timestamp(stamp(domain)),
    )
    (sent,) = [effect for _, _, effect in domain.effects if type(effect).__name__ == "SendMessage"]
    assert (sent.source, sent.destination) == (gateway(1), LMA)  # type: ignore[union-attr]


def test_6_9_1_1_step_3_prefixes_of_the_profile_are_asked_for_each_in_its_option() -> None:
    """Text: "by including a Home Network Prefix option for each of those requested prefixes"."""
    wanted = (home(8), home(9))
    _, update = _attached(profiles=(GatewayProfile(HOSTS["mn1"], prefixes=wanted),))
    assert prefixes_of(update) == list(wanted)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("new-interface", Handoff.NEW_INTERFACE),
        ("between-interfaces", Handoff.BETWEEN_INTERFACES),
        ("between-gateways", Handoff.BETWEEN_GATEWAYS),
    ],
)
def test_6_9_1_1_step_4_the_indicator_is_what_somebody_who_knows_says(kind: str, expected: Handoff) -> None:
    """Text: "MUST be set to a value of 1 ..., 2 ..., 3 ... if the mobile access gateway definitively knows"; 5.: "the
    link-layer mechanism can inform the mobility functions"."""
    domain = ProxyDomain()
    domain.event("mag1", Commanded("handoff", {"node": "02:00:00:00:01:01", "kind": kind}))
    domain.attach("mn1", "mag1")
    (update,) = updates(domain, "mag1", "lma")
    assert handoff_of(update) == expected


def test_6_9_1_1_steps_4_and_5_what_nobody_knows_is_unknown() -> None:
    """Text: "MUST be set to a value of 4 (Handoff state unknown) if the mobile access gateway cannot determine"; "MUST
    NOT set the option value to 2 ... or 3 ... if it cannot be determined"; a hint is for one attachment, and soon."""
    domain = ProxyDomain()
    hint = Commanded("handoff", {"node": "02:00:00:00:01:01", "kind": "between-gateways"})
    domain.event("mag1", hint)
    domain.attach("mn2", "mag1")
    domain.run(11 * SECOND)
    domain.attach("mn1", "mag1")
    domain.event("mag1", Commanded("handoff", {"node": "02:00:00:00:01:01", "kind": "something"}))
    domain.roam("mn1", "mag1", "mag2")
    assert [handoff_of(update) for update in updates(domain, "mag1", "lma") if update.lifetime] == [4, 4]
    assert {handoff_of(update) for update in updates(domain, "mag2", "lma")} == {4}
    assert domain.reported("mag1", "command-refused") == 1


def test_6_9_1_1_step_5_another_interface_of_a_node_that_is_here() -> None:
    """Text: "a value of 1 in case (b)", the attachment of a new interface from the same host."""
    both = tuple(GatewayProfile(HOSTS[host], _NAI) for host in ("mn1", "mn2"))
    domain = ProxyDomain(profiles=both)
    for host in ("mn1", "mn2"):
        domain.attach(host, "mag1")
        domain.run(SECOND)
    assert [handoff_of(update) for update in updates(domain, "mag1", "lma")] == [4, 1]


def test_6_9_1_1_step_6_the_sequence_number_increases() -> None:
    """Text: "SHOULD also set the Sequence Number field to a value of a monotonically increasing counter"."""
    domain = ProxyDomain()
    for _ in range(3):
        domain.roam("mn1", "mag1", "mag1", 2 * SECOND)
    sent = updates(domain, "mag1", "lma")
    assert [update.sequence for update in sent] == sorted({update.sequence for update in sent})
    stamps = [update.all(Timestamp)[0].ticks for update in sent]
    assert stamps == sorted(stamps)


def test_6_9_1_1_step_6_without_timestamps_the_number_of_the_session() -> None:
    """Text: "or a valid sequence number maintained on a per mobile node's mobility session basis"
    (TimestampBasedApproachInUse is 0); a MAG that does not know it learns it from status 135 (RFC 6275 11.7.3)."""
    domain = ProxyDomain(timestamp_based_approach_in_use=False)
    for turn in range(4):
        domain.roam("mn1", f"mag{1 + turn % 2}", f"mag{2 - turn % 2}", 2 * SECOND)
    assert all(message.first(Timestamp) is None for _, _, message in domain.sent())
    entry = domain.entry()
    assert entry.gateway == gateway(1)
    assert (entry.timestamp, domain.at("mag1").sequence) == (0, entry.sequence)
    assert domain.at("mag1").confirmed
    assert len(domain.lma.cache) == 1


@pytest.mark.parametrize(("interface", "expected"), [("acc0", 4), ("acc1", 3)])
def test_6_9_1_1_step_8_the_technology_of_the_interface(interface: str, expected: int) -> None:
    """Text: "SHOULD be set to the type of access technology by which the mobile node is currently attached"."""
    domain = ProxyDomain(technologies=(("acc1", 3),))
    domain.event("mag1", NodeSeen(interface, HOSTS["mn1"], Sighting.STATION))
    (update,) = updates(domain, "mag1", "lma")
    assert update.all(AccessTechnologyType) == (AccessTechnologyType(expected),)


def test_6_9_1_1_step_9_the_link_local_address_is_asked_for_with_all_zeros() -> None:
    """Text: "MUST be present ... only if ... FixedMAGLinkLocalAddressOnAllAccessLinks is set to a value of ALL_ZERO";
    "For querying ... this option MUST be set to ALL_ZERO value" (6.8)."""
    _, update = _attached(link_local_of_lma=True)
    assert update.all(LinkLocalAddress) == (LinkLocalAddress(bytes(16)),)


def test_6_9_1_1_step_11_an_entry_exists_from_the_update_on() -> None:
    """Text: "MUST create a Binding Update List entry for the mobile node upon sending"."""
    domain, _ = _attached()
    assert not _entry(domain).confirmed
    assert list(domain.members["mag1"].store) == [node("mn1")]


# --- 6.9.1.2 answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [LMA2, gateway(2), bytes(16)])
def test_6_9_1_2_step_1_only_the_lma_of_the_node_answers(source: bytes) -> None:
    """Text: "MUST be authenticated as described in Section 4": by its source here, by IPsec of the operator."""
    domain, update = _attached()
    answer = BindingAcknowledgement(0, 0x20, update.sequence, update.lifetime, update.options)
    domain.event("mag1", MessageReceived(answer, source, gateway(1)))
    assert not _entry(domain).confirmed


def test_6_9_1_2_steps_3_and_5_an_answer_to_nothing_is_ignored() -> None:
    """Text: "if the received Proxy Binding Acknowledgement message does not match any of the Proxy Binding Update
    messages that it sent recently, the message MUST be ignored"."""
    domain, update = _attached()
    _answer(domain, update, home(0), sequence=update.sequence + 1)
    assert not _entry(domain).confirmed
    _answer(domain, update, home(0))
    assert _entry(domain).confirmed
    _answer(domain, update, home(1))
    assert list(_entry(domain).anchored) == [home(0)]


def test_6_9_1_2_step_5_an_answer_to_an_earlier_transmission_counts() -> None:
    domain, update = _attached()
    domain.run(4 * SECOND)
    assert len(updates(domain, "mag1", "lma")) == 3
    _answer(domain, update, home(0))
    assert _entry(domain).confirmed


@pytest.mark.parametrize(
    "wrong",
    [
        HandoffIndicator(int(Handoff.NEW_INTERFACE)),
        AccessTechnologyType(5),
        MobileNodeIdentifier(1, b"somebody else"),
    ],
)
def test_6_9_1_2_step_6_other_options_than_those_of_the_request(wrong: MobilityOption) -> None:
    """Text: "the message MUST be ignored"; "MUST NOT retransmit the Proxy Binding Update message until an
    administrative action is taken"."""
    domain, update = _attached()
    _answer(domain, update, home(0), instead=(wrong,))
    assert not _entry(domain).confirmed
    domain.clear()
    domain.run(100 * SECOND)
    assert updates(domain, "mag1", "lma") == []
    domain.event("mag1", Commanded("refresh"))
    domain.run(MILLISECOND)
    assert len(updates(domain, "mag1", "lma")) == 1


def test_6_9_1_2_step_6_the_link_layer_identifier_of_nobody() -> None:
    domain, update = _attached()
    _answer(domain, update, home(0), instead=(MobileNodeLinkLayerIdentifier(HOSTS["mn2"]),))
    assert not _entry(domain).confirmed


def test_6_9_1_2_an_answer_without_the_link_layer_identifier_is_matched_by_the_node() -> None:
    domain, update = _attached()
    options = tuple(option for option in update.options if not isinstance(option, MobileNodeLinkLayerIdentifier))
    answer = BindingAcknowledgement(
        0, 0x20, update.sequence, update.lifetime, (*options, HomeNetworkPrefix.of(home(0)))
    )
    domain.inject(LMA, "mag1", answer)
    assert _entry(domain).confirmed


def test_an_answer_with_the_d_flag_is_ignored_and_an_error_returned() -> None:
    """RFC 8885 4.2."""
    domain, update = _attached()
    domain.clear()
    _answer(domain, update, home(0), flags=ACKNOWLEDGED_DMM)
    assert not _entry(domain).confirmed
    assert [type(message) for _, receiver, message in domain.sent() if receiver == "lma"] == [BindingError]


def test_6_9_1_2_step_7_a_node_without_service_is_denied_until_an_administrator_says_otherwise() -> None:
    """Text: "SHOULD NOT send a Proxy Binding Update message again for that mobile node until an administrative action
    is taken. It MUST deny the mobility service to that mobile node"."""
    domain, update = _attached()
    _answer(domain, update, status=int(Status.PROXY_REG_NOT_ENABLED))
    domain.clear()
    for _ in range(60):
        domain.run(60 * SECOND)
        domain.attach("mn1", "mag1", Sighting.ROUTER_SOLICITATION)
    assert updates(domain, "mag1", "lma") == []
    assert _entry(domain).presence is Presence.REFUSED
    assert domain.members["mag1"].advertised == []
    domain.event("mag1", Commanded("refresh"))
    domain.attach("mn1", "mag1")
    assert len(updates(domain, "mag1", "lma")) == 1


def test_6_9_1_2_step_8_a_lower_timestamp_of_a_node_that_has_just_come_is_asserted_at_once() -> None:
    """Text: "SHOULD try to register again to reassert the mobile node's presence on its access link". Another clock is
    not taken over."""
    domain, update = _attached()
    domain.clear()
    _answer(domain, update, status=157, ahead=0)
    (again,) = updates(domain, "mag1", "lma")
    assert (again.sequence, handoff_of(again)) == (update.sequence + 1, 4)
    assert domain.mag("mag1")._offset == 0


def test_6_9_1_2_step_8_of_a_node_that_was_here_for_long_it_is_asked_first() -> None:
    """It may be elsewhere, and nobody told us: a sign of life asserts it, and none lets it go."""
    domain = _registered()
    domain.run(20 * SECOND)
    domain.event("mag1", Commanded("refresh"))
    domain.run(MILLISECOND)
    (update,) = updates(domain, "mag1", "lma")
    _answer(domain, update, status=157, ahead=0)
    assert len(updates(domain, "mag1", "lma")) == 1
    assert len(domain.members["mag1"].probes) == 1
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    assert len(updates(domain, "mag1", "lma")) == 2
    _answer(domain, updates(domain, "mag1", "lma")[-1], status=157, ahead=0)
    domain.run(5 * SECOND)
    assert updates(domain, "mag1", "lma")[-1].lifetime == 0
    assert domain.mag("mag1").sessions == {}


@pytest.mark.parametrize("ahead", [-3600, -1, 1, 3600])
def test_6_9_1_2_step_9_another_clock_is_not_taken_over_but_allowed_for(ahead: int) -> None:
    """Text: "SHOULD try to register again only after it has synchronized its clock"; "SHOULD NOT synchronize its clock
    to the local mobility anchor's system clock". The difference is added; the clock is as it was, and a router whose
    clock is off serves its nodes (tests/rfc/README.md)."""
    domain, update = _attached()
    domain.clear()
    _answer(domain, update, status=156, ahead=ahead * SECOND)
    (again,) = updates(domain, "mag1", "lma")
    assert again.all(Timestamp) == (Timestamp(stamp(domain, ahead * SECOND)),)
    assert domain.mag("mag1")._epoch == EPOCH


def test_6_9_1_2_step_9_a_lma_that_is_never_content_is_not_asked_for_ever() -> None:
    domain, _ = _attached(retransmission=RetransmissionConstants(min_bindack_timeout=SECOND))
    for _ in range(4):
        _answer(domain, updates(domain, "mag1", "lma")[-1], status=156, ahead=3600 * SECOND)
        domain.run(900 * MILLISECOND)
    assert _entry(domain).presence is Presence.REFUSED
    assert len(updates(domain, "mag1", "lma")) == 4


def test_6_9_1_2_step_10_prefixes_that_are_not_for_the_node_are_not_asked_for_again() -> None:
    """Text: "SHOULD NOT request the same prefix(es) again, but MAY request the local mobility anchor to do the
    assignment ... by including only one Home Network Prefix option with the prefix value set to ALL_ZERO"."""
    domain, update = _attached(profiles=(GatewayProfile(HOSTS["mn1"], prefixes=(home(8), home(9))),))
    domain.clear()
    _answer(domain, update, home(8), home(9), status=155)
    (again,) = updates(domain, "mag1", "lma")
    assert prefixes_of(again) == [ANY]
    _answer(domain, again, status=155)
    assert _entry(domain).presence is Presence.REFUSED


def test_6_9_1_2_step_10_another_set_of_prefixes_is_learnt() -> None:
    """Status 159: what the MAG believes is not what the LMA has."""
    domain = _registered()
    domain.event("mag1", Commanded("refresh"))
    domain.run(MILLISECOND)
    (update,) = updates(domain, "mag1", "lma")
    _answer(domain, update, home(0), status=159)
    again = updates(domain, "mag1", "lma")[-1]
    assert prefixes_of(again) == [ANY]
    _answer(domain, again, home(0), home(5))
    assert set(_entry(domain).anchored) == {home(0), home(5)}


@pytest.mark.parametrize("status", [128, 129, 130, 152, 153, 154, 155, 158, 160, 161, 162, 163, 200, 255])
def test_6_9_1_2_step_11_whatever_the_refusal_there_is_no_prefix_and_no_way(status: int) -> None:
    """Text: "any value greater than or equal to 128 ..., MUST NOT advertise the mobile node's home network prefix(es)
    ... and MUST deny the mobility service to the mobile node by not forwarding any packets"."""
    for domain in (_attached()[0], _registered()):
        domain.event("mag1", Commanded("refresh"))
        domain.run(MILLISECOND)
        for _ in range(2):  # of 155 the second one is final
            _answer(domain, updates(domain, "mag1", "lma")[-1], status=status)
        assert _entry(domain).presence is Presence.REFUSED
        state = domain.plane("mag1").state
        assert (state.prefixes, state.uplinks) == ({}, {})
        for _, advertised in domain.members["mag1"].advertised[-1:]:
            assert advertised.lifetime == 0
            assert all(each.valid == 0 for each in advertised.prefixes)


def test_6_9_1_2_a_refused_node_may_try_again_after_half_a_minute() -> None:
    domain, update = _attached()
    _answer(domain, update, status=int(Status.INSUFFICIENT_RESOURCES))
    domain.clear()
    domain.run(31 * SECOND)
    assert len(domain.members["mag1"].probes) == 1
    domain.attach("mn1", "mag1")
    assert len(updates(domain, "mag1", "lma")) == 1


def test_6_9_1_2_steps_12_to_14_an_accepted_binding_is_kept_forwarded_and_advertised() -> None:
    """Text: "MUST establish a bi-directional tunnel to the local mobility anchor"; "MUST set up the route for
    forwarding the packets received from the mobile node ... through the bi-directional" tunnel; "MUST also update the
    Binding Update List entry"; "MUST also advertise the mobile node's home network prefix(es) as the hosted on-link
    prefixes"."""
    domain, update = _attached()
    _answer(domain, update, home(0), home(1))
    entry = _entry(domain)
    assert (entry.confirmed, entry.expires, entry.lifetime) == (True, domain.now + 300 * SECOND, 300 * SECOND)
    plane = domain.plane("mag1")
    assert plane.state.uplinks == {home(0): LMA, home(1): LMA}
    for each in (home(0), home(1)):
        assert plane.way(each) == EnsureDelivery(entry.slot, "acc0", HOSTS["mn1"])
    shown = domain.advertisement("mag1").prefixes
    assert [(each.prefix, each.on_link, each.preferred > 0, each.valid > 0) for each in shown] == [
        (home(0), True, True, True),
        (home(1), True, True, True),
    ]


def test_6_9_1_2_step_15_the_link_local_address_of_the_lma() -> None:
    """Text: "SHOULD configure that link-local address on that point-to-point link"; "SHOULD NOT" any other."""
    made = LinkLocalAddress(bytes.fromhex("fe80000000000000d8b1c2d3e4f50607"))
    domain, update = _attached(link_local_of_lma=True)
    _answer(domain, update, home(0), instead=(made,))
    assert domain.plane("mag1").state.logical_interfaces == {("acc0", made.address)}
    assert {shown.router for _, shown in domain.members["mag1"].advertised} == {made.address}


def test_6_9_1_2_step_15_if_the_node_is_called_so_we_are_somebody_else_and_the_lma_learns_it() -> None:
    """Text: "the mobile access gateway MUST NOT use that address, but SHOULD configure a different link-local address.
    It SHOULD also upload this link-local address ... by immediately sending a Proxy Binding Update message"."""
    made = bytes.fromhex("fe80000000000000d8b1c2d3e4f50607")
    domain = ProxyDomain(link_local_of_lma=True)
    domain.lose = lambda source, destination, message: True
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR, made))
    (update,) = updates(domain, "mag1", "lma")
    _answer(domain, update, home(0), instead=(LinkLocalAddress(made),))
    ((_, ours),) = domain.plane("mag1").state.logical_interfaces
    assert ours != made
    assert {shown.router for _, shown in domain.members["mag1"].advertised} == {ours}
    upload = updates(domain, "mag1", "lma")[-1]
    assert upload.all(LinkLocalAddress) == (LinkLocalAddress(ours),)
    domain.inject(gateway(1), "lma", upload)
    assert domain.entry().link_local == ours


def test_an_lma_that_takes_a_prefix_away_is_heeded() -> None:
    """6.12: "MUST withdraw the prefix(es) by sending a Router Advertisement message ... with zero prefix lifetime";
    "MUST delete the created routing state for the renumbered prefix(es)"."""
    domain = _registered()
    domain.event("mag1", Commanded("refresh"))
    domain.run(MILLISECOND)
    (update,) = updates(domain, "mag1", "lma")
    _answer(domain, update, home(7))
    shown = {each.prefix: (each.preferred, each.valid) for each in domain.advertisement("mag1").prefixes}
    assert shown.pop(home(0)) == (0, 0)
    assert list(shown) == [home(7)]
    assert domain.plane("mag1").state.uplinks == {home(7): LMA}
    assert list(domain.plane("mag1").state.prefixes) == [home(7)]
