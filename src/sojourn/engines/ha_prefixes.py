"""A home agent tells its mobile nodes about the prefixes of the home link, and who else is a home agent there.

Mobile Prefix Solicitations and Advertisements (RFC 6275 10.6), home agent address discovery (10.5).
"""

from __future__ import annotations

from sojourn.core.effects import AdvertisedPrefix
from sojourn.core.events import Icmpv6Received
from sojourn.core.mobile_effects import SendIcmpv6
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.ha_state import HaState
from sojourn.engines.mip6_configuration import PREFIX_ADV_RETRIES, PREFIX_ADV_TIMEOUT
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6275_discovery import (
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    HomeAgentDiscoveryFlags,
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
)
from sojourn.wire.icmpv6 import PrefixInformation, PrefixInformationFlags, RouterAdvertisement
from sojourn.wire.units import SECOND, Duration

_FLAGS = int(PrefixInformationFlags.ON_LINK | PrefixInformationFlags.AUTONOMOUS)


class HaPrefixes(HaState):
    """The home agent as the one that knows the home link."""

    def _on_icmpv6(self, event: Icmpv6Received) -> None:
        match event.message:
            case RouterAdvertisement() as advertisement if event.interface == self.configuration.interface:
                self.agents.learn(event.source, advertisement, self._now)
            case HomeAgentAddressDiscoveryRequest() as request:
                self._on_discovery(request, event.source)
            case MobilePrefixSolicitation() as solicitation:
                self._on_solicitation(solicitation, event)
            case _:
                pass

    # --- home agents (RFC 6275 10.5) --------------------------------------------------------------------------------

    def _on_discovery(self, request: HomeAgentAddressDiscoveryRequest, source: Address) -> None:
        """The reply may be longer than the request, so strangers get few of them."""
        if not self._strangers.take(self._now):
            return
        routers = bool(request.flags & HomeAgentDiscoveryFlags.R) and self.configuration.mobile_routers
        own = self._address, self.configuration.preference
        addresses = self.agents.listed(own, self._now, self._entropy, routers)
        flags = int(HomeAgentDiscoveryFlags.R) if routers else 0
        reply = HomeAgentAddressDiscoveryReply(request.identifier, flags, addresses)
        self._do(SendIcmpv6(reply, self._address, source))

    # --- prefixes (RFC 6275 10.6) -----------------------------------------------------------------------------------

    def _on_solicitation(self, solicitation: MobilePrefixSolicitation, event: Icmpv6Received) -> None:
        """Answered at once, for a binding that has this care-of address; it acknowledges what was sent before."""
        entry = self._active(event.home_address or b"")
        if entry is None or entry.care_of != event.source:
            self._report("solicitation-discarded", source=event.source)
            return
        self._timers.stop(("prefixes", entry.home))
        self._delivered.pop(entry.home, None)
        self._advertise(entry, solicitation.identifier, event.source)

    def _advertise(self, entry: BindingCacheEntry, identifier: int, destination: Address) -> None:
        """All prefixes, always (RFC 6275 10.6.2)."""
        options = tuple(
            PrefixInformation.of(known.prefix, _FLAGS, known.valid, known.preferred) for known in self.prefixes.values()
        )
        message = MobilePrefixAdvertisement(identifier, options=options)
        self._do(SendIcmpv6(message, self._address, destination, routed_to=entry.home))

    def _change_prefix(self, prefix: Prefix, preferred: Duration, valid: Duration) -> None:
        """The lifetimes of a prefix of the home link are others from now on; 0: it is no longer valid."""
        if valid:
            self.prefixes[prefix] = AdvertisedPrefix(prefix, min(preferred, valid), valid)
        elif self.prefixes.pop(prefix, None) is None:
            return
        for entry in list(self.cache.values()):
            if entry.state is not BindingState.ACTIVE:
                continue
            if prefix.covers(entry.home) and self._now + valid < entry.expires:
                entry.expires = self._now + valid  # RFC 6275 10.3.1: "MUST remove a binding when ..."
                self._timers.start(("expiry", entry.home), entry.expires)
            self._schedule(entry, preferred)

    def _schedule(self, entry: BindingCacheEntry, preferred: Duration) -> None:
        """RFC 6275 10.6.2: at a random time, so that not all nodes are told at once."""
        if ("prefixes", entry.home) in self._timers:
            return
        least = self.configuration.min_mobile_prefix_interval
        spread = abs(min(self.configuration.max_mobile_prefix_interval, preferred) - least) // SECOND
        self._delivered[entry.home] = 0
        self._after(least + self._entropy.below(max(spread, 1)) * SECOND, "prefixes", entry.home)

    def _on_prefixes_due(self, entry: BindingCacheEntry) -> None:
        """Sent, and repeated with doubling pauses until the node solicits."""
        sent = self._delivered.get(entry.home, 0)
        if sent > PREFIX_ADV_RETRIES:
            del self._delivered[entry.home]
            return
        self._delivered[entry.home] = sent + 1
        self._after(PREFIX_ADV_TIMEOUT << sent, "prefixes", entry.home)
        self._advertise(entry, self._entropy.below(1 << 16), entry.home)
