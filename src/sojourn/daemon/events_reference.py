"""The list of what the log and ``sojourn show events`` may tell, made from the source: names, levels, fields.

``python -m sojourn.daemon.events_reference > docs/events.md`` writes it; a test compares. A name or a field that is
there stays there: people's alarms are made of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from sojourn.core.events import Event
from sojourn.telemetry.log import LEVELS, level_of
from sojourn.telemetry.rows import hyphenated

_MORE = "..."
"""Fields that are put together elsewhere."""
_HEAD = """\
# Events

What a line of the log says, `sojourn show events` and a recording's reports: a word, and fields. Names and fields are
stable: new ones are added, those that are here stay. With `log_format = "json"` each line is one object with the fields

| field | value |
| --- | --- |
| `time` | UTC, RFC 3339 with milliseconds |
| `daemon` | `name` of the configuration file, else the machine's |
| `level` | `debug`, `info`, `warning`, `error` |
| `subsystem` | `daemon`, `protocol`, `messages`, `nodes`, `kernel`, `refusals` |
| `event` | one of those below |

and those of the event, none of which can take the place of these. In systemd's journal they are `SOJOURN_DAEMON`,
`SOJOURN_SUBSYSTEM`, `SOJOURN_EVENT`, `SOJOURN_` and the field in capitals. Addresses and prefixes are text, nodes
(`node`, `link_layer`) pseudonyms unless `identifiers = "plain"`, numbers are numbers.

Fields that are not always there are among them. Beside these, the daemon tells at level `debug` each event that its
engines are handed, with its attributes as fields: {events}.

"""


def found() -> dict[tuple[str, str], tuple[str, set[str]]]:
    """Highest level and all fields of each report of an engine and each line of the daemon itself, by part and name."""
    told: dict[tuple[str, str], tuple[str, set[str]]] = {}
    package = Path(__file__).parents[1]
    for folder in ("engines", "host", "daemon"):
        for path in sorted((package / folder).glob("*.py")):
            for name, level, fields in _of(ast.parse(path.read_text())):
                part = "engines" if folder != "daemon" else "daemon"
                level, (before, known) = level or level_of(name), told.get((part, name), ("debug", set()))
                told[part, name] = max(level, before, key=list(LEVELS).index), known | fields
    return told


def _of(tree: ast.AST) -> Iterator[tuple[str, str, set[str]]]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        position = {"Report": 0, "_report": 0, "say": 1}.get(called)
        if position is None or len(call.args) <= position:
            continue
        fields = {one.arg for one in call.keywords if one.arg} - {"subsystem", "name"}
        for more in (*call.args[position + 1 :], *(one.value for one in call.keywords if one.arg is None)):
            literals = [inner for inner in ast.walk(more) if isinstance(inner, ast.Dict)]
            keys = [key.value for one in literals for key in one.keys if isinstance(key, ast.Constant)]
            fields |= {key for key in keys if isinstance(key, str)} if literals else {_MORE}
        level = _names(call.args[0])[0] if called == "say" and _names(call.args[0]) else ""
        for name in _names(call.args[position]):
            yield name, level, fields


def _names(written: ast.expr) -> list[str]:
    if isinstance(written, ast.Constant):
        return [written.value] if isinstance(written.value, str) else []
    if isinstance(written, ast.IfExp):
        return [*_names(written.body), *_names(written.orelse)]
    return []


def markdown() -> str:
    """The whole page."""
    events = sorted(hyphenated(one.__name__) for one in get_args(Event))
    page = _HEAD.format(events=", ".join(f"`{name}`" for name in events))
    for part, title in (("engines", "Of the protocols"), ("daemon", "Of the daemon")):
        page += f"## {title}\n\n| event | level | fields |\n| --- | --- | --- |\n"
        for (of, name), (level, fields) in sorted(found().items()):
            if of == part:
                written = [f"`{field}`" for field in sorted(fields - {_MORE})] + ["more"] * (_MORE in fields)
                page += f"| `{name}` | {level} | {', '.join(written)} |\n"
        page += "\n"
    return page.rstrip("\n") + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
