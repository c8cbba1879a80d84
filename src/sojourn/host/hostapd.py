"""Stations that access points tell of: hostapd's control interface, a Unix datagram socket for each radio.

hostapd says ``AP-STA-CONNECTED`` when a station may use the link, after IEEE 802.1X or a key where there is one, which
is earlier than its first frame; and ``AP-STA-DISCONNECTED`` when it left. Who it authenticated as (its Network Access
Identifier) is asked for at once. What was there before is listed when the connection is made, and again whenever
hostapd was away: it may start after us, and restart. ``BSS-TM-RESP`` is the answer of a station that was asked to go
elsewhere (BSS transition management, IEEE 802.11v): if it agrees, where it goes is known before it leaves.

Answers come in the order of the questions, events in between. One answer that fits no question means that some were
lost; then everything begins anew.
"""

from __future__ import annotations

import re
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from sojourn.core.events import Event, HandoverExpected, NodeDetached, NodeSeen, Sighting
from sojourn.host.reassociation import Reassociations
from sojourn.wire.addresses import LinkLayer, link_layer, link_layer_text
from sojourn.wire.units import SECOND, Instant

INTERVAL = 2 * SECOND
"""Between two signs of life, and two attempts to reach one that is away."""
PATIENCE = 5 * SECOND
"""An access point that leaves a question unanswered for so long is away."""
QUESTIONS = 256
"""Without an answer, at a time; hostapd's own queue may be shorter. Stations beyond are reported without identity."""
STATIONS = 4_096
"""Of one access point; more are reported, and not remembered."""
DRAIN = 64
"""Datagrams taken per wake-up of the event loop."""
_IDENTITY_MAX = 253
"""Octets of a Network Access Identifier (RFC 7542 2.1)."""
_DATAGRAM = 1 << 14
_STATION = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_EVENT = re.compile(r"<\d+>(AP-STA-CONNECTED|AP-STA-DISCONNECTED|BSS-TM-RESP) (\S+)")
_ACCEPTED = re.compile(rf"status_code=0 .*\btarget_bssid=({_STATION.pattern})$")
_ATTACH, _DETACH, _PING, _FIRST, _NEXT, _STA = "ATTACH", "DETACH", "PING", "STA-FIRST", "STA-NEXT", "STA"
_FAIL = "FAIL"


class AccessPoints:
    """Those of one role. When a station goes from one of them to another of the same link, the old one is not asked."""

    def __init__(
        self, points: Sequence[tuple[str, str, str]] = (), *, clock: Callable[[], Instant] = time.monotonic_ns
    ) -> None:
        """`points` are (access interface, path of the control socket, monitor interface or nothing).

        Raises OSError without Unix sockets.
        """
        self.counters: Counter[str] = Counter()
        self._where: dict[tuple[str, LinkLayer], AccessPoint] = {}
        self.points = [AccessPoint(*point, self._where, self.counters, clock) for point in points]

    def close(self) -> None:
        """Let go of the sockets."""
        for point in self.points:
            point.close()


