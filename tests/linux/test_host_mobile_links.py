"""What a host of Mobile IPv6 hears and does on its links, beside the sockets of its signalling (`test_host_mobile`)."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from sojourn.core.events import (
    AddressChanged,
    AddressProbed,
    Event,
    RouterProbed,
)
from sojourn.dataplane.netlink import Netlink
from sojourn.host import sessions, stale_links
from sojourn.host.address_monitor import AddressMonitor
from sojourn.host.mobile_packets import Packet, built
from sojourn.host.neighbours import PROBES, Neighbours
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.host.tunnel_watch import TunnelWatch
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.icmpv6 import NeighbourAdvertisement
from sojourn.wire.units import SECOND
from support.mobile_kernel import mobile_ipv6
from support.mobile_pair import HOME, OURS, TAKEN, THEIRS, Pair

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True, scope="module")
def _mobile_ipv6() -> Iterator[None]:
    with mobile_ipv6():
        yield


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


@pytest.mark.parametrize("proxied", [False, True], ids=["11_5_5", "10_4_1"])
def test_rfc6275_11_5_5_an_announcement_is_believed(pair: Pair, monitor: AddressMonitor, proxied: bool) -> None:
    """That of a home agent for a node that is away comes from the home agent's own address (10.4.1)."""
    clock = Clockwork()
    with pair.theirs.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD))
    tap.settimeout(2)
    with pair.ours.entered():
        neighbours = Neighbours(lambda event: None, clock.later, monitor.link_local)
        neighbours.announce("link0", HOME, proxied=proxied)
        neighbours.close()
    octets = tap.recv(2048)
    while octets[6] != 58 or octets[40] != 136:
        octets = tap.recv(2048)
    tap.close()
    assert octets[8:24] == (address("fe80::ff:fe00:1") if proxied else HOME)
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
    assert stale_links.routers(netlink, 100) == {address("fe80::1"), address("fe80::2")}
    assert stale_links.routers(netlink, 99) == set()
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


@pytest.mark.nf_tables
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
