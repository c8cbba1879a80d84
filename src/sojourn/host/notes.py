"""What is known afterwards of what an engine was told and asked for: counters, the latest of it, records, figures."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from sojourn.core.effects import Effect, Report
from sojourn.core.events import Event, MessageReceived
from sojourn.host.repeats import Repeats
from sojourn.wire import Heartbeat
from sojourn.wire.units import Instant

RECENT = 256
"""Events and reports that `Notes.recent` keeps."""


class Record(Protocol):
    """Take note of an event or an effect; None stands for time that passed (`Engine.expire`)."""

    def __call__(self, now: Instant, item: Event | Effect | None, /) -> None: ...


class Metering(Protocol):
    """Measures from what happens, as `sojourn.telemetry.meter` does."""

    def take(self, now: Instant, item: Event | Effect) -> None:
        """An event that is handed over, or an effect that is asked for; reports too, every one."""
        ...

    def settled(self, now: Instant) -> None:
        """All that was asked for so far is carried out."""
        ...


class Notes:
    """Of one engine. `told` hears of every report, `meter` of everything, `record` of everything but reports that
    repeat (`Repeats`)."""

    def __init__(self, record: Record | None, told: Callable[[Report], None] | None, meter: Metering | None) -> None:
        self.counters: Counter[str] = Counter()
        """What was handled and asked for: class names of events and effects, and ``reports:NAME``."""
        self.recent: deque[tuple[Instant, Event | Report]] = deque(maxlen=RECENT)
        """The latest events and reports, oldest first; refusals that repeat as their number (`Repeats`). No heartbeats:
        there are many a second."""
        self._record = record
        self._told = told
        self._meter = meter
        self._repeats = Repeats()

    def happened(self, event: Event, now: Instant) -> None:
        """The engine is about to be told."""
        self.counters[type(event).__name__] += 1
        if not is_beat(event):
            self.recent.append((now, event))
        if self._record is not None:
            self._record(now, event)
        if self._meter is not None:
            self._meter.take(now, event)

    def passed(self, now: Instant) -> None:
        """Time passed, and the engine has something to say."""
        if self._record is not None:
            self._record(now, None)

    def asked(self, effects: Sequence[Effect], now: Instant) -> None:
        """The engine asks for that."""
        counters, record, meter = self.counters, self._record, self._meter
        for effect in effects:
            counters[type(effect).__name__] += 1
            if meter is not None:
                meter.take(now, effect)
            if type(effect) is Report:
                counters[f"reports:{effect.name}"] += 1
                if self._told is not None:
                    self._told(effect)
                self.tell(self._repeats.take(effect, now), now)
            elif record is not None:
                record(now, effect)

    def settled(self, clock: Callable[[], Instant]) -> None:
        """What packets and peers wait for is carried out."""
        if self._meter is not None:
            self._meter.settled(clock())

    def tell(self, reports: Sequence[Report], now: Instant) -> None:
        """For people."""
        for report in reports:
            self.recent.append((now, report))
            if self._record is not None:
                self._record(now, report)

    def tell_repeats(self, now: Instant, *, at_last: bool = False) -> None:
        """How often what was not told again has happened meanwhile, where it is time to say so."""
        self.tell(self._repeats.due(now, at_last=at_last), now)


def is_beat(item: Event | Report) -> bool:
    """Whether it is a message that says no more than that its sender is alive (RFC 5847)."""
    return type(item) is MessageReceived and type(item.message) is Heartbeat
