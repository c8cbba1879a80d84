"""ICMPv6 echo between routers: an answer says that what the other had sent before is here (`ProbePath`).

An answer comes from the address that the other router's tunnelled packets come from, and goes where these go.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections import Counter
from collections.abc import Sequence

from sojourn.core.events import PathProbed
from sojourn.host.sockets import IPV6_FREEBIND
from sojourn.wire.addresses import UNSPECIFIED, Address, text

_REQUEST, _REPLY = 128, 129
_ICMP6_FILTER = 1
_ECHO = struct.Struct("!BBHHH")
_DRAIN = 64


class Echoes:
    """From `address`, an address of this machine (`arriving`: soon). Raises OSError where there are no raw sockets."""

    def __init__(self, address: Address = UNSPECIFIED, *, arriving: bool = False) -> None:
        self.counters: Counter[str] = Counter()
        self._identifier = secrets.randbits(16)
        self._token = secrets.token_bytes(8)
        """Nobody who does not see our requests can make an answer."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)
        try:
            if arriving:
                self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            self._socket.bind((text(address), 0))
            passed = bytearray(b"\xff" * 32)
            word = _REPLY // 32 * 4
            (bits,) = struct.unpack_from("=I", passed, word)
            struct.pack_into("=I", passed, word, bits & ~(1 << _REPLY % 32))
            self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(passed))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def ask(self, remote: Address, source: Address | None = None) -> None:
        """Send a request. What cannot be sent is lost, as on any network."""
        request = _ECHO.pack(_REQUEST, 0, 0, self._identifier, 0) + self._token  # the kernel fills in the checksum
        try:
            if source is None:
                self._socket.sendto(request, (text(remote), 0))
            else:
                from_there = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source + bytes(4))
                self._socket.sendmsg([request], [from_there], 0, (text(remote), 0))
        except OSError:
            self.counters["send-errors"] += 1

    def receive(self) -> Sequence[PathProbed]:
        """Whose answers came."""
        found = []
        for _ in range(_DRAIN):
            try:
                octets, sender = self._socket.recvfrom(256)
            except BlockingIOError:
                break
            except OSError:
                self.counters["receive-errors"] += 1
                break
            expected = struct.pack("!H", self._identifier)
            if octets[:1] == bytes((_REPLY,)) and octets[4:6] == expected and octets[8:] == self._token:
                found.append(PathProbed(socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])))
        return found
