"""Durations, shares, rates as people write them in a topology: ``"5ms"``, ``"1%"``, ``"20mbit"``.

Above this module a duration is whole nanoseconds, a share a number from 0 to 1, a rate whole bits per second.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from sojourn.wire.units import MICROSECOND, MILLISECOND, MINUTE, SECOND

_TIME_UNITS = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "min": MINUTE}
_RATE_UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z%]*)\s*", re.IGNORECASE)


def _split(value: object) -> tuple[float, str] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value), ""
    match = _NUMBER_AND_UNIT.fullmatch(value) if isinstance(value, str) else None
    return (float(match[1]), match[2].lower()) if match else None


def duration(value: object) -> int:
    """Nanoseconds of ``"250ms"``, ``"60s"``, ``"5m"`` or a number of seconds. Raises ValueError."""
    parts = _split(value)
    unit = _TIME_UNITS.get(parts[1] or "s") if parts else None
    if parts is None or unit is None or parts[0] < 0:
        raise ValueError('expected a duration such as "250ms", "60s", "5m" or a number of seconds')
    return round(parts[0] * unit)


def share(value: object) -> float:
    """0 to 1 of ``"1%"`` or ``0.01``. Raises ValueError."""
    parts = _split(value)
    number = -1.0
    if parts is not None and parts[1] in ("", "%"):
        number = parts[0] / 100 if parts[1] else parts[0]
    if not 0 <= number <= 1:
        raise ValueError('expected a share such as "1%" or a number from 0 to 1')
    return number


def bit_rate(value: object) -> int:
    """Bits per second of ``"20mbit"`` or a number. Raises ValueError."""
    parts = _split(value)
    unit = _RATE_UNITS.get(parts[1] or "bit") if parts else None
    if parts is None or unit is None or parts[0] <= 0:
        raise ValueError('expected a rate such as "20mbit" or a number of bits per second')
    return round(parts[0] * unit)


def duration_text(nanoseconds: int) -> str:
    """The shortest of ``5ms``, ``0.5ms``, ``60s`` that says it exactly enough for people and for
    `duration`."""
    if nanoseconds and nanoseconds % SECOND:
        return f"{nanoseconds / MILLISECOND:g}ms"
    return f"{nanoseconds // SECOND}s"


DurationField = Annotated[int, BeforeValidator(duration)]
ShareField = Annotated[float, BeforeValidator(share)]
RateField = Annotated[int, BeforeValidator(bit_rate)]
