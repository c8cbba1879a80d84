"""What the links of this router say: stations come and go at bridges, interfaces go up and down.

One netlink socket hears about links and about bridge forwarding entries. A station that a bridge learns is a
node that is there (`NodeSeen`); an entry that somebody deleted, or that went with its port's carrier, is a
node that left (`NodeDetached`).

An entry that the bridge *aged out* is neither: a node that only receives is silent, and 300 seconds of
silence do not mean that it left. The kernel lets us tell the two apart: an aged entry is announced in the
state STALE, a deleted one in the state that it had. What is to be done about an aged one is for
`sojourn.host.presence` to say.

The kernel drops notifications when we are slow (ENOBUFS). Then everything is read anew and the differences
are reported, so that nothing is missed for good.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sojourn.core.events import Event, LinkChanged, NodeDetached, NodeSeen, Sighting
from sojourn.dataplane.netlink import Netlink, split
from sojourn.host import rtnetlink
from sojourn.host.rtnetlink import Link, Station
from sojourn.wire.addresses import LinkLayer
from sojourn.wire.units import SECOND, Instant

DRAIN = 64
"""Datagrams taken per wake-up of the event loop."""
STATIONS = 65_536
"""Stations known at a time; what a flood of invented addresses adds beyond is counted and not reported."""
REREAD_INTERVAL = 1 * SECOND
RECEIVE_BUFFER = 4 << 20
_DATAGRAM = 1 << 16
_GROUP_LINK, _GROUP_NEIGHBOUR = 1, 3
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33

Aged = Callable[[str, LinkLayer], None]
"""Told of (interface, address) of a station that the bridge aged out."""


class LinkMonitor:
    """Hears of all links, and of the stations on those of `access` that are bridges.

    `start` reads what is there now, `receive` what happened since. `aged`, when given, is told of stations
    that the bridge forgot because they were silent. Raises OSError when there is no netlink.
    """

    def __init__(
        self,
        access: Iterable[str],
        *,
        aged: Aged | None = None,
        clock: Callable[[], Instant] = time.monotonic_ns,
    ) -> None:
        self.access = frozenset(access)
        self.counters: Counter[str] = Counter()
        self.stale = False
        """Something was missed and not read anew yet: call `receive` again after `REREAD_INTERVAL`."""
        self._aged = aged
        self._clock = clock
        self._reread: Instant | None = None
        self._links: dict[int, Link] = {}
        self._stations: dict[tuple[int, LinkLayer], int] = {}
        self._socket = _netlink()
        self._ask = Netlink()
        _enlarge(self._socket)
        for group in (_GROUP_LINK, _GROUP_NEIGHBOUR):
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the sockets."""
        self._socket.close()
        self._ask.close()

    def start(self) -> list[Event]:
        """What holds now: links (only those of `access` are reported) and the stations that are there
        already.
        """
        return [
            event for event in self._read_anew() if not isinstance(event, LinkChanged) or event.interface in self.access
        ]

    def receive(self) -> list[Event]:
        """What happened since."""
        events: list[Event] = []
        for _ in range(DRAIN):
            try:
                octets = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self.counters["receive-errors"] += 1
                    break
                self.counters["overruns"] += 1
                self.stale = True
                continue
            for kind, _flags, _sequence, payload in split(octets):
                events += self._on_message(kind, payload)
        if self.stale and (self._reread is None or self._clock() - self._reread >= REREAD_INTERVAL):
            events += self._read_anew()
        return events

    def interface_up(self, interface: str) -> bool:
        """Whether an interface of that name exists and is up, as far as was heard."""
        return any(link.up for link in self._links.values() if link.name == interface)

    # --- messages -------------------------------------------------------------------------------------------

    def _on_message(self, kind: int, payload: bytes) -> list[Event]:
        match kind:
            case rtnetlink.RTM_NEWLINK:
                link = rtnetlink.link(payload)
                return self._on_link(link) if link else []
            case rtnetlink.RTM_DELLINK:
                link = rtnetlink.link(payload)
                return self._on_link_gone(link.index) if link else []
            case rtnetlink.RTM_NEWNEIGH:
                station = rtnetlink.station(payload)
                return self._on_station(station) if station else []
            case rtnetlink.RTM_DELNEIGH:
                station = rtnetlink.station(payload)
                return self._on_station_gone(station) if station else []
            case _:
                return []

    def _on_link(self, link: Link) -> list[Event]:
        known = self._links.get(link.index)
        self._links[link.index] = link
        if known is not None and known.name != link.name:  # renamed
            return _change(known.name, known.up, False) + _change(link.name, False, link.up)
        if known is None:
            return [LinkChanged(link.name, link.up)]
        if known.up and link.up and link.downs != known.downs:  # down and up again in one notification
            return [LinkChanged(link.name, False), LinkChanged(link.name, True)]
        return _change(link.name, known.up, link.up)

    def _on_link_gone(self, index: int) -> list[Event]:
        """A bridge takes its forwarding table with it; it says so before, but messages may have been lost."""
        link = self._links.pop(index, None)
        if link is None:
            return []
        events: list[Event] = [NodeDetached(link.name, key[1]) for key in self._stations if key[0] == index]
        self._stations = {key: port for key, port in self._stations.items() if key[0] != index}
        return events + _change(link.name, link.up, False)

    def _on_station(self, station: Station) -> list[Event]:
        interface = self._access_bridge(station)
        if interface is None:
            return []
        key = (station.bridge, station.link_layer)
        if key not in self._stations and len(self._stations) >= STATIONS:
            self.counters["stations-refused"] += 1
            return []
        self._stations[key] = station.port
        if station.expired:
            return []  # about to be forgotten, not a sign of life
        self.counters["stations-seen"] += 1
        return [NodeSeen(interface, station.link_layer, Sighting.STATION)]

    def _on_station_gone(self, station: Station) -> list[Event]:
        interface = self._access_bridge(station)
        if interface is None:
            return []
        self._stations.pop((station.bridge, station.link_layer), None)
        if station.expired:
            self.counters["stations-aged"] += 1
            if self._aged is not None:
                self._aged(interface, station.link_layer)
            return []
        self.counters["stations-gone"] += 1
        return [NodeDetached(interface, station.link_layer)]

    def _access_bridge(self, station: Station) -> str | None:
        """The name of the access bridge that `station` is at, if it is at one."""
        link = self._links.get(station.bridge)
        if link is None or link.name not in self.access or not station.learned:
            return None
        return link.name

    # --- everything anew ------------------------------------------------------------------------------------

    def _read_anew(self) -> list[Event]:
        """Read links and stations; report what changed, and every station that is there. Nothing when that fails."""
        try:
            links = [
                link
                for link in map(rtnetlink.link, self._ask.dump(rtnetlink.RTM_GETLINK, rtnetlink.DUMP_LINKS))
                if link
            ]
            dumped = self._ask.dump(rtnetlink.RTM_GETNEIGH, rtnetlink.DUMP_STATIONS)
        except OSError:
            self.counters["dump-errors"] += 1
            return []
        finally:
            self._reread = self._clock()
        self.stale = False
        events: list[Event] = []
        for index in self._links.keys() - {link.index for link in links}:
            events += self._on_link_gone(index)
        for link in links:
            events += self._on_link(link)
        return events + self._compare_stations([found for found in map(rtnetlink.station, dumped) if found])

    def _compare_stations(self, stations: Sequence[Station]) -> list[Event]:
        present = {(station.bridge, station.link_layer) for station in stations if self._access_bridge(station)}
        events: list[Event] = []
        for key in self._stations.keys() - present:
            del self._stations[key]
            link = self._links.get(key[0])
            if link is not None:
                events.append(NodeDetached(link.name, key[1]))
        for station in stations:  # also those that were known: they may have been away and come back unheard
            events += self._on_station(station)
        return events


def _change(interface: str, before: bool, after: bool) -> list[Event]:
    return [LinkChanged(interface, after)] if before != after else []


def _netlink() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    netlink = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    netlink.bind((0, 0))  # one without a number of its own hears no notifications
    return netlink


def _enlarge(netlink: socket.socket) -> None:
    try:
        netlink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
