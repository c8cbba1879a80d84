"""Where a mobile node is: movement detection, home link or not, and the care-of address (RFC 6275 11.5).

What the kernel does by itself, router discovery, address configuration and Duplicate Address Detection, is only
listened to. A router that was heard stays in use as long as it can be reached: another one on the link is a reason to
ask, not to move (11.5.1).
"""

from __future__ import annotations

from sojourn.core.events import AddressChanged, Icmpv6Received, LinkChanged, RouterProbed
from sojourn.core.mobile_effects import ProbeRouter, SendIcmpv6
from sojourn.engines.home_agents import router_address
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_state import TAKEN, CareOf, HomeEntry, Link, MnState, Router, Ways
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix, address
from sojourn.wire.extensions.rfc6275_discovery import AdvertisementInterval
from sojourn.wire.icmpv6 import (
    PrefixInformation,
    RouterAdvertisement,
    RouterAdvertisementFlags,
    RouterSolicitation,
)

ALL_ROUTERS = address("ff02::2")
ROUTERS_MAX = 16
"""Remembered of one link."""
ADDRESSES_MAX = 64
PREFIXES_MAX = 64
"""Remembered of one router."""


class MnMovement(MnState):
    """The mobile node as the one that moves."""

    # --- events -----------------------------------------------------------------------------------------------------

    def _on_link_changed(self, event: LinkChanged) -> None:
        """A link that went down leads nowhere; of one that came up nothing is known: it may be another one."""
        if event.interface not in self.links:
            return
        for router in self.links[event.interface].routers:
            self._stop_watching(event.interface, router)
        self.links[event.interface] = Link(event.up, event.link_layer)
        if event.up:
            self._do(SendIcmpv6(RouterSolicitation(), UNSPECIFIED, ALL_ROUTERS, event.interface))
        self._reconsider()

    def _on_advertisement(self, event: Icmpv6Received, advertisement: RouterAdvertisement) -> None:
        link = self.links.get(event.interface)
        if link is None:
            return
        link.up = True
        if advertisement.lifetime == 0:
            self._lose_router(event.interface, event.source)
            return
        if event.source not in link.routers and len(link.routers) >= ROUTERS_MAX:
            return
        router = link.routers.setdefault(event.source, Router())
        before = link.advertised()
        _read(router, advertisement)
        self._watch(event.interface, event.source, router, advertisement)
        if before and not router.prefixes & before:
            for other in link.routers:
                if other != event.source:  # perhaps this is another link: are the old routers still there?
                    self._do(ProbeRouter(event.interface, other))
        if link.advertised() != before:
            self._reconsider()

    def _watch(self, interface: str, source: Address, router: Router, advertisement: RouterAdvertisement) -> None:
        """Silence for several intervals is a reason to ask (11.5.1), and for its lifetime the end of a router."""
        self._after(advertisement.lifetime, "router-end", (interface, source))
        self._expect(interface, source, router)

    def _expect(self, interface: str, source: Address, router: Router) -> None:
        if router.interval:
            lost, grace = self.configuration.lost_advertisements, self.configuration.router_lifetime_grace
            self._after(lost * router.interval + grace, "router", (interface, source))

    def _on_router_silent(self, interface: str, router: Address) -> None:
        if router in self.links[interface].routers:
            self._do(ProbeRouter(interface, router))

    def _on_router_probed(self, event: RouterProbed) -> None:
        if event.interface not in self.links:
            return
        router = self.links[event.interface].routers.get(event.router)
        if router is not None and event.reachable:
            self._expect(event.interface, event.router, router)
        else:
            self._lose_router(event.interface, event.router)

    def _lose_router(self, interface: str, router: Address) -> None:
        if self.links[interface].routers.pop(router, None) is None:
            return
        self._stop_watching(interface, router)
        if not self.links[interface].routers:
            self._do(SendIcmpv6(RouterSolicitation(), UNSPECIFIED, ALL_ROUTERS, interface))
        self._reconsider()

    def _stop_watching(self, interface: str, router: Address) -> None:
        self._timers.stop_all((kind, (interface, router)) for kind in ("router", "router-end"))

    def _on_address_changed(self, event: AddressChanged) -> None:
        link = self.links.get(event.interface)
        if link is None or event.address in self._permanent() or not routable(event.address):
            return
        if event.usable and event.valid > 0:
            if event.address not in link.addresses and len(link.addresses) >= ADDRESSES_MAX:
                return
            prefix = Prefix.of(event.address, event.length)
            link.addresses[event.address] = CareOf(prefix, event.preferred > 0, self._now + event.valid)
        else:
            link.addresses.pop(event.address, None)
        self._reconsider()

    def _permanent(self) -> set[Address]:
        return {entry.address for entry in self.homes.values() if not entry.local}

    # --- decisions --------------------------------------------------------------------------------------------------

    def _reconsider(self) -> None:
        """What follows from where the node is now, for each home address. Doing so twice changes nothing."""
        interface, care_of = self.current = self._choose()
        self.ways = self._all_ways(care_of) if self.configuration.several else {}
        self._on_place_known(interface, care_of)
        for entry in list(self.homes.values()):
            home = self._home_link(entry, interface)
            entry.beside = self._beside(entry)
            if entry.beside:
                home = ""
            if entry.stopped == TAKEN and interface and not home:
                entry.stopped = ""
            if entry.stopped:
                continue
            if home:
                self._be_home(entry, home)
            elif entry.beside:
                self._be_away(entry, next(way for way in self._ways(entry).values() if way != entry.address))
            elif not interface:
                self._be_nowhere(entry)
            else:
                way = care_of or self._home_on(interface) or self._other_way(entry)
                if way is None or way == entry.address:
                    self._be_nowhere(entry)
                else:
                    self._be_away(entry, way)

    def _home_on(self, interface: str) -> Address | None:
        """A home address that is at home there; it leads to this node as a care-of address does, unless its home agent,
        which did not answer, may still send its packets away."""
        there = (entry for entry in self.homes.values() if entry.settled and entry.interface == interface)
        return next((entry.address for entry in there if not entry.perhaps_bound(self._now)), None)

    def _other_way(self, entry: HomeEntry) -> Address | None:
        """By another link than the home link, where that one is used together with others (RFC 5648 5.6)."""
        others = (way for way in self.ways.values() if way and way != entry.address)
        return next((way for way in others if entry.local or not entry.home.prefix.covers(way)), None)

    def _home_link(self, entry: HomeEntry, interface: str) -> str:
        """11.5.2: the home prefix is advertised on the link in use; a local home address is at home wherever its link
        is. Empty: it is abroad.
        """
        if entry.local:
            links = self.links.items()
            return next((name for name, link in links if link.up and _has(link, entry.address)), "")
        return interface if interface and entry.home.prefix in self.links[interface].advertised() else ""

    def _beside(self, entry: HomeEntry) -> int:
        """The BID of the home link, if it is to be used together with others (RFC 5648 5.6); 0: it is not."""
        if not self.configuration.home_too or entry.local or entry.home.router or entry.single or entry.apart:
            return 0
        prefix, known = entry.home.prefix, enumerate(self.links.values(), 1)
        home = next((n for n, link in known if link.up and link.link_layer and prefix in link.advertised()), 0)
        others = [way for number, way in self.ways.items() if number not in {home, *entry.withheld}]
        return home if any(way and not prefix.covers(way) for way in others) else 0

    def _usable(self, link: Link) -> list[Address]:
        """Addresses that lead to this node, the preferred ones first, and of these the one that is in use."""
        advertised = link.advertised() if link.up else set()
        usable = [
            (not known.preferred, address != self.current[1], number, address)
            for number, (address, known) in enumerate(link.addresses.items())
            if known.prefix in advertised and known.valid_until > self._now and not self._is_away(address)
        ]
        return [address for _, _, _, address in sorted(usable)]

    def _is_away(self, address: Address) -> bool:
        """A local home address whose anchor did not let go of it yet: as a care-of address it would lead in circles."""
        if address in self.abandoned:
            return self.abandoned[address].perhaps_bound(self._now)
        entry = self.homes.get(address)
        return entry is not None and entry.local and not entry.settled and not entry.stopped

    def _all_ways(self, primary: Address | None) -> Ways:
        """One care-of address of each link (RFC 5648 5.3)."""
        numbers = {interface: number for number, interface in enumerate(self.links, 1)}
        usable = {numbers[name]: self._usable(link) for name, link in self._preferred()}
        found = {number: addresses[0] for number, addresses in usable.items() if addresses}
        if self.configuration.home_too:  # at home there may be no address but the home address
            return {number: addresses[0] if addresses else b"" for number, addresses in usable.items()} if found else {}
        return found if primary in found.values() else {}

    def _preferred(self) -> list[tuple[str, Link]]:
        """Links in the order of preference: that of the configuration, but those that are avoided last."""
        return sorted(self.links.items(), key=lambda known: known[0] in self.avoided)

    def _choose(self) -> tuple[str, Address | None]:
        """The first interface that leads anywhere, and the care-of address there: the one in use, if it is as good."""
        homes = {entry.home.prefix for entry in self.homes.values() if not entry.local}
        for interface, link in self._preferred():
            advertised = link.advertised()
            if not link.up or not advertised:
                continue
            usable = self._usable(link)
            if usable:
                return interface, usable[0]
            if homes & advertised:
                return interface, None
        return "", None


def _has(link: Link, address: Address) -> bool:
    """Whether the link is the one that the address was made on."""
    known = link.addresses.get(address)
    return known is not None and known.prefix in link.advertised()


def _read(router: Router, advertisement: RouterAdvertisement) -> None:
    """What an advertisement says; prefixes that it does not repeat stay, as for every host (RFC 4861 6.3.4)."""
    router.agent = bool(advertisement.flags & RouterAdvertisementFlags.HOME_AGENT)
    for option in advertisement.options:
        if isinstance(option, AdvertisementInterval):
            router.interval = option.interval
        if not isinstance(option, PrefixInformation):
            continue
        if option.valid == 0:
            router.prefixes.discard(option.prefix)
            router.anchors.pop(option.prefix, None)
        elif len(router.prefixes) < PREFIXES_MAX:
            router.prefixes.add(option.prefix)
            own = router_address(option)
            if router.agent and own is not None:
                router.anchors[option.prefix] = own
