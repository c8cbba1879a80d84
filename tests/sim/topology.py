"""Shapes of networks, as one-way delays between machines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations

from sojourn.wire.units import MICROSECOND, MILLISECOND, Duration

Delays = dict[tuple[str, str], Duration]
_HOP = (100 * MICROSECOND, 1 * MILLISECOND, 5 * MILLISECOND, 20 * MILLISECOND)


def line(names: Sequence[str], dice: random.Random) -> Delays:
    """One after the other: a railway."""
    hop = dice.choice(_HOP)
    return _between(names, lambda a, b: hop * abs(a - b))


def ring(names: Sequence[str], dice: random.Random) -> Delays:
    """Both ways round."""
    hop = dice.choice(_HOP)
    return _between(names, lambda a, b: hop * min(abs(a - b), len(names) - abs(a - b)))


def star(names: Sequence[str], dice: random.Random) -> Delays:
    """All over one hub, each at a distance of its own."""
    spokes = [dice.choice(_HOP) for _ in names]
    return _between(names, lambda a, b: spokes[a] + spokes[b])


def sites(names: Sequence[str], dice: random.Random) -> Delays:
    """Two campuses with a long way between them."""
    where = [dice.randrange(2) for _ in names]
    far = dice.choice((30 * MILLISECOND, 120 * MILLISECOND))
    return _between(names, lambda a, b: 300 * MICROSECOND if where[a] == where[b] else far)


def odd(names: Sequence[str], dice: random.Random) -> Delays:
    """Every direction of every link as it likes: a detour may be shorter than the way."""
    return {pair: dice.choice(_HOP) for pair in permutations(names, 2)}


SHAPES = (line, ring, star, sites, odd)


def _between(names: Sequence[str], delay) -> Delays:  # type: ignore[no-untyped-def]
    numbers = range(len(names))
    return {(names[a], names[b]): delay(a, b) for a, b in permutations(numbers, 2)}
