"""All that can happen to an engine.

Events are past participles. They are made by the host layer (`sojourn.host`), by a simulator or by a test, handed to
`Engine.handle` and never changed afterwards (they are not frozen only because freezing costs a microsecond an object).
A new event is added to the union at the end, and the type checker names the places that must learn of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.listeners import MulticastAddressRecord
from sojourn.wire.units import Duration, WallClock

if TYPE_CHECKING:
    from sojourn.core.effects import Effect
    from sojourn.wire.icmpv6 import Icmpv6Message
    from sojourn.wire.mobility import MobilityMessage


@dataclass(slots=True)
class MessageReceived:
    """A Mobility Header arrived whole, with a right checksum, and was decoded."""

    message: MobilityMessage
    source: Address
    destination: Address
    home_address: Address | None = None
    """Of the sender, in a Home Address option (RFC 6275 6.3)."""
    routed_to: Address | None = None
    """Our home address, in a type 2 routing header (RFC 6275 6.4)."""
    octets: bytes = b""
    """The header as it arrived, where authenticators are verified; empty: as our encoder writes it."""
    port: int = 0
    """The sender's, where it came over UDP and IPv4 (RFC 5844 4.1.3); 0: over IPv6."""
    own_port: int = 0
    """Ours, then."""


class Sighting(Enum):
    """What gave a node away on an access link."""

    STATION = "station"
    """The link itself says so: a bridge learned its address, an access point associated it."""
    LINK = "link"
    """A link with one node on it got its carrier."""
    ROUTER_SOLICITATION = "router-solicitation"
    """It asks for a router: it wants an advertisement now."""
    NEIGHBOUR = "neighbour"
    """It sent a neighbour solicitation or advertisement, or answered a probe."""
    MULTICAST_LISTENER = "multicast-listener"
    """It reported its multicast groups (MLD), as hosts do when their carrier returns."""
    DHCP = "dhcp"
    """It asks for an address or for what else it should know."""
    CONTROL = "control"
    """An operator or an external system said so."""

    __hash__ = object.__hash__
    """There is one object of each; the hash of `Enum` is a Python function."""


@dataclass(slots=True)
class NodeSeen:
    """A node showed itself on an access link. Whether that is an attachment is for the engine to say."""

    interface: str
    link_layer: LinkLayer
    sighting: Sighting
    address: Address | None = None
    """A source address that it used, when the sighting shows one."""
    identity: str | None = None
    """Who it authenticated as on the link, when the sighting shows it: a Network Access Identifier (RFC 7542)."""
    previous: Address | LinkLayer | None = None
    """The router that it comes from, or the access point (the current one in an IEEE 802.11 reassociation request),
    where the link says so."""


@dataclass(slots=True)
class NodeDetached:
    """The link says that the node is gone: its station entry was removed, its port lost the carrier."""

    interface: str
    link_layer: LinkLayer


@dataclass(slots=True)
class DhcpReceived:
    """A host on an access link speaks to the DHCP server there: IPv6 (RFC 8415), or IPv4 when its address is.

    Or a server answers a mobile router (`SendDhcpv6`): then `interface` and `link_layer` are empty.
    """

    interface: str
    """Empty: a DHCP server answers our relay (RFC 5844 3.4.2)."""
    link_layer: LinkLayer
    """The sender of the frame."""
    source: Address
    destination: Address
    payload: bytes
    """What UDP carried; nobody looked at it."""


@dataclass(slots=True)
class TrafficCounted:
    """The answer to `CountTraffic`: packets that came from each counted prefix so far."""

    packets: dict[Prefix, int]


@dataclass(slots=True)
class LinkChanged:
    """An interface of this router went up or down; the kernel forgets nexthops and routes of one that went down."""

    interface: str
    up: bool
    link_layer: LinkLayer = field(default=b"", compare=False)
    """Its own address, if it is known."""


@dataclass(slots=True)
class ClockStepped:
    """The wall clock was set: from now on ``epoch + now`` is the wall-clock time of the monotonic instant `now`."""

    epoch: WallClock


@dataclass(slots=True)
class EffectFailed:
    """The host could not make `effect` hold; `reason` is for people, `error` an errno."""

    effect: Effect
    error: int
    reason: str


@dataclass(slots=True)
class Commanded:
    """An operator asks for something over the control socket: ``detach``, ``retire`` ..., as the role defines."""

    verb: str
    arguments: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class GroupsReported:
    """A node on an access link said which multicast groups it listens to (RFC 2710, RFC 3810).

    The report was as RFC 3810 5 asks: checksum, hop limit 1, router alert, a link-local source address.
    """

    interface: str
    link_layer: LinkLayer
    records: tuple[MulticastAddressRecord, ...]
    old: bool
    """It was said in the words of version 1."""


