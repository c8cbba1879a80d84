"""CSV files, read in pieces: memory does not grow with the file, and every mistake has its line and column.

Plain or compressed (gzip), UTF-8, with a header. A column may be known by several names, and each name says its unit:
``delay_ms`` and ``delay_us`` are the same column. What is done about a mistake is for the caller to decide:
`Mistakes` raises, or counts where the file may be mended.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sojourn.files.toml import ConfigurationError, Problem, unusable
from sojourn.wire.units import MICROSECOND, MILLISECOND, NANOSECOND, SECOND

PIECE = 1 << 20
"""Octets read at a time."""
LONGEST_LINE = 1 << 16
_UNITS = {"": SECOND, "_s": SECOND, "_ms": MILLISECOND, "_us": MICROSECOND, "_ns": NANOSECOND}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a file has, or may have."""

    what: str
    """For people."""
    names: Mapping[str, float]
    """What it may be called, and the factor that makes a number in it ours."""
    needed: bool = True


def times(word: str) -> dict[str, float]:
    """The names of a column of times, with the unit in it; without, they are seconds."""
    return {f"{word}{suffix}": unit for suffix, unit in _UNITS.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """Where a column is in a file."""

    name: str
    place: int
    factor: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file."""

    rows: Sequence[Sequence[str]]
    """Each as long as the header."""
    lines: NDArray[np.int64]
    """The line of each."""


class Mistakes:
    """What is wrong with the rows of a file: the first few are told, or all are counted and mended."""

    SHOWN = 10

    def __init__(self, file: str, mend: bool, remedy: str) -> None:
        """`remedy`: how to let the mistakes be mended, for people."""
        self._file, self._mend, self._remedy = file, mend, remedy
        self._problems: list[Problem] = []
        self.mended: dict[str, int] = {}

    def add(self, kind: str, line: int, column: int, key: str, wrong: str) -> None:
        """A row is wrong; mended, it is counted as `kind`. Raises `ConfigurationError` when these are enough."""
        if self._mend:
            self.mended[kind] = self.mended.get(kind, 0) + 1
            return
        self._problems.append(Problem(line, key, wrong, self._remedy, column))
        if len(self._problems) == self.SHOWN:
            self.check()

    def fatal(self, line: int, column: int, key: str, wrong: str, expected: str) -> ConfigurationError:
        """What is to be raised for something that cannot be mended."""
        return ConfigurationError(self._file, [*self._problems, Problem(line, key, wrong, expected, column)])

    def check(self) -> None:
        """Raises `ConfigurationError` when something was wrong."""
        if self._problems:
            raise ConfigurationError(self._file, self._problems)


class Rows:
    """A CSV file."""

    def __init__(self, path: Path, columns: Sequence[Column], mistakes: Mistakes) -> None:
        self.path = path
        self._columns = columns
        self._mistakes = mistakes
        self.found: dict[str, Found] = {}
        """By `Column.what`; known when the first piece is there."""

    def pieces(self) -> Iterator[Piece]:
        """All rows. Raises `ConfigurationError`, and where a row has too few or too many fields it is a mistake."""
        line, width = 1, 0
        for lines in self._lines():
            rows = self._parsed(lines, line)
            numbers = np.arange(line, line + len(lines), dtype=np.int64)
            line += len(lines)
            if not width:
                rows[0] = [name.strip().lower() for name in rows[0]]
                self._header(rows[0])
                width = len(rows[0])
                rows, numbers = rows[1:], numbers[1:]
            if {*map(len, rows)} - {width}:
                rows, numbers = self._even(rows, numbers, width)
            yield Piece(rows, numbers)

    def text(self, piece: Piece, what: str) -> list[str]:
        """A column as it is written."""
        place = self.found[what].place
        return [row[place] for row in piece.rows]

    def numbers(self, piece: Piece, what: str) -> NDArray[np.float64]:
        """A column of numbers, in our unit; NaN where there is a mistake."""
        found = self.found[what]
        written = self.text(piece, what)
        try:
            values = np.fromiter(map(float, written), np.float64, len(written))
        except ValueError:
            values = np.array([_number(text) for text in written])
        for row in np.flatnonzero(~np.isfinite(values)):
            self.wrong(piece, int(row), what, "bad number", f"{written[row]!r} is not a number")
            values[row] = np.nan
        return values * found.factor

    def wrong(self, piece: Piece, row: int, what: str, kind: str, wrong: str) -> None:
        """Tell of a mistake in a field."""
        found = self.found[what]
        column = 1 + sum(len(field) + 1 for field in piece.rows[row][: found.place])
        self._mistakes.add(kind, int(piece.lines[row]), column, found.name, wrong)

    def _header(self, names: Sequence[str]) -> None:
        problems = []
        for column in self._columns:
            here = [name for name in column.names if name in names]
            if len(here) > 1 or (here and names.count(here[0]) > 1):
                problems.append(f"{column.what} is there twice")
            elif here:
                self.found[column.what] = Found(here[0], names.index(here[0]), column.names[here[0]])
            elif column.needed:
                problems.append(f"there is no column {' or '.join(column.names)} ({column.what})")
        if problems:
            has = f"the first line has {', '.join(names)}"
            if any(_is_number(name) for name in names):
                has += ", which is no header"
            raise self._mistakes.fatal(1, 0, "", "; ".join(problems), f"{has}; name the columns there")

    def _even(
        self, rows: list[list[str]], numbers: NDArray[np.int64], width: int
    ) -> tuple[list[list[str]], NDArray[np.int64]]:
        """The rows that have all fields; empty lines are passed over."""
        good = []
        for number, row in enumerate(rows):
            if len(row) == width:
                good.append(number)
            elif row:
                wrong = f"has {len(row)} fields, and the header has {width}"
                self._mistakes.add("wrong number of fields", int(numbers[number]), 0, "", wrong)
        return [rows[number] for number in good], numbers[good]

    def _parsed(self, lines: list[str], first: int) -> list[list[str]]:
        try:
            rows = list(csv.reader(lines, strict=True))
        except csv.Error:
            rows = []
        if len(rows) == len(lines):
            return rows
        for number, line in enumerate(lines):  # a quotation mark somewhere; find out where
            try:
                list(csv.reader([line], strict=True))
            except csv.Error as error:
                raise self._mistakes.fatal(
                    first + number, 0, "", f"is not CSV: {error}", "expected fields with commas between"
                ) from None
        raise AssertionError("lines that can be read one by one can be read together")

    def _lines(self) -> Iterator[list[str]]:
        """The lines of the file, some at a time, without their ends. Raises `ConfigurationError`."""
        first, rest, line = True, b"", 1
        for octets in self._octets():
            whole, separator, rest = (rest + octets).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                raise self._mistakes.fatal(
                    line + whole.count(b"\n") + len(separator), 0, "", "is longer than 65536 octets", "expected CSV"
                )
            if not separator:
                continue
            text = self._decoded(whole, line, first)
            line += whole.count(b"\n") + 1
            first = False
            yield [row.removesuffix("\r") for row in text.split("\n")]
        if rest:
            yield [self._decoded(rest, line, first).removesuffix("\r")]
        elif first:
            raise unusable(str(self.path), "is empty", "expected a header and rows")

    def _decoded(self, octets: bytes, line: int, first: bool) -> str:
        try:
            return octets.decode("utf-8-sig" if first else "utf-8")
        except UnicodeDecodeError as error:
            before = octets[: error.start]
            column = error.start - before.rfind(b"\n")
            raise self._mistakes.fatal(
                line + before.count(b"\n"), column, "", "is not text", "expected CSV in UTF-8"
            ) from None

    def _octets(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as plain:
                compressed = plain.peek(2)[:2] == b"\x1f\x8b"
                file: io.BufferedIOBase = gzip.GzipFile(fileobj=plain) if compressed else plain
                while octets := file.read(PIECE):
                    yield octets
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise unusable(str(self.path), f"cannot be decompressed: {error}", "fetch the file again") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise unusable(str(self.path), f"cannot be read: {reason}", "name a file that can") from None


def _number(text: str) -> float:
    return float(text) if _is_number(text) else float("nan")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
