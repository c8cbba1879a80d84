"""What the roles of Mobile IPv6 (RFC 6275) ask for besides: on a host, at its home agent, at its correspondent nodes.

As in `effects`, each says what must hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sojourn.wire.addresses import Address, Prefix

if TYPE_CHECKING:
    from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
    from sojourn.wire.icmpv6 import Icmpv6Message


@dataclass(slots=True)
class SendIcmpv6:
    """Send an ICMPv6 message; one without an interface takes the way that its addresses have."""

    message: Icmpv6Message
    source: Address
    """Unspecified: the host's choice."""
    destination: Address
    interface: str = ""
    home_address: Address | None = None
    """As in `effects.SendMessage`."""
    routed_to: Address | None = None
    """As in `effects.SendMessage`."""


@dataclass(slots=True)
class ProbeAddress:
    """Duplicate Address Detection for an address that we do not have yet; answered by the event `AddressProbed`."""

    interface: str
    address: Address


@dataclass(slots=True)
class EnsureProxyNeighbour:
    """This home agent answers for `address` on the home link, and said so to all nodes there (RFC 6275 10.4.1)."""

    interface: str
    address: Address


@dataclass(slots=True)
class WithdrawProxyNeighbour:
    """This home agent answers for `address` no longer."""

    interface: str
    address: Address


@dataclass(slots=True)
class EnsureTunnelEnd:
    """Packets of the slot's node that come through a tunnel from `remote` are taken, wherever the slot points to."""

    slot: int
    remote: Address


@dataclass(slots=True)
class WithdrawTunnelEnd:
    """Those are taken no longer, unless the slot points there."""

    slot: int
    remote: Address


@dataclass(slots=True)
class Flow:
    """Some packets of a node with several care-of addresses, and the one that they go to or come from (RFC 6089)."""

    selector: Ipv6TrafficSelector
    """Of the packets *to* the node. It has those from the node too, with source and destination the other way round."""
    care_of_address: Address


@dataclass(slots=True)
class EnsureFlows:
    """Packets to the slot's prefixes go through a tunnel to the care-of address of the first flow that has them, all
    others where the slot points to. These flows replace those before; none: nothing is special any more.

    Mobility Headers are in no flow, and all fragments of a packet go where its first one goes (RFC 6089 4.3, 5.3.6).
    """

    slot: int
    flows: tuple[Flow, ...]


@dataclass(slots=True)
class CareOfWay:
    """A care-of address, and the router that takes packets from it."""

    care_of_address: Address
    interface: str
    router: Address


@dataclass(slots=True)
class EnsureReverseFlows:
    """The same at the mobile node: packets from `home_address` go through a tunnel from the care-of address of the
    first flow that has them to `home_agent`, all others where `EnsureReverseTunnel` says. What comes through a tunnel
    to a care-of address of `ways` is taken, and what is sent from it leaves on its link. These are all that the
    node has, or none if it has one only."""

    home_address: Address
    home_agent: Address
    ways: tuple[CareOfWay, ...]
    flows: tuple[Flow, ...]


@dataclass(slots=True)
class EnsureCareOfRoute:
    """Packets to `home_address` go to `care_of_address` with a type 2 routing header, or to that of the first of
    `flows` that has them. Packets with that Home Address option are taken from `care_of_address` and those in `also`,
    and from nowhere else (RFC 6275 9.3, RFC 5648 6.5)."""

    home_address: Address
    care_of_address: Address
    also: tuple[Address, ...] = ()
    flows: tuple[Flow, ...] = ()


@dataclass(slots=True)
class WithdrawCareOfRoute:
    """Packets to `home_address` go there; nobody may use it in a Home Address option."""

    home_address: Address


@dataclass(slots=True)
class EnsureHomeAddress:
    """`address` is one of this host, without Duplicate Address Detection: on `interface`, or, when that is empty,
    on no link at all. New connections use it if it is `preferred`; others go on in any case."""

    address: Address
    interface: str
    preferred: bool


@dataclass(slots=True)
class EnsureCareOfPeers:
    """New connections to these, and to nobody else, use an address of the link where the node is, although there is a
    home address that is preferred (RFC 5014: "prefer care-of address")."""

    peers: tuple[Prefix, ...]


@dataclass(slots=True)
class WithdrawHomeAddress:
    """`address` is no address of this host."""

    address: Address


@dataclass(slots=True)
class AnnounceAddress:
    """Tell all nodes on the link, unasked, that `address` is here (RFC 6275 11.5.5)."""

    interface: str
    address: Address


@dataclass(slots=True)
class EnsureReverseTunnel:
    """Packets from `home_address` go through a tunnel from `care_of_address` to `home_agent`, and those that come out
    of it are taken (RFC 6275 11.3.1)."""

    home_address: Address
    care_of_address: Address
    home_agent: Address


@dataclass(slots=True)
class EnsureHomeBlock:
    """Packets from `home_address` are dropped: there is no tunnel yet, and no other way may show them. When a daemon
    starts again where an earlier life of it was at home, the address stays there until it says where the node is."""

    home_address: Address


@dataclass(slots=True)
class WithdrawReverseTunnel:
    """Packets from `home_address` take the way of all packets."""

    home_address: Address


@dataclass(slots=True)
class EnsureRouteOptimisation:
    """Packets from `home_address` to `correspondent` go directly, with a Home Address option, from `care_of_address`;
    those with a type 2 routing header are taken (RFC 6275 11.3.1). A flow (`EnsureReverseFlows`) goes directly from
    its own care-of address if that is this one or in `also`, else through its tunnel."""

    home_address: Address
    correspondent: Address
    care_of_address: Address
    also: tuple[Address, ...] = ()


@dataclass(slots=True)
class WithdrawRouteOptimisation:
    """Packets from `home_address` to `correspondent` take the tunnel."""

    home_address: Address
    correspondent: Address


@dataclass(slots=True)
class ProbeRouter:
    """Ask whether a router is reachable both ways (RFC 4861 7.3); answered by the event `RouterProbed`."""

    interface: str
    router: Address


@dataclass(slots=True)
class CountSessions:
    """Count the sockets of this host by their address; answered by the event `SessionsCounted`."""


@dataclass(slots=True)
class ResolveName:
    """Look a host up in DNS; answered by the event `NameResolved`."""

    name: str


@dataclass(slots=True)
class SendDhcpv6:
    """Send `payload` from and to the port of DHCPv6 servers and relays; answered by `DhcpReceived`."""

    source: Address
    """A home address of this host."""
    destination: Address
    payload: bytes


MobileEffect: TypeAlias = (
    SendIcmpv6
    | ProbeAddress
    | EnsureProxyNeighbour
    | WithdrawProxyNeighbour
    | EnsureTunnelEnd
    | WithdrawTunnelEnd
    | EnsureFlows
    | EnsureReverseFlows
    | EnsureCareOfRoute
    | WithdrawCareOfRoute
    | EnsureHomeAddress
    | EnsureCareOfPeers
    | WithdrawHomeAddress
    | AnnounceAddress
    | EnsureReverseTunnel
    | EnsureHomeBlock
    | WithdrawReverseTunnel
    | EnsureRouteOptimisation
    | WithdrawRouteOptimisation
    | ProbeRouter
    | CountSessions
    | SendDhcpv6
    | ResolveName
)
"""What a host of Mobile IPv6 carries out; it may raise OSError, which returns to the engine as `EffectFailed`."""
