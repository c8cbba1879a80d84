"""RFC 5213 section 6.9 (mobile access gateway), as far as a MAAR of RFC 8885 implements it.

A MAAR is a gateway that anchors: it proposes the prefix itself, advertises it at once (design decision 5) and does not
de-register at detachment (RFC 8885 3.5). As a gateway of a legacy LMA (design decision 3) it follows RFC 5213 more
closely; those tests say so. Departures from the letter are listed in tests/rfc/README.md.
"""

from __future__ import annotations

import pytest

from sojourn.core.effects import Advertise
from sojourn.core.events import Commanded, NodeSeen, Sighting
from sojourn.engines.configuration import FIXED_LINK_LAYER, FIXED_LINK_LOCAL
from sojourn.engines.maar_session import Presence, Session
from sojourn.engines.registration import PROXY
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    PreviousMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, prefix
from sojourn.wire.units import MILLISECOND, SECOND, ticks
from support.domain import CMD, EPOCH, HOSTS, Domain, pool, router
from support.legacy import LegacyAnchor
from support.messages import answers, pba, stamp, updates

_HOME = prefix("2001:db8:f000::/48")


def _attached(**settings: object) -> tuple[Domain, BindingUpdate]:
    """mn1 attached to ar1 and the CMD has not answered yet."""
    domain = Domain(**settings)  # type: ignore[arg-type]
    domain.lose = lambda source, destination, message: True
    domain.attach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    return domain, update


def _session(domain: Domain, name: str = "ar1") -> Session:
    session = domain.session(name, "mn1")
    assert session is not None
    return session


def _advertised(domain: Domain, name: str = "ar1") -> Advertise:
    return domain.members[name].advertised[-1][1]


def _legacy(*, strict: bool = False) -> Domain:
    domain = Domain()
    domain.replace_cmd(LegacyAnchor(CMD, _HOME, strict=strict))
    domain.clear()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    return domain


# --- 6.9.1.1 Mobile Node Attachment and Initial Binding Registration ---------------------------------------------


def test_6_9_1_1_step_1_an_attachment_sends_a_proxy_binding_update() -> None:
    """Text: "After detecting a new mobile node on its access link, the mobile access gateway MUST identify the mobile
    node ... it MUST send a Proxy Binding Update message"."""
    domain, update = _attached()
    assert update.flags & BindingUpdateFlags.P
    assert [pair[:2] for pair in domain.sent()] == [("ar1", "cmd")]


@pytest.mark.parametrize("sighting", list(Sighting))
def test_6_9_1_1_step_1_however_it_is_detected(sighting: Sighting) -> None:
    domain = Domain()
    domain.attach("mn1", "ar1", sighting)
    assert len(updates(domain, "ar1", "cmd")) == 1


def test_6_9_1_1_step_2_the_identifier_option() -> None:
    """Text: "MUST include the Mobile Node Identifier option"; without credentials it is the EUI-48 (RFC 8371)."""
    _, update = _attached()
    assert update.all(MobileNodeIdentifier) == (MobileNodeIdentifier(5, HOSTS["mn1"]),)


def test_6_9_1_1_step_3_the_prefix_option() -> None:
    """Text: "The Home Network Prefix option(s) MUST be present"; "when including a Home Network Prefix option with the
    prefix value of ALL_ZERO, there MUST be only one instance"."""
    _, update = _attached()
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [pool(1).subnet(0, 64)]
    domain = Domain()
    domain.reconfigure("ar1", pool=prefix("2001:db8:a100::/64"))
    domain.attach("mn2", "ar1")
    domain.clear()
    domain.attach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [ANY]


def test_6_9_1_1_step_4_the_handoff_indicator_is_unknown_at_an_attachment() -> None:
    """Text: "The Handoff Indicator field MUST be set to a value of 4 (Handoff state unknown) if the mobile access
    gateway
    cannot determine"; 5: "MUST NOT set the option value to 2 ... or 3 ... if it cannot be determined"."""
    domain, update = _attached()
    assert update.all(HandoffIndicator) == (HandoffIndicator(int(Handoff.UNKNOWN)),)
    domain.attach("mn1", "ar2")
    assert updates(domain, "ar2", "cmd")[0].all(HandoffIndicator) == (HandoffIndicator(int(Handoff.UNKNOWN)),)


