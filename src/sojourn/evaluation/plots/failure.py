"""Something dies and stays dead: the share of sessions that is broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.failure import Outage
from sojourn.evaluation.plots.canvas import COLOURS, SEQUENCE, Axes, Picture, drawn, legend_beside
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from sojourn.evaluation.words import circumstances, confidence


def picture(study: Study, outage: Outage, directory: Path) -> Picture:
    """Draw it."""

    def draw(panels: Sequence[Axes]) -> None:
        axes, whole = panels[0], [Estimate(1.0, 0.0)] * len(outage.seconds)
        _line(axes, outage, whole, COLOURS[Way.CENTRAL], "central anchor dies")
        _line(axes, outage, outage.database, SEQUENCE[3], "distributed: the\ndatabase dies")
        label = f"distributed: the router on\nwhich most sessions depend\n({study.place(outage.place)}) dies"
        _line(axes, outage, outage.router, COLOURS[Way.PROXY], label)
        axes.set_xlabel("minutes after the death; nothing is repaired")
        axes.set_ylabel("% of open sessions that are broken")
        last = outage.seconds[-1] / 60
        axes.set_xlim(0, last)
        axes.set_xticks(np.arange(0, last + 0.01, 5 if last > 12 else 2))
        axes.set_ylim(0, 104)
        legend_beside(axes, labelspacing=1.0)

    caption = (
        "Twelve moments of death in each run. Without its database a distributed network forwards on; "
        "sessions break when their nodes move, since nobody tells the anchors, until it is back. A dead router "
        "takes the nodes at its access link with it, in a central network as well. "
        f"{circumstances(study)}{confidence(study, 'Bands')}"
    )
    return drawn(directory, "failure", "What a death breaks", caption, draw, size=(8.4, 3.7))


def _line(axes: Axes, outage: Outage, shares: Sequence[Estimate], colour: str, label: str) -> None:
    middle, half = np.array([one.mean for one in shares]), np.nan_to_num([one.half for one in shares])
    minutes = outage.seconds / 60
    axes.plot(minutes, 100 * middle, color=colour, linewidth=1.8, label=label)
    axes.fill_between(minutes, 100 * (middle - half), 100 * (middle + half), color=colour, alpha=0.15, linewidth=0)
