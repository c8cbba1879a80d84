"""Leases and the records under them in one dictionary that several engines share: for tests and simulation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from sojourn.core.effects import DeleteBinding, StoreBinding, StoreEffect
from sojourn.wire.units import Duration, Instant


class LeasedRecords:
    """What belongs to one address, and who holds the lease on it. `clock` reads the time of leases."""

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self.records: dict[bytes, bytes] = {}
        self.holder = ""
        self.epoch = 0
        """0: nobody ever held it."""
        self._until: Instant = 0
        self._clock = clock

    def look(self) -> tuple[str, int, bool] | None:
        """Holder, epoch, and whether its time is not over."""
        return (self.holder, self.epoch, self._until > self._clock()) if self.epoch else None

    def claim(self, holder: str, known: int, lasting: Duration) -> tuple[str, int, bool] | None:
        """Take the lease if its epoch is still `known`."""
        if known == self.epoch:
            self.holder, self.epoch, self._until = holder, known + 1, self._clock() + lasting
        return self.look()

    def renew(self, holder: str, epoch: int, lasting: Duration) -> tuple[str, int, bool] | None:
        """Hold it for `lasting` from now on, or (0) give it back."""
        if (holder, epoch) == (self.holder, self.epoch):
            self._until = self._clock() + lasting
            self.holder = holder if lasting else ""
        return self.look()


class LeasedMemory:
    """A `LeasedStore` under the lease of `holder` and `epoch`. `later(call)` makes a call when the store gets to it."""

    def __init__(
        self,
        shared: LeasedRecords,
        holder: str,
        epoch: int,
        lost: Callable[[], None],
        later: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._shared, self._lease, self._lost = shared, (holder, epoch), lost
        self._later = later or _at_once
        self._asked: deque[tuple[Sequence[StoreEffect], Callable[[], None]]] = deque()
        self._answers: deque[Callable[[], None]] = deque()
        self._closed = False

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """See `LeasedStore.load`."""
        return sorted(self._shared.records.items())

    def commit(self, effects: Sequence[StoreEffect], done: Callable[[], None]) -> None:
        """See `LeasedStore.commit`."""

        self.counters["commits"] += 1
        self._asked.append((effects, done))
        self._later(self._carry_out)

    def _carry_out(self) -> None:
        effects, done = self._asked.popleft()  # in order, whatever comes first
        shared = self._shared
        held = self._lease == (shared.holder, shared.epoch)
        for effect in effects if held else ():
            match effect:
                case StoreBinding(key, record):
                    shared.records[key] = record
                case DeleteBinding(key):
                    shared.records.pop(key, None)
                case _:
                    pass
        self._answers.append(done if held else self._lost)
        self._later(self._answer)

    def _answer(self) -> None:
        answer = self._answers.popleft()
        if not self._closed:
            answer()

    def close(self) -> None:
        """This process is gone; what is under way is carried out all the same."""
        self._closed = True


def _at_once(call: Callable[[], None]) -> None:
    call()
