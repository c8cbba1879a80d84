"""The values of a scenario that no other file has: lengths, speeds, shares, numbers."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, Strict, WithJsonSchema
from pydantic_core import core_schema

from sojourn.files.fields import Expected, wrong

_LENGTHS = {"m": 1.0, "km": 1_000.0}
_SPEEDS = {"m/s": 1.0, "km/h": 1 / 3.6}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z/]+)")


def _quantity(value: object, units: dict[str, float], what: str) -> float:
    """A number with a unit, in the first of `units`."""
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match.group(2) not in units:
        raise wrong(f"{value!r} is no {what} in {' or '.join(units)}")
    number = float(match.group(1)) * units[match.group(2)]
    if number > 1e9:
        raise wrong(f"{value!r} is more than there is")
    return number


def parse_length(value: object) -> float:
    """``"300m"`` or ``"5km"``, as metres."""
    return _quantity(value, _LENGTHS, "length")


def parse_speed(value: object) -> float:
    """``"1.4 m/s"`` or ``"50 km/h"``, as metres per second."""
    return _quantity(value, _SPEEDS, "speed")


def parse_number(value: object) -> float:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise wrong(f"{value!r} is no number from 0 on")
    return float(value)


def parse_share(value: object) -> float:
    """A number from 0 to 1."""
    number = parse_number(value)
    if number > 1:
        raise wrong(f"{value!r} is more than 1")
    return number


def _parse_shares(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise wrong(f"{value!r} says no shares")
    shares = {key: parse_share(share) for key, share in value.items()}
    if abs(math.fsum(shares.values()) - 1) > 1e-6:
        raise wrong(f"the shares add up to {math.fsum(shares.values()):g}")
    return shares


def _parse_masses(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise wrong(f"{value!r} says no masses")
    return {key: parse_number(mass) for key, mass in value.items()}


def _parse_seeds(value: object) -> int | tuple[int, ...]:
    given = [value] if isinstance(value, int) else value
    if (
        not isinstance(given, list)
        or not given
        or any(isinstance(one, bool) or not isinstance(one, int) for one in given)
    ):
        raise wrong(f"{value!r} are no seeds")
    if min(given) < (1 if isinstance(value, int) else 0) or max(given) >= 1 << 63:
        raise wrong(f"{value!r} are no seeds")
    if len(set(given)) < len(given):
        raise wrong(f"{value!r} has a seed twice")
    return value if isinstance(value, int) else tuple(given)


def _parse_grid(value: object) -> dict[str, tuple[Any, ...]]:
    if not isinstance(value, dict):
        raise wrong(f"{value!r} is no table")
    grid: dict[str, tuple[Any, ...]] = {}
    for key, values in value.items():
        if isinstance(values, dict):  # written without quotes, a key of several parts is a table
            grid |= {f"{key}.{rest}": inner for rest, inner in _parse_grid(values).items()}
        elif not isinstance(values, list) or not values:
            raise wrong(f"{key!r} has no list of values")
        else:
            grid[key] = tuple(values)
    return grid


class Whole(Expected):
    """A whole number within bounds: the kind and its check."""

    def __init__(self, least: int, most: int, example: int) -> None:
        super().__init__(f"a whole number from {least} to {most}", example)
        object.__setattr__(self, "_bounds", (least, most))

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> core_schema.CoreSchema:
        least, most = self._bounds  # type: ignore[attr-defined]
        return core_schema.int_schema(strict=True, ge=least, le=most)


def word(*words: str) -> Expected:
    """One of a few words."""
    return Expected(" or ".join(f'"{each}"' for each in words), words[0])


_TEXT = WithJsonSchema({"type": "string"})
_NUMBER = WithJsonSchema({"type": "number", "minimum": 0})
_TABLE = WithJsonSchema({"type": "object"})

LengthField: TypeAlias = Annotated[
    float, PlainValidator(parse_length), _TEXT, Expected('a length as "300m" or "5km"', "300m")
]
SpeedField: TypeAlias = Annotated[
    float, PlainValidator(parse_speed), _TEXT, Expected('a speed as "1.4 m/s" or "50 km/h"', "1.4 m/s")
]
NumberField: TypeAlias = Annotated[float, PlainValidator(parse_number), _NUMBER, Expected("a number from 0 on", 2.0)]
ShareField: TypeAlias = Annotated[float, PlainValidator(parse_share), _NUMBER, Expected("a number from 0 to 1", 0.2)]
SharesField: TypeAlias = Annotated[
    dict[str, float],
    PlainValidator(_parse_shares),
    _TABLE,
    Expected('shares of "local", "edge", "uniform" and places, which add up to 1', {"edge": 0.5, "uniform": 0.5}),
]
MassesField: TypeAlias = Annotated[
    dict[str, float], PlainValidator(_parse_masses), _TABLE, Expected("masses of places", {"r1": 3.0})
]
SeedsField: TypeAlias = Annotated[
    int | tuple[int, ...],
    PlainValidator(_parse_seeds),
    WithJsonSchema({"type": ["integer", "array"]}),
    Expected("how many seeds, from `seed` on, or a list of seeds", 5),
]
GridField: TypeAlias = Annotated[
    dict[str, tuple[Any, ...]],
    PlainValidator(_parse_grid),
    _TABLE,
    Expected("keys of this file with lists of values", {"protocol.mode": ["proxy", "relay"]}),
]
NamesField: TypeAlias = Annotated[tuple[Annotated[str, Strict()], ...], Expected("a list of names", ["b*-r*"])]
WordField: TypeAlias = Annotated[str, Strict(), Expected("a name", "Cogentco")]