def test_6_9_1_1_step_6_timestamp_and_a_sequence_number_that_increases() -> None:
    """Text: "Either the Timestamp option or a valid sequence number ... MUST be present"; "SHOULD also set the Sequence
    Number field to a value of a monotonically increasing counter"."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar1", SECOND)
    domain.roam("mn1", "ar1", "ar1", SECOND)
    sent = updates(domain, "ar1", "cmd")
    assert [update.sequence for update in sent] == [1, 2, 3]
    stamps = [option.ticks for update in sent for option in update.all(Timestamp)]
    assert len(stamps) == 3
    assert stamps == sorted(set(stamps))


def test_6_9_1_1_step_7_the_link_layer_identifier() -> None:
    """Text: "carrying the link-layer identifier of the currently attached interface MUST be present ... if the mobile
    access gateway is aware of the same"."""
    _, update = _attached()
    assert update.all(MobileNodeLinkLayerIdentifier) == (MobileNodeLinkLayerIdentifier(HOSTS["mn1"]),)


@pytest.mark.parametrize("technology", [3, 4])
def test_6_9_1_1_step_8_the_access_technology(technology: int) -> None:
    """Text: "The Access Technology Type option MUST be present ... SHOULD be set to the type of access technology"."""
    _, update = _attached(access_technology=technology)
    assert update.all(AccessTechnologyType) == (AccessTechnologyType(technology),)


def test_6_9_1_1_step_9_no_link_local_option_with_a_fixed_address() -> None:
    """Text: "MUST be present ... only if ... FixedMAGLinkLocalAddressOnAllAccessLinks is set to a value of ALL_ZERO;
    otherwise, the Link-local Address option MUST NOT be present"."""
    _, update = _attached()
    assert update.first(LinkLocalAddress) is None


def test_6_9_1_1_step_11_an_entry_exists_from_the_update_on() -> None:
    """Text: "MUST create a Binding Update List entry for the mobile node upon sending"."""
    domain, _ = _attached()
    assert not _session(domain).confirmed
    assert domain.members["ar1"].store


# --- 6.9.1.2 Receiving Proxy Binding Acknowledgement ---------------------------------------------------------------


@pytest.mark.parametrize("source", [router(3), bytes(16), bytes.fromhex("20010db8ffff00000000000000000001")])
def test_6_9_1_2_step_1_only_the_cmd_answers(source: bytes) -> None:
    domain, update = _attached()
    domain.inject(source, "ar1", pba(domain, sequence=update.sequence))
    assert not _session(domain).confirmed


def test_6_9_1_2_step_5_an_answer_to_nothing_is_ignored() -> None:
    """Text: "if the received Proxy Binding Acknowledgement message does not match any of the Proxy Binding Update
    messages that it sent recently, the message MUST be ignored"."""
    domain, update = _attached()
    old = stamp(domain, -5 * SECOND)
    domain.inject(CMD, "ar1", pba(domain, sequence=update.sequence + 1, timestamp=old))
    domain.inject(CMD, "ar1", pba(domain, host="mn2", sequence=update.sequence))
    assert not _session(domain).confirmed
    assert len(domain.maar("ar1")._requests) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        HandoffIndicator(int(Handoff.NEW_INTERFACE)),
        AccessTechnologyType(5),
        MobileNodeLinkLayerIdentifier(HOSTS["mn2"]),
    ],
)
def test_6_9_1_2_step_6_an_answer_with_other_options_is_ignored_and_nothing_repeated(wrong: MobilityOption) -> None:
    """Text: "... carrying option values that are different from the option values present in the corresponding request
    ..., the message MUST be ignored ... MUST NOT retransmit the Proxy Binding Update message until an administrative
    action is taken". A MAAR asks anew after half a minute: it may have been the answer to an earlier life of it."""
    domain, update = _attached()
    domain.inject(CMD, "ar1", pba(domain, wrong, sequence=update.sequence))
    assert not _session(domain).confirmed
    domain.clear()
    domain.run(29 * SECOND)
    assert updates(domain, "ar1", "cmd") == []
    domain.event("ar1", Commanded("refresh"))
    domain.run(10 * MILLISECOND)
    assert len(updates(domain, "ar1", "cmd")) == 1


def _refuse(status: Status, timestamp: int | None = None) -> Domain:
    domain, update = _attached()
    domain.clear()
    domain.inject(CMD, "ar1", pba(domain, status=int(status), sequence=update.sequence, timestamp=timestamp))
    return domain


