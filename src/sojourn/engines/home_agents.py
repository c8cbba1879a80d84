"""The Home Agents List of a link (RFC 6275 10.1, 10.5.1), and the anycast address that all of them listen to."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.engines.entropy import Entropy
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6275_discovery import HomeAgentDiscoveryFlags, HomeAgentInformation
from sojourn.wire.icmpv6 import (
    NdOption,
    PrefixInformation,
    PrefixInformationFlags,
    RouterAdvertisement,
    RouterAdvertisementFlags,
)
from sojourn.wire.units import Duration, Instant

_REPLY_MAX = (1280 - 40 - 8) // 16
"""Addresses in one reply: it fits into the least MTU (RFC 6275 10.5.1)."""
AGENTS_MAX = 64
"""Home agents of one link that are remembered, and addresses of each."""
_ANYCAST = 126
"""The anycast identifier of home agents (RFC 2526 4)."""


@dataclass(slots=True)
class HomeAgent:
    """A home agent of the link."""

    addresses: dict[Address, Instant]
    """Global ones, and until when their prefixes are valid."""
    preference: int
    expires: Instant
    routers: bool
    """It serves mobile routers (RFC 3963 7.3)."""


class HomeAgentsList:
    """By link-local address. Nothing expires by itself: who looks says what time it is."""

    def __init__(self) -> None:
        self._agents: dict[Address, HomeAgent] = {}

    def __len__(self) -> int:
        return len(self._agents)

    def learn(self, router: Address, advertisement: RouterAdvertisement, now: Instant) -> None:
        """RFC 6275 10.5.1, step by step: `router` is the link-local source."""
        agent = self._agents.get(router)
        preference, lifetime, routers = _information(advertisement)
        if not advertisement.flags & RouterAdvertisementFlags.HOME_AGENT or lifetime == 0:
            self._agents.pop(router, None)
            return
        if agent is None:
            self._drop_expired(now)
            if len(self._agents) >= AGENTS_MAX:
                return
            agent = self._agents[router] = HomeAgent({}, preference, now + lifetime, routers)
        agent.preference, agent.expires, agent.routers = preference, now + lifetime, routers
        for option in advertisement.options:
            address = router_address(option)
            if address is not None and (address in agent.addresses or len(agent.addresses) < AGENTS_MAX):
                agent.addresses[address] = now + valid_of(option)

    def listed(
        self, own: tuple[Address, int], now: Instant, entropy: Entropy, routers: bool = False
    ) -> tuple[Address, ...]:
        """Their addresses, the preferred first, equal ones in an order that is another one every time.

        `own` is this home agent's address and preference; with `routers` only who serves mobile routers.
        """
        self._drop_expired(now)
        chosen = [own]
        for agent in self._agents.values():
            if agent.routers or not routers:
                valid = [address for address, until in agent.addresses.items() if until > now]
                chosen += [(address, agent.preference) for address in valid]
        chosen.sort(key=lambda known: (-known[1], entropy.take(8)))
        return tuple(dict.fromkeys(address for address, _ in chosen))[:_REPLY_MAX]

    def _drop_expired(self, now: Instant) -> None:
        for router in [router for router, agent in self._agents.items() if agent.expires <= now]:
            del self._agents[router]


def _information(advertisement: RouterAdvertisement) -> tuple[int, Duration, bool]:
    """Preference, lifetime and service for mobile routers, with their defaults (RFC 6275 7.4, 10.5.1)."""
    for option in advertisement.options:
        if isinstance(option, HomeAgentInformation):
            preference = option.preference - (option.preference >> 15 << 16)  # 16 bits, signed
            return preference, option.lifetime, bool(option.flags & HomeAgentDiscoveryFlags.R)
    return 0, advertisement.lifetime, False


def router_address(option: NdOption) -> Address | None:
    """The router's own global address in a Prefix Information with flag R (RFC 6275 7.2)."""
    if isinstance(option, PrefixInformation) and option.flags & PrefixInformationFlags.ROUTER_ADDRESS:
        return option.address
    return None


def valid_of(option: NdOption) -> Duration:
    """The valid lifetime in it."""
    return option.valid if isinstance(option, PrefixInformation) else 0


def home_agents_anycast(prefix: Prefix) -> Address:
    """The Mobile IPv6 Home-Agents anycast address of a link; in identifiers of 64 bits U/L is 0 (RFC 2526 2)."""
    host = (1 << (128 - prefix.length)) - 128 + _ANYCAST
    if prefix.length == 64:
        host &= ~(1 << 57)
    return (int.from_bytes(prefix.address, "big") | host).to_bytes(16, "big")
