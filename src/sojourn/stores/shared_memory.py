"""Records in one dictionary that several engines share: for tests and the fault simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from sojourn.core.effects import CheckBinding, DeleteBinding, StoreBinding, StoreEffect
from sojourn.core.events import BindingChanged
from sojourn.wire.units import Duration, Instant


@dataclass(slots=True)
class _Kept:
    record: bytes
    version: int
    expires: Instant
    """0: never."""


class SharedMemory:
    """What several `SharedMemoryView` share.

    `clock` reads the time that lifetimes are measured with.
    """

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self.clock = clock
        self.kept: dict[bytes, _Kept] = {}
        self.views: list[SharedMemoryView] = []
        self.versions = 0

    def view(self, later: Callable[[Callable[[], None]], None] | None = None) -> SharedMemoryView:
        """For one more process. `later(call)` makes a call when the store gets to it; without it, at once."""
        view = SharedMemoryView(self, later or _at_once)
        self.views.append(view)
        return view

    def notify(self, key: bytes, by: SharedMemoryView) -> None:
        """Others that had this key hear that it is not theirs any more."""
        for view in self.views:
            if view is not by:
                view.outdated(key)

    def sweep(self, grace: Duration = 0) -> None:
        """Tell somebody of what is over for `grace`."""
        now = self.clock()
        over = [key for key, kept in self.kept.items() if kept.expires and kept.expires + grace <= now]
        if over and self.views:
            self.views[0].told(over)


class SharedMemoryView:
    """A `SharedStore`, seen by one process."""

    def __init__(self, shared: SharedMemory, later: Callable[[Callable[[], None]], None]) -> None:
        self.shared = shared
        self.counters: Counter[str] = Counter()
        self._later = later
        self._closed = False
        self._seen: dict[bytes, int] = {}
        self._changed: Callable[[Sequence[BindingChanged]], None] = _nobody

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """One of them, if there is any."""
        for key, kept in sorted(self.shared.kept.items())[:1]:
            self._seen[key] = kept.version
            yield key, kept.record

    def swap(self, effects: Sequence[StoreEffect], done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.swap`."""
        last = latest(effects)

        def carry_out() -> None:
            refused = [changed for effect in last if (changed := self._one(effect)) is not None]
            self._later(lambda: None if self._closed else done(refused))

        self._later(carry_out)

    def find(self, mention: bytes, done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.find`."""
        kept = self.shared.kept.items()
        found = [key for key, one in kept if mention in one.record and self._seen.get(key, 0) != one.version]
        self._later(lambda: None if self._closed else done([self._news(key) for key in found]))

    def watch(self, changed: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.watch`."""
        self._changed = changed

    def told(self, keys: Sequence[bytes]) -> None:
        """These are over."""
        self._changed([self._news(key) for key in keys])

    def outdated(self, key: bytes) -> None:
        """Another process changed it."""
        if key in self._seen:
            self._changed([BindingChanged(key, b"", 0, self._seen[key])])

    def take(self, changed: BindingChanged) -> bool:
        """See `SharedStore.take`."""
        if changed.seen < 0:
            return True
        if self._seen.get(changed.key, 0) != changed.seen:
            return False
        if changed.version:
            self._seen[changed.key] = changed.version
        else:
            self._seen.pop(changed.key, None)
        return True

    def close(self) -> None:
        """This process is gone; what is under way is carried out all the same."""
        self._closed = True
        if self in self.shared.views:
            self.shared.views.remove(self)

    def _one(self, effect: StoreEffect) -> BindingChanged | None:
        key, shared = effect.key, self.shared
        kept = shared.kept.get(key)
        if (0 if kept is None else kept.version) != self._seen.get(key, 0):
            return self._look(key)
        match effect:
            case StoreBinding(_, record, lifetime):
                shared.versions += 1
                shared.kept[key] = _Kept(record, shared.versions, shared.clock() + lifetime if lifetime else 0)
                self._seen[key] = shared.versions
                shared.notify(key, self)
            case DeleteBinding():
                shared.kept.pop(key, None)
                self._seen.pop(key, None)
            case CheckBinding():
                pass
            case _:
                assert_never(effect)
        return None

    def _news(self, key: bytes) -> BindingChanged:
        """What is there, for `take`."""
        kept, seen = self.shared.kept.get(key), self._seen.get(key, 0)
        if kept is None:
            return BindingChanged(key, b"", 0, seen)
        return BindingChanged(key, kept.record, kept.expires - self.shared.clock(), seen, kept.version)

    def _look(self, key: bytes) -> BindingChanged:
        kept = self.shared.kept.get(key)
        if kept is None:
            self._seen.pop(key, None)
            return BindingChanged(key, b"", 0)
        self._seen[key] = kept.version
        return BindingChanged(key, kept.record, kept.expires - self.shared.clock())


def latest(effects: Iterable[StoreEffect]) -> list[StoreEffect]:
    """What becomes of each key in the end."""
    last: dict[bytes, StoreEffect] = {}
    for effect in effects:
        if not isinstance(effect, CheckBinding) or effect.key not in last:
            last[effect.key] = effect
    return list(last.values())


def _at_once(call: Callable[[], None]) -> None:
    call()


def _nobody(changed: Sequence[BindingChanged]) -> None:
    """Nobody watches."""
