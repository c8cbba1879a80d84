"""What the engines are told at birth: addresses, limits and times, each with the default that the daemon uses.

Constants keep the names printed in RFC 6275 section 12 and RFC 5213 section 9. Every duration is in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import sha256

from sojourn.wire.addresses import Address, LinkLayer, Prefix, address, link_layer
from sojourn.wire.units import HOUR, MILLISECOND, MINUTE, SECOND, Duration

FIXED_LINK_LOCAL: Address = address("fe80::200:5eff:fe00:5213")
"""The link-local address that every router of the domain shows on its access links (RFC 6543)."""
FIXED_LINK_LAYER: LinkLayer = link_layer("00:00:5e:00:52:13")
"""The link-layer address that goes with it (RFC 6543)."""


class Mode(Enum):
    """How the CMD brings previous and serving MAARs together (RFC 8885 3.2 to 3.4)."""

    PROXY = "proxy"
    RELAY = "relay"
    LOCATOR = "locator"


class Dhcpv6(Enum):
    """What a host gets by DHCPv6 (RFC 8415)."""

    OFF = "off"
    STATELESS = "stateless"
    """What else it should know, as name servers."""
    STATEFUL = "stateful"
    """Addresses out of its own prefix too; and a prefix to delegate, where there is a pool for that."""


@dataclass(frozen=True, slots=True)
class RetransmissionConstants:
    """RFC 6275 12 and RFC 8885 3.6; the first timeout follows the measured round trip (design decision, section 5)."""

    initial_bindack_timeout: Duration = 1 * SECOND
    max_bindack_timeout: Duration = 32 * SECOND
    min_bindack_timeout: Duration = 50 * MILLISECOND
    max_update_rate: int = 3
    """Messages per second about one mobile node to one destination."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another MAAR of the domain, as a MAAR sees it."""

    address: Address
    name: str = ""
    pool: Prefix | None = None
    """What it may anchor; None: any prefix of the length that nodes get, outside of our own pool."""
    ipv4_pool: Prefix | None = None
    """The IPv4 addresses that it may anchor; the first one is the default router of all of them."""


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


@dataclass(frozen=True, slots=True)
class MaarConfiguration:
    """One MAAR."""

    address: Address
    """Proxy Care-of Address and tunnel end point."""
    pool: Prefix
    """Prefixes for nodes are taken from here."""
    cmd: Address
    peers: tuple[Peer, ...] = ()
    mode: Mode = Mode.PROXY
    routes: tuple[Prefix, ...] = ()
    """Local networks that can be reached through this router only: told in Local Prefix options, and advertised by
    whoever serves one of our nodes, on our DLIF (RFC 8885 3.7, 4.4)."""
    prefix_length: int = 64
    access_technology: int = 4
    """RFC 5213 8.5; 4 is IEEE 802.11."""
    lifetime: Duration = 5 * MINUTE
    """Lifetime asked for; refreshed at half of what was granted."""
    idle_hold: Duration = 1 * MINUTE
    """A prefix whose node is elsewhere retires after this time without a packet."""
    watch: bool = True
    """Count these packets. Without it a prefix retires when that is commanded, or with its node."""
    advertise_confirmed: bool = False
    """Advertise a new prefix only after the CMD accepted it (RFC 5213 6.9.1.2) instead of at once."""
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
    forward_grace: Duration = 1 * SECOND
    """How long a previous MAAR passes packets of other anchors' prefixes on to the serving MAAR."""
    reattach_guard: Duration = 100 * MILLISECOND
    """After a detachment, late frames do not count as a return; a new station event does."""
    quarantine: Duration = 1 * MINUTE
    """A retired prefix is not given to another node for this long."""
    clock_window: Duration = 300 * MILLISECOND
    """A larger difference to the CMD's clock is corrected (TimestampValidityWindow, RFC 5213 9.2)."""
    nodes: int = 10_000
    """Most nodes known at a time, served and anchored together."""
    new_nodes_per_second: int = 200
    """Unknown identifiers accepted per second and access link; as many may come at once."""
    prefixes_per_node: int = 16
    """Most prefixes of other anchors accepted for one node."""
    dhcpv6: Dhcpv6 = Dhcpv6.OFF
    slaac: bool = True
    """Whether hosts make addresses of their prefixes by themselves (A flag)."""
    dns: tuple[Address, ...] = ()
    """Name servers that hosts are told of, of both families."""
    domains: tuple[str, ...] = ()
    """Domains that hosts search names in; the first is the one of IPv4."""
    delegated_pool: Prefix | None = None
    """A part of `pool`: prefixes for hosts that are routers (IA_PD)."""
    delegated_length: int = 60
    """Of these prefixes, in the whole domain; less than `prefix_length`."""
    ipv4_pool: Prefix | None = None
    """IPv4 home addresses (RFC 5844); the first one is the default router of all of them."""
    dhcp_lease: Duration = 10 * MINUTE
    """Of IPv4 home addresses and of delegated prefixes. Renewed at half of it, wherever the node is by then."""
    link_local: Address = FIXED_LINK_LOCAL
    link_layer: LinkLayer = FIXED_LINK_LAYER
    retransmission: RetransmissionConstants = RetransmissionConstants()
    multicast: MulticastConfiguration | None = None
    """None: no multicast beyond the access links."""


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
    """
    pace_burst: int = 16
    warm_up: Duration = 5 * MINUTE
    """A CMD that began with nothing does not call a node unknown before this time has passed."""
    attempts: int = 8
    """Transmissions of an update to a MAAR that does not answer."""
    retransmission: RetransmissionConstants = RetransmissionConstants()


def logical_link_local(anchor: Address) -> Address:
    """The link-local identity of `anchor`'s distributed logical interface, when none was told (RFC 8885 3.7)."""
    identifier = bytearray(sha256(b"sojourn DLIF" + anchor).digest()[:8])
    identifier[0] &= 0xFD  # not a universally administered identifier (RFC 4291 2.5.1)
    return b"\xfe\x80" + bytes(6) + bytes(identifier)
