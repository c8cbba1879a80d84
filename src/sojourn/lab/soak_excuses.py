"""What a soak with faults excuses: packets that were lost around a move, or by what was broken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from sojourn.lab.air import RoamTimes
from sojourn.lab.faults import Fault
from sojourn.lab.measure import Window
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_BEFORE: Duration = 300 * MILLISECOND
_AFTER: Duration = 8 * SECOND
"""Around a move or a fault, what is lost has an excuse; after a long one for as long again, as who heard no answer asks
again after pauses that double."""


def unexcused(
    records: Iterable[FlowRecord],
    moves: Sequence[RoamTimes],
    faults: Sequence[Fault],
    concerns: Callable[[Fault, FlowRecord], bool],
    window: Window,
) -> dict[str, int]:
    """Packets of streams, sent in `window`, that were lost with nothing to blame, by the fault that lasted, or ``""``.

    A move of the host itself excuses, and a broken link whom it `concerns`. A daemon that is dead or stands still
    excuses only hosts that moved while it was.
    """
    links = [one for one in faults if not one.of_daemon]
    daemons = [one for one in faults if one.of_daemon]
    moved = _around_moves(moves, daemons)
    found: dict[str, int] = {}
    for record in records:
        broken = [(one.began - _BEFORE, _over(one)) for one in links if concerns(one, record)]
        excuses = _merged([*broken, *moved.get(record.host, [])])
        for way in (record.up, record.down):
            for sent, received in zip(way.sent, way.received, strict=True):
                if not received and window.start <= sent < window.end and not _within(excuses, sent):
                    blamed = next((one.words for one in daemons if one.began <= sent < one.healed + SECOND), "")
                    found[blamed] = found.get(blamed, 0) + 1
    return found


def _around_moves(moves: Sequence[RoamTimes], daemons: Sequence[Fault]) -> dict[str, list[tuple[Instant, Instant]]]:
    """By host."""
    found: dict[str, list[tuple[Instant, Instant]]] = {}
    for move in moves:
        until = move.start + _AFTER
        for one in daemons:
            if one.began - _BEFORE <= move.start + SECOND and move.start <= one.healed + _BEFORE:
                until = max(until, _over(one))
        found.setdefault(move.host, []).append((move.start - _BEFORE, until))
    return found


def _over(fault: Fault) -> Instant:
    return fault.healed + max(_AFTER, fault.healed - fault.began)


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
