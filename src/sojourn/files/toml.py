"""Reading a TOML file against a description: all mistakes at once, each with its place and what was expected.

Two passes: the syntax (`read`), then the keys and values (`Document.validate`, by a `Layout`). What cannot be true
together is for whoever describes the file to find, as `Fault`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sojourn.files.sections import Key, Layout, key_text, written

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a file."""

    line: int
    """Where it is, 0 when that is not known."""
    key: str
    """``maar.peers[0].address``; empty for the file as a whole."""
    wrong: str
    """What is wrong."""
    expected: str
    """What was expected, or what to do."""
    column: int = 0
    """The character of the line, from 1; 0 when that says nothing."""

    def text(self, file: str) -> str:
        """``FILE:LINE:COLUMN: key: what is wrong; what was expected``."""
        place = file + (f":{self.line}" if self.line else "") + (f":{self.column}" if self.column else "")
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.wrong}; {self.expected}"


class ConfigurationError(Exception):
    """The file cannot be used."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems)
        super().__init__(file, self.problems)

    def __str__(self) -> str:
        return "\n".join(problem.text(self.file) for problem in self.problems)


@dataclass(frozen=True)
class Fault:
    """A contradiction at `key`; a `note` is only worth knowing."""

    key: Key
    wrong: str
    expected: str
    note: bool = False


@dataclass(frozen=True)
class Document:
    """A file that is TOML."""

    name: str
    data: dict[str, Any]
    lines: Mapping[Key, int]
    """The line of each key."""

    def problem(self, fault: Fault) -> Problem:
        """`fault` with its line."""
        return Problem(line_of(self.lines, fault.key), key_text(fault.key), fault.wrong, fault.expected)

    def validate(self, model: type[S], layout: Layout, faults: Iterable[Fault]) -> S:
        """The file as `model`, if that has no problem and there are no `faults`. Raises `ConfigurationError`."""
        problems: list[Problem] = []
        file: S | None = None
        try:
            file = model.model_validate(self.data)
        except ValidationError as error:
            problems += [self.problem(fault) for fault in _mistakes(error, layout)]
        problems += [self.problem(fault) for fault in faults if not fault.note]
        if problems or file is None:
            raise ConfigurationError(self.name, list(dict.fromkeys(problems)))
        return file


def read(path: str | Path, most: int = 16 << 20) -> bytes:
    """What is in the file, if that is not more octets than `most`. Raises `ConfigurationError`."""
    try:
        with Path(path).open("rb") as file:
            octets = file.read(most + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise unusable(str(path), f"cannot be read: {reason}", "name a file that can") from None
    if len(octets) > most:
        raise unusable(str(path), f"has more than {most >> 20} MiB", "expected a file that people can read")
    return octets


def parse(octets: bytes, name: str) -> Document:
    """The contents of a file as TOML. Raises `ConfigurationError`."""
    try:
        written = octets.decode()
        return Document(name, tomllib.loads(written), key_lines(written))
    except UnicodeDecodeError:
        raise unusable(name, "is not text", "expected TOML in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(name, [_syntax(str(error))]) from None
    except RecursionError:
        raise unusable(name, "is nested too deeply", "expected tables as documented") from None


def unusable(name: str, wrong: str, expected: str) -> ConfigurationError:
    """What is to be raised for a file that is wrong as a whole."""
    return ConfigurationError(name, [Problem(0, "", wrong, expected)])


def _syntax(message: str) -> Problem:
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(match.group(1)) if match else 0
    return Problem(
        line, "", f"is not TOML: {message[0].lower()}{message[1:]}", 'expected lines as key = "value" (see toml.io)'
    )


def _mistakes(error: ValidationError, layout: Layout) -> Iterable[Fault]:
    """The mistakes that pydantic found, in our words."""
    for item in error.errors(include_url=False, include_context=True):
        # Where a table is named by its user, pydantic calls a wrong name a part of the key.
        key: Key = tuple(part for part in item["loc"] if part != "[key]")
        yield Fault(key, *_describe(item["type"], key, item["input"], item["msg"], layout))


def _describe(kind: str, key: Key, value: object, message: str, layout: Layout) -> tuple[str, str]:
    if kind == "extra_forbidden":
        return "there is no such key", layout.suggestion(key)
    expected = layout.expectation(key)
    if kind == "missing":
        return "is missing", f"expected {expected}"
    if kind == "sojourn":
        return message, f"expected {expected}"
    if kind == "tuple_type" and not isinstance(value, dict):
        return f"{_short(value)} is not a list", f"write [{_short(value)}]; expected {expected}"
    return f"{_short(value)} is not possible here", f"expected {expected}"


def _short(value: object) -> str:
    text = written(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- places -------------------------------------------------------------------------------------------------------


def key_lines(written: str) -> dict[Key, int]:
    """The line of each table and key, as far as a plain scan can tell (tables and keys at the start of a line)."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(written.splitlines(), start=1):
        if match := re.match(r"\s*\[\[\s*([^\[\]]+?)\s*\]\]", line):
            name = _names(match.group(1))
            index = counts.get(name, 0)
            counts[name] = index + 1
            table = (*name, index)
            lines.setdefault(name, number)
            lines[table] = number
        elif match := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            table = _names(match.group(1))
            lines[table] = number
        elif match := re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line):
            lines.setdefault((*table, *_names(match.group(1))), number)
    return lines


def _names(dotted: str) -> Key:
    """The parts of a key, as TOML takes them apart: a quoted part may hold dots."""
    parts = re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s\"']+", dotted)
    return tuple(part.strip("\"'") for part in parts)


def line_of(lines: Mapping[Key, int], key: Key) -> int:
    """The line of `key`, else of the table around it; 0 when neither is known."""
    while key:
        if key in lines:
            return lines[key]
        key = key[:-1]
    return 0
