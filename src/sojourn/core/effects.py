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

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import Duration

if TYPE_CHECKING:
    from sojourn.wire.mobility import MobilityMessage


# --- signalling ---------------------------------------------------------------------------------------------------


class SendMessage(Struct, gc=False):
    """Send a Mobility Header from one of our addresses."""

    message: MobilityMessage
    source: Address
    destination: Address


# --- forwarding ---------------------------------------------------------------------------------------------------


class EnsureDelivery(Struct, gc=False):
    """The slot points to the node itself, on the access link `interface`, at `link_layer`. No neighbour discovery."""

    slot: int
    interface: str
    link_layer: LinkLayer


class EnsureTunnel(Struct, gc=False):
    """The slot points through IPv6-in-IPv6 (RFC 2473) to `remote`. What `EnsureHold` kept goes there too."""

    slot: int
    remote: Address


class EnsureHold(Struct, gc=False):
    """Packets to the slot wait in the kernel until it points somewhere again (at most a few seconds)."""

    slot: int


class WithdrawSlot(Struct, gc=False):
    """The slot is free: nothing in the kernel has its number."""

    slot: int


class EnsurePrefix(Struct, gc=False):
    """Packets to `prefix` take the way of `slot`."""

    prefix: Prefix
    slot: int


class WithdrawPrefix(Struct, gc=False):
    """No special way for packets to `prefix`."""

    prefix: Prefix


class EnsureUplink(Struct, gc=False):
    """Packets from `prefix` off an access link go to `anchor` through a tunnel; plainly when `anchor` is None."""

    prefix: Prefix
    anchor: Address | None


class WithdrawUplink(Struct, gc=False):
    """Packets from `prefix` off an access link are dropped again."""

    prefix: Prefix


class EnsureCounter(Struct, gc=False):
    """Packets from `prefix` are counted, and packets to it too big for the tunnel are answered (Packet Too Big)."""

    prefix: Prefix


class WithdrawCounter(Struct, gc=False):
    """`prefix` is no longer counted."""

    prefix: Prefix


class CountTraffic(Struct, gc=False):
    """Read the counters; the answer is the event `TrafficCounted`."""


# --- multicast ----------------------------------------------------------------------------------------------------


class EnsureMulticastRoute(Struct, gc=False):
    """Packets to `group` that come from upstream go out on the access links `interfaces`, each once.

    Those from `source` alone, or from every source without a route of its own. No interface: they are dropped.
    """

    group: Address
    source: Address | None
    interfaces: tuple[str, ...]


class WithdrawMulticastRoute(Struct, gc=False):
    """No such way for packets to `group` from `source`."""

    group: Address
    source: Address | None


class EnsureMembership(Struct, gc=False):
    """This router is a listener of `group` upstream: of `sources` alone, or, if `excluding`, of all but these."""

    group: Address
    excluding: bool
    sources: tuple[Address, ...]


class WithdrawMembership(Struct, gc=False):
    """This router is no listener of `group` upstream."""

    group: Address


# --- the access link ----------------------------------------------------------------------------------------------


class AdvertisedPrefix(Struct, gc=False):
    """One Prefix Information option: autonomous. Preferred lifetime 0 deprecates."""

    prefix: Prefix
    preferred: Duration
    valid: Duration
    on_link: bool = False
    """Whether the node may take it for the prefix of its link (RFC 5213 6.9.1.2), which RFC 8273 advises against."""


class Advertise(Struct, gc=False):
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


class EnsureLogicalInterface(Struct, gc=False):
    """This router answers on `interface` to `link_local` too: the identity of another anchor (RFC 8885 3.7).

    Also an IPv4 address: the default router of nodes that have one from there (RFC 5844 3.4).
    """

    interface: str
    link_local: Address


class WithdrawLogicalInterface(Struct, gc=False):
    """This router no longer answers to `link_local` on `interface`."""

    interface: str
    link_local: Address


class ProbeNode(Struct, gc=False):
    """Ask the node for a sign of life; the answer is an event `NodeSeen`. `address` is one that it was seen with."""

    interface: str
    link_layer: LinkLayer
    address: Address | None


class QueryListeners(Struct, gc=False):
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


class SendDhcp(Struct, gc=False):
    """Send `payload` from the DHCP server's port to the client's, in a frame to `link_layer`."""

    interface: str
    link_layer: LinkLayer
    source: Address
    destination: Address
    payload: bytes


class ForgetStation(Struct, gc=False):
    """The node is served elsewhere: drop what the link remembers of it, so that its return is noticed at once."""

    interface: str
    link_layer: LinkLayer


# --- what must survive a restart ----------------------------------------------------------------------------------


class StoreBinding(Struct, gc=False):
    """Keep `record` under `key`. It is safe before any later effect of the same answer reaches another machine."""

    key: bytes
    record: bytes


class DeleteBinding(Struct, gc=False):
    """Forget what is kept under `key`."""

    key: bytes


# --- for people ---------------------------------------------------------------------------------------------------


class Report(Struct, gc=False):
    """Something worth counting and logging: a refusal, a handover that finished, a prefix that retired.

    `name` is from a small fixed set, lower case with hyphens; it becomes a counter.
    """

    name: str
    detail: dict[str, str | int] = field(default_factory=dict)


ForwardingEffect: TypeAlias = (
    EnsureDelivery
    | EnsureTunnel
    | EnsureHold
    | WithdrawSlot
    | EnsurePrefix
    | WithdrawPrefix
    | EnsureUplink
    | WithdrawUplink
    | EnsureCounter
    | WithdrawCounter
    | EnsureLogicalInterface
    | WithdrawLogicalInterface
    | ForgetStation
    | EnsureMulticastRoute
    | WithdrawMulticastRoute
    | EnsureMembership
    | WithdrawMembership
)
"""What `sojourn.dataplane` carries out; it may raise OSError, which returns to the engine as `EffectFailed`."""

AccessEffect: TypeAlias = Advertise | ProbeNode | QueryListeners | SendDhcp
"""What `sojourn.host.access` carries out."""

StoreEffect: TypeAlias = StoreBinding | DeleteBinding
"""What `sojourn.stores` carries out."""

Effect: TypeAlias = SendMessage | ForwardingEffect | CountTraffic | AccessEffect | StoreEffect | Report
