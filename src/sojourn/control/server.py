"""The daemon's end of the control socket.

It listens for the user who runs the daemon only (mode 0600). A request is answered within the event loop, as answers
are made of what is in memory; a selftest alone takes a while, in which its client waits and nobody else. A client that
does not read keeps its own answers waiting and nobody else's: events that it follows are dropped, counted and told of,
and a client that leaves a whole table unread is cut off.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, assert_never

from sojourn.control import protocol
from sojourn.control.locks import FileLock, Held
from sojourn.control.protocol import (
    Answer,
    Command,
    Counted,
    Counters,
    Done,
    Events,
    Failed,
    Happened,
    Malformed,
    Missed,
    Ping,
    Pong,
    Request,
    Rows,
    Selftest,
    Show,
)

CLIENTS = 32
"""Connections at a time; more are told so and closed."""
UNREAD_MAX = 256 * 1024
"""Octets of events that wait for a client that does not read."""
PATIENCE = 30.0
"""Seconds that a client may take to read an answer."""
LOOKING = 5.0
"""Seconds that other daemons may take to look at the sockets of a directory, all together."""

_ACCEPTING = 4
"""Turns of the event loop until a connection that was accepted just now is a client, which can be closed."""
_CLOSING = 2
"""Turns until a connection that was closed just now has let go of its socket."""


class SocketTaken(Exception):
    """Another daemon answers at this socket, or something that is no socket of ours is there."""


class Handler(Protocol):
    """What the daemon answers. `ValueError` carries a sentence for the client."""

    def status(self) -> Pong:
        """Who this is."""
        ...

    def show(self, topic: str, plain: bool) -> list[dict[str, Any]]:
        """A table. Raises ValueError for an unknown topic."""
        ...

    def counters(self) -> dict[str, int]:
        """All counters."""
        ...

    def recent(self, plain: bool) -> list[dict[str, Any]]:
        """The latest events and reports, oldest first."""
        ...

    def command(self, verb: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
        """Hand a command over; answers with what the role reported. Raises ValueError when none knows it."""
        ...

    async def selftest(self, target: str, repair: bool, plain: bool) -> list[dict[str, Any]]:
        """Test the ways of packets. Raises ValueError when there is no such node or prefix."""
        ...


class _Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.follows: bool = False
        self.plain = False
        self.missed = 0

    def tell(self, row: dict[str, Any]) -> None:
        """One event, unless too much waits already."""
        transport = self.writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > UNREAD_MAX:
            self.missed += 1
            return
        if self.missed:
            self.writer.write(protocol.encode(Missed(self.missed)))
            self.missed = 0
        self.writer.write(protocol.encode(Happened(row)))


class ControlServer:
    """Answers requests at the Unix socket `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._server: asyncio.Server | None = None
        self._clients: dict[_Client, asyncio.Task[None]] = {}
        self._handler: Handler | None = None

    def take(self) -> None:
        """Occupy the path. A socket that a dead daemon left is taken over. Raises `SocketTaken` and OSError.

        Nobody is answered before `serve`; who connects earlier waits.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.path.parent):
            _remove_if_dead(self.path)
            self._listener = self._listen()
        self._identity = _identity(self.path)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(self.path))
            listener.listen(CLIENTS)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                raise SocketTaken(f"{self.path} was taken by another process in this moment") from None
            raise
        finally:
            os.umask(before)
        listener.setblocking(False)
        return listener

    async def serve(self, handler: Handler) -> None:
        """Begin to answer."""
        assert self._listener is not None
        self._handler = handler
        self._server = await asyncio.start_unix_server(self._connected, sock=self._listener, limit=protocol.REQUEST_MAX)

    def answer_by(self, handler: Handler) -> None:
        """From now on `handler` answers."""
        self._handler = handler

    @property
    def followed(self) -> bool:
        """Whether anybody follows events, so that rows need not be made for nobody."""
        return any(client.follows for client in self._clients)

    def tell(self, row: Callable[[bool], dict[str, Any]]) -> None:
        """Something happened: `row` makes it, with identifiers in plain or not."""
        for client in list(self._clients):
            if client.follows:
                client.tell(row(client.plain))

    async def close(self) -> None:
        """Answer nobody any more, and remove the socket."""
        if self._identity is not None and _identity(self.path) == self._identity:
            self.path.unlink(missing_ok=True)
        if self._server is not None and self._listener is not None:
            # First no more connections: asyncio loses one that it accepts just before its server is closed.
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            await _turns(_ACCEPTING)
            self._server.close()
        elif self._listener is not None:
            self._listener.close()
        tasks = list(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _turns(_CLOSING)

    # --- clients ------------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= CLIENTS:
            writer.write(protocol.encode(Failed(f"{CLIENTS} clients are connected already")))
            writer.close()
            return
        self._clients[client] = task
        try:
            await self._converse(client, reader)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            del self._clients[client]
            writer.close()

    async def _converse(self, client: _Client, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return  # a request without its end was never sent
            except asyncio.LimitOverrunError:
                client.writer.write(protocol.encode(Failed(f"a request has at most {protocol.REQUEST_MAX} octets")))
                return
            for answer in await self._answers(client, line):
                client.writer.write(protocol.encode(answer))
            async with asyncio.timeout(PATIENCE):
                await client.writer.drain()

    async def _answers(self, client: _Client, line: bytes) -> Iterable[Answer]:
        try:
            request = protocol.decode_request(line)
            if isinstance(request, Selftest):
                assert self._handler is not None
                return [Rows("selftest", await self._handler.selftest(request.target, request.repair, request.plain))]
            return self._answer(client, request)
        except Malformed as error:
            return [Failed(f"not a request: {error}")]
        except ValueError as error:
            return [Failed(str(error))]

    def _answer(self, client: _Client, request: Request) -> Iterable[Answer]:
        assert self._handler is not None
        match request:
            case Ping():
                return [self._handler.status()]
            case Show(topic, plain):
                return [Rows(topic, self._handler.show(topic, plain))]
            case Counters():
                return [Counted(self._handler.counters())]
            case Command(verb, arguments):
                return [Done(self._handler.command(verb, arguments))]
            case Selftest():
                raise AssertionError("it takes a while")
            case Events(follow, plain):
                client.follows, client.plain = follow, plain
                return [Rows("events", self._handler.recent(plain))]
            case _:
                assert_never(request)


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Of several daemons that start at once, one looks at the sockets of `directory` at a time."""
    path = directory / ".sojourn.lock"
    try:
        lock = FileLock(path, LOOKING)
    except Held:
        raise SocketTaken(f"{path} is locked by another process for more than {LOOKING:.0f} s; stop that one") from None
    try:
        yield
    finally:
        lock.close()


def _remove_if_dead(path: Path) -> None:
    """A socket that refuses connections belongs to nobody any more."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketTaken(f"{path} is there and is no socket; remove it or name another path for control")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except (BlockingIOError, TimeoutError):
            pass  # its queue is full: somebody is there
    raise SocketTaken(
        f"another daemon is running with the control socket {path}; stop that one first, or name another path"
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, so that the socket of a successor is not removed."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
