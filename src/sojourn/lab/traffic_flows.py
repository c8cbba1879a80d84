"""Streams and exchanges: the two kinds of flow whose every packet or line has a number.

Both ends of a flow are in this process and share one `FlowRecord`; the packets between them are real. All
sockets are opened with the thread inside the namespace of their end.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sojourn.lab.namespaces import own_namespace, setns
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.units import SECOND, Duration

STREAM_PORT = 5004
ECHO_PORT = 5007
_HEADER = struct.Struct("!4sII")
_MAGIC = b"sjn1"
_CATCH_UP = 32
_ANCILLARY = socket.CMSG_SPACE(4)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """The calling thread is in the network namespace of this descriptor."""
    home = own_namespace()
    try:
        setns(namespace)
        yield
    finally:
        setns(home)
        os.close(home)


class Pacer:
    """Calls `send` so many times a second; after a stall it catches up, a little."""

    def __init__(self, send: Callable[[], None], rate: float) -> None:
        self._send, self._rate = send, 0.0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.set(rate)

    def set(self, rate: float) -> None:
        """From now on `rate` a second; 0 pauses."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._rate = rate
        if rate > 0:
            self._due = self._loop.time()
            self._run()

    def _run(self) -> None:
        now, sent = self._loop.time(), 0
        while self._due <= now and sent < _CATCH_UP:
            self._send()
            self._due += 1 / self._rate
            sent += 1
        if self._due <= now:
            self._due = now + 1 / self._rate
        self._timer = self._loop.call_at(self._due, self._run)


def _datagram_socket(address: str, port: int) -> socket.socket:
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    udp.bind((address, port))
    return udp


def _receive(udp: socket.socket) -> Iterator[tuple[bytes, int, tuple[str, int]]]:
    """All datagrams that wait: octets, hop limit, sender."""
    while True:
        try:
            octets, ancillary, _, sender = udp.recvmsg(2048, _ANCILLARY)
        except BlockingIOError:
            return
        except OSError:  # an ICMPv6 error about an earlier packet: the loss shows by itself
            continue
        hop_limit = struct.unpack("=i", ancillary[0][2])[0] if ancillary else 0
        yield octets, hop_limit, sender


class StreamServer:
    """The server's end of all streams: one socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = _datagram_socket(address, STREAM_PORT)
        self.streams: dict[int, Stream] = {}
        asyncio.get_running_loop().add_reader(self.socket, self._readable)

    def _readable(self) -> None:
        now = time.monotonic_ns()
        for octets, hop_limit, sender in _receive(self.socket):
            if len(octets) < _HEADER.size:
                continue
            magic, number, sequence = _HEADER.unpack_from(octets)
            stream = self.streams.get(number)
            if magic == _MAGIC and stream is not None:
                stream.heard(sequence, now, hop_limit, sender)


class Stream:
    """UDP both ways between one address of a host and the server."""

    def __init__(
        self,
        record: FlowRecord,
        number: int,
        namespace: int,
        server: StreamServer,
        up: float,
        down: float,
        size: int,
    ) -> None:
        self.record, self._number, self._server = record, number, server
        self._padding = bytes(max(0, size - _HEADER.size))
        self._peer: tuple[str, int] | None = None
        with inside(namespace):
            self._socket = _datagram_socket(record.source, 0)
        server.streams[number] = self
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        record.first_sent = time.monotonic_ns()
        self._up, self._down = Pacer(self._send_up, up), Pacer(self._send_down, down)

    def pace(self, up: float, down: float) -> None:
        """From now on so many packets a second."""
        self._up.set(up)
        self._down.set(down)

    def stop(self) -> None:
        """Send no more; what is on the way may still arrive."""
        self.pace(0, 0)
        if self.record.outcome == "running":
            self.record.outcome, self.record.ended = "complete", time.monotonic_ns()

    def close(self) -> None:
        """Receive no more either."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._server.streams.pop(self._number, None)

    def heard(self, sequence: int, now: int, hop_limit: int, sender: tuple[str, int]) -> None:
        """The server got a packet."""
        self._peer = sender
        self.record.up.arrive(sequence, now, hop_limit)

    def _readable(self) -> None:
        now = time.monotonic_ns()
        for octets, hop_limit, _ in _receive(self._socket):
            if len(octets) >= _HEADER.size:
                _, number, sequence = _HEADER.unpack_from(octets)
                if number == self._number:
                    self.record.connected = self.record.connected or now
                    self.record.down.arrive(sequence, now, hop_limit)

    def _send_up(self) -> None:
        sequence = self.record.up.send(time.monotonic_ns())
        octets = _HEADER.pack(_MAGIC, self._number, sequence) + self._padding
        try:
            self._socket.sendto(octets, (self._server.address, STREAM_PORT))
        except OSError:
            self.record.up.refused += 1

    def _send_down(self) -> None:
        if self._peer is None:
            return
        sequence = self.record.down.send(time.monotonic_ns())
        octets = _HEADER.pack(_MAGIC, self._number, sequence) + self._padding
        try:
            self._server.socket.sendto(octets, self._peer)
        except OSError:
            self.record.down.refused += 1


