"""What is said over a daemon's Unix socket: one object of JSON per line, each with its ``type``.

A client sends requests and reads one answer for each, in order; after `Events` with `follow` the answers go on until
one of the two closes. A line that is not a request is answered with `Failed`, and the connection goes on; a line that
is too long is answered and ends it, as nobody knows where the next one begins.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import msgspec

REQUEST_MAX = 16 * 1024
"""Octets of the longest request, with its end of line."""
ANSWER_MAX = 256 << 20
"""Octets of the longest answer that a client takes: a table of a million nodes."""


class Ping(msgspec.Struct, tag="ping", forbid_unknown_fields=True):
    """Who are you?"""


class Show(msgspec.Struct, tag="show", forbid_unknown_fields=True):
    """A table: ``sessions``, ``bindings``, ``routes``, ``peers``."""

    topic: str
    plain: bool = False
    """Identifiers of nodes as they are, not as hashes."""


class Counters(msgspec.Struct, tag="counters", forbid_unknown_fields=True):
    """All that is counted."""


class Events(msgspec.Struct, tag="events", forbid_unknown_fields=True):
    """What happened lately; with `follow` also what happens from now on."""

    follow: bool = False
    plain: bool = False


class Command(msgspec.Struct, tag="command", forbid_unknown_fields=True):
    """Something that the role understands: becomes the event `Commanded`."""

    verb: str
    arguments: dict[str, str] = {}


class Selftest(msgspec.Struct, tag="selftest", forbid_unknown_fields=True):
    """Send probes along the ways of sessions and compare the kernel with what it should hold; takes seconds."""

    target: str = ""
    """A node, a prefix or an address; empty: everybody."""
    repair: bool = False
    """What is found wrong in this machine's kernel is put right."""
    plain: bool = False


Request: TypeAlias = Ping | Show | Counters | Events | Command | Selftest


class Pong(msgspec.Struct, tag="pong"):
    """This daemon."""

    name: str
    version: str
    roles: list[str]
    pid: int
    uptime: float
    """Seconds since the start."""
    detail: dict[str, Any] = {}
    recordings: dict[str, str] = {}
    """Where each role writes what happens (``events``), if it does."""


class Rows(msgspec.Struct, tag="rows"):
    """A table; its rows may have different keys."""

    topic: str
    rows: list[dict[str, Any]]


class Counted(msgspec.Struct, tag="counted"):
    """Counters by name."""

    counters: dict[str, int]


class Happened(msgspec.Struct, tag="happened"):
    """One event or report."""

    row: dict[str, Any]


class Missed(msgspec.Struct, tag="missed"):
    """So many events were not told because the client did not read."""

    events: int


class Done(msgspec.Struct, tag="done"):
    """The command was handed over; `reports` are what the role said to it."""

    reports: list[dict[str, Any]] = []


class Failed(msgspec.Struct, tag="failed"):
    """The request was not carried out, and why."""

    error: str


Answer: TypeAlias = Pong | Rows | Counted | Happened | Missed | Done | Failed

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class Malformed(Exception):
    """A line that is not of this protocol."""


def encode(item: Request | Answer) -> bytes:
    """One line."""
    return _encoder.encode(item) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises `Malformed`."""
    return _decode(_requests, line)


def decode_answer(line: bytes) -> Answer:
    """Raises `Malformed`."""
    return _decode(_answers, line)


def _decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
