"""An engine whose events and reports are told to somebody: the log, and clients that follow.

The engine itself knows nothing of it, nor does the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from sojourn.core.effects import Effect, Report
from sojourn.core.engine import Engine, Row
from sojourn.core.events import Event
from sojourn.engines.stand_in import READY
from sojourn.wire.addresses import Address
from sojourn.wire.units import Instant

Listener: TypeAlias = Callable[[Event | Report], None]
_TABLES = ("sessions", "entries", "bindings", "cache", "homes")
"""What the engines call the table of those that they know."""


class Observed:
    """An `Engine` around `engine`. Without `reports` only events are told: what it reports may still be thrown away."""

    def __init__(self, engine: Engine, listener: Listener, *, reports: bool = True) -> None:
        self._engine = engine
        self._reports = reports
        self._listener = listener
        self.handling: Event | None = None
        """What is being handled; after an exception, what it was that could not be."""

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        """See `Engine.handle`."""
        self.handling = event
        self._listener(event)
        effects = self._reported(self._engine.handle(event, now))
        self.handling = None
        return effects

    def expire(self, now: Instant) -> Sequence[Effect]:
        """See `Engine.expire`."""
        return self._reported(self._engine.expire(now))

    def deadline(self) -> Instant | None:
        """See `Engine.deadline`."""
        return self._engine.deadline()

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        """See `Engine.restore`."""
        return self._reported(self._engine.restore(records, now))

    @property
    def restoring(self) -> bool:
        """See `Engine.restoring`."""
        return self._engine.restoring

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`."""
        return self._engine.show(topic, now)

    def size(self) -> int:
        """How many nodes the role knows: entries of its own table."""
        return next((len(found) for name in _TABLES if (found := getattr(self._engine, name, None)) is not None), 0)

    def pools_held(self) -> dict[Address, bool]:
        """Routers that this one is partner of (RFC 7333 REQ6f): whether their pools are led to it now."""
        survival = getattr(self._engine, "survival", None)
        standing = {} if survival is None else survival.standing
        return {anchor: stand.phase is not READY for anchor, stand in standing.items()}

    def _reported(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        for effect in effects if self._reports else ():
            if isinstance(effect, Report):
                self._listener(effect)
        return effects
