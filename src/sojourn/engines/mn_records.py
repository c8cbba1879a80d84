"""What a mobile node writes down of its registrations, so that its next life goes on with the tunnels of this one.

Only what forwarding needs: the home agent, the care-of address, and until when the binding lasts, by the wall clock.
The next life registers again as soon as it knows where it is; until then packets go as they went. What correspondent
nodes were told is in `mn_direct_records`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sojourn.core.effects import DeleteBinding, EnsureUplink, StoreBinding
from sojourn.core.mobile_effects import EnsureHomeAddress, EnsureHomeBlock, EnsureReverseTunnel
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_direct_records import ADDRESS, MnDirectRecords, of_correspondents
from sojourn.engines.mn_state import HomeEntry
from sojourn.engines.records import well_formed
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import WallClock


class _Record(msgspec.Struct, array_like=True):
    agent: bytes
    care_of: bytes
    expires: int
    network: tuple[bytes, int, int] | None = None
    """A delegated one: prefix, length, until when."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


class MnRecords(MnDirectRecords):
    """The mobile node as the one that comes back."""

    _kept: set[Address]
    """Home addresses with a record."""

    def _keep(self, entry: HomeEntry) -> None:
        """The registration that was just acknowledged."""
        if self.stores and not entry.local and entry.agent is not None and entry.registered is not None:
            record = _Record(entry.agent, entry.registered, self._epoch + entry.expires, self._lease(entry))
            self._do(StoreBinding(entry.address, _encoder.encode(record)))
            self._kept.add(entry.address)

    def _keep_all(self) -> None:
        """Until when all of it is true, by another clock."""
        for entry in self.homes.values():
            self._keep(entry)
        for pair in list(self._kept_direct):
            self._store_again(b"".join(pair))

    def _store_again(self, key: bytes) -> None:
        """What is true by now: a disk refused it."""
        pair = key[:ADDRESS], key[ADDRESS:]
        if key in self._kept:
            self._keep(self.homes[key])
        elif pair in self._kept_direct:
            self._keep_direct(self.correspondents[pair])
        else:
            self._do(DeleteBinding(key))

    def _let_go(self, entry: HomeEntry) -> None:
        """There is none any more."""
        if entry.address in self._kept:
            self._kept.discard(entry.address)
            self._do(DeleteBinding(entry.address))

    def _take_up(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """What holds of an earlier life; else nothing leaves from a home address until the node knows where it is."""
        known = dict(records)
        direct = of_correspondents(known)
        for key in direct:
            del known[key]
        for address in known.keys() - self.homes.keys():
            self._do(DeleteBinding(address))
        for entry in self.homes.values():
            if entry.address in known:
                self._kept.add(entry.address)
            if entry.address not in known or not self._resume(entry, known[entry.address], self._epoch + self._now):
                self._do(EnsureHomeBlock(entry.address))
                self._let_go(entry)
        self._take_up_direct(direct.items())

    def _resume(self, entry: HomeEntry, octets: bytes, wall: WallClock) -> bool:
        """Whether the record is one of a binding that lasts, at a home agent that may still be asked."""
        try:
            record = _decoder.decode(octets)
        except msgspec.DecodeError:
            return False
        networks = [] if record.network is None else [record.network[:2]]
        if not well_formed([record.agent, record.care_of], networks) or not routable(record.care_of):
            return False
        if record.expires <= wall or entry.home.home_agent not in (None, record.agent):
            return False
        longest = self._now + self.configuration.lifetime  # the clock may have been set
        entry.agent, entry.expires = record.agent, min(record.expires - self._epoch, longest)
        self._timers.start(("expiry", entry.address), entry.expires)
        self._do(EnsureHomeAddress(entry.address, "", preferred=True))
        self._do(EnsureReverseTunnel(entry.address, record.care_of, record.agent))
        self._resumed[entry.address] = record.care_of
        if record.network is not None and record.network[2] > wall:
            self._take_up_lease(entry, Prefix.of(*record.network[:2]), record.network[2])
        for network in entry.home.networks:
            self._do(EnsureUplink(network, record.agent))
        self._report("resumed", home=entry.address, agent=record.agent, care_of=record.care_of)
        return True
