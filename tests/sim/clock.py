"""The two clocks of a machine, as a function of the world's time."""

from __future__ import annotations

from sojourn.wire.units import SECOND, Duration, Instant, WallClock

EPOCH: WallClock = 1_790_000_000 * SECOND
"""The wall-clock time at the world's beginning."""
_MILLION = 1_000_000


class Clock:
    """A monotonic clock that runs `rate` parts per million too fast, and a wall clock `ahead` of the truth.

    Both run at the same rate, as on a machine whose time is slewed; a step moves the wall clock only.
    """

    def __init__(self, ahead: Duration = 0) -> None:
        self.epoch: WallClock = EPOCH + ahead
        """Wall clock minus monotonic clock."""
        self.rate = 0
        self._origin: Instant = 0
        self._base: Instant = 0

    def monotonic(self, now: Instant) -> Instant:
        """What the monotonic clock shows at the world's instant `now`."""
        elapsed = now - self._base
        return self._origin + elapsed + elapsed * self.rate // _MILLION

    def wall(self, now: Instant) -> WallClock:
        """What the wall clock shows."""
        return self.epoch + self.monotonic(now)

    def when(self, reading: Instant) -> Instant:
        """The world's first instant at which the monotonic clock shows at least `reading`."""
        return self._base + -(-(reading - self._origin) * _MILLION // (_MILLION + self.rate))

    def run_at(self, rate: int, now: Instant) -> None:
        """From now on `rate` parts per million too fast."""
        self._origin, self._base, self.rate = self.monotonic(now), now, rate

    def step(self, by: Duration) -> None:
        """Somebody sets the wall clock."""
        self.epoch += by

    def boot(self, now: Instant) -> None:
        """The machine starts: its monotonic clock begins at zero, the wall clock goes on."""
        self.epoch = self.wall(now)
        self._origin, self._base = 0, now
