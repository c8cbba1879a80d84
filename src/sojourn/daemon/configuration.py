"""Reading a configuration file: all mistakes at once, each with its place, what is wrong and what was expected.

Three passes: the TOML syntax, the keys and values (`sojourn.daemon.model`), and what contradicts itself
(`sojourn.daemon.contradictions`). What only this machine can say (is the address assigned?) is in
`sojourn.daemon.machine`, so that a file can be checked anywhere.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sojourn.daemon import contradictions
from sojourn.daemon.fields import Expected
from sojourn.daemon.model import Cmd, File, Maar, Retransmission, models_in
from sojourn.dataplane.settings import LinuxSettings, Priorities, Tables
from sojourn.engines.configuration import CmdConfiguration, Dhcpv6, MaarConfiguration, Mode, RetransmissionConstants
from sojourn.engines.configuration import Maar as MaarOfDomain
from sojourn.engines.configuration import Peer as PeerOfMaar

Key: TypeAlias = tuple[str | int, ...]
N = TypeVar("N", Tables, Priorities)


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

    def text(self, file: str) -> str:
        """``FILE:LINE: key: what is wrong; what was expected``."""
        place = f"{file}:{self.line}" if self.line else file
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.wrong}; {self.expected}"


class ConfigurationError(Exception):
    """The file cannot be used."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems)
        super().__init__("\n".join(problem.text(file) for problem in self.problems))


@dataclass(frozen=True)
class Configuration:
    """A file that can be used."""

    path: str
    file: File
    notes: tuple[Problem, ...]
    """What works otherwise than it is written: for people."""
    lines: Mapping[Key, int]
    """The line of each key."""

    def problem(self, key: Key, wrong: str, expected: str) -> Problem:
        """A mistake at `key` that was found later."""
        return Problem(line_of(self.lines, key), key_text(key), wrong, expected)


def load(path: str | Path) -> Configuration:
    """Read the file. Raises `ConfigurationError`."""
    name = str(path)
    try:
        octets = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(name, [Problem(0, "", f"cannot be read: {reason}", "name a file that can")]) from None
    return parse(octets, name)


