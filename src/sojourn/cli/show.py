"""``sojourn show``: what a running daemon knows and does, as tables or JSON."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from cyclopts import Parameter

from sojourn.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError
from sojourn.cli.sockets import control_socket

WIDTH = 80
"""Columns that a table may take where nobody says how many there are."""
_TITLES = {"interface": "on", "lifetime": "life (s)", "idle": "idle (s)", "heard": "heard (s)", "expires": "left (s)"}
"""Shorter, and with units: seconds."""

Topic = Literal[
    "sessions", "bindings", "routes", "peers", "groups", "handovers", "events", "counters", "health", "why", "yang"
]


def show(
    topic: Topic,
    about: str | None = None,
    /,
    *,
    file: Path | None = None,
    socket: Path | None = None,
    node: str | None = None,
    lab: str | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
    plain: Annotated[bool, Parameter(negative=())] = False,
    follow: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Ask a running daemon what it knows and does.

    The daemon is found by --socket, by the configuration file, by the variable SOJOURN_SOCKET, or by being
    the only one in /run/sojourn; that of a lab by --node.

    Parameters
    ----------
    topic:
        sessions: nodes, where they are and their prefixes; of a mobile node its correspondents. bindings: what is
        registered; of a mobile node its home addresses, with their home agents and care-of addresses. routes: what
        holds in the kernel; a slot is the next hop that all prefixes of a node share, its downlink is where that
        leads. peers: the other routers. groups: who listens to which multicast groups. handovers: fast ones that
        are under way. events: what happened
        lately. counters: all that is counted. health: whether the daemon does its work; exit code 1 when not.
        why: the story of one node, from what the daemon recorded (events). yang: file and tables as data of the
        YANG module (JSON of RFC 7951) that `sojourn check --yang` prints; secrets are left out.
    about:
        The configuration file that the daemon runs with (TOML). With why: a node (link-layer address, name, or in
        hexadecimal), a prefix or an address.
    file:
        The configuration file, too.
    socket:
        The daemon's control socket.
    node:
        A node of a lab that is up, such as ar1.
    lab:
        Which lab, when several are up.
    json_output:
        Answer with JSON: a list of objects; with --follow one object per line.
    plain:
        Show identifiers of nodes as they are, not as hashes.
    follow:
        With events: go on until Ctrl-C.
    """
    from sojourn.control.client import ControlClient, ControlError

    if follow and topic != "events":
        raise CommandError("--follow goes with events only", WRONG_USAGE)
    if topic == "why":
        if not about:
            raise CommandError("show why needs a node, a prefix or an address", WRONG_USAGE)
        from sojourn.cli.why import why

        return why(about, file, socket, node, lab, json_output)
    if about is not None and file is not None:
        raise CommandError(f"{about} and --file {file} each name a daemon; expected one of them", WRONG_USAGE)
    daemon = file if about is None else Path(about)
    if topic == "yang":
        from sojourn.cli.yang import show_yang

        return show_yang(daemon, socket, node, lab, plain)
    path = control_socket(f"show {topic}", daemon, socket, node, lab)
    try:
        with ControlClient(path) as client:
            if follow:
                _print_stream(client.follow(plain), json_output)
            elif topic == "counters":
                counters = client.counters()
                rows = [{"counter": name, "count": count} for name, count in sorted(counters.items())]
                print_rows(rows, counters if json_output else None)
            else:
                rows = client.recent(plain) if topic == "events" else client.show(topic, plain)
                print_rows(rows, rows if json_output else None)
                if topic == "health" and not all(row["healthy"] for row in rows):
                    return FAILED
    except ControlError as error:
        raise CommandError(str(error)) from None
    return DONE


def print_rows(rows: Sequence[Mapping[str, Any]], answer: object | None) -> None:
    if answer is not None:
        print(json.dumps(answer, indent=2))
    elif rows:
        print_table(rows, sys.stdout)
    else:
        print("nothing to show", file=sys.stderr)


def _print_stream(rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    for row in rows:
        print(json.dumps(row) if as_json else line_of(row), flush=True)


def line_of(row: Mapping[str, Any]) -> str:
    """A row without a table: its time and event, then ``key=value``."""
    head = [str(row[key]) for key in ("time", "role", "event") if key in row]
    rest = [f"{key}={cell(value)}" for key, value in row.items() if key not in ("time", "role", "event")]
    return " ".join(head + rest)


def print_table(rows: Sequence[Mapping[str, Any]], stream: TextIO) -> None:
    """A table of `rows`, coloured on a terminal; elsewhere plain, at most 80 columns wide and without frames."""
    if "event" in rows[0]:
        for row in rows:
            print(line_of(row), file=stream)
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if all(row.get("node") == row.get("link_layer") for row in rows) and "link_layer" in columns:
        columns.remove("link_layer")  # known by nothing else
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    if stream.isatty():
        _rich_table(columns, cells)
    else:
        _plain_table(columns, cells, stream)


def cell(value: Any) -> str:
    """A value for people."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return "\n".join(cell(item) for item in value) or "-"
        case dict():
            return " ".join(f"{key}={cell(inner)}" for key, inner in value.items()) or "-"
        case _:
            return str(value)


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(_title(column), overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console(highlight=False).print(table, markup=False)


def _plain_table(columns: Sequence[str], cells: Sequence[Sequence[str]], stream: TextIO) -> None:
    """Columns as wide as their longest line; where that is too much, folded between words; else one row a block."""
    grid = [[_title(column) for column in columns], *cells]
    places = range(len(columns))
    least = [max(len(word) for row in grid for word in row[place].split()) for place in places]
    widths = [max(len(line) for row in grid for line in row[place].split("\n")) for place in places]
    if sum(least) + 2 * (len(columns) - 1) > WIDTH:
        _blocks(columns, cells, stream)
        return
    while sum(widths) + 2 * (len(columns) - 1) > WIDTH:
        widest = max((place for place in places if widths[place] > least[place]), key=lambda place: widths[place])
        widths[widest] -= 1
    for row in grid:
        folded = [_fold(value, width) for value, width in zip(row, widths, strict=True)]
        for number in range(max(map(len, folded))):
            parts = [lines[number] if number < len(lines) else "" for lines in folded]
            line = "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
            print(line.rstrip(), file=stream)


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]], stream: TextIO) -> None:
    """``key  value`` below each other, an empty line between rows."""
    margin = max(map(len, map(_title, columns)))
    for number, row in enumerate(cells):
        if number:
            print(file=stream)
        for column, value in zip(columns, row, strict=True):
            for place, line in enumerate(_fold(value, WIDTH - margin - 2)):
                print(f"{_title(column) if not place else '':{margin}}  {line}", file=stream)


def _title(column: str) -> str:
    return _TITLES.get(column, column.replace("_", " "))


def _fold(value: str, width: int) -> list[str]:
    lines = []
    for line in value.split("\n"):
        lines += textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    return lines
