"""All that an engine can ask for.

An effect is an imperative that says what must hold, so that carrying it out twice is harmless and "what should hold"
can be compared with "what holds" after a restart. Effects are carried out in order: the order is part of the protocol.

The forwarding model, in the words of the effects:

* A mobile node has a `slot`, a small number that names its one *downlink* object in the kernel. The slot points to one
  of three places: to the node on an access link (`EnsureDelivery`), through a tunnel to the router that serves it
  (`EnsureTunnel`), or into a queue of the kernel while the node is nowhere (`EnsureHold`). Replacing where the slot
  points moves all prefixes of the node in one message to the kernel.
* A prefix is tied to a slot (`EnsurePrefix`): packets *to* the prefix take the slot's way.
* A prefix may be one of IPv4 (`Prefix.is_ipv4`): then the same holds for IPv4 packets, in IPv6 tunnels (RFC 5844).
* Packets *from* a prefix that arrive on an access link leave plainly, or through a tunnel to the router that anchors
  the prefix (`EnsureUplink`). What arrives on an access link from any other source address is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sojourn.core.mobile_effects import MobileEffect
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import Duration

if TYPE_CHECKING:
    from sojourn.wire.mobility import MobilityMessage


# --- signalling ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class SendMessage:
    """Send a Mobility Header from one of our addresses."""

    message: MobilityMessage
    source: Address
    destination: Address
    home_address: Address | None = None
    """Ours, in a Home Address option; the checksum is computed with it (RFC 6275 6.3)."""
    routed_to: Address | None = None
    """The receiver's home address, in a type 2 routing header (RFC 6275 6.4)."""
    port: int = 0
    """The receiver's, where it travels over UDP and IPv4 (RFC 5844 4.1.3); 0: over IPv6."""
    own_port: int = 0
    """Ours, then."""


# --- forwarding ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class EnsureDelivery:
    """The slot points to the node itself, on the access link `interface`, at `link_layer`. No neighbour discovery."""

    slot: int
    interface: str
    link_layer: LinkLayer


@dataclass(slots=True)
class EnsureTunnel:
    """The slot points through IPv6-in-IPv6 (RFC 2473) to `remote`. What `EnsureHold` kept goes there too."""

    slot: int
    remote: Address


@dataclass(slots=True)
class EnsureTransport:
    """What is tunnelled to the router `remote` travels over IPv4 (RFC 5844 4), whatever leads there.

    Nobody's packets are taken out of such a tunnel but those from `address`, and from `port` where it is one of UDP.
    """

    remote: Address
    """What the router is called: `EnsureTunnel` and `EnsureUplink` name it so."""
    address: Address
    """Of IPv4: its own, or that of the NAT that it is behind."""
    port: int = 0
    """Of UDP, its own or what its NAT made of it; 0: nothing stands between the two IP headers."""


@dataclass(slots=True)
class WithdrawTransport:
    """Nothing that is tunnelled to `remote` travels over IPv4."""

    remote: Address


@dataclass(slots=True)
class EnsurePaths:
    """The slot points through tunnels to all of `remotes`: every flow takes one of them (RFC 8278)."""

    slot: int
    remotes: tuple[Address, ...]


@dataclass(slots=True)
class EnsureHold:
    """Packets to the slot wait in the kernel until it points somewhere again (at most a few seconds)."""

    slot: int


@dataclass(slots=True)
class WithdrawSlot:
    """The slot is free: nothing in the kernel has its number."""

    slot: int


@dataclass(slots=True)
class EnsurePrefix:
    """Packets to `prefix` take the way of `slot`."""

    prefix: Prefix
    slot: int


@dataclass(slots=True)
class WithdrawPrefix:
    """No special way for packets to `prefix`."""

    prefix: Prefix


@dataclass(slots=True)
class EnsurePool:
    """The network leads packets for all of `pool`, whose anchor is gone, to this router: routes for its two halves.

    They win over the anchor's own route, whoever announces that and however, and give way to nothing but their end.
    """

    pool: Prefix


@dataclass(slots=True)
class WithdrawPool:
    """The network leads packets for `pool` wherever it did before."""

    pool: Prefix


@dataclass(slots=True)
class EnsureUplink:
    """Packets from `prefix` off an access link go to `anchor` through a tunnel; plainly when `anchor` is None."""

    prefix: Prefix
    anchor: Address | None


@dataclass(slots=True)
class WithdrawUplink:
    """Packets from `prefix` off an access link are dropped again."""

    prefix: Prefix


@dataclass(slots=True)
class EnsureSpread:
    """Flows from `prefix` that go to an anchor leave from `sources`, addresses of ours: each from one (RFC 8278)."""

    prefix: Prefix
    sources: tuple[Address, ...]


@dataclass(slots=True)
class WithdrawSpread:
    """All flows from `prefix` leave from our first address."""

    prefix: Prefix