@pytest.mark.parametrize(
    "status",
    [Status.PROXY_REG_NOT_ENABLED, Status.ADMINISTRATIVELY_PROHIBITED, Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG],
)
def test_6_9_1_2_steps_7_and_11_a_refused_node_is_denied(status: Status) -> None:
    """Text: "It MUST deny the mobility service to that mobile node"; 11: "MUST NOT advertise the mobile node's home
    network prefix(es) ... and MUST deny the mobility service to the mobile node by not forwarding any packets"."""
    domain = _refuse(status)
    assert _session(domain).presence is Presence.REFUSED
    assert [(each.preferred, each.valid) for each in _advertised(domain).prefixes] == [(0, 0)]
    state = domain.plane("ar1").state
    assert (state.prefixes, state.uplinks) == ({}, {})


def test_6_9_1_2_step_7_a_refused_node_is_not_asked_for_again_at_once() -> None:
    """Text: "SHOULD NOT send a Proxy Binding Update message again for that mobile node until an administrative action
    is
    taken"; a node that is still there after half a minute gets another chance."""
    domain = _refuse(Status.PROXY_REG_NOT_ENABLED)
    for _ in range(29):
        domain.run(SECOND)
        domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.ROUTER_SOLICITATION))
    assert updates(domain, "ar1", "cmd") == []
    assert len(domain.members["ar1"].advertised) == 1
    domain.run(2 * SECOND)
    domain.attach("mn1", "ar1")
    assert len(updates(domain, "ar1", "cmd")) == 1


def test_6_9_1_2_step_8_a_lower_timestamp_is_reasserted_when_the_node_is_there() -> None:
    """Text: "SHOULD try to register again to reassert the mobile node's presence on its access link"."""
    domain = _refuse(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED)
    assert updates(domain, "ar1", "cmd") == []
    assert len(domain.members["ar1"].probes) == 1
    before = _session(domain).attached
    domain.run(20 * MILLISECOND)
    domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    (again,) = updates(domain, "ar1", "cmd")
    assert again.all(Timestamp)[0].ticks > before


def test_6_9_1_2_step_8_and_let_go_when_it_is_not() -> None:
    domain = _refuse(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED)
    domain.run(4 * SECOND)
    assert len(domain.members["ar1"].probes) == 3
    assert _session(domain).presence is Presence.DEPARTED


@pytest.mark.parametrize("ahead", [-3600, -1, 1, 3600])
def test_6_9_1_2_step_9_another_clock_is_not_taken_over_but_allowed_for(ahead: int) -> None:
    """Text: "SHOULD NOT synchronize its clock to the local mobility anchor's system clock": timestamps are shifted, the
    clock of the machine is not touched."""
    domain, update = _attached()
    theirs = stamp(domain, ahead * SECOND)
    domain.clear()
    refused = pba(domain, status=156, sequence=update.sequence, timestamp=theirs)
    domain.inject(CMD, "ar1", refused)
    (again,) = updates(domain, "ar1", "cmd")
    assert again.all(Timestamp) == (Timestamp(theirs),)
    assert domain.maar("ar1")._epoch == EPOCH


def test_6_9_1_2_step_9_the_difference_is_remembered_for_all_nodes_and_forgotten_when_the_clock_is_set() -> None:
    domain, update = _attached()
    ahead = 5 * SECOND
    refused = pba(domain, status=156, sequence=update.sequence, timestamp=stamp(domain, ahead))
    domain.inject(CMD, "ar1", refused)
    domain.clear()
    domain.attach("mn2", "ar1")
    assert updates(domain, "ar1", "cmd")[0].all(Timestamp) == (Timestamp(stamp(domain, ahead)),)
    domain.skew("ar1", 2 * SECOND)
    domain.clear()
    domain.attach("mn3", "ar1")
    expected = Timestamp(ticks(EPOCH + 2 * SECOND + domain.now))
    assert updates(domain, "ar1", "cmd")[0].all(Timestamp) == (expected,)


def test_6_9_1_2_step_10_a_prefix_that_is_not_ours_to_give_is_exchanged() -> None:
    """Text: "SHOULD NOT request the same prefix(es) again"; a MAAR asks for another one of its own."""
    domain, update = _attached()
    first = _session(domain).own
    tried = [first]
    for _ in range(8):
        domain.clear()
        domain.inject(CMD, "ar1", pba(domain, status=155, sequence=update.sequence))
        domain.run(SECOND)
        update = updates(domain, "ar1", "cmd")[-1]
        assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [_session(domain).own]
        assert _session(domain).own not in tried
        tried.append(_session(domain).own)
    domain.inject(CMD, "ar1", pba(domain, status=155, sequence=update.sequence))
    assert _session(domain).presence is Presence.REFUSED


