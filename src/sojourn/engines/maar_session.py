"""What a MAAR keeps of one mobile node, and how that is written to the store (RFC 8885 3.1, 3.7)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sojourn.engines.access_session import AWAY, DEPARTED, REFUSED, SERVED, AccessSession, Presence
from sojourn.engines.records import well_formed
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Instant

__all__ = ["AWAY", "DEPARTED", "REFUSED", "SERVED", "Presence", "Session"]


@dataclass(slots=True)
class Session(AccessSession):
    """One mobile node. While it is AWAY, `anchored` are the prefixes that we still pass on for a moment."""

    own: Prefix | None = None
    """The prefix that we anchor for it."""
    leased: tuple[Prefix, ...] = ()
    """What else we anchor for it, and gave it by DHCP: an IPv4 home address, a prefix to delegate."""
    routes: dict[Address, tuple[Prefix, ...]] = field(default_factory=dict)
    """The local networks of the anchors that have an identity of their own (DLIF)."""
    serving: Address | None = None
    """Who serves it while it is AWAY."""
    legacy: bool = False
    """The other end is an LMA that knows no D flag: we are a MAG for this node (design decision 3)."""
    since: Instant = 0
    """When it attached."""
    served: int = 0
    """Direct mode: Timestamp of the last attachment here."""
    packets: int = 0
    active: Instant = 0
    """When a packet of its prefix was last counted."""

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
                self.served,
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
            leased=tuple([Prefix(address, length) for address, length in kept.leased]),
            anchored={Prefix(address, length): anchor for address, length, anchor in kept.anchored},
            serving=kept.serving,
            sequence=kept.sequence,
            legacy=kept.legacy,
            lifetime=kept.lifetime,
            served=kept.served,
            expires=now + kept.lifetime,
            seen=now,
            left=now,
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
    served: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)
