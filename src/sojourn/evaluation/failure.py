"""Something dies and stays dead: what share of the sessions is broken, and for how long.

A session is broken while its packets cannot arrive. When the central anchor dies, all are, until it is back. When a
router dies, those that it anchors and those of nodes at it; its access link dies with it in a central architecture
too. When the central database dies, no session is broken at once: those of nodes that move on are, because nobody
tells their anchors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.replay import Floats, Integers, Replay

_DEATHS = 12
"""Moments at which the death is tried, evenly over the part of the window that leaves room for the horizon."""
_SAMPLES = 41
_UNCUT = 0.999
"""Of the window: at its very end all sessions are cut."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outage:
    """Shares of the open sessions that are broken, at each of `seconds` after the death."""

    seconds: Floats
    router: Sequence[Estimate]
    database: Sequence[Estimate]
    place: int
    """The router: the one that most session time depends on."""


def outage(runs: Sequence[Replay], place: int, horizon: float) -> Outage:
    """Over moments of each run and over runs, up to `horizon` seconds after the death or half of the window."""
    seconds = np.linspace(0, min(horizon, runs[0].window / 2), _SAMPLES)
    router = [_curve(run, seconds, lambda now: (now.anchor == place) | (now.place == place)) for run in runs]
    database = [_curve(run, seconds, lambda now: (now.anchor != now.place) & (now.came > now.death)) for run in runs]
    return Outage(seconds, _estimates(router), _estimates(database), place)


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """The sessions that are open at a moment."""

    death: float
    anchor: Integers
    place: Integers
    """Where their nodes are."""
    came: Floats
    """Since when."""


def _curve(run: Replay, seconds: Floats, broken: Callable[[_Open], Mask]) -> Floats:
    """Sessions that are broken of those that are open, all moments of death together."""
    last = run.start + run.window * _UNCUT - seconds[-1]
    counts, lost = np.zeros(len(seconds)), np.zeros(len(seconds))
    for death in np.linspace(run.start, last, _DEATHS):
        for number, after in enumerate(seconds):
            now = _open(run, death, death + after)
            counts[number] += len(now.anchor)
            lost[number] += np.count_nonzero(broken(now))
    return np.asarray(lost / np.maximum(counts, 1))


def _open(run: Replay, death: float, moment: float) -> _Open:
    sessions, stays = run.sessions, run.stays
    live = np.flatnonzero((sessions.begin <= moment) & (moment < sessions.end))
    # Stays are sorted by node and time, so that one number is the key of both.
    span = run.start + run.window + 1
    stay = np.searchsorted(stays.node * span + stays.begin, sessions.node[live] * span + moment, side="right") - 1
    return _Open(death, sessions.anchor[live], stays.place[stay], stays.begin[stay])


def _estimates(curves: Sequence[Floats]) -> list[Estimate]:
    return [Estimate.of(list(column)) for column in np.array(curves).T]
