"""RFC 5213 5.5 and 5.6: the order of updates, by time or by number, and where packets go, at an LMA.

What the kernel does with packets (5.6.2, 5.6.3) is in tests/linux.
"""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureTunnel
from sojourn.core.events import ClockStepped
from sojourn.engines.configuration import HomeProfile
from sojourn.wire import BindingAcknowledgement, Handoff, Status, Timestamp
from sojourn.wire.units import MILLISECOND, SECOND, ticks
from support.messages import stamp
from support.pmip import ProxyDomain, gateway, request
from support.table import EPOCH, HOSTS


def _ask(domain: ProxyDomain, source: str = "mag1", **asked: object) -> BindingAcknowledgement:
    answer = domain.ask(request(domain, **asked), source)  # type: ignore[arg-type]
    assert answer is not None
    return answer


# --- 5.5 timestamps ---------------------------------------------------------------------------------------------------


def test_5_5_time_steps_1_and_7_a_valid_timestamp_is_returned_as_it_came() -> None:
    """Text: "MUST support the Timestamp option ... MUST include a valid Timestamp option"; "MUST return the same
    timestamp value"."""
    domain = ProxyDomain()
    answer = _ask(domain, ahead=-200 * MILLISECOND)
    assert answer.all(Timestamp) == (Timestamp(stamp(domain, -200 * MILLISECOND)),)


def test_5_5_time_step_5_the_sequence_number_orders_nothing_and_is_copied() -> None:
    """Text: "MUST ignore the sequence number field in the message. However, it MUST copy the sequence number"."""
    domain = ProxyDomain()
    for sequence in (50, 40, 40, 0xFFFF, 3):
        answer = _ask(domain, sequence=sequence)
        assert (answer.status, answer.sequence) == (0, sequence)
        domain.run(SECOND)


@pytest.mark.parametrize(
    ("ahead", "status"), [(0, 0), (299, 0), (-299, 0), (301, 156), (-301, 156), (3_600_000, 156), (-3_600_000, 156)]
)
def test_5_5_time_step_6_the_window_has_two_sides(ahead: int, status: int) -> None:
    """Text: "MUST check the timestamp field for validity"; "MUST be close enough (within TimestampValidityWindow amount
    of time difference)"; 9.: "MUST reject ... TIMESTAMP_MISMATCH ... MUST also include the Timestamp option with the
    value set to the current time of day on the local mobility anchor"."""
    domain = ProxyDomain()
    answer = _ask(domain, ahead=ahead * MILLISECOND)
    assert answer.status == status
    if status:
        assert answer.all(Timestamp) == (Timestamp(stamp(domain)),)
        assert len(domain.lma.cache) == 0


def test_5_5_time_step_6_the_window_is_a_variable() -> None:
    domain = ProxyDomain(lma={"timestamp_validity_window": 5 * SECOND})
    assert _ask(domain, ahead=-5 * SECOND).status == 0
    assert _ask(domain, ahead=-6 * SECOND, host="mn2").status == 156


def test_5_5_time_step_6_timestamps_of_the_nodes_only_have_to_increase() -> None:
    """Text: "if the flag MobileNodeGeneratedTimestampInUse is set to a value of 1, ... MUST ignore this check and
    perform only the following check"; 7.: "MUST return the same timestamp value"."""
    domain = ProxyDomain(lma={"mobile_node_generated_timestamp_in_use": True})
    for ahead, status in ((-3600, 0), (-3599, 0), (-3599, 156), (-3600, 157), (86_400, 0)):
        answer = _ask(domain, ahead=ahead * SECOND)
        assert answer.status == status
        if not status:
            assert answer.all(Timestamp) == (Timestamp(stamp(domain, ahead * SECOND)),)


def test_5_5_time_step_6_a_timestamp_counts_once() -> None:
    """Text: "The timestamp MUST be greater than all previously accepted timestamps"; a message that the network repeats
    is refused."""
    domain = ProxyDomain()
    update = request(domain)
    domain.ask(update)
    again = domain.ask(update)
    assert again is not None
    assert again.status == Status.TIMESTAMP_MISMATCH


@pytest.mark.parametrize("source", ["mag1", "mag2"])
def test_5_5_time_step_8_an_earlier_timestamp_is_refused_with_157_and_our_time(source: str) -> None:
    """Text: "lower than the previously accepted timestamp ..., MUST reject ... TIMESTAMP_LOWER_THAN_PREV_ACCEPTED ...
    MUST also include the Timestamp option with the value set to the current time of day"."""
    domain = ProxyDomain()
    _ask(domain)
    domain.run(100 * MILLISECOND)
    answer = _ask(domain, source, ahead=-150 * MILLISECOND)
    assert answer.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    assert answer.all(Timestamp) == (Timestamp(stamp(domain)),)
    assert domain.entry().gateway == gateway(1)


def test_5_5_time_step_8_an_old_message_that_was_delayed_does_not_bring_the_node_back() -> None:
    """The reason for all this: "it may potentially process an older message sent by a mobile access gateway where the
    mobile node was previously anchored"."""
    domain = ProxyDomain()
    late = request(domain, handoff=Handoff.NOT_CHANGED)
    domain.run(100 * MILLISECOND)
    _ask(domain, "mag2")
    answer = domain.ask(late)
    assert answer is not None
    assert answer.status == 157
    assert domain.entry().gateway == gateway(2)


