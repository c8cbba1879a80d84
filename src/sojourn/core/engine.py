"""What every role is: an engine without input and output.

An engine is told what happened and what time it is; it answers with what must be done. It opens no socket, reads no
clock and draws no random number, so that one and the same object serves the daemon, a simulator and a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from sojourn.core.effects import Effect
from sojourn.core.events import Event
from sojourn.wire.units import Instant

Row: TypeAlias = Mapping[str, object]
"""One line of a table for people and machines: text, numbers, booleans, None and lists of these."""


class Engine(Protocol):
    """One protocol role."""

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        """What must be done because `event` happened. `now` never runs backwards."""
        ...

    def expire(self, now: Instant) -> Sequence[Effect]:
        """What must be done because time passed. Calling early or twice changes nothing."""
        ...

    def deadline(self) -> Instant | None:
        """When `expire` has something to do next; None: never, unless something happens."""
        ...

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        """Take up the bindings that an earlier life stored (`StoreBinding`); answers with all that should hold.

        Called once, before anything else, also with no records at all.
        """
        ...

    @property
    def restoring(self) -> bool:
        """Whether some of these bindings are still to be taken up: until then, what the kernel has beyond is left."""
        ...

    def show(self, topic: str, now: Instant) -> list[Row]:
        """The engine's own tables: ``sessions``, ``bindings``, ``peers``. An unknown topic gives none."""
        ...
