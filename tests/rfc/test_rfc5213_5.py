"""RFC 5213 section 5 (local mobility anchor), as far as the CMD of RFC 8885 implements it.

The CMD is an LMA without a data path: what 5.3 says about its tunnels and routes holds at the previous MAARs, which are
tested here too where the rule is about them. Where the CMD departs from the letter, tests/rfc/README.md says why.
"""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureTunnel
from sojourn.core.events import MessageReceived
from sojourn.engines.registration import PROXY, PROXY_DMM
from sojourn.wire import (
    AccessTechnologyType,
    AlternateCareOfAddress,
    BindingAcknowledgement,
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
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Prefix, address
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import Domain, node, pool, router
from support.messages import answers, pbu, stamp

_PREFIX = pool(1).subnet(0, 64)
_OTHER = pool(1).subnet(1, 64)
_LINK_LOCAL = address("fe80::200:5eff:fe00:5213")


def _ask(update: BindingUpdate, domain: Domain, source: str = "ar1") -> BindingAcknowledgement | None:
    """The CMD's answer to `update` from `source`."""
    domain.clear()
    domain.inject(router(int(source[2:])), "cmd", update)
    given = answers(domain, source)
    return given[0] if given else None


def _registered(domain: Domain, prefix: Prefix = _PREFIX, source: str = "ar1") -> int:
    """mn1 is registered from `source`; answers with the Timestamp."""
    timestamp = stamp(domain)
    answer = _ask(pbu(domain, prefix, timestamp=timestamp), domain, source)
    assert answer is not None
    assert answer.status == 0
    return timestamp


# --- 5.3.1 Processing Proxy Binding Updates ---------------------------------------------------------------------------


def test_5_3_1_step_4_the_node_is_identified_by_its_identifier() -> None:
    """Text: "The local mobility anchor MUST identify the mobile node from the identifier present in the Mobile Node
    Identifier option"."""
    domain = Domain()
    _registered(domain)
    assert list(domain.cmd.entries) == [node("mn1")]


def test_5_3_1_step_4_without_an_identifier_status_160_and_an_empty_identifier() -> None:
    """Text: "... Status field set to MISSING_MN_IDENTIFIER_OPTION and the identifier in the Mobile Node Identifier
    option
    carried in the message MUST be set to a zero length identifier"."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, without=(MobileNodeIdentifier,)), domain)
    assert answer is not None
    assert answer.status == Status.MISSING_MN_IDENTIFIER_OPTION
    assert answer.all(MobileNodeIdentifier) == (MobileNodeIdentifier(1, b""),)
    assert not domain.cmd.entries


def test_5_3_1_step_6_an_unauthorised_gateway_gets_154() -> None:
    """Text: "... MUST reject the request and send a Proxy Binding Acknowledgement message with the Status field set to
    MAG_NOT_AUTHORIZED_FOR_PROXY_REG"."""
    domain = Domain()
    stranger = address("2001:db8:ffff::1")
    domain.clear()
    domain.inject(stranger, "cmd", pbu(domain, _PREFIX))
    ((source, _, answer),) = domain.sent()
    assert source == "cmd"
    assert isinstance(answer, BindingAcknowledgement)
    assert answer.status == Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert not domain.cmd.entries


def test_5_3_1_step_8_what_is_no_proxy_registration_gets_152() -> None:
    """Text: "... not authorized for the network-based mobility management service ... PROXY_REG_NOT_ENABLED"."""
    domain = Domain()
    for flags in (PROXY, int(BindingUpdateFlags.A | BindingUpdateFlags.D), int(BindingUpdateFlags.A)):
        answer = _ask(pbu(domain, _PREFIX, flags=flags), domain)
        assert answer is not None
        assert answer.status == Status.PROXY_REG_NOT_ENABLED


def test_5_3_1_without_the_a_flag_nothing_is_answered() -> None:
    """RFC 6275 6.1.7: the Acknowledge bit asks for the answer."""
    domain = Domain()
    flags = PROXY_DMM & ~int(BindingUpdateFlags.A)
    assert _ask(pbu(domain, _PREFIX, flags=flags), domain) is None
    assert not domain.cmd.entries


@pytest.mark.parametrize(
    ("missing", "status"),
    [
        (HomeNetworkPrefix, Status.MISSING_HOME_NETWORK_PREFIX_OPTION),
        (HandoffIndicator, Status.MISSING_HANDOFF_INDICATOR_OPTION),
        (AccessTechnologyType, Status.MISSING_ACCESS_TECH_TYPE_OPTION),
    ],
)
def test_5_3_1_steps_10_to_12_a_missing_mandatory_option(missing: type[MobilityOption], status: Status) -> None:
    """Text: "If there is no Home Network Prefix option(s) ... MUST reject"; the same for 11. and 12."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, without=(missing,)), domain)
    assert answer is not None
    assert answer.status == status
    assert not domain.cmd.entries


def test_5_3_1_the_steps_are_taken_in_order() -> None:
    """5.3: "When applying these considerations ..., the specified order MUST be maintained"."""
    domain = Domain()
    order = [MobileNodeIdentifier, HomeNetworkPrefix, HandoffIndicator, AccessTechnologyType, Timestamp]
    expected = [160, 158, 161, 162, 156]
    for count in range(len(order)):
        answer = _ask(pbu(domain, _PREFIX, without=tuple(order[count:])), domain)
        assert answer is not None
        assert answer.status == expected[count]


def test_5_3_1_step_13_a_new_source_is_a_handoff_and_the_same_source_an_extension() -> None:
    domain = Domain()
    first = _registered(domain)
    _ask(pbu(domain, _PREFIX, timestamp=first, handoff=int(Handoff.NOT_CHANGED)), domain)
    assert domain.reported("cmd", "handover") == 0
    domain.run(SECOND)
    domain.inject(router(2), "cmd", pbu(domain, pool(2).subnet(0, 64)))
    assert domain.reported("cmd", "handover") == 1


# --- 5.3.2 Initial Binding Registration -----------------------------------------------------------------------------


def test_5_3_2_step_2_no_room_status_130() -> None:
    """Text: "If the local mobility anchor is unable to allocate ... the Status field set to 130"; here: to remember."""
    domain = Domain(cmd={"nodes": 1})
    _registered(domain)
    answer = _ask(pbu(domain, _OTHER, host="mn2"), domain)
    assert answer is not None
    assert answer.status == Status.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize("wanted", [pool(2).subnet(0, 64), Prefix(pool(1).address, 47)])
def test_5_3_2_step_3_a_prefix_that_is_not_owned_status_155(wanted: Prefix) -> None:
    """Text: "MUST ensure each one of those prefixes is owned by the local mobility anchor" - by the MAAR that asks."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, Prefix.of(wanted.address, wanted.length)), domain)
    assert answer is not None
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert not domain.cmd.entries


def test_5_3_2_step_3_a_prefix_of_another_node_status_155() -> None:
    """Text: "... and further that the mobile node is authorized to use these prefixes"."""
    domain = Domain()
    _registered(domain)
    answer = _ask(pbu(domain, _PREFIX, host="mn2"), domain)
    assert answer is not None
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert node("mn2") not in domain.cmd.entries


def test_5_3_2_steps_4_and_7_an_entry_with_the_accepted_values_and_status_0() -> None:
    """Text: "Upon accepting the request, the local mobility anchor MUST create a Binding Cache entry"."""
    domain = Domain(cmd={"lifetime_max": 100 * SECOND})
    timestamp = stamp(domain)
    answer = _ask(pbu(domain, _PREFIX, lifetime=400 * SECOND, sequence=77, timestamp=timestamp), domain)
    assert answer is not None
    assert (answer.status, answer.lifetime, answer.sequence) == (0, 100 * SECOND, 77)
    entry = domain.cmd.entries[node("mn1")]
    assert (entry.serving, entry.timestamp, entry.lifetime) == (router(1), timestamp, 100 * SECOND)


# --- 5.3.3 Binding Lifetime Extension (No Handoff) ------------------------------------------------------------------


def test_5_3_3_a_refresh_extends_the_binding_and_is_answered_with_status_0() -> None:
    """Text: "MUST update the Binding Cache entry with the accepted registration values"."""
    domain = Domain()
    timestamp = _registered(domain)
    domain.run(100 * SECOND)
    refresh = pbu(domain, _PREFIX, timestamp=timestamp, sequence=2, handoff=int(Handoff.NOT_CHANGED))
    answer = _ask(refresh, domain)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (0, 300 * SECOND)
    assert domain.cmd.entries[node("mn1")].expires == domain.now + 300 * SECOND
    domain.run(301 * SECOND)
    assert node("mn1") in domain.cmd.entries, "the MAAR that ends it in time is still to be heard"
    domain.run(2 * SECOND)
    assert node("mn1") not in domain.cmd.entries


# --- 5.3.4 Binding Lifetime Extension (After Handoff) ---------------------------------------------------------------


def test_5_3_4_the_entry_follows_and_the_way_is_replaced() -> None:
    """Text: "MUST update the Binding Cache entry", "MUST remove the previously created route(s)", "MUST create prefix
    route(s) over the tunnel to the mobile access gateway" - at the anchoring MAAR."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    for new in ("ar2", "ar3"):
        domain.roam("mn1", domain.names[domain.cmd.entries[node("mn1")].serving], new, SECOND)
        way = domain.plane("ar1").way(domain.own("ar1", "mn1"))
        assert isinstance(way, EnsureTunnel)
        assert domain.names[way.remote] == new
        assert domain.names[domain.cmd.entries[node("mn1")].serving] == new
    assert len(domain.plane("ar1").state.slots) == 1


# --- 5.3.5 Binding De-Registration ----------------------------------------------------------------------------------


def test_5_3_5_step_1_a_deregistration_from_elsewhere_changes_nothing() -> None:
    """Text: "... different from what is present in the Proxy-CoA field in the Binding Cache entry, the local mobility
    anchor MUST ignore the request". RFC 8885 3.5 has it answered, with the lifetime that is left."""
    domain = Domain()
    timestamp = _registered(domain)
    before = domain.cmd.entries[node("mn1")].expires
    answer = _ask(pbu(domain, pool(2).subnet(0, 64), lifetime=0, timestamp=timestamp), domain, "ar2")
    assert domain.cmd.entries[node("mn1")].expires == before
    assert answer is not None
    assert answer.status == 0


def test_5_3_5_a_late_deregistration_of_an_earlier_attachment_changes_nothing() -> None:
    """5.5, 8.: "lower than the previously accepted timestamp [...] MUST reject the Proxy Binding Update message"."""
    domain = Domain()
    early = _registered(domain)
    domain.run(SECOND)
    _registered(domain)
    answer = _ask(pbu(domain, _PREFIX, lifetime=0, timestamp=early), domain)
    assert answer is not None
    assert answer.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    assert node("mn1") in domain.cmd.entries


def test_5_3_5_step_2_the_serving_maar_deregisters_with_status_0() -> None:
    """Text: "it MUST send the Proxy Binding Acknowledgement message with the Status field set to 0". The wait before
    deletion is at the MAAR: it deregisters only when the lifetime is over (RFC 8885 3.5)."""
    domain = Domain(cmd={"warm_up": 0})
    timestamp = _registered(domain)
    answer = _ask(pbu(domain, _PREFIX, lifetime=0, timestamp=timestamp), domain)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (0, 0)
    assert not domain.cmd.entries
    assert domain.members["cmd"].store == {}


def test_5_3_5_what_was_deregistered_can_be_given_to_others() -> None:
    """Text: "The local mobility anchor can potentially reassign the prefix(es) ... to other mobile nodes"."""
    domain = Domain()
    timestamp = _registered(domain)
    _ask(pbu(domain, _PREFIX, lifetime=0, timestamp=timestamp), domain)
    answer = _ask(pbu(domain, _PREFIX, host="mn2"), domain)
    assert answer is not None
    assert answer.status == 0


# --- 5.3.6 Constructing the Proxy Binding Acknowledgement -----------------------------------------------------------

_COMPLETE = (MobileNodeLinkLayerIdentifier(b"\x02\x00\x00\x00\x01\x01"), LinkLocalAddress(_LINK_LOCAL))


@pytest.mark.parametrize("accepted", [True, False])
def test_5_3_6_flags_addresses_and_mandatory_options(accepted: bool) -> None:
    """Text: "The Source Address ... MUST be set to the destination address of the received Proxy Binding Update",
    "Destination Address ... to the source address"; identifier, prefixes, handoff, technology MUST be present."""
    domain = Domain()
    prefix = _PREFIX if accepted else pool(2).subnet(0, 64)
    domain.clear()
    update = pbu(domain, prefix, sequence=99, handoff=int(Handoff.BETWEEN_GATEWAYS))
    domain.inject(router(1), "cmd", update)
    ((source, destination, answer),) = domain.sent()
    assert (source, destination) == ("cmd", "ar1")
    assert isinstance(answer, BindingAcknowledgement)
    assert (answer.status < 128) is accepted
    assert answer.flags & BindingAcknowledgementFlags.P
    assert answer.sequence == 99
    for kind in (MobileNodeIdentifier, HomeNetworkPrefix, HandoffIndicator, AccessTechnologyType):
        assert answer.all(kind) == update.all(kind)


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("option", _COMPLETE)
def test_5_3_6_optional_options_are_returned_if_they_were_sent_and_only_then(
    option: MobilityOption, accepted: bool
) -> None:
    """Text: "MUST be present only if the same option was present in the received Proxy Binding Update message and MUST
    NOT be present otherwise ... MUST be copied"."""
    domain = Domain()
    prefix = _PREFIX if accepted else pool(2).subnet(0, 64)
    with_it = _ask(pbu(domain, prefix, more=(option,)), domain)
    without = _ask(pbu(domain, prefix, host="mn2") if not accepted else pbu(domain, _OTHER, host="mn2"), domain)
    assert with_it is not None
    assert without is not None
    assert with_it.all(type(option)) == (option,)
    assert without.all(type(option)) == ()


def test_5_3_6_a_refusal_returns_all_prefixes_of_the_request() -> None:
    """Text: "all the Home Network Prefix options that were present in the request (along with their prefix values) MUST
    be present in the reply"."""
    domain = Domain()
    wanted = [pool(2).subnet(index, 64) for index in range(5)]
    answer = _ask(pbu(domain, *wanted), domain)
    assert answer is not None
    assert [option.prefix for option in answer.all(HomeNetworkPrefix)] == wanted


def test_5_3_6_a_refusal_of_a_request_without_prefix_has_one_that_is_all_zero() -> None:
    """Text: "if there was no Home Network Prefix option present in the request, then there MUST be only one Home
    Network
    Prefix option with the value in the option set to ALL_ZERO"."""
    domain = Domain()
    answer = _ask(pbu(domain, without=(HomeNetworkPrefix,)), domain)
    assert answer is not None
    assert [option.prefix for option in answer.all(HomeNetworkPrefix)] == [ANY]


@pytest.mark.parametrize("missing", [HandoffIndicator, AccessTechnologyType])
def test_5_3_6_mandatory_options_that_were_not_sent_are_zero(missing: type[MobilityOption]) -> None:
    """Text: "If the option was not present in the request, the value in the option MUST be set to zero"."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, without=(missing,)), domain)
    assert answer is not None
    assert answer.all(missing) == (missing(0),)  # type: ignore[call-arg]


def test_5_3_6_no_timestamp_is_returned_where_none_was_sent() -> None:
    """Text: "The Timestamp option MUST be present only if the same option was present ... and MUST NOT be present
    otherwise"."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, without=(Timestamp,)), domain)
    assert answer is not None
    assert answer.first(Timestamp) is None