@dataclass(slots=True)
class EnsureShortcut:
    """Packets from `source` off an access link to `destination` pass all anchors by (RFC 6705).

    They take a tunnel to `remote`, or, when that is None, the way of the slot of `destination`, whose node is here.
    """

    source: Prefix
    destination: Prefix
    remote: Address | None


@dataclass(slots=True)
class WithdrawShortcut:
    """Packets from `source` to `destination` go where all packets from `source` go."""

    source: Prefix
    destination: Prefix


@dataclass(slots=True)
class EnsureRate:
    """Packets to and from `prefix` are dropped that come faster than these rates (RFC 7222); 0: no limit."""

    prefix: Prefix
    downlink: int
    """Bits a second."""
    uplink: int


@dataclass(slots=True)
class WithdrawRate:
    """`prefix` has no limit any more."""

    prefix: Prefix


@dataclass(slots=True)
class EnsureCounter:
    """Packets from `prefix` are counted, and packets to it too big for the tunnel are answered (Packet Too Big)."""

    prefix: Prefix


@dataclass(slots=True)
class WithdrawCounter:
    """`prefix` is no longer counted."""

    prefix: Prefix


@dataclass(slots=True)
class CountTraffic:
    """Read the counters; the answer is the event `TrafficCounted`."""


# --- multicast ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class EnsureMulticastRoute:
    """Packets to `group` that come from upstream go out on the access links `interfaces`, each once.

    Those from `source` alone, or from every source without a route of its own. No interface: they are dropped.
    """

    group: Address
    source: Address | None
    interfaces: tuple[str, ...]


@dataclass(slots=True)
class WithdrawMulticastRoute:
    """No such way for packets to `group` from `source`."""

    group: Address
    source: Address | None


@dataclass(slots=True)
class EnsureMembership:
    """This router is a listener of `group` upstream: of `sources` alone, or, if `excluding`, of all but these."""

    group: Address
    excluding: bool
    sources: tuple[Address, ...]


@dataclass(slots=True)
class WithdrawMembership:
    """This router is no listener of `group` upstream."""

    group: Address


@dataclass(slots=True)
class ForgetMulticast:
    """What an earlier life forwarded of multicast, or joined, and nobody has asked for since, is over.

    Whoever listens had time to say so.
    """


# --- fast handover (RFC 5949) -------------------------------------------------------------------------------------


@dataclass(slots=True)
class EnsureQueue:
    """Packets to the slot wait, in order and within bounds: those that another router forwards out of a tunnel, or,
    unless `forwarded`, all others. As long as there is no queue for the first kind, there is one kind only."""

    slot: int
    forwarded: bool


@dataclass(slots=True)
class EnsureFlowToNode:
    """What waits in the queue goes to the node, and then whatever comes, in this order."""

    slot: int
    forwarded: bool
    interface: str
    link_layer: LinkLayer


@dataclass(slots=True)
class EnsureFlowToRouter:
    """The same, through the tunnel to `remote`."""

    slot: int
    forwarded: bool
    remote: Address


@dataclass(slots=True)
class WithdrawQueue:
    """What another router forwards to the slot is nothing special any more.

    The queue for all others ends when the slot points elsewhere (`EnsureDelivery`, `EnsureTunnel`). What is still in a
    queue that ends is lost.
    """

    slot: int


@dataclass(slots=True)
class CountQueue:
    """How much waits; the answer is the event `QueueCounted`."""

    slot: int


@dataclass(slots=True)
class ProbePath:
    """Ask `remote` for an answer that comes the way of its tunnelled packets (ICMPv6 echo): the event `PathProbed`."""

    remote: Address
    source: Address | None = None
    """Ours, if it matters from where."""


# --- the access link ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class AdvertisedPrefix:
    """One Prefix Information option: autonomous. Preferred lifetime 0 deprecates."""

    prefix: Prefix
    preferred: Duration
    valid: Duration
    on_link: bool = False
    """Whether the node may take it for the prefix of its link (RFC 5213 6.9.1.2), which RFC 8273 advises against."""


@dataclass(slots=True)
class Advertise:
    """Send a Router Advertisement to one node (RFC 4861; all-nodes destination in a unicast frame, RFC 6085).

    `router` is the link-local address to speak from: the one that all routers of the domain share (RFC 6543), or the
    identity of a distributed logical interface (RFC 8885 3.7). A `lifetime` of zero means: no default router.
    """

    interface: str
    link_layer: LinkLayer
    router: Address
    router_link_layer: LinkLayer
    lifetime: Duration
    prefixes: tuple[AdvertisedPrefix, ...]
    routes: tuple[Prefix, ...] = ()
    """More-specific routes through this router (RFC 4191)."""
    mtu: int = 0
    """Link MTU to announce; 0 for none."""
    managed: bool = False
    """Addresses come from DHCPv6 (M flag)."""
    other: bool = False
    """Other configuration comes from DHCPv6 (O flag)."""
    autonomous: bool = True
    """Hosts make addresses of `prefixes` by themselves (A flag)."""


