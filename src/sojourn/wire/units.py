"""Time as whole nanoseconds.

Above the wire every time is a whole number of nanoseconds, written ``3 * SECOND``. `Duration` is a length,
`Instant` a point on the monotonic clock of whoever drives an engine. Wall-clock time appears in one place
only, the Timestamp option (RFC 5213 8.8), as ticks of 1/65536 s since 1970.
"""

from __future__ import annotations

from typing import TypeAlias

Duration: TypeAlias = int
"""Nanoseconds."""
Instant: TypeAlias = int
"""Nanoseconds on a monotonic clock; its zero means nothing."""
WallClock: TypeAlias = int
"""Nanoseconds since 1970-01-01 00:00:00 UTC."""

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

TICKS_PER_SECOND = 1 << 16


def ticks(wall: WallClock) -> int:
    """`wall` in the unit of the Timestamp option: seconds since 1970 with 16 bits of fraction (RFC 5213 8.8)."""
    return (wall * TICKS_PER_SECOND + SECOND // 2) // SECOND


def wall_clock(stamp: int) -> WallClock:
    """The nearest nanosecond to a Timestamp option's value; ``ticks(wall_clock(stamp)) == stamp``."""
    return (stamp * SECOND + TICKS_PER_SECOND // 2) // TICKS_PER_SECOND
