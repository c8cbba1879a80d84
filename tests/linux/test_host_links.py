"""Stations and links of a real bridge."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

import pytest

from sojourn.core.events import Event, LinkChanged, NodeDetached, NodeSeen, Sighting
from sojourn.host import links
from sojourn.host.links import REREAD_INTERVAL, LinkMonitor
from support.access_router import NODE, PORT, UPDATE_FRAME, AccessRouter, access_router, events_until, until

pytestmark = pytest.mark.lab

SEEN = NodeSeen("acc0", NODE, Sighting.STATION)
GONE = NodeDetached("acc0", NODE)


@pytest.fixture
def network() -> Iterator[AccessRouter]:
    with access_router() as made:
        made.host.sysctl("net/ipv6/conf/all/disable_ipv6", 1)  # it says only what the test makes it say
        made.host.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
        yield made


class Monitor(LinkMonitor):
    """With the aged stations among the events."""

    def __init__(self, network: AccessRouter) -> None:
        self.aged: list[tuple[str, bytes]] = []
        with network.router.entered():
            super().__init__(["acc0"], aged=lambda interface, station: self.aged.append((interface, station)))

    def receive(self) -> list[Event]:
        found = super().receive()
        while self.aged:
            found.append(Aged(*self.aged.pop()))
        return found


class Aged(NodeDetached):
    """An aged station, for `events_until`."""


@pytest.fixture
def monitor(network: AccessRouter) -> Iterator[Monitor]:
    made = Monitor(network)
    made.start()
    yield made
    made.close()


def _is(event: Event) -> Callable[[Event], bool]:
    return lambda other: type(other) is type(event) and other == event


def _attached(network: AccessRouter, monitor: Monitor) -> list[Event]:
    network.host_up()
    network.associate()
    return events_until(monitor, _is(SEEN))


def test_an_association_is_seen(network: AccessRouter, monitor: Monitor) -> None:
    assert _attached(network, monitor)[-1] == SEEN


def test_a_disassociation_is_seen(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    assert network.netlink.forget_station(PORT, NODE)
    assert events_until(monitor, _is(GONE))[-1] == GONE
    network.associate()
    events_until(monitor, _is(SEEN))


def test_the_end_of_a_ports_carrier_detaches_its_stations(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    network.host_up(False)
    events = events_until(monitor, _is(LinkChanged("p0", False)))
    assert GONE in events or events_until(monitor, _is(GONE))
    assert monitor.counters["stations-aged"] == 0


def test_a_silent_station_is_told_from_one_that_left(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    network.ageing(1)
    events = events_until(monitor, lambda event: isinstance(event, Aged))
    assert GONE not in events[:-1]
    assert monitor.counters == {"stations-seen": 1, "stations-aged": 1}
    network.associate()
    events_until(monitor, _is(SEEN))


def test_stations_that_were_there_before_are_found(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    late = Monitor(network)
    events = late.start()
    late.close()
    assert events == [LinkChanged("acc0", True), SEEN]


def test_the_routers_own_addresses_are_no_stations(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    assert monitor.counters["stations-seen"] == 1


def test_a_bridge_that_is_removed_takes_its_stations_along(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    network.remove_bridge()
    events = events_until(monitor, _is(LinkChanged("acc0", False)))
    assert GONE in events


def test_after_an_overrun_the_differences_are_reported(network: AccessRouter) -> None:
    monitor = Monitor(network)
    monitor._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least
    monitor.start()
    network.host_up()
    network.associate()
    for _ in range(200):  # more than the socket can hold; the last one leaves the station in place
        network.netlink.forget_station(PORT, NODE)
        network.associate()
    events = events_until(monitor, _is(SEEN))
    assert monitor.counters["overruns"] > 0
    assert events[-1] == SEEN
    network.netlink.forget_station(PORT, NODE)
    for _ in range(200):
        network.netlink.set_link(PORT, up=False)
        network.netlink.set_link(PORT, up=True)
    assert GONE in events_until(monitor, _is(GONE))
    monitor.close()


def test_a_bridge_that_is_not_ours_is_left_alone(network: AccessRouter) -> None:
    with network.router.entered():
        monitor = LinkMonitor(["acc1"])
    monitor.start()
    network.host_up()
    network.associate()
    until(lambda: network.netlink.forget_station(PORT, NODE))
    network.netlink.set_link(PORT, up=False)
    events = events_until(monitor, _is(LinkChanged("p0", False)))
    assert not any(isinstance(event, NodeSeen | NodeDetached) for event in events)
    monitor.close()


def test_invented_stations_use_bounded_memory(
    network: AccessRouter, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _attached(network, monitor)
    monkeypatch.setattr(links, "STATIONS", 3)
    for number in range(10):
        network.from_host(UPDATE_FRAME[:6] + b"\x02\x00\x00\x01\x00" + bytes((number,)) + UPDATE_FRAME[12:])
    network.netlink.forget_station(PORT, NODE)
    events = events_until(monitor, _is(GONE))
    assert sum(isinstance(event, NodeSeen) for event in events) == 2
    assert monitor.counters["stations-refused"] == 8
    network.associate()
    assert events_until(monitor, _is(SEEN))[-1] == SEEN, "there is room again"


def _flood(network: AccessRouter, number: int) -> None:
    """Frames of stations that do not exist."""
    with network.host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for invented in range(number):
            raw.send(UPDATE_FRAME[:6] + b"\x02\x99" + invented.to_bytes(4, "big") + UPDATE_FRAME[12:])


def _drained(monitor: LinkMonitor) -> list[Event]:
    """What is reported until nothing more waits in the socket; time stands still."""
    events: list[Event] = []
    while select.select([monitor], [], [], 0.2)[0]:
        events += monitor.receive()
    return events


def test_invented_stations_are_reported_a_few_at_a_time(network: AccessRouter) -> None:
    """A departure is told at once all the same, and in the end nobody was missed."""
    now = [0]
    with network.router.entered():
        monitor = LinkMonitor(["acc0"], clock=lambda: now[0])
    monitor.start()
    network.host_up()
    network.associate()
    events_until(monitor, _is(SEEN))
    _flood(network, 3_000)
    calls = 3_000 // links.SLICE
    seen = sum(isinstance(event, NodeSeen) for event in _drained(monitor))
    assert links.STATION_BURST - 1 <= seen <= links.STATION_BURST + calls * links.SLICE
    assert seen < 3_000
    assert monitor.due() == links.SLICE_INTERVAL
    network.netlink.forget_station(PORT, NODE)
    assert select.select([monitor], [], [], 5)[0]
    told = monitor.receive()
    assert told[0] == GONE
    seen += sum(isinstance(event, NodeSeen) for event in told)
    while (due := monitor.due()) is not None:
        now[0] = due
        told = monitor.receive()
        assert len(told) <= links.SLICE
        seen += sum(isinstance(event, NodeSeen) for event in told)
    assert seen == 3_000
    monitor.close()


def test_more_than_can_be_put_off_is_found_by_reading_anew(
    network: AccessRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "BACKLOG", 100)
    monkeypatch.setattr(links, "SLICE", 10)
    now = [0]
    with network.router.entered():
        monitor = LinkMonitor(["acc0"], clock=lambda: now[0])
    monitor.start()
    network.host_up()
    network.associate()
    _flood(network, 1_500)
    seen = {event.link_layer for event in _drained(monitor) if isinstance(event, NodeSeen)}
    assert monitor.stale
    for _ in range(1_000):
        due = monitor.due()
        if due is None:
            break
        now[0] = due
        seen |= {event.link_layer for event in monitor.receive() if isinstance(event, NodeSeen)}
    assert len(seen) == 1_501
    assert monitor.counters["stations-gone"] == 0, "an entry that a dump left out is asked for"
    monitor.close()


def test_a_departure_that_was_not_heard_is_found_by_reading_anew(network: AccessRouter, monitor: Monitor) -> None:
    _attached(network, monitor)
    monitor.stale = True
    network.netlink.forget_station(PORT, NODE)
    while select.select([monitor], [], [], 0.2)[0]:
        monitor._socket.recv(1 << 16)  # lost
    until(lambda: GONE in monitor.receive())


def test_after_an_overrun_everything_is_read_anew_once_a_second(network: AccessRouter) -> None:
    now = [0]
    with network.router.entered():
        monitor = LinkMonitor(["acc0"], clock=lambda: now[0])
    monitor._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    monitor.start()
    network.host_up()
    for _ in range(200):
        network.associate()
        network.netlink.forget_station(PORT, NODE)
    network.associate()
    until(lambda: not monitor.receive())
    assert monitor.stale
    now[0] = REREAD_INTERVAL
    assert NodeSeen("acc0", NODE, Sighting.STATION) in monitor.receive()
    assert not monitor.stale
    monitor.close()
