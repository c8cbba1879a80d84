"""Whatever arrives on protocol 135: nothing escapes, and the counters say what it was."""

from __future__ import annotations

import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from sojourn.core.events import MessageReceived
from sojourn.host import source_filter
from sojourn.host.sockets import DRAIN, ERRORS_PER_SECOND, MobilitySocket
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingUpdate,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    Timestamp,
    decode,
    encode,
    seal,
)
from sojourn.wire.addresses import Address, address, prefix, text
from sojourn.wire.units import SECOND
from support.access_router import reachable, until
from support.mobile_kernel import hands_on, mobile_ipv6

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True, scope="module")
def _mobile_ipv6() -> Iterator[None]:
    with mobile_ipv6():
        yield


OURS, PEER, STRANGER = (address(f"2001:db8::{number}") for number in (1, 2, 3))
UPDATE = BindingUpdate(
    7,
    0x8200,
    60 * SECOND,
    (MobileNodeIdentifier(1, b"node"), HomeNetworkPrefix.of(prefix("2001:db8:f::/64")), Timestamp(1 << 40)),
)
GOOD = encode(UPDATE)
LOOPBACK = 1


@pytest.fixture(scope="module")
def machine() -> Iterator[NetworkNamespace]:
    made = NetworkNamespace("machine")
    netlink = RouteNetlink(made)
    for number in (OURS, PEER, STRANGER):
        netlink.add_address(LOOPBACK, number, 128)
    netlink.close()
    for number in (OURS, PEER, STRANGER):
        until(partial(reachable, made, number))
    yield made
    made.close()


@pytest.fixture
def ours(machine: NetworkNamespace) -> Iterator[MobilitySocket]:
    """Our socket; its clock stands still until a test moves it."""
    with machine.entered():
        made = MobilitySocket(OURS, peers={PEER}, clock=lambda: 1000 * SECOND)
    yield made
    made.close()


class Sender:
    """Somebody at `source` who sends octets as they are; `sealed` makes the checksum right."""

    def __init__(self, machine: NetworkNamespace, source: Address) -> None:
        self.source = source
        with machine.entered():
            self._raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
            self._icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self._out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for raw in (self._raw, self._icmp):
            raw.bind((text(source), 0))
            raw.settimeout(5)

    def send(self, octets: bytes, sealed: bool = True) -> None:
        if sealed:
            octets = seal(octets, self.source, OURS)
        header = struct.pack("!IHBB", 6 << 28, len(octets), 135, 64) + self.source + OURS
        self._out.sendto(header + octets, (text(OURS), 0))

    def answer(self) -> bytes:
        return self._raw.recv(4096)

    def icmp(self) -> bytes:
        """The next Parameter Problem."""
        while True:
            octets = self._icmp.recv(4096)
            if octets[0] == 4:
                return octets

    def nothing_came(self) -> bool:
        for raw in (self._raw, self._icmp):
            raw.setblocking(False)
            try:
                raw.recv(4096)
            except BlockingIOError:
                continue
            return False
        return True

    def close(self) -> None:
        for raw in (self._raw, self._icmp, self._out):
            raw.close()


@pytest.fixture
def peer(machine: NetworkNamespace) -> Iterator[Sender]:
    made = Sender(machine, PEER)
    yield made
    made.close()


@pytest.fixture
def stranger(machine: NetworkNamespace) -> Iterator[Sender]:
    made = Sender(machine, STRANGER)
    yield made
    made.close()


def _arrived(ours: MobilitySocket, count: int) -> list[MessageReceived]:
    """The events of the first `count` messages, however many of these were refused."""
    found: list[MessageReceived] = []

    def all_came() -> bool:
        found.extend(ours.events())
        return ours.counters["received"] >= count

    until(all_came)
    return found


def test_a_message_arrives_with_its_addresses(ours: MobilitySocket, peer: Sender) -> None:
    peer.send(GOOD)
    assert _arrived(ours, 1) == [MessageReceived(UPDATE, PEER, OURS)]
    assert ours.counters == {"received": 1}


