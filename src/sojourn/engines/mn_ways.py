"""By which ways the packets of a home address leave, and whether new connections use it.

One tunnel for all (RFC 6275 11.3.1), or several links with what goes by which (RFC 5648, RFC 6089); none, as long as
there is no binding: then nothing leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

from sojourn.core.mobile_effects import (
    CareOfWay,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureReverseFlows,
    Flow,
    WithdrawReverseTunnel,
)
from sojourn.engines.configuration import FIXED_LINK_LOCAL
from sojourn.engines.mn_state import HomeEntry, MnState, Place, Ways


class MnWays(MnState):
    """The mobile node as the one that sends."""

    def _ways(self, entry: HomeEntry) -> Ways:
        """Those of foreign links; and the home address for the home link, if that is used too (RFC 5648 5.6)."""
        if entry.single:
            return {}
        ways: Ways = {}
        for number, way in self.ways.items():
            if number == entry.beside:
                ways[number] = entry.address
            elif way and number not in entry.withheld and not entry.home.prefix.covers(way):
                ways[number] = way
        return ways

    def _steer(self, entry: HomeEntry) -> None:
        """Packets leave by the links that the home agent takes them from, as it sends those to us: by any link that
        was told to it, as soon as it is told.
        """
        if not self.configuration.several or entry.agent is None:
            return
        usable = {number: way for number, way in entry.acknowledged.items() if entry.ways.get(number) == way}
        flows = entry.flows.steered(self._wanted_flows(entry), usable)
        self._follow(entry, tuple(self._ways_out(entry)), flows)

    def _ways_out(self, entry: HomeEntry) -> Iterator[CareOfWay]:
        for number, (interface, link) in enumerate(self.links.items(), 1):
            care_of = entry.ways.get(number)
            known = None if care_of is None else link.addresses.get(care_of)
            prefix = entry.home.prefix if care_of == entry.address else None if known is None else known.prefix
            if care_of is None or prefix is None:
                continue
            routers = [address for address, router in link.routers.items() if prefix in router.prefixes]
            if routers:
                yield CareOfWay(care_of, interface, routers[0])

    def _follow(self, entry: HomeEntry, ways: tuple[CareOfWay, ...], flows: tuple[Flow, ...]) -> None:
        if (ways, flows) != entry.flows.done and entry.agent is not None:
            entry.flows.done = ways, flows
            self._do(EnsureReverseFlows(entry.address, entry.agent, ways, flows))

    def _unsteer(self, entry: HomeEntry) -> None:
        self._follow(entry, (), ())

    def _wait_at_home(self, entry: HomeEntry) -> None:
        """Packets go on by the home link, whose routers know where this node is; but it does not answer for its home
        address any more (RFC 5648 5.6.3), as the home agent is about to."""
        self._follow(entry, tuple(way for way in self._ways_out(entry) if way.care_of_address == entry.address), ())
        self._do(EnsureHomeAddress(entry.address, "", preferred=True))
        self._do(WithdrawReverseTunnel(entry.address))
        entry.shown = True

    def _block(self, entry: HomeEntry) -> None:
        """Nothing leaves. First of all: what the home link was to take must not take another one."""
        self._do(EnsureHomeBlock(entry.address))
        self._unsteer(entry)
        self._show(entry, False)

    def _show(self, entry: HomeEntry, reachable: bool) -> None:
        """Abroad, new connections use the home address as long as its packets have a way, unless the network keeps
        addresses by itself. Old ones go on in any case.
        """
        if entry.place is not Place.AWAY:
            return
        entry.reachable = reachable
        preferred = reachable and self._is_for_new_sessions(entry) and not self._is_kept_by_network()
        if entry.shown is not preferred:
            entry.shown = preferred
            self._do(EnsureHomeAddress(entry.address, "", preferred=preferred))

    def _show_again(self, entry: HomeEntry) -> None:
        """Another address is for new sessions now, or this one."""
        self._show(entry, entry.reachable)

    def _is_for_new_sessions(self, entry: HomeEntry) -> bool:
        """That of the nearest anchor, as long as there is one: it may be that of the link, whose address it is then.
        If there is none, those of the configuration.
        """
        if self.nearest is not None:
            return entry.address == self.nearest
        return not entry.local and not self.anchored

    def _is_kept_by_network(self) -> bool:
        """A router that shows the address of RFC 6543 is one of a domain of Proxy Mobile IPv6 or RFC 8885."""
        link = self.links.get(self.current[0])
        return self.configuration.leave_to_network and link is not None and FIXED_LINK_LOCAL in link.routers
