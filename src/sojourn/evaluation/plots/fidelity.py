"""The lab's handovers against the simulator's, on y = x."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sojourn.evaluation.fidelity import LabRun
from sojourn.evaluation.plots.canvas import GREY, SEQUENCE, Axes, Picture, drawn
from sojourn.evaluation.words import number


def picture(lab: LabRun, directory: Path) -> Picture:
    """Draw it."""

    def draw(panels: Sequence[Axes]) -> None:
        axes = panels[0]
        most = 1.08 * max(*lab.expected, *lab.measured)
        axes.plot([0, most], [0, most], color=GREY, linewidth=1)
        axes.text(most, most, "y = x ", ha="right", va="bottom", color=GREY, fontsize=8.5)
        axes.plot(lab.expected, lab.measured, "o", color=SEQUENCE[0], markersize=4, alpha=0.6, markeredgewidth=0)
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        axes.set_aspect("equal")
        axes.set_xlabel("simulator: ms until the old prefix works")
        axes.set_ylabel("lab, real packets: ms that were lost")

    caption = (
        f"{lab.title}, {lab.file.name}: {len(lab.expected)} old flows at their moves, the fastest of each. The "
        "simulator's engines keep the latency rows of their mode exactly; the lab adds link, kernel, host and "
        f"Python. In the median it lost {number(abs(lab.difference))} ms "
        f"{'more' if lab.difference >= 0 else 'less'}{_LESS if lab.difference < 0 else ''}."
    )
    return drawn(directory, "fidelity", "Simulator against lab", caption, draw, size=(4.8, 4.6))


_LESS = " (packets are lost until their anchor tunnels, and that is before the first one arrives)"
