"""Messages of a node in an hour against its dwell time: where distribution begins to send more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sojourn.evaluation.models import anchors, signalling
from sojourn.evaluation.plots.canvas import COLOURS, SEQUENCE, Axes, Picture, drawn, plain_ticks
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from sojourn.evaluation.words import circumstances, confidence, exact, time
from sojourn.wire.units import SECOND

_DWELLS = np.geomspace(10, 3600, 40)
_SESSIONS = (10.0, 60.0, 600.0, 3600.0)
_HOUR = 3600.0


def picture(study: Study, directory: Path) -> Picture:
    """Draw it."""
    every = study.behaviour.inter_arrival

    def draw(panels: Sequence[Axes]) -> None:
        _lines(
            study, panels[0], lambda dwell, session: _drawn(dwell, session, every), "proxy mode as RFC 8885 draws it"
        )
        _lines(study, panels[1], lambda dwell, session: _run(study, dwell, session), "proxy mode as sojourn runs it")
        panels[0].set_ylabel("messages of a node in an hour")
        panels[1].sharey(panels[0])
        panels[1].tick_params(labelleft=False)
        panels[1].legend(loc="upper right", title="sessions of")

    caption = (
        f"One line for each session length, with a session every {time(every)}. Left: 2 + 2 n_HO messages for each "
        "handover, old prefixes vanish by themselves. Right: the router just left is always told and each old "
        "prefix retires with 4 messages (8 + 2 n_rand + 2 mu tau, tau = "
        f"{exact(study.assumptions.settings.idle_hold / SECOND)} s). Closed forms for exponential times. Diamonds: "
        f"this network, counted on its moves. {circumstances(study)}{confidence(study, 'Bars')}"
    )
    return drawn(
        directory, "messages", "Signalling against dwell time: where a central anchor sends less", caption, draw,
        panels=(1, 1), size=(9.6, 4.0),
    )  # fmt: skip


def _drawn(dwell: float, session: float, every: float) -> float:
    return signalling.relay_or_proxy(anchors.anchors_at_handover(session / dwell, session / every))


def _run(study: Study, dwell: float, session: float) -> float:
    hold = study.assumptions.settings.idle_hold / SECOND
    told = anchors.contacted(session / dwell, session / study.behaviour.inter_arrival, 1 / dwell, hold)
    return signalling.sojourn_relay_or_proxy(told)


def _lines(study: Study, axes: Axes, per_handover: Callable[[float, float], float], title: str) -> None:
    for session, colour in zip(_SESSIONS, SEQUENCE, strict=False):
        counts = [_HOUR / dwell * per_handover(dwell, session) for dwell in _DWELLS]
        axes.plot(_DWELLS, counts, color=colour, linewidth=1.5, label=time(session))
    central = signalling.CENTRAL * _HOUR / _DWELLS
    axes.plot(_DWELLS, central, color=COLOURS[Way.CENTRAL], linewidth=2.2, label="any length, central")
    _here(study, axes, "drawn_messages" if "draws" in title else "messages")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([10, 30, 120, 600, 3600], ["10 s", "30 s", "2 min", "10 min", "1 h"])
    axes.minorticks_off()
    plain_ticks(axes.yaxis, [1, 10, 100, 1000, 10_000, 100_000])
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.set_xlabel("mean dwell time at a router")
    axes.set_title(title)


def _here(study: Study, axes: Axes, name: str) -> None:
    """This network, and its central anchor, as counted."""
    dwell, per_hour = study.behaviour.dwell, _HOUR / study.behaviour.dwell
    for way, size in ((Way.PROXY, 9), (Way.CENTRAL, 5)):
        found = study.estimates[way][name]
        axes.errorbar(
            dwell, per_hour * found.mean, per_hour * found.half, fmt="D", markersize=size, color=COLOURS[way],
            markeredgecolor="white", zorder=5,
        )  # fmt: skip
