"""What REQ6g asks for is measured from events and effects: each number against one that the test knows."""

from __future__ import annotations

import pytest

from sojourn.core.effects import (
    EnsurePrefix,
    Report,
    SendMessage,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.core.events import LinkChanged, MessageReceived, NodeSeen, Sighting
from sojourn.core.mobile_effects import EnsureReverseTunnel, WithdrawReverseTunnel
from sojourn.host.signalling import Tally, together
from sojourn.telemetry.meter import ANY, FIRST, HANDOVER, Meter
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    MobileNodeIdentifier,
    Status,
    encode,
)
from sojourn.wire.addresses import UNSPECIFIED, address, prefix
from sojourn.wire.units import MILLISECOND, SECOND

MAC = bytes.fromhex("020000000001")
NODE = b"\x05" + MAC
OURS, PEER, OTHER = address("2001:db8::1"), address("2001:db8::2"), address("2001:db8::3")
P1, P2 = prefix("2001:db8:1::/64"), prefix("2001:db8:2::/64")
IDENTIFIER = MobileNodeIdentifier(5, MAC)
PROXY, PROXY_ANSWER = BindingUpdateFlags.P | BindingUpdateFlags.A, BindingAcknowledgementFlags.P


def update(lifetime: int = 60 * SECOND) -> BindingUpdate:
    return BindingUpdate(1, PROXY, lifetime, (IDENTIFIER,))


def answer(status: int = Status.ACCEPTED) -> MessageReceived:
    return MessageReceived(
        BindingAcknowledgement(Status(status), PROXY_ANSWER, 1, 60 * SECOND, (IDENTIFIER,)), PEER, OURS
    )


def attach(meter: Meter, at: int, **registered: int) -> None:
    """A node shows itself, is registered 30 ms later, and forwarding stands 5 ms after that."""
    meter.take(at, NodeSeen("acc0", MAC, Sighting.STATION))
    meter.take(at, SendMessage(update(), OURS, PEER))
    meter.settled(at + 1)
    meter.take(at + 30 * MILLISECOND, answer())
    meter.take(at + 30 * MILLISECOND, Report("registered", {"node": NODE.hex(), **registered}))
    meter.settled(at + 35 * MILLISECOND)


@pytest.mark.parametrize(
    ("registered", "kind"), [({"previous": 0}, FIRST), ({"previous": 2}, HANDOVER), ({"prefixes": 1}, ANY)]
)
def test_reactivity_ends_with_the_answer_and_delay_with_the_kernel(registered: dict[str, int], kind: str) -> None:
    meter = Meter()
    attach(meter, 5 * SECOND, **registered)
    assert {name: (one.count, one.sum) for name, one in meter.reactivity.items() if one.count} == {kind: (1, 0.03)}
    assert {name: (one.count, one.sum) for name, one in meter.delays.items() if one.count} == {kind: (1, 0.035)}


def test_a_repetition_counts_from_the_first_sight() -> None:
    meter = Meter()
    meter.take(0, NodeSeen("acc0", MAC, Sighting.STATION))
    meter.take(0, SendMessage(update(), OURS, PEER))
    meter.settled(0)
    meter.take(SECOND, SendMessage(update(), OURS, PEER))  # time passed; nobody was seen
    meter.settled(SECOND)
    meter.take(2 * SECOND, answer())
    meter.take(2 * SECOND, Report("registered", {"node": NODE.hex(), "previous": 0}))
    assert meter.reactivity[FIRST].sum == 2.0


@pytest.mark.parametrize("status", [Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, Status.TIMESTAMP_MISMATCH])
def test_a_refusal_that_is_answered_by_another_time_is_a_part_of_it(status: Status) -> None:
    """Handovers with a refusal, the slow ones, were not counted at all."""
    meter = Meter()
    meter.take(0, NodeSeen("acc0", MAC, Sighting.STATION))
    meter.take(0, SendMessage(update(), OURS, PEER))
    meter.settled(0)
    meter.take(1 * SECOND, answer(status))
    meter.settled(1 * SECOND)
    meter.take(2 * SECOND, SendMessage(update(), OURS, PEER))
    meter.settled(2 * SECOND)
    meter.take(3 * SECOND, answer())
    meter.take(3 * SECOND, Report("registered", {"node": NODE.hex(), "previous": 0}))
    assert meter.reactivity[FIRST].sum == 3.0


def test_a_refusal_after_which_something_else_is_asked_for_at_once_is_a_part_of_it_too() -> None:
    meter = Meter()
    meter.take(0, NodeSeen("acc0", MAC, Sighting.STATION))
    meter.take(0, SendMessage(update(), OURS, PEER))
    meter.settled(0)
    meter.take(1 * SECOND, answer(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX))
    meter.take(1 * SECOND, SendMessage(update(), OURS, PEER))
    meter.settled(1 * SECOND)
    meter.take(2 * SECOND, answer())
    meter.take(2 * SECOND, Report("registered", {"node": NODE.hex(), "previous": 0}))
    assert meter.reactivity[FIRST].sum == 2.0