def test_6_9_1_2_steps_12_to_14_an_accepted_binding_is_kept_forwarded_and_advertised() -> None:
    """Text: "MUST set up the route for forwarding the packets received from the mobile node", "MUST also update the
    Binding Update List entry", "MUST also advertise the mobile node's home network prefix(es)"."""
    domain, update = _attached()
    old = pool(2).subnet(3, 64)
    domain.clear()
    domain.inject(CMD, "ar1", pba(domain, PreviousMaar.of(old, router(2)), sequence=update.sequence))
    session = _session(domain)
    assert session.confirmed
    assert session.expires == domain.now + 300 * SECOND
    assert domain.plane("ar1").state.uplinks == {session.own: None, old: router(2)}
    assert {each.prefix for each in _advertised(domain).prefixes} == {session.own, old}


def test_6_9_1_2_steps_12_to_14_of_a_legacy_lma_the_home_prefix_is_tunnelled_and_preferred() -> None:
    domain = _legacy()
    home = _HOME.subnet(0, 64)
    session = _session(domain)
    assert session.legacy
    assert domain.plane("ar1").state.uplinks == {home: CMD}
    advertised = {each.prefix: each.preferred > 0 for each in _advertised(domain).prefixes}
    assert advertised == {home: True, pool(1).subnet(0, 64): False}


# --- 6.9.1.3 Extending Binding Lifetime ----------------------------------------------------------------------------


def test_6_9_1_3_a_refresh_has_the_same_options_and_says_that_nothing_changed() -> None:
    """Text: "MUST be constructed with the same set of options as the initial Proxy Binding Update message"; "The
    Handoff
    Indicator field ... MUST be set to a value of 5"; "There MUST be a Home Network Prefix option for each of the
    assigned
    home network prefixes"."""
    domain = Domain(lifetime=20 * SECOND)
    domain.attach("mn1", "ar1")
    domain.run(9 * SECOND)
    domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    domain.run(2 * SECOND)
    first, refresh = updates(domain, "ar1", "cmd")
    assert refresh.all(HandoffIndicator) == (HandoffIndicator(int(Handoff.NOT_CHANGED)),)
    for option in first.options:
        assert isinstance(option, HandoffIndicator) or option in refresh.options


def test_6_9_1_3_of_a_legacy_lma_all_home_prefixes_are_listed_and_the_timestamp_is_new() -> None:
    domain = _legacy()
    domain.clear()
    domain.run(140 * SECOND)
    domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    domain.run(20 * SECOND)
    (refresh,) = updates(domain, "ar1", "cmd")
    assert refresh.flags == PROXY
    assert [option.prefix for option in refresh.all(HomeNetworkPrefix)] == [_HOME.subnet(0, 64)]
    assert refresh.all(Timestamp)[0].ticks > _session(domain).attached


# --- 6.9.1.4 Mobile Node Detachment and Binding De-Registration -----------------------------------------------------


def test_6_9_1_4_of_a_legacy_lma_a_detachment_deregisters_at_once_and_leaves_nothing() -> None:
    """Text: "it SHOULD send a Proxy Binding Update message ... with the lifetime value set to zero"; "The Handoff
    Indicator ... MUST be set to a value of 4"; on the answer "MUST remove the Binding Update List entry ..., MUST
    remove
    the created routing state"."""
    domain = _legacy()
    domain.clear()
    domain.detach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    assert update.lifetime == 0
    assert update.all(HandoffIndicator) == (HandoffIndicator(int(Handoff.UNKNOWN)),)
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [_HOME.subnet(0, 64)]
    domain.run(SECOND)
    state = domain.plane("ar1").state
    assert not any((domain.maar("ar1").sessions, state.slots, state.prefixes, state.uplinks))


def test_6_9_1_4_of_a_legacy_lma_nothing_is_left_without_an_answer_either() -> None:
    """Text: "or after INITIAL_BINDACK_TIMEOUT timeout waiting for the reply"."""
    domain = _legacy()
    domain.crash("cmd")
    domain.detach("mn1", "ar1")
    domain.run(SECOND)
    assert not domain.maar("ar1").sessions
    domain.clear()
    domain.run(100 * SECOND)
    assert updates(domain, "ar1", "cmd") == []


