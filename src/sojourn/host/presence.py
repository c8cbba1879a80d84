"""Silent stations: a bridge forgets a node after some minutes without a frame from it, but it may still be
there.

A node that only receives is silent. So a station that was aged out is asked for a sign of life, a few times,
before it counts as detached; any sign ends the doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from sojourn.core.effects import ProbeNode
from sojourn.core.events import Event, NodeDetached, NodeSeen
from sojourn.wire.addresses import LinkLayer

ATTEMPTS = 3
INTERVAL = 1.0
"""Seconds between two questions."""


class Cancellable(Protocol):
    """What `CallLater` returns."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Cancellable]


class Presence:
    """Asks stations that are in doubt with `probe`; who does not answer is reported with `report`."""

    def __init__(
        self,
        probe: Callable[[ProbeNode], None],
        report: Callable[[Sequence[Event]], None],
        call_later: CallLater,
    ) -> None:
        self._probe = probe
        self._report = report
        self._call_later = call_later
        self._doubts: dict[tuple[str, LinkLayer], Cancellable] = {}

    def __len__(self) -> int:
        return len(self._doubts)

    def aged(self, interface: str, link_layer: LinkLayer) -> None:
        """The bridge forgot a station because it was silent."""
        if (interface, link_layer) not in self._doubts:
            self._ask((interface, link_layer), 1)

    def heard(self, events: Iterable[Event]) -> None:
        """Signs of life, and of leaving, end the doubt."""
        if not self._doubts:
            return
        for event in events:
            if isinstance(event, NodeSeen | NodeDetached):
                doubt = self._doubts.pop((event.interface, event.link_layer), None)
                if doubt is not None:
                    doubt.cancel()

    def close(self) -> None:
        """Ask nobody any more."""
        for doubt in self._doubts.values():
            doubt.cancel()
        self._doubts.clear()

    def _ask(self, key: tuple[str, LinkLayer], attempt: int) -> None:
        if attempt > ATTEMPTS:
            del self._doubts[key]
            self._report([NodeDetached(*key)])
            return
        with suppress(OSError):  # as good as a lost question
            self._probe(ProbeNode(key[0], key[1], None))
        self._doubts[key] = self._call_later(INTERVAL, lambda: self._ask(key, attempt + 1))
