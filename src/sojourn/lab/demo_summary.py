"""What the demo prints at the end: two tables of 80 columns."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sojourn.lab.demo_walk import WalkPlan, WalkResult
from sojourn.lab.measure import Loss, Window, control_loss, longest_gap, longest_silence, milliseconds
from sojourn.lab.measure_run import FlowLoss, HandoverResult
from sojourn.lab.report import Report, Table
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.units import SECOND


def move_table(result: WalkResult, moves: Sequence[HandoverResult], idle_hold: str) -> Table:
    """A column for every move, and one for the control phase. `idle_hold` is the run's, for the note."""
    columns = ["", *(f"{move.source} to {move.target}" for move in moves), "no move"]
    voice = next((record for record in result.records if record.flow == "voice"), None)
    quiet = list(next(iter(result.evidence.quiet.values()), ()))
    rows: list[Sequence[str]] = []
    for direction, title in (("down", "voice lost, to host"), ("up", "voice lost, from host")):
        control = control_loss(getattr(voice, direction), quiet) if voice else None
        cells = [_loss_cell(_voice(move, direction)) for move in moves]
        rows.append((title, *cells, f"{control.lost} of {control.sent}" if control else ""))
    rows += [
        ("formula", *(_formula_cell(_voice(move, "down")) for move in moves), ""),
        ("old flow: hops, stretch", *(_old_cell(move) for move in moves), ""),
        ("stretch (formula)", *(f"{move.old_stretch_formula or 1.0:.2f}" for move in moves), ""),
        ("new flow: hops, stretch", *(_new_cell(move) for move in moves), ""),
        ("first packet after", *(_first_cell(move) for move in moves), ""),
        ("signalling messages", *(_messages_cell(move) for move in moves), ""),
        ("signalling octets", *(str(move.octets) for move in moves), ""),
        ("TCP resets", *(str(move.resets) for move in moves), ""),
    ]
    return Table("What each move cost", columns, rows, _MOVE_NOTE.format(idle_hold=idle_hold))


_MOVE_NOTE = (
    "Lost: packets of the old voice call (one every 20 ms), less the share that the control phase lost too. Formula: "
    "what the signalling needs on these links if nobody takes time to think; 15 ms more are allowed, and one packet "
    "interval of 20 ms. First packet after: of the new flow, from the attach; 1 to 2 s of it are the stock host's own "
    "duplicate address detection (5 to 30 ms in all with RFC 4429, optimistic). Unused prefixes retire after "
    "{idle_hold} here (idle_hold, 60 s by default)."
)


def _voice(move: HandoverResult, direction: str) -> FlowLoss | None:
    return next((one for one in move.losses if (one.flow, one.direction) == ("voice", direction)), None)


def _loss_cell(one: FlowLoss | None) -> str:
    return "" if one is None else f"{one.packets:.0f} = {one.lost_ms:.0f} ms"


def _formula_cell(one: FlowLoss | None) -> str:
    return "" if one is None else f"{one.bound_ms:.0f} ms"


def _old_cell(move: HandoverResult) -> str:
    if move.old_routers is None:
        return "?"
    return f"{move.old_routers}, {move.old_stretch:.2f}" if move.old_stretch else str(move.old_routers)


def _new_cell(move: HandoverResult) -> str:
    new = move.new_flow
    return "none" if new is None or new.stretch is None else f"{new.routers}, {new.stretch:.2f}"


def _first_cell(move: HandoverResult) -> str:
    return "" if move.new_flow is None else f"{move.new_flow.first_packet_ms:.0f} ms"


def _messages_cell(move: HandoverResult) -> str:
    expected = " or ".join(map(str, sorted(set(move.expected))))
    return f"{move.messages} ({expected})" + (f", {move.repeated} twice" if move.repeated else "")


def session_table(with_us: WalkResult, without: WalkResult | None, plan: WalkPlan) -> Table:
    """What became of the sessions that began at the first router; both walks went by `plan`."""
    walks = [result for result in (with_us, without) if result is not None]
    columns = ["session", "with sojourn", *(["without mobility"] if without else [])]
    rows: list[Sequence[str]] = []
    for flow, title in (("download", "download"), ("terminal", "terminal"), ("voice", "voice call")):
        rows.append((title, *(_fate(result, flow) for result in walks)))
        if flow == "voice":
            others = sorted({router for router, _, _ in with_us.stays} - {with_us.stays[0][0]})
            rows.append((f"  at {', '.join(others)}", *(_away(result) for result in walks)))
        rows.append(("  longest silence", *(_silence(result, flow, plan) for result in walks)))
    return Table("What became of the sessions", columns, rows, _conditions(plan) if without else "")


