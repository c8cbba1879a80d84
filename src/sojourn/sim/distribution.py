"""Distributions that take little memory and can be added: mean, least and greatest exactly, quantiles to one percent.

Small whole numbers are counted as they are. Lengths of time are counted in classes that are 1.1 % wide; all sums are
whole numbers, so that adding parts in any order gives the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from sojourn.wire.units import MILLISECOND

_CLASSES = 64
"""For each doubling."""


class Distribution(Struct):
    """Of whole numbers from 0 on."""

    fine: bool
    """The numbers themselves are counted, and not classes."""
    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0
    classes: dict[int, int] = field(default_factory=dict)
    """How many are in each."""

    def add(self, values: NDArray[np.int64]) -> None:
        """More of them."""
        if len(values):
            kind = values if self.fine else _classes(values)
            numbers, counts = np.unique(kind, return_counts=True)
            classes = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
            total = sum(int(part.sum()) for part in np.array_split(values, 1 + len(values) // _PIECE))
            self.join(Distribution(self.fine, len(values), total, int(values.min()), int(values.max()), classes))

    def join(self, other: Distribution) -> None:
        """All of another one."""
        if not other.count:
            return
        self.least = min(self.least, other.least) if self.count else other.least
        self.most = max(self.most, other.most)
        self.count += other.count
        self.total += other.total
        for number, count in other.classes.items():
            self.classes[number] = self.classes.get(number, 0) + count

    @property
    def mean(self) -> float | None:
        """None when there is nothing."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The value that `share` of them do not exceed."""
        seen = 0
        for number in sorted(self.classes):
            seen += self.classes[number]
            if seen >= share * self.count:
                value = float(number) if self.fine else _value(number)
                return min(max(value, self.least), self.most)
        return None

    def table(self, unit: int = 1) -> dict[str, Any]:
        """For people and JSON, in `unit`."""
        values: dict[str, float | None] = {
            "mean": self.mean,
            "least": self.least if self.count else None,
            "p50": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "p95": self.quantile(0.95),
            "p99": self.quantile(0.99),
            "most": self.most if self.count else None,
        }
        scaled = {name: None if value is None else value / unit for name, value in values.items()}
        return {"count": self.count, **scaled}

    def milliseconds(self) -> dict[str, Any]:
        """`table`, of nanoseconds."""
        return self.table(MILLISECOND)


_PIECE = 1 << 20
"""So many lengths of time have a sum that fits into 63 bits."""


def _classes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The logarithm by two in parts of a class; -1 for nothing."""
    return np.where(values > 0, np.floor(_CLASSES * np.log2(np.maximum(values, 1))), -1).astype(np.int64)


def _value(number: int) -> float:
    """The middle of a class."""
    return 0.0 if number < 0 else float(2 ** ((number + 0.5) / _CLASSES))
