"""What an evaluation leaves: a page to forward, the same as text and as data, and the pictures.

report.html   question, answer, reasons, table, pictures, assumptions, formulas; one file that needs no network
report.md     the same without pictures
report.json   everything, with confidence intervals
*.svg, *.png  the pictures
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sojourn.evaluation.checks import checks
from sojourn.evaluation.findings import Finding, answer, findings
from sojourn.evaluation.formulas import FORMULAS
from sojourn.evaluation.plots import anchors, canvas, edge, failure, fidelity, interruption, load, messages
from sojourn.evaluation.plots.canvas import Picture
from sojourn.evaluation.study import Study
from sojourn.evaluation.tables import comparison, comparison_with_intervals, engines, parameters, validity
from sojourn.lab.report import Table, describe_machine, embedded, html_table, markdown_table, page, to_json

_LIBRARIES = ("numpy", "scipy", "matplotlib")


def question(study: Study) -> str:
    """The title."""
    return f"Does distributed mobility pay for {study.name}?"


def pictures(study: Study, directory: Path) -> list[Picture]:
    """All pictures, drawn into `directory`; none without matplotlib."""
    if not canvas.available():
        return []
    found = [interruption.picture(study, directory), edge.picture(study, directory), messages.picture(study, directory)]
    if study.points:
        found.append(anchors.picture(study, directory))
    found += [load.picture(study, directory), failure.picture(study, study.outage, directory)]
    if study.lab:
        found.append(fidelity.picture(study.lab, directory))
    return found


def write(study: Study, drawn: Sequence[Picture], directory: Path) -> None:
    """Leave the three forms of the report in `directory`."""
    found = findings(study)
    (directory / "report.html").write_text(_html(study, found, drawn))
    (directory / "report.md").write_text(_markdown(study, found))
    (directory / "report.json").write_text(json.dumps(document(study), indent=1) + "\n")


def document(study: Study) -> dict[str, Any]:
    """As JSON: figures are a mean and half of its 95 % interval; those of the domain are scaled to the population
    only in the tables and sentences."""
    found = findings(study)
    body: dict[str, Any] = to_json({
        "behaviour": study.behaviour,
        "parameters": dict(parameters(study)),
        "ways": study.estimates,
        "engines": study.simulated,
        "checks": checks(study),
        "placements": [
            {"rule": one.rule, "place": study.place(one.place), "ways": one.figures} for one in study.placements
        ],
        "session_lengths": study.points,
        "outage": {
            "router": study.place(study.outage.place),
            "seconds": study.outage.seconds.tolist(),
            "router_dead": study.outage.router,
            "database_dead": study.outage.database,
        },
        "lab": study.lab,
    })  # fmt: skip
    return {
        "title": question(study),
        "answer": answer(found),
        "findings": to_json(found),
        "counted_nodes": study.nodes,
        "population": study.population,
        **body,
        "machine": describe_machine(_LIBRARIES),
    }


def _tables(study: Study) -> list[Table]:
    machine = describe_machine(_LIBRARIES)
    found = [comparison_with_intervals(study), validity(study), engines(study)]
    found += [
        Table("What was supposed", ("", ""), [*parameters(study)]),
        Table("Formulas", ("", ""), [*FORMULAS], _LETTERS),
        Table("Where and with what", ("", ""), [(name, str(value)) for name, value in machine.items()]),
    ]
    return [table for table in found if table is not None]


_LETTERS = (
    "a: serving router to central node; c: central node to old anchor; p: old anchor to serving router; w: wireless "
    "link; all one way. M: routers. τ: idle hold time. Docs: docs/evaluating.md."
)


def _html(study: Study, found: Sequence[Finding], drawn: Sequence[Picture]) -> str:
    parts = [f"<p class=answer>{html.escape(answer(found))}</p>", "<h2>Why</h2><ul>"]
    parts += [_item(one) for one in found]
    parts += ["</ul>", html_table(comparison(study))]
    parts += [
        f"<figure>{embedded(one.svg)}<figcaption><strong>{html.escape(one.title)}.</strong> {html.escape(one.caption)}"
        "</figcaption></figure>"
        for one in drawn
    ]
    return page(question(study), "".join([*parts, *map(html_table, _tables(study))]))


def _item(one: Finding) -> str:
    heading = f'<strong class="{one.sign.name.lower()}">{html.escape(one.heading)}:</strong>'
    return f"<li>{heading} {html.escape(one.sentence)}</li>"


def _markdown(study: Study, found: Sequence[Finding]) -> str:
    items = [f"* **{one.heading}**: {one.sentence}" for one in found]
    parts = [f"# {question(study)}", answer(found), "\n".join(items)]
    return "\n\n".join([*parts, *map(markdown_table, [comparison(study), *_tables(study)])]) + "\n"
