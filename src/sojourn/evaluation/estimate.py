"""A mean over independent runs, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sojourn.evaluation.models.numerics import student


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and half of its 95 % confidence interval (nan for a single run)."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Student's t over independent runs."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, math.nan)
        return cls(mean, student(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values)))