def test_what_we_send_has_a_right_checksum(ours: MobilitySocket, peer: Sender) -> None:
    acknowledgement = BindingAcknowledgement(0, 0x20, 7, 60 * SECOND)
    ours.send(acknowledgement, OURS, PEER)
    octets = peer.answer()
    assert decode(octets) == acknowledgement
    assert octets == seal(octets, OURS, PEER)
    assert ours.counters == {"sent": 1}


def test_another_source_of_ours_is_used_and_one_of_somebody_else_counted(ours: MobilitySocket, peer: Sender) -> None:
    message = BindingAcknowledgement(0, 0, 7, 0)
    ours.send(message, STRANGER, PEER)  # an address of this machine, though not the one that the socket is bound to
    assert decode(peer.answer()) == message
    ours.send(message, address("2001:db8:ffff::1"), PEER)
    assert ours.counters["send-errors"] == 1


def test_what_cannot_be_sent_is_counted(ours: MobilitySocket) -> None:
    ours.send(BindingAcknowledgement(0, 0, 7, 0), OURS, address("2001:db8:ffff::1"))
    assert ours.counters == {"send-errors": 1, "send-errors:ENETUNREACH": 1}


def test_a_wrong_checksum_never_gets_here(ours: MobilitySocket, peer: Sender) -> None:
    peer.send(GOOD[:4] + b"\x12\x34" + GOOD[6:], sealed=False)
    for length in range(6):  # too short to have one
        peer.send(GOOD[:length], sealed=False)
    peer.send(GOOD)
    assert len(_arrived(ours, 1)) == 1
    assert ours.counters == {"received": 1}


def test_a_stranger_is_dropped_before_decoding_and_not_answered(ours: MobilitySocket, stranger: Sender) -> None:
    sent = (GOOD, b"\x00" + GOOD[1:], b"\x3b\x00\x63" + bytes(5), bytes(7))
    heard = [octets for octets in sent if hands_on(octets)]  # others a kernel answers itself
    for octets in heard:
        stranger.send(octets)
    count = len(heard)
    assert _arrived(ours, count) == []
    assert ours.counters == {"received": count, "unknown-source": count}
    assert stranger.nothing_came()


def test_5213_5_3_1_a_few_strangers_are_heard_so_that_they_can_be_refused(
    machine: NetworkNamespace, stranger: Sender
) -> None:
    with machine.entered():
        ours = MobilitySocket(OURS, peers={PEER}, strangers=2, clock=lambda: 1000 * SECOND)
    for _ in range(5):
        stranger.send(GOOD)
    heard: list[MessageReceived] = []
    until(lambda: heard.extend(ours.events()) or ours.counters["received"] == 5)  # type: ignore[func-returns-value]
    assert [event.source for event in heard] == [STRANGER, STRANGER]
    assert ours.counters["unknown-source"] == 5
    ours.close()


def test_peers_may_change(ours: MobilitySocket, stranger: Sender) -> None:
    ours.peers = {PEER, STRANGER}
    stranger.send(GOOD)
    assert [event.source for event in _arrived(ours, 1)] == [STRANGER]


def test_rfc_6275_9_2_another_payload_proto_is_discarded_with_a_parameter_problem(
    ours: MobilitySocket, peer: Sender
) -> None:
    """The Payload Proto field MUST be IPPROTO_NONE; SHOULD send Parameter Problem, Code 0, pointing at the field."""
    octets = b"\x11" + GOOD[1:]
    peer.send(octets)
    heard = int(hands_on(octets))
    assert _arrived(ours, heard) == []
    report = peer.icmp()
    kind, code, _, pointer = struct.unpack_from("!BBHI", report)
    assert (kind, code, pointer) == (4, 0, 40)
    assert report[8:14] == struct.pack("!IH", 6 << 28, len(octets))
    assert report[14] == 135
    assert report[16:48] == PEER + OURS
    assert report[48:] == seal(octets, PEER, OURS)
    assert +ours.counters == +Counter({"received": heard, "payload-proto": heard, "parameter-problems": heard})
    assert peer.nothing_came()  # the kernel's answer or ours, not both


