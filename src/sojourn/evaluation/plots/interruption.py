"""How long a handover interrupts old sessions: the distribution over all moves, and what comes on top of signalling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.hosts import REATTACHED
from sojourn.evaluation.plots.canvas import COLOURS, DASHES, Axes, Picture, drawn
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from sojourn.evaluation.words import circumstances, confidence, number

_SHARES = np.linspace(0, 1, 201)
_MARKS = (("restored_p50_ms", 0.5), ("restored_p95_ms", 0.95), ("restored_p99_ms", 0.99))


def picture(study: Study, directory: Path) -> Picture:
    """Draw it."""

    def draw(panels: Sequence[Axes]) -> None:
        _distribution(study, panels[0])
        _parts(study, panels[1])

    simulated = " Circles: median, 95th and 99th percentile of the engines." if study.simulated else ""
    caption = (
        "Left: signalling alone, for each old prefix in use at each move. Right: its mean with what link, kernel "
        f"and host add ({_added_by(study)}). {circumstances(study)}{simulated}{confidence(study, 'Bands')}"
    )
    return drawn(
        directory, "interruption", "How long a handover interrupts old sessions", caption, draw,
        panels=(1.6, 1), size=(9.6, 4.0),
    )  # fmt: skip


def _distribution(study: Study, axes: Axes) -> None:
    # Ways often need exactly the same time: each line is thinner than the one that it may cover.
    for width, way in zip(np.linspace(3.4, 1.2, len(Way)), Way, strict=True):
        samples = [np.sort(run.latencies[way].restored) for run in study.runs]
        grid = np.unique(np.concatenate([np.quantile(one, _SHARES, method="inverted_cdf") for one in samples]))
        shares = [100 * np.searchsorted(one, grid, side="right") / len(one) for one in samples]
        found = [Estimate.of(list(column)) for column in np.array(shares).T]
        middle, half = np.array([one.mean for one in found]), np.nan_to_num([one.half for one in found])
        grid, middle, half = np.append(grid[:1], grid), np.append(0.0, middle), np.append(0.0, half)
        style = {"color": COLOURS[way], "step": "post", "alpha": 0.15, "linewidth": 0}
        axes.step(
            grid, middle, where="post", color=COLOURS[way], linestyle=DASHES[way], linewidth=width, label=way.value
        )
        axes.fill_between(grid, middle - half, middle + half, **style)
        _marks(axes, way, study)
    axes.set_xlabel("ms without packets to an old prefix")
    axes.set_ylabel("% of moves and old prefixes")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 101)
    axes.legend(loc="lower right", handlelength=3.2)


def _marks(axes: Axes, way: Way, study: Study) -> None:
    simulated = study.simulated.get(way, {})
    for name, share in _MARKS:
        if name in simulated:
            axes.plot(simulated[name].mean, 100 * share, "o", color=COLOURS[way], markersize=5, fillstyle="none")


def _parts(study: Study, axes: Axes) -> None:
    host = study.lab.beyond if study.lab else REATTACHED
    for row, way in enumerate(reversed(Way)):
        mean = study.mean(way, "restored_ms")
        axes.barh(row, mean, color=COLOURS[way], height=0.62)
        axes.barh(row, host, left=mean, color="#d1d5db", height=0.62)
        axes.text(mean + host, row, f" {number(mean + host, 2)} ms", va="center", fontsize=8.5)
    axes.set_yticks(range(len(Way)), [way.value for way in reversed(Way)])
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.18)
    axes.set_xlabel("ms, mean; grey: link and host")


def _added_by(study: Study) -> str:
    if study.lab:
        return f"{study.lab.beyond:.0f} ms, the median of what {study.lab.title!r} measured beyond the formula"
    return f"{REATTACHED:.0f} ms, as measured in the lab without signalling"
