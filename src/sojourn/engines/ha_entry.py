"""What a home agent keeps of one mobile node, and how it is written to the store (RFC 6275 9.1, 10.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from sojourn.core.mobile_effects import Flow
from sojourn.engines.care_of_ways import Way, Ways, best
from sojourn.engines.ha_flows import Flows, restored, steered
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.engines.mip6_request import ROUTER, BindingRequest, defended
from sojourn.engines.records import well_formed
from sojourn.wire import VendorSpecific
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import Duration, Instant


class BindingState(Enum):
    """Where a binding is between its first request and its end."""

    TENTATIVE = "tentative"
    """Nobody knows yet whether the home address is unique."""
    ACTIVE = "active"
    DELETED = "deleted"
    """De-registered, and remembered so that what was delayed cannot revive it (RFC 6275 10.3.2)."""


@dataclass(slots=True)
class BindingCacheEntry:
    """One home registration."""

    home: Address
    slot: int
    """The number of its downlink object in the kernel."""
    node: HomeNode
    state: BindingState
    care_of: Address = bytes(16)
    sequence: int = 0
    """Of the update accepted last."""
    flags: int = 0
    lifetime: Duration = 0
    expires: Instant = 0
    prefixes: tuple[Prefix, ...] = ()
    """Mobile network prefixes (RFC 3963)."""
    ways: Ways = field(default_factory=dict)
    """Its care-of addresses, if it has several (RFC 5648); `care_of` is the best of them that is abroad."""
    link_layer: LinkLayer = b""
    """Where it is on the home link, if it is there too (RFC 5648 5.6)."""
    flows: Flows = field(default_factory=dict)
    """Which packets go to which of these (RFC 6089)."""
    vendors: tuple[VendorSpecific, ...] = ()
    """What vendors defined (RFC 5094)."""
    pending: BindingRequest | None = None
    """What is answered when the home address turned out to be unique."""
    unprobed: set[Address] = field(default_factory=set)
    """Addresses that were not tested yet. An active binding has some only where it did not wait for the test."""

    yielded: bool = False
    """Nothing is answered for on the link: another home agent asks whether it may (see `ha_switch`), or somebody else
    has the address, and the binding is being taken back."""

    @property
    def is_router(self) -> bool:
        """Flag R: a mobile router (RFC 3963)."""
        return bool(self.flags & ROUTER)

    @property
    def defended(self) -> tuple[Address, ...]:
        """The addresses that the home agent answers for on the home link (RFC 6275 10.3.1)."""
        return defended(self.home, self.flags)

    @property
    def at_home_first(self) -> bool:
        """Whether packets go to it on the home link."""
        return bool(self.ways) and best(self.ways) == self.home

    @property
    def way(self) -> tuple[Address, LinkLayer]:
        """Where packets go: to a care-of address, or on the home link."""
        return (self.home, self.link_layer) if self.at_home_first else (self.care_of, b"")

    @property
    def tunnel_ends(self) -> set[Address]:
        """Further care-of addresses that packets are taken from."""
        return {way.care_of for way in self.ways.values() if way.care_of != self.home}

    @property
    def networks(self) -> tuple[Prefix, ...]:
        """What goes through the tunnel."""
        return (Prefix(self.home, 128), *self.prefixes)

    @property
    def steered(self) -> tuple[Flow, ...]:
        """The flow bindings that have a care-of address; the home link is one while it is the best."""
        if not self.flows:
            return ()
        ways = self.ways if self.at_home_first else {n: way for n, way in self.ways.items() if way.care_of != self.home}
        return steered(self.flows, ways)

    def record(self) -> bytes:
        """For the store, under the home address."""
        prefixes = [(prefix.address, prefix.length) for prefix in self.prefixes]
        ways = [(identifier, way.care_of, way.priority) for identifier, way in self.ways.items()]
        flows = [(identifier, *binding) for identifier, binding in self.flows.items()]
        fixed = self.slot, self.care_of, self.sequence, self.flags, self.lifetime
        values = (*fixed, prefixes, ways, flows, self.link_layer)
        return _encoder.encode(_Record(*values))

    @classmethod
    def restored(cls, key: bytes, record: bytes, node: HomeNode, now: Instant) -> BindingCacheEntry:
        """From the store; it has its whole lifetime again. Raises ValueError for a record that is not one of ours."""
        kept = _decoder.decode(record)
        care_of = [care_of for _, care_of, _ in kept.ways]
        if not kept.slot or not well_formed([key, kept.care_of, *care_of], kept.prefixes):
            raise ValueError("not the record of a binding")
        prefixes = tuple(Prefix(address, length) for address, length in kept.prefixes)
        values = kept.care_of, kept.sequence, kept.flags, kept.lifetime, now + kept.lifetime, prefixes
        ways = {identifier: Way(care_of, priority) for identifier, care_of, priority in kept.ways}
        flows = restored(kept.flows)
        link_layer = kept.link_layer if len(kept.link_layer) == 6 else b""
        if not link_layer:
            ways = {identifier: way for identifier, way in ways.items() if way.care_of != key}
        return cls(key, kept.slot, node, BindingState.ACTIVE, *values, ways, link_layer, flows)


class _Record(msgspec.Struct, array_like=True):
    slot: int
    care_of: bytes
    sequence: int
    flags: int
    lifetime: int
    prefixes: list[tuple[bytes, int]]
    ways: list[tuple[int, bytes, int]]
    flows: list[tuple[int, int, bytes, int]] = []
    link_layer: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)
