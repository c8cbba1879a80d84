"""The map of the network with what each place carries: one anchor for all, and old anchors everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.plots.canvas import COLOURS, GREY, Axes, Picture, drawn
from sojourn.evaluation.replay import Floats
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way, distances
from sojourn.evaluation.words import circumstances, number, rate
from sojourn.sim.plane import metres
from sojourn.sim.topology import Topology

_LARGEST = 1100.0
"""Area of the largest circle, in square points."""
_APART, _WIDTH = 46.0, 270.0
"""Points between a place and its label; points that the network is wide, about."""


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
            _name(axes, study, where, int(load.argmax()), rate(float(load.max())))
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
    messages = study.scale * study.mean(way, "busiest_messages_per_second")
    if way is Way.CENTRAL:
        return f"central anchor: all packets pass it,\n{number(messages)} messages/s"
    database = f"database: no packets, {number(messages)} messages/s"
    return f"old anchors (proxy mode): at most {rate(float(load.max()))};\n{database}"


def _network(axes: Axes, topology: Topology, where: Floats) -> None:
    for one, other in topology.edges:
        axes.plot(*where[[one, other]].T, color="#c7ccd3", linewidth=0.7, zorder=1)
    axes.scatter(*where.T, s=5, color="#6b7280", zorder=4, linewidth=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.axis("off")
    axes.margins(0.12)


def _name(axes: Axes, study: Study, where: Floats, place: int, words: str) -> None:
    box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.7}
    away = _free_direction(where, place)
    axes.annotate(
        f"{study.place(place)}\n{words}", where[place], xytext=tuple(_APART * away), textcoords="offset points",
        ha="center", va="center", fontsize=8.5, zorder=6, bbox=box,
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7},
    )  # fmt: skip


def _free_direction(where: Floats, place: int) -> Floats:
    """The direction in which a label is farthest from all places."""
    point = np.ptp(where, axis=0).max() / _WIDTH
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    directions = np.column_stack((np.cos(turns), np.sin(turns)))
    labels = where[place] + directions * _APART * point
    nearest = np.hypot(*(labels[:, None] - where[None, :]).T).min(axis=0)
    return np.asarray(directions[nearest.argmax()])


def positions(topology: Topology) -> Floats:
    """Where to draw each place: where it is, or, where nobody says, so that distances look like delays."""
    if topology.positions is not None:
        return metres(topology.positions, topology.geographic)
    return _scaled(distances(topology))


def _scaled(distance: Floats) -> Floats:
    """Classical multidimensional scaling in two dimensions."""
    size = len(distance)
    centred = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-0.5 * centred @ distance**2 @ centred)
    return np.asarray(vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-12)))[:, ::-1]
