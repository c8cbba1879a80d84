"""How often nodes move, and what of it falls into a session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.evaluation.models.numerics import integral

Transform = Callable[[float], float]
"""Laplace-Stieltjes transform of a positive random time X: s -> E[e^(-s X)]."""


class NoSteadyState(ValueError):
    """With these parameters nothing settles, so that no mean exists; the sentence says which and what to change."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a mean node does. Raises `NoSteadyState` for times that are not positive and finite."""

    dwell: float
    """Mean seconds at an access router, 1 / mu."""
    session: float
    """Mean seconds of a session, 1 / nu."""
    inter_arrival: float
    """Mean seconds between the beginnings of two sessions of a node, 1 / lambda."""

    def __post_init__(self) -> None:
        for name, value, limit in (
            ("mean dwell time", self.dwell, "a node that stays nowhere, or for ever, has no rate of handovers"),
            ("mean session length", self.session, "without a finite mean length, open sessions never stop to increase"),
            ("mean time between sessions", self.inter_arrival, "sessions that all begin at once pile up without end"),
        ):
            if not (math.isfinite(value) and value > 0):
                raise NoSteadyState(f"a {name} of {value:g} s has no steady state: {limit}; give a number above 0")

    @property
    def mu(self) -> float:
        """Handovers per second."""
        return 1 / self.dwell

    @property
    def kappa(self) -> float:
        """kappa = mu / nu: mean handovers in a session."""
        return self.session / self.dwell

    @property
    def rho(self) -> float:
        """rho = lambda / nu: mean sessions of a node at a time."""
        return self.session / self.inter_arrival


def crossing_rate(speed: float, perimeter: float, area: float) -> float:
    """Fluid flow: mu = v L / (pi A), for nodes of `speed` v in all directions over cells of perimeter L and area A."""
    return speed * perimeter / (math.pi * area)


def crossing_rate_of_circle(speed: float, radius: float) -> float:
    """Fluid flow over round cells: mu = 2 v / (pi R)."""
    return 2 * speed / (math.pi * radius)


def crossing_rate_of_area(cell_rate: float, cells: int) -> float:
    """An area of M cells is left at mu_c / sqrt(M)."""
    return cell_rate / math.sqrt(cells)


def gamma_transform(mean: float, shape: float = 1.0) -> Transform:
    """f*(s) = (m / (m + s mean))^m for a gamma law of shape m; m = 1 is exponential."""
    return lambda s: float((shape / (shape + s * mean)) ** shape)


def pareto_transform(mean: float, alpha: float) -> Transform:
    """f*(s) = integral from 0 to 1 of e^(-s x_m u^(-1/alpha)) du, x_m = mean (alpha - 1) / alpha: a heavy tail.

    Raises `NoSteadyState` for alpha <= 1, where there is no mean.
    """
    if alpha <= 1:
        raise NoSteadyState(
            f"a Pareto law of shape {alpha:g} has no mean, so that sessions pile up without end; "
            "give a shape above 1 (1.2 to 2 is what is measured)"
        )
    smallest = mean * (alpha - 1) / alpha
    return lambda s: integral(lambda u: math.exp(-s * smallest * u ** (-1 / alpha)) if u else 0.0, 0, 1)


def sampled_transform(samples: NDArray[np.float64]) -> Transform:
    """f*(s) = mean of e^(-s x) over what was observed: a law that nobody has to name."""
    return lambda s: float(np.exp(-s * samples).mean())


def handovers_in_session(count: int, mu: float, nu: float, residence: Transform) -> float:
    """Probability of `count` handovers in an exponential session that begins at any time (Lin).

    P0 = 1 - (mu / nu)(1 - f*(nu)), Pk = (mu / nu)(1 - f*(nu))^2 f*(nu)^(k - 1). The mean is kappa = mu / nu whatever
    the law of the dwell times.
    """
    at_end = residence(nu)
    if count == 0:
        return 1 - mu / nu * (1 - at_end)
    return float(mu / nu * (1 - at_end) ** 2 * at_end ** (count - 1))