def test_rfc_6275_9_2_a_header_len_below_the_least_is_discarded_with_a_parameter_problem(
    ours: MobilitySocket, peer: Sender
) -> None:
    """Header Len MUST NOT be less than what the message needs; the pointer SHOULD point at it."""
    octets = bytes((59, 0, 5, 0, 0, 0, 0, 1))
    peer.send(octets)
    heard = int(hands_on(octets))
    assert _arrived(ours, heard) == []
    assert struct.unpack_from("!BBHI", peer.icmp())[3] == 41
    assert +ours.counters == +Counter({"received": heard, "header-length": heard, "parameter-problems": heard})
    assert peer.nothing_came()


def test_rfc_6275_9_2_an_unknown_type_is_answered_with_a_binding_error(ours: MobilitySocket, peer: Sender) -> None:
    """The MH Type MUST be known; otherwise SHOULD send a Binding Error with Status 2."""
    peer.send(bytes((59, 0, 99, 0, 0, 0, 0, 1)))
    assert _arrived(ours, 1) == []
    assert decode(peer.answer()) == BindingError(2, bytes(16))
    assert ours.counters == {"received": 1, "unknown-type": 1, "sent": 1}


def test_errors_are_slow(ours: MobilitySocket, peer: Sender) -> None:
    for _ in range(3 * ERRORS_PER_SECOND):
        peer.send(bytes((59, 0, 99, 0, 0, 0, 0, 1)))
    assert _arrived(ours, 3 * ERRORS_PER_SECOND) == []
    assert ours.counters["unknown-type"] == 3 * ERRORS_PER_SECOND
    assert ours.counters["sent"] == ERRORS_PER_SECOND


def test_one_wake_up_takes_its_share_and_leaves_the_rest(ours: MobilitySocket, peer: Sender) -> None:
    for _ in range(DRAIN + 5):
        peer.send(GOOD)
    shares: list[int] = []
    until(lambda: shares.append(len(ours.events())) or sum(shares) == DRAIN + 5)
    assert max(shares) <= DRAIN


def test_a_flood_from_one_peer_leaves_room_for_another(
    machine: NetworkNamespace, peer: Sender, stranger: Sender
) -> None:
    with machine.entered():
        ours = MobilitySocket(OURS, peers={PEER, STRANGER}, rate=10, burst=10, clock=lambda: 1000 * SECOND)
    for _ in range(500):
        peer.send(GOOD)
    stranger.send(GOOD)
    sources = [event.source for event in _arrived(ours, 501)]
    assert sources == [PEER] * 10 + [STRANGER]
    assert ours.counters == {"received": 501, "rate-limited": 490}
    ours.close()


def test_a_flood_from_strangers_takes_no_room_of_peers(
    machine: NetworkNamespace, peer: Sender, stranger: Sender
) -> None:
    """The kernel sorts by source before anything is queued; what a flood loses is the flood's own."""
    with machine.entered():
        ours = MobilitySocket(OURS, peers={PEER}, strangers=2, clock=lambda: 1000 * SECOND)
    ours._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    flood = 3000
    for _ in range(flood):
        stranger.send(GOOD)
    peer.send(GOOD)
    heard: list[MessageReceived] = []
    # A full socket counts what is not for it too: the kernel looks at the room before it runs the filter.
    until(
        lambda: (
            heard.extend(ours.events())  # type: ignore[func-returns-value]
            or ours.counters["received"] + ours.overflowed_strange() >= flood + 1
        )
    )
    assert [event.source for event in heard].count(PEER) == 1
    assert ours.overflowed() == 0
    assert 0 < ours.overflowed_strange() < flood
    ours.close()


def test_more_peers_than_a_filter_takes_are_told_apart_by_ourselves(
    machine: NetworkNamespace, peer: Sender, stranger: Sender
) -> None:
    many = {PEER, *(address(f"2001:db8:1::{number:x}") for number in range(1, source_filter.MOST + 1))}
    with machine.entered():
        ours = MobilitySocket(OURS, peers=many, clock=lambda: 1000 * SECOND)
    stranger.send(GOOD)
    peer.send(GOOD)
    assert [event.source for event in _arrived(ours, 2)] == [PEER]
    assert ours.counters == {"received": 2, "unknown-source": 1}
    ours.close()


