"""What passes an interface, with the kernel's own time of each frame: independent of whoever sends and receives."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import NamedTuple

from sojourn.lab.node import Node
from sojourn.wire.units import SECOND, WallClock

_SO_TIMESTAMPNS = 35
_ALL = 0x0003
_OUTGOING = 4
_STAMP = struct.Struct("=qq")
_BUFFER = 4 << 20


class Frame(NamedTuple):
    """One frame."""

    at: WallClock
    leaves: bool
    """It goes out of the interface; else it came in."""
    octets: bytes

    @property
    def packet(self) -> bytes:
        """What is behind the Ethernet header."""
        return self.octets[14:]


class Tap:
    """Hears an interface of a node until it is closed. A thread reads, as the kernel keeps 200 KB at most."""

    def __init__(self, node: Node, interface: str) -> None:
        self.frames: list[Frame] = []
        with node.namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind((interface, _ALL))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._ended.is_set():
            select.select([self._socket], [], [], 0.05)
            with suppress(BlockingIOError):
                while True:
                    octets, ancillary, _, (_, _, direction, _, _) = self._socket.recvmsg(512, 64)
                    seconds, rest = _STAMP.unpack(ancillary[0][2][: _STAMP.size])
                    self.frames.append(Frame(seconds * SECOND + rest, direction == _OUTGOING, octets))
