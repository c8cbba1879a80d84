"""IPv6 addresses of hosts from DNS (`ResolveName`). dnspython is met here alone, and loaded by the first question."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable

from sojourn.core.events import NameResolved

_PATIENCE = 5.0
"""Seconds that all servers together may take."""
_NAMES_MAX = 16
"""Questions under way."""
_ADDRESSES_MAX = 16
"""Taken from one answer."""


class Resolver:
    """`told` hears every answer; one without addresses when there is none in time, or no server.

    `servers`: addresses and port in place of those of /etc/resolv.conf.
    """

    def __init__(self, told: Callable[[NameResolved], None], servers: tuple[list[str], int] | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self._told = told
        self._servers = servers
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def ask(self, name: str) -> None:
        """A question that is under way already is not asked twice. Needs a running loop."""
        if name not in self._under_way and len(self._under_way) < _NAMES_MAX:
            self._under_way[name] = asyncio.get_running_loop().create_task(self._answer(name))

    def close(self) -> None:
        """Nobody waits for answers any more."""
        for task in self._under_way.values():
            task.cancel()

    async def _answer(self, name: str) -> None:
        addresses = await self._look_up(name)
        del self._under_way[name]
        self.counters["names-resolved" if addresses else "names-unresolved"] += 1
        self._told(NameResolved(name, addresses))

    async def _look_up(self, name: str) -> tuple[bytes, ...]:
        import dns.asyncresolver
        import dns.exception

        try:
            resolver = dns.asyncresolver.Resolver(configure=self._servers is None)
            if self._servers is not None:
                resolver.nameservers, resolver.port = list(self._servers[0]), self._servers[1]
            answer = await resolver.resolve(name, "AAAA", lifetime=_PATIENCE, search=False)
        except (dns.exception.DNSException, OSError):
            return ()
        found = (ipaddress.IPv6Address(record.address).packed for record in answer)
        return tuple(found)[:_ADDRESSES_MAX]