def test_what_the_kernel_dropped_is_counted(ours: MobilitySocket, peer: Sender) -> None:
    ours._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(100):
        peer.send(GOOD)
    until(lambda: len(ours.events()) == 0 and ours.counters["received"] + ours.overflowed() == 100)
    assert ours.overflowed() > 0


def test_an_address_that_is_not_ours_is_refused(machine: NetworkNamespace) -> None:
    with machine.entered(), pytest.raises(OSError, match="assign"):
        MobilitySocket(address("2001:db8:ffff::1"))


def _damaged(chance: random.Random) -> bytes:
    octets = bytearray(GOOD)
    match chance.randrange(6):
        case 0:  # truncated
            return bytes(octets[: chance.randrange(6, len(octets))])
        case 1:  # overlong
            return bytes(octets) + chance.randbytes(chance.choice((1, 7, 8, 3000)))
        case 2:  # random
            return chance.randbytes(chance.randrange(6, 100))
        case 3:  # header length that lies
            octets[1] = chance.choice((0, 1, 255, chance.randrange(256)))
        case 4:  # option lengths that lie: zero would loop, 255 leads out
            octets[12 + chance.randrange(len(octets) - 12)] = chance.choice((0, 255))
        case _:  # a few wrong octets
            for _ in range(chance.randrange(1, 5)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
    return bytes(octets)


@pytest.mark.parametrize("seed", range(3))
def test_hostile_octets_end_in_a_counter_or_an_event(ours: MobilitySocket, peer: Sender, seed: int) -> None:
    chance = random.Random(seed)
    events = heard = 0
    for _ in range(30):
        turn = [_damaged(chance) for _ in range(DRAIN)]
        for octets in turn:
            peer.send(octets)
        heard += sum(map(hands_on, turn))
        events += len(_arrived(ours, heard))
    counters = ours.counters
    refused = sum(
        counters[n] for n in ("decode-errors", "payload-proto", "header-length", "unknown-type", "rate-limited")
    )
    assert counters["received"] == heard == events + refused
    assert min(counters["decode-errors"], events) > 0
    assert (heard == 30 * DRAIN) == (counters["payload-proto"] > 0) == (counters["header-length"] > 0)
    answered = sum(counters[n] for n in ("payload-proto", "header-length", "unknown-type"))
    assert counters["parameter-problems"] + counters["sent"] == min(ERRORS_PER_SECOND, answered)
    peer.send(GOOD)
    until(lambda: ours.events() == [MessageReceived(UPDATE, PEER, OURS)])


def test_a_profile_understands_its_peer_counts_it_and_is_off_by_default(
    machine: NetworkNamespace, peer: Sender
) -> None:
    without_p = BindingUpdate(7, 0x8000, 60 * SECOND, UPDATE.options)  # some leave the flag P out
    with machine.entered():
        plain = MobilitySocket(OURS, peers={PEER}, clock=lambda: 1000 * SECOND)
        tolerant = MobilitySocket(OURS, peers={PEER}, profile="mad-pmipv6", clock=lambda: 1000 * SECOND)
        this_one = MobilitySocket(OURS, peers={PEER}, profiles={PEER: "mad-pmipv6"}, clock=lambda: 1000 * SECOND)
        others = MobilitySocket(
            OURS, peers={PEER}, profile="mad-pmipv6", profiles={PEER: "opmip"}, clock=lambda: 1000 * SECOND
        )
    longer = GOOD + b"\x17\x02\x00\x04\x01\x02\x00\x00"  # and go on behind the announced end
    try:
        for octets in (encode(without_p), longer):
            peer.send(octets)
        assert len(_arrived(plain, 2)) == 2
        assert len(_arrived(tolerant, 2)) == 2
        assert not [name for name in plain.counters if name.startswith("tolerated:")]
        assert tolerant.counters["tolerated:longer-than-header-len"] == 1
        assert len(_arrived(this_one, 2)) == len(_arrived(others, 2)) == 2
        assert this_one.counters["tolerated:longer-than-header-len"] == 1
        assert others.counters["tolerated:longer-than-header-len"] == 0  # what is said of one peer comes first
    finally:
        this_one.close()
        others.close()
        plain.close()
        tolerant.close()
