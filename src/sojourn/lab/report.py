"""The directory that a run leaves: the same findings for machines, for a browser and for a text editor.

    report.json    everything that was measured
    report.html    the same for people, in one file that needs no network
    report.md      the tables alone
    timeline.png   what arrived when (with matplotlib, which is optional)

The lab writes the captures, the engines' event records and the logs beside them.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from sojourn import __version__


@dataclass(slots=True)
class Table:
    """Rows for people."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""


@dataclass(slots=True)
class Verdict:
    """One thing that had to hold."""

    name: str
    measured: str
    required: str
    holds: bool

    def sentence(self) -> str:
        """What is wrong, for the last line of a failed run."""
        return f"{self.name}: {self.measured}, but {self.required} was required"


@dataclass(slots=True)
class Report:
    """What a run found out."""

    title: str
    summary: str
    verdicts: list[Verdict] = field(default_factory=list)
    limits: list[Verdict] = field(default_factory=list)
    """Times that a machine with nothing else to do keeps: the figures of the formulas, with nothing added for how late
    this machine is. They are told; only who asks for that (`strict`) fails by them."""
    strict: bool = False
    tables: list[Table] = field(default_factory=list)
    conditions: Sequence[tuple[str, str]] = ()
    """What a reader must know of the run to judge it: name and words."""
    pictures: list[Path] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    """For report.json: whatever `to_json` can turn into JSON."""
    machine: dict[str, Any] = field(default_factory=lambda: describe_machine())

    @property
    def failures(self) -> list[str]:
        """A sentence for everything that should have held and did not."""
        binding = [*self.verdicts, *self.limits] if self.strict else self.verdicts
        return [verdict.sentence() for verdict in binding if not verdict.holds]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        body: dict[str, Any] = to_json(self.data)
        return {
            "title": self.title,
            "summary": self.summary,
            "passed": not self.failures,
            "failures": self.failures,
            "verdicts": to_json(self.verdicts),
            "limits": to_json(self.limits),
            "conditions": dict(self.conditions),
            **body,
            "machine": self.machine,
        }

    def write(self, directory: Path) -> None:
        """Leave report.json, report.md and report.html in `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.json").write_text(json.dumps(self.document(), indent=1) + "\n")
        (directory / "report.md").write_text(self._markdown())
        (directory / "report.html").write_text(self._html(directory))

    # --- forms ----------------------------------------------------------------------------------

    def _verdict_table(self) -> Table:
        rows = [
            (verdict.name, verdict.measured, verdict.required, "yes" if verdict.holds else "NO")
            for verdict in self.verdicts
        ]
        return Table("What had to hold", ("", "measured", "required", "holds"), list(rows))

    def limit_tables(self) -> list[Table]:
        """One with the `limits`, if there are any."""
        rows = [(one.name, one.measured, one.required, "kept" if one.holds else "missed") for one in self.limits]
        note = "What was late here, other programs on this machine included, is not deducted."
        return [Table("Strict limits", ("", "measured", "limit", ""), list(rows), note)] if rows else []

    def _machine_table(self) -> Table:
        return Table("Where and with what", ("", ""), [(name, str(v)) for name, v in self.machine.items()])

    def _all_tables(self) -> list[Table]:
        conditions = [Table("Conditions", ("", ""), list(self.conditions))] if self.conditions else []
        return [self._verdict_table(), *self.tables, *self.limit_tables(), *conditions, self._machine_table()]

    def _markdown(self) -> str:
        parts = [f"# {self.title}", self.summary]
        parts += [f"![{picture.stem}]({picture.name})" for picture in self.pictures]
        parts += [markdown_table(table) for table in self._all_tables()]
        return "\n\n".join(parts) + "\n"

    def _html(self, directory: Path) -> str:
        outcome = "passed" if not self.failures else "failed"
        parts = [f'<p>{html.escape(self.summary)}</p><p class="{outcome}"><strong>{outcome}</strong></p>']
        parts += [f"<p class=bad>{html.escape(failure)}</p>" for failure in self.failures]
        parts += [f"<p>{embedded(picture)}</p>" for picture in self.pictures]
        parts += [html_table(table) for table in self._all_tables()]
        files = "".join(f'<li><a href="{html.escape(name)}">{html.escape(name)}</a></li>' for name in _files(directory))
        return page(self.title, "".join([*parts, f"<h2>Files</h2><ul>{files}</ul>"]))


def _files(directory: Path) -> list[str]:
    """What there is to look at beside the report; folders without a file in them are not."""
    found = []
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            found += [f"{path.name}/"] if any(one.is_file() for one in path.rglob("*")) else []
        elif path.name != "report.html" and not path.name.startswith("."):
            found.append(path.name)
    return found


def to_json(value: Any) -> Any:
    """`value` with dataclasses as objects, octets as hexadecimal, endless numbers as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [entry.name for entry in dataclasses.fields(value)]
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(entry) for entry in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


LIBRARIES = ("pyroute2", "pydantic", "msgspec", "rich", "cyclopts", "matplotlib")


def describe_machine(names: Sequence[str] = LIBRARIES) -> dict[str, Any]:
    """Versions of these libraries, kernel and processors."""
    libraries = {}
    for name in names:
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            libraries[name] = "absent"
    return {
        "sojourn": __version__,
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processors": os.cpu_count() or 0,
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        **libraries,
    }


def draw(path: Path, drawing: Callable[[Path], None]) -> list[Path]:
    """`path`, drawn; nothing where matplotlib is not installed (it is an optional dependency)."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return []
    matplotlib.use("Agg")
    drawing(path)
    return [path]


def markdown_table(table: Table) -> str:
    """For a text file."""
    lines = [f"## {table.title}", "", "| " + " | ".join(table.columns) + " |"]
    lines.append("|" + " --- |" * len(table.columns))
    lines += ["| " + " | ".join(_one_line(cell) for cell in row) + " |" for row in table.rows]
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines)


def _one_line(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def html_table(table: Table) -> str:
    """For a `page`."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f"<p>{html.escape(table.note)}</p>" if table.note else ""
    return f"<h2>{html.escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>{note}"


def embedded(picture: Path) -> str:
    """A PNG or SVG as part of a `page`."""
    data = base64.b64encode(picture.read_bytes()).decode()
    kind = "svg+xml" if picture.suffix == ".svg" else "png"
    return f'<img alt="{html.escape(picture.stem)}" src="data:image/{kind};base64,{data}">'


def page(title: str, body: str) -> str:
    """A whole page that needs no network, for screen and print; `body` is HTML, below the title."""
    return _PAGE.format(title=html.escape(title), body=body)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
        color: #1c2024; background: #fff; }}
h1 {{ margin-bottom: .2rem }} h2 {{ margin-top: 2rem; font-size: 1.1rem }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #d8dde2; white-space: nowrap;
          font-variant-numeric: tabular-nums }}
img {{ max-width: 100% }}
figure {{ margin: 2rem 0; break-inside: avoid }} figcaption {{ color: #4b5563; font-size: .85em }}
.passed, .gains {{ color: #116329 }} .failed, .bad, .loses {{ color: #a40e26 }}
.answer {{ font-size: 1.15em; border-left: 4px solid #0072b2; padding-left: 1rem }}
@media print {{ body {{ font-size: 10px; max-width: none; margin: 0 }} table {{ display: table }}
                th, td {{ padding: .1rem .35rem; font-size: 8px; white-space: normal }} tr {{ break-inside: avoid }} }}
</style></head><body>
<h1>{title}</h1>{body}
</body></html>
"""
