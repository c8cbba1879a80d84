"""What a mobile node writes down of its correspondent nodes, so that its next life goes on with the direct ways.

A correspondent node goes on sending to the care-of address that it was told, whatever becomes of this node's daemon.
The next life takes these packets, sends as they come, and tells it again as soon as the home agent knows where the node
is. Were it forgotten, it would send to a link that the node left until its binding ends.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.core.mobile_effects import EnsureRouteOptimisation
from sojourn.engines.mip6_configuration import MAX_RR_BINDING_LIFETIME
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_direct import CorrespondentEntry, DirectWay, Pair, Progress
from sojourn.engines.mn_direct_ways import MnDirectWays
from sojourn.engines.records import well_formed
from sojourn.wire.addresses import Address

ADDRESS = 16
"""Octets. The key of a record is a home address, or one and the correspondent node behind it."""


class _Way(msgspec.Struct, array_like=True):
    identifier: int
    care_of: bytes
    expires: int
    """By the wall clock."""
    bound: bool
    """The correspondent node said that it has it; else it may have."""


class _Record(msgspec.Struct, array_like=True):
    sequence: int
    ways: list[_Way]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


class MnDirectRecords(MnDirectWays):
    """The mobile node as one whose correspondent nodes outlive it."""

    _kept_direct: set[Pair]
    """Those with a record."""
    _resumed: dict[Address, Address]
    """Care-of addresses whose tunnels were taken up from an earlier life, by home address."""

    def _keep_direct(self, peer: CorrespondentEntry) -> None:
        """What it has, or is being told."""
        entry = self.homes.get(peer.home)
        if not self.stores or entry is None or entry.local:
            return
        known = [way for way in peer.ways.values() if way.care_of is not None]
        ways = [self._written(way) for way in known if way.optimised or way.progress is Progress.UPDATING]
        if ways:
            self._do(StoreBinding(_key(peer.pair), _encoder.encode(_Record(peer.sequence, ways))))
            self._kept_direct.add(peer.pair)

    def _written(self, way: DirectWay) -> _Way:
        expires = way.expires if way.optimised else self._now + way.asked
        return _Way(way.identifier, way.care_of or b"", self._epoch + expires, way.optimised)

    def _keep_doubt(self, peer: CorrespondentEntry) -> None:
        """It is about to be told for the first time, and its answer may never be heard."""
        if peer.pair not in self._kept_direct:
            self._keep_direct(peer)

    def _let_go_direct(self, peer: CorrespondentEntry) -> None:
        """Nothing is known of it any more."""
        if peer.pair in self._kept_direct:
            self._kept_direct.discard(peer.pair)
            self._do(DeleteBinding(_key(peer.pair)))

    def _take_up_direct(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Those of an earlier life that may still have a binding. The home addresses were taken up before."""
        for key, octets in records:
            pair = key[:ADDRESS], key[ADDRESS:]
            self._kept_direct.add(pair)
            if len(self.correspondents) < self.configuration.correspondents and self._resume_direct(pair, octets):
                continue
            self._kept_direct.discard(pair)
            self._do(DeleteBinding(key))

    def _resume_direct(self, pair: Pair, octets: bytes) -> bool:
        """Whether there is anything to go on with."""
        home, correspondent = pair
        entry = self.homes.get(home)
        if entry is None or not self.configuration.route_optimisation or not routable(correspondent):
            return False
        try:
            record = _decoder.decode(octets)
        except msgspec.DecodeError:
            return False
        wall = self._epoch + self._now
        last = [way for way in record.ways if way.expires > wall and well_formed([way.care_of], [])]
        if not last or not all(routable(way.care_of) and 0 <= way.identifier < 1 << 16 for way in last):
            return False
        peer = CorrespondentEntry(home, correspondent, record.sequence & 0xFFFF)
        peer.single = self.configuration.several and last[0].identifier == 0
        tunnel = self._resumed.get(home)
        for rank, known in enumerate(last, 1):
            ends = min(known.expires - self._epoch, self._now + MAX_RR_BINDING_LIFETIME)  # the clock may have been set
            way = DirectWay(peer, known.identifier, known.care_of, rank, expires=ends)
            way.optimised = known.bound and tunnel is not None
            peer.ways[known.identifier] = way
            peer.bound_until = max(peer.bound_until, ends)
            self._timers.start(("direct-expiry", way.name), ends)
        self.correspondents[pair] = peer
        first = peer.ways[last[0].identifier]
        if tunnel is not None and first.optimised and first.care_of == tunnel:
            peer.using = tunnel
            self._do(EnsureRouteOptimisation(*pair, tunnel))
        self._report("direct-resumed", home=home, correspondent=correspondent)
        return True


def _key(pair: Pair) -> bytes:
    return pair[0] + pair[1]


def of_correspondents(records: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Those records that are about correspondent nodes."""
    return {key: record for key, record in records.items() if len(key) == 2 * ADDRESS}
