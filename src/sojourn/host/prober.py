"""Real packets that find out how far others get: ICMPv6 echo requests, plainly or in a tunnel that we make by hand.

A request comes from an address of this router and is answered to it, so that no filter on the way sees anything but
what it lets pass anyway: of a node's answer, that it comes from the node's prefix. One that is put into a tunnel by
hand passes by our own routes, and its hop limit is as we like: that tells our routes from everything behind them.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from contextlib import ExitStack
from dataclasses import dataclass

from sojourn.wire.addresses import Address, text
from sojourn.wire.icmpv6 import ICMPV6, seal_icmpv6

_REQUEST, _REPLY = 128, 129
_IPV6_IN_IPV6 = 41
_ERRORS = range(1, 5)
_ECHO = struct.Struct("!BBHHH")
_HEADER = struct.Struct("!IHBB")
_HOP_LIMIT = 64
_QUOTED = 8
"""Octets of an ICMPv6 error before the packet that it is about."""
UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3
"""Kinds of errors (RFC 4443 3)."""


@dataclass(frozen=True)
class Heard:
    """What came back."""

    sender: Address
    seconds: float
    error: int = 0
    """The type of an ICMPv6 error; 0: it is the answer."""
    code: int = 0


class Prober:
    """Asks from `source`, an address of this machine. Raises OSError where there are no raw sockets."""

    def __init__(self, source: Address) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._identifier = secrets.randbits(16)
        self._token = secrets.token_bytes(8)
        self._number = 0
        self._waiting: dict[int, tuple[asyncio.Future[Heard], float]] = {}
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with ExitStack() as opened:
            self._socket = opened.enter_context(socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6))
            self._tunnel = opened.enter_context(socket.socket(socket.AF_INET6, kind, _IPV6_IN_IPV6))
            for one in (self._socket, self._tunnel):
                one.bind((text(source), 0))
            self._loop.add_reader(self._socket.fileno(), self._receive)
            opened.callback(self._loop.remove_reader, self._socket.fileno())
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the sockets."""
        self._opened.close()

    async def ask(
        self,
        destination: Address,
        *,
        through: Address | None = None,
        hop_limit: int = _HOP_LIMIT,
        tries: int = 4,
        patience: float = 0.5,
    ) -> Heard | None:
        """What the first of `tries` requests brought back, each with so much `patience`, in seconds; None: nothing.

        `through`: in a tunnel to that router. An error does not end the patience for an answer to the same request.
        """
        numbers = []
        error: Heard | None = None
        try:
            for _ in range(tries):
                self._number = number = self._number + 1 & 0xFFFF
                numbers.append(number)
                future: asyncio.Future[Heard] = self._loop.create_future()
                self._waiting[number] = future, time.monotonic()
                self._send(number, destination, through, hop_limit)
                pending = [self._waiting[one][0] for one in numbers if not self._waiting[one][0].done()]
                done, _ = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for heard in (one.result() for one in done):
                    if not heard.error:
                        return heard
                    error = error or heard
            return error
        finally:
            for number in numbers:
                self._waiting.pop(number, None)

    def _send(self, number: int, destination: Address, through: Address | None, hop_limit: int) -> None:
        request = _ECHO.pack(_REQUEST, 0, 0, self._identifier, number) + self._token
        try:
            if through is None:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hop_limit)
                self._socket.sendto(request, (text(destination), 0))  # the kernel fills in the checksum
            else:
                whole = seal_icmpv6(request, self._source, destination)
                inner = _HEADER.pack(6 << 28, len(whole), ICMPV6, hop_limit) + self._source + destination + whole
                self._tunnel.sendto(inner, (text(through), 0))
        except OSError:
            return  # lost, as on any network

    def _receive(self) -> None:
        for _ in range(64):
            try:
                octets, name = self._socket.recvfrom(2048)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue
            sender = socket.inet_pton(socket.AF_INET6, name[0].partition("%")[0])
            if octets[:1] == bytes((_REPLY,)):
                self._heard(octets, sender, 0, 0)
            elif octets[:1] and octets[0] in _ERRORS:
                self._heard(_echo_in(octets[_QUOTED:]), sender, octets[0], octets[1])

    def _heard(self, echo: bytes, sender: Address, error: int, code: int) -> None:
        if len(echo) < _ECHO.size:
            return
        _, _, _, identifier, number = _ECHO.unpack_from(echo)
        waiting = self._waiting.get(number)
        if identifier != self._identifier or waiting is None or waiting[0].done():
            return
        if echo[_ECHO.size : _ECHO.size + 8] != self._token:  # errors quote it too: nobody guesses what we sent
            return
        future, since = waiting
        future.set_result(Heard(sender, time.monotonic() - since, error, code))


def _echo_in(packet: bytes) -> bytes:
    """Our request in a packet that an error quotes, out of a tunnel or in it."""
    while len(packet) >= 40 and packet[6] == _IPV6_IN_IPV6:
        packet = packet[40:]
    return packet[40:] if len(packet) >= 40 and packet[6] == ICMPV6 else b""