@dataclass(slots=True)
class EnsureLogicalInterface:
    """This router answers on `interface` to `link_local` too: the identity of another anchor (RFC 8885 3.7).

    Also an IPv4 address: the default router of nodes that have one from there (RFC 5844 3.4).
    """

    interface: str
    link_local: Address


@dataclass(slots=True)
class WithdrawLogicalInterface:
    """This router no longer answers to `link_local` on `interface`."""

    interface: str
    link_local: Address


@dataclass(slots=True)
class ProbeNode:
    """Ask the node for a sign of life; the answer is an event `NodeSeen`. `address` is one that it was seen with."""

    interface: str
    link_layer: LinkLayer
    address: Address | None


@dataclass(slots=True)
class QueryListeners:
    """Send a Multicast Listener Query (RFC 3810 5.1); who listens answers with an event `GroupsReported`.

    To one node alone, or to all on the link; about one group, or about all of them.
    """

    interface: str
    link_layer: LinkLayer | None
    group: Address | None
    within: Duration
    """Answers may take so long."""
    robustness: int
    interval: Duration
    """Between general queries."""


@dataclass(slots=True)
class SendDhcp:
    """Send `payload` from the DHCP server's port to the client's, in a frame to `link_layer`."""

    interface: str
    """Empty: no frame, but from our port of a relay to the DHCP server at `destination` (RFC 5844 3.4.2)."""
    link_layer: LinkLayer
    source: Address
    destination: Address
    payload: bytes


@dataclass(slots=True)
class ForgetStation:
    """The node is served elsewhere: drop what the link remembers of it, so that its return is noticed at once."""

    interface: str
    link_layer: LinkLayer


# --- what must survive a restart ----------------------------------------------------------------------------------


@dataclass(slots=True)
class StoreBinding:
    """Keep `record` under `key`. It is safe before any later effect of the same answer reaches another machine."""

    key: bytes
    record: bytes
    lifetime: Duration = 0
    """After this time it is over, and whoever shares the store may end it; 0: it does not end by itself."""


@dataclass(slots=True)
class DeleteBinding:
    """Forget what is kept under `key`."""

    key: bytes


@dataclass(slots=True)
class CheckBinding:
    """What else this answer asks for is right only if nothing but what this engine knows is kept under `key`.

    Where several engines share a store, another one may have changed it: then this answer is thrown away,
    `BindingChanged` says what is true, and what happened is handled again. The same goes for `StoreBinding` and
    `DeleteBinding`.
    """

    key: bytes


@dataclass(slots=True)
class FindBindings:
    """Learn of everything in the store that mentions `address`: `BindingChanged` for each, then `BindingsFound`."""

    address: Address


# --- for people ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """Something worth counting and logging: a refusal, a handover that finished, a prefix that retired.

    `name` is from a small fixed set, lower case with hyphens; it becomes a counter.
    """

    name: str
    detail: Mapping[str, str | int] = field(default_factory=dict)


ForwardingEffect: TypeAlias = (
    EnsureDelivery
    | EnsureTunnel
    | EnsurePaths
    | EnsureTransport
    | WithdrawTransport
    | EnsureHold
    | WithdrawSlot
    | EnsurePrefix
    | WithdrawPrefix
    | EnsurePool
    | WithdrawPool
    | EnsureUplink
    | WithdrawUplink
    | EnsureRate
    | WithdrawRate
    | EnsureSpread
    | WithdrawSpread
    | EnsureShortcut
    | WithdrawShortcut
    | EnsureCounter
    | WithdrawCounter
    | EnsureLogicalInterface
    | WithdrawLogicalInterface
    | ForgetStation
    | EnsureMulticastRoute
    | WithdrawMulticastRoute
    | EnsureMembership
    | WithdrawMembership
    | ForgetMulticast
    | EnsureQueue
    | EnsureFlowToNode
    | EnsureFlowToRouter
    | WithdrawQueue
)
"""What `sojourn.dataplane` carries out; it may raise OSError, which returns to the engine as `EffectFailed`."""

AccessEffect: TypeAlias = Advertise | ProbeNode | QueryListeners | SendDhcp
"""What `sojourn.host.access` carries out."""

StoreEffect: TypeAlias = StoreBinding | DeleteBinding | CheckBinding
"""What `sojourn.stores` carries out."""

Question: TypeAlias = CountTraffic | CountQueue | ProbePath | FindBindings
"""What is answered with an event."""

Effect: TypeAlias = SendMessage | ForwardingEffect | Question | AccessEffect | StoreEffect | MobileEffect | Report
