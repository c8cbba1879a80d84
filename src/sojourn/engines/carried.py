"""What an LMA keeps of an option that MAGs carry in their registrations, as long as the session lasts.

An update tells anew: without the option, nothing is kept (RFC 6757 4.2). After a restart it is known from the next one.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from sojourn.core.engine import Row
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest

T = TypeVar("T")


class Carried(LmaExtension, Generic[T]):
    """A table of what sessions told. `name` is also the column that people see."""

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Nothing is known."""
        self._told: dict[int, T] = {}

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """What it said this time."""
        value = self._told_by(request, entry)
        if value is None:
            self._told.pop(entry.slot, None)
        else:
            self._told[entry.slot] = value

    def removed(self, entry: BindingCacheEntry) -> None:
        """Nothing of it is kept."""
        self._told.pop(entry.slot, None)

    def row(self, entry: BindingCacheEntry) -> Row:
        """The column."""
        value = self._told.get(entry.slot)
        return {} if value is None else {self.name: self._words(value)}

    def _told_by(self, request: HomeRequest, entry: BindingCacheEntry) -> T | None:
        """What a request says; None: nothing."""
        raise NotImplementedError

    def _words(self, value: T) -> str:
        """For people."""
        raise NotImplementedError
