"""Which answer belongs to which request, what was sent again, what is missing, what makes up a handover."""

from __future__ import annotations

from itertools import count

from sojourn import wire
from sojourn.capture.conversations import Conversations, Exchange, Pairing, Place
from sojourn.capture.files import Packet
from sojourn.capture.layers import Peeler
from sojourn.capture.signals import Signal, _signal
from sojourn.wire.units import MILLISECOND, SECOND
from support.capture import ipv6
from support.exchanges import answer, node, update
from support.frames import A1, A2, CMD, HOME, MOBILITY, START, home_address_option, packet


class Wire:
    """Makes signals, one millisecond after the other."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.now = START

    def octets(self, octets: bytes, *, origin: str = "", interface: str = "") -> Signal:
        """A packet passes."""
        seen = Packet(next(self._numbers), self.now, 101, octets, len(octets), interface)
        self.now += MILLISECOND
        (payload,) = Peeler().peel(seen)
        return _signal(origin, seen, payload, None)

    def __call__(
        self, message: wire.MobilityMessage, source: bytes = A1, destination: bytes = CMD, **more: str
    ) -> Signal:
        """A message passes."""
        return self.octets(packet(message, source, destination), **more)


def places(*signals: Signal) -> list[Place]:
    """Where each of them belongs."""
    pairing = Pairing()
    return [pairing.place(signal) for signal in signals]


def test_an_answer_belongs_to_the_request_with_its_sequence_number() -> None:
    seen = Wire()
    first, second = seen(update(1, 1)), seen(update(2, 2))
    late, early = seen(answer(2, 2), CMD, A1), seen(answer(1, 1), CMD, A1)
    found = places(first, second, late, early)
    assert found[2].answers is second
    assert found[3].answers is first
    assert found[2].round_trip == MILLISECOND
    assert found[3].round_trip == 3 * MILLISECOND


def test_the_same_number_between_other_routers_is_another_request() -> None:
    seen = Wire()
    first, second = seen(update(1, 1), A1), seen(update(2, 1), A2)
    found = places(first, second, seen(answer(2, 1), CMD, A2))
    assert found[2].answers is second


def test_the_same_number_about_another_node_is_no_answer() -> None:
    seen = Wire()
    found = places(seen(update(1, 1)), seen(answer(2, 1), CMD, A1))
    assert found[1].answers is None


def test_a_retransmission_has_a_new_number_and_says_the_same() -> None:
    """RFC 6275 11.8; the time in it may be new (RFC 5213 6.9.4)."""
    seen = Wire()
    first, again = seen(update(1, 1)), seen(update(1, 2, stamp=START + SECOND))
    other = seen(update(1, 3, lifetime=0))
    late = seen(answer(1, 1), CMD, A1)
    found = places(first, again, other, late)
    assert found[1].repeats is first
    assert found[2].repeats is None
    assert found[3].answers is first
    assert found[3].exchange is found[0].exchange is found[1].exchange


def test_a_refresh_after_the_answer_is_no_retransmission() -> None:
    seen = Wire()
    found = places(seen(update(1, 1)), seen(answer(1, 1), CMD, A1), seen(update(1, 2)))
    assert found[2].repeats is None


def test_a_packet_seen_at_two_points_is_a_copy_and_at_one_point_a_repetition() -> None:
    seen = Wire()
    first, elsewhere = seen(update(1, 1), interface="core"), seen(update(1, 1), interface="uplink")
    other_file = seen(update(1, 1), origin="ar2")
    found = places(first, elsewhere, other_file)
    assert found[1].copy_of is first
    assert found[2].copy_of is not None
    found = places(first, seen(update(1, 1), interface="core"))
    assert found[1].copy_of is None
    assert found[1].repeats is first


def test_round_trips_are_told_from_one_point() -> None:
    """The answer was seen first where it was sent; its round trip ends where the request came from."""
    seen, conversations = Wire(), Conversations()
    request, reply = update(1, 1), answer(1, 1)
    asked, arrived = seen(request, origin="ar1"), seen(request, origin="cmd")
    sent, back = seen(reply, CMD, A1, origin="cmd"), seen(reply, CMD, A1, origin="ar1")
    assert places(asked, arrived, sent)[2].round_trip is None
    for one in (asked, arrived, sent, back):
        conversations.add(one)
    (found,) = conversations.all()
    assert found.exchanges[0].answers == [back]
    assert found.exchanges[0].round_trip == 3 * MILLISECOND


def test_pairs_of_other_protocols() -> None:
    seen = Wire()
    pairs = [
        (wire.Heartbeat(0, 5), wire.Heartbeat(1, 5)),
        (wire.BindingRevocationIndication(1, 6, 0), wire.BindingRevocationAcknowledgement(0, 6, 0)),
        (wire.MESSAGES[14](7, 0, 0), wire.MESSAGES[15](7, 0, 0)),
        (wire.MESSAGES[1](b"12345678"), wire.MESSAGES[3](1, b"12345678", b"87654321")),
        (wire.MESSAGES[19](8, 1, 0), wire.MESSAGES[20](8, 0)),
    ]
    for request, reply in pairs:
        asked, told = seen(request), seen(reply, CMD, A1)
        found = places(asked, told)
        assert found[1].answers is asked, request
    assert places(seen(wire.Heartbeat(2, 5)))[0].exchange is None


def test_mobile_nodes_are_known_by_their_home_address() -> None:
    seen = Wire()
    sealed = wire.seal(wire.encode(wire.BindingUpdate(9, 0xC000, 60 * SECOND)), HOME, CMD)
    request = seen.octets(ipv6(60, home_address_option(MOBILITY) + sealed, A1, CMD))
    conversations = Conversations()
    conversations.add(request)
    (found,) = conversations.all()
    assert found.node == HOME


def test_a_relayed_answer_comes_from_elsewhere() -> None:
    """RFC 8885 3.3: the CMD's update is answered by the anchor to whom it went, wherever that sends its answer."""
    seen = Wire()
    asked = seen(update(1, 77, wire.ServingMaar(A2)), CMD, A1)
    found = places(asked, seen(answer(1, 77), A1, A2))
    assert found[1].answers is asked


