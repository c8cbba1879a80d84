"""Which care-of addresses correspondent nodes are to have, and by which of them packets leave.

Everything that has to do with one is begun, paused and ended here; what is said to the correspondent node is in
`mn_return_routability` and `mn_direct_registration`.
"""

from __future__ import annotations

from sojourn.core.mobile_effects import EnsureRouteOptimisation, WithdrawRouteOptimisation
from sojourn.core.sequence import newer
from sojourn.engines.mn_direct import UNDER_WAY, CorrespondentEntry, DirectWay, Pair, Progress
from sojourn.engines.mn_flows import Wanted
from sojourn.engines.mn_state import DIRECT, HomeEntry, MnState, Place, Ways
from sojourn.engines.retransmission import Key
from sojourn.wire.addresses import Address
from sojourn.wire.units import Instant


class MnDirectWays(MnState):
    """The mobile node and the direct ways that it has."""

    correspondents: dict[Pair, CorrespondentEntry]
    _tests_sent: dict[Address, tuple[Instant, ...]]
    """When each correspondent node was asked lately."""

    def _of(self, entry: HomeEntry) -> list[CorrespondentEntry]:
        return [peer for peer in self.correspondents.values() if peer.home == entry.address]

    def _wanted(self, peer: CorrespondentEntry) -> Ways:
        """By BID, the best first; without identifiers the only one."""
        entry = self.homes.get(peer.home)
        if entry is None or entry.place is not Place.AWAY or entry.care_of is None or entry.at_home_first:
            return {}
        if entry.ways and not peer.single:
            return {number: way for number, way in entry.ways.items() if way != entry.address}
        return {0: entry.care_of} if entry.care_of != entry.address else {}

    def _choose_way(self, peer: CorrespondentEntry) -> None:
        """Packets leave by the best that the correspondent node has."""
        known = [peer.ways[identifier] for identifier in self._wanted(peer) if identifier in peer.ways]
        usable = [way.care_of for way in known if way.optimised and way.care_of is not None]
        using = usable[0] if usable else None
        also = tuple(usable[1:]) if self.configuration.flows else ()
        if (using, also) == (peer.using, peer.also):
            return
        peer.using, peer.also = using, also
        if using is None:
            self._do(WithdrawRouteOptimisation(*peer.pair))
        else:
            self._do(EnsureRouteOptimisation(*peer.pair, using, also))

    def _use(self, peer: CorrespondentEntry) -> None:
        """Packets go directly, and those that come so are taken."""
        before = peer.using, peer.also
        self._choose_way(peer)
        if peer.using is not None and (peer.using, peer.also) == before:
            self._do(EnsureRouteOptimisation(*peer.pair, peer.using, peer.also))

    def _pursue(self, peer: CorrespondentEntry) -> None:
        """What is wanted and was not begun: the best, and all others when the correspondent node took one."""
        wanted = self._wanted(peer)
        rank_by = ranks(wanted)
        for identifier, care_of in wanted.items():
            idle = not any(way.progress in UNDER_WAY for way in peer.ways.values())
            if identifier not in peer.ways and (peer.optimised or (idle and not peer.unwilling)):
                way = peer.ways[identifier] = DirectWay(peer, identifier, care_of, rank_by[identifier])
                self._test(way)

    def _part(self, peer: CorrespondentEntry) -> None:
        """From care-of addresses that are not ours any more. The correspondent node is told if it has another one;
        else the next update is in the place of all that it knows.
        """
        wanted = self._wanted(peer)
        gone = [
            way
            for identifier, way in peer.ways.items()
            if identifier not in wanted and (way.care_of is not None or way.progress is Progress.WAITING)
        ]
        stays = any(way.optimised for way in peer.ways.values() if way.identifier in wanted)
        for way in gone:
            self._pause(way)
            if stays and way.expires > self._now:
                way.care_of, way.failures, way.stale = None, 0, 0
                self._begin_tests(way)
            else:
                self._drop(way)

    def _pause(self, way: DirectWay) -> None:
        """By another way, and no question is open."""
        peer = way.peer
        way.optimised = False
        self._choose_way(peer)
        way.care_of_cookie = b""
        if not any(other.progress is Progress.TESTING for other in peer.ways.values() if other is not way):
            peer.home_cookie = b""
        self._requests.cancel(self._direct_key(way))
        kinds = ("test", "test-later", "direct-refresh", "direct-expiry")
        self._timers.stop_all((kind, way.name) for kind in kinds)

    def _refuse(self, way: DirectWay, why: str) -> None:
        """11.3.5, 11.7.3: it is not asked again for a while."""
        peer = way.peer
        self._pause(way)
        way.progress, way.expires = Progress.REFUSED, 0
        self._after(self.configuration.retry_correspondent, "direct-retry", way.name)
        self._report("not-optimised", home=peer.home, correspondent=peer.correspondent, reason=why)
        self._pursue(peer)

    def _drop(self, way: DirectWay) -> None:
        """Nothing is left of this care-of address."""
        self._pause(way)
        self._timers.stop(("direct-retry", way.name))
        way.peer.ways.pop(way.identifier, None)

    def _tidy(self, peer: CorrespondentEntry) -> None:
        """A correspondent node that nothing is known of is none."""
        if peer.ways or self.correspondents.get(peer.pair) is not peer:
            return
        self._timers.stop(("direct-repair", peer.pair))
        del self.correspondents[peer.pair]
        self._let_go_direct(peer)
        if all(other.correspondent != peer.correspondent for other in self.correspondents.values()):
            self._tests_sent.pop(peer.correspondent, None)

    def _flows_of(self, peer: CorrespondentEntry, registered: DirectWay | None = None) -> Wanted:
        """The flow bindings that it is to have (RFC 6089): about its packets, and care-of addresses that it knows."""
        if not self.configuration.flows:
            return {}
        known = {way.identifier for way in peer.ways.values() if way.optimised}
        if registered is not None and registered.care_of is not None:
            known.add(registered.identifier)
        return {
            number: flow
            for number, flow in self._wanted_flows(self.homes[peer.home]).items()
            if flow.number in known and flow.may_come_from(peer.correspondent)
        }

    def _last_sequence(self, peer: CorrespondentEntry) -> int:
        """The latest, also of repetitions."""
        latest = peer.sequence
        for way in peer.ways.values():
            outstanding = self._requests.get(self._direct_key(way))
            if outstanding is not None and newer(outstanding.update.sequence, latest):
                latest = outstanding.update.sequence
        return latest

    @staticmethod
    def _direct_key(way: DirectWay) -> Key:
        return DIRECT, way.peer.home, way.peer.correspondent, way.identifier

    def _test(self, way: DirectWay) -> None:
        """Ask the correspondent node as far as there are no fresh tokens; see `mn_return_routability`."""
        raise NotImplementedError

    def _keep_direct(self, peer: CorrespondentEntry) -> None:
        """What it knows is written down; see `mn_direct_records`."""
        raise NotImplementedError

    def _keep_doubt(self, peer: CorrespondentEntry) -> None:
        """It may know of this node from now on."""
        raise NotImplementedError

    def _let_go_direct(self, peer: CorrespondentEntry) -> None:
        """Its record is not needed any more."""
        raise NotImplementedError

    def _begin_tests(self, way: DirectWay) -> None:
        """The same for the care-of address that `way` has already."""
        raise NotImplementedError


def ranks(wanted: Ways) -> dict[int, int]:
    """The priorities of care-of addresses, the best first: they stay what they are when another link comes or goes."""
    found: dict[int, int] = {}
    last = 0
    for identifier in wanted:
        last = found[identifier] = max(last + 1, identifier)
    return found
