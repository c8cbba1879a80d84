"""Netlink as plain functions over `struct`: requests with their acknowledgements, dumps, attributes.

One request of several messages travels in one system call, and every message is acknowledged by itself. A refusal is an
OSError that carries the kernel's own words (extended acknowledgement). Inserting routes with an encapsulation fails now
and then with ENOMEM, because the kernel allocates a per-CPU cache atomically; half a millisecond later it works, so
such messages are sent again (dataplane.md 3.1).

What the messages mean is in `objects`, `routes`, `links` and `nftables`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_DUMP_INTR = 0x10
_NLM_F_ACK_TLVS = 0x200
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NLMSGERR_ATTR_MSG = 1
_NESTED = 0x8000

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_RECEIVE = 1 << 17
_AT_ONCE = 256
"""Messages in one system call at most, so that neither they nor their acknowledgements fill a socket's buffer."""
_PAUSES = (0.0005, 0.001, 0.003, 0.003, 0.01)
"""Seconds to wait before a message that met ENOMEM is sent again."""


class Message(NamedTuple):
    """One request."""

    type: int
    flags: int
    """Beyond NLM_F_REQUEST and NLM_F_ACK, which are always set."""
    body: bytes
    harmless: tuple[int, ...] = ()
    """Error numbers that mean: already as wanted."""


class Kernel(Protocol):
    """The part of a datagram socket that is used; a test may put a kernel of its own behind it."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, flags: int = 0, /) -> bytes: ...

    def close(self) -> None: ...


def attribute(kind: int, payload: bytes) -> bytes:
    """A netlink attribute, padded to four octets."""
    size = len(payload)
    return _ATTRIBUTE.pack(size + 4, kind) + payload + bytes(-size % 4)


def nested(kind: int, payload: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, payload)


def u32(kind: int, value: int) -> bytes:
    """An attribute that holds a number in host order."""
    return struct.pack("=HHI", 8, kind, value)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by kind; of equal kinds the last counts. Damaged lengths end the list."""
    found: dict[int, bytes] = {}
    for kind, payload in each_attribute(data, offset):
        found[kind] = payload
    return found


def each_attribute(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Attributes in order."""
    end = len(data)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def open_netlink(protocol: int) -> socket.socket:
    """A netlink socket in the network namespace of the calling thread, with the kernel's words on refusals."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        netlink.bind((0, 0))
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            netlink.setsockopt(_SOL_NETLINK, option, 1)
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    except OSError:
        netlink.close()
        raise
    return netlink


class Netlink:
    """Requests and dumps over one socket. Not for several threads at once."""

    def __init__(self, kernel: Kernel | None = None, protocol: int = NETLINK_ROUTE) -> None:
        """Without `kernel` a socket in the network namespace of the calling thread is opened."""
        self._socket: Kernel = kernel if kernel is not None else open_netlink(protocol)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; what was put into the kernel stays."""
        self._socket.close()

    def request(self, *messages: Message) -> None:
        """Carry out all of `messages`, in order, 256 in one system call. Raises OSError for the first refused.

        The kernel goes on after a refused message, so that the later ones in the call are carried out as well.
        """
        for start in range(0, len(messages), _AT_ONCE):
            self._request(messages[start : start + _AT_ONCE])

    def _request(self, pending: Sequence[Message]) -> None:
        for pause in (*_PAUSES, None):
            refused = self._exchange(pending)
            if not refused:
                return
            number, text = next(iter(refused.values()))
            if pause is None or any(error != errno.ENOMEM for error, _ in refused.values()):
                worst = next((pair for pair in refused.values() if pair[0] != errno.ENOMEM), (number, text))
                raise OSError(worst[0], worst[1] or os.strerror(worst[0]))
            time.sleep(pause)
            pending = [pending[index] for index in refused]

    def _exchange(self, messages: Sequence[Message]) -> dict[int, tuple[int, str]]:
        """Send and take every acknowledgement; answers with what was refused, by position."""
        first = self._sequence + 1
        self._sequence += len(messages)
        parts: list[bytes] = []
        for sequence, (kind, flags, body, _) in enumerate(messages, first):
            parts += (_HEADER.pack(16 + len(body), kind, flags | 5, sequence, 0), body, bytes(-len(body) % 4))
        self._socket.send(b"".join(parts))
        refused: dict[int, tuple[int, str]] = {}
        waiting = len(messages)
        while waiting:
            for kind, flags, sequence, body in split(self._socket.recv(_RECEIVE)):
                index = sequence - first
                if kind != _NLMSG_ERROR or not 0 <= index < len(messages):
                    continue  # the late answer to a request that was given up
                waiting -= 1
                number = -_ERROR.unpack_from(body)[0]
                if number and number not in messages[index].harmless:
                    refused[index] = (number, refusal_text(flags, body))
        return refused

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all objects that a GET request finds; asked again when they changed meanwhile."""
        for _ in range(16):
            found, interrupted = self._dump_once(kind, body)
            if not interrupted:
                break
        return found

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[bytes], bool]:
        self._sequence += 1
        header = _HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0)
        self._socket.send(header + body)
        found: list[bytes] = []
        interrupted = False
        while True:
            for answer, flags, sequence, payload in split(self._socket.recv(_RECEIVE)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if answer in (_NLMSG_DONE, _NLMSG_ERROR):
                    number = -_ERROR.unpack_from(payload)[0] if len(payload) >= 4 else 0
                    if number:
                        raise OSError(number, refusal_text(flags, payload) or os.strerror(number))
                    return found, interrupted
                found.append(payload)

    def get(self, kind: int, body: bytes) -> bytes:
        """The body of the one object that a GET request names. Raises OSError."""
        self._sequence += 1
        header = _HEADER.pack(16 + len(body), kind, NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            for answer, flags, sequence, payload in split(self._socket.recv(_RECEIVE)):
                if sequence != self._sequence:
                    continue
                if answer == _NLMSG_ERROR:
                    number = -_ERROR.unpack_from(payload)[0]
                    raise OSError(number, refusal_text(flags, payload) or os.strerror(number))
                return payload


def split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of one datagram from the kernel: type, flags, sequence number, body."""
    offset = 0
    while offset + 16 <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < 16:
            return
        yield kind, flags, sequence, data[offset + 16 : offset + size]
        offset += (size + 3) & ~3


def refusal_text(flags: int, body: bytes) -> str:
    """The kernel's own words in an error message; empty when it has none."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    words = attributes(body, 20).get(_NLMSGERR_ATTR_MSG, b"")
    return words.rstrip(b"\0").decode("ascii", "replace")


def join(messages: Iterable[tuple[int, int, bytes]], sequence: int) -> bytes:
    """Messages (type, flags, body) with rising sequence numbers, for protocols with their own exchange."""
    parts: list[bytes] = []
    for number, (kind, flags, body) in enumerate(messages, sequence):
        parts += [_HEADER.pack(16 + len(body), kind, flags, number, 0), body, bytes(-len(body) % 4)]
    return b"".join(parts)
