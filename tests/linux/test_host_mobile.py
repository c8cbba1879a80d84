"""The senses of a host of Mobile IPv6, with the kernel under them: what arrives, what is answered, what is not."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from sojourn.core.effects import SendMessage
from sojourn.core.events import (
    AddressChanged,
    AddressProbed,
    Event,
    HomeAddressRefused,
    IcmpErrorReceived,
    Icmpv6Received,
    MessageReceived,
    RouterProbed,
)
from sojourn.core.mobile_effects import SendIcmpv6
from sojourn.dataplane.netlink import Netlink
from sojourn.host import sessions, stale_links
from sojourn.host.address_monitor import AddressMonitor
from sojourn.host.mobile import MN_TYPES
from sojourn.host.mobile_packets import Packet, built
from sojourn.host.mobile_sockets import DISCOVERY, ERRORS_PER_SECOND, HEARD_ERRORS, MobileSockets
from sojourn.host.neighbours import PROBES, Neighbours
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.host.tunnel_watch import TunnelWatch
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End, RouteNetlink
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
from sojourn.wire.icmpv6 import NeighbourAdvertisement, encode_icmpv6, seal_icmpv6
from sojourn.wire.units import SECOND
from support.access_router import reachable, until

pytestmark = pytest.mark.lab

OURS, THEIRS, HOME = address("2001:db8:1::1"), address("2001:db8:1::2"), address("2001:db8:9::1")
TAKEN = address("2001:db8:1::77")
UPDATE = BindingUpdate(7, 0x8000, 60 * SECOND)


class Pair:
    """Two machines on one link: ours and theirs."""

    def __init__(self) -> None:
        self.ours, self.theirs = NetworkNamespace("ours"), NetworkNamespace("theirs")
        ends = (
            End(self.ours, "link0", 100, bytes.fromhex("020000000001")),
            End(self.theirs, "link0", 101, bytes.fromhex("020000000002")),
        )
        netlinks = [RouteNetlink(one) for one in (self.ours, self.theirs)]
        netlinks[0].add_veth(*ends, 1500)
        for netlink, end, own in zip(netlinks, ends, (OURS, THEIRS), strict=True):
            netlink.set_link(end.index, up=True)
            netlink.add_address(end.index, own, 64)
        netlinks[1].add_address(101, TAKEN, 64)
        for one, own in ((self.ours, OURS), (self.theirs, THEIRS)):
            until(partial(reachable, one, own))
        for netlink in netlinks:
            netlink.close()
        with self.theirs.entered():
            self.raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.mobility = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
            self.icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        for heard in (self.mobility, self.icmp):
            heard.settimeout(1.0)

    def send(self, packet: Packet) -> None:
        self.raw.sendto(built(packet), (text(packet.destination), 0))

    def errors(self) -> list[bytes]:
        """ICMPv6 errors that came back."""
        found = []
        with suppress(TimeoutError):
            while True:
                octets = self.icmp.recv(2048)
                if octets[0] < 128:
                    found.append(octets)
        return found

    def answers(self) -> list[bytes]:
        found = []
        with suppress(TimeoutError):
            while True:
                found.append(self.mobility.recv(2048))
        return found

    def close(self) -> None:
        for one in (self.raw, self.mobility, self.icmp):
            one.close()
        self.ours.close()
        self.theirs.close()


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
        quiet = SignallingFilter()
        quiet.install()

    def open_with(**more: object) -> MobileSockets:
        with pair.ours.entered():
            heard = (1, 4, 134, *DISCOVERY)
            made.append(MobileSockets(heard, is_ours=monitor.is_ours, clock=lambda: 10**15, **more))  # type: ignore[arg-type]
        return made[-1]

    yield open_with
    for one in made:
        one.close()
    quiet.remove()
    quiet.close()


def heard(sockets: MobileSockets, wanted: int = 1) -> list[Event]:
    found: list[Event] = []
    deadline = time.monotonic() + 5
    while len(found) < wanted and time.monotonic() < deadline:
        found += sockets.events()
        time.sleep(0.005)
    time.sleep(0.05)
    return found + sockets.events()


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
    assert [octets[:2] for octets in pair.errors()] == [b"\x04\x02"]


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
        pair.send(Packet(THEIRS, OURS, 64, 135, seal(bytes(bad), THEIRS, OURS)))
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


# --- neighbours ---------------------------------------------------------------------------------------------------


class Timer:
    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clockwork:
    """`loop.call_later` that a test winds."""

    def __init__(self) -> None:
        self.waiting: list[Timer] = []

    def later(self, seconds: float, act: Callable[[], None]) -> Timer:
        self.waiting.append(Timer(act))
        return self.waiting[-1]

    def wind(self) -> None:
        waiting, self.waiting = self.waiting, []
        for timer in waiting:
            if not timer.cancelled:
                timer.act()


def test_a_home_address_that_somebody_has_is_found_and_a_free_one_is_free(pair: Pair, monitor: AddressMonitor) -> None:
    told: list[Event] = []
    clock = Clockwork()
    with pair.ours.entered():
        neighbours = Neighbours(told.append, clock.later, monitor.link_local)
        free = address("2001:db8:1::78")
        neighbours.probe_address("link0", TAKEN)
        neighbours.probe_address("link0", free)
        deadline = time.monotonic() + 5
        while not told and time.monotonic() < deadline:
            neighbours.receive()
            time.sleep(0.005)
        assert told == [AddressProbed("link0", TAKEN, True)]
        clock.wind()
        assert told[1:] == [AddressProbed("link0", free, False)]
        neighbours.close()


def test_a_router_that_answers_is_there_and_one_that_does_not_is_not(pair: Pair, monitor: AddressMonitor) -> None:
    told: list[Event] = []
    clock = Clockwork()
    theirs = address("fe80::ff:fe00:2")
    gone = address("fe80::99")
    with pair.ours.entered():
        neighbours = Neighbours(told.append, clock.later, monitor.link_local)
        neighbours.probe_router("link0", theirs)
        deadline = time.monotonic() + 5
        while not told and time.monotonic() < deadline:
            neighbours.receive()
            time.sleep(0.005)
        assert told == [RouterProbed("link0", theirs, True)]
        clock.waiting.clear()
        neighbours.probe_router("link0", gone)
        for _ in range(PROBES):
            clock.wind()
        assert told[1:] == [RouterProbed("link0", gone, False)]
        neighbours.close()


def test_rfc6275_11_5_5_an_announcement_is_believed(pair: Pair, monitor: AddressMonitor) -> None:
    clock = Clockwork()
    with pair.theirs.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD))
    tap.settimeout(2)
    with pair.ours.entered():
        neighbours = Neighbours(lambda event: None, clock.later, monitor.link_local)
        neighbours.announce("link0", HOME)
        neighbours.close()
    octets = tap.recv(2048)
    while octets[6] != 58 or octets[40] != 136:
        octets = tap.recv(2048)
    tap.close()
    assert octets[8:24] == HOME
    assert octets[44] == 0x20  # override, not solicited, no router
    assert octets[48:64] == HOME
    assert NeighbourAdvertisement.number == 136


# --- addresses, routes, sessions ----------------------------------------------------------------------------------


def test_addresses_come_change_and_go(pair: Pair, monitor: AddressMonitor) -> None:
    with pair.ours.entered():
        _follow_an_address(monitor)


def _follow_an_address(monitor: AddressMonitor) -> None:
    new = address("2001:db8:1::aa")
    _run(["ip", "-6", "address", "add", text(new) + "/64", "dev", "link0"])
    events: list[AddressChanged] = []
    deadline = time.monotonic() + 5
    while not any(event.usable for event in events) and time.monotonic() < deadline:
        events += monitor.receive()
        time.sleep(0.01)
    assert {event.address for event in events} == {new}
    assert monitor.is_ours(new)
    assert monitor.interface_of(new) == 100
    assert new in {event.address for event in monitor.again("link0")}
    assert monitor.link_local("link0") is not None
    _run(["ip", "-6", "address", "del", text(new) + "/64", "dev", "link0"])
    gone: list[AddressChanged] = []
    while not gone and time.monotonic() < deadline:
        gone += monitor.receive()
        time.sleep(0.01)
    assert [(event.address, event.usable) for event in gone] == [(new, False)]
    assert not monitor.is_ours(new)


def test_routes_that_advertisements_made_go_and_others_stay(pair: Pair) -> None:
    def made() -> None:
        for words in (
            "default via fe80::1 dev link0 proto ra metric 1024",
            "default via fe80::2 dev link0 proto ra metric 1025",
            "2001:db8:5::/64 dev link0 proto static",
        ):
            _run(["ip", "-6", "route", "add", *words.split()])

    with pair.ours.entered():
        netlink = Netlink()
    pair.ours.call(made)
    assert stale_links.forget(netlink, 100, address("fe80::2")) == 1
    assert stale_links.forget(netlink, 100) == 1
    assert stale_links.forget(netlink, 100) == 0
    left = pair.ours.call(lambda: _run(["ip", "-6", "route", "show", "dev", "link0"]))
    assert "2001:db8:5::/64" in left
    assert "2001:db8:1::/64" in left
    pair.ours.call(lambda: _run(["ip", "-6", "route", "del", "2001:db8:5::/64", "dev", "link0"]))
    netlink.close()


def test_sessions_are_counted_by_address(pair: Pair) -> None:
    with pair.theirs.entered():
        listening = socket.create_server((text(THEIRS), 7777), family=socket.AF_INET6)
    with pair.ours.entered():
        tcp = socket.create_connection((text(THEIRS), 7777), timeout=5)
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind((text(OURS), 0))
        anywhere = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        anywhere.bind(("::", 0))
    assert pair.ours.call(sessions.count) == {OURS: 2}
    for one in (tcp, udp, anywhere, listening):
        one.close()


def _run(command: list[str]) -> str:
    import subprocess

    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# --- what comes through the tunnel --------------------------------------------------------------------------------


def test_rfc6275_11_7_2_who_writes_through_the_tunnel_is_told_once(pair: Pair) -> None:
    now = [10**12]
    with pair.ours.entered():
        watch = TunnelWatch(clock=lambda: now[0])

    def tunnelled(source: Address, home: Address) -> None:
        inner = built(Packet(source, home, 64, 17, bytes(8)))
        pair.send(Packet(THEIRS, OURS, 64, 41, inner))

    def told(wanted: int) -> list[Address]:
        found: list[Address] = []
        deadline = time.monotonic() + 3
        while len(found) < wanted and time.monotonic() < deadline:
            found += [event.correspondent for event in watch.receive()]
            time.sleep(0.005)
        time.sleep(0.03)
        return found + [event.correspondent for event in watch.receive()]

    one, two = address("2001:db8:7::1"), address("2001:db8:7::2")
    tunnelled(one, HOME)
    assert told(0) == []
    watch.watch(HOME, THEIRS)
    for _ in range(3):
        tunnelled(one, HOME)
        tunnelled(two, HOME)
        tunnelled(two, OURS)
    assert sorted(told(2)) == [one, two]
    tunnelled(one, HOME)
    assert told(0) == []
    now[0] += 11 * SECOND
    watch.tick()
    tunnelled(one, HOME)
    assert told(1) == [one]
    watch.forget(HOME)
    now[0] += 11 * SECOND
    watch.tick()
    tunnelled(one, HOME)
    assert told(0) == []
    watch.close()


def test_addresses_of_a_link_that_is_gone_are_for_old_connections_only(pair: Pair) -> None:
    with pair.ours.entered():
        netlink = Netlink()
    words = "2001:db8:5::1/64 dev link0 valid_lft 600 preferred_lft 300 mngtmpaddr"
    pair.ours.call(lambda: _run(["ip", "-6", "address", "add", *words.split()]))
    stale_links.forget(netlink, 100)
    found = pair.ours.call(lambda: _run(["ip", "-6", "address", "show", "dev", "link0"]))
    (line,) = [line for line in found.splitlines() if "2001:db8:5::1" in line]
    assert "deprecated" in line
    assert "mngtmpaddr" in line
    (kept,) = [line for line in found.splitlines() if text(OURS) in line]
    assert "deprecated" not in kept
    routes = pair.ours.call(lambda: _run(["ip", "-6", "route", "show", "dev", "link0"]))
    assert "2001:db8:5::/64" not in routes
    pair.ours.call(lambda: _run(["ip", "-6", "address", "del", "2001:db8:5::1/64", "dev", "link0"]))
    netlink.close()


def test_what_keeps_the_kernel_silent_can_be_shown_and_is_gone_afterwards(pair: Pair) -> None:
    with pair.ours.entered():
        quiet = SignallingFilter()
        quiet.install()
        quiet.install()
    shown = pair.ours.call(lambda: _run(["nft", "list", "ruleset"]))
    assert "table ip6 sojourn-signalling" in shown
    assert shown.count("drop") == 2
    quiet.remove()
    quiet.remove()
    quiet.close()
    assert pair.ours.call(lambda: _run(["nft", "list", "ruleset"])) == ""
