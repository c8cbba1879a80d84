"""The daemon's log: what engines report and what befalls the daemon, as lines of text or JSON on the error stream, or
as entries of systemd's journal.

Made from reports and events, never by handlers on the way; identifiers of nodes are hashed unless told otherwise. A
line is of one *subsystem*, and each may have a level of its own. What anybody can cause at will is bounded: reports
that repeat are summed up before they come here (`sojourn.host.repeats`), and of events so many a second are told.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from sojourn.core.effects import Report
from sojourn.core.events import (
    AddressChanged,
    DhcpReceived,
    EffectFailed,
    Event,
    GroupsReported,
    HandoverExpected,
    LinkChanged,
    MessageReceived,
    NodeDetached,
    NodeSeen,
)
from sojourn.telemetry.identifiers import Identifiers
from sojourn.telemetry.rows import row_of

LOGGER = "sojourn"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

SUBSYSTEMS = (DAEMON, PROTOCOL, MESSAGES, NODES, KERNEL, REFUSALS) = (
    "daemon",
    "protocol",
    "messages",
    "nodes",
    "kernel",
    "refusals",
)
EVENTS_PER_SECOND = 200
"""Lines about events, of one subsystem."""
JOURNAL = "/run/systemd/journal/socket"
"""Where the journal takes entries (systemd's native protocol)."""

_GRAVE_WORDS = frozenset(
    {
        "refused",
        "refuses",
        "failed",
        "lost",
        "gone",
        "taken",
        "contested",
        "unexpected",
        "unreadable",
        "exhausted",
        "silent",
        "over",
        "unknown",
        "limit",
        "full",
        "stale",
    }
)


class Log:
    """One logger for one daemon called `name`. To be closed when another one takes its place."""

    def __init__(
        self,
        name: str,
        level: str = "info",
        *,
        form: str = "text",
        levels: Mapping[str, str] | None = None,
        identifiers: Identifiers | None = None,
        stream: TextIO | None = None,
        journal: str = JOURNAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`form` is ``text``, ``json`` or ``journal``; `levels` are those of `SUBSYSTEMS` that are not at `level`."""
        self._name = name
        self._identifiers = identifiers or Identifiers()
        given = levels or {}
        self._levels = {subsystem: LEVELS[given.get(subsystem) or level] for subsystem in SUBSYSTEMS}
        self._clock = clock
        self._second = clock()
        self._told: Counter[str] = Counter()
        """Events of this second, by subsystem."""
        self._logger = logging.Logger(f"{LOGGER}.{name}", min(self._levels.values()))
        handler: logging.Handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
        if form == "journal":
            with suppress(OSError):  # without a journal the lines are text
                handler = _Journal(journal)
        self._logger.addHandler(handler)

    def close(self) -> None:
        """Let go of the journal."""
        for handler in self._logger.handlers:
            handler.close()

    def says(self, level: str, subsystem: str = DAEMON) -> bool:
        """Whether a line of this kind would be told."""
        return LEVELS[level] >= self._levels[subsystem]

    def say(self, level: str, event: str, /, *, subsystem: str = DAEMON, **detail: object) -> None:
        """One line: `event` is a word with hyphens, as in reports."""
        if self.says(level, subsystem):
            row = self._identifiers.row(detail)
            extra = {"row": row, "daemon": self._name, "subsystem": subsystem}
            self._logger.log(LEVELS[level], event, extra=extra)

    def take(self, item: Event | Report) -> None:
        """A report is told at the level that its name deserves, an event for debugging only."""
        subsystem = subsystem_of(item)
        if isinstance(item, Report):
            level = level_of(item.name)
        else:
            level = "warning" if isinstance(item, EffectFailed) else "debug"
        if self.says(level, subsystem) and (isinstance(item, Report) or self._may(subsystem)):
            row = row_of(item)
            self.say(level, row.pop("event"), subsystem=subsystem, **row)

    def _may(self, subsystem: str) -> bool:
        """Whether there is room for one more event; how many there was none for is told a second later."""
        now = self._clock()
        if now - self._second >= 1:
            for name, count in self._told.items():
                if count > EVENTS_PER_SECOND:
                    self.say("warning", "not-told", subsystem=name, of=name, count=count - EVENTS_PER_SECOND)
            self._told.clear()
            self._second = now
        self._told[subsystem] += 1
        return self._told[subsystem] <= EVENTS_PER_SECOND


def subsystem_of(item: Event | Report) -> str:
    """Which part of the daemon an event or report is about."""
    match item:
        case Report(name):
            return KERNEL if name in ("link-changed", "effect-failed") else PROTOCOL
        case MessageReceived():
            return MESSAGES
        case EffectFailed() | LinkChanged() | AddressChanged():
            return KERNEL
        case NodeSeen() | NodeDetached() | DhcpReceived() | GroupsReported() | HandoverExpected():
            return NODES
        case _:
            return PROTOCOL


def level_of(report: str) -> str:
    """A refusal, a failure or a death is a warning; everything else that is reported is worth knowing."""
    return "warning" if _GRAVE_WORDS.intersection(report.split("-")) else "info"


def _row(record: logging.LogRecord) -> Mapping[str, Any]:
    row: Mapping[str, Any] = getattr(record, "row", {})
    return row


class _Journal(logging.Handler):
    """Entries with fields: ``journalctl SOJOURN_EVENT=registered``. Raises OSError where there is no journal."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.setFormatter(_Sentence())
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """What the journal has no room for is lost; the daemon waits for nobody."""
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": str(_PRIORITIES[record.levelno]),
            "SYSLOG_IDENTIFIER": LOGGER,
            "SOJOURN_DAEMON": getattr(record, "daemon", ""),
            "SOJOURN_SUBSYSTEM": getattr(record, "subsystem", ""),
            "SOJOURN_EVENT": record.getMessage(),
        }
        for key, value in _row(record).items():
            written = value if isinstance(value, str) else json.dumps(value, default=str)
            fields[f"SOJOURN_{re.sub('[^A-Z0-9]', '_', key.upper())}"] = written
        with suppress(OSError):
            self._socket.send(b"".join(_journal_field(name, value) for name, value in fields.items()))

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()


_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


def _journal_field(name: str, value: str) -> bytes:
    octets = value.encode()
    if b"\n" in octets:
        return name.encode() + b"\n" + struct.pack("<Q", len(octets)) + octets + b"\n"
    return name.encode() + b"=" + octets + b"\n"


class _Sentence(logging.Formatter):
    """``registered node=#1f2e3d4c5b``: time, level and daemon are fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={_one_word(value)}" for key, value in _row(record).items())
        return f"{record.getMessage()}{pairs}"


class _TextLines(logging.Formatter):
    """``2026-05-01T12:00:00.123Z ar1 info registered node=#1f2e3d4c5b serving=2001:db8:a1::1``"""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={_one_word(value)}" for key, value in _row(record).items())
        daemon = getattr(record, "daemon", "")
        return f"{_stamp(record)} {daemon} {record.levelname.lower()} {record.getMessage()}{pairs}"


class _JsonLines(logging.Formatter):
    """The same as one object."""

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": _stamp(record),
            "daemon": getattr(record, "daemon", ""),
            "level": record.levelname.lower(),
            "subsystem": getattr(record, "subsystem", ""),
            "event": record.getMessage(),
        }
        return json.dumps({**_row(record), **head}, default=str)


def _stamp(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def _one_word(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ",".join(value)
    written = value if isinstance(value, str) else json.dumps(value, default=str)
    if written and written.isprintable() and not any(letter in ' "=\\' for letter in written):
        return written
    return json.dumps(written)