def _conditions(plan: WalkPlan) -> str:
    """What a reader must know to judge the comparison."""
    patience, away = plan.patience / SECOND, plan.away
    return (
        f"Both walks: the same stops and {plan.dwell:g} s at each, the same sessions, the same patience: a client that "
        f"hears nothing for {patience:g} s gives up, as download tools and people do. Away from the first router for "
        f"{away:g} s. Without mobility a client with more patience than that would go on too, but only because this "
        "host comes back."
    )


def _record(result: WalkResult, flow: str) -> FlowRecord | None:
    return next((record for record in result.records if record.flow == flow), None)


def _fate(result: WalkResult, flow: str) -> str:
    record = _record(result, flow)
    if record is None:
        return "never began"
    if record.kind == "stream":
        return _lost(Loss(len(record.down.sent), len(record.down.sent) - record.down.arrived))
    achieved = _achieved(record)
    if record.outcome == "complete":
        return achieved
    return f"given up after {achieved}" if record.outcome == "timeout" else f"dead ({record.outcome}) after {achieved}"


def _achieved(record: FlowRecord) -> str:
    if record.kind == "download":
        octets = record.arrivals[-1][1] if record.arrivals else 0
        return f"{octets / 1e6:.1f} MB" + (", checksum right" if record.intact else f" of {record.octets / 1e6:.1f}")
    return f"{record.up.arrived} lines"


def _away(result: WalkResult) -> str:
    """The voice call while the host was at other routers than the first."""
    record = _record(result, "voice")
    return "" if record is None else _lost(control_loss(record.down, result.away))


def _lost(found: Loss) -> str:
    return f"lost {found.lost} of {found.sent} packets"


def _silence(result: WalkResult, flow: str, plan: WalkPlan) -> str:
    record = _record(result, flow)
    if record is None:
        return ""
    silence = longest_silence(record) / SECOND
    return f"{silence:.2f} s" if silence < plan.patience / SECOND else f"{silence:.1f} s"


def describe_flow(record: FlowRecord) -> dict[str, Any]:
    """A flow for report.json; every packet of it is in traffic.jsonl."""
    row: dict[str, Any] = {
        name: getattr(record, name)
        for name in ("flow", "kind", "host", "source", "started", "ended", "outcome", "octets", "intact")
    }
    row["digest"] = record.digest_received
    for name, direction in (("up", record.up), ("down", record.down)):
        if direction.sent:
            whole = Window(record.started, record.ended or direction.sent[-1])
            row[name] = {
                "sent": len(direction.sent),
                "arrived": direction.arrived,
                "duplicates": direction.duplicates,
                "reordered": direction.reordered,
                "longest_gap_ms": milliseconds(longest_gap(direction, whole)),
            }
    return row


def print_tables(console: Console, report: Report, output: Path) -> None:
    """The tables, what had to hold, and where the rest is."""
    print_trimmed(console, lambda page: _print(page, report, output))


def conclude(report: Report, output: Path, *, as_json: bool, console: Console | None = None) -> int:
    """The end of a scenario: the report in its directory, its tables or its document, and the exit status.

    Tables have 80 columns unless there is a `console` that has others.
    """
    report.write(output)
    if as_json:
        print(json.dumps(report.document(), indent=1))
    else:
        print_tables(console or Console(width=80, highlight=False), report, output)
    return 1 if report.failures else 0


def print_trimmed(console: Console, printing: Callable[[Console], None]) -> None:
    """What `printing` prints. A file or a pipe gets lines without spaces at their end."""
    if console.is_terminal:
        printing(console)
        return
    page = Console(width=console.width, file=io.StringIO(), highlight=False)
    printing(page)
    lines = cast(io.StringIO, page.file).getvalue().splitlines()
    console.file.write("".join(line.rstrip() + "\n" for line in lines))
    console.file.flush()


def _print(console: Console, report: Report, output: Path) -> None:
    for table in (*report.tables, *report.limit_tables()):
        print_table(console, table)
    console.print()
    for verdict in report.verdicts:
        mark = Text("yes  " if verdict.holds else "NO   ", "green" if verdict.holds else "bold red")
        said = f"{verdict.name}: {verdict.measured}"
        limit = "" if verdict.measured == verdict.required else f" ({verdict.required})"
        console.print(Text.assemble(mark, said, (limit, "dim")))
    for failure in report.failures:
        console.print(Text(f"failed: {failure}", "bold red"))
    console.print(Text(f"report: {output / 'report.html'}"), soft_wrap=True)


def print_table(console: Console, table: Table) -> None:
    """An empty line, the table and its note."""
    console.print()
    console.print(_rich(table))
    if table.note:
        console.print(table.note, style="dim", width=min(80, console.width))


def _rich(table: Table) -> RichTable:
    result = RichTable(
        title=table.title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0),
        show_edge=False,
    )  # fmt: skip
    for index, column in enumerate(table.columns):
        result.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in table.rows:
        result.add_row(*(Text(cell) for cell in row))
    return result
