"""What a soak is worth: percentiles, verdicts, and the picture of all its losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sojourn.lab.demo_summary import describe_flow
from sojourn.lab.measure import milliseconds, percentile
from sojourn.lab.measure_run import FlowLoss, HandoverResult, judge
from sojourn.lab.report import Report, Table, Verdict, draw, to_json
from sojourn.lab.traffic import FlowRecord, resets
from sojourn.wire.units import MILLISECOND, Duration

if TYPE_CHECKING:
    from sojourn.lab.soak import SoakOptions, SoakResult

OUTAGE: Duration = 20 * MILLISECOND
"""In a run with buffering: the time that a host is nowhere."""
ALLOWANCE_MS = 15.0
"""That a handover may take beyond the formula: scheduling, kernel, Python."""
BUFFERED_PACKETS = 2.0
"""That may be lost at a thousand packets a second when the anchor buffers."""
_ENOUGH = 20
"""Of fewer samples the 95th percentile is the largest."""
_PROBED = 500.0
"""Packets a second from which on a stream counts as a probe of the loss."""


def make_soak_report(result: SoakResult) -> Report:
    """Judge a soak."""
    options, moves = result.options, judge(result.evidence)
    losses = [one for move in moves for one in move.losses]
    probes = [one for one in losses if one.direction == "down" and one.rate >= _PROBED]
    report = Report(
        f"Soak, {options.mode} mode" + (", buffering" if options.buffer else ""),
        f"{options.hosts} hosts, {len(moves)} moves between {options.routers} access routers, seed {options.seed}.",
        conditions=_conditions(result),
        verdicts=list(_verdicts(result, moves, probes)),
        tables=[_percentiles(moves, probes), _kinds(result.records)],
    )
    report.pictures = draw(options.output / "losses.png", lambda path: _draw(path, report.title, probes))
    report.data = {
        "options": to_json(options),
        "handovers": [{**to_json(move), "exact": move.exact} for move in moves],
        "sessions": [describe_flow(record) for record in result.records],
        "left_behind": result.left_behind,
    }
    return report


def air_words(options: SoakOptions) -> list[str]:
    """How hosts leave in this run, where that is not at once."""
    if not options.buffer:
        return [] if not options.notice else [_notice_words(options)]
    words = ["routers buffer", f"hosts nowhere for {milliseconds(OUTAGE):g} ms"]
    return [*words, _notice_words(options)]


def _notice_words(options: SoakOptions) -> str:
    return f"old router told {milliseconds(options.notice):g} ms before" if options.notice else "no notice before"


def _conditions(result: SoakResult) -> list[tuple[str, str]]:
    options, topology = result.options, result.evidence.topology
    router = topology.access_routers[0]
    to_cmd, to_server = (milliseconds(topology.delay(router, name)) for name in ("cmd", "server"))
    return [
        ("mode", options.mode),
        ("hosts, moves, seed", f"{options.hosts}, {options.roams}, {options.seed}"),
        ("links", f"{to_cmd:g} ms from a router to the database, {to_server:g} ms to the server, one way"),
        ("a move", ", ".join(air_words(options)) or "the host changes cells at once, the old router sees it leave"),
        ("hosts' duplicate address detection", options.dad),
        ("probe", "one old stream of the host that moves, 1000 packets a second to it around the move"),
        ("other traffic", "per host a download and, per kept address, a terminal session and 20 packets a second"),
        ("control phase", "the packets of the same burst before the move; the share lost there is taken off"),
        ("unused prefixes retire after", "5 s (idle_hold; 60 s by default)"),
        ("bindings last", f"{options.lifetime} s (300 s by default)"),
    ]


def _verdicts(result: SoakResult, moves: Sequence[HandoverResult], probes: Sequence[FlowLoss]) -> Iterable[Verdict]:
    count = resets(result.records)
    yield Verdict("TCP resets", str(count), "0", count == 0)
    broken = [record.flow for record in result.records if record.kind == "exchange" and record.outcome != "complete"]
    yield Verdict("terminal sessions that broke", str(len(broken)), "0", not broken)
    corrupt = [record.flow for record in _finished(result.records) if not record.intact]
    yield Verdict("corrupt downloads", str(len(corrupt)), "0", not corrupt)
    share = "p95" if len(probes) >= _ENOUGH else "most"
    excess = percentile((one.lost_ms - one.bound_ms for one in probes), 0.95)
    if result.options.buffer:
        lost = percentile((one.packets for one in probes), 0.95)
        limit = f"at most {BUFFERED_PACKETS:.0f}"
        yield Verdict(f"lost of 1000 packets a second, {share}", f"{lost:.1f}", limit, lost <= BUFFERED_PACKETS)
    else:
        limit = f"at most {ALLOWANCE_MS:.0f} ms"
        yield Verdict(f"loss beyond the formula, {share}", f"{excess:.1f} ms", limit, excess <= ALLOWANCE_MS)
    inexact = [move.number for move in moves if not move.exact]
    formula = "1+3k" if result.options.mode == "locator" else "2+2k"
    right = f"{len(moves) - len(inexact)} of {len(moves)}"
    yield Verdict(f"handovers with exactly {formula} messages", right, f"{len(moves)} of {len(moves)}", not inexact)
    kept = sum(map(len, result.left_behind.values()))
    yield Verdict("differences in the kernels afterwards", str(kept), "0", kept == 0)


def _finished(records: Iterable[FlowRecord]) -> Iterable[FlowRecord]:
    """Downloads that were not stopped because the run ended."""
    return (record for record in records if record.kind == "download" and record.outcome != "stopped")


def _percentiles(moves: Sequence[HandoverResult], probes: Sequence[FlowLoss]) -> Table:
    fresh = [move.new_flow for move in moves if move.new_flow is not None]
    away = [one for one in probes if one.bound_ms > 0]
    rows = [
        _row("loss of old flows, ms", [one.lost_ms for one in probes]),
        _row("formula, ms", [one.bound_ms for one in away]),
        _row("loss beyond the formula, ms", [one.lost_ms - one.bound_ms for one in probes]),
        _row("lost packets in the control phase, of 1000", [_control(one) for one in probes]),
        _row("new flow: first packet after attach, ms", [new.first_packet_ms for new in fresh]),
        _row("new flow: first answer after attach, ms", [new.answer_ms for new in fresh]),
        _row("new flow: stretch", [new.stretch for new in fresh if new.stretch]),
        _row("old anchors (k)", [len(move.old_anchors) for move in moves]),
        _row("messages of a handover", [move.messages for move in moves]),
        _row("of these repeated", [move.repeated for move in moves]),
        _row("octets of a handover", [move.octets for move in moves]),
    ]
    columns = ("", "n", "median", "p95", "most")
    note = (
        "Loss counts probe packets towards the host (1000 a second) that never arrived, less the share that "
        "was lost in the same burst before the move."
    )
    if len(probes) < _ENOUGH:
        note += f" Of fewer than {_ENOUGH} samples, p95 is the largest."
    return Table("Handovers", columns, list(rows), note)


def _control(one: FlowLoss) -> float:
    return 1000 * one.control_lost / max(1, one.control_sent)


def _row(name: str, values: Sequence[float]) -> Sequence[str]:
    cells = [percentile(values, share) for share in (0.5, 0.95, 1.0)]
    return (name, str(len(values)), *(f"{cell:.2f}".rstrip("0").rstrip(".") for cell in cells))


def _kinds(records: Sequence[FlowRecord]) -> Table:
    rows = []
    for kind in ("download", "exchange", "stream"):
        outcomes: dict[str, int] = {}
        for record in records:
            if record.kind == kind:
                outcomes[record.outcome] = outcomes.get(record.outcome, 0) + 1
        text = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        rows.append((kind, str(sum(outcomes.values())), text))
    stopped = any(record.kind == "download" and record.outcome == "stopped" for record in records)
    note = "Stopped: downloads that the end of the run cut short; nothing was wrong with them." if stopped else ""
    return Table("Flows", ("kind", "number", "ended"), list(rows), note)


def _draw(path: Path, title: str, probes: Sequence[FlowLoss]) -> None:
    """Every loss as a point, in the order of the moves, with its bound. Needs matplotlib."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(10, 3.6))
    places = range(len(probes))
    axis.plot(places, [one.lost_ms for one in probes], "o", markersize=3.5, color="#0072B2", label="lost")
    axis.step(places, [one.bound_ms for one in probes], where="mid", color="#D55E00", linewidth=1, label="formula")
    axis.set_xlabel("old flows, in the order of the moves")
    axis.set_ylabel("ms of the flow")
    axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axis.set_title(title, loc="left")
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)
