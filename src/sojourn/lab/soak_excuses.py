"""What a soak with faults excuses: packets that were lost around a move, or by what was broken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sojourn.lab.air import RoamTimes
from sojourn.lab.faults import Fault
from sojourn.lab.measure import Window
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_BEFORE: Duration = 300 * MILLISECOND
_SETTLED: Duration = 3 * SECOND
"""After a move, on a machine that does other things as well: it takes milliseconds."""
_REPEATED: Duration = 8 * SECOND
"""Nobody is told that a link is whole again, and who heard no answer asks again after pauses that double: after a long
outage as long again."""
_APART: Duration = SECOND
"""What is lost later than this after the packet before was lost by something else."""


@dataclass(slots=True)
class Lost:
    """Packets of one stream, one way, that were lost about the same time without an excuse."""

    flow: str
    way: str
    """``up``, from the host, or ``down``."""
    first: Instant
    """When the first of them was sent."""
    last: Instant
    packets: int
    blamed: str
    """The fault of a daemon that lasted, which should not have mattered; nothing: there was none."""


def unexcused(
    records: Iterable[FlowRecord],
    moves: Sequence[RoamTimes],
    faults: Sequence[Fault],
    concerns: Callable[[Fault, FlowRecord], bool],
    window: Window,
    *,
    told: bool,
) -> list[Lost]:
    """Packets of streams, sent in `window`, that were lost with nothing to blame, in the order of time.

    A move of the host itself excuses, and a broken link whom it `concerns`. A daemon that is dead or stands still
    excuses only hosts that it concerns and that moved while it was; not for long after that, if whoever comes back has
    `told` them.
    """
    links = [one for one in faults if not one.of_daemon]
    daemons = [one for one in faults if one.of_daemon]
    found: list[Lost] = []
    for record in records:
        broken = [(one.began - _BEFORE, _over(one)) for one in links if concerns(one, record)]
        moved = [move for move in moves if move.host == record.host]
        hurt = [one for one in daemons if concerns(one, record)]
        excuses = _merged([*broken, *_around_moves(moved, hurt, told)])
        for name, way in (("up", record.up), ("down", record.down)):
            latest: Lost | None = None
            for sent, received in zip(way.sent, way.received, strict=True):
                if received or not window.start <= sent < window.end or _within(excuses, sent):
                    continue
                blamed = next((one.words for one in daemons if one.began <= sent < one.healed + SECOND), "")
                if latest is None or sent - latest.last > _APART or blamed != latest.blamed:
                    latest = Lost(record.flow, name, sent, sent, 0, blamed)
                    found.append(latest)
                latest.last = sent
                latest.packets += 1
    return sorted(found, key=lambda one: one.first)


def _around_moves(moves: Sequence[RoamTimes], daemons: Sequence[Fault], told: bool) -> list[tuple[Instant, Instant]]:
    """Of one host."""
    found: list[tuple[Instant, Instant]] = []
    for move in moves:
        until = move.start + _SETTLED
        for one in daemons:
            if one.began - _BEFORE <= move.start + SECOND and move.start <= one.healed + _BEFORE:
                until = max(until, one.healed + _SETTLED if told else _over(one))
        found.append((move.start - _BEFORE, until))
    return found


def _over(fault: Fault) -> Instant:
    """When its consequences must be over, where nobody is told of its end."""
    return fault.healed + max(_REPEATED, fault.healed - fault.began)


def _merged(windows: list[tuple[Instant, Instant]]) -> list[tuple[Instant, Instant]]:
    merged: list[tuple[Instant, Instant]] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _within(windows: list[tuple[Instant, Instant]], instant: Instant) -> bool:
    index = bisect_right(windows, (instant, 1 << 63)) - 1
    return index >= 0 and windows[index][0] <= instant < windows[index][1]
