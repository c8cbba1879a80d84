"""The port of a DHCP relay agent towards its server (RFC 1542 4, RFC 5844 3.4.2)."""

from __future__ import annotations

import socket
from collections import Counter

from sojourn.core.effects import SendDhcp
from sojourn.core.events import DhcpReceived
from sojourn.host.sockets import DRAIN
from sojourn.wire.addresses import Address, to_ipv4

_PORT = 67
_LARGEST = 2048


class DhcpRelay:
    """UDP port 67 at `address`; nobody but `server` is listened to. Raises OSError, EADDRINUSE beside a server."""

    def __init__(self, address: Address, server: Address) -> None:
        self.counters: Counter[str] = Counter()
        self._own, self._server = address, server
        self._name = socket.inet_ntoa(to_ipv4(server)), _PORT
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind((socket.inet_ntoa(to_ipv4(address)), _PORT))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()

    def send(self, effect: SendDhcp) -> None:
        """To the server, or lost: the node asks again."""
        try:
            self._socket.sendto(effect.payload, self._name)
        except OSError:
            self.counters["send-errors"] += 1
        else:
            self.counters["sent"] += 1

    def receive(self) -> list[DhcpReceived]:
        """What the server answered."""
        found: list[DhcpReceived] = []
        for _ in range(DRAIN):
            try:
                payload, name = self._socket.recvfrom(_LARGEST)
            except OSError:
                break
            if name == self._name:
                found.append(DhcpReceived("", b"", self._server, self._own, payload))
            else:
                self.counters["unknown-source"] += 1
        return found
