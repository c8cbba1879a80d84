"""How long sessions stand still from a moment on, and how late this machine is by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sojourn.lab.measure import Window, loss, milliseconds
from sojourn.lab.report import Verdict
from sojourn.lab.traffic import Direction, FlowRecord
from sojourn.wire.units import SECOND, Duration, Instant

_TURNS = 6
"""Whose turn it is until a session goes on: three routers' daemons, twice each."""
_NEVER = 1 << 62


def spare(lateness: Duration) -> Duration:
    """What a limit may be longer by on a machine that is so late."""
    return _TURNS * lateness


def silence(way: Direction, window: Window) -> Duration:
    """The longest time without an arrival, from the last one before."""
    arrived = sorted(at for at in way.received if window.start - SECOND <= at < window.end)
    return max((later - earlier for earlier, later in pairwise(arrived) if later >= window.start), default=_NEVER)


def lateness(way: Direction, at: Instant) -> Duration:
    """How much more than usual a packet needed in the second before."""
    took = sorted(
        received - sent
        for sent, received in zip(way.sent, way.received, strict=True)
        if received and 0 <= at - sent < SECOND
    )
    return took[-1] - took[0] if took else 0


def in_time(name: str, took: Duration, limit: Duration, late: Duration) -> Verdict:
    """Within a limit that the machine's own lateness is added to."""
    extra = spare(late)
    words = f"{milliseconds(limit):.0f} ms + {milliseconds(extra):.0f} at most on this machine"
    measured = f"{milliseconds(took):.0f} ms" if took < _NEVER else "never"
    return Verdict(name, measured, words, took <= limit + extra)


class Standstill:
    """What became of some streams in a window that begins at a moment, with the name of that moment."""

    def __init__(self, name: str, records: Sequence[FlowRecord], window: Window) -> None:
        self.name = name
        ways = [way for record in records for way in (record.up, record.down)]
        found = [loss(way, window) for way in ways]
        self.sent, self.lost = sum(one.sent for one in found), sum(one.lost for one in found)
        self.silence = max(silence(way, window) for way in ways)
        self.lateness = max(lateness(way, window.start) for way in ways)

    def lossless(self, of: str = "") -> Verdict:
        """Nothing was lost, of what was sent."""
        name = f"{self.name}: lost {of}".rstrip()
        return Verdict(name, f"{self.lost} of {self.sent}", "0", self.lost == 0 and self.sent > 0)

    def still(self, limit: Duration) -> Verdict:
        """How long the sessions stood still."""
        return in_time(f"{self.name}: sessions stand still", self.silence, limit, self.lateness)
