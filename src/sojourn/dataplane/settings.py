"""What the Linux data plane is told: its addresses, interfaces, and which numbers of the kernel are its own."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from sojourn.wire.addresses import Address, LinkLayer, Prefix, address, link_layer

SHARED_LINK_LAYER = link_layer("00:00:5e:00:52:13")
"""The link-layer address that all access routers show (RFC 6543 section 3)."""
SHARED_LINK_LOCAL = address("fe80::200:5eff:fe00:5213")
"""The link-local address that all access routers show (RFC 6543 section 3)."""

TUNNEL_OVERHEAD = 40
"""Octets of the outer IPv6 header (RFC 2473)."""
TRANSPORT_OVERHEAD = 28
"""Octets of the outer headers over IPv4, with UDP (RFC 5844 4.1.4.1)."""
_TCP_AND_IPV6 = 60
SLOTS = (1 << 24) - 2
"""Slots are below this; the number itself is the nexthop that leads round the loop."""
TRIAL = SLOTS + 1
"""The nexthop that shows what the kernel can do, and is gone at once."""
_OF_HANDOVERS = 1 << 16
"""Tables for handovers come so far behind those for peers (`ipv4_ways`)."""
_OF_FLOWS = 1 << 20
"""Tables for flows come so far behind those for peers (`flow_ways`)."""
_FLOW_WAYS = 8
NEXTHOP_GROUPS = 1 << 24
"""The group of a slot has a number so much higher; the members of groups, so much higher again."""


@dataclass(frozen=True)
class Tables:
    """Routing tables that are ours alone."""

    decapsulation: int = 50
    """Packets out of a tunnel, by peer."""
    decapsulation_ipv4: int = 51
    """Packets of IPv4 out of a tunnel, by peer."""
    sources: int = 52
    """Who may send from an access link: `throw` for a known source prefix, else `blackhole`."""
    uplinks: int = 53
    """Source prefixes that leave through a tunnel."""
    nodes: int = 54
    """Prefixes of nodes, wherever the nodes are."""
    oversize: int = 55
    """Packets too big for a tunnel."""
    pools: int = 56
    """Pools of other anchors that the network is to lead here: for a routing daemon; no packet is looked up in it."""

    def all(self) -> tuple[int, ...]:
        """In the order in which their contents are removed."""
        own = (self.decapsulation, self.decapsulation_ipv4)
        return (self.pools, self.nodes, self.uplinks, self.sources, self.oversize, *own)


@dataclass(frozen=True)
class Priorities:
    """Where our rules stand; the rule for `local` moves from 0 behind the first two."""

    inner_spoofing: int = 9
    decapsulation: int = 10
    multicast: int = 11
    stray_groups: int = 12
    local: int = 100
    queues: int = 104
    sources: int = 105
    oversize: int = 106
    forwarded: int = 107
    uplinks_first: int = 108
    plain: int = 109
    flows: int = 109
    """Of home agents and mobile nodes, which have no such plain ways."""
    nodes: int = 110
    uplinks: int = 111
    strays: int = 112
    unbound: int = 113


def marks(taken: Container[int], mask: int) -> Iterator[int]:
    """Packet marks within the bits of `mask`, neither none at all nor `taken`, in order."""
    value = 0
    while (value := value - mask & mask) != 0:  # the next subset of the bits
        if value not in taken:
            yield value


def forwarded_mark(mark: int, mask: int) -> int:
    """Another one, which is no stray's either."""
    lowest = mask & -mask
    rest = mask ^ lowest
    second = rest & -rest
    other = mark ^ second
    return other if other else mark ^ lowest ^ second


