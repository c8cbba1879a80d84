"""Holds the sockets that multicast forwarding hangs on, while no daemon runs: a program that imports nothing of ours.

The kernel ties multicast routing and memberships to sockets, which die with the last process that has them open. So
this process has them open too: it goes on when the daemon ends, as forwarding does, and hands them to the next life.
It does nothing with them. Requests are lines of JSON on a socket in the abstract namespace, which is the network
namespace's own; each is answered with one. Only the user that started it is answered.

    {"keep": MEMO} with sockets     instead of those that it has
    {"take": true}                  {"memo": MEMO} with the sockets, which it keeps as well
    {"end": true}                   it lets go of them, and ends
"""

from __future__ import annotations

import array
import json
import os
import selectors
import socket
import struct
from typing import Any

NAME = "\0sojourn-multicast"
"""A network namespace has one multicast router."""
MOST = 64
"""Sockets that it holds."""
_LONGEST = 65_536
_LINES = 16
_PATIENCE = 10.0
"""Seconds for an answer."""
_CREDENTIALS = struct.Struct("=iII")


def call() -> socket.socket | None:
    """A line to the keeper in this namespace; None when there is none, or it is another user's. Raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        line.settimeout(_PATIENCE)
        line.connect(NAME)
        if _user_of(line) in (os.geteuid(), 0):
            return line
    except (ConnectionRefusedError, FileNotFoundError):
        pass
    except OSError:
        line.close()
        raise
    line.close()
    return None


def ask(line: socket.socket, request: dict[str, Any], sockets: list[int] | None = None) -> tuple[Any, list[int]]:
    """Its answer, with descriptors. Raises OSError."""
    _send(line, request, sockets or [])
    return _receive(line)


def _user_of(line: socket.socket) -> int:
    return int(_CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1])


def _send(line: socket.socket, told: dict[str, Any], sockets: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sockets))] if sockets else []
    line.sendmsg([json.dumps(told).encode()], rights)


def _receive(line: socket.socket) -> tuple[Any, list[int]]:
    size = socket.CMSG_SPACE(MOST * array.array("i").itemsize)
    octets, ancillary, _, _ = line.recvmsg(_LONGEST, size, socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(rights[: len(rights) // found.itemsize * found.itemsize])
    try:
        return json.loads(octets or b"null"), list(found)
    except ValueError:
        return None, list(found)


class Keeper:
    """What is kept, and who asks for it."""

    def __init__(self) -> None:
        self._memo: Any = None
        self._sockets: list[int] = []
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._listening.bind(NAME)
        self._listening.listen(4)
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._listening, selectors.EVENT_READ)

    def run(self) -> None:
        """Until it is told to end."""
        while True:
            for key, _ in self._ready.select():
                asking = key.fileobj
                assert isinstance(asking, socket.socket)
                if asking is self._listening:
                    self._accept()
                    continue
                try:
                    going_on = self._answer(asking)
                except OSError:
                    self._hang_up(asking)
                    continue
                if not going_on:
                    return

    def _accept(self) -> None:
        asking, _ = self._listening.accept()
        if _user_of(asking) in (os.geteuid(), 0) and len(self._ready.get_map()) <= _LINES:
            asking.setblocking(False)
            self._ready.register(asking, selectors.EVENT_READ)
        else:
            asking.close()

    def _hang_up(self, asking: socket.socket) -> None:
        self._ready.unregister(asking)
        asking.close()

    def _answer(self, asking: socket.socket) -> bool:
        told, received = _receive(asking)
        match told:
            case {"keep": memo}:
                self._drop()
                self._memo, self._sockets = memo, received
                _send(asking, {}, [])
            case {"take": True}:
                _send(asking, {"memo": self._memo}, self._sockets)
            case {"end": True}:
                self._listening.close()
                self._drop()
                _send(asking, {}, [])
                return False
            case _:  # the end of the line, or nonsense
                for one in received:
                    os.close(one)
                self._hang_up(asking)
        return True

    def _drop(self) -> None:
        for one in self._sockets:
            os.close(one)
        self._sockets = []


PROGRAM = Keeper
"""See `outliving`."""