@dataclass(slots=True)
class HandoverExpected:
    """Somebody who knows says that a node on one of our access links is about to leave for another router.

    `target` is the address of that router, or the link-layer address of an access point (BSSID) of it: what RFC 5949
    4.1 calls a Handover indication with the New AP ID.
    """

    link_layer: LinkLayer
    target: bytes


@dataclass(slots=True)
class QueueCounted:
    """The answer to `CountQueue`: packets that wait in the two queues of a slot, and how many found no room."""

    slot: int
    waiting: int
    forwarded: int
    dropped: int


@dataclass(slots=True)
class PathProbed:
    """The answer to `ProbePath`: what `remote` had sent to us before is here."""

    remote: Address


@dataclass(slots=True)
class BindingChanged:
    """Another engine that shares our store changed what is kept under `key`, or we did not know of it."""

    key: bytes
    record: bytes
    """What is kept there now; empty: nothing, or nothing that we have to know before it is needed."""
    remaining: Duration
    """Of its lifetime; not above 0: it is over, and nobody else ended it."""
    seen: int = field(default=-1, compare=False)
    """For the store: the version that this process had seen when this was found out; -1: it answers a change."""
    version: int = field(default=0, compare=False)
    """For the store: the version that this is; 0: none."""


@dataclass(slots=True)
class BindingsFound:
    """The answer to `FindBindings`: all that mentions `address` was told."""

    address: Address


# --- Mobile IPv6 (RFC 6275) ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Icmpv6Received:
    """An ICMPv6 message that roles of Mobile IPv6 read: checksum, hop limit and source were looked at by the host."""

    message: Icmpv6Message
    source: Address
    destination: Address
    interface: str
    home_address: Address | None = None
    """As in `MessageReceived`."""
    routed_to: Address | None = None
    """As in `MessageReceived`."""


@dataclass(slots=True)
class IcmpErrorReceived:
    """A packet that we sent to `destination` was answered with an ICMPv6 error (RFC 4443), which quoted it."""

    type: int
    code: int
    destination: Address
    protocol: int
    """What the packet carried: 135 for a Mobility Header."""


@dataclass(slots=True)
class AddressChanged:
    """An address of this host became usable (its Duplicate Address Detection is over), changed, or is gone."""

    interface: str
    address: Address
    length: int
    """Of the prefix on the link."""
    usable: bool
    preferred: Duration
    """What is left; 0: deprecated."""
    valid: Duration


@dataclass(slots=True)
class RouterProbed:
    """The answer to `ProbeRouter`, or what the kernel found by itself: whether the router is reachable both ways."""

    interface: str
    router: Address
    reachable: bool


@dataclass(slots=True)
class AddressProbed:
    """The answer to `ProbeAddress`: whether somebody on the link has that address."""

    interface: str
    address: Address
    duplicate: bool


@dataclass(slots=True)
class CorrespondentSeen:
    """A packet of `correspondent` to one of our home addresses came out of the tunnel (RFC 6275 11.7.2)."""

    home_address: Address
    correspondent: Address


@dataclass(slots=True)
class HomeAddressRefused:
    """A packet had a Home Address option and no binding that it belongs to; it was dropped (RFC 6275 9.3.1)."""

    home_address: Address
    source: Address
    destination: Address


@dataclass(slots=True)
class SessionsCounted:
    """The answer to `CountSessions`: how many sockets of this host use each of its addresses."""

    sessions: dict[Address, int]


@dataclass(slots=True)
class NameResolved:
    """The answer to `ResolveName`: the IPv6 addresses of the host, none when it has none or nobody answered."""

    name: str
    addresses: tuple[Address, ...]


Event: TypeAlias = (
    MessageReceived
    | NodeSeen
    | NodeDetached
    | TrafficCounted
    | LinkChanged
    | ClockStepped
    | EffectFailed
    | Commanded
    | GroupsReported
    | DhcpReceived
    | HandoverExpected
    | QueueCounted
    | PathProbed
    | BindingChanged
    | BindingsFound
    | Icmpv6Received
    | IcmpErrorReceived
    | AddressChanged
    | RouterProbed
    | AddressProbed
    | CorrespondentSeen
    | HomeAddressRefused
    | SessionsCounted
    | NameResolved
)
