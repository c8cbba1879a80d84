"""Makes a failing list of happenings short: fewer of them, and simpler ones, as long as the same is wrong.

Delta debugging: halves, quarters, and so on are left out; then every field takes simpler values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

from sim.happenings import Happening

Fails = Callable[[Sequence[Happening]], bool]
_SIMPLER: dict[str, tuple[object, ...]] = {
    "then": (0, 200_000_000, 1_000_000_000),
    "gap": (0,),
    "interface": ("acc0",),
    "sighting": ("station",),
    "told": (True,),
    "fuse": (0,),
    "power": (False,),
    "store": (True,),
    "nth": (1,),
    "both": (True,),
    "repeats": (0.0,),
    "jitter": (0,),
}
"""By field, the values that say least, the simplest first."""


def shrink(happenings: Sequence[Happening], fails: Fails, seconds: float) -> list[Happening]:
    """A short list for which `fails` still holds; the best found in so many seconds."""
    end = time.monotonic() + seconds

    def tried(candidate: Sequence[Happening]) -> bool:
        return time.monotonic() < end and fails(candidate)

    best, before = list(happenings), None
    while best != before and time.monotonic() < end:
        before = best
        best = _simpler(_fewer(best, tried), tried)
    return best


def _fewer(happenings: list[Happening], fails: Fails) -> list[Happening]:
    size = len(happenings)
    while size:
        at = len(happenings) - size
        while at > -size:  # the end first: what comes after the fault costs most
            candidate = happenings[: max(at, 0)] + happenings[max(at + size, 0) :]
            if len(candidate) < len(happenings) and fails(candidate):
                happenings = candidate
            at -= size
        size //= 2
    return happenings


def _simpler(happenings: list[Happening], fails: Fails) -> list[Happening]:
    for index in range(len(happenings)):
        for simpler in _simplifications(happenings[index]):
            candidate = [*happenings[:index], simpler, *happenings[index + 1 :]]
            if fails(candidate):
                happenings = candidate
                break
    return happenings


def _simplifications(happening: Happening) -> Iterator[Happening]:
    for field in fields(happening):
        value = getattr(happening, field.name)
        for simpler in _SIMPLER.get(field.name, ()):
            if simpler == value:
                break
            yield replace(happening, **{field.name: simpler})
