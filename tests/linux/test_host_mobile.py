"""The senses of a host of Mobile IPv6, with the kernel under them: what arrives, what is answered, what is not."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from sojourn.core.effects import SendMessage
from sojourn.core.events import (
    Event,
    HomeAddressRefused,
    IcmpErrorReceived,
    Icmpv6Received,
    MessageReceived,
)
from sojourn.core.mobile_effects import EnsureCareOfRoute, SendIcmpv6, WithdrawCareOfRoute
from sojourn.dataplane.kernel_ways import usable
from sojourn.host.address_monitor import AddressMonitor
from sojourn.host.mobile_packets import Packet, built
from sojourn.host.mobile_sockets import DISCOVERY, ERRORS_PER_SECOND, HEARD_ERRORS, MobileSockets
from sojourn.host.senses import MN_TYPES
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.host.signalling_programs import MOST
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingUpdate,
    HomeTestInit,
    decode,
    encode,
    seal,
)
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.extensions.rfc6275_discovery import MobilePrefixSolicitation
from sojourn.wire.icmpv6 import encode_icmpv6, seal_icmpv6
from sojourn.wire.units import SECOND
from support.mobile_kernel import mobile_ipv6
from support.mobile_pair import HOME, OURS, THEIRS, Pair

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True, scope="module")
def _mobile_ipv6() -> Iterator[None]:
    with mobile_ipv6():
        yield


UPDATE = BindingUpdate(7, 0x8000, 60 * SECOND)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture
def monitor(pair: Pair) -> Iterator[AddressMonitor]:
    with pair.ours.entered():
        made = AddressMonitor(["link0"])
    made.start()
    yield made
    made.close()


Open = Callable[..., MobileSockets]


@pytest.fixture
def opened(pair: Pair, monitor: AddressMonitor) -> Iterator[Open]:
    """Makes our sockets, with the filter that keeps the kernel silent; their clock stands still."""
    made: list[MobileSockets] = []
    with pair.ours.entered():
        mobile = usable()
        quiet = SignallingFilter(mobile)
        quiet.install()

    def open_with(**more: object) -> MobileSockets:
        with pair.ours.entered():
            heard = (1, 4, 134, *DISCOVERY)
            ours = {"is_ours": monitor.is_ours, "kernel_has_mobile_ipv6": mobile}
            made.append(MobileSockets(heard, clock=lambda: 10**15, **ours, **more))  # type: ignore[arg-type]
        return made[-1]

    yield open_with
    for one in made:
        one.close()
    quiet.remove()
    quiet.close()


def heard(sockets: MobileSockets, wanted: int = 1, but: type | tuple[type, ...] = ()) -> list[Event]:
    found: list[Event] = []
    deadline = time.monotonic() + 5
    while len(found) < wanted and time.monotonic() < deadline:
        found += [event for event in sockets.events() if not isinstance(event, but)]
        time.sleep(0.005)
    time.sleep(0.05)
    return found + [event for event in sockets.events() if not isinstance(event, but)]


def sealed(message: object, home: Address | None = None, routed: Address | None = None) -> Packet:
    packet = Packet(THEIRS, OURS, 64, 135, b"", home, routed)
    packet.payload = seal(encode(message), *packet.checksum_addresses)  # type: ignore[arg-type]
    return packet


# --- in -----------------------------------------------------------------------------------------------------------


def test_messages_are_heard_with_the_home_addresses_that_travel_with_them(pair: Pair, opened: Open) -> None:
    sockets = opened()
    for home, routed in ((None, None), (HOME, None), (None, HOME), (HOME, HOME)):
        pair.send(sealed(UPDATE, home, routed))
    found = heard(sockets, 4)
    assert len(found) == 4
    told = {(event.home_address, event.routed_to) for event in found if isinstance(event, MessageReceived)}
    assert told == {(None, None), (HOME, None), (None, HOME), (HOME, HOME)}
    for event in found:
        assert isinstance(event, MessageReceived)
        assert (event.message, event.source, event.destination) == (UPDATE, THEIRS, OURS)
        assert decode(event.octets) == UPDATE


def test_the_kernel_does_not_answer_what_it_does_not_know(pair: Pair, opened: Open) -> None:
    sockets = opened()
    pair.send(sealed(UPDATE, HOME))
    pair.send(sealed(UPDATE, routed=HOME))
    pair.send(Packet(THEIRS, OURS, 64, 17, bytes(8), HOME))
    heard(sockets, 3)
    assert pair.errors() == []


def test_without_our_filter_it_would(pair: Pair) -> None:
    pair.send(sealed(UPDATE, HOME))
    # One with Mobile IPv6 drops what has no binding.
    assert [octets[:2] for octets in pair.errors()] == ([] if usable() else [b"\x04\x02"])


def test_a_wrong_checksum_is_dropped_also_with_home_addresses(pair: Pair, opened: Open) -> None:
    sockets = opened()
    wrong = sealed(UPDATE, HOME)
    wrong.payload = seal(encode(UPDATE), THEIRS, OURS)  # as if there were no option
    pair.send(wrong)
    assert heard(sockets, 0) == []
    assert sockets.counters["checksum-errors"] == 1


def test_rfc6275_9_3_1_other_packets_with_a_home_address_are_told(pair: Pair, opened: Open) -> None:
    sockets = opened()
    pair.send(Packet(THEIRS, OURS, 64, 17, bytes(8), HOME))
    assert heard(sockets) == [HomeAddressRefused(HOME, THEIRS, OURS)]


@pytest.mark.mip6
def test_rfc6275_9_3_1_data_with_a_binding_is_the_kernels(pair: Pair, opened: Open) -> None:
    sockets = opened()
    for number in range(MOST):
        sockets.follow(EnsureCareOfRoute(HOME[:14] + number.to_bytes(2), THEIRS))
    bound, other = HOME[:14] + bytes(2), HOME[:14] + (MOST).to_bytes(2)
    sockets.follow(EnsureCareOfRoute(bound, OURS))
    last = HOME[:14] + (MOST - 1).to_bytes(2)
    for home in (last, bound, other):
        pair.send(Packet(THEIRS, OURS, 64, 17, bytes(8), home))
    pair.send(sealed(UPDATE, last))
    refused = [HomeAddressRefused(home, THEIRS, OURS) for home in (bound, other)]  # one from another care-of address
    found = heard(sockets, 3)
    assert found[:2] == refused
    assert [event.home_address for event in found[2:] if isinstance(event, MessageReceived)] == [last]
    sockets.follow(WithdrawCareOfRoute(last))
    pair.send(Packet(THEIRS, OURS, 64, 17, bytes(8), last))
    # The kernel's own answers to data of before come back as errors, sooner or later.
    assert heard(sockets, but=IcmpErrorReceived) == [HomeAddressRefused(last, THEIRS, OURS)]
    sockets.follow(EnsureCareOfRoute(last, THEIRS))
    sockets.follow(EnsureCareOfRoute(other, THEIRS))
    pair.send(Packet(THEIRS, OURS, 64, 17, bytes(8), HOME))
    assert heard(sockets, 0, but=IcmpErrorReceived) == []


def test_what_is_for_others_is_not_ours(pair: Pair, opened: Open) -> None:
    sockets = opened()
    packet = sealed(UPDATE, HOME)
    octets = built(packet)
    other = octets[:24] + address("2001:db8:1::5") + octets[40:]
    with pair.theirs.entered():
        out = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    out.sendto(other, ("link0", 0x86DD, 0, 0, bytes.fromhex("020000000001")))
    out.close()
    assert heard(sockets, 0) == []
    assert sockets.counters["not-for-us"] == 1


def test_rfc6275_9_2_malformed_headers_are_answered_with_a_place(pair: Pair, opened: Open) -> None:
    sockets = opened()
    for octet, value, pointer in ((0, 6, 40), (1, 0, 41)):
        whole = bytearray(encode(UPDATE))
        whole[octet] = value
        for home, more in ((None, 0), (HOME, 24)):
            packet = Packet(THEIRS, OURS, 64, 135, b"", home)
            packet.payload = seal(bytes(whole), *packet.checksum_addresses)
            pair.send(packet)
            assert not any(isinstance(event, MessageReceived) for event in heard(sockets, 0))
            errors = pair.errors()
            assert [error[:2] for error in errors] == [b"\x04\x00"]
            assert struct.unpack_from("!I", errors[0], 4) == (pointer + more,)
            assert errors[0][8 + 40 + more :][: len(whole)][octet] == value


def test_rfc6275_9_2_a_mobile_node_alone_answers_types_that_it_does_not_know(pair: Pair, opened: Open) -> None:
    sockets = opened(handled=MN_TYPES, only=True)
    pair.send(sealed(HomeTestInit(bytes(8))))
    pair.send(sealed(UPDATE, HOME))
    pair.send(sealed(BindingAcknowledgement(0, 0, 1, 0)))
    found = heard(sockets)
    assert [type(event.message) for event in found if isinstance(event, MessageReceived)] == [BindingAcknowledgement]
    answers = [decode(octets) for octets in pair.answers()]
    assert answers == [BindingError(2, bytes(16)), BindingError(2, HOME)]


def test_beside_a_correspondent_node_it_leaves_them(pair: Pair, opened: Open) -> None:
    sockets = opened(handled=MN_TYPES, only=False)
    pair.send(sealed(HomeTestInit(bytes(8))))
    assert heard(sockets, 0) == []
    assert pair.answers() == []


def test_errors_are_few_and_a_source_has_its_share(pair: Pair, opened: Open) -> None:
    sockets = opened(source_rate=50)
    bad = bytearray(encode(UPDATE))
    bad[0] = 6
    for _ in range(300):
        packet = Packet(THEIRS, OURS, 64, 135, b"", HOME)  # a kernel with Mobile IPv6 answers those without itself
        packet.payload = seal(bytes(bad), *packet.checksum_addresses)
        pair.send(packet)
        sockets.events()
    heard(sockets, 0)
    assert 0 < sockets.counters["parameter-problems"] <= ERRORS_PER_SECOND
    assert sockets.counters["rate-limited"] == 200
    pair.errors()


def test_hostile_octets_raise_nothing(pair: Pair, opened: Open) -> None:
    sockets = opened(source_rate=100_000)
    source = random.Random(3)
    for number in range(600):
        octets = bytearray(built(sealed(UPDATE, HOME if number % 2 else None, HOME if number % 3 else None)))
        for _ in range(source.randrange(1, 5)):
            octets[source.randrange(40, len(octets))] = source.randrange(256)
        with suppress(OSError):
            pair.raw.sendto(bytes(octets), (text(OURS), 0))
        if number % 50 == 0:
            sockets.events()
    heard(sockets, 0)
    pair.errors()
    pair.answers()


def test_icmpv6_of_mobile_nodes_is_heard_with_its_home_address(pair: Pair, opened: Open) -> None:
    sockets = opened()
    packet = Packet(THEIRS, OURS, 64, 58, b"", HOME)
    packet.payload = seal_icmpv6(encode_icmpv6(MobilePrefixSolicitation(5)), *packet.checksum_addresses)
    pair.send(packet)
    (event,) = heard(sockets)
    assert isinstance(event, Icmpv6Received)
    assert (event.message, event.home_address, event.interface) == (MobilePrefixSolicitation(5), HOME, "link0")


def test_errors_about_what_we_sent_are_heard_and_about_others_not(pair: Pair, opened: Open) -> None:
    sockets = opened()
    for source in (OURS, HOME):
        about = built(Packet(source, THEIRS, 64, 135, encode(UPDATE)))
        report = struct.pack("!BBHI", 4, 1, 0, 6) + about
        pair.send(Packet(THEIRS, OURS, 64, 58, seal_icmpv6(report, THEIRS, OURS)))
    assert heard(sockets) == [IcmpErrorReceived(4, 1, THEIRS, 135)]
    assert sockets.counters["errors-refused"] == 1


def test_a_flood_of_errors_from_everywhere_is_looked_at_in_part(pair: Pair, opened: Open) -> None:
    sockets = opened()
    about = built(Packet(OURS, THEIRS, 64, 135, encode(UPDATE)))
    report = struct.pack("!BBHI", 1, 0, 0, 0) + about
    for number in range(300):
        source = THEIRS[:14] + number.to_bytes(2, "big")
        pair.send(Packet(source, OURS, 64, 58, seal_icmpv6(report, source, OURS)))
    assert sum(len(heard(sockets, 0)) for _ in range(10)) == HEARD_ERRORS
    assert sockets.counters["rate-limited"] == 300 - HEARD_ERRORS


def test_rfc4861_6_1_2_advertisements_from_afar_are_refused(pair: Pair, opened: Open) -> None:
    sockets = opened()
    octets = bytes((134, 0, 0, 0, 64, 0, 7, 8)) + bytes(8)
    pair.send(Packet(THEIRS, OURS, 255, 58, seal_icmpv6(octets, THEIRS, OURS)))
    assert [event for event in heard(sockets, 0) if isinstance(event, Icmpv6Received)] == []
    assert sockets.counters["advertisements-refused"] == 1


def test_what_came_through_a_tunnel_of_ours_is_heard_and_through_none_other(pair: Pair, opened: Open) -> None:
    sockets = opened(tunnelled=lambda source, destination: (source, destination) == (THEIRS, OURS))
    elsewhere = opened()
    inner = sealed(UPDATE, HOME)
    inner.source = address("2001:db8:7::1")
    inner.destination = OURS
    inner.payload = seal(encode(UPDATE), HOME, OURS)
    pair.send(Packet(THEIRS, OURS, 64, 41, built(inner)))
    (event,) = [event for event in heard(sockets) if isinstance(event, MessageReceived)]
    assert (event.source, event.home_address, event.message) == (inner.source, HOME, UPDATE)
    assert not any(isinstance(event, MessageReceived) for event in heard(elsewhere, 0))
    assert elsewhere.counters["not-for-us"] == 1


# --- out ----------------------------------------------------------------------------------------------------------


def test_messages_leave_with_home_addresses_and_a_right_checksum(pair: Pair, opened: Open) -> None:
    sockets = opened()
    with pair.theirs.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD))
    tap.settimeout(2)
    sockets.send(SendMessage(UPDATE, OURS, THEIRS, home_address=HOME))
    sockets.send(SendMessage(UPDATE, OURS, THEIRS, routed_to=HOME))
    sockets.send_icmpv6(SendIcmpv6(MobilePrefixSolicitation(1), OURS, THEIRS, home_address=HOME))
    wanted = [built(sealed_from_us(UPDATE, home=HOME)), built(sealed_from_us(UPDATE, routed=HOME))]
    found = []
    with suppress(TimeoutError):
        while len(found) < 3:
            octets = tap.recv(2048)
            if octets[6] in (43, 60):
                found.append(octets)
    tap.close()
    assert [packet[:4] + packet[6:] for packet in found[:2]] == [packet[:4] + packet[6:] for packet in wanted]
    assert len(found) == 3
    assert sockets.counters["sent"] == 3


def sealed_from_us(message: object, home: Address | None = None, routed: Address | None = None) -> Packet:
    packet = Packet(OURS, THEIRS, 64, 135, b"", home, routed)
    packet.payload = seal(encode(message), *packet.checksum_addresses)  # type: ignore[arg-type]
    return packet


def test_what_the_kernel_will_not_send_is_counted(pair: Pair, opened: Open) -> None:
    sockets = opened()
    sockets.send(SendMessage(UPDATE, OURS, address("2001:db8:ffff::1")))
    assert sockets.counters["send-errors"] == 1
