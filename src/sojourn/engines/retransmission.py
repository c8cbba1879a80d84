"""Requests that are repeated until they are answered (RFC 6275 11.8, RFC 8885 3.6), and the pacing of fan-out.

The first repetition comes after four smoothed round trips to that destination, at least 50 ms and at most
INITIAL_BINDACK_TIMEOUT; then the time doubles up to MAX_BINDACK_TIMEOUT. No more than MAX_UPDATE_RATE messages a second
go to one destination about one mobile node: one that comes too early waits, and only the latest of those that wait is
sent. Each transmission has a new sequence number (RFC 6275 11.8) and an answer to any of them counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from sojourn.core.effects import SendMessage
from sojourn.core.sequence import following
from sojourn.engines.base import TokenBucket
from sojourn.engines.configuration import RetransmissionConstants
from sojourn.wire import BindingUpdate
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant

Key: TypeAlias = tuple[str, bytes, Address, Prefix | Address | int | None]
"""What it is for, the mobile node, the destination, and the one prefix or binding that it is about, if it is so."""
About: TypeAlias = tuple[bytes, Address]
"""A mobile node and a destination: what the rate is limited for."""

_REVIVED = 256
"""Destinations whose latest return is remembered."""


class Outstanding(Struct, gc=False):
    """One request on its way."""

    key: Key
    update: BindingUpdate
    first_sequence: int
    timeout: Duration
    bulk: bool = False
    """It may wait while others are in a hurry: it has a pace of its own."""
    sent: Instant = -1
    """Of the last transmission; -1 while the next one waits for its turn."""
    attempts: int = 0
    turn: Instant = -1
    """When the pace allows the next transmission; -1 as long as it did not ask."""


class Retransmission:
    """All outstanding requests of one engine, which speaks from the address `source`.

    `do(effect)` asks for a transmission; `wake(name, instant)` asks for a call of `due(key)` then, `sleep(name)` takes
    that back; `name` is ``("request", key)``. `renew(update)` is what goes out in its place, as an update may have to
    tell the latest time; `envelope(key, update)` is how, if not plainly from `source`. Round trips are kept per
    destination and purpose, because a relayed answer takes longer.
    """

    def __init__(
        self,
        constants: RetransmissionConstants,
        source: Address,
        do: Callable[[SendMessage], None],
        wake: Callable[[tuple[str, Key], Instant], None],
        sleep: Callable[[tuple[str, Key]], None],
        attempts: int | None = None,
        pacer: TokenBucket | None = None,
        bulk_pacer: TokenBucket | None = None,
        renew: Callable[[BindingUpdate], BindingUpdate] | None = None,
        envelope: Callable[[Key, BindingUpdate], SendMessage] | None = None,
    ) -> None:
        self._constants = constants
        self._longest = constants.initial_bindack_timeout
        """Of first timeouts."""
        self._repeats = constants.repeats
        self._shortest = min(constants.min_bindack_timeout, self._longest)
        self._source = source
        self._do = do
        self._wake = wake
        self._sleep = sleep
        self._attempts = attempts
        self._pacer = pacer
        self._bulk_pacer = bulk_pacer
        self._renew = renew
        self._envelope = envelope or self._plain
        self._outstanding: dict[Key, Outstanding] = {}
        self._round_trips: dict[tuple[str, Address], Duration] = {}
        self._revived: dict[Address, Instant] = {}
        """When destinations that had been silent were heard of."""
        self._recent: dict[About, tuple[Instant, ...]] = {}
        """The latest transmissions since `_since`."""
        self._before: dict[About, tuple[Instant, ...]] = {}
        """Those of at least a second before that."""
        self._since: Instant = -SECOND
        self.limits: dict[Address, tuple[Duration, Duration]] = {}
        """The first timeout and the longest one, where a destination says so (RFC 8127 3.1.1)."""

    def __len__(self) -> int:
        return len(self._outstanding)

    def pace(self, bulk_pacer: TokenBucket) -> None:
        """What is not urgent has this pace from now on."""
        self._bulk_pacer = bulk_pacer

    def get(self, key: Key) -> Outstanding | None:
        """What is outstanding under `key`."""
        return self._outstanding.get(key)

    def start(self, key: Key, update: BindingUpdate, now: Instant, bulk: bool = False, patience: Duration = 0) -> None:
        """Send `update` now or as soon as rate and pace allow; it replaces an earlier request under `key`.

        `patience`: the first timeout, where an answer takes longer than a round trip.
        """
        timeout = 4 * self._round_trips.get((key[0], key[2]), self._longest)
        if key[2] in self.limits:
            timeout = self.limits[key[2]][0]
        elif timeout > self._longest:
            timeout = self._longest
        elif timeout < self._shortest:
            timeout = self._shortest
        timeout = patience or timeout
        request = self._outstanding[key] = Outstanding(key, update, update.sequence, timeout, bulk)
        self._transmit(request, now)

    def answered(self, key: Key, sequence: int, now: Instant) -> BindingUpdate | None:
        """The request that the answer belongs to, which is done with; None when there is none."""
        request = self._outstanding.get(key)
        if request is None or request.attempts == 0:
            return None
        update = request.update
        if sequence == update.sequence:
            if request.sent >= 0 and self._round_trips.get((key[0], key[2])) != now - request.sent:
                self.learn(key[0], key[2], now - request.sent)
        elif (sequence - request.first_sequence) % 65536 > (update.sequence - request.first_sequence) % 65536:
            return None
        self._forget(key, request)
        if request.attempts > 1 and self._outstanding:
            self._revive(key[2], now)
        return update

    def _revive(self, destination: Address, now: Instant) -> None:
        """Whoever did not answer does again: what else it was told in vain is due now. Once in a second at most."""
        if now - self._revived.get(destination, -SECOND) >= SECOND:
            if len(self._revived) >= _REVIVED:
                self._revived.clear()
            self._revived[destination] = now
            for key in [key for key in self._outstanding if key[2] == destination]:
                self.hasten(key, now)

    def begin_anew(self, destination: Address, now: Instant) -> None:
        """All that is outstanding there is sent again, as if it had just begun: what was sent so far was in vain."""
        for key, request in list(self._outstanding.items()):
            if key[2] == destination:
                self.start(key, request.update, now, request.bulk)

    def cancel(self, key: Key) -> None:
        """Nobody waits for an answer under `key` any more."""
        request = self._outstanding.get(key)
        if request is not None:
            self._forget(key, request)

    def _forget(self, key: Key, request: Outstanding) -> None:
        del self._outstanding[key]
        if self._repeats or request.sent < 0:
            self._sleep(("request", key))

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
            limits = self.limits.get(key[2])
            request.timeout = min(2 * request.timeout, limits[1] if limits else self._constants.max_bindack_timeout)
        self._transmit(request, now)
        return None

    def hasten(self, key: Key, now: Instant) -> None:
        """Whoever did not answer is heard of again: what it was told in vain is due now, and waits begin anew."""
        request = self._outstanding.get(key)
        if request is not None and request.attempts > 1 and request.sent >= 0:
            half = 2 * self._round_trips.get((key[0], key[2]), self._longest)
            request.timeout = max(min(half, self._longest // 2), self._shortest // 2)  # `due` doubles it
            request.attempts = 1
            self._wake(("request", key), now)

    def _transmit(self, request: Outstanding, now: Instant) -> None:
        key = request.key
        about = key[1:3]
        if now - self._since >= SECOND:
            self._before = self._recent if now - self._since < 2 * SECOND else {}
            self._recent = {}
            self._since = now
        earlier = self._recent.get(about) or self._before.get(about)
        pacer = self._bulk_pacer if request.bulk else self._pacer
        allowed = now if earlier is None and pacer is None else self._allowed(request, earlier or (), now)
        if allowed > now:
            self._wake(("request", key), allowed)
            if request.sent >= 0:  # keep the sequence number for the transmission that is still to come
                request.sent = -1
            return
        request.sent = now
        request.turn = -1
        request.attempts += 1
        if self._renew is not None:
            request.update = self._renew(request.update)
        self._recent[about] = (*earlier[1 - self._constants.max_update_rate :], now) if earlier else (now,)
        self._do(self._envelope(key, request.update))
        if self._repeats:
            self._wake(("request", key), now + request.timeout)

    def _plain(self, key: Key, update: BindingUpdate) -> SendMessage:
        return SendMessage(update, self._source, key[2])

    def _allowed(self, request: Outstanding, earlier: tuple[Instant, ...], now: Instant) -> Instant:
        """When the next transmission may leave, as rate and pace say."""
        if len(earlier) >= self._constants.max_update_rate and earlier[0] + SECOND > now:
            return earlier[0] + SECOND
        pacer = self._bulk_pacer if request.bulk else self._pacer
        if pacer is not None and request.turn < 0:
            request.turn = pacer.reserve(now)
        return request.turn

    def learn(self, purpose: str, destination: Address, sample: Duration) -> None:
        """A round trip was seen. Rise at once and fall slowly: a late repetition costs little, an early one a lot."""
        known = self._round_trips.get((purpose, destination), 0)
        self._round_trips[purpose, destination] = max(sample, known + (sample - known) // 8)
