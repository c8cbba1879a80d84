"""What a MAG keeps of one mobile node: an entry of its Binding Update List, and how that is stored (RFC 5213 6.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sojourn.engines.access_session import AccessSession, Presence
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.records import well_formed
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Instant


@dataclass(slots=True)
class BindingUpdateListEntry(AccessSession):
    """One interface of a mobile node. `node` is its link-layer address; what the LMA knows it by is `identity`."""

    identity: bytes = b""
    """Subtype and identifier of the MN-Identifier."""
    lma: Address = bytes(16)
    wanted: tuple[Prefix, ...] = ()
    """Prefixes to ask for as long as none are assigned: of the profile, or what it had."""
    link_local: Address | None = None
    """What we are called on its link, if the LMA says so."""
    home: Home | None = None
    """Its IPv4 home address, which is among `anchored` too."""
    ipv4_released: bool = False
    """It gave its IPv4 home address back, and did not ask for one since."""
    visitor: Prefix | None = None
    """A prefix of ours: it has no mobility service (6.14)."""
    retiring: dict[Prefix, Instant] = field(default_factory=dict)
    """Prefixes that it had before a renumbering, and when they end (RFC 8191); a restart ends them."""

    def record(self) -> bytes:
        """For the store."""
        return _encoder.encode(
            _Record(
                self.slot,
                self.interface,
                self.link_layer,
                self.attached,
                self.presence.value,
                [(prefix.address, prefix.length) for prefix in self.anchored],
                self.sequence,
                self.lifetime,
                self.identity,
                self.lma,
                [(prefix.address, prefix.length) for prefix in self.wanted],
                self.link_local,
                None if self.visitor is None else (self.visitor.address, self.visitor.length),
                None if self.home is None else (self.home.address, self.home.length, self.home.router),
                self.home is not None and self.home.relayed,
            )
        )

    @classmethod
    def restored(cls, node: bytes, record: bytes, now: Instant) -> BindingUpdateListEntry:
        """From the store. Raises ValueError for a record that is not one of ours."""
        kept = _decoder.decode(record)
        prefixes = [*kept.prefixes, *kept.wanted, *([kept.visitor] if kept.visitor else [])]
        if not well_formed([kept.lma, kept.link_local or bytes(16)], prefixes):
            raise ValueError("a record with addresses of the wrong length")
        home = None if kept.home is None else Home(*kept.home, kept.relayed)
        if home is not None and not well_formed([home.router], [(home.address, home.length)]):
            raise ValueError("a record with addresses of the wrong length")
        if len(kept.link_layer) != 6 or kept.slot <= 0 or not node or not kept.identity:
            raise ValueError("a record without a node")
        return cls(
            node=node,
            slot=kept.slot,
            interface=kept.interface,
            link_layer=kept.link_layer,
            attached=kept.attached,
            presence=Presence(kept.presence),
            anchored={Prefix(address, length): kept.lma for address, length in kept.prefixes},
            sequence=kept.sequence,
            lifetime=kept.lifetime,
            expires=now + kept.lifetime,
            identity=kept.identity,
            lma=kept.lma,
            wanted=tuple(Prefix(address, length) for address, length in kept.wanted),
            link_local=kept.link_local,
            home=home,
            visitor=None if kept.visitor is None else Prefix(*kept.visitor),
        )


class _Record(msgspec.Struct, array_like=True):
    slot: int
    interface: str
    link_layer: bytes
    attached: int
    presence: str
    prefixes: list[tuple[bytes, int]]
    sequence: int
    lifetime: int
    identity: bytes
    lma: bytes
    wanted: list[tuple[bytes, int]]
    link_local: bytes | None
    visitor: tuple[bytes, int] | None
    home: tuple[bytes, int, bytes] | None = None
    relayed: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)