async def serve_echo(address: str, namespace: int) -> asyncio.Server:
    """A server that sends every line back."""
    with inside(namespace):
        listener = socket.create_server((address, ECHO_PORT), family=socket.AF_INET6, backlog=128)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The other end of the flow keeps the record; at the end of the run the loop cancels what still waits.
        with suppress(OSError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(line)
        writer.close()

    return await asyncio.start_server(echo, sock=listener)


class Exchange:
    """A person at a terminal: a short line every now and then, each of which comes back."""

    def __init__(
        self, record: FlowRecord, namespace: int, server: str, interval: Duration, patience: Duration,
        done: Callable[[], None],
    ) -> None:  # fmt: skip
        self.record, self._server = record, server
        self._interval, self._patience = interval / SECOND, patience / SECOND
        self._done = done
        self._last_heard = time.monotonic()
        self._stopped = False
        with inside(namespace):
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """No new line; the connection ends in order when the last echo is there."""
        self._stopped = True

    async def _run(self) -> None:
        record = self.record
        try:
            record.outcome = await self._talk()
        except (ConnectionResetError, BrokenPipeError, ConnectionRefusedError):
            record.outcome = "reset"
        except TimeoutError:
            record.outcome = "timeout"
        except OSError as error:
            record.outcome = f"refused: {error.strerror}"
        self._socket.close()
        record.ended = time.monotonic_ns()
        self._done()

    async def _talk(self) -> str:
        loop, record = asyncio.get_running_loop(), self.record
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.bind((record.source, 0))
        record.first_sent = time.monotonic_ns()
        async with asyncio.timeout(self._patience):
            await loop.sock_connect(self._socket, (self._server, ECHO_PORT))
        record.connected = time.monotonic_ns()
        reader, writer = await asyncio.open_connection(sock=self._socket)
        listening = asyncio.create_task(self._listen(reader))
        try:
            await self._type(writer, listening)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await listening
            writer.close()
        return "complete"

    async def _type(self, writer: asyncio.StreamWriter, listening: asyncio.Task[None]) -> None:
        self._last_heard = time.monotonic()
        while not (self._stopped and self.record.up.arrived == len(self.record.up.sent)):
            if not self._stopped:
                writer.write(b"%d\n" % self.record.up.send(time.monotonic_ns()))
            await asyncio.wait([listening], timeout=self._interval)
            if listening.done():
                listening.result()  # raises what ended it
                raise ConnectionResetError
            if time.monotonic() - self._last_heard > self._patience:
                raise TimeoutError

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._last_heard = time.monotonic()
            self.record.up.arrive(int(line), time.monotonic_ns())
