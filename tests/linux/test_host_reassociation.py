"""A monitor interface in a kernel, the filter of its packet socket, and an access point that says what it heard there.

No radio: a TAP interface of the type that a monitor interface has (ARPHRD_IEEE80211_RADIOTAP) brings the frames.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.core.events import Event, NodeSeen
from sojourn.host.hostapd import AccessPoints
from sojourn.host.reassociation import REMEMBERED, Reassociations
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire.units import SECOND
from support.hostapd import OTHER, STATION, Hostapd, request

pytestmark = pytest.mark.lab

_TUNSETIFF, _TUNSETLINK = 0x400454CA, 0x400454CD
_TAP_WITHOUT_HEADER = 0x1002
_RADIOTAP_TYPE = 803
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


class Monitor:
    """``mon0`` in a namespace."""

    def __init__(self) -> None:
        self.namespace = NetworkNamespace("monitor")
        self._tap = self.namespace.call(self._make)

    @staticmethod
    def _make() -> int:
        tap = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"mon0", _TAP_WITHOUT_HEADER))
        fcntl.ioctl(tap, _TUNSETLINK, _RADIOTAP_TYPE)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            fcntl.ioctl(asking, _SIOCSIFFLAGS, struct.pack("16sH22x", b"mon0", _IFF_UP))
        return tap

    def hear(self, frame: bytes) -> None:
        os.write(self._tap, frame)

    def vanish(self) -> None:
        os.close(self._tap)

    def close(self) -> None:
        self.namespace.close()


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor()
    yield made
    made.close()


def test_only_reassociation_requests_come_through_and_are_remembered_for_a_while(monitor: Monitor) -> None:
    heard = monitor.namespace.call(lambda: Reassociations("mon0"))
    for kind in (0x00, 0x40, 0x80, 0xD0, 0x88):  # association, probes, beacons, actions, data
        for _ in range(200):
            monitor.hear(request(kind=kind))
    assert heard.came_from(STATION, 0) is None
    monitor.hear(request())
    assert heard.came_from(STATION, SECOND) == OTHER
    assert heard.came_from(STATION, SECOND + REMEMBERED) == OTHER
    assert heard.came_from(STATION, SECOND + REMEMBERED + 1) is None
    heard.close()


def test_an_access_point_says_where_a_station_comes_from(monitor: Monitor, tmp_path: Path) -> None:
    """hostapd says that it is there; the monitor interface where it came from. It may vanish, which harms nothing."""
    server = monitor.namespace.call(lambda: Hostapd(tmp_path / "wlan0"))
    points = monitor.namespace.call(lambda: AccessPoints([("br-lan", str(server.path), "mon0")], clock=lambda: 0))
    point = points.points[0]

    def happens() -> list[Event]:
        events = point.receive()
        while server.serve():
            events += point.receive()
        return events

    monitor.namespace.call(point.tick)
    happens()
    assert point.heard
    monitor.hear(request())
    server.connect(STATION)
    (seen,) = happens()
    assert isinstance(seen, NodeSeen)
    assert (seen.link_layer, seen.previous) == (STATION, OTHER)
    server.disconnect(STATION)
    happens()
    monitor.vanish()
    server.connect(STATION)
    happens()
    monitor.namespace.call(point.tick)
    assert points.counters["unmonitored"] == 1
    points.close()
    server.close()
