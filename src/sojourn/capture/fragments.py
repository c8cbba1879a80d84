"""Fragments put together again (RFC 8200 4.5, RFC 791 3.2), within bounds.

At most `MOST` datagrams wait at a time, each of at most 65535 octets and for at most 60 seconds of capture time. When
fragments overlap the datagram is dropped, as RFC 5722 3 demands; an exact repetition is a copy and does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from sojourn.wire.units import SECOND, WallClock

MOST = 128
PATIENCE = 60 * SECOND
_LONGEST = 65535

Key: TypeAlias = tuple[object, ...]
"""What all fragments of a datagram have in common."""


@dataclass(slots=True)
class Waiting:
    """A datagram of which something is still missing."""

    begun: WallClock
    number: int
    """Of the packet with the first fragment that was seen."""
    protocol: int = -1
    """What the datagram holds, as its first fragment says (RFC 8200 4.5); -1 until that is here."""
    pieces: dict[int, bytes] = field(default_factory=dict)
    end: int = -1
    """Octets in all, known from the last fragment."""
    held: int = 0
    spoilt: bool = False


class Reassembler:
    """All datagrams that wait for fragments."""

    def __init__(self) -> None:
        self._waiting: dict[Key, Waiting] = {}
        self.given_up: list[Waiting] = []
        """Datagrams that never became whole; whoever reports them takes them away."""

    def add(
        self, key: Key, number: int, now: WallClock, offset: int, last: bool, protocol: int, octets: bytes
    ) -> tuple[int, bytes] | None:
        """One fragment; the protocol and octets of the datagram if that makes it whole."""
        waiting = self._datagram(key, number, now)
        if offset == 0:
            waiting.protocol = protocol
        if waiting.spoilt or not self._fits(waiting, offset, octets, last):
            waiting.spoilt = True
            waiting.pieces.clear()
            return None
        if waiting.end < 0 or waiting.held < waiting.end or waiting.protocol < 0:
            return None
        del self._waiting[key]
        return waiting.protocol, b"".join(octets for _, octets in sorted(waiting.pieces.items()))

    def end(self) -> None:
        """Nothing more will come."""
        self.given_up += self._waiting.values()
        self._waiting.clear()

    def _datagram(self, key: Key, number: int, now: WallClock) -> Waiting:
        waiting = self._waiting.get(key)
        if waiting is not None and abs(now - waiting.begun) <= PATIENCE:
            return waiting
        if waiting is not None:
            self.given_up.append(self._waiting.pop(key))
        elif len(self._waiting) >= MOST:
            oldest = next(iter(self._waiting))
            self.given_up.append(self._waiting.pop(oldest))
        waiting = self._waiting[key] = Waiting(now, number)
        return waiting

    def _fits(self, waiting: Waiting, offset: int, octets: bytes, last: bool) -> bool:
        """Take the piece; False if it contradicts what is here."""
        stop = offset + len(octets)
        if stop > _LONGEST or (len(octets) % 8 and not last) or not octets:
            return False
        if last:
            if waiting.end not in (-1, stop):
                return False
            waiting.end = stop
        if 0 <= waiting.end < stop:
            return False
        if waiting.pieces.get(offset) == octets:
            return True
        if any(begin < stop and offset < begin + len(piece) for begin, piece in waiting.pieces.items()):
            return False
        waiting.pieces[offset] = octets
        waiting.held += len(octets)
        return all(begin + len(piece) <= waiting.end for begin, piece in waiting.pieces.items()) if last else True
