"""The demo: one stock host walks over three access routers while its connections live on, and once more without us.

`run_demo` runs inside the sandbox. It walks twice, first in a domain of MAARs, then over plain routers, and
sets the two beside each other. The report directory holds all that was measured.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.lab.conduct import conduct_before
from sojourn.lab.demo_summary import describe_flow, move_table, session_table
from sojourn.lab.demo_walk import Walk, WalkPlan, WalkResult
from sojourn.lab.lab import Lab
from sojourn.lab.live import Stage, View
from sojourn.lab.measure_run import Anchors, HandoverResult, judge
from sojourn.lab.plain import PlainRouters
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Verdict, draw, to_json
from sojourn.lab.report_timeline import Lane, Stay, draw_timeline
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import VOICE_RATE, FlowRecord, resets
from sojourn.wire.units import MILLISECOND, SECOND

IDLE_HOLD = "4s"
"""The demo does not wait the minute that an unused prefix is kept for otherwise."""
PLAN = WalkPlan()
"""Of both walks: only what is the same in both can be compared."""
ALLOWANCE_MS = 15.0
"""What a move may cost beyond the formula: scheduling, kernel, Python."""
PACKET_MS = 1000 / VOICE_RATE
"""Loss is counted in whole packets, so that it shows up to one interval more than it lasted."""
_OLD_SESSIONS = ("download", "terminal", "voice")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says."""

    output: Path
    mode: str = "proxy"
    json: bool = False
    plain: bool = False
    seed: int = 0
    buffer: bool = False
    plan: WalkPlan = PLAN
    compare: bool = True
    """Walk once more without mobility."""


@scenario("walk", "one host walks over three access routers while its connections live on (sojourn demo)")
def walk(options: ScenarioOptions) -> int:
    """The demo as a scenario; its own options are ``--mode``, ``--seed`` and ``--buffer``."""
    extra = dict(options.extra)
    mode, seed, buffer = extra.pop("mode", "proxy"), extra.pop("seed", "0"), extra.pop("buffer", "")
    if extra or mode not in ("proxy", "relay", "locator", "direct") or not seed.isdigit():
        print("sojourn: walk takes --mode proxy|relay|locator|direct, --seed NUMBER and --buffer", file=sys.stderr)
        return 2
    return run_demo(
        DemoOptions(options.output, mode, options.json, options.plain, int(seed), buffer not in ("", "false"))
    )


def demo_topology(mode: str, *, mobility: bool = True, buffer: bool = False) -> Topology:
    """The built-in topology ``walk`` in one of the modes of RFC 8885, or with plain routers."""
    topology = load("walk")
    settings = {**topology.maar, "idle_hold": IDLE_HOLD, "buffer": buffer}
    return topology.model_copy(update={"mode": mode, "mobility": mobility, "maar": settings, "roam": ()})


def run_demo(options: DemoOptions) -> int:
    """Walk with and without mobility, print what came of it, leave the report. The exit status."""

    def play(view: View) -> Report:
        with_us = _walk_with(options, view)
        return make_report(options, with_us, _walk_without(options, view))

    return conduct_before("walk", ScenarioOptions(options.output, options.json, options.plain), play)


def _walk_with(options: DemoOptions, view: View) -> WalkResult:
    topology = demo_topology(options.mode, buffer=options.buffer)
    with Lab(topology, options.output, capture="signalling", seed=options.seed) as lab:
        stage = Stage(f"with sojourn, {options.mode} mode", topology.access_routers, topology.hosts[0], True)
        view.open(stage)
        return Walk(lab, options.plan, view, stage).run(options.output)


def _walk_without(options: DemoOptions, view: View) -> WalkResult | None:
    if not options.compare:
        return None
    output = options.output / "without"
    output.mkdir(exist_ok=True)
    topology = demo_topology(options.mode, mobility=False)
    with Lab(topology, output, daemons=False, seed=options.seed) as lab, PlainRouters(lab):
        stage = Stage("the same walk without mobility", topology.access_routers, topology.hosts[0], False)
        view.open(stage)
        return Walk(lab, options.plan, view, stage).run(output)


# --- what came of it ----------------------------------------------------------------------------------


def make_report(options: DemoOptions, with_us: WalkResult, without: WalkResult | None) -> Report:
    """Judge the two walks."""
    moves = judge(with_us.evidence)
    report = Report(
        f"The walk, {options.mode} mode",
        f"A stock Linux host walks {_route(with_us)} with a download, a terminal session and a voice call.",
        verdicts=[*verdicts(with_us, moves), *loss_verdict(moves)],
        tables=[move_table(with_us, moves, spoken(IDLE_HOLD)), session_table(with_us, without, options.plan)],
        conditions=conditions(options, with_us),
    )
    picture = options.output / "timeline.png"
    report.pictures = draw(picture, lambda path: _draw(path, f"Walk with sojourn, {options.mode} mode", with_us))
    report.data = {
        "mode": options.mode,
        "seed": options.seed,
        "plan": to_json(options.plan),
        "idle_hold": IDLE_HOLD,
        "topology": with_us.evidence.topology.model_dump(mode="json"),  # type: ignore[attr-defined]
        "handovers": [handover_row(move) for move in moves],
        "sessions": [describe_flow(record) for record in with_us.records],
        "retired": with_us.retired,
        "without_mobility": None if without is None else _without_row(without),
    }
    if without is not None:
        picture = options.output / "timeline-without.png"
        report.pictures += draw(picture, lambda path: _draw(path, "The same walk without mobility", without))
    return report


