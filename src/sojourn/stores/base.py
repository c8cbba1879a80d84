"""What a store promises.

A store keeps records under keys and knows nothing of what they mean. The driver hands it all changes of a
batch of events at once, because one transaction for many changes is what makes durability affordable.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import Protocol

from sojourn.core.effects import StoreEffect


class Store(Protocol):
    """Records under keys."""

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """All (key, record) pairs, in the order of the keys. Raises StoreError when they cannot be read."""
        ...

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        """Carry out all of `effects` in order, or none of them; they are durable on return.

        Raises StoreError when the medium refuses (full, gone, broken); the store stays usable.
        """
        ...

    def close(self) -> None:
        """Let go of the medium; nothing is called afterwards."""
        ...


class StoreError(OSError):
    """The medium refuses. The text names the file, what is wrong with it and what to do about it."""

    def __init__(self, path: str, trouble: str, remedy: str, error: int = errno.EIO) -> None:
        super().__init__(error, f"{path}: {trouble}; {remedy}")
        self.path = path
        self.remedy = remedy

    def __str__(self) -> str:
        return str(self.strerror)
