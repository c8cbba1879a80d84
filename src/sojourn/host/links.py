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

Any node can invent stations, tens of thousands in a second. What a bridge tells beyond a share is put off: it is
reported a few at a time, and what is too much even to be put off is found when the table is read anew. Departures of
stations that were reported are never put off.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from sojourn.core.events import Event, LinkChanged, NodeDetached, NodeSeen, Sighting
from sojourn.dataplane.netlink import Netlink, split
from sojourn.host import rtnetlink
from sojourn.host.census import Census, is_there
from sojourn.host.limits import Limiter
from sojourn.host.rtnetlink import Link, Station
from sojourn.wire.addresses import LinkLayer
from sojourn.wire.units import MILLISECOND, SECOND, Instant

DRAIN = 64
"""Datagrams taken per wake-up of the event loop."""
STATIONS = 65_536
"""Stations known at a time; what a flood of invented addresses adds beyond is counted and not reported."""
REREAD_INTERVAL = 1 * SECOND
"""Between two readings of everything; it doubles up to `REREAD_LONGEST` while there is reason to."""
REREAD_LONGEST = 8 * SECOND
STATION_RATE, STATION_BURST = 200, 400
"""Stations per second, and at once, of one bridge that are reported as they come."""
BACKLOG = 4_096
"""Stations that are put off, at a time."""
SLICE, SLICE_INTERVAL = 50, 50 * MILLISECOND
"""How many of these are reported in one go, and how soon the next are."""
CENSUS_DATAGRAMS = 2
"""Of the kernel's table, read in one go: some hundred stations."""
RECEIVE_BUFFER = 4 << 20
_DATAGRAM = 1 << 16
_GROUP_LINK, _GROUP_NEIGHBOUR = 1, 3
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33

