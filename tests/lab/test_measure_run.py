"""A run that never was: invented flows, moves and messages, and what must be made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.lab.air import RoamTimes
from sojourn.lab.measure import Window
from sojourn.lab.measure_run import Evidence, judge
from sojourn.lab.measure_signalling import Signal, classify, tally
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import FlowRecord
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    MobileNodeIdentifier,
    MobilityMessage,
    Timestamp,
)
from sojourn.wire.addresses import Prefix, address, prefix
from sojourn.wire.units import MILLISECOND, SECOND

MS = MILLISECOND
HOST = b"\x02\0\0\0\0\x01"
PLACES = {"ar1": "2001:db8:a1::1", "ar2": "2001:db8:a2::1", "ar3": "2001:db8:a3::1", "cmd": "2001:db8:c::1"}
FIRST = "2001:db8:a100::ff:fe00:1"


@pytest.fixture(scope="module")
def topology() -> Topology:
    return load("walk")


def update(
    sequence: int, *more: object, handoff: Handoff = Handoff.BETWEEN_GATEWAYS, lifetime: int = SECOND
) -> BindingUpdate:
    options = (MobileNodeIdentifier(5, HOST), HandoffIndicator(int(handoff)), *more)
    return BindingUpdate(sequence, 0, lifetime, options)  # type: ignore[arg-type]


def answer(sequence: int) -> BindingAcknowledgement:
    return BindingAcknowledgement(0, 0, sequence, SECOND, (MobileNodeIdentifier(5, HOST),))


def signal(at: int, sender: str, receiver: str, message: MobilityMessage | None) -> Signal:
    return Signal(at, sender, address(PLACES[sender]), address(PLACES[receiver]), 100, message)


def handover(at: int, serving: str, *anchors: str, sequence: int = 1) -> list[Signal]:
    """What proxy mode says on the wire."""
    heard = [signal(at, serving, "cmd", update(sequence)), signal(at + 15 * MS, "cmd", serving, answer(sequence))]
    for number, anchor in enumerate(anchors):
        heard.append(signal(at + 15 * MS, "cmd", anchor, update(100 * sequence + number)))
        heard.append(signal(at + 30 * MS, anchor, "cmd", answer(100 * sequence + number)))
    return heard


def retirement(at: int, anchor: str, network: Prefix) -> list[Signal]:
    option = AnchoredPrefix.of(network)
    return [
        signal(at, anchor, "cmd", update(900, option, lifetime=0)),
        signal(at + 15 * MS, "cmd", anchor, answer(900)),
    ]


def move(at: int, source: str, target: str) -> RoamTimes:
    return RoamTimes("mn", source, target, at, at, at, at, at + MS)


def voice(lost: range) -> FlowRecord:
    record = FlowRecord("voice", "stream", "mn", FIRST, started=1)
    for number in range(1500):
        record.down.send(number * 20 * MS)
        record.up.send(number * 20 * MS)
        record.up.arrive(number, number * 20 * MS + 15 * MS, 62)
        if number not in lost:
            record.down.arrive(number, number * 20 * MS + 15 * MS, 62)
    record.outcome, record.ended = "complete", 30 * SECOND
    return record


@pytest.fixture
def evidence(topology: Topology) -> Evidence:
    """Two moves; two packets lost at the first, none in the control phase."""
    return Evidence(
        topology=topology,
        mode="proxy",
        cmd="cmd",
        server="server",
        moves=[move(10 * SECOND, "ar1", "ar2"), move(20 * SECOND, "ar2", "ar3")],
        records=[voice(range(500, 502))],
        signals=[
            *handover(10 * SECOND + 2 * MS, "ar2", "ar1", sequence=1),
            *handover(20 * SECOND + 2 * MS, "ar3", "ar1", "ar2", sequence=2),
        ],
        identifiers={"mn": HOST},
        quiet={"mn": [Window(0, 9 * SECOND)]},
        ended=30 * SECOND,
    )


def test_loss_of_an_old_flow_beside_its_bound(evidence: Evidence) -> None:
    first, second = judge(evidence)
    lost = first.worst("down")
    assert lost is not None
    assert (lost.flow, lost.anchor, lost.lost, lost.packets) == ("voice", "ar1", 2, 2)
    assert lost.rate == pytest.approx(50)
    assert lost.lost_ms == pytest.approx(40)
    assert lost.bound_ms == 40  # a = c = 15 ms, p = 10 ms
    assert [one.lost for one in second.losses] == [0, 0]


def test_messages_are_exact_for_the_anchors_known_then(evidence: Evidence) -> None:
    assert [(one.old_anchors, one.messages, one.expected) for one in judge(evidence)] == [
        (["ar1"], 4, [4]),
        (["ar1", "ar2"], 6, [6]),
    ]
    assert all(one.exact for one in judge(evidence))
    assert [one.octets for one in judge(evidence)] == [400, 600]


def test_a_missing_or_repeated_message_is_not_exact(evidence: Evidence) -> None:
    short = judge(replace(evidence, signals=evidence.signals[:-1]))[1]
    assert (short.messages, short.exact) == (5, False)
    repeated = signal(20 * SECOND + 60 * MS, "ar3", "cmd", update(3, Timestamp(0)))
    again = judge(replace(evidence, signals=[*evidence.signals, repeated]))[1]
    assert (again.messages, again.exact) == (7, False)


def test_a_retired_anchor_is_not_expected_to_be_told(evidence: Evidence) -> None:
    signals = [
        *handover(10 * SECOND + 2 * MS, "ar2", "ar1", sequence=1),
        *retirement(15 * SECOND, "ar1", prefix("2001:db8:a100::/64")),
        *handover(20 * SECOND + 2 * MS, "ar3", "ar2", sequence=2),
    ]
    first, second = judge(replace(evidence, signals=signals))
    assert (first.messages, first.exact) == (4, True)
    assert (second.old_anchors, second.messages, second.exact) == (["ar2"], 4, True)


def test_a_retirement_at_the_moment_of_a_move_may_come_first_or_second(evidence: Evidence) -> None:
    signals = [
        *retirement(20 * SECOND + MS, "ar1", prefix("2001:db8:a100::/64")),
        *handover(20 * SECOND + 2 * MS, "ar3", "ar1", "ar2", sequence=2),
    ]
    assert judge(replace(evidence, signals=signals))[1].expected == [4, 6]


def test_refreshes_and_retirements_are_counted_apart() -> None:
    signals = [
        *handover(0, "ar2", "ar1"),
        signal(1, "ar2", "cmd", update(7, handoff=Handoff.NOT_CHANGED)),
        signal(2, "cmd", "ar2", answer(7)),
        *retirement(3, "ar1", prefix("2001:db8:a100::/64")),
        signal(4, "ar1", "cmd", None),
    ]
    sorted_out = tally(classify(signals))
    counts = [getattr(sorted_out, kind).messages for kind in ("handover", "refresh", "retirement", "other")]
    assert counts == [4, 2, 2, 1]


def test_messages_about_somebody_else_do_not_count(evidence: Evidence) -> None:
    elsewhere = judge(replace(evidence, identifiers={"mn": b"another"}))
    assert [move.messages for move in elsewhere] == [0, 0]


def test_an_answer_belongs_to_its_question_even_when_a_move_comes_between(evidence: Evidence) -> None:
    """A refresh just before the move is answered after it; other hosts use the same sequence numbers."""
    refresh = signal(10 * SECOND - 5 * MS, "ar1", "cmd", update(1, handoff=Handoff.NOT_CHANGED))
    late = signal(10 * SECOND + 10 * MS, "cmd", "ar1", answer(1))
    signals = sorted([*evidence.signals, refresh, late], key=lambda one: one.at)
    assert [(move.messages, move.exact) for move in judge(replace(evidence, signals=signals))] == [(4, True), (6, True)]


def test_a_new_flow_is_measured_from_the_attach_event(evidence: Evidence) -> None:
    fresh = FlowRecord("new", "exchange", "mn", "2001:db8:a200::1", started=10 * SECOND + 6 * MS)
    fresh.first_sent, fresh.connected, fresh.ended = 10 * SECOND + 6 * MS, 10 * SECOND + 27 * MS, 15 * SECOND
    beside = FlowRecord("new/hops", "stream", "mn", "2001:db8:a200::1", started=10 * SECOND + 6 * MS, ended=15 * SECOND)
    beside.down.arrive(beside.down.send(11 * SECOND), 11 * SECOND + MS, 62)
    found = judge(replace(evidence, records=[*evidence.records, fresh, beside], old_routers={0: 4}))[0]
    assert found.new_flow is not None
    assert found.new_flow.first_packet_ms == pytest.approx(5)
    assert found.new_flow.answer_ms == pytest.approx(26)
    assert (found.new_flow.routers, found.new_flow.stretch) == (2, 1.0)
    assert (found.old_routers, found.old_stretch, found.old_stretch_formula) == (4, 2.0, 2.0)


def test_an_attachment_told_again_is_a_refresh_and_a_retransmission_is_not() -> None:
    """A router that started without memory asks, and is told again what it anchors (RFC 6275 6.1.2, 11.8)."""
    first, again, later = (update(sequence, Timestamp(7)) for sequence in (5, 6, 7))
    signals = [signal(0, "cmd", "ar1", first), signal(60 * MS, "cmd", "ar1", again)]
    signals += [signal(75 * MS, "ar1", "cmd", answer(6))]
    signals += [signal(500 * MS, "cmd", "ar1", later), signal(515 * MS, "ar1", "cmd", answer(7))]
    found = tally(classify(signals))
    assert (found.handover.messages, found.handover.repeated, found.refresh.messages) == (3, 2, 2)