class AccessPoint:
    """One hostapd. `receive` what it says; `tick` at `due`."""

    def __init__(
        self,
        interface: str,
        control: str,
        monitor: str,
        where: dict[tuple[str, LinkLayer], AccessPoint],
        counters: Counter[str],
        clock: Callable[[], Instant],
    ) -> None:
        self.interface = interface
        """The access interface on which its stations are."""
        self.control = control
        self.heard = False
        """It is there and tells us."""
        self._monitor = monitor
        self._reassociations: Reassociations | None = None
        self._where = where
        self._counters = counters
        self._clock = clock
        self._connected = False
        self._due = clock()
        self._asked: deque[tuple[str, Instant]] = deque()
        self._arriving: set[LinkLayer] = set()
        """Stations that are reported when it is known who they are."""
        self._stations: set[LinkLayer] = set()
        self._listed: set[LinkLayer] = set()
        """What the list that is being read has shown so far."""
        self._unread = False
        """The list is to be read from its beginning."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind("")  # a name that the kernel makes up, and that leaves no file

    def fileno(self) -> int:
        """For `loop.add_reader`; the same all the time."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the sockets."""
        self._leave()
        self._socket.close()
        self._listen_no_more()

    def _leave(self) -> None:
        with suppress(OSError):
            self._socket.send(_DETACH.encode())

    def due(self) -> Instant:
        """When `tick` should be called."""
        return self._due

    def tick(self) -> None:
        """Look whether it is there (still, or again)."""
        now = self._clock()
        self._due = now + INTERVAL
        self._listen()
        if self._connected and self._asked and now - self._asked[0][1] > PATIENCE:
            self._lose("silent")
        if not self._connected:
            self._connect()
        elif self._unread:
            self._unread = not self._ask(_FIRST)
        else:
            self._ask(_PING)

    def _listen(self) -> None:
        """At the monitor interface, which may come later than we, and be made anew."""
        if self._monitor and self._reassociations is None:
            try:
                self._reassociations = Reassociations(self._monitor)
            except OSError:
                self._counters["unmonitored"] += 1

    def _listen_no_more(self) -> None:
        if self._reassociations is not None:
            self._reassociations.close()
            self._reassociations = None

    def receive(self) -> list[Event]:
        """What it said since."""
        events: list[Event] = []
        for _ in range(DRAIN):
            said = self._next()
            if said is None:
                break
            if self._connected:
                events += self._on_said(said)
        return events

    def _next(self) -> str | None:
        try:
            return self._socket.recv(_DATAGRAM).decode("utf-8", "replace")
        except OSError:  # nothing more, or it is away, which the next question shows
            return None

    # --- questions --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        while self._next() is not None:  # late answers to questions of before
            pass
        try:
            self._socket.connect(self.control)  # from now on nobody else can send us anything
        except OSError:
            self._counters["unreachable"] += 1
            return
        self._connected = True
        self._ask(_ATTACH)

    def _ask(self, question: str) -> bool:
        """Whether it was asked; it is not when it has too much to do."""
        if len(self._asked) >= QUESTIONS:
            return False
        try:
            self._socket.send(question.encode())
        except BlockingIOError:
            return False
        except OSError:
            self._lose("gone")
            return False
        self._asked.append((question, self._clock()))
        return True

    def _lose(self, reason: str) -> None:
        """Its stations may still be there: what it says when it is back decides."""
        self._leave()
        self._counters[reason] += 1
        self._connected = self.heard = False
        self._asked.clear()
        self._arriving.clear()

    # --- what it says -------------------------------------------------------------------------------------------------

    def _on_said(self, said: str) -> list[Event]:
        if not said.startswith("<"):
            return self._on_answer(said.strip())
        event = _EVENT.match(said)
        if event is None or not _STATION.fullmatch(event[2]):
            return []
        station = link_layer(event[2])
        match event[1]:
            case "AP-STA-CONNECTED":
                return self._on_connected(station)
            case "AP-STA-DISCONNECTED":
                return self._on_disconnected(station)
            case _:
                return self._on_transition(station, said[event.end() :].strip())

    def _on_connected(self, station: LinkLayer) -> list[Event]:
        self._counters["connected"] += 1
        self._listed.add(station)
        if not self._ask(f"{_STA} {link_layer_text(station)}"):
            return self._report(station, "")
        self._arriving.add(station)
        return []

    def _on_disconnected(self, station: LinkLayer) -> list[Event]:
        self._counters["disconnected"] += 1
        self._arriving.discard(station)
        self._listed.discard(station)
        return self._gone(station)

    def _on_transition(self, station: LinkLayer, answer: str) -> list[Event]:
        """What it answered when it was asked to go."""
        accepted = _ACCEPTED.match(answer)
        if accepted is None:
            return []
        self._counters["leaving"] += 1
        return [HandoverExpected(station, link_layer(accepted[1]))]

    def _on_answer(self, answer: str) -> list[Event]:
        question = self._asked.popleft()[0] if self._asked else ""
        kind, _, about = question.partition(" ")
        shown = answer.partition("\n")[0]
        match kind:
            case "ATTACH" if answer == "OK":
                self.heard = True
                self._listed = set()
                self._unread = not self._ask(_FIRST)
                return []
            case "PING" if answer == "PONG":
                return []
            case "STA" if shown in (about, _FAIL):
                return self._on_station(link_layer(about), answer)
            case "STA-FIRST" | "STA-NEXT" if not shown or shown == _FAIL or _STATION.fullmatch(shown):
                return self._on_listed(kind, answer)
            case _:
                self._lose("confused")
                return []

    def _on_station(self, station: LinkLayer, answer: str) -> list[Event]:
        if station not in self._arriving:  # it left meanwhile
            return []
        self._arriving.discard(station)
        return self._report(station, answer)

    def _on_listed(self, kind: str, answer: str) -> list[Event]:
        """One station of the list; an empty answer ends it."""
        shown = answer.partition("\n")[0]
        if not shown:
            gone = self._stations - self._listed
            return [event for station in sorted(gone) for event in self._gone(station)]
        if shown == _FAIL or len(self._listed) >= STATIONS:
            if kind == _NEXT and shown == _FAIL:  # the one after which we asked left
                self._unread = not self._ask(_FIRST)
            return []
        station = link_layer(shown)
        self._listed.add(station)
        self._unread = not self._ask(f"{_NEXT} {shown}")
        known = station in self._stations or station in self._arriving
        return [] if known or "[AUTHORIZED]" not in answer else self._report(station, answer)

    # --- events -----------------------------------------------------------------------------------------------------

    def _report(self, station: LinkLayer, answer: str) -> list[Event]:
        if len(self._stations) < STATIONS:
            self._stations.add(station)
            self._where[self.interface, station] = self
        came_from = self._came_from(station)
        return [NodeSeen(self.interface, station, Sighting.STATION, identity=_identity(answer), previous=came_from)]

    def _came_from(self, station: LinkLayer) -> LinkLayer | None:
        if self._reassociations is None:
            return None
        try:
            return self._reassociations.came_from(station, self._clock())
        except OSError:  # the interface is gone
            self._listen_no_more()
            return None

    def _gone(self, station: LinkLayer) -> list[Event]:
        self._stations.discard(station)
        if self._where.get((self.interface, station), self) is not self:
            return []  # it went to another access point of this link
        self._where.pop((self.interface, station), None)
        return [NodeDetached(self.interface, station)]


def _identity(answer: str) -> str | None:
    """Who a station is, of what hostapd knows of it; None where it does not, or what is no identifier."""
    found = re.search(r"^dot1xAuthSessionUserName=(.+)$", answer, re.MULTILINE)
    identity = found[1] if found else ""
    return identity if identity.isprintable() and 0 < len(identity.encode()) <= _IDENTITY_MAX else None
