"""The numerical procedures that the models need, from scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad, trapezoid
from scipy.optimize import brentq
from scipy.special import stdtrit


def integral(function: Callable[[float], float], low: float, high: float) -> float:
    """The integral of `function`, which is bounded, to about ten digits."""
    value, _ = quad(function, low, high, epsabs=1e-12, epsrel=1e-10, limit=200)
    return float(value)


def crossing(function: Callable[[float], float], low: float, high: float) -> float | None:
    """Where `function` is zero between `low` and `high` (both positive), or None where its sign is the same at both."""
    if function(low) * function(high) > 0:
        return None
    # In the logarithm: times are looked for over many orders of magnitude.
    return math.exp(float(brentq(lambda x: function(math.exp(x)), math.log(low), math.log(high), xtol=1e-9)))


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with `freedom` degrees of freedom: for two-sided intervals of 95 %."""
    return float(stdtrit(freedom, 0.975))


def area(heights: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral over `places` of each row of `heights`, by trapezoids."""
    return np.asarray(trapezoid(heights, places, axis=-1))
