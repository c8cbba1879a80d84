"""What a store promises.

A store keeps records under keys and knows nothing of what they mean. The driver hands it all changes of a
batch of events at once, because one transaction for many changes is what makes durability affordable.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from sojourn.core.effects import StoreEffect
from sojourn.core.events import BindingChanged


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


@runtime_checkable
class SharedStore(Protocol):
    """Records under keys that others change too: every change is a compare-and-swap.

    It knows which version of a key this process saw last; a key that it never saw is taken for one that is not there.
    """

    counters: Counter[str]
    """What it did, and what went wrong, for people."""

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """Some of what is there, as a sign that this is not the beginning; the rest is found when it is needed."""
        ...

    def swap(self, effects: Sequence[StoreEffect], done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """Carry out each of `effects` if its key is still as this process saw it last; then `done` is told of keys
        that are not, and how they are. For such a key nothing was changed, and what is there counts as seen.

        What was changed is durable when `done` is called, once, perhaps before `swap` returns. A medium that refuses is
        asked again until it answers. A key is in no second call before `done`; calls about other keys may overtake.
        """
        ...

    def find(self, mention: bytes, done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """Tell `done` of all records with the octets `mention` in them that this process never saw as they are."""
        ...

    def watch(self, changed: Callable[[Sequence[BindingChanged]], None]) -> None:
        """Call back for keys that this process saw and another one changed, and for those that are over."""
        ...

    def take(self, changed: BindingChanged) -> bool:
        """What `find` or `watch` told counts as seen from now on, as the engine is about to hear of it.

        False: this process saw something later meanwhile, and what was told is not to be heeded. (If it counted as seen
        when it was told, an engine that has not heard of it yet could change what it does not know.) Not to be asked
        between `swap` and its `done` about a key of that swap, as nobody knows then what was seen last.
        """
        ...

    def close(self) -> None:
        """Let go of the medium; nothing is called afterwards."""
        ...


@runtime_checkable
class LeasedStore(Protocol):
    """Records under keys elsewhere, of which one process at a time is the owner: whoever holds a lease on them."""

    counters: Counter[str]
    """What it did, and what went wrong, for people."""

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """All (key, record) pairs as they were when the lease was taken, in the order of the keys."""
        ...

    def commit(self, effects: Sequence[StoreEffect], done: Callable[[], None]) -> None:
        """Carry out all of `effects` in order, or none of them; they are durable when `done` is called, once.

        With none this asks whether the lease is still ours. If it is not, nothing is changed and `done` is never
        called: whoever opened the store is told. A medium that does not answer is asked again until it does.
        There may be further calls before `done`: all become durable, and are told to be done, in their order.
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
