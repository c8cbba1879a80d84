"""Old anchors of a node against session length over dwell time: formula, count on the real moves, and engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.models.anchors import old_anchors
from sojourn.evaluation.plots.canvas import GREY, SEQUENCE, Axes, Picture, drawn, legend_beside, plain_ticks
from sojourn.evaluation.study import Study
from sojourn.evaluation.words import circumstances, confidence, time


def picture(study: Study, directory: Path) -> Picture:
    """Draw it."""

    def draw(panels: Sequence[Axes]) -> None:
        axes, points = panels[0], study.points
        kappa = [point.session / study.behaviour.dwell for point in points]
        lengths = np.geomspace(kappa[0], kappa[-1], 40)
        dwell, every = study.behaviour.dwell, study.behaviour.inter_arrival
        axes.plot(lengths, [old_anchors(one, one * dwell / every) for one in lengths], color=GREY, linewidth=1.6,
                  label="closed form\n(exponential times,\nno returns)")  # fmt: skip
        axes.errorbar(kappa, [one.mean.mean for one in points], [one.mean.half for one in points], color=SEQUENCE[0],
                      fmt="o-", markersize=4, linewidth=1, label="counted on these\nmoves: mean")  # fmt: skip
        axes.errorbar(kappa, [one.p99.mean for one in points], [one.p99.half for one in points], color=SEQUENCE[0],
                      fmt="v:", markersize=4, linewidth=1, label="99 % of the time\nnot more than")  # fmt: skip
        engines = [(one, point.simulated) for one, point in zip(kappa, points, strict=True) if point.simulated]
        for number, (one, found) in enumerate(engines):
            axes.errorbar(one, found.mean, found.half, fmt="s", color=SEQUENCE[2], fillstyle="none", markersize=8,
                          label="engines in the\nsimulator: mean" if not number else None)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.1, linscale=0.4)
        plain_ticks(axes.xaxis, [0.1, 0.3, 1, 3, 10])
        axes.set_xlim(kappa[0] / 1.3, kappa[-1] * 1.3)
        plain_ticks(axes.yaxis, [0, 0.1, 0.3, 1, 3, 10, 30])
        axes.set_ylim(0, 1.3 * max(one.p99.mean for one in points) or 1)
        axes.grid(color="#e5e7eb", linewidth=0.6)
        axes.set_xlabel("mean session length / mean dwell time")
        axes.set_ylabel("old anchors of a node")
        legend_beside(axes, labelspacing=0.9)

    caption = (
        f"Exponential sessions, one every {time(study.behaviour.inter_arrival)}, over the moves of this network. "
        "Where the points lie below the line, nodes come back to anchors that they still have, or their dwell times "
        f"are not exponential. {circumstances(study)}{confidence(study, 'Bars')}"
    )
    return drawn(directory, "anchors", "Old anchors against session length", caption, draw, size=(8.2, 3.9))
