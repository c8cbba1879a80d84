"""A mobile node and its correspondent nodes: return routability and direct registration (RFC 6275 11.6, 11.7.2).

Nothing is begun before the home agent has acknowledged a care-of address, and packets go through the tunnel until the
correspondent node acknowledged it. Home tokens are used again after a move while they are fresh (5.2.7).

With several care-of addresses (RFC 5648 5.2) the best is registered first; its answer tells whether the correspondent
node wants more than one. Packets then leave by the best that it has, and at once by another one when a link is gone:
it takes them from all. It is told, too, and sends by another one itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.events import CorrespondentSeen
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_direct import CorrespondentEntry, DirectWay, Progress
from sojourn.engines.mn_direct_registration import MnDirectRegistration
from sojourn.engines.mn_direct_ways import ranks
from sojourn.engines.mn_state import HomeEntry, Place
from sojourn.wire.addresses import Address


class MnCorrespondent(MnDirectRegistration):
    """The mobile node as the one that takes the direct way."""

    def _on_correspondent_seen(self, event: CorrespondentSeen) -> None:
        """11.7.2: a packet came out of the tunnel; its sender may be told where we are."""
        home, correspondent = event.home_address, event.correspondent
        entry = self.homes.get(home)
        if not self.configuration.route_optimisation or entry is None or entry.place is not Place.AWAY:
            return
        if not routable(correspondent) or correspondent in (entry.agent, entry.address):
            return
        if (home, correspondent) in self.correspondents:
            return
        if len(self.correspondents) < self.configuration.correspondents:
            peer = CorrespondentEntry(home, correspondent, self._entropy.below(1 << 16))
            self.correspondents[peer.pair] = peer
            self._pursue(peer)
            self._tidy(peer)

    def _on_moved(self, entry: HomeEntry) -> None:
        """What was direct goes through the tunnel until the correspondent nodes know the new care-of address.

        Where the home address need not be tested again, that is begun as soon as the home agent was told (11.7.2),
        not when it has answered: whoever sends directly sends to the old care-of address until then.
        """
        if entry.at_home_first:
            self._end_all(entry)
            return
        for peer in self._of(entry):
            wanted = self._wanted(peer)
            if wanted:
                self._part(peer)
            fresh = peer.home_token is not None and peer.home_token.until > self._now
            ready = fresh and entry.bound(self._now) and entry.place is Place.AWAY
            rank_by = ranks(wanted)
            for way in [way for way in peer.ways.values() if way.progress is not Progress.REFUSED]:
                if way.care_of is None and wanted and way.progress is not Progress.WAITING:
                    continue  # it is being deleted
                if way.care_of is None and not wanted and entry.place is Place.NOWHERE:
                    self._pause(way)  # nobody can be asked now
                    way.progress = Progress.WAITING
                    continue
                care_of = wanted.get(way.identifier)
                anew = way.care_of != care_of
                if anew:
                    self._take_back(way)
                    self._pause(way)
                    way.progress = Progress.WAITING
                anew = anew or way.rank != rank_by.get(way.identifier, way.rank)
                way.rank = rank_by.get(way.identifier, way.rank)
                if care_of is not None and ready and (way.progress is Progress.WAITING or anew):
                    way.care_of, way.failures, way.stale = care_of, 0, 0
                    self._begin_tests(way)
            self._choose_way(peer)
            self._pursue(peer)  # if none is left: it sends to where the node was until it hears more
            self._tidy(peer)

    def _on_reachable(self, entry: HomeEntry) -> None:
        if entry.at_home_first:
            self._end_all(entry)
        for peer in self._of(entry):
            for way in list(peer.ways.values()):
                if way.progress is Progress.WAITING:
                    self._test(way)
            self._pursue(peer)

    def _on_home(self, entry: HomeEntry) -> None:
        """At home the bindings are deleted, all in one, with a home test alone (11.6.1)."""
        self._end_all(entry)

    def _end_all(self, entry: HomeEntry) -> None:
        for peer in self._of(entry):
            bound = peer.bound_until > self._now
            for way in list(peer.ways.values()):
                self._pause(way)
                self._drop(way)
            if bound:
                last = peer.ways[0] = DirectWay(peer, 0, None)
                self._begin_tests(last)
            self._tidy(peer)

    def _forget_correspondents(self, entry: HomeEntry) -> None:
        for peer in self._of(entry):
            for way in list(peer.ways.values()):
                self._drop(way)
            self._tidy(peer)

    def _shorten(self, entry: HomeEntry) -> None:
        """11.4.2: bindings that would outlive the home address are told a new lifetime."""
        for peer in self._of(entry):
            for way in peer.ways.values():
                if way.expires > entry.valid_until and way.care_of is not None:
                    self._test(way)

    def _on_direct_timer(self, kind: str, way: DirectWay) -> None:
        peer = way.peer
        if kind == "test":
            self._on_test_silent(way)
        elif kind == "test-later":
            self._send_tests(way)
        elif kind == "direct-refresh":
            self._test(way)
        elif kind == "direct-expiry" and way.progress is not Progress.REFUSED:
            self._pause(way)
            way.expires = 0
            self._test(way)
        elif kind == "direct-retry":
            peer.unwilling = False
            self._drop(way)
            if peer.optimised:
                self._pursue(peer)
            self._tidy(peer)

    def _on_unsupported(self, correspondent: Address, why: str) -> None:
        """A correspondent node does not know the Mobility Header, or not these messages. One that may have a binding
        did know them: its daemon is away for a moment, and it goes on sending to where this node was."""
        met = [known for known in self.correspondents.values() if known.correspondent == correspondent]
        for peer in [known for known in met if known.bound_until <= self._now]:
            for way in list(peer.ways.values()):
                if way.progress in (Progress.TESTING, Progress.UPDATING):
                    peer.unwilling = True
                    self._refuse(way, why)

    def _on_unknown_binding(self, correspondent: Address, home: Address) -> None:
        """It has no binding: through the tunnel, and begin again with the best."""
        peer = self.correspondents.get((home, correspondent))
        ways = [] if peer is None else peer.ways.values()
        bound = [way for way in ways if way.progress is Progress.BOUND or way.optimised]
        if peer is None or not bound:
            return
        for way in bound:
            self._pause(way)
            way.expires, way.progress = 0, Progress.WAITING
        first = min(bound, key=lambda way: way.rank)
        for way in list(peer.ways.values()):
            if way is not first and way.progress is not Progress.REFUSED:
                self._drop(way)
        self._test(first)

    def _on_direct_refresh_request(self, correspondent: Address, home: Address, identifiers: Iterable[int]) -> None:
        """Of all that it has, or of some (RFC 5648 5.8)."""
        peer, named = self.correspondents.get((home, correspondent)), set(identifiers)
        for way in [] if peer is None else list(peer.ways.values()):
            if way.progress is Progress.BOUND and (not named or way.identifier in named):
                self._test(way)
