"""What the CMD keeps of one mobile node, and how that is written to the store (RFC 8885 3.1 to 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from sojourn.engines.records import StoredAddress, StoredLength
from sojourn.wire import AccessTechnology, BindingUpdate
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Duration, Instant


@dataclass(slots=True)
class Handover:
    """A handover whose previous MAARs did not all answer yet."""

    update: BindingUpdate
    """The latest update of the serving MAAR: what the answer is made of."""
    waiting: set[Address]
    answered: list[Address] = field(default_factory=list)
    flushed: bool = False
    """Relay mode: the serving MAAR was told something already; what comes later is sent as it comes."""


class BindingCacheEntry(msgspec.Struct):
    """The aggregated session of one mobile node: where it is, and which MAARs anchor prefixes for it."""

    node: bytes
    serving: Address
    """Proxy Care-of Address: the MAAR that serves it now."""
    timestamp: int
    """Of the attachment that won, in ticks (RFC 5213 8.8)."""
    sequence: int
    lifetime: Duration
    expires: Instant
    anchors: list[tuple[Prefix, Address]]
    """The P-MAAR list and the serving MAAR's own prefix; the MAAR that served last comes last."""
    moved: int = 0
    """Timestamp of the attachment that brought it to this MAAR, as its anchors know it; 0: nobody knows."""
    technology: int = int(AccessTechnology.WIFI)
    """`AccessTechnology`, as the serving MAAR said it; not stored."""
    handover: Handover | None = None
    untold: tuple[Address, ...] = ()
    """MAARs that did not answer when they were told where the node is; they are told again when they are heard."""
    inherited: bool = False
    """As another CMD kept it, which may be telling `untold`: until we change it; not stored."""

    def anchor_of(self, prefix: Prefix) -> Address | None:
        """Who anchors `prefix` for this node."""
        for known, maar in self.anchors:
            if known == prefix:
                return maar
        return None

    def add(self, prefix: Prefix, maar: Address) -> None:
        """`maar` anchors `prefix`, and was the last to serve."""
        if self.anchor_of(prefix) is not None:
            self.remove(prefix)
        self.anchors.append((prefix, maar))

    def remove(self, prefix: Prefix) -> None:
        """Nobody anchors `prefix` for this node."""
        self.anchors = [pair for pair in self.anchors if pair[0] != prefix]

    def previous(self) -> list[tuple[Prefix, Address]]:
        """The P-MAAR list: prefixes anchored at other MAARs than the serving one."""
        return [pair for pair in self.anchors if pair[1] != self.serving]

    def by_maar(self) -> dict[Address, list[Prefix]]:
        """The P-MAAR list, by MAAR."""
        result: dict[Address, list[Prefix]] = {}
        for prefix, maar in self.anchors:
            if maar in result:
                result[maar].append(prefix)
            elif maar != self.serving:
                result[maar] = [prefix]
        return result

    def record(self) -> bytes:
        """For the store."""
        return _encoder.encode(
            _Record(
                self.serving,
                self.timestamp,
                self.sequence,
                self.lifetime,
                [(prefix.address, prefix.length, maar) for prefix, maar in self.anchors],
                tuple(sorted(self.unconfirmed())),
                self.moved,
            )
        )

    def unconfirmed(self) -> set[Address]:
        """MAARs that may not know where the node is."""
        if self.handover is None and not self.untold:
            return set()
        waiting = self.handover.waiting if self.handover is not None else ()
        return {*self.untold, *waiting} - {self.serving}

    @classmethod
    def restored(cls, node: bytes, record: bytes, now: Instant) -> BindingCacheEntry:
        """From the store; it has its whole lifetime again. Raises ValueError for a record that is not one of ours."""
        kept = _decoder.decode(record)
        if not node:
            raise ValueError("a record about nobody")
        return cls(
            node,
            kept.serving,
            kept.timestamp,
            kept.sequence,
            kept.lifetime,
            now + kept.lifetime,
            [(Prefix(address, length), maar) for address, length, maar in kept.anchors],
            kept.moved,
            untold=kept.untold,
        )


def anchored(record: bytes) -> list[bytes]:
    """The addresses of the prefixes in a record that was stored; of one that is not ours, none."""
    try:
        return [address for address, _, _ in _decoder.decode(record).anchors]
    except ValueError:
        return []


class _Record(msgspec.Struct, array_like=True):
    serving: StoredAddress
    timestamp: int
    sequence: int
    lifetime: int
    anchors: list[tuple[StoredAddress, StoredLength, StoredAddress]]
    untold: tuple[StoredAddress, ...] = ()
    moved: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


def leased(prefix: Prefix) -> bool:
    """Whether a node got it by DHCP beside its own prefix: an IPv4 address, or a prefix for what is behind it.

    A node has few of these and cannot do without; they count, and are counted, apart from the others.
    """
    return prefix.is_ipv4 or prefix.length < 64


def merged(known: Iterable[Prefix], listed: Iterable[Prefix]) -> list[Prefix]:
    """What is listed and not yet known, in order."""
    seen = set(known)
    return [prefix for prefix in dict.fromkeys(listed) if prefix not in seen]
