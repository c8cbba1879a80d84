"""The two numerical procedures that the models need, from scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.integrate import quad
from scipy.optimize import brentq


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
