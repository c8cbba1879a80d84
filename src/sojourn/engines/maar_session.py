"""What a MAAR keeps of one mobile node, and how that is written to the store (RFC 8885 3.1, 3.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from sojourn.engines.records import well_formed
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import Duration, Instant


class Presence(Enum):
    """Where the node is, as far as this MAAR knows."""

    SERVED = "served"
    """On one of our access links: we are its S-MAAR."""
    DEPARTED = "departed"
    """It left our link and nobody told us where it is."""
    AWAY = "away"
    """Another MAAR serves it: we are a P-MAAR."""
    REFUSED = "refused"
    """The CMD does not want it here."""

    __hash__ = object.__hash__
    """There is one object of each; the hash of `Enum` is a Python function."""


SERVED, DEPARTED, AWAY, REFUSED = Presence
"""The same without a look into the class, which takes longer than the comparison (CPython 3.11)."""

TRANSITIONS: dict[Presence, frozenset[Presence]] = {
    Presence.SERVED: frozenset({Presence.SERVED, Presence.DEPARTED, Presence.AWAY, Presence.REFUSED}),
    Presence.DEPARTED: frozenset({Presence.SERVED, Presence.AWAY, Presence.REFUSED}),
    Presence.AWAY: frozenset({Presence.AWAY, Presence.SERVED}),
    Presence.REFUSED: frozenset({Presence.AWAY}),
}
"""Every way from one presence to another; anything else is a mistake of ours."""


@dataclass(slots=True)
class Session:
    """One mobile node."""

    node: bytes
    """Subtype and identifier (RFC 4283): the key."""
    slot: int
    """The number of its downlink object in the kernel."""
    interface: str
    link_layer: LinkLayer
    attached: int
    """Timestamp of the attachment that counts, in ticks: our own, or the one that took it away from us."""
    presence: Presence = Presence.SERVED
    own: Prefix | None = None
    """The prefix that we anchor for it."""
    leased: list[Prefix] = field(default_factory=list)
    """What else we anchor for it, and gave it by DHCP: an IPv4 home address, a prefix to delegate."""
    anchored: dict[Prefix, Address] = field(default_factory=dict)
    """Prefixes that others anchor and we serve. While AWAY: those that we still pass on for a moment."""
    logical: dict[Address, Address] = field(default_factory=dict)
    """Link-local identities of anchors that have local networks of their own (DLIF)."""
    routes: dict[Address, tuple[Prefix, ...]] = field(default_factory=dict)
    """The local networks of these anchors."""
    serving: Address | None = None
    """Who serves it while it is AWAY."""
    sequence: int = 0
    legacy: bool = False
    """The other end is an LMA that knows no D flag: we are a MAG for this node (design decision 3)."""
    confirmed: bool = False
    """The CMD accepted this attachment."""
    since: Instant = 0
    """When it attached."""
    expires: Instant = 0
    """End of the binding at the CMD."""
    lifetime: Duration = 0
    address: Address | None = None
    """One that it was seen with."""
    seen: Instant = 0
    probes: int = 0
    """Probes without an answer."""
    contested: bool = False
    """Somebody else claims a later attachment; a sign of life settles it."""
    corrections: int = 0
    """Registrations repeated with another clock or another prefix."""
    left: Instant = 0
    """When it was last seen leaving."""
    packets: int = 0
    active: Instant = 0
    """When a packet of its prefix was last counted."""

    def become(self, presence: Presence) -> None:
        """Change the presence, along `TRANSITIONS` only."""
        assert presence in TRANSITIONS[self.presence], (self.presence, presence)
        self.presence = presence

    def record(self) -> bytes:
        """For the store."""
        return _encoder.encode(
            _Record(
                self.slot,
                self.interface,
                self.link_layer,
                self.attached,
                self.presence.value,
                None if self.own is None else (self.own.address, self.own.length),
                [(prefix.address, prefix.length, anchor) for prefix, anchor in self.anchored.items()],
                self.serving,
                self.sequence,
                self.legacy,
                self.lifetime,
                [(prefix.address, prefix.length) for prefix in self.leased],
            )
        )

    @classmethod
    def restored(cls, node: bytes, record: bytes, now: Instant) -> Session:
        """From the store. Raises ValueError for a record that is not one of ours."""
        kept = _decoder.decode(record)
        addresses = [anchor for _, _, anchor in kept.anchored] + [kept.serving or bytes(16)]
        prefixes = [(address, length) for address, length, _ in kept.anchored] + kept.leased
        prefixes += [kept.own] if kept.own else []
        if not well_formed(addresses, prefixes) or len(kept.link_layer) != 6 or kept.slot <= 0 or not node:
            raise ValueError("a record with addresses of the wrong length")
        return cls(
            node=node,
            slot=kept.slot,
            interface=kept.interface,
            link_layer=kept.link_layer,
            attached=kept.attached,
            presence=Presence(kept.presence),
            own=None if kept.own is None else Prefix(*kept.own),
            leased=[Prefix(address, length) for address, length in kept.leased],
            anchored={Prefix(address, length): anchor for address, length, anchor in kept.anchored},
            serving=kept.serving,
            sequence=kept.sequence,
            legacy=kept.legacy,
            lifetime=kept.lifetime,
            expires=now + kept.lifetime,
            seen=now,
            active=now,
        )


class _Record(msgspec.Struct, array_like=True):
    slot: int
    interface: str
    link_layer: bytes
    attached: int
    presence: str
    own: tuple[bytes, int] | None
    anchored: list[tuple[bytes, int, bytes]]
    serving: bytes | None
    sequence: int
    legacy: bool
    lifetime: int
    leased: list[tuple[bytes, int]] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)