def parse(octets: bytes, name: str) -> Configuration:
    """Read a file's contents. Raises `ConfigurationError`."""
    try:
        written = octets.decode()
        data = tomllib.loads(written)
    except UnicodeDecodeError:
        raise ConfigurationError(name, [Problem(0, "", "is not text", "expected TOML in UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(name, [_syntax(str(error))]) from None
    except RecursionError:
        raise ConfigurationError(
            name, [Problem(0, "", "is nested too deeply", "expected tables as documented")]
        ) from None
    if isinstance(data.get("nodes"), dict) and "control" not in data:
        wrong = "describes a lab (it has a table [nodes]), not a daemon"
        raise ConfigurationError(name, [Problem(0, "", wrong, f"this is for: sojourn lab up {name}")])
    lines = key_lines(written)
    problems: list[Problem] = []
    file: File | None = None
    try:
        file = File.model_validate(data)
    except ValidationError as error:
        problems += _problems(error, lines)
    found = contradictions.find(data)
    problems += [_contradiction(fault, lines) for fault in found if not fault.note]
    if problems or file is None:
        raise ConfigurationError(name, list(dict.fromkeys(problems)))
    return Configuration(name, file, tuple(_contradiction(fault, lines) for fault in found if fault.note), lines)


def _contradiction(fault: contradictions.Fault, lines: Mapping[Key, int]) -> Problem:
    return Problem(line_of(lines, fault.key), key_text(fault.key), fault.wrong, fault.expected)


def _syntax(message: str) -> Problem:
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(match.group(1)) if match else 0
    return Problem(
        line, "", f"is not TOML: {message[0].lower()}{message[1:]}", 'expected lines as key = "value" (see toml.io)'
    )


def _problems(error: ValidationError, lines: Mapping[Key, int]) -> list[Problem]:
    """The mistakes that pydantic found, in our words."""
    problems = []
    for item in error.errors(include_url=False, include_context=True):
        key: Key = item["loc"]
        wrong, expected = _describe(item["type"], key, item["input"], item["msg"])
        problems.append(Problem(line_of(lines, key), key_text(key), wrong, expected))
    return problems


def _describe(kind: str, key: Key, value: object, message: str) -> tuple[str, str]:
    if kind == "extra_forbidden":
        return "there is no such key", _suggestion(key)
    expected = _expectation(key)
    if kind == "missing":
        return "is missing", f"expected {expected}"
    if kind == "sojourn":
        return message, f"expected {expected}"
    if kind == "tuple_type" and not isinstance(value, dict):
        return f"{_short(value)} is not a list", f"write [{_short(value)}]; expected {expected}"
    return f"{_short(value)} is not possible here", f"expected {expected}"


def _short(value: object) -> str:
    written = json.dumps(value, default=str)
    return written if len(written) <= 60 else f"{written[:57]}..."


def _suggestion(key: Key) -> str:
    """The key that was perhaps meant, else all that there are."""
    model = _model_at(key[:-1])
    known = list(model.model_fields) if model else []
    near = difflib.get_close_matches(str(key[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    elsewhere = [table for table, other in models_in() if key[-1] in other.model_fields]
    if elsewhere:
        return f"it belongs into {' or '.join(elsewhere)}"
    return f"expected one of {', '.join(known)}"


def _expectation(key: Key) -> str:
    """What the value of `key` should be, with an example."""
    field = _field_at(key)
    if field is None:
        return "something else"
    what, example = describe_field(field)
    return f"{what} (for example {json.dumps(example)})" if example is not None else what


def describe_field(field: FieldInfo) -> tuple[str, object]:
    """What the value of a field should be, and an example."""
    told = list(field.metadata)
    for alternative in getattr(field.annotation, "__args__", ()):  # of a value that may be absent
        told += getattr(alternative, "__metadata__", ())
    kind = next((item for item in told if isinstance(item, Expected)), None)
    if kind is None:
        return ("a list of tables", None) if "tuple" in str(field.annotation) else ("a table", None)
    return kind.what, field.examples[0] if field.examples else kind.example


def _field_at(key: Key) -> FieldInfo | None:
    """The field that `key` names; for an entry of a list, the list."""
    names = [part for part in key if isinstance(part, str)]
    model = _model_at(names[:-1]) if names else None
    return model.model_fields.get(names[-1]) if model else None


def _model_at(key: Sequence[str | int]) -> type[BaseModel] | None:
    """The table that `key` names."""
    model: type[BaseModel] = File
    for part in key:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = next(iter(_models(field.annotation)), None) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


# --- what the engines are told ---------------------------------------------------------------------------------------


def maar_configuration(section: Maar) -> MaarConfiguration:
    """What the MAAR engine is told; keys and fields have the same names."""
    peers = tuple(PeerOfMaar(peer.address, peer.name, peer.pool, peer.ipv4_pool) for peer in section.peers)
    return MaarConfiguration(
        **_same_names(MaarConfiguration, section),
        mode=Mode(section.mode),
        dhcpv6=Dhcpv6(section.dhcpv6),
        peers=peers,
        retransmission=_retransmission(section.retransmission),
    )


def cmd_configuration(section: Cmd) -> CmdConfiguration:
    """What the CMD engine is told; keys and fields have the same names."""
    maars = tuple(MaarOfDomain(maar.address, maar.pool, maar.name, maar.ipv4_pool) for maar in section.maars)
    return CmdConfiguration(
        **_same_names(CmdConfiguration, section),
        mode=Mode(section.mode),
        maars=maars,
        retransmission=_retransmission(section.retransmission),
    )


def speaks_ipv4(section: Maar) -> bool:
    """Whether nodes there may have IPv4 addresses, from this router or from another."""
    return section.ipv4_pool is not None or any(peer.ipv4_pool is not None for peer in section.peers)


def linux_settings(section: Maar) -> LinuxSettings:
    """What the data plane in the kernel is told."""
    kernel = section.kernel
    return LinuxSettings(
        address=section.address,
        pool=section.pool,
        # The CMD may turn out to be a legacy LMA, which anchors by itself: a tunnel end like a peer.
        peers=(*(peer.address for peer in section.peers), section.cmd),
        access=section.access,
        buffer=section.buffer,
        mtu=section.mtu,
        prefix_length=section.prefix_length,
        counters=section.counters,
        delegated_length=0 if section.dhcpv6 != "stateful" else section.delegated_length,
        ipv4=speaks_ipv4(section),
        ipv4_pool=section.ipv4_pool,
        link_layer=section.link_layer,
        link_local=section.link_local,
        loop=kernel.loop,
        tables=_moved(Tables(), kernel.first_table - Tables.decapsulation),
        priorities=_moved(Priorities(), kernel.first_priority - Priorities.inner_spoofing),
        nexthops=kernel.nexthops,
        mark=kernel.mark,
        mark_mask=kernel.mark_mask,
        hold_octets=kernel.hold_octets,
        hold_seconds=kernel.hold_seconds,
    )


def _moved(numbers: N, distance: int) -> N:
    """The same numbers, all of them moved."""
    moved = {field.name: getattr(numbers, field.name) + distance for field in fields(numbers)}
    return replace(numbers, **moved)


def _same_names(configuration: type, section: BaseModel) -> dict[str, Any]:
    made_here = {"mode", "dhcpv6", "peers", "maars", "retransmission"}
    return {field.name: getattr(section, field.name) for field in fields(configuration) if field.name not in made_here}


def _retransmission(section: Retransmission) -> RetransmissionConstants:
    return RetransmissionConstants(**_same_names(RetransmissionConstants, section))


# --- places -------------------------------------------------------------------------------------------------------


def key_text(key: Key) -> str:
    """``maar.peers[0].address``."""
    written = ""
    for part in key:
        written += f"[{part}]" if isinstance(part, int) else f"{'.' if written else ''}{part}"
    return written


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
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def line_of(lines: Mapping[Key, int], key: Key) -> int:
    """The line of `key`, else of the table around it; 0 when neither is known."""
    while key:
        if key in lines:
            return lines[key]
        key = key[:-1]
    return 0