def test_5_3_6_an_answer_fits_into_one_message_whatever_was_asked() -> None:
    """A Mobility Header has at most 2048 octets (RFC 6275 6.1.1); a hundred unaligned prefixes become more, aligned."""
    domain = Domain()
    wanted = [pool(2).subnet(index, 64) for index in range(100)]
    domain.clear()
    update = pbu(domain, *wanted, more=(LinkLocalAddress(_LINK_LOCAL),) * 4)
    domain.event("cmd", MessageReceived(update, router(1), domain.cmd.configuration.address))
    (answer,) = answers(domain, "ar1")  # it was encoded on its way
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert len(answer.all(LinkLocalAddress)) == 1


def test_5_3_6_the_alternate_care_of_address_changes_neither_destination_nor_binding() -> None:
    """The option is not used in RFC 8885: a MAAR registers itself, and nobody can register another one."""
    domain = Domain()
    update = pbu(domain, _PREFIX, more=(AlternateCareOfAddress(router(2)),))
    answer = _ask(update, domain)
    assert answer is not None
    assert domain.cmd.entries[node("mn1")].serving == router(1)


# --- 5.5 Timestamp Option for Message Ordering ----------------------------------------------------------------------


def test_5_5_step_5_the_sequence_number_orders_nothing_and_is_copied() -> None:
    """Text: "the local mobility anchor MUST ignore the sequence number field in the message. However, it MUST copy the
    sequence number"."""
    domain = Domain()
    timestamp = _registered(domain)
    for sequence in (50, 40, 40, 0xFFFF, 3):
        answer = _ask(pbu(domain, _PREFIX, timestamp=timestamp, sequence=sequence), domain)
        assert answer is not None
        assert (answer.status, answer.sequence) == (0, sequence)


