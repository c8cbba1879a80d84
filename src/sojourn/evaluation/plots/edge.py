"""One-way delay that mobility adds, against the share of traffic that is served at the edge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.plots.canvas import COLOURS, DASHES, GREY, Axes, Picture, drawn, legend_beside
from sojourn.evaluation.replay import Floats
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from sojourn.evaluation.words import circumstances, confidence

_SHARES = np.linspace(0, 1, 51)
_RULES = {"best": (":", "at the best place"), "given": ("-", "where it is"), "worst": ("--", "at the worst place")}


def picture(study: Study, directory: Path) -> Picture:
    """Draw it."""

    def draw(panels: Sequence[Axes]) -> None:
        for axes in panels:
            _lines(study, axes)
        near = [line for rule in ("best", "given") for line in study.edge_added.get((rule, Way.CENTRAL), ())]
        near += study.edge_added[study.placement, Way.PROXY]
        panels[1].set_ylim(0, 1.15 * max(float(line.max()) for line in near) or 1.0)
        panels[0].set_ylabel("ms added, one way")
        panels[1].set_title("the same, near zero")
        legend_beside(panels[1], labelspacing=1.0)

    caption = (
        "Mean over session time of the way taken less the shortest way. At the edge: at the site of the router where "
        "the session began. The other correspondents are those of the workload. "
        f"{circumstances(study)}{confidence(study, 'Bands')}"
    )
    return drawn(
        directory, "edge", "Added delay against traffic that is served at the edge", caption, draw,
        panels=(1, 1), size=(9.8, 3.7),
    )  # fmt: skip


def _lines(study: Study, axes: Axes) -> None:
    shown: set[int] = set()
    for placement in sorted(study.placements, key=lambda one: one.rule != study.placement):
        if placement.place in shown:
            continue
        shown.add(placement.place)
        dashes, where = _RULES[placement.rule]
        dashes = "-" if placement.rule == study.placement else dashes
        far, near = study.edge_added[placement.rule, Way.CENTRAL]
        label = f"central anchor {where}\n({study.place(placement.place)})"
        _line(axes, far, near, COLOURS[Way.CENTRAL], dashes, label)
    far, near = study.edge_added[study.placement, Way.PROXY]
    _line(axes, far, near, COLOURS[Way.PROXY], DASHES[Way.PROXY], "through old anchors\n(RFC 8885, direct, host)")
    _line(axes, 0 * far, 0 * near, COLOURS[Way.RELOCATION], DASHES[Way.RELOCATION], "relocation")
    here = 100 * study.edge_now
    axes.axvline(here, color=GREY, linewidth=0.8)
    right = here > 50
    axes.annotate(
        "this network", (here, 1.0), xycoords=("data", "axes fraction"), xytext=(-4 if right else 4, 0),
        textcoords="offset points", fontsize=8.5, color=GREY, va="top", ha="right" if right else "left",
    )  # fmt: skip
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("% of session time served at the edge")


def _line(axes: Axes, far: Floats, near: Floats, colour: str, dashes: object, label: str) -> None:
    found = [Estimate.of(list((1 - share) * far + share * near)) for share in _SHARES]
    middle, half = np.array([one.mean for one in found]), np.nan_to_num([one.half for one in found])
    axes.plot(100 * _SHARES, middle, color=colour, linestyle=dashes, linewidth=1.8, label=label)
    axes.fill_between(100 * _SHARES, middle - half, middle + half, color=colour, alpha=0.15, linewidth=0)
