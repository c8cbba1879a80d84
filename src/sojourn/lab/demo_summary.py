"""What the demo prints at the end: two tables of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sojourn.lab.demo_walk import WalkResult
from sojourn.lab.measure import Window, control_loss, longest_gap, milliseconds
from sojourn.lab.measure_run import FlowLoss, HandoverResult
from sojourn.lab.report import Report, Table
from sojourn.lab.traffic import FlowRecord


def move_table(result: WalkResult, moves: Sequence[HandoverResult]) -> Table:
    """A column for every move, and one for the control phase."""
    columns = ["", *(f"{move.source} to {move.target}" for move in moves), "no move"]
    voice = next((record for record in result.records if record.flow == "voice"), None)
    quiet = list(next(iter(result.evidence.quiet.values()), ()))
    rows: list[Sequence[str]] = []
    for direction, title in (("down", "voice lost, to host"), ("up", "voice lost, from host")):
        control = control_loss(getattr(voice, direction), quiet) if voice else None
        cells = [_loss_cell(_voice(move, direction)) for move in moves]
        rows.append((title, *cells, f"{control.lost} of {control.sent}" if control else ""))
    rows += [
        ("bound (formula)", *(_bound_cell(_voice(move, "down")) for move in moves), ""),
        ("old flow: hops, stretch", *(_old_cell(move) for move in moves), ""),
        ("stretch (formula)", *(f"{move.old_stretch_formula or 1.0:.2f}" for move in moves), ""),
        ("new flow: hops, stretch", *(_new_cell(move) for move in moves), ""),
        ("first packet after", *(_first_cell(move) for move in moves), ""),
        ("signalling messages", *(_messages_cell(move) for move in moves), ""),
        ("signalling octets", *(str(move.octets) for move in moves), ""),
        ("TCP resets", *(str(move.resets) for move in moves), ""),
    ]
    note = (
        "Loss: packets of the old voice call (50 a second) that never arrived, less what the control phase "
        "lost; in ms of the call. The bound is what the signalling needs on these links if nobody needs "
        "time to think. A new flow waits for the host's own duplicate address detection."
    )
    return Table("What each move cost", columns, rows, note)


def _voice(move: HandoverResult, direction: str) -> FlowLoss | None:
    return next((one for one in move.losses if (one.flow, one.direction) == ("voice", direction)), None)


def _loss_cell(one: FlowLoss | None) -> str:
    return "" if one is None else f"{one.packets:.0f} = {one.lost_ms:.0f} ms"


def _bound_cell(one: FlowLoss | None) -> str:
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


def session_table(with_us: WalkResult, without: WalkResult | None) -> Table:
    """What became of the sessions that began at the first router."""
    columns = ["session", "with sojourn", *(["without mobility"] if without else [])]
    rows: list[Sequence[str]] = []
    for flow, title in (("download", "download"), ("terminal", "terminal"), ("voice", "voice call")):
        cells = [_fate(result, flow) for result in (with_us, without) if result is not None]
        rows.append((title, *cells))
    return Table("What became of the sessions", columns, rows)


def _fate(result: WalkResult, flow: str) -> str:
    record = next((record for record in result.records if record.flow == flow), None)
    if record is None:
        return "never began"
    if record.kind == "stream":
        lost, sent = len(record.down.sent) - record.down.arrived, len(record.down.sent)
        return f"lost {lost} of {sent} packets to host"
    achieved = _achieved(record)
    if record.outcome == "complete":
        return achieved
    return f"dead ({record.outcome}) after {achieved}"


def _achieved(record: FlowRecord) -> str:
    if record.kind == "download":
        octets = record.arrivals[-1][1] if record.arrivals else 0
        return f"{octets / 1e6:.1f} MB" + (", checksum right" if record.intact else "")
    waits = [came - at for at, came in zip(record.up.sent, record.up.received, strict=True) if came]
    longest = milliseconds(max(waits, default=0))
    return f"{record.up.arrived} lines" + (f", longest wait {longest:.0f} ms" if record.outcome == "complete" else "")


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
    for table in report.tables:
        console.print(_rich(table))
        if table.note:
            console.print(table.note, style="dim")
    for verdict in report.verdicts:
        mark = Text("yes  " if verdict.holds else "NO   ", "green" if verdict.holds else "bold red")
        console.print(Text.assemble(mark, f"{verdict.name}: {verdict.measured}"))
    for failure in report.failures:
        console.print(Text(f"failed: {failure}", "bold red"))
    console.print(Text(f"report: {output / 'report.html'}"), soft_wrap=True)


def _rich(table: Table) -> RichTable:
    result = RichTable(
        title=table.title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    for index, column in enumerate(table.columns):
        result.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in table.rows:
        result.add_row(*(Text(cell) for cell in row))
    return result
