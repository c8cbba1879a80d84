"""The tables of a report, for 80 columns and for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sojourn.evaluation.checks import checks
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import SIMULATED, Way
from sojourn.evaluation.words import compact, exact, interval, number, percent, time
from sojourn.lab.report import Table
from sojourn.wire.units import SECOND

_SHORT = {Way.RELOCATION: "reloc."}
_Text = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class _Row:
    """A quantity of all ways."""

    title: str
    figure: str
    text: _Text = compact
    scaled: bool = False
    """It grows with the population."""
    factor: float = 1.0


ROWS = (
    _Row("old session waits, ms", "restored_ms"),
    _Row("  95 % of moves, ms", "restored_p95_ms"),
    _Row("new session waits, ms", "usable_ms"),
    _Row("registered after, ms", "registered_ms"),
    _Row("messages a handover", "messages"),
    _Row("  as the RFC draws it", "drawn_messages"),
    _Row("octets a handover", "octets"),
    _Row("messages/s", "messages_per_second", scaled=True),
    _Row("  at busiest node", "busiest_messages_per_second", scaled=True),
    _Row("kB/s of signalling", "octets_per_second", scaled=True, factor=1e-3),
    _Row("tunnels and routes", "entries", scaled=True),
    _Row("  at busiest node", "busiest_entries", scaled=True),
    _Row("anchors of a node", "anchors"),
    _Row("  99 % of the time", "anchors_p99"),
    _Row("traffic tunnelled", "tunnelled", percent),
    _Row("delay added, ms", "added_ms"),
    _Row("stretch", "stretch"),
    _Row("busiest router Mbit/s", "busiest_mbit", scaled=True),
    _Row("lost if it dies", "lost", percent),
)


def comparison(study: Study) -> Table:
    """All ways beside each other, in 80 columns."""

    def cell(row: _Row, found: Estimate) -> str:
        return row.text(found.mean * row.factor * (study.scale if row.scaled else 1))

    return _comparison(study, cell, "What each way costs", _note(study))


def comparison_with_intervals(study: Study) -> Table:
    """The same with 95 % confidence intervals, for a page."""

    def cell(row: _Row, found: Estimate) -> str:
        factor = row.factor * (study.scale if row.scaled else 1)
        if row.text is percent:
            return percent(found.mean)
        return interval(Estimate(found.mean * factor, found.half * factor))

    return _comparison(study, cell, "The same with 95 % confidence", "")


def _comparison(study: Study, cell: Callable[[_Row, Estimate], str], title: str, note: str) -> Table:
    columns = ["", *(_SHORT.get(way, way.value) for way in Way)]
    rows = [(row.title, *(cell(row, study.estimates[way][row.figure]) for way in Way)) for row in ROWS]
    return Table(title, columns, list(rows), note)


def _note(study: Study) -> str:
    settings = study.assumptions.settings
    return (
        f"Means over moves and session time; {study.population:,} nodes. Central: PMIPv6, one anchor. Relay, proxy, "
        f"locator: RFC 8885 as sojourn runs it (old prefixes retire {exact(settings.idle_hold / SECOND)} s after "
        "their last packet, with 4 messages). Direct: routers ask each other (2 messages). Reloc.: prefixes move, "
        "as routes (RFC 8818). Host: hosts keep a binding at each old anchor. Messages and tunnels: handovers, "
        "retirements, refreshes."
    )


def validity(study: Study) -> Table:
    """Closed form, count and engines, for proxy mode."""
    columns = ["proxy mode", "closed form", "observed laws", "counted"]
    columns += ["engines"] if study.simulated else []
    rows = []
    for check in checks(study):
        text = percent if check.name == "traffic tunnelled" else number
        cells = [
            text(check.exponential),
            "-" if check.general is None else text(check.general),
            text(check.counted.mean),
        ]
        if study.simulated:
            cells.append("-" if check.engines is None else text(check.engines.mean))
        rows.append((check.name, *cells))
    note = (
        "Closed form: for exponential times with the means of this network. Observed laws: the same for session "
        "lengths and stays as they are. Counted: on the real moves. "
    )
    if study.simulated:
        note += "Engines: messages and state of the real engines in the simulator, on the same moves."
    return Table("How far formulas, count and engines agree", columns, list(rows), note)


def engines(study: Study) -> Table | None:
    """What the engines needed, beside the formulas on the same moves; None without simulation."""
    if not study.simulated:
        return None
    rows: list[Sequence[str]] = [
        (f"{way.value}: {title}", interval(study.estimates[way][name]), interval(study.simulated[way][name]))
        for way in SIMULATED
        for title, name in _MEASURED
        if name in study.simulated[way]
    ]
    note = "Of nodes that leave the domain the engines' messages hold the end of their binding too (2)."
    return Table("Engines in the simulator", ("", "formula on the same moves", "engines"), rows, note)


_MEASURED = (
    ("registered after, ms", "registered_ms"),
    ("old session waits, ms", "restored_ms"),
    ("median, ms", "restored_p50_ms"),
    ("95 %, ms", "restored_p95_ms"),
    ("99 %, ms", "restored_p99_ms"),
    ("messages a handover", "messages"),
    ("octets of the handover alone", "redirection_octets"),
)


def parameters(study: Study) -> list[tuple[str, str]]:
    """What a reader must know to judge the figures."""
    assumptions, behaviour, settings = study.assumptions, study.behaviour, study.assumptions.settings
    edge = "as the sessions say" if assumptions.edge is None else percent(assumptions.edge)
    return [
        ("network", f"{study.topology.name}: {len(study.topology.places)} places, nodes attach at "
         f"{len(study.topology.attachable())} of them"),
        ("central node", f"{study.place(assumptions.central)} ({study.placement}): anchor, database, reflector"),
        ("population", f"{study.population:,} nodes; {study.nodes:,} were looked at and figures scaled up"),
        ("runs", f"{len(study.runs)}, seeds {', '.join(map(str, study.seeds))}; {time(study.window)} of each counted"),
        ("mean dwell time", f"{time(behaviour.dwell)} (observed)"),
        ("mean session", f"{time(behaviour.session)} (observed), one every {time(behaviour.inter_arrival)}; "
         f"{number(behaviour.rho)} at a time"),
        ("at the edge", f"correspondents of {percent(study.edge_now)} of session time ({edge})"),
        ("an open session", f"{exact(assumptions.session_rate)} Mbit/s"),
        ("wireless link", f"{exact(assumptions.wireless)} ms one way, in all delays"),
        ("bindings last", f"{time(settings.lifetime / SECOND)}, refreshed at half of it in every way"),
        ("old prefixes retire after", f"{time(settings.idle_hold / SECOND)} without a session (idle_hold)"),
        ("a message at the database", f"{exact(assumptions.message_cost)} us of one core"),
        ("worth while", f"{exact(assumptions.worthwhile)} ms of delay"),
        *(("mended in the input", repair) for repair in study.repairs),
    ]  # fmt: skip
