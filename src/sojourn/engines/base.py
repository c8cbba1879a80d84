"""The outbox that all roles share: handlers append effects, `handle` and `expire` return them.

Generators would read well too, but a call without ``yield from`` does nothing and no checker notices.
"""

from __future__ import annotations

from typing import Any

from sojourn.core.clock import Timers
from sojourn.core.effects import Effect, Report
from sojourn.core.events import Event
from sojourn.wire.units import Duration, Instant, WallClock, ticks

TimerName = tuple[str, Any]


class OutboxEngine:
    """Half of `sojourn.core.engine.Engine`: time, timers and the outbox. A role adds `_on_event` and `_on_timer`."""

    def __init__(self, epoch: WallClock) -> None:
        self._epoch = epoch
        self._now: Instant = 0
        self._outbox: list[Effect] = []
        self._timers: Timers[TimerName] = Timers()

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """See `Engine.handle`."""
        self._now = now
        self._on_event(event)
        return self._flush()

    def expire(self, now: Instant) -> list[Effect]:
        """See `Engine.expire`."""
        self._now = now
        while (name := self._timers.pop_due(now)) is not None:
            self._on_timer(name)
        return self._flush()

    def deadline(self) -> Instant | None:
        """See `Engine.deadline`."""
        return self._timers.deadline()

    def _on_event(self, event: Event) -> None:
        raise NotImplementedError

    def _on_timer(self, name: TimerName) -> None:
        raise NotImplementedError

    def _do(self, effect: Effect) -> None:
        self._outbox.append(effect)

    def _flush(self) -> list[Effect]:
        effects, self._outbox = self._outbox, []
        return effects

    def _report(self, name: str, **detail: str | int) -> None:
        self._outbox.append(Report(name, detail))

    def _after(self, delay: Duration, kind: str, key: Any) -> None:
        self._timers.start((kind, key), self._now + delay)

    def _ticks(self) -> int:
        """The wall-clock time of `now`, as the Timestamp option counts it."""
        return ticks(self._epoch + self._now)


class TokenBucket:
    """At most `rate` a second on average and `burst` at once."""

    __slots__ = ("_burst", "_interval", "_level_at")

    def __init__(self, rate: int, burst: int) -> None:
        self._interval = 1_000_000_000 // rate
        self._burst = burst * self._interval
        self._level_at: Instant | None = None

    def take(self, now: Instant) -> bool:
        """Whether one more may pass."""
        start = now - self._burst if self._level_at is None else max(self._level_at, now - self._burst)
        if start + self._interval > now:
            return False
        self._level_at = start + self._interval
        return True

    def reserve(self, now: Instant) -> Instant:
        """The instant, now or later, at which one more may pass; it is taken by this call."""
        start = now - self._burst if self._level_at is None else max(self._level_at, now - self._burst)
        self._level_at = start + self._interval
        return max(now, self._level_at)
