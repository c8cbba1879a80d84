"""A mobile node looks for home agents, and asks about the prefixes at home (RFC 6275 11.4)."""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.events import Icmpv6Received
from sojourn.core.mobile_effects import ResolveName, SendIcmpv6
from sojourn.engines.home_agents import home_agents_anycast
from sojourn.engines.mip6_configuration import (
    DHAAD_RETRIES,
    INITIAL_DHAAD_TIMEOUT,
    INITIAL_SOLICIT_TIMER,
    MAX_BINDACK_TIMEOUT,
)
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_state import HomeEntry, MnState, Place
from sojourn.wire import Status
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6275_discovery import (
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    HomeAgentDiscoveryFlags,
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
)
from sojourn.wire.icmpv6 import INFINITE, PrefixInformation
from sojourn.wire.units import MINUTE, Duration

AGENTS_MAX = 16
"""Taken from one reply."""
_AGAIN: Duration = 2 * MINUTE
"""Nobody answered: it is tried again after this time."""
_BEFORE_END: Duration = 1 * MINUTE
"""So long before the home address ends it is asked whether that is so (RFC 6275 11.4.2)."""


class MnDiscovery(MnState):
    """The mobile node as the one that asks about its home."""

    # --- home agents (RFC 6275 11.4.1) --------------------------------------------------------------------------------

    def _discover(self, entry: HomeEntry) -> None:
        """Ask the anycast address of the home link; each repetition waits twice as long as the one before."""
        if ("dhaad", entry.address) not in self._timers:
            entry.tries, entry.identifier = 0, self._entropy.below(1 << 16)
            self._ask_for_agents(entry)

    def _ask_for_agents(self, entry: HomeEntry) -> None:
        if entry.place is not Place.AWAY or entry.care_of is None or entry.agent is not None:
            return
        if entry.tries > DHAAD_RETRIES:
            self._report("no-home-agent", home=entry.address)
            entry.tries = 0
            self._after(_AGAIN, "dhaad", entry.address)
            return
        if entry.tries == 0 and entry.home.agent_name:
            self._do(ResolveName(entry.home.agent_name))
            self._after(INITIAL_DHAAD_TIMEOUT, "dhaad", entry.address)
            entry.tries = 1
            return
        flags = int(HomeAgentDiscoveryFlags.R) if entry.home.router else 0
        request = HomeAgentAddressDiscoveryRequest(entry.identifier, flags)
        self._do(SendIcmpv6(request, entry.care_of, home_agents_anycast(entry.home.prefix)))
        self._after(INITIAL_DHAAD_TIMEOUT << entry.tries, "dhaad", entry.address)
        entry.tries += 1

    def _on_agents(self, reply: HomeAgentAddressDiscoveryReply) -> None:
        """In the order of the reply, unless it is not an answer to what was asked."""
        for entry in self.homes.values():
            if entry.identifier != reply.identifier or ("dhaad", entry.address) not in self._timers:
                continue
            if entry.home.router and not reply.flags & HomeAgentDiscoveryFlags.R:
                continue  # none of them serves mobile routers (RFC 3963 5.4)
            self._take_agents(entry, reply.addresses)

    def _on_name_resolved(self, name: str, addresses: tuple[Address, ...]) -> None:
        """RFC 5026 5.1.1. When DNS knows none, the home link is asked at once."""
        for entry in self.homes.values():
            if entry.home.agent_name != name or ("dhaad", entry.address) not in self._timers:
                continue
            if not self._take_agents(entry, addresses) and entry.tries == 1:
                self._ask_for_agents(entry)

    def _take_agents(self, entry: HomeEntry, addresses: Iterable[Address]) -> bool:
        named = [agent for agent in dict.fromkeys(addresses) if routable(agent)][:AGENTS_MAX]
        found = [agent for agent in named if agent not in entry.taken_at]
        if not named:
            return False
        if not found:
            self._timers.stop(("dhaad", entry.address))
            self._stop(entry, f"status {int(Status.DUPLICATE_ADDRESS_DETECTION_FAILED)}")
            return True
        self._timers.stop(("dhaad", entry.address))
        entry.agent, entry.agents = found[0], tuple(found[1:])
        self._report("home-agents-found", home=entry.address, agents=len(found))
        self._register(entry)
        return True

    # --- prefixes (RFC 6275 11.4.2, 11.4.3) ---------------------------------------------------------------------------

    def _solicit_prefixes(self, entry: HomeEntry) -> None:
        if ("solicit", entry.address) not in self._timers:
            entry.tries = 0
            self._ask_for_prefixes(entry)

    def _ask_for_prefixes(self, entry: HomeEntry) -> None:
        if entry.place is not Place.AWAY or entry.care_of is None or entry.agent is None:
            return
        entry.identifier = self._entropy.below(1 << 16)
        solicitation = MobilePrefixSolicitation(entry.identifier)
        self._do(SendIcmpv6(solicitation, entry.care_of, entry.agent, home_address=entry.address))
        self._after(min(INITIAL_SOLICIT_TIMER << entry.tries, MAX_BINDACK_TIMEOUT), "solicit", entry.address)
        entry.tries = min(entry.tries + 1, DHAAD_RETRIES)

    def _on_prefixes(self, event: Icmpv6Received, advertisement: MobilePrefixAdvertisement) -> None:
        """11.4.3: from the home agent in charge, with a routing header, in answer to what was asked last.

        What nobody asked for is discarded, and asked for.
        """
        entry = self.homes.get(event.routed_to or b"")
        if entry is None or event.source != entry.agent or not entry.bound(self._now):
            self._report("prefixes-discarded", source=event.source)
            return
        if ("solicit", entry.address) not in self._timers or advertisement.identifier != entry.identifier:
            self._report("prefixes-discarded", source=event.source)
            self._solicit_prefixes(entry)
            return
        self._timers.stop(("solicit", entry.address))
        for option in advertisement.options:
            if isinstance(option, PrefixInformation) and option.prefix == entry.home.prefix and option.valid < INFINITE:
                entry.valid_until = self._now + option.valid
                if option.valid > _BEFORE_END:
                    self._after(option.valid - _BEFORE_END, "solicit-later", entry.address)
                self._shorten(entry)
        self._report("prefixes-learned", home=entry.address)

    def _on_discovery_timer(self, kind: str, entry: HomeEntry) -> None:
        if kind == "dhaad":
            self._ask_for_agents(entry)
        elif kind == "solicit":
            self._ask_for_prefixes(entry)
        elif kind == "solicit-later":
            self._solicit_prefixes(entry)
