"""What hosts have in common: what is read from when the event loop says so, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol


class Readable(Protocol):
    """A socket or monitor."""

    def fileno(self) -> int: ...


class Counting(Protocol):
    """A part that counts."""

    @property
    def counters(self) -> Counter[str]: ...


class Readers:
    """Callbacks of `loop`, until closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._descriptors: list[int] = []

    def listen(self, part: Readable | None, callback: Callable[[], object]) -> None:
        """Call back when there is something to read from `part`; None: there is no such part."""
        if part is not None:
            self._loop.add_reader(part.fileno(), callback)
            self._descriptors.append(part.fileno())

    def close(self) -> None:
        """Call back no more; the parts are still open."""
        while self._descriptors:
            self._loop.remove_reader(self._descriptors.pop())


def counted(parts: Mapping[str, Counting | None]) -> dict[str, int]:
    """Everything that is counted, with the part that counts it in front; None: there is no such part."""
    known = {name: part.counters for name, part in parts.items() if part is not None}
    return {f"{part}:{name}": count for part, counter in known.items() for name, count in counter.items()}
