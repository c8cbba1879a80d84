"""The prefixes that an LMA owns: pools to give from, and those that belong to certain nodes (RFC 5213 5.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sojourn.engines.configuration import HomeProfile, LmaConfiguration
from sojourn.engines.home_ipv4 import HomeIpv4
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import Instant

_SCATTER = 0x9E3779B1
"""An odd number without a pattern: what it is multiplied with lies far from its neighbours (Knuth, TAOCP 3, 6.4)."""


class HomePrefixes:
    """Gives each prefix to one session at a time. `in_use` says whether a session has it."""

    def __init__(self, configuration: LmaConfiguration, in_use: Callable[[Prefix], bool]) -> None:
        length, quarantine = configuration.prefix_length, configuration.quarantine
        self._pools = [PrefixPool(pool, length, quarantine) for pool in configuration.pools]
        self.ipv4 = HomeIpv4(configuration)
        self._all = self._pools if self.ipv4.pool is None else [*self._pools, self.ipv4.pool]
        self._in_use = in_use
        self._open = list(self._all)
        """From the others nothing is given any more."""
        self._most = configuration.prefixes_per_session
        self._reserved = {prefix for profile in configuration.profiles for prefix in profile.prefixes}
        for prefix in self._reserved:
            for pool in self._pools:
                pool.claim(prefix)

    def assign(self, profile: HomeProfile, now: Instant, owner: bytes = b"") -> tuple[Prefix, ...]:
        """Prefixes for a new session (5.3.2, 1.), those that `owner` had if nobody else does; none when there are none.

        A node that was away for a moment too long has still valid addresses of these.
        """
        if profile.prefixes and not any(map(self._in_use, profile.prefixes)):
            return profile.prefixes
        if not profile.dynamic:
            return ()
        given: list[Prefix] = []
        while len(given) < profile.count:
            prefix = self._allocate(now, _of(owner, len(given)))
            if prefix is None:
                self.release(given, now)
                return ()
            given.append(prefix)
        return tuple(given)

    def claim(self, profile: HomeProfile, wanted: tuple[Prefix, ...], now: Instant) -> bool:
        """Whether a new session may have these very prefixes, which are taken then (5.3.2, 3.)."""
        if len(wanted) > self._most or len(set(wanted)) < len(wanted) or any(map(self._in_use, wanted)):
            return False
        own = profile.prefixes
        dynamic = [prefix for prefix in wanted if prefix not in own]
        return (profile.dynamic or not dynamic) and self._take(dynamic, now)

    def other(self, prefixes: tuple[Prefix, ...], now: Instant) -> tuple[Prefix, ...]:
        """As many new ones from the pools (RFC 8191 3); none if there are not so many, or they are the node's own."""
        given: list[Prefix] = []
        while len(given) < len(prefixes) and self._reserved.isdisjoint(prefixes):
            prefix = self._allocate(now)
            if prefix is None:
                self.release(given, now)
                return ()
            given.append(prefix)
        return tuple(given)

    def close(self, words: str) -> Prefix | None:
        """Give nothing from the pool that is written so, until the next start; None when there is no such pool."""
        found = next((pool for pool in self._pools if str(pool.pool) == words), None)
        if found is None:
            return None
        self._open = [pool for pool in self._open if pool is not found]
        return found.pool

    def reclaim(self, prefixes: Iterable[Prefix], now: Instant) -> bool:
        """After a restart: whether a session may keep what it had. A prefix may not be ours any more."""
        if self._reserved:
            prefixes = [prefix for prefix in prefixes if prefix not in self._reserved]
        return self._take(prefixes, now)

    def _take(self, prefixes: Iterable[Prefix], now: Instant) -> bool:
        """All of them or none."""
        taken: list[Prefix] = []
        for prefix in prefixes:
            for pool in self._open:
                if pool.claim(prefix):
                    break
            else:
                self.release(taken, now)
                return False
            taken.append(prefix)
        return True

    def release(self, prefixes: Iterable[Prefix], now: Instant, *, rest: bool = True, owner: bytes = b"") -> None:
        """Nobody uses these any more; those that nobody ever used need not `rest`. `owner` had them and may return."""
        for index, prefix in enumerate(prefixes):
            if prefix not in self._reserved:
                for pool in self._all:
                    pool.release(prefix, now, rest=rest, owner=_of(owner, index))

    def begin_elsewhere(self, number: int) -> None:
        """We gave out some and do not know which: the next ones come from somewhere else, and far away."""
        for pool in self._all:
            pool.skip(number * _SCATTER)

    def _allocate(self, now: Instant, owner: bytes = b"") -> Prefix | None:
        for pool in self._pools:
            prefix = pool.allocate(now, owner) if pool in self._open else None
            if prefix is not None:
                return prefix
        return None


def _of(owner: bytes, index: int) -> bytes:
    """The name of one of its prefixes."""
    return owner and bytes((index,)) + owner
