"""Labs that are up: finding, starting, asking and ending them, from outside the sandbox.

A session has a directory of its user's runtime directory with a lock and a socket in it. A lab is up exactly while
somebody holds the lock.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LOCK, SOCKET = "lock", "socket"
_DOWN_WITHIN = 30.0
_KILL_WITHIN = 5.0


class SessionError(RuntimeError):
    """There is no such lab, or it refuses; the text is for people."""


@dataclass
class Specification:
    """What the background process is told."""

    name: str
    directory: str
    topology: str
    """A file, or the name of a built-in topology."""
    output: str
    daemons: bool | None = None
    capture: str = ""
    root: bool = False
    pid: int = 0
    """Of the background process, which fills it in."""


def runtime_directory() -> Path:
    """Where this user's labs are; made when it is not there. Raises SessionError when it is not ours alone."""
    uid = os.getuid()
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    directory = base / f"sojourn-lab-{uid}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise SessionError(f"{directory} is not a directory of ours alone; remove it or set XDG_RUNTIME_DIR")
    return directory


def running() -> list[str]:
    """The names of the labs that are up."""
    return [path.name for path in sorted(runtime_directory().iterdir()) if _holder(path) is not None]


def choose(name: str | None) -> str:
    """`name` if that lab is up; without a name the only one. Raises SessionError."""
    names = running()
    if name is not None:
        if name not in names:
            raise SessionError(f'no lab "{name}" is up; ' + _those(names))
        return name
    if len(names) != 1:
        raise SessionError(_those(names) if not names else f"{_those(names)}; say which with --name")
    return names[0]


def _those(names: Sequence[str]) -> str:
    return f"up: {', '.join(names)}" if names else "no lab is up; start one with: sojourn lab up FILE"


def _holder(directory: Path) -> int | None:
    """The process that holds the session's lock; None when nobody does."""
    try:
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(lock, 32) or b"0")
    else:
        return None
    finally:
        os.close(lock)


def start(specification: Specification) -> None:
    """Start the session in the background; back when it is up. Raises SessionError with what went wrong.

    An interruption while it starts ends it.
    """
    directory, output = Path(specification.directory), Path(specification.output)
    directory.mkdir(mode=0o700, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    heard, told = os.pipe()
    with (output / "session.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sojourn.lab.session", json.dumps(asdict(specification)), str(told)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[told],
            start_new_session=True,
        )
    os.close(told)
    try:
        with os.fdopen(heard, "rb") as stream:
            line = stream.readline()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    answer = json.loads(line) if line else {"error": f"it ended; see {output / 'session.log'}"}
    if "error" in answer:
        process.wait()
        with contextlib.suppress(OSError):
            directory.rmdir()
        raise SessionError(answer["error"])


class Session:
    """A connection to a lab that is up, for one request."""

    def __init__(self, name: str) -> None:
        """Raises SessionError."""
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(runtime_directory() / name / SOCKET))
        except OSError as error:
            self._socket.close()
            raise SessionError(f'the lab "{name}" cannot be reached: {error.strerror}') from None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For a selector: readable when the answer comes."""
        return self._socket.fileno()

    def send(self, request: dict[str, Any], streams: Sequence[int] = ()) -> None:
        """Send a request and, with ``exec``, three descriptors."""
        octets = json.dumps(request).encode() + b"\n"
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))] if streams else []
        sent = self._socket.sendmsg([octets], control)
        if sent < len(octets):  # sending nothing to somebody who answered and left already would be an error
            self._socket.sendall(octets[sent:])

    def answer(self) -> dict[str, Any]:
        """Wait for the answer. Raises SessionError when the lab refuses or went away."""
        octets = b""
        while not octets.endswith(b"\n"):
            part = self._socket.recv(65536)
            if not part:
                raise SessionError(f'the lab "{self.name}" went away')
            octets += part
        answer: dict[str, Any] = json.loads(octets)
        if "error" in answer:
            raise SessionError(str(answer["error"]))
        return answer


def ask(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request. Raises SessionError."""
    with Session(name) as session:
        session.send(request)
        return session.answer()


def down(name: str) -> None:
    """Take a lab down, back when nothing of it is left. One that does not listen is killed. Raises SessionError."""
    directory = runtime_directory() / name
    holder = _holder(directory)
    if holder:
        with contextlib.suppress(SessionError):
            ask(name, {"verb": "down"})
        _wait_for_end(name, holder)
    for leftover in (SOCKET, LOCK):
        (directory / leftover).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def _wait_for_end(name: str, process: int) -> None:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], _DOWN_WITHIN)[0]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)  # the kernel ends all the rest with it
            if not select.select([descriptor], [], [], _KILL_WITHIN)[0]:
                raise SessionError(f'the lab "{name}" does not end (process {process})')
    finally:
        os.close(descriptor)
