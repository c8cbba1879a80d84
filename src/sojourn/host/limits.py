"""How much of one source is listened to, in bounded memory.

The generic cell rate algorithm: a source has one number, the instant at which it would be at rest. Each
arrival moves that by one interval, and an arrival that moved it too far ahead of now is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from sojourn.wire.units import SECOND, Instant

Key = TypeVar("Key", bound=Hashable)


class Limiter(Generic[Key]):
    """At most `rate` per second for each key, `burst` of them at once; `keys` are remembered.

    A key that had to be forgotten for want of room begins anew, so a flood under many names needs a second
    limiter that has one key only.
    """

    def __init__(self, rate: int, burst: int, keys: int) -> None:
        self._interval = SECOND // rate
        self._ahead = burst * self._interval
        self._keys = keys
        self._rest: OrderedDict[Key, Instant] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rest)

    def allow(self, key: Key, now: Instant) -> bool:
        """Whether one more of `key` is within its share; when it is, it has been counted."""
        rest = self._rest.get(key)
        if rest is None:
            if len(self._rest) >= self._keys:
                self._rest.popitem(last=False)
            rest = now
        elif rest < now:
            rest = now
        rest += self._interval
        if rest - now > self._ahead:
            return False
        self._rest[key] = rest
        return True
