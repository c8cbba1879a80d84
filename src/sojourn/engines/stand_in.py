"""What a MAAR knows of anchors that may be gone, and of partners that take their pools over.

The partner of an anchor is named in the configuration of every router of the domain. When the anchor is gone, its
partner *holds* its pool: the network leads packets for the pool to it, it tunnels to the routers that serve the nodes,
and whatever nobody told it about it tunnels to the anchor itself, which may still forward, although its daemon is dead
or its way to us is. So a mistake costs a detour, not a session.

Who holds a pool is said by the partner alone, in a Binding Refresh Request with Previous MAAR options: "this pool is
at that router now". Each such word has a time; the latest counts. The serving routers then register what they serve
with that router, in the form in which a CMD tells an anchor (RFC 8885 3.2, step 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum

from sojourn.engines.configuration import MaarConfiguration, Peer
from sojourn.engines.liveness import Liveness
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Instant


class Phase(Enum):
    """What we are to an anchor whose partner we are."""

    READY = "ready"
    """It holds its pool itself."""
    HOLDING = "holding"
    """We do."""
    RETURNING = "returning"
    """We do, and everybody is told to go back to it."""


READY, HOLDING, RETURNING = Phase


@dataclass(slots=True)
class Held:
    """A prefix of a pool that we hold, or may soon."""

    node: bytes
    serving: Address
    attached: int
    """Timestamp of the attachment there, in ticks."""


class Given:
    """Direct mode: what an anchor gave to nodes that are with it, as it told its partner; nobody else would know."""

    def __init__(self) -> None:
        self.prefixes: dict[Prefix, tuple[bytes, Instant]] = {}
        """Node, and the instant at which it is forgotten; what was told last is at the end."""
        self.nodes: dict[bytes, set[Prefix]] = {}
        self._said: dict[bytes, int] = {}
        """The latest attachment of each that the anchor told of, in ticks."""

    def tell(self, node: bytes, prefixes: Collection[Prefix], stamp: int, until: Instant, most: int) -> None:
        """The anchor lists all that it gave to `node`, which attached at `stamp`: what it does not list is over.

        An anchor that lost its memory gives it others. What is late ends nothing.
        """
        said = self._said.get(node, 0)
        if stamp >= said:
            for prefix in self.nodes.get(node, set()).difference(prefixes):
                self.forget(prefix)
        for prefix in prefixes:
            self.note(prefix, node, until, most)
        if node in self.nodes:
            self._said[node] = max(stamp, said)

    def note(self, prefix: Prefix, node: bytes, until: Instant, most: int) -> None:
        """No more than `most`: then what was not told for the longest time is forgotten."""
        self.forget(prefix)
        while len(self.prefixes) >= most:
            self.forget(next(iter(self.prefixes)))
        self.prefixes[prefix] = node, until
        self.nodes.setdefault(node, set()).add(prefix)

    def forget(self, prefix: Prefix) -> None:
        """It may be another node's."""
        node, _ = self.prefixes.pop(prefix, (b"", 0))
        prefixes = self.nodes.get(node)
        if prefixes is not None:
            prefixes.discard(prefix)
            if not prefixes:
                del self.nodes[node]
                self._said.pop(node, None)

    def expire(self, now: Instant) -> None:
        """What was not told again is not so any more."""
        for prefix in [prefix for prefix, (_, until) in self.prefixes.items() if until <= now]:
            self.forget(prefix)


