"""How long a session stands still, and how late this machine is by itself."""

from __future__ import annotations

from itertools import pairwise

from sojourn.lab.measure import Window
from sojourn.lab.traffic import Direction
from sojourn.wire.units import SECOND, Duration, Instant

_TURNS = 6
"""Whose turn it is until a session goes on: three routers' daemons, twice each."""


def spare(lateness: Duration) -> Duration:
    """What a limit may be longer by on a machine that is so late."""
    return _TURNS * lateness


def silence(way: Direction, window: Window) -> Duration:
    """The longest time without an arrival, from the last one before."""
    arrived = sorted(at for at in way.received if window.start - SECOND <= at < window.end)
    return max((later - earlier for earlier, later in pairwise(arrived) if later >= window.start), default=1 << 62)


def lateness(way: Direction, at: Instant) -> Duration:
    """How much more than usual a packet needed in the second before."""
    took = sorted(
        received - sent
        for sent, received in zip(way.sent, way.received, strict=True)
        if received and 0 <= at - sent < SECOND
    )
    return took[-1] - took[0] if took else 0
