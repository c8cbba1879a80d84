"""IPv6 addresses from DNS (`ResolveName`): of a host, or of those that offer a service (``_mip6._ipv6.example.net``,
RFC 5026 5.1.2). dnspython is met here alone, and loaded by the first question.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from sojourn.core.events import NameResolved

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as Asking

_PATIENCE = 5.0
"""Seconds that all servers together may take."""
_NAMES_MAX = 16
"""Questions under way."""
_ADDRESSES_MAX = 16
"""Taken from one answer."""
_SERVERS_MAX = 8
"""Of one service that are asked for."""


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

        found: list[bytes] = []
        try:
            resolver = dns.asyncresolver.Resolver(configure=self._servers is None)
            if self._servers is not None:
                resolver.nameservers, resolver.port = list(self._servers[0]), self._servers[1]
            resolver.lifetime = _PATIENCE
            async with asyncio.timeout(_PATIENCE):
                for host in await _offering(resolver, name) if name.startswith("_") else [name]:
                    found += await _of_host(resolver, host)
        except (dns.exception.DNSException, OSError, TimeoutError):
            pass
        return tuple(dict.fromkeys(found))[:_ADDRESSES_MAX]


async def _offering(resolver: Asking, service: str) -> list[str]:
    """The hosts, in the order that priorities and weights ask for (RFC 2782). Raises DNSException."""
    answer = await resolver.resolve(service, "SRV", search=False)
    records = [record for record in answer if record.target.to_text() != "."]
    # Exponential times with the weights as rates: who is first has probability weight / sum of weights.
    records.sort(key=lambda record: (record.priority, random.expovariate(record.weight or 0.01)))
    return [record.target.to_text() for record in records[:_SERVERS_MAX]]


async def _of_host(resolver: Asking, host: str) -> list[bytes]:
    """None where there is none, so that the next one counts. Raises DNSException."""
    import dns.resolver

    try:
        answer = await resolver.resolve(host, "AAAA", search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    return [ipaddress.IPv6Address(record.address).packed for record in answer]
