"""What a soak with faults is worth: verdicts, and tables of what broke and of what the daemons took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sojourn.lab.demo_summary import describe_flow
from sojourn.lab.faults import Fault
from sojourn.lab.report import Report, Table, Verdict, draw, to_json
from sojourn.lab.soak_casts import RATE
from sojourn.lab.soak_excuses import Lost
from sojourn.lab.soak_faults import FaultSoakResult, cast_of
from sojourn.lab.soak_faults_picture import draw_soak
from sojourn.lab.topology import Topology
from sojourn.lab.traffic import resets
from sojourn.lab.vitals import growth, most
from sojourn.wire.units import SECOND, Instant

GROWTH = 0.02
"""Of the memory of all daemons in the last quarter of a run over that in the third."""
JUDGED_FROM = 600
"""Seconds that a run must last for its memory to be judged: before, caches fill."""
DESCRIPTORS = 64
"""That no daemon ever needs."""
_SHOWN = 20


def make_report(result: FaultSoakResult) -> Report:
    """Judge a soak with faults."""
    options, cast = result.options, cast_of(result.options)
    built = cast.topology
    lasted, lost = (result.ended - result.began) / SECOND, result.unexcused()
    title = f"Soak with faults, {options.domain}"

    def picture(path: Path) -> None:
        draw_soak(
            path, title, built.daemons, result.faults, result.judged, lost, result.looks, result.began, result.ended
        )  # fmt: skip

    return Report(
        title,
        f"{options.hosts} hosts, {len(result.moves)} moves, {len(result.faults)} faults in {lasted:.0f} s, "
        f"seed {options.seed}.",
        verdicts=list(_verdicts(result, built, lost)),
        tables=[_faults(result.faults, built), *_losses(lost, result.began), _vitals(result, built)],
        conditions=[
            ("streams", f"{RATE:g} packets a second each way from the first address of every host"),
            ("sessions", cast.words),
            ("bindings last", f"{options.lifetime} s (300 s by default)"),
        ],
        pictures=draw(options.output / "soak.png", picture),
        data={
            "options": to_json(options),
            "faults": to_json(result.faults),
            "moves": to_json(result.moves),
            "sessions": [describe_flow(record) for record in result.records],
            "left_behind": result.left_behind,
            "unexcused": to_json(lost),
            "unwell": result.unwell,
            "bugs": result.bugs,
            "troubles": result.troubles,
            "refused": result.refused,
            "complaints": result.complaints,
            "looks": to_json(result.looks),
        },
    )


def _verdicts(result: FaultSoakResult, built: Topology, lost: Sequence[Lost]) -> Iterable[Verdict]:
    reset = resets(result.records)
    yield Verdict("TCP resets", str(reset), "0", reset == 0)
    broken = [one.flow for one in result.records if one.kind == "exchange" and one.outcome not in _ALIVE]
    yield Verdict("terminal sessions that broke", _some(broken), "0", not broken)
    idle = sum(one.packets for one in lost if not one.blamed)
    hurt = sum(one.packets for one in lost if one.blamed)
    yield Verdict("lost while nothing moved or was broken", str(idle), "0", idle == 0)
    yield Verdict("lost by hosts that stayed, while a daemon was dead", str(hurt), "0", hurt == 0)
    yield Verdict("sessions that heard nothing after a repair", _some(result.unwell), "0", not result.unwell)
    yield Verdict("bugs that daemons found in themselves", _some(result.bugs), "0", not result.bugs)
    yield Verdict("what kernels refused daemons", _some(result.refused), "0", not result.refused)
    if result.complaints is not None:
        yield Verdict("errors in the kernel's log", _some(result.complaints), "0", not result.complaints)
    found = result.troubles
    yield Verdict("out of place in the end, by selftest", _some(found), "0", not found)
    kept = [f"{name} {line}" for name, lines in result.left_behind.items() for line in lines]
    yield Verdict("differences in the kernels afterwards", _some(kept), "0", not kept)
    grown = growth(result.looks, built.daemons, result.began, result.ended)
    judged = result.ended - result.began >= JUDGED_FROM * SECOND
    limit = f"at most {100 * GROWTH:.0f} %" if judged else f"not judged below {JUDGED_FROM} s"
    yield Verdict("memory, last quarter over third", f"{100 * grown:+.1f} %", limit, grown <= GROWTH or not judged)
    descriptors = max((look.descriptors for look in result.looks), default=0)
    yield Verdict(
        "descriptors of a daemon, most", str(descriptors), f"at most {DESCRIPTORS}", descriptors <= DESCRIPTORS
    )


_ALIVE = ("complete", "running")


def _some(lines: Sequence[str]) -> str:
    return str(len(lines)) + (f" ({lines[0][:120]})" if lines else "")


def _faults(faults: Sequence[Fault], built: Topology) -> Table:
    count = Counter((one.kind, built.nodes[one.node].kind) for one in faults)
    kinds = sorted({kind for kind, _ in count})
    roles = sorted({role for _, role in count})
    rows: list[Sequence[str]] = [(kind, *(str(count[kind, role]) for role in roles)) for kind in kinds]
    return Table("What broke", ("times", *roles), rows)


def _losses(lost: Sequence[Lost], began: Instant) -> list[Table]:
    """What has no excuse, if there is any."""
    if not lost:
        return []
    rows: list[Sequence[str]] = [
        (
            f"{(one.first - began) / SECOND:.1f} s",
            one.flow,
            one.way,
            str(one.packets),
            f"{(one.last - one.first) / SECOND:.1f} s",
            one.blamed or "nothing",
        )
        for one in lost[:_SHOWN]
    ]
    note = "After how long, of which stream, how many packets, for how long, and what was broken meanwhile."
    if len(lost) > _SHOWN:
        note += f" The first {_SHOWN} of {len(lost)}; all are in report.json."
    return [Table("Lost without an excuse", ("after", "stream", "", "lost", "for", "meanwhile"), rows, note)]


def _vitals(result: FaultSoakResult, built: Topology) -> Table:
    rows: list[Sequence[str]] = []
    for node in built.daemons:
        memory, descriptors, store = most(result.looks, node)
        grown = growth(result.looks, [node], result.began, result.ended)
        lives = len({look.pid for look in result.looks if look.node == node})
        cells = (f"{memory / 1e6:.1f} MB", f"{100 * grown:+.1f} %", str(descriptors), f"{store / 1e3:.0f} kB")
        rows.append((node, str(lives), *cells))
    columns = ("", "lives", "memory", "growth", "descriptors", "journal")
    note = "Lives that were seen, and the most of each; growth of memory is the last quarter over the third."
    return Table("What the daemons took", columns, rows, note)
