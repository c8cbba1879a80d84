"""The outbox that all roles share: handlers append effects, `handle` and `expire` return them.

Generators would read well too, but a call without ``yield from`` does nothing and no checker notices.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from sojourn.core.clock import Timers
from sojourn.core.detail import Detail, Value
from sojourn.core.effects import Effect, Report
from sojourn.core.events import Event, MessageReceived
from sojourn.engines.unread import Unread
from sojourn.wire.addresses import Address
from sojourn.wire.units import Duration, Instant, WallClock, ticks

TimerName = tuple[str, Any]


class OutboxEngine:
    """Half of `sojourn.core.engine.Engine`: time, timers and the outbox. A role adds `_on_event` and `_on_timer`."""

    reports: Container[str] | None = None
    """Names of the reports that anybody reads; None: all. A simulation of a million nodes reads few."""
    incoming: Callable[[MessageReceived], Address] | None = None
    """Who sent a message, where peers are not always what the packet says (RFC 5844 4)."""
    outgoing: Callable[[list[Effect]], list[Effect]] | None = None
    """What becomes of effects before anybody sees them, where peers are not always where their names say."""
    stores: bool = True
    """Whether anything keeps what is to be stored; if not, the records are not even made."""
    _unread = Unread()
    """What a role that takes up its bindings little by little did not take up yet."""

    def __init__(self, epoch: WallClock) -> None:
        self._epoch = epoch
        self._now: Instant = 0
        self._outbox: list[Effect] = []
        self._do: Callable[[Effect], None] = self._outbox.append
        """Ask for an effect."""
        self._timers: Timers[TimerName] = Timers()

    @property
    def restoring(self) -> bool:
        """See `Engine.restoring`."""
        return self._unread.left > 0

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """See `Engine.handle`."""
        self._now = now
        self._on_event(event)
        effects = self._outbox.copy()
        self._outbox.clear()
        return effects if self.outgoing is None else self.outgoing(effects)

    def expire(self, now: Instant) -> list[Effect]:
        """See `Engine.expire`."""
        self._now = now
        while (name := self._timers.pop_due(now)) is not None:
            self._on_timer(name)
        return self._flush()

    def deadline(self) -> Instant | None:
        """See `Engine.deadline`."""
        return self._timers.deadline()

    @property
    def timers(self) -> Timers[TimerName]:
        """For hosts of many engines: `Timers.soonest` costs far less than `deadline`."""
        return self._timers

    def _on_event(self, event: Event) -> None:
        raise NotImplementedError

    def _on_timer(self, name: TimerName) -> None:
        raise NotImplementedError

    def _flush(self) -> list[Effect]:
        effects = self._outbox.copy()
        self._outbox.clear()
        return effects if self.outgoing is None else self.outgoing(effects)

    def _report(self, name: str, **detail: Value) -> None:
        """A report, if anybody reads it."""
        if self.reports is None or name in self.reports:
            self._do(Report(name, Detail(detail)))

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
        start, level = now - self._burst, self._level_at
        if level is not None and level > start:
            start = level
        self._level_at = turn = start + self._interval
        return turn if turn > now else now
