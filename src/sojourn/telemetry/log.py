"""The daemon's log: what engines report and what befalls the daemon, as lines of text or JSON on the error stream.

Made from reports and events, never by handlers on the way; identifiers of nodes are hashed unless told otherwise.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from sojourn.core.effects import Report
from sojourn.core.events import EffectFailed, Event
from sojourn.telemetry.identifiers import Identifiers
from sojourn.telemetry.rows import row_of

LOGGER = "sojourn"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_GRAVE_WORDS = frozenset(
    {
        "refused",
        "failed",
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
    """One logger for one daemon called `name`."""

    def __init__(
        self,
        name: str,
        level: str = "info",
        *,
        as_json: bool = False,
        identifiers: Identifiers | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._name = name
        self._identifiers = identifiers or Identifiers()
        self._logger = logging.Logger(f"{LOGGER}.{name}", LEVELS[level])
        handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(_JsonLines() if as_json else _TextLines())
        self._logger.addHandler(handler)

    def say(self, level: str, event: str, **detail: object) -> None:
        """One line: `event` is a word with hyphens, as in reports."""
        number = LEVELS[level]
        if self._logger.isEnabledFor(number):
            row = self._identifiers.row(detail)
            self._logger.log(number, event, extra={"row": row, "daemon": self._name})

    def take(self, item: Event | Report) -> None:
        """A report is told at the level that its name deserves, an event for debugging only."""
        if isinstance(item, Report):
            level = level_of(item.name)
        else:
            level = "warning" if isinstance(item, EffectFailed) else "debug"
        if self._logger.isEnabledFor(LEVELS[level]):
            row = row_of(item)
            self.say(level, row.pop("event"), **row)


def level_of(report: str) -> str:
    """A refusal or a failure is a warning; everything else that is reported is worth knowing."""
    return "warning" if _GRAVE_WORDS.intersection(report.split("-")) else "info"


def _row(record: logging.LogRecord) -> Mapping[str, Any]:
    row: Mapping[str, Any] = getattr(record, "row", {})
    return row


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
