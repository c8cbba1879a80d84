"""Where a station of an access point comes from: what it says itself in its reassociation request (IEEE 802.11).

hostapd uses the request and tells nobody what its Current AP Address was. But the kernel hands whatever a radio hears
to a *monitor* interface too (``iw dev wlan0 interface add mon0 type monitor``), each frame behind a radiotap header. A
filter in the kernel lets reassociation requests through, so that there is next to nothing to read. They are read when
hostapd says that a station is there, which is later.

A station may say what it likes. Whoever it names is asked first, and that is all.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from sojourn.host import packet_filter
from sojourn.wire.addresses import LinkLayer
from sojourn.wire.units import SECOND, Instant

REMEMBERED = 10 * SECOND
"""What was said longer ago is not about this association: with IEEE 802.1X it may take a while."""
STATIONS = 1_024
"""Remembered at a time."""
_ETH_P_ALL = 3
_FRAME = 512
"""Octets of a frame that are looked at."""
_RADIOTAP = struct.Struct("<BxH")
_HEADER = 24
_BODY = struct.Struct("<HH6s")
"""Capabilities, listen interval, Current AP Address."""
_REASSOCIATION_REQUEST = 0x20


class Reassociations:
    """What stations said, as one monitor interface heard it."""

    def __init__(self, monitor: str) -> None:
        """Raises OSError where there is no such interface, or no right to listen."""
        self._said: dict[LinkLayer, tuple[LinkLayer, Instant]] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        try:
            packet_filter.attach(self._socket, packet_filter.REASSOCIATION)
            self._socket.bind((monitor, _ETH_P_ALL))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def came_from(self, station: LinkLayer, now: Instant) -> LinkLayer | None:
        """The access point that it said to come from, lately. Raises OSError when the interface is gone."""
        self._listen(now)
        point, said = self._said.get(station, (None, 0))
        return point if now - said <= REMEMBERED else None

    def _listen(self, now: Instant) -> None:
        with suppress(BlockingIOError):
            while True:
                found = reassociation(self._socket.recv(_FRAME))
                if found is None:
                    continue
                station, point = found
                self._said.pop(station, None)
                if len(self._said) >= STATIONS:
                    del self._said[next(iter(self._said))]  # what was said longest ago
                self._said[station] = point, now


def reassociation(frame: bytes) -> tuple[LinkLayer, LinkLayer] | None:
    """Station and its current access point, of a reassociation request as a monitor interface shows it.

    None for what is none, is cut off, or names no other access point.
    """
    if len(frame) < _RADIOTAP.size:
        return None
    version, begins = _RADIOTAP.unpack_from(frame)
    if version or begins < 8 or len(frame) < begins + _HEADER + _BODY.size or frame[begins] != _REASSOCIATION_REQUEST:
        return None
    station = frame[begins + 10 : begins + 16]
    point = _BODY.unpack_from(frame, begins + _HEADER)[2]
    to = frame[begins + 4 : begins + 10]
    return None if (station[0] | point[0]) & 1 or point == to or not any(point) else (station, point)