_Key: TypeAlias = tuple[int, LinkLayer]
"""A bridge and a station at it."""
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
        """Something was missed and not read anew yet."""
        self._aged = aged
        self._clock = clock
        self._reread: Instant | None = None
        self._interval = REREAD_INTERVAL
        self._links: dict[int, Link] = {}
        self._stations: dict[_Key, int] = {}
        self._shares: Limiter[int] = Limiter(STATION_RATE, STATION_BURST, 256)
        self._backlog: dict[_Key, Station] = {}
        """Stations that are to be reported, oldest first."""
        self._overrun = False
        """Notifications were lost since the table was last read: stations that are known may have been away."""
        self._again = False
        """The census under way reports also the stations that are known."""
        self._unseen: set[_Key] = set()
        """Stations that the census under way has not met."""
        self._missing: list[_Key] = []
        """Stations that the last census did not meet, and that were not asked for yet."""
        self._socket = _netlink()
        self._ask = Netlink()
        self._census = Census()
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
        self._census.close()

    def start(self) -> list[Event]:
        """What holds now: links (only those of `access` are reported) and stations that are there already, the first
        of them if there are many.
        """
        events = self._read_anew() + self._advance()
        return [event for event in events if not isinstance(event, LinkChanged) or event.interface in self.access]

    def due(self) -> Instant | None:
        """When `receive` should be called though nothing came; None: only when something comes."""
        if self._census.running or self._backlog or self._missing:
            return self._clock() + SLICE_INTERVAL
        if self.stale and self._reread is not None:
            return self._reread + self._interval
        return None

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
                self.stale = self._overrun = True
                continue
            for kind, _flags, _sequence, payload in split(octets):
                events += self._on_message(kind, payload)
        idle = not (self._census.running or self._backlog or self._missing)
        if self.stale and idle and (self._reread is None or self._clock() - self._reread >= self._interval):
            events += self._read_anew()
        return events + self._advance()

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
            return _change(known.name, known.up, False) + _change(link.name, False, link.up, link.link_layer)
        if known is None:
            return [LinkChanged(link.name, link.up, link.link_layer)]
        if known.up and link.up and link.downs != known.downs:  # down and up again in one notification
            return [LinkChanged(link.name, False), LinkChanged(link.name, True, link.link_layer)]
        return _change(link.name, known.up, link.up, link.link_layer)

    def _on_link_gone(self, index: int) -> list[Event]:
        """A bridge takes its forwarding table with it; it says so before, but messages may have been lost."""
        link = self._links.pop(index, None)
        if link is None:
            return []
        events: list[Event] = [NodeDetached(link.name, key[1]) for key in self._stations if key[0] == index]
        self._stations = {key: port for key, port in self._stations.items() if key[0] != index}
        self._backlog = {key: station for key, station in self._backlog.items() if key[0] != index}
        return events + _change(link.name, link.up, False)

    def _on_station(self, station: Station) -> list[Event]:
        interface = self._access_bridge(station)
        if interface is None:
            return []
        key = (station.bridge, station.link_layer)
        self._unseen.discard(key)
        if station.expired:  # about to be forgotten, not a sign of life
            if key in self._stations:
                self._stations[key] = station.port
            return []
        if not self._shares.allow(station.bridge, self._clock()):
            self._put_off(key, station)
            return []
        self._backlog.pop(key, None)
        return self._report(key, station, interface)

    def _report(self, key: _Key, station: Station, interface: str) -> list[Event]:
        if key not in self._stations and len(self._stations) >= STATIONS:
            self.counters["stations-refused"] += 1
            return []
        self._stations[key] = station.port
        self.counters["stations-seen"] += 1
        return [NodeSeen(interface, station.link_layer, Sighting.STATION)]

    def _put_off(self, key: _Key, station: Station) -> None:
        """To be reported soon; one that is too much is found when everything is read anew."""
        self.counters["stations-put-off"] += 1
        if key in self._stations or key in self._backlog or len(self._backlog) < BACKLOG:
            self._backlog[key] = station
        else:
            self.stale = True

    def _on_station_gone(self, station: Station) -> list[Event]:
        interface = self._access_bridge(station)
        if interface is None:
            return []
        key = (station.bridge, station.link_layer)
        self._unseen.discard(key)
        self._backlog.pop(key, None)
        # One that was not reported may be known by what it said itself; or it was invented.
        if self._stations.pop(key, None) is None and not self._shares.allow(station.bridge, self._clock()):
            self.counters["departures-ignored"] += 1
            return []
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
        """Read links, report what changed, and begin to read the stations. Nothing when that fails."""
        now = self._clock()
        again_soon = self._reread is not None and now - self._reread < 2 * self._interval
        self._interval = min(2 * self._interval, REREAD_LONGEST) if again_soon else REREAD_INTERVAL
        self._reread = now
        try:
            dumped = self._ask.dump(rtnetlink.RTM_GETLINK, rtnetlink.DUMP_LINKS)
            self._census.begin()
        except OSError:
            self.counters["dump-errors"] += 1
            return []
        self.stale = False
        self._again, self._overrun = self._overrun, False
        self._unseen = set(self._stations)
        events: list[Event] = []
        links = [link for link in map(rtnetlink.link, dumped) if link]
        for index in self._links.keys() - {link.index for link in links}:
            events += self._on_link_gone(index)
        for link in links:
            events += self._on_link(link)
        return events

    def _advance(self) -> list[Event]:
        """A share of what is to be read and reported."""
        if self._census.running:
            self._count_some()
        events: list[Event] = []
        while self._missing and len(events) < SLICE:
            events += self._look_for(self._missing.pop())
        while self._backlog and len(events) < SLICE:
            key = next(iter(self._backlog))
            station = self._backlog.pop(key)
            interface = self._access_bridge(station)
            if interface is not None:
                events += self._report(key, station, interface)
        return events

    def _count_some(self) -> None:
        """Stations are to be reported; those that were known only if they may have been away and come back unheard."""
        try:
            found = self._census.more(CENSUS_DATAGRAMS)
        except OSError:
            self.counters["dump-errors"] += 1
            self.stale, self._overrun = True, self._overrun or self._again
            self._unseen.clear()
            return
        for station in found:
            key = (station.bridge, station.link_layer)
            self._unseen.discard(key)
            if self._access_bridge(station) is None or station.expired:
                continue
            if key in self._stations:
                if self._again:
                    self._backlog.setdefault(key, station)
            elif len(self._backlog) < BACKLOG:
                self._backlog.setdefault(key, station)
            else:
                self.stale = True
        if not self._census.running:
            self._missing, self._unseen = list(self._unseen), set()

    def _look_for(self, key: _Key) -> list[Event]:
        link = self._links.get(key[0])
        if key not in self._stations or link is None or is_there(self._ask, *key):
            return []
        del self._stations[key]
        self.counters["stations-gone"] += 1
        return [NodeDetached(link.name, key[1])]


def _change(interface: str, before: bool, after: bool, link_layer: LinkLayer = b"") -> list[Event]:
    return [LinkChanged(interface, after, link_layer)] if before != after else []


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