def test_a_request_that_came_back_in_an_error() -> None:
    import struct

    seen = Wire()
    asked = seen(update(1, 1))
    error = struct.pack("!BBHI", 4, 1, 0, 6) + packet(update(1, 1))
    found = places(asked, seen.octets(ipv6(58, error, CMD, A1)))
    assert found[1].answers is asked
    assert found[1].exchange is not None
    assert len(found[1].exchange.refusals) == 1


def handover(seen: Wire, number: int, source: bytes, previous: bytes, sequence: int, stamp: int) -> list[Signal]:
    """The four messages of RFC 8885, figure 2 and 4, with the CMD as proxy."""
    moved = update(number, sequence, wire.ServingMaar(source), stamp=stamp)
    return [
        seen(update(number, sequence, stamp=stamp), source, CMD),
        seen(moved, CMD, previous),
        seen(answer(number, sequence, stamp=stamp), previous, CMD),
        seen(answer(number, sequence, wire.PreviousMaar(64, previous, HOME), stamp=stamp), CMD, source),
    ]


def test_a_handover_is_one_group() -> None:
    seen, conversations = Wire(), Conversations()
    attach = [seen(update(1, 1)), seen(answer(1, 1), CMD, A1)]
    roam = handover(seen, 1, A2, A1, 2, START + SECOND)
    refresh = [seen(update(1, 3, stamp=START + SECOND), A2), seen(answer(1, 3, stamp=START + SECOND), CMD, A2)]
    retire = [seen(update(1, 4, wire.AnchoredPrefix(64, HOME), lifetime=0, stamp=START + SECOND), CMD, A1)]
    for signal in [*attach, *roam, *refresh, *retire]:
        conversations.add(signal)
    (found,) = conversations.all()
    groups = found.groups()
    assert [group.title for group in groups] == ["registration", "handover", "refresh", "retirement"]
    assert [len(group.exchanges) for group in groups] == [1, 2, 1, 1]
    names = [(exchange.requests[0].name, exchange.answers[0].name) for exchange in groups[1].exchanges]
    assert names == [("PBU", "PBA*"), ("PBU*", "PBA")]
    assert groups[1].target == A2
    assert groups[1].span == 3 * MILLISECOND
    assert groups[3].exchanges[0].answers == []


def test_what_is_missing() -> None:
    seen, conversations = Wire(), Conversations()
    silent, orphan = seen(update(1, 1)), seen(answer(2, 9), CMD, A1)
    unasked = seen(wire.BindingUpdate(5, 0, SECOND, (node(3),)))
    for signal in (silent, orphan, unasked):
        conversations.add(signal)
    first, second, third = conversations.all()
    exchanges: list[Exchange] = [*first.exchanges, *second.exchanges, *third.exchanges]
    assert [(len(one.requests), len(one.answers), one.expects) for one in exchanges] == [
        (1, 0, True),
        (0, 1, True),
        (1, 0, False),
    ]
    assert [one.round_trip for one in exchanges] == [None, None, None]


def test_memory_is_bounded() -> None:
    seen, conversations, pairing = Wire(), Conversations(most=50), Pairing()
    for sequence in range(60):
        signal = seen(update(sequence, sequence))
        conversations.add(signal)
    assert conversations.left_out == 10
    signal = seen(update(1, 1))
    for sequence in range(10_000):
        signal.payload.octets = sequence.to_bytes(8, "big")
        signal.message.sequence = sequence  # type: ignore[union-attr]
        pairing.place(signal)
    assert max(map(len, (pairing._open, pairing._by_node, pairing._by_content, pairing._seen))) <= 4096