def test_5_5_time_what_was_accepted_of_one_node_is_nothing_to_another() -> None:
    domain = ProxyDomain()
    _ask(domain, ahead=200 * MILLISECOND)
    assert _ask(domain, host="mn2", ahead=-200 * MILLISECOND).status == 0


def test_5_5_the_clock_of_the_lma_is_set_back_and_updates_go_on() -> None:
    """Not in the RFC: what was accepted before would be later than everything, for as long as the clock was wrong."""
    domain = ProxyDomain()
    domain.skew("lma", 3600 * SECOND)
    assert _ask(domain, ahead=3600 * SECOND).status == 0
    domain.run(SECOND)
    domain.event("lma", ClockStepped(EPOCH))
    assert _ask(domain, handoff=Handoff.NOT_CHANGED).status in (0, 156)
    domain.run(SECOND)
    assert _ask(domain, handoff=Handoff.NOT_CHANGED).status == 0


# --- 5.5 sequence numbers ---------------------------------------------------------------------------------------------


def test_5_5_sequence_step_1_without_a_timestamp_sequence_numbers_decide() -> None:
    """Text: "MUST fall back to the Sequence-Number-based scheme. It MUST process the sequence number field as specified
    in [RFC3775]. Also, it MUST NOT include the Timestamp option"; 2.: "MUST support the Sequence-Number-based scheme".
    RFC 6275 9.5.1: one that is not greater, modulo 2**16, is refused with status 135 and the last one accepted."""
    domain = ProxyDomain()
    known = 65_530
    assert _ask(domain, timestamp=False, sequence=known).status == 0
    for sequence, status in (
        (known, 135),
        (known - 1, 135),
        (10, 0),
        (known, 135),
        (32_776, 0),
        (9, 135),
        (5, 0),
        (11, 0),
    ):
        answer = _ask(domain, timestamp=False, sequence=sequence, handoff=Handoff.NOT_CHANGED)
        assert (answer.status, answer.first(Timestamp)) == (status, None), sequence
        assert answer.sequence == (known if status else sequence)
        known = known if status else sequence


def test_5_5_sequence_numbers_are_those_of_a_session() -> None:
    """Text: "MUST be maintained on a mobile node's per mobility session basis": a new session begins anew."""
    domain = ProxyDomain()
    assert _ask(domain, timestamp=False, sequence=500).status == 0
    second = {"link_layer": HOSTS["mn9"], "handoff": Handoff.NEW_INTERFACE}
    assert _ask(domain, "mag2", timestamp=False, sequence=3, **second).status == 0
    assert [entry.sequence for entry in domain.entries()] == [500, 3]
    assert _ask(domain, "mag2", timestamp=False, sequence=4, **second).status == 0


def test_5_5_sequence_a_new_gateway_learns_the_last_number_from_the_refusal() -> None:
    """Text: "MUST be available to the serving mobile access gateway": by the LMA itself, with one message more."""
    domain = ProxyDomain()
    _ask(domain, timestamp=False, sequence=500)
    refused = _ask(domain, "mag2", timestamp=False, sequence=1)
    assert (refused.status, refused.sequence) == (135, 500)
    assert _ask(domain, "mag2", timestamp=False, sequence=501).status == 0
    assert domain.entry().gateway == gateway(2)


# --- 5.6 routing ------------------------------------------------------------------------------------------------------


def test_5_6_1_a_tunnel_is_there_as_long_as_a_node_needs_it() -> None:
    """Text: "The bi-directional tunnel MUST be used"; "MUST be established"; "SHOULD be deleted when either the tunnel
    lifetime expires or when there are no mobile nodes sharing the tunnel". Tunnels are not devices here: each node has
    its own way, and what nobody uses is not there."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=2)})
    for number in (1, 2, 3):
        _ask(domain, host=f"mn{number}", lifetime=number * 100 * SECOND)
    state = domain.plane("lma").state
    for number in (1, 2, 3):
        assert len(state.slots) == 4 - number
        assert all(way == EnsureTunnel(slot, gateway(1)) for slot, way in state.slots.items())
        domain.run(100 * SECOND)
    assert state.slots == {}


def test_5_6_2_packets_to_every_prefix_go_through_the_tunnel_of_its_session() -> None:
    """Text: "the local mobility anchor MUST forward the packet through the bi-directional tunnel set up for that mobile
    node"."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=3)})
    _ask(domain, "mag1", host="mn1")
    _ask(domain, "mag2", host="mn2")
    for host, number in (("mn1", 1), ("mn2", 2)):
        entry = domain.entry(host)
        assert [domain.plane("lma").way(each) for each in entry.prefixes] == [
            EnsureTunnel(entry.slot, gateway(number))
        ] * 3


def test_the_timestamp_counts_seconds_since_1970() -> None:
    """Text: "MUST ensure that the generated timestamp is the elapsed time past the same reference epoch" (8.8)."""
    domain = ProxyDomain()
    answer = _ask(domain, ahead=10 * SECOND)
    assert answer.all(Timestamp)[0].ticks == ticks(EPOCH + domain.now)
    assert answer.all(Timestamp)[0].ticks >> 16 == (EPOCH + domain.now) // SECOND
