"""What an LMA keeps of one mobility session, how that is found, and how it is written to the store (RFC 5213 5.1, 5.4).

A mobile node may have several sessions, one for each interface that it is attached with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec

from sojourn.engines.home_ipv4 import ipv4_of
from sojourn.engines.lma_request import ALL_ZERO, HomeRequest
from sojourn.engines.records import StoredAddress, well_formed
from sojourn.engines.registration import Refused
from sojourn.wire import Handoff, Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Duration, Instant


class BindingCacheEntry(msgspec.Struct):
    """One mobility session. It is a proxy registration, as all are here."""

    slot: int
    """The number of its downlink object in the kernel, and of the session."""
    node: bytes
    """Subtype and identifier (RFC 4283)."""
    link_layer: bytes
    technology: int
    gateway: Address
    """Proxy-CoA: the far end of the tunnel."""
    source: Address
    """The MAG that registered it: the Proxy-CoA, unless that was named apart."""
    prefixes: tuple[Prefix, ...]
    timestamp: int
    """Of the update accepted last, in ticks; 0 when it had none."""
    sequence: int
    lifetime: Duration
    expires: Instant
    link_local: Address | None = None
    """What the MAG is called on the access link, if that was asked for."""
    waiting: bool = False
    """It was de-registered, and is kept for a moment (MinDelayBeforeBCEDelete)."""

    @property
    def home_prefixes(self) -> tuple[Prefix, ...]:
        """Those of IPv6: an IPv4 home address is the last of `prefixes`, if there is one."""
        return self.prefixes[:-1] if self.prefixes[-1].is_ipv4 else self.prefixes

    @property
    def key(self) -> bytes:
        """In the store."""
        return self.slot.to_bytes(4, "big")

    def record(self) -> bytes:
        """For the store."""
        return _encoder.encode(
            _Record(
                self.node,
                self.link_layer,
                self.technology,
                self.gateway,
                self.source,
                self.prefixes,
                self.timestamp,
                self.sequence,
                self.lifetime,
                self.link_local,
                self.waiting,
            )
        )

    @classmethod
    def restored(cls, key: bytes, record: bytes, now: Instant) -> BindingCacheEntry:
        """From the store; it has its whole lifetime again. Raises ValueError for a record that is not one of ours."""
        kept = _decoder.decode(record)
        slot = int.from_bytes(key, "big")
        if not slot or len(key) != 4:
            raise ValueError("a record without a session")
        if not well_formed((), kept.prefixes):
            raise ValueError("a record with prefixes that are none")
        return cls(
            slot,
            kept.node,
            kept.link_layer,
            kept.technology,
            kept.gateway,
            kept.source,
            kept.prefixes,
            kept.timestamp,
            kept.sequence,
            kept.lifetime,
            now + kept.lifetime,
            kept.link_local,
            kept.waiting,
        )


class _Record(msgspec.Struct, array_like=True):
    node: Annotated[bytes, msgspec.Meta(min_length=1)]
    link_layer: bytes
    technology: int
    gateway: StoredAddress
    source: StoredAddress
    prefixes: Annotated[tuple[Prefix, ...], msgspec.Meta(min_length=1)]
    timestamp: int
    sequence: int
    lifetime: int
    link_local: StoredAddress | None
    waiting: bool


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


class _Named(msgspec.Struct, array_like=True):
    node: bytes


_names = msgspec.msgpack.Decoder(_Named)


def node_of(_key: bytes, record: bytes) -> bytes:
    """Whom a record is about; nobody, if it is not one of ours."""
    try:
        return _names.decode(record).node
    except ValueError:
        return b""


class BindingCache:
    """All sessions, by number, by node and by prefix."""

    def __init__(self) -> None:
        self.recall: Callable[[bytes | None], None] | None = None
        """Brings those sessions of a node (None: of all) that an earlier life left; None when there are none."""
        self._by_slot: dict[int, BindingCacheEntry] = {}
        self._by_node: dict[bytes, tuple[BindingCacheEntry, ...]] = {}
        self._by_prefix: dict[Prefix, BindingCacheEntry] = {}

    def __len__(self) -> int:
        return len(self._by_slot)

    def __iter__(self) -> Iterator[BindingCacheEntry]:
        if self.recall is not None:
            self.recall(None)
        return iter(self._by_slot.values())

    def get(self, slot: int) -> BindingCacheEntry | None:
        """The session of that number."""
        return self._by_slot.get(slot)

    def of(self, node: bytes) -> tuple[BindingCacheEntry, ...]:
        """All sessions of a node."""
        if self.recall is not None:
            self.recall(node)
        return self._by_node.get(node, ())

    def with_prefix(self, prefix: Prefix) -> BindingCacheEntry | None:
        """The session that has it."""
        return self._by_prefix.get(prefix)

    def has_interface(self, request: HomeRequest) -> bool:
        """Whether there is a session of the very interface that `request` names."""
        named = request.link_layer != ALL_ZERO
        return named and any(
            entry.link_layer == request.link_layer and entry.technology == request.technology
            for entry in self.of(request.node)
        )

    def add(self, entry: BindingCacheEntry) -> None:
        """One session more."""
        self._by_slot[entry.slot] = entry
        others = self._by_node.get(entry.node)
        self._by_node[entry.node] = (entry,) if others is None else (*others, entry)
        for prefix in entry.prefixes:
            self._by_prefix[prefix] = entry

    def remove(self, entry: BindingCacheEntry) -> None:
        """One session less."""
        del self._by_slot[entry.slot]
        others = tuple(other for other in self._by_node[entry.node] if other is not entry)
        if others:
            self._by_node[entry.node] = others
        else:
            del self._by_node[entry.node]
        for prefix in entry.prefixes:
            del self._by_prefix[prefix]

    def change(self, entry: BindingCacheEntry, prefixes: tuple[Prefix, ...]) -> None:
        """A session has these from now on."""
        for prefix in entry.prefixes:
            del self._by_prefix[prefix]
        entry.prefixes = prefixes
        for prefix in prefixes:
            self._by_prefix[prefix] = entry

    # --- the existence test (RFC 5213 5.4.1) ------------------------------------------------------------------------

    def find(self, request: HomeRequest) -> tuple[BindingCacheEntry | None, bool]:
        """The session that `request` is about; None: a new one is asked for.

        The second value says that it may be about this session, which only the end of it can tell: wait for that.
        Raises `Refused`.
        """
        if self.recall is not None:
            self.recall(request.node)
        if request.prefixes:
            return self._find_by_prefix(request), False
        wanted = ipv4_of(request.ipv4)
        if wanted is not None:
            return self._find_by_ipv4(request, wanted), False
        if request.link_layer != ALL_ZERO:
            return self._find_by_link_layer(request)
        return self._find_by_node(request)

    def _find_by_prefix(self, request: HomeRequest) -> BindingCacheEntry | None:
        """5.4.1.1: a prefix is known."""
        entry = next(filter(None, map(self._by_prefix.get, request.prefixes)), None)
        if entry is None:
            return None
        if entry.node != request.node:
            raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "prefix of another node")
        if request.any_prefix or sorted(entry.home_prefixes) != sorted(request.prefixes):
            raise Refused(Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH, "not the prefixes of the session")
        return entry if self._is_same(entry, request) else None

    def _find_by_ipv4(self, request: HomeRequest, wanted: Prefix) -> BindingCacheEntry | None:
        """RFC 5844 3.1.2.7: the IPv4 home address is known, and no prefix."""
        entry = self._by_prefix.get(wanted)
        if entry is None:
            return None
        if entry.node != request.node:
            raise Refused(Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS, "IPv4 home address of another node")
        return entry if self._is_same(entry, request) else None

    @staticmethod
    def _is_same(entry: BindingCacheEntry, request: HomeRequest) -> bool:
        """5.4.1.1, 3.: whether a request that names its prefixes is about this session."""
        same_technology = entry.technology == request.technology
        unnamed = request.link_layer == ALL_ZERO
        return (
            request.handoff == Handoff.BETWEEN_INTERFACES
            or (same_technology and entry.gateway == request.gateway)
            or (same_technology and not unnamed and entry.link_layer == request.link_layer)
            or (
                same_technology
                and unnamed
                and entry.link_layer == ALL_ZERO
                and request.handoff == Handoff.BETWEEN_GATEWAYS
            )
        )

    def _find_by_link_layer(self, request: HomeRequest) -> tuple[BindingCacheEntry | None, bool]:
        """5.4.1.2: the interface is known."""
        sessions = self.of(request.node)
        for entry in sessions:
            if entry.link_layer == request.link_layer and entry.technology == request.technology:
                return entry, False
        if len(sessions) != 1 or request.handoff not in (Handoff.BETWEEN_INTERFACES, Handoff.UNKNOWN):
            return None, False
        return sessions[0], request.handoff == Handoff.UNKNOWN

    def _find_by_node(self, request: HomeRequest) -> tuple[BindingCacheEntry | None, bool]:
        """5.4.1.3: nothing is known but the node."""
        sessions = self.of(request.node)
        updating = (Handoff.BETWEEN_INTERFACES, Handoff.BETWEEN_GATEWAYS, Handoff.UNKNOWN)
        if len(sessions) != 1 or request.handoff not in updating:
            return None, False
        return sessions[0], request.handoff == Handoff.UNKNOWN
