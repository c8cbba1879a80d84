"""The map of the network with what each place carries: one anchor for all, and old anchors everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.comparison import distances
from sojourn.evaluation.plots.canvas import COLOURS, Axes, Picture, drawn
from sojourn.evaluation.replay import Floats
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from sojourn.evaluation.words import circumstances, number
from sojourn.sim.topology import Topology

_LARGEST = 1100.0
"""Area of the largest circle, in square points."""


def picture(study: Study, directory: Path) -> Picture:
    """Draw it."""
    where = positions(study.topology)
    loads = {way: study.carried(way) for way in (Way.CENTRAL, Way.PROXY)}
    largest = max(float(load.max()) for load in loads.values())

    def draw(panels: Sequence[Axes]) -> None:
        for axes, (way, load) in zip(panels, loads.items(), strict=True):
            _network(axes, study.topology, where)
            sizes = _LARGEST * load / largest
            axes.scatter(*where.T, s=sizes, color=COLOURS[way], alpha=0.55, linewidth=0, zorder=3)
            _name(axes, study, where, int(load.argmax()), f"{number(float(load.max()))} Mbit/s")
            central = study.assumptions.central
            axes.scatter(*where[central], marker="D", s=26, color="black", zorder=5)
            axes.set_title(_title(study, way, load))

    caption = (
        "Area of a circle: what a router carries for mobile nodes, as their router, as old anchor or as central "
        f"anchor. Diamond: the central node. {number(study.assumptions.session_rate)} Mbit/s for each open session, "
        f"{study.population:,} nodes. {circumstances(study)}"
    )
    return drawn(directory, "load", "What each place carries", caption, draw, panels=(1, 1), size=(9.6, 4.6))


def _title(study: Study, way: Way, load: Floats) -> str:
    central, messages = study.assumptions.central, study.scale * study.mean(way, "busiest_messages_per_second")
    if way is Way.CENTRAL:
        return f"central anchor: all packets pass it,\n{number(messages)} messages/s"
    others = float(np.delete(load, central).max()) if len(load) > 1 else float(load.max())
    rate = f"database: no packets, {number(messages)} messages/s"
    return f"old anchors (proxy mode): at most {number(others)} Mbit/s;\n{rate}"


def _network(axes: Axes, topology: Topology, where: Floats) -> None:
    for one, other in topology.edges:
        axes.plot(*where[[one, other]].T, color="#c7ccd3", linewidth=0.7, zorder=1)
    axes.scatter(*where.T, s=5, color="#6b7280", zorder=4, linewidth=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.axis("off")
    axes.margins(0.12)


def _name(axes: Axes, study: Study, where: Floats, place: int, words: str) -> None:
    box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8}
    axes.annotate(
        f"{study.place(place)}\n{words}", where[place], xytext=(0, 16), textcoords="offset points",
        ha="center", va="bottom", fontsize=8.5, zorder=6, bbox=box,
    )  # fmt: skip


def positions(topology: Topology) -> Floats:
    """Where to draw each place: as the topology says, latitudes stretched; or so that distances look like delays."""
    if topology.positions is not None:
        found = np.array(topology.positions, dtype=np.float64)
        if np.abs(found).max() <= 180:  # degrees
            found[:, 0] *= np.cos(np.radians(found[:, 1].mean()))
        return found
    return _scaled(distances(topology))


def _scaled(distance: Floats) -> Floats:
    """Classical multidimensional scaling in two dimensions."""
    size = len(distance)
    centred = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-0.5 * centred @ distance**2 @ centred)
    return np.asarray(vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-12)))[:, ::-1]
