"""What a mobile router says to the DHCPv6 server at its home agent, as a relay of itself (`SendDhcpv6`, RFC 6276)."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from sojourn.core.events import DhcpReceived
from sojourn.core.mobile_effects import SendDhcpv6
from sojourn.wire.addresses import text
from sojourn.wire.dhcpv6 import SERVER_PORT

_INFORMATION = struct.Struct("=16sI")
_DRAIN = 16
_LARGEST = 4096


class Dhcpv6Relay:
    """One socket, for all home addresses. Raises OSError where the port is in use."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_INET6, kind)
        try:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self._socket.bind(("::", SERVER_PORT))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def send(self, effect: SendDhcpv6) -> None:
        """Raises OSError."""
        source = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _INFORMATION.pack(effect.source, 0))
        self._socket.sendmsg([effect.payload], [source], 0, (text(effect.destination), SERVER_PORT))

    def receive(self) -> Sequence[DhcpReceived]:
        """What arrived."""
        found: list[DhcpReceived] = []
        with suppress(BlockingIOError):
            while len(found) < _DRAIN:
                payload, ancillary, _, sender = self._socket.recvmsg(_LARGEST, socket.CMSG_SPACE(_INFORMATION.size))
                self.counters["received"] += 1
                for _, kind, octets in ancillary:
                    if kind == socket.IPV6_PKTINFO:
                        destination, _ = _INFORMATION.unpack(octets[: _INFORMATION.size])
                        source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
                        found.append(DhcpReceived("", b"", source, destination, payload))
        return found
