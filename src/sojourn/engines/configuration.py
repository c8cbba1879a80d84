"""What the engines are told at birth: addresses, limits and times, each with the default that the daemon uses.

Constants keep the names printed in RFC 6275 section 12 and RFC 5213 section 9. Every duration is in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import sha256

from sojourn.engines.extension_settings import (
    AccessNetwork,
    AccessNetworkSettings,
    ControlSettings,
    HeartbeatSettings,
    NotificationSettings,
    QualityRequest,
    QualitySettings,
    RedirectSettings,
    RenumberingSettings,
    RevocationSettings,
    VendorOption,
)
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.engines.way_settings import (
    BulkRegistrationOfLma,
    BulkRegistrationOfMag,
    DelegationOfLma,
    DelegationOfMag,
    DhcpRelayOfMag,
    FlowMobilityOfLma,
    FlowMobilityOfMag,
    Ipv4TransportOfLma,
    Ipv4TransportOfMag,
    LocalizedRoutingOfLma,
    LocalizedRoutingOfMag,
    MultipathOfLma,
    MultipathOfMag,
    TransientBindingsOfLma,
    TransientBindingsOfMag,
    UserPlaneOfLma,
    UserPlaneOfMag,
)
from sojourn.wire.addresses import Address, LinkLayer, Prefix, address, link_layer
from sojourn.wire.units import HOUR, MILLISECOND, MINUTE, SECOND, Duration

FIXED_LINK_LOCAL: Address = address("fe80::200:5eff:fe00:5213")
"""The link-local address that every router of the domain shows on its access links (RFC 6543)."""
FIXED_LINK_LAYER: LinkLayer = link_layer("00:00:5e:00:52:13")
"""The link-layer address that goes with it (RFC 6543)."""


class Mode(Enum):
    """How previous and serving MAARs come together: through the CMD (RFC 8885 3.2 to 3.4), or by themselves."""

    PROXY = "proxy"
    RELAY = "relay"
    LOCATOR = "locator"
    DIRECT = "direct"
    """MAARs tell each other (`maar_direct`); a CMD, where there is one, is told afterwards."""


PROXY, RELAY, LOCATOR, DIRECT = Mode
"""The same without a look into the class, which takes longer than a comparison (CPython 3.11)."""
CENTRAL = (PROXY, RELAY, LOCATOR)
"""The modes of RFC 8885, in which the CMD tells the MAARs."""
NO_CMD: Address = bytes(16)
"""The unspecified address: that of a CMD that there is none of."""


class Dhcpv6(Enum):
    """What a host gets by DHCPv6 (RFC 8415)."""

    OFF = "off"
    STATELESS = "stateless"
    """What else it should know, as name servers."""
    STATEFUL = "stateful"
    """Addresses out of its own prefix too; and a prefix to delegate, where there is a pool for that."""


OFF, STATELESS, STATEFUL = Dhcpv6


@dataclass(frozen=True, slots=True)
class RetransmissionConstants:
    """RFC 6275 12 and RFC 8885 3.6; the first timeout follows the measured round trip (design decision, section 5)."""

    initial_bindack_timeout: Duration = 1 * SECOND
    max_bindack_timeout: Duration = 32 * SECOND
    min_bindack_timeout: Duration = 50 * MILLISECOND
    max_update_rate: int = 3
    """Messages per second about one mobile node to one destination."""
    repeats: bool = True
    """False where every request is known to be answered: a simulation without loss need not plan what never happens."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another MAAR of the domain, as a MAAR sees it."""

    address: Address
    name: str = ""
    pool: Prefix | None = None
    """What it may anchor; None: any prefix of the length that nodes get, outside of our own pool."""
    ipv4_pool: Prefix | None = None
    """The IPv4 addresses that it may anchor; the first one is the default router of all of them."""
    access_points: tuple[LinkLayer, ...] = ()
    """Access points that are its own ([AP-ID, AR-Info], RFC 5568)."""
    partner: Address | None = None
    """The router that takes its pool over while it is gone; ours, if that is we."""