@dataclass(frozen=True)
class LinuxSettings:
    """One access router. Everything after `buffer` has a value that suits."""

    address: Address
    """Proxy-CoA: the end of all tunnels here."""
    pool: Prefix | None
    """The prefixes of nodes that are anchored here lie in it."""
    peers: tuple[Address, ...]
    """The far ends of tunnels; nobody else's packets are taken out of a tunnel."""
    access: tuple[str, ...]
    """Interfaces with nodes on them."""
    buffer: bool = True
    """Whether the queue that `EnsureHold` uses is made long enough for a handover."""
    mtu: int = 1500
    """Of the core, between the access routers."""
    prefix_length: int = 64
    """Of every prefix that is counted."""
    delegated_length: int = 0
    """Of prefixes for networks behind nodes; 0: there are none."""
    ipv4: bool = False
    """Whether nodes may have IPv4 addresses; their sources are told apart by nf_tables."""
    ipv4_pool: Prefix | None = None
    """Those that are anchored here lie in it."""
    counters: bool = True
    """Whether nf_tables is used. Without it: no counters, no MSS clamping, no Packet Too Big before a tunnel."""
    other_addresses: tuple[Address, ...] = ()
    """More ends of tunnels here: packets for them are taken out, those that we tunnel are from `address`."""
    path_addresses: tuple[Address, ...] = ()
    """The same, and some of what we tunnel is from these (`EnsureSpread`): each gets a veth pair like `loop`."""
    other_pools: tuple[Prefix, ...] = ()
    """More prefixes like `pool`."""
    drop_unassigned: bool = False
    """Packets to these pools that no node has a way for are dropped, instead of following the other routes."""
    local_routing: bool = True
    """Nodes here reach each other directly, not by way of their anchors (EnableMAGLocalRouting, RFC 5213 9.2)."""
    drop_strays: bool = False
    """Packets out of a tunnel to nobody who is here are dropped in silence (RFC 5213 6.10.5). Needs `counters`."""
    rates: bool = False
    """Whether prefixes may have a rate (`EnsureRate`). Needs `counters`."""
    link_layer: LinkLayer | None = SHARED_LINK_LAYER
    """What every access interface shows; None leaves it as it is."""
    link_local: Address | None = SHARED_LINK_LOCAL
    """What every access interface answers to; None adds none."""
    upstream: str = ""
    """The interface towards multicast sources; empty: no multicast is forwarded."""
    loop: tuple[str, str] = ("sojourn0", "sojourn1")
    """A veth pair of our own: carries the address, holds packets, answers those too big."""
    tables: Tables = field(default_factory=Tables)
    priorities: Priorities = field(default_factory=Priorities)
    nexthops: int = 0x8C000000
    """Slot n is nexthop object nexthops + n, n < 2**24 - 2; behind it come 2**24 groups and 2**24 members of these."""
    mark: int = 0x008C0000
    mark_mask: int = 0x00FF0000
    """Bits of the packet mark that are ours."""
    hold_octets: int = 1 << 20
    """Queue per held slot, in octets of kernel memory (about 450 full-size packets a MiB)."""
    hold_seconds: int = 5
    """How long a held packet waits at most."""
    backend: str = "auto"
    """How the kernel tunnels: ``seg6``, ``ip6tnl``, or ``auto`` for the first of them that it can."""
    tunnels: tuple[str, str] = ("sojourn2", "sojourn3")
    """Interfaces of our own where the backend is ``ip6tnl``: what goes into tunnels, and what comes out."""

    transport: Address | None = None
    """Our IPv4 address, where some peers are reached over IPv4 (RFC 5844 4)."""
    transport_peers: tuple[Address, ...] = ()
    """These peers, by the names that they have among `peers`."""
    transport_device: str = "sojourn4"
    """The interface of our own that leads to them."""

    handovers: int = 0
    """Fast handovers (RFC 5949) that may be under way at a time; 0: there are none. Needs `counters`."""
    handover_packets: int = 1000
    """Packets that wait in one queue of a handover, at most; each is as long as the MTU at most."""
    neighbours: tuple[Address, ...] = ()
    """The peers that forward packets in a handover."""

    announced: tuple[Prefix, ...] = ()
    """What the network is told to lead here, whoever had it before: in the table `pools`, with `announced_metric`."""
    announced_metric: int = 0
    """Lower for whoever has it later."""

    @property
    def ipv4_ways(self) -> dict[Address, tuple[int, int]]:
        """Mark and table of the packets of IPv4 that leave through the tunnel to each peer.

        IPv4 routing knows no source prefixes. So nf_tables marks by source, and each mark leads to a table with one
        route. That costs the same for one node and for many, unlike a rule for each (ARCHITECTURE.md).
        """
        numbers = zip(self.peers, marks((self.mark, self.forwarded_mark), self.mark_mask), strict=False)
        return {peer: (mark, self.nexthops + index) for index, (peer, mark) in enumerate(numbers, 1)}

    @property
    def flow_ways(self) -> tuple[tuple[int, int], ...]:
        """Mark and table of the first, second, ... care-of address of nodes that have flows (RFC 6089)."""
        return self._flow_ways()[:_FLOW_WAYS]

    @property
    def direct_flow_ways(self) -> tuple[tuple[int, int], ...]:
        """The same at a correspondent node, which may be a mobile node too."""
        return self._flow_ways()[_FLOW_WAYS:]

    def _flow_ways(self) -> tuple[tuple[int, int], ...]:
        numbers = zip(range(2 * _FLOW_WAYS), marks((self.mark, self.forwarded_mark), self.mark_mask), strict=False)
        return tuple((mark, self.nexthops + _OF_FLOWS + index) for index, mark in numbers)

    @property
    def link_tables(self) -> int:
        """The table of the first link of a mobile node with several; those of others behind it."""
        return self.nexthops + _OF_FLOWS + 2 * _FLOW_WAYS

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All ends of tunnels here."""
        return (self.address, *self.other_addresses, *self.path_addresses)

    @property
    def queue_tables(self) -> range:
        """A routing table for each queue of a handover."""
        first = self.nexthops + _OF_HANDOVERS + 2
        return range(first, first + 2 * self.handovers)

    @property
    def forwarded_table(self) -> int:
        """The routing table of what neighbours forward to nodes in a handover."""
        return self.nexthops + _OF_HANDOVERS

    @property
    def strays_table(self) -> int:
        """The routing table of strays, where some of them may go on."""
        return self.nexthops + _OF_HANDOVERS + 1

    @property
    def forwarded_mark(self) -> int:
        """The packet mark of what came out of a neighbour's tunnel."""
        return forwarded_mark(self.mark, self.mark_mask)

    @property
    def pools(self) -> tuple[Prefix, ...]:
        """All prefixes of nodes that are anchored here."""
        return (*(() if self.pool is None else (self.pool,)), *self.other_pools)

    @property
    def stray_mark(self) -> int:
        """The packet mark of what came out of a tunnel."""
        return self.mark ^ (self.mark_mask & -self.mark_mask)

    @property
    def tunnel_mtu(self) -> int:
        """The biggest packet that fits into a tunnel."""
        return self.mtu - TUNNEL_OVERHEAD

    @property
    def transport_mtu(self) -> int:
        """The biggest packet that fits into a tunnel of UDP and IPv4."""
        return self.mtu - TRANSPORT_OVERHEAD

    @property
    def segment_size(self) -> int:
        """The biggest TCP segment that fits into a tunnel."""
        return self.tunnel_mtu - _TCP_AND_IPV6