# --- 6.9.2 and 6.9.3 Router Solicitation, Default-Router ------------------------------------------------------------


def test_6_9_2_step_1_a_solicitation_is_answered() -> None:
    """Text: "on receiving the Router Solicitation message, SHOULD send a Router Advertisement message"."""
    domain, _ = _attached()
    domain.clear()
    domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.ROUTER_SOLICITATION))
    assert len(domain.members["ar1"].advertised) == 1


def test_6_9_2_step_1_with_advertise_confirmed_the_prefix_waits_for_the_registration() -> None:
    """Text: "before sending the Router Advertisement message containing the mobile node's home network prefix(es), it
    SHOULD complete the binding registration process" (an option here; design decision 5 is the default)."""
    domain, update = _attached(advertise_confirmed=True)
    assert all(advertised.prefixes == () for _, advertised in domain.members["ar1"].advertised)
    domain.inject(CMD, "ar1", pba(domain, sequence=update.sequence))
    assert [each.prefix for each in _advertised(domain).prefixes] == [_session(domain).own]


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_6_9_2_step_3_the_mtu_option_reflects_the_tunnel(mtu: int) -> None:
    """Text: "SHOULD add the MTU option ... The MTU value SHOULD reflect the tunnel MTU" (RFC 2473 6.7: 40 octets
    less)."""
    domain, _ = _attached(mtu=mtu)
    assert _advertised(domain).mtu == mtu - 40


def test_6_9_3_all_routers_show_the_same_addresses() -> None:
    """Text: "requires all the mobile access gateways in the Proxy Mobile IPv6 domain to use the same link-local and
    link-layer address on any of the access links"; the values are those of RFC 6543."""
    domain = Domain()
    for name in ("ar1", "ar2", "ar3"):
        domain.attach("mn1", name)
        shown = _advertised(domain, name)
        assert (shown.router, shown.router_link_layer) == (FIXED_LINK_LOCAL, FIXED_LINK_LAYER)


# --- 6.9.4 Retransmissions and Rate Limiting ------------------------------------------------------------------------


def test_6_9_4_steps_1_to_3_repeated_until_answered() -> None:
    """Text: "it SHOULD retransmit the message until a response is received" with "an exponential back-off"."""
    domain, _ = _attached()
    domain.run(3600 * SECOND)
    sent = updates(domain, "ar1", "cmd")
    assert len(sent) > 100
    domain.lose = lambda source, destination, message: False
    domain.run(33 * SECOND)
    assert _session(domain).confirmed


def test_6_9_4_step_4_a_new_sequence_number_and_the_timestamp_of_the_attachment() -> None:
    """Text: "the retransmitted Proxy Binding Update messages MUST use the latest timestamp". Here it is that of the
    attachment, always: it says which attachment came last, however late its message (design decision 7)."""
    domain, first = _attached()
    domain.run(10 * SECOND)
    sent = updates(domain, "ar1", "cmd")
    assert [update.sequence for update in sent] == list(range(1, len(sent) + 1))
    assert all(update.all(Timestamp) == first.all(Timestamp) for update in sent)


def test_6_9_4_step_2_repeated_for_a_node_that_left_as_its_prefix_here_may_be_in_use() -> None:
    """Text: "MUST ensure the mobile node is still attached to the connected link before retransmitting". Not here: the
    Timestamp keeps an old attachment from winning, and what the node began here lives on (see race_of_two_attachments
    in tests/scenarios)."""
    domain, _ = _attached()
    domain.detach("mn1", "ar1")
    domain.lose = lambda source, destination, message: False
    domain.attach("mn1", "ar2")
    domain.run(3 * SECOND)
    assert domain.plane("ar1").way(domain.own("ar1", "mn1")) is not None
    assert domain.cmd.entries[_session(domain).node].serving == router(2)
    assert _session(domain, "ar2").anchored == {domain.own("ar1", "mn1"): router(1)}


def test_an_answer_without_the_d_flag_to_a_repeated_registration_is_from_a_legacy_lma() -> None:
    """Design decision 3; a strict LMA refuses first, a lenient one accepts."""
    for strict in (True, False):
        domain = _legacy(strict=strict)
        assert _session(domain).legacy
        assert all(not answer.flags & BindingAcknowledgementFlags.D for answer in answers(domain, "ar1"))
