"""Requests that are repeated until they are answered (RFC 6275 11.8, RFC 8885 3.6), and the pacing of fan-out.

The first repetition comes after four smoothed round trips to that destination, at least 50 ms and at most
INITIAL_BINDACK_TIMEOUT; then the time doubles up to MAX_BINDACK_TIMEOUT. No more than MAX_UPDATE_RATE messages a second
go to one destination about one mobile node: one that comes too early waits, and only the latest of those that wait is
sent. Each transmission has a new sequence number (RFC 6275 11.8) and an answer to any of them counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sojourn.core.sequence import following
from sojourn.engines.base import TokenBucket
from sojourn.engines.configuration import RetransmissionConstants
from sojourn.wire import BindingUpdate
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant

Key: TypeAlias = tuple[str, bytes, Address, Prefix | None]
"""What it is for, the mobile node, the destination, and the one prefix that it is about, if it is about one."""


@dataclass(slots=True)
class Outstanding:
    """One request on its way."""

    key: Key
    update: BindingUpdate
    first_sequence: int
    timeout: Duration
    sent: Instant = -1
    """Of the last transmission; -1 while the next one waits for its turn."""
    attempts: int = 0
    bulk: bool = False
    """It may wait while others are in a hurry: it has a pace of its own."""
    turn: Instant = -1
    """When the pace allows the next transmission; -1 as long as it did not ask."""


class Retransmission:
    """All outstanding requests of one engine.

    `send(update, destination)` transmits; `wake(key, instant)` asks for a call of `due(key)` then, `sleep(key)` takes
    that back; `renew(update)` is what goes out in its place, as an update may have to tell the latest time. Round trips
    are kept per destination and purpose, because a relayed answer takes longer.
    """

    def __init__(
        self,
        constants: RetransmissionConstants,
        send: Callable[[BindingUpdate, Address], None],
        wake: Callable[[Key, Instant], None],
        sleep: Callable[[Key], None],
        attempts: int | None = None,
        pacer: TokenBucket | None = None,
        bulk_pacer: TokenBucket | None = None,
        renew: Callable[[BindingUpdate], BindingUpdate] | None = None,
    ) -> None:
        self._constants = constants
        self._send = send
        self._wake = wake
        self._sleep = sleep
        self._attempts = attempts
        self._pacer = pacer
        self._bulk_pacer = bulk_pacer
        self._renew = renew
        self._outstanding: dict[Key, Outstanding] = {}
        self._round_trips: dict[tuple[str, Address], Duration] = {}
        self._recent: dict[tuple[bytes, Address], list[Instant]] = {}

    def __len__(self) -> int:
        return len(self._outstanding)

    def get(self, key: Key) -> Outstanding | None:
        """What is outstanding under `key`."""
        return self._outstanding.get(key)

    def start(self, key: Key, update: BindingUpdate, now: Instant, *, bulk: bool = False) -> None:
        """Send `update` now or as soon as rate and pace allow; it replaces an earlier request under `key`."""
        request = Outstanding(key, update, update.sequence, self._first_timeout(key), bulk=bulk)
        self._outstanding[key] = request
        self._transmit(request, now)

    def answered(self, key: Key, sequence: int, now: Instant) -> BindingUpdate | None:
        """The request that the answer belongs to, which is done with; None when there is none."""
        request = self._outstanding.get(key)
        if request is None or request.attempts == 0:
            return None
        span = (request.update.sequence - request.first_sequence) % 65536
        if (sequence - request.first_sequence) % 65536 > span:
            return None
        if sequence == request.update.sequence and request.sent >= 0:
            self.learn(key[0], key[2], now - request.sent)
        self.cancel(key)
        return request.update

    def cancel(self, key: Key) -> None:
        """Nobody waits for an answer under `key` any more."""
        if self._outstanding.pop(key, None) is not None:
            self._sleep(key)

    def due(self, key: Key, now: Instant) -> Outstanding | None:
        """Its time has come: sent again. A request that used up its attempts is dropped and returned."""
        request = self._outstanding.get(key)
        if request is None:
            return None
        if request.sent >= 0:
            if self._attempts is not None and request.attempts >= self._attempts:
                del self._outstanding[key]
                return request
            update = request.update
            request.update = BindingUpdate(following(update.sequence), update.flags, update.lifetime, update.options)
            request.timeout = min(2 * request.timeout, self._constants.max_bindack_timeout)
        self._transmit(request, now)
        return None

    def _transmit(self, request: Outstanding, now: Instant) -> None:
        allowed = self._allowed(request, now)
        if allowed > now:
            self._wake(request.key, allowed)
            if request.sent >= 0:  # keep the sequence number for the transmission that is still to come
                request.sent = -1
            return
        request.sent = now
        request.turn = -1
        request.attempts += 1
        self._note(request.key, now)
        if self._renew is not None:
            request.update = self._renew(request.update)
        self._send(request.update, request.key[2])
        self._wake(request.key, now + request.timeout)

    def _allowed(self, request: Outstanding, now: Instant) -> Instant:
        recent = self._recent.get(request.key[1:3])
        if recent and len(recent) >= self._constants.max_update_rate and recent[0] + SECOND > now:
            return recent[0] + SECOND
        pacer = self._bulk_pacer if request.bulk else self._pacer
        if pacer is not None and request.turn < 0:
            request.turn = pacer.reserve(now)
        return max(request.turn, now)

    def _note(self, key: Key, now: Instant) -> None:
        """Remember the time of a transmission; forget, in order of age, what is older than a second."""
        recent = self._recent.pop(key[1:3], [])
        self._recent[key[1:3]] = [*recent, now][-self._constants.max_update_rate :]
        while len(self._recent) > 1:
            oldest = next(iter(self._recent))
            if self._recent[oldest][-1] + SECOND > now:
                break
            del self._recent[oldest]

    def _first_timeout(self, key: Key) -> Duration:
        constants = self._constants
        round_trip = self._round_trips.get((key[0], key[2]))
        if round_trip is None:
            return constants.initial_bindack_timeout
        return min(max(constants.min_bindack_timeout, 4 * round_trip), constants.initial_bindack_timeout)

    def learn(self, purpose: str, destination: Address, sample: Duration) -> None:
        """A round trip was seen. Rise at once and fall slowly: a late repetition costs little, an early one a lot."""
        known = self._round_trips.get((purpose, destination), 0)
        self._round_trips[purpose, destination] = max(sample, known + (sample - known) // 8)