def test_5_5_step_6_a_timestamp_beyond_the_window_is_refused_with_156_and_our_time() -> None:
    """Text: "The timestamp value ... MUST be close enough (within TimestampValidityWindow amount of time difference)";
    9: "... TIMESTAMP_MISMATCH. The message MUST also include the Timestamp option with the value set to the current
    time of day on the local mobility anchor". Here: ahead only, as a late registration is late and not wrong."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, timestamp=stamp(domain, 301 * MILLISECOND)), domain)
    assert answer is not None
    assert answer.status == Status.TIMESTAMP_MISMATCH
    assert answer.all(Timestamp) == (Timestamp(stamp(domain)),)
    assert not domain.cmd.entries
    answer = _ask(pbu(domain, _PREFIX, timestamp=stamp(domain, 300 * MILLISECOND)), domain)
    assert answer is not None
    assert answer.status == 0


def test_5_5_step_6_a_handoff_beyond_the_window_is_refused_too() -> None:
    domain = Domain()
    _registered(domain)
    answer = _ask(pbu(domain, pool(2).subnet(0, 64), timestamp=stamp(domain, SECOND)), domain, "ar2")
    assert answer is not None
    assert answer.status == Status.TIMESTAMP_MISMATCH
    assert domain.cmd.entries[node("mn1")].serving == router(1)


def test_5_5_step_6_a_registration_that_comes_late_is_accepted() -> None:
    """A MAAR repeats until it is answered, with the Timestamp of the attachment (design decisions 7 and 8)."""
    domain = Domain()
    early = stamp(domain)
    domain.run(600 * SECOND)
    answer = _ask(pbu(domain, _PREFIX, timestamp=early), domain)
    assert answer is not None
    assert answer.status == 0


def test_5_5_step_7_an_accepted_timestamp_is_returned_as_it_came() -> None:
    """Text: "MUST return the same timestamp value in the Timestamp option"."""
    domain = Domain()
    timestamp = stamp(domain, -5 * SECOND)
    answer = _ask(pbu(domain, _PREFIX, timestamp=timestamp), domain)
    assert answer is not None
    assert answer.all(Timestamp) == (Timestamp(timestamp),)


@pytest.mark.parametrize("behind", [0, 1, 65536])
def test_5_5_step_8_a_timestamp_that_is_not_later_is_refused_with_157_and_our_time(behind: int) -> None:
    """Text: "lower than the previously accepted timestamp ... MUST reject ... TIMESTAMP_LOWER_THAN_PREV_ACCEPTED ...
    The message MUST also include the Timestamp option with the value set to the current time of day"."""
    domain = Domain()
    timestamp = _registered(domain)
    domain.run(SECOND)
    answer = _ask(pbu(domain, pool(2).subnet(0, 64), timestamp=timestamp - behind), domain, "ar2")
    assert answer is not None
    assert answer.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    assert answer.all(Timestamp) == (Timestamp(stamp(domain)),)
    assert domain.cmd.entries[node("mn1")].serving == router(1)


def test_5_5_without_a_timestamp_the_request_is_refused() -> None:
    """RFC 5213 would fall back to sequence numbers, which no serving MAAR can know; RFC 8885 orders by Timestamp here
    (design decision 7)."""
    domain = Domain()
    answer = _ask(pbu(domain, _PREFIX, without=(Timestamp,)), domain)
    assert answer is not None
    assert answer.status == Status.TIMESTAMP_MISMATCH


def test_5_5_the_clock_of_the_cmd_never_runs_backwards() -> None:
    """Set back by an hour it would refuse, for an hour, every MAAR whose clock is right."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.skew("cmd", -3600 * SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    assert domain.cmd.entries[node("mn1")].serving == router(2)
    assert domain.reported("cmd", "update-refused") == 0
    domain.restart("cmd", store=True)
    domain.roam("mn1", "ar2", "ar3", SECOND)
    assert domain.cmd.entries[node("mn1")].serving == router(3)