@dataclass(slots=True)
class StandIn:
    """An anchor whose partner we are."""

    anchor: Address
    pools: tuple[Prefix, ...]
    phase: Phase = READY
    said: int = 0
    """When it was said last who holds the pool, in ticks."""
    repeats: int = 0
    """How often that was repeated."""
    entries: dict[Prefix, Held] = field(default_factory=dict)
    """What serving routers registered."""
    used: dict[Prefix, tuple[int, Instant]] = field(default_factory=dict)
    """HOLDING: packets from each prefix at the last look, and when they became so many."""
    sequence: int = 0
    """Of what we said last about prefixes that nobody uses."""
    nodes: dict[bytes, set[Prefix]] = field(default_factory=dict)
    """The same by node."""
    serves: Counter[Address] = field(default_factory=Counter)
    """How many of them each router registered."""
    given: Given = field(default_factory=Given)
    slots: dict[Address, int] = field(default_factory=dict)
    """Tunnels in use: one for each router, however many nodes it serves."""
    cut_off: Instant | None = None
    """When we last heard nobody else either."""
    until: Instant = 0
    """RETURNING: the instant at which nobody is waited for any more."""

    def has(self, prefix: Prefix) -> bool:
        """Whether it anchors `prefix`."""
        return any(pool.contains(prefix) for pool in self.pools)

    def enter(self, prefix: Prefix, held: Held) -> None:
        """A router registered it. What another node has is never entered for this one (`_check_held`)."""
        self.forget(prefix)
        self.entries[prefix] = held
        self.serves[held.serving] += 1
        self.nodes.setdefault(held.node, set()).add(prefix)

    def forget(self, prefix: Prefix) -> bool:
        """Nobody serves it any more; whether anybody did."""
        held = self.entries.pop(prefix, None)
        if held is None:
            return False
        self.serves[held.serving] -= 1
        prefixes = self.nodes[held.node]
        prefixes.discard(prefix)
        if not prefixes:
            del self.nodes[held.node]
        return True

    def of(self, node: bytes) -> list[Prefix]:
        """What the node has of it, as routers registered or the anchor told."""
        return sorted(self.nodes.get(node, set()) | self.given.nodes.get(node, set()))


class Survival:
    """What outlives routers, as one router knows it."""

    def __init__(self, configuration: MaarConfiguration, peers: Iterable[Peer], liveness: Liveness) -> None:
        self.liveness = liveness
        self.address = configuration.address
        self.partners: dict[Address, Address] = {}
        """By anchor."""
        self.pools: dict[Address, tuple[Prefix, ...]] = {}
        """By anchor, of those that have a partner."""
        for peer in peers:
            if peer.partner is not None and peer.address != configuration.address:
                self.partners[peer.address] = peer.partner
                self.pools[peer.address] = tuple(pool for pool in (peer.pool, peer.ipv4_pool) if pool is not None)
        self.entrusted: dict[Address, list[Address]] = {}
        """By partner, those in whose place it may be."""
        for anchor, partner in self.partners.items():
            self.entrusted.setdefault(partner, []).append(anchor)
        self.standing = {
            anchor: StandIn(anchor, self.pools[anchor])
            for anchor, partner in self.partners.items()
            if partner == configuration.address
        }
        """Those whose partner we are."""
        self.holders: dict[Address, Address] = {}
        """Who holds the pool of an anchor, where that is not the anchor."""
        self.words: dict[Address, int] = {}
        """When that was said, in ticks."""
        self.accepted: set[Address] = set()
        """Anchors whose partner accepted something of ours in their place."""
        self.missed: set[Address] = set()
        """Anchors that are gone with nobody in their place, since a moment only: nodes are told, and nothing else."""
        self.gone: dict[Address, dict[Prefix, bytes]] = {}
        """Those that are gone for good, and what nodes here had from them."""
        self.begun: Instant = 0
        """When this life began."""
        self.adopted: Counter[Address] = Counter()
        """Nodes that we know from the word of a router, in this life."""
        self.held = False
        """Our own pool is with our partner, as that one says again and again."""
        self.held_since: Instant = 0

    def holder(self, anchor: Address) -> Address:
        """Who holds its pool."""
        return self.holders.get(anchor, anchor)

    def way_out(self, anchor: Address) -> Address | None:
        """Where packets from its prefixes leave; None: here."""
        holder = self.holders.get(anchor, anchor)
        return None if holder == self.address else holder
