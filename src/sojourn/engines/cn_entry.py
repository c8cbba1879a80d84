"""A binding at a correspondent node (RFC 6275 9.1), and what is written down of it.

Its next life goes on with the bindings of this one, until they end by the wall clock: mobile nodes go on sending
directly, whatever becomes of this daemon. Tokens are made anew, so that no update of an earlier life can be used again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sojourn.core.mobile_effects import EnsureCareOfRoute
from sojourn.core.sequence import newer
from sojourn.engines.care_of_ways import Way, Ways
from sojourn.engines.ha_flows import Flows, restored, steered
from sojourn.engines.mip6_configuration import MAX_NONCE_LIFETIME, MAX_RR_BINDING_LIFETIME
from sojourn.engines.mip6_request import routable
from sojourn.engines.records import well_formed
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Instant, WallClock


@dataclass(slots=True)
class CorrespondentEntry:
    """One binding; or, when that ended, what keeps its updates from being replayed (RFC 6275 5.2.8, 9.5.3)."""

    home: Address
    care_of: Address
    """The best, if there are several."""
    address: Address
    """Ours, that the node registered with."""
    sequence: int
    """Of the latest update that said all there is to say."""
    expires: Instant
    forget: Instant
    """From then on its nonces are not valid any more."""
    ended: bool = False
    unreachable: int = 0
    packets: int = 0
    """That came from the node, when they were counted last."""
    ways: Ways = field(default_factory=dict)
    """Its care-of addresses, if they have identifiers (RFC 5648)."""
    ends: dict[int, Instant] = field(default_factory=dict)
    """When these expire."""
    sequences: dict[int, int] = field(default_factory=dict)
    """Of the latest updates about single ones, also about those that are gone."""
    flows: Flows = field(default_factory=dict)
    """Which packets go to which of these (RFC 6089)."""

    @property
    def counted(self) -> Prefix:
        """What is counted to know whether it is in use."""
        return Prefix(self.home, 128)

    @property
    def first_end(self) -> Instant:
        """When one of them expires."""
        return min(self.ends.values(), default=self.expires)

    @property
    def care_of_addresses(self) -> set[Address]:
        """All that packets go to."""
        return {self.care_of, *(way.care_of for way in self.ways.values())}

    @property
    def route(self) -> EnsureCareOfRoute:
        """What its packets follow."""
        also = tuple(way.care_of for way in self.ways.values() if way.care_of != self.care_of)
        return EnsureCareOfRoute(self.home, self.care_of, also, steered(self.flows, self.ways) if self.flows else ())

    def latest(self, identifier: int | None) -> int:
        """The sequence number that an update has to surpass: one about all of them, or about a single one."""
        latest = self.sequence
        for known, sequence in self.sequences.items():
            if identifier in (None, known) and newer(sequence, latest):
                latest = sequence
        return latest

    def record(self, epoch: WallClock) -> bytes:
        """For the store, under the home address."""
        ways = [(n, way.care_of, way.priority, epoch + self.ends[n], self.sequences[n]) for n, way in self.ways.items()]
        flows = [(identifier, *binding) for identifier, binding in self.flows.items()]
        fixed = self.care_of, self.address, self.sequence, epoch + self.expires
        return _encoder.encode(_Record(*fixed, ways, flows))

    @classmethod
    def restored(cls, key: bytes, record: bytes, epoch: WallClock, now: Instant) -> CorrespondentEntry:
        """From the store. Raises ValueError for what is no record of ours, or of a binding that is over."""
        kept = _decoder.decode(record)
        care_of = [kept.care_of, *(care_of for _, care_of, *_ in kept.ways)]
        if not well_formed([key, kept.address, *care_of], []) or not all(map(routable, (key, *care_of))):
            raise ValueError("not the record of a binding")
        longest = now + MAX_RR_BINDING_LIFETIME  # the clock may have been set
        ways = {n: Way(way, priority) for n, way, priority, *_ in kept.ways}
        ends = {n: min(end - epoch, longest) for n, _, _, end, _ in kept.ways}
        sequences = {n: number & 0xFFFF for n, _, _, _, number in kept.ways}
        expires = min(kept.expires - epoch, longest)
        if min(ends.values(), default=expires) <= now:
            raise ValueError("the binding is over")
        sequence = kept.sequence & 0xFFFF
        last = sequence, expires, now + MAX_NONCE_LIFETIME
        flows = restored(kept.flows)
        return cls(key, kept.care_of, kept.address, *last, ways=ways, ends=ends, sequences=sequences, flows=flows)


class _Record(msgspec.Struct, array_like=True):
    care_of: bytes
    address: bytes
    sequence: int
    expires: int
    """By the wall clock."""
    ways: list[tuple[int, bytes, int, int, int]]
    flows: list[tuple[int, int, bytes, int]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)