@dataclass(frozen=True, slots=True)
class MulticastConfiguration:
    """Multicast for the nodes of an access router (RFC 4605). Times as in RFC 3810 9, with its defaults."""

    upstream: str
    """The interface towards the multicast network: groups are joined there, and packets come from there."""
    access: tuple[str, ...]
    """The interfaces with listeners."""
    query_interval: Duration = 125 * SECOND
    query_response_interval: Duration = 10 * SECOND
    last_listener_query_interval: Duration = 1 * SECOND
    robustness: int = 2
    """So many messages in a row may get lost, but one."""
    groups: int = 1024
    """Most groups that anybody listens to, at a time."""
    groups_per_node: int = 64
    sources_per_node: int = 64
    """Most sources that one node names, in all its groups together."""


class Peers(tuple[Peer, ...]):
    """The MAARs of a domain, for routers that share one table of them: thousands in a simulation. A router may be its
    own peer."""

    @cached_property
    def by_address(self) -> dict[Address, Peer]:
        """Each by its address."""
        return {peer.address: peer for peer in self}

    @cached_property
    def ipv4_pools(self) -> list[Prefix]:
        """What they may anchor of IPv4."""
        return [peer.ipv4_pool for peer in self if peer.ipv4_pool is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessConfiguration:
    """What a router with access links is told, whatever its protocol."""

    address: Address
    """Proxy Care-of Address and tunnel end point."""
    access_technology: int = 4
    """RFC 5213 8.5; 4 is IEEE 802.11."""
    lifetime: Duration = 5 * MINUTE
    """Lifetime asked for; refreshed at half of what was granted."""
    preferred_lifetime: Duration = 5 * MINUTE
    valid_lifetime: Duration = 10 * MINUTE
    """Short from the start: a host will not let it be cut below two hours later (RFC 4862 5.5.3)."""
    router_lifetime: Duration = 10 * MINUTE
    advertisement_interval: Duration = 100 * SECOND
    """Between advertisements that nothing asks for; 0: there are none."""
    mtu: int = 1500
    """MTU of the core. Access links are told 40 octets less, so that tunnelled packets fit."""
    buffer: bool = False
    """Keep a detached node's packets in the kernel until its new place is known."""
    buffer_time: Duration = 2 * SECOND
    reattach_guard: Duration = 100 * MILLISECOND
    """After a detachment, late frames do not count as a return; a new station event does."""
    clock_window: Duration = 300 * MILLISECOND
    """A larger difference to the clock of whom we ask is corrected (TimestampValidityWindow, RFC 5213 9.2)."""
    nodes: int = 10_000
    """Most nodes known at a time, served and anchored together."""
    new_nodes_per_second: int = 200
    """Unknown identifiers accepted per second and access link; as many may come at once."""
    prefixes_per_node: int = 16
    """Most prefixes of other anchors accepted for one node."""
    handovers: int = 0
    """Fast handovers (RFC 5949) that may be under way at a time; 0: there are none."""
    handover_wait: Duration = 1 * SECOND
    """How long a node that is expected may take, and a node that left is looked out for before its anchor is told."""
    handover_patience: Duration = 300 * MILLISECOND
    """How long packets that came the straight way wait for the end of what the previous router forwards."""
    link_local: Address = FIXED_LINK_LOCAL
    link_layer: LinkLayer = FIXED_LINK_LAYER
    retransmission: RetransmissionConstants = RetransmissionConstants()
    multicast: MulticastConfiguration | None = None
    """None: no multicast beyond the access links."""
    dhcpv6: Dhcpv6 = Dhcpv6.OFF
    slaac: bool = True
    """Whether hosts make addresses of their prefixes by themselves (A flag)."""
    dns: tuple[Address, ...] = ()
    """Name servers that hosts are told of, of both families."""
    domains: tuple[str, ...] = ()
    """Domains that hosts search names in; the first is the one of IPv4."""


ASKED_NEIGHBOURS = 32
"""Most routers that are asked about one node (direct mode)."""


@dataclass(frozen=True, slots=True)
class MaarConfiguration(AccessConfiguration):
    """One MAAR."""

    address: Address
    pool: Prefix
    """Prefixes for nodes are taken from here."""
    cmd: Address = NO_CMD
    """Without one (`NO_CMD`) only direct mode works."""
    peers: tuple[Peer, ...] = ()
    mode: Mode = Mode.PROXY
    neighbours: tuple[Address, ...] = ()
    """Direct mode: the peers that are asked about a node that comes from nobody knows where; none: the first
    `ASKED_NEIGHBOURS` of `peers`."""
    ask_rate: int = 2_000
    """Direct mode: questions to neighbours a second, about all nodes together."""
    routes: tuple[Prefix, ...] = ()
    """Local networks that can be reached through this router only: told in Local Prefix options, and advertised by
    whoever serves one of our nodes, on our DLIF (RFC 8885 3.7, 4.4)."""
    prefix_length: int = 64
    idle_hold: Duration = 1 * MINUTE
    """A prefix whose node is elsewhere retires after this time without a packet."""
    watch: bool = True
    """Count these packets. Without it a prefix retires when that is commanded, or with its node."""
    advertise_confirmed: bool = False
    """Advertise a new prefix only after the CMD accepted it (RFC 5213 6.9.1.2) instead of at once."""
    forward_grace: Duration = 1 * SECOND
    """How long a previous MAAR passes packets of other anchors' prefixes on to the serving MAAR."""
    quarantine: Duration = 1 * MINUTE
    """A retired prefix is not given to another node for this long."""
    delegated_pool: Prefix | None = None
    """A part of `pool`: prefixes for hosts that are routers (IA_PD)."""
    delegated_length: int = 60
    """Of these prefixes, in the whole domain; less than `prefix_length`."""
    ipv4_pool: Prefix | None = None
    """IPv4 home addresses (RFC 5844); the first one is the default router of all of them."""
    lma_ipv4_pool: Prefix | None = None
    """The IPv4 home addresses of the LMA, where `cmd` is one: asked for, as a MAG does (RFC 5844)."""
    dhcp_lease: Duration = 10 * MINUTE
    """Of IPv4 home addresses and of delegated prefixes. Renewed at half of it, wherever the node is by then."""
    more_cmds: tuple[Address, ...] = ()
    """Other CMDs of the domain that use the store of `cmd`: each answers for any node."""
    partner: Address | None = None
    """The peer that takes our pool over while we are gone. Needs `liveness`."""
    liveness: LivenessSettings | None = None
    """How fast routers that are gone are missed; None: nobody asks."""


@dataclass(frozen=True, slots=True)
class Maar:
    """A MAAR, as the CMD sees it."""

    address: Address
    pool: Prefix
    name: str = ""
    ipv4_pool: Prefix | None = None

    def owns(self, prefix: Prefix) -> bool:
        """Whether it may anchor `prefix`."""
        return self.pool.contains(prefix) or (self.ipv4_pool is not None and self.ipv4_pool.contains(prefix))


@dataclass(frozen=True, slots=True)
class CmdConfiguration:
    """The Central Mobility Database."""

    address: Address
    maars: tuple[Maar, ...]
    mode: Mode = Mode.PROXY
    lifetime_max: Duration = 1 * HOUR
    """Longest lifetime granted."""
    relay_flush: Duration = 200 * MILLISECOND
    """Relay mode: after this time the serving MAAR is told what is known so far (RFC 8885 3.2)."""
    nodes: int = 1_000_000
    nodes_per_maar: int = 500_000
    """Most nodes that one MAAR may register, so that one that is flooded does not take all the room."""
    prefixes_per_node: int = 8
    """A node with more loses the prefix that it left first."""
    timestamp_validity_window: Duration = 300 * MILLISECOND
    """An attachment further in the future than this is refused (RFC 5213 5.5)."""
    pace_rate: int = 2_000
    """Updates per second that the CMD originates for handovers (RFC 8885 3.2: pacing MUST be introduced).

    What is not urgent has a pace of its own, a quarter of this, so that a MAAR that restarts delays nobody's handover.
    With 0 there is no pace: for the simulation of a part of a domain.
    """
    pace_burst: int = 16
    warm_up: Duration = 5 * MINUTE
    """A CMD that began with nothing does not call a node unknown before this time has passed."""
    attempts: int = 8
    """Transmissions of an update to a MAAR that does not answer."""
    shared: bool = False
    """Other CMDs of this domain use the same store, and each answers for any node."""
    retransmission: RetransmissionConstants = RetransmissionConstants()


def logical_link_local(anchor: Address) -> Address:
    """The link-local identity of `anchor`'s distributed logical interface, when none was told (RFC 8885 3.7)."""
    identifier = bytearray(sha256(b"sojourn DLIF" + anchor).digest()[:8])
    identifier[0] &= 0xFD  # not a universally administered identifier (RFC 4291 2.5.1)
    return b"\xfe\x80" + bytes(6) + bytes(identifier)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A MAG, as an LMA sees it."""

    address: Address
    """Where its registrations come from; its Proxy-CoA, unless an update names another one."""
    name: str = ""
    care_of: tuple[Address, ...] = ()
    """More tunnel ends, which it may name in an Alternate Care-of Address option (RFC 5213 6.9.1.5)."""
    repeats: bool = False
    """It sends again as it was what it hears no answer to, although RFC 5213 6.9.4 wants the latest time: what we
    accepted from it is answered once more, and not refused (status 156)."""


@dataclass(frozen=True, slots=True)
class HomeProfile:
    """What an LMA knows of a mobile node (RFC 5213 6.2)."""

    node: bytes = b""
    """Subtype and identifier; empty in the profile of all nodes that have none of their own."""
    service: bool = True
    """Whether the node is served at all."""
    prefixes: tuple[Prefix, ...] = ()
    """Its own, in the order in which they are listed; the first session gets all of them."""
    dynamic: bool = True
    """A session beyond that gets prefixes from the pools, and may ask for a free one by name."""
    count: int = 1
    """Prefixes that a session gets from the pools."""
    gateways: tuple[Address, ...] = ()
    """The MAGs that may register it; none: all of them (RFC 5213 4)."""
    lifetime_max: Duration = 0
    """Longest lifetime granted; 0: that of the LMA."""


@dataclass(frozen=True, slots=True)
class LmaConfiguration:
    """A Local Mobility Anchor. The names of RFC 5213 section 9 are kept."""

    address: Address
    """LMAA: where MAGs register, and the end of all tunnels."""
    gateways: tuple[Gateway, ...]
    pools: tuple[Prefix, ...] = ()
    """Home network prefixes are taken from the first of these that has one."""
    profiles: tuple[HomeProfile, ...] = ()
    everybody: HomeProfile | None = HomeProfile()
    """The profile of nodes without one of their own; None: they are not served."""
    prefix_length: int = 64
    lifetime_max: Duration = 1 * HOUR
    """Longest lifetime granted."""
    min_delay_before_bce_delete: Duration = 10 * SECOND
    """A binding that was de-registered waits so long for the node to turn up elsewhere (RFC 5213 9.1)."""
    max_delay_before_new_bce_assign: Duration = 1500 * MILLISECOND
    """How long the end of another session is waited for before a node gets a new one (RFC 5213 9.1); 0: not at all."""
    timestamp_validity_window: Duration = 300 * MILLISECOND
    """How far a Timestamp may be off our clock, on both sides (RFC 5213 9.1)."""
    mobile_node_generated_timestamp_in_use: bool = False
    """Timestamps are the nodes' own: they only have to increase (RFC 5213 9.3)."""
    ipv4_pool: Prefix | None = None
    """The home subnet of IPv4 home addresses (RFC 5844); the first one is the default router of all of them."""
    dhcp_relay: bool = False
    """Gateways are DHCP relays for nodes with an IPv4 home address, not servers (RFC 5844 3.3.4)."""
    refuse_distributed: bool = False
    """Refuse updates with the D flag, as RFC 8885 4.1 has it, instead of ignoring the flag (design decision 3)."""
    ipv4_transport: Ipv4TransportOfLma | None = None
    localized_routing: LocalizedRoutingOfLma | None = None
    transient_bindings: TransientBindingsOfLma | None = None
    delegation: DelegationOfLma | None = None
    bulk_registration: BulkRegistrationOfLma | None = None
    user_plane: UserPlaneOfLma | None = None
    flow_mobility: FlowMobilityOfLma | None = None
    multipath: MultipathOfLma | None = None
    nodes: int = 1_000_000
    """Most sessions at a time."""
    nodes_per_gateway: int = 500_000
    """Most sessions that one MAG may have, so that one that is flooded does not take all the room."""
    sessions_per_node: int = 8
    prefixes_per_session: int = 8
    quarantine: Duration = 1 * MINUTE
    """A prefix that came back is not given to another node for this long."""
    heartbeat: HeartbeatSettings | None = None
    """This and what follows are extensions; without its settings, an LMA does not have one."""
    revocation: RevocationSettings | None = None
    update_notification: NotificationSettings | None = None
    mag_timers: ControlSettings | None = None
    renumbering: RenumberingSettings | None = None
    """It needs `update_notification`."""
    redirect: RedirectSettings | None = None
    access_network: AccessNetworkSettings | None = None
    quality: QualitySettings | None = None
    vendors: tuple[int, ...] = ()
    """Private enterprise numbers whose options are kept and returned (RFC 5094)."""


@dataclass(frozen=True, slots=True)
class GatewayProfile:
    """What a MAG knows of a mobile node (RFC 5213 6.2)."""

    link_layer: LinkLayer = b""
    """By what the node is known on the access link; empty in the profile of all nodes without one of their own."""
    node: bytes = b""
    """Subtype and identifier that the LMA knows it by; empty: its link-layer address (RFC 8371)."""
    lma: Address | None = None
    """Its LMA; None: that of the MAG."""
    service: bool = True
    """Whether it gets mobility service. If not, it gets a prefix of the visitors' pool, where there is one (6.14)."""
    prefixes: tuple[Prefix, ...] = ()
    """Home network prefixes to ask for; none: the LMA assigns."""
    quality: QualityRequest | None = None
    """Quality of service to ask for (RFC 7222); None: that of everybody, if they have any."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another MAG, to which nodes go and from which they come."""

    address: Address
    name: str = ""
    access_points: tuple[LinkLayer, ...] = ()
    """Access points that are its own ([AP-ID, AR-Info], RFC 5568)."""


@dataclass(frozen=True, slots=True)
class MagConfiguration(AccessConfiguration):
    """A Mobile Access Gateway. The names of RFC 5213 section 9 are kept where they say enough."""

    address: Address
    lma: Address
    profiles: tuple[GatewayProfile, ...] = ()
    everybody: GatewayProfile = GatewayProfile()
    timestamp_based_approach_in_use: bool = True
    """False: sequence numbers order registrations; the LMA tells a new MAG the last one (RFC 5213 5.5, 9.3)."""
    link_local_of_lma: bool = False
    """The LMA says what this router is called on each node's link, instead of the fixed `link_local` (6.8)."""
    ipv4_transport: Ipv4TransportOfMag | None = None
    localized_routing: LocalizedRoutingOfMag | None = None
    transient_bindings: TransientBindingsOfMag | None = None
    delegation: DelegationOfMag | None = None
    bulk_registration: BulkRegistrationOfMag | None = None
    user_plane: UserPlaneOfMag | None = None
    flow_mobility: FlowMobilityOfMag | None = None
    multipath: MultipathOfMag | None = None
    dedicated: tuple[str, ...] = ()
    """Access interfaces with one node at a time: who comes takes the place of who was there."""
    technologies: tuple[tuple[str, int], ...] = ()
    """Access technologies of interfaces that are not `access_technology`."""
    ipv4: bool = False
    """Ask the LMA for an IPv4 home address for every node, and serve those that use it (RFC 5844)."""
    dhcp_lease: Duration = 10 * MINUTE
    """Of IPv4 home addresses."""
    dhcp_relay: DhcpRelayOfMag | None = None
    """The DHCP server for nodes whose LMA has one (RFC 5844 3.4.2); None: these get no IPv4."""
    visitors: Prefix | None = None
    """Nodes without mobility service get a prefix from here (RFC 5213 6.14); None: they get nothing."""
    prefix_length: int = 64
    """Of the prefixes of visitors."""
    quarantine: Duration = 1 * MINUTE
    """A visitor's prefix is not given to another one for this long."""
    presence_trust: Duration = 10 * SECOND
    """A node that was seen within this time is taken to be here; another one is asked before it is registered again."""
    heartbeat: HeartbeatSettings | None = None
    """This and what follows are extensions; without its settings, a MAG does not have one."""
    revocation: RevocationSettings | None = None
    update_notification: bool = False
    lma_timers: bool = False
    """The LMA may say when and how to register again, and how to send heartbeats (RFC 8127)."""
    renumbering: bool = False
    """The LMA may give nodes other prefixes (RFC 8191); this needs `update_notification`."""
    prefix_retirement: Duration = 1 * MINUTE
    """So long those that they had before still work here."""
    redirect_anchors: tuple[Address, ...] = ()
    """LMAs that the LMA may assign to nodes instead of itself (RFC 6463); none: we are not redirected."""
    access_networks: tuple[AccessNetwork, ...] = ()
    """What the LMA is told of them (RFC 6757)."""
    vendor_options: tuple[VendorOption, ...] = ()
    """Carried in all requests (RFC 5094)."""
    neighbours: tuple[Neighbour, ...] = ()
    """Fast handovers take place with these only."""
