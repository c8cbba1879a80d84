"""Records in a dictionary: for tests, the simulator and roles that need not survive a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from sojourn.core.effects import CheckBinding, DeleteBinding, StoreBinding, StoreEffect


class MemoryStore:
    """Durable as long as the object lives: hand the same one to a second driver to play a restart."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """All (key, record) pairs, in the order of the keys."""
        return sorted(self.records.items())

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        """Carry out all of `effects`."""
        for effect in effects:
            match effect:
                case StoreBinding():
                    self.records[effect.key] = effect.record
                case DeleteBinding():
                    self.records.pop(effect.key, None)
                case CheckBinding():
                    pass
                case _:
                    assert_never(effect)

    def close(self) -> None:
        """Nothing to let go of."""
