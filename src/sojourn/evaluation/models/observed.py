"""The same quantities for times of any law, given as samples: what was observed needs no name.

Supposed are Poisson arrivals of sessions, independent stays, and still that nodes do not come back. With
G(x) = E[min(S, x)], a node that stayed at a router for T and left it a ago has lambda (G(a + T) - G(a)) sessions of its
prefix open, in the mean of a Poisson number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.evaluation.models.numerics import area

Floats = NDArray[np.float64]
_STAYS = 200
"""Quantiles of the dwell time that stand for all."""
_AGES = 400


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Session lengths, stays (seconds) and the mean time between the beginnings of two sessions of a node."""

    sessions: Floats
    """Sorted."""
    stays: Floats
    inter_arrival: float

    @classmethod
    def of(cls, sessions: Floats, stays: Floats, inter_arrival: float) -> Observed:
        """From samples in any order, of which there must be some."""
        middle = (np.arange(_STAYS) + 0.5) / _STAYS
        return cls(np.sort(sessions), np.quantile(stays, middle), inter_arrival)

    def _open_time(self, limit: Floats) -> Floats:
        """G: E[min(S, limit)]."""
        shorter = np.searchsorted(self.sessions, limit)
        total = np.concatenate(([0.0], np.cumsum(self.sessions)))
        return np.asarray((total[shorter] + limit * (len(self.sessions) - shorter)) / len(self.sessions))

    def old_anchors(self) -> float:
        """n_rand = E over stays T of mu int_0^inf 1 - exp(-lambda (G(a + T) - G(a))) da."""
        longest = self.sessions[-1]
        ages = np.concatenate(([0.0], np.geomspace(longest * 1e-6, longest, _AGES)))
        stays = self.stays[:, None]
        open_sessions = (self._open_time(ages + stays) - self._open_time(ages)) / self.inter_arrival
        lives = area(-np.expm1(-open_sessions), ages)
        return float(lives.mean() / self.stays.mean())

    def left_in_use(self) -> float:
        """p_left = E over stays T of 1 - exp(-lambda G(T))."""
        return float(-np.expm1(-self._open_time(self.stays) / self.inter_arrival).mean())

    def anchors_at_handover(self, sessions: float = 1.0, stays: float = 1.0) -> float:
        """n_rand + p_left, if sessions and stays were so many times as long.

        Exact for exponential stays; others make handovers see a little more or less than any other moment does.
        """
        scaled = Observed(self.sessions * sessions, self.stays * stays, self.inter_arrival)
        return scaled.old_anchors() + scaled.left_in_use()

    def tunnelled(self) -> float:
        """phi = 1 - E[min(S, R)] / E[S], where R is what is left of a stay: P(R > x) = E[max(T - x, 0)] / E[T]."""
        ages = np.concatenate(([0.0], np.geomspace(self.stays[-1] * 1e-6, self.stays[-1], _AGES)))
        left = np.maximum(self.stays[:, None] - ages, 0).mean(axis=0) / self.stays.mean()
        lasts = 1 - np.searchsorted(self.sessions, ages, side="right") / len(self.sessions)
        return float(1 - area(left * lasts, ages) / self.sessions.mean())