def verdicts(result: WalkResult, moves: Sequence[HandoverResult]) -> list[Verdict]:
    """What a walk must show: the sessions lived, the download is right, nothing was reset, prefixes retired."""
    records = {record.flow: record for record in result.records}
    living = [flow for flow in _OLD_SESSIONS if flow in records and records[flow].outcome == "complete"]
    begun = [move for move in moves if move.new_flow is not None and move.new_flow.stretch == 1.0]
    last = result.stays[-1][0]
    left = [prefix for router, prefix in result.visited.items() if router != last]
    gone = [prefix for prefix in left if prefix in result.retired]
    count = resets(result.records)
    download = records.get("download")
    right = download is not None and download.intact
    return [
        Verdict("old sessions alive", f"{len(living)} of 3", "3 of 3", len(living) == len(_OLD_SESSIONS)),
        Verdict("download", "checksum right" if right else "checksum wrong", "checksum right", right),
        Verdict("TCP resets", str(count), "0", count == 0),
        Verdict(
            "new flows that took the short way", f"{len(begun)} of {len(moves)}",
            f"{len(moves)} of {len(moves)}", len(begun) == len(moves),
        ),
        Verdict(
            "unused prefixes retired", f"{len(gone)} of {len(left)}", f"{len(left)} of {len(left)}",
            len(gone) == len(left),
        ),
    ]  # fmt: skip


def loss_verdict(moves: Sequence[HandoverResult]) -> list[Verdict]:
    """What the voice call may lose at a move: the formula, 15 ms, and one packet, as loss comes in whole packets."""
    allowed = ALLOWANCE_MS + PACKET_MS
    beyond = [one.lost_ms - one.bound_ms for move in moves for one in move.losses if one.flow == "voice"]
    most = max(beyond, default=0.0)
    measured = f"{max(0.0, most):.0f} ms beyond the formula"
    required = f"allowed {ALLOWANCE_MS:.0f} + {PACKET_MS:.0f}"
    return [Verdict("voice lost at a move", measured, required, most <= allowed)]


def conditions(options: DemoOptions, result: WalkResult) -> list[tuple[str, str]]:
    """Under which both walks were made, for the report."""
    plan, topology = options.plan, result.evidence.topology
    cmd, server = result.evidence.cmd, result.evidence.server
    first = topology.access_routers[0]
    compared = (
        "all of this the same; plain routers with one address everywhere that advertise twice a second. A client with "
        "more patience than the time away would go on, because this host comes back"
    )
    far = topology.delay(first, cmd) / MILLISECOND, topology.delay(first, server) / MILLISECOND
    return [
        ("stops", _route(result)),
        ("time at each router", f"{plan.dwell:g} s, after {plan.control:g} s of control phase at the first one"),
        ("away from the first router", f"{plan.away:g} s"),
        ("sessions", f"a download of {plan.download_rate // 1000} kB/s, a line every "
         f"{plan.exchange_every // MILLISECOND} ms that comes back, {VOICE_RATE} voice packets a second both ways"),
        ("patience of clients", f"{plan.patience // SECOND} s without an octet, then they give up"),
        ("links", f"{far[0]:g} ms from a router to the database, {far[1]:g} ms to the server, one way"),
        ("host", "stock Linux, duplicate address detection as it comes (1 to 2 s before a new address is used)"),
        ("unused prefixes retire after", f"{spoken(IDLE_HOLD)} (idle_hold; 60 s by default)"),
        ("routers keep packets of a host between cells", "yes" if options.buffer else "no"),
        *([("without mobility", compared)] if options.compare else []),
    ]  # fmt: skip


def spoken(duration: str) -> str:
    """A duration of a configuration file, for people."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", duration)


def handover_row(move: HandoverResult) -> dict[str, Any]:
    """For report.json."""
    row: dict[str, Any] = to_json(move)
    return {**row, "exact": move.exact}


def _without_row(without: WalkResult) -> dict[str, Any]:
    return {"sessions": [describe_flow(record) for record in without.records], "resets": resets(without.records)}


def _route(result: WalkResult) -> str:
    return " to ".join(router for router, _, _ in result.stays)


def _draw(path: Path, title: str, result: WalkResult) -> None:
    anchors = Anchors(result.evidence.topology)
    stays = [Stay(router, since, end) for router, since, end in result.stays]
    lanes = [
        Lane(record, _title(record), anchors.of(record.source) or "?")
        for record in result.records
        if not record.flow.endswith("/hops")
    ]
    draw_timeline(path, title, stays, lanes, result.evidence.topology.access_routers)


def _title(record: FlowRecord) -> str:
    return {"new-1": "new flow 1", "new-2": "new flow 2", "new-3": "new flow 3", "voice": "voice call"}.get(
        record.flow, record.flow
    )