def test_a_refusal_that_nobody_does_anything_about_ends_it() -> None:
    meter = Meter()
    meter.take(0, NodeSeen("acc0", MAC, Sighting.STATION))
    meter.take(0, SendMessage(update(), OURS, PEER))
    meter.settled(0)
    meter.take(1 * SECOND, answer(Status.INSUFFICIENT_RESOURCES))
    meter.settled(1 * SECOND)
    meter.take(60 * SECOND, SendMessage(update(), OURS, PEER))
    meter.take(61 * SECOND, answer())
    meter.take(61 * SECOND, Report("registered", {"node": NODE.hex(), "previous": 0}))
    assert meter.reactivity[FIRST].count == 0


def test_a_refresh_and_a_registration_that_others_caused_are_no_attachment() -> None:
    meter = Meter()
    attach(meter, 0, previous=0)
    meter.take(SECOND, NodeSeen("acc0", MAC, Sighting.NEIGHBOUR))
    meter.take(SECOND, SendMessage(update(), OURS, PEER))  # a refresh, which is answered and not reported
    meter.take(2 * SECOND, answer())
    meter.settled(2 * SECOND)
    meter.take(3 * SECOND, SendMessage(update(), OURS, PEER))  # because the LMA asked
    meter.take(4 * SECOND, answer())
    meter.take(4 * SECOND, Report("registered", {"node": NODE.hex(), "previous": 0}))
    assert meter.reactivity[FIRST].count == 1


def test_a_node_that_left_before_its_answer_is_counted_from_its_return() -> None:
    meter = Meter()
    meter.take(0, NodeSeen("acc0", MAC, Sighting.STATION))
    meter.take(0, SendMessage(update(), OURS, PEER))
    meter.settled(0)
    meter.take(SECOND, SendMessage(update(0), OURS, PEER))
    attach(meter, 10 * SECOND, previous=0)
    assert meter.reactivity[FIRST].sum == pytest.approx(0.03)


def test_sessions_begin_and_end_with_their_prefixes() -> None:
    meter = Meter()
    meter.take(0, EnsurePrefix(P1, 1))
    meter.take(1 * SECOND, EnsurePrefix(P2, 1))
    meter.take(1 * SECOND, EnsurePrefix(P1, 1))  # asked for again
    assert meter.running(3 * SECOND) == (2, 5.0)
    assert meter.per_user() == {2: 1}
    meter.take(4 * SECOND, WithdrawPrefix(P1))
    meter.take(4 * SECOND, WithdrawPrefix(P1))
    assert (meter.durations.count, meter.durations.sum) == (1, 4.0)
    meter.take(5 * SECOND, EnsurePrefix(P2, 7))  # another slot: the same session
    assert meter.per_user() == {1: 1}
    meter.take(6 * SECOND, WithdrawSlot(7))
    assert (meter.durations.count, meter.durations.sum) == (2, 9.0)
    assert (meter.running(9 * SECOND), meter.per_user()) == ((0, 0), {})


def test_a_mobile_node_is_measured_from_its_new_link() -> None:
    meter = Meter()
    home = address("2001:db8:1100::1")
    meter.take(0, LinkChanged("wlan0", True))
    meter.take(1 * SECOND, Report("home", {"home": "x"}))
    meter.take(10 * SECOND, LinkChanged("wlan0", True))
    meter.take(11 * SECOND, EnsureReverseTunnel(home, OTHER, PEER))
    meter.take(11 * SECOND, Report("registered", {"home": "x", "agent": "y", "care_of": "z"}))
    meter.settled(11 * SECOND)
    assert (meter.reactivity[HANDOVER].sum, meter.delays[HANDOVER].sum) == (1.0, 1.0)
    meter.take(21 * SECOND, WithdrawReverseTunnel(home))
    assert meter.durations.sum == 10.0


def test_messages_are_counted_by_type_flags_status_and_peer() -> None:
    tally = Tally([PEER])
    asked, refused = encode(update()), encode(answer(Status.TIMESTAMP_MISMATCH).message)
    tally.sent(asked, PEER)
    tally.sent(asked, PEER)
    tally.received(refused, PEER)
    tally.received(refused, OTHER)
    found = together(tally)
    assert sorted(found.values()) == sorted(
        [(2, 2 * (40 + len(asked))), (1, 40 + len(refused)), (1, 40 + len(refused))]
    )
    assert {(flow.sent, flow.type, flow.proxy, flow.status, flow.peer) for flow in found} == {
        (True, 5, True, -1, PEER),
        (False, 6, True, 156, PEER),
        (False, 6, True, 156, UNSPECIFIED),
    }


def test_no_flood_of_peers_makes_more_lines() -> None:
    tally = Tally()
    octets = encode(BindingUpdate(1, BindingUpdateFlags.H, 60 * SECOND))
    for number in range(2_000):
        tally.received(octets, number.to_bytes(16, "big"))
        tally.sent(octets, (1 << 20 | number).to_bytes(16, "big"))
    assert len(together(tally)) < 40
    assert sum(messages for messages, _ in together(tally).values()) == 4_000
