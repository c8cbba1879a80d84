"""ICMPv6 errors about packets that we wrapped are told to who sent what is inside (RFC 6275 10.4.2, RFC 2473 8).

A router on the way of a tunnel answers what does not fit, or cannot get there, to who tunnelled it: a home agent, a
mobile node or router, an LMA, a gateway. The kernel does not pass that on where the tunnel is no device, and who sent,
perhaps a program of this host, would never learn of a smaller MTU. The same holds for packets with a Home Address
option or a type 2 routing header that programs of ours put in (`header_programs`). Only errors about what really leaves
here so are passed on, one for one, and few of them. Programs of a mobile node itself end up with 64 octets less than
would fit, as its kernel takes the tunnel off what it is told. Not done: a tunnel packet is not divided, so that a way
with less than 1320 octets loses the largest packets (RFC 2473 7.1).
"""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from sojourn.host import packet_filter
from sojourn.host.limits import Limiter
from sojourn.host.packet_filter import Program
from sojourn.wire.addresses import UNSPECIFIED, Address, text
from sojourn.wire.icmpv6 import ICMPV6
from sojourn.wire.units import Instant

RATE = 100
"""Errors a second that are passed on."""
LEAST_MTU = 1280
UNREACHABLE, TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM = 1, 2, 3, 4
_ADDRESS_UNREACHABLE = 3
_DRAIN = 64
_HEADER = 40
_INNER = 8 + _HEADER
_QUOTED = LEAST_MTU - _INNER
_INFORMATION = 128
_IPV6_PKTINFO = 50
_IPV6, _ROUTING, _OPTIONS = 41, 43, 60
_TYPE_2, _HOME_ADDRESS = bytes((2, 2)), bytes((2, 1, 2, 0, 0, 0xC9, 16))
"""What such headers begin with, behind the next header."""
_DIRECT = 24
_ABOUT_OURS: Program = [
    ("", 0x30, 0, "", ""),  # type
    ("", 0x35, UNREACHABLE, "", "drop"),
    ("", 0x25, PARAMETER_PROBLEM, "drop", ""),
    ("", 0x30, 14, "", ""),  # next header of the packet that it is about
    ("", 0x15, _IPV6, "take", ""),
    ("", 0x15, _ROUTING, "take", ""),
    ("", 0x15, _OPTIONS, "take", "drop"),
    ("take", 0x06, 2048, "", ""),
    ("drop", 0x06, 0, "", ""),
]
Ends = tuple[Address, Address]
"""Source and destination."""


@runtime_checkable
class Tunneller(Protocol):
    """Who knows what is wrapped here."""

    def carries(self, outer: Ends, inner: Ends) -> bool:
        """Whether packets with `inner` addresses leave as packets with `outer` ones: in a tunnel, or with a header."""
        ...


class TunnelErrors:
    """Opens a raw socket. Raises OSError when the right to it is missing."""

    def __init__(
        self,
        tunneller: Tunneller,
        is_ours: Callable[[Address], bool],
        clock: Callable[[], Instant] = time.monotonic_ns,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._tunneller = tunneller
        self._is_ours = is_ours
        self._clock = clock
        self._limiter: Limiter[None] = Limiter(RATE, RATE, 1)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_INET6, kind, ICMPV6)
        try:
            packet_filter.attach(self._socket, _ABOUT_OURS)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def receive(self) -> None:
        """Pass on what came since."""
        for _ in range(_DRAIN):
            try:
                octets = self._socket.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                self.counters["receive-errors"] += 1
                return
            self._pass_on(octets)

    def _pass_on(self, octets: bytes) -> None:
        outer, (inner, overhead) = octets[8:_INNER], _unwrapped(octets[8:])
        report = _report(octets, inner, overhead)
        ours, remote = outer[8:24], outer[24:40]
        ends = inner[8:24], inner[24:40]
        if report is None or not self._is_ours(ours) or not self._tunneller.carries((ours, remote), ends):
            self.counters["refused"] += 1
        elif not self._limiter.allow(None, self._clock()):
            self.counters["rate-limited"] += 1
        else:
            control = ours + struct.pack("=i", 0)
            try:
                self._socket.sendmsg([report], [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, control)], 0, (text(ends[0]), 0))
            except OSError:
                self.counters["send-errors"] += 1
            else:
                self.counters["passed-on"] += 1


def _unwrapped(packet: bytes) -> tuple[bytes, int]:
    """The packet inside as its sender made it, and the octets that were added; empty when nothing is inside."""
    header, inside = packet[:_HEADER], packet[_HEADER:]
    if len(header) < _HEADER or header[6] == _IPV6:
        return inside, _HEADER
    home = inside[8:_DIRECT]
    if len(home) < 16:
        return b"", 0
    if header[6] == _OPTIONS and inside[1:8] == _HOME_ADDRESS:
        addresses = home + header[24:40]
    elif header[6] == _ROUTING and inside[1:3] == _TYPE_2:
        addresses = header[8:24] + home
    else:
        return b"", 0
    (length,) = struct.unpack_from("!H", header, 4)
    rest = struct.pack("!H", max(length - _DIRECT, 0)) + inside[:1] + header[7:8]
    return header[:4] + rest + addresses + inside[_DIRECT:], _DIRECT


def _report(octets: bytes, inner: bytes, overhead: int) -> bytes | None:
    """What the source of `inner` is told (RFC 2473 8.2); None: nothing."""
    if len(inner) < _HEADER or inner[0] >> 4 != 6:
        return None
    (length,) = struct.unpack_from("!H", inner, 4)
    if inner[8:24] == UNSPECIFIED or inner[8] == 0xFF or (inner[6] == ICMPV6 and inner[40:41] < bytes((_INFORMATION,))):
        return None  # nobody to tell, or an error itself (RFC 4443 2.4)
    if octets[0] != TOO_BIG:
        return struct.pack("!BBHI", UNREACHABLE, _ADDRESS_UNREACHABLE, 0, 0) + inner[:_QUOTED]
    (told,) = struct.unpack_from("!I", octets, 4)
    mtu = max(LEAST_MTU, told - overhead)
    if _HEADER + length <= mtu:
        return None  # it would fit, or nothing smaller may be asked for
    return struct.pack("!BBHI", TOO_BIG, 0, 0, mtu) + inner[:_QUOTED]
