"""The other end of the control socket, for commands and the lab: plain blocking calls."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sojourn.control import protocol
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

DIRECTORY = Path("/run/sojourn")
ENVIRONMENT = "SOJOURN_SOCKET"
TIMEOUT = 10.0

A = TypeVar("A", bound=Answer)


class ControlError(Exception):
    """The daemon cannot be reached, or refuses; the text is for people."""


class NoDaemon(ControlError):
    """None is here that could be meant."""


class ControlClient:
    """A connection to the daemon at the Unix socket `path`. Raises `ControlError`."""

    def __init__(self, path: str | Path, timeout: float = TIMEOUT) -> None:
        self.path = str(path)
        self._socket = _connected(self.path, timeout)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self._lines.close()
        self._socket.close()

    def ping(self) -> Pong:
        """Who is there."""
        return self._ask(Ping(), Pong)

    def show(self, topic: str, plain: bool = False) -> list[dict[str, Any]]:
        """A table: ``sessions``, ``bindings``, ``routes``, ``peers``."""
        return self._ask(Show(topic, plain), Rows).rows

    def counters(self) -> dict[str, int]:
        """All that is counted."""
        return self._ask(Counters(), Counted).counters

    def command(self, verb: str, arguments: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Hand a command to the roles; answers with what they reported."""
        return self._ask(Command(verb, arguments or {}), Done).reports

    def selftest(
        self, target: str = "", *, repair: bool = False, plain: bool = False, patience: float = 120.0
    ) -> list[dict[str, Any]]:
        """Test the ways of packets; answers within `patience` seconds."""
        before = self._socket.gettimeout()
        self._socket.settimeout(patience)
        try:
            return self._ask(Selftest(target, repair, plain), Rows).rows
        finally:
            self._socket.settimeout(before)

    def recent(self, plain: bool = False) -> list[dict[str, Any]]:
        """The latest events and reports, oldest first."""
        return self._ask(Events(False, plain), Rows).rows

    def follow(self, plain: bool = False) -> Iterator[dict[str, Any]]:
        """The latest events and reports, then every new one until the daemon stops."""
        yield from self._ask(Events(True, plain), Rows).rows
        self._socket.settimeout(None)
        while line := self._lines.readline():
            match _decoded(line, self.path):
                case Happened(row):
                    yield row
                case Missed(events):
                    yield {"event": "missed", "count": events}
                case _:
                    pass

    def _ask(self, request: Request, kind: type[A]) -> A:
        try:
            self._socket.sendall(protocol.encode(request))
            line = self._lines.readline(protocol.ANSWER_MAX)
        except TimeoutError:
            raise ControlError(f"the daemon at {self.path} does not answer") from None
        except OSError as error:
            raise ControlError(f"the daemon at {self.path} went away ({error.strerror})") from None
        if not line:
            raise ControlError(f"the daemon at {self.path} went away")
        answer = _decoded(line, self.path)
        if isinstance(answer, Failed):
            raise ControlError(answer.error)
        if not isinstance(answer, kind):
            raise ControlError(f"{self.path} answers with something else ({type(answer).__name__})")
        return answer


def find_socket() -> str:
    """The socket that SOJOURN_SOCKET names, else the only one in /run/sojourn. Raises `ControlError`, `NoDaemon`."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return named
    found = sorted(str(path) for path in DIRECTORY.glob("*.sock"))
    if len(found) == 1:
        return found[0]
    if found:
        raise ControlError(f"several daemons are here: {', '.join(found)}; say which with --socket")
    raise NoDaemon(
        f"no daemon is running here (no socket in {DIRECTORY}); start one with: sojourn run FILE.toml, "
        "or name its socket with --socket"
    )


def _connected(path: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
    except FileNotFoundError:
        reason = f"no daemon is running at {path}; start one with: sojourn run FILE.toml"
    except ConnectionRefusedError:
        reason = f"the daemon at {path} is not running any more; start it again with: sojourn run FILE.toml"
    except PermissionError:
        reason = f"{path} is for the user who runs the daemon; try with sudo"
    except OSError as error:
        reason = f"{path}: {error.strerror or error}"
    else:
        return connection
    connection.close()
    raise ControlError(reason)


def _decoded(line: bytes, path: str) -> Answer:
    try:
        return protocol.decode_answer(line)
    except Malformed as error:
        raise ControlError(f"{path} answers with something else ({error})") from None
