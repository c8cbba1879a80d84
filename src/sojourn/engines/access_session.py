"""What a router with access links keeps of one mobile node, whatever its protocol (RFC 5213 6.1, RFC 8885 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import Duration, Instant


class Presence(Enum):
    """Where the node is, as far as this router knows."""

    SERVED = "served"
    """On one of our access links: we are its gateway, or its S-MAAR."""
    DEPARTED = "departed"
    """It left our link and nobody told us where it is."""
    AWAY = "away"
    """Another MAAR serves it: we are a P-MAAR."""
    REFUSED = "refused"
    """Whom we asked does not want it here."""

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

NEVER: Instant = -(1 << 62)
"""Longer ago than anything that is trusted."""


@dataclass(slots=True)
class AccessSession:
    """One mobile node: an entry of the Binding Update List."""

    node: bytes
    """Subtype and identifier (RFC 4283): the key."""
    slot: int
    """The number of its downlink object in the kernel."""
    interface: str
    link_layer: LinkLayer
    attached: int
    """Timestamp of the attachment that counts, in ticks: our own, or the one that took it away from us."""
    presence: Presence = Presence.SERVED
    anchored: dict[Prefix, Address] = field(default_factory=dict)
    """Prefixes that others anchor and we serve."""
    logical: dict[Address, Address] = field(default_factory=dict)
    """Link-local identities that we show to this node for the sake of an anchor."""
    sequence: int = 0
    confirmed: bool = False
    """Whom we asked accepted this attachment."""
    expires: Instant = 0
    """End of the binding there."""
    lifetime: Duration = 0
    address: Address | None = None
    """One that it was seen with."""
    seen: Instant = 0
    """When it last gave a sign of life; `NEVER`: not in this life of ours."""
    probes: int = 0
    """Probes without an answer."""
    contested: bool = False
    """Somebody else claims a later attachment; a sign of life settles it."""
    corrections: int = 0
    """Registrations repeated with another clock or another prefix."""
    without_ipv4: bool = False
    """An LMA refused it an IPv4 home address."""
    left: Instant = 0
    """When it was last seen leaving."""

    def become(self, presence: Presence) -> None:
        """Change the presence, along `TRANSITIONS` only."""
        assert presence in TRANSITIONS[self.presence], (self.presence, presence)
        self.presence = presence

    def record(self) -> bytes:
        """For the store."""
        raise NotImplementedError
