"""What the engines of Mobile IPv6 (RFC 6275) are told at birth. Constants keep the names printed in its section 12.

A node and its home agent trust each other through an `Association`, a key that both have (RFC 4285); without one their
messages are protected by others: IPsec, or a network that nobody else reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sojourn.core.effects import AdvertisedPrefix
from sojourn.engines.configuration import RetransmissionConstants
from sojourn.wire import VendorSpecific
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.units import HOUR, MILLISECOND, MINUTE, SECOND, Duration

DHAAD_RETRIES = 4
INITIAL_DHAAD_TIMEOUT: Duration = 3 * SECOND
INITIAL_SOLICIT_TIMER: Duration = 3 * SECOND
MAX_BINDACK_TIMEOUT: Duration = 32 * SECOND
MAX_DELETE_BCE_TIMEOUT: Duration = 10 * SECOND
MAX_NONCE_LIFETIME: Duration = 240 * SECOND
MAX_TOKEN_LIFETIME: Duration = 210 * SECOND
MAX_RO_FAILURE = 3
MAX_RR_BINDING_LIFETIME: Duration = 420 * SECOND
PREFIX_ADV_RETRIES = 3
PREFIX_ADV_TIMEOUT: Duration = 3 * SECOND
INITIAL_HA_SWITCH_TIMEOUT: Duration = 5 * SECOND
"""RFC 5142 8."""
MAX_HA_SWITCH_TIMEOUT: Duration = 20 * SECOND
"""RFC 5142 8."""
HA_SWITCH_ADVICE: Duration = 8 * SECOND
"""How long a node may keep the home agent that it is to leave while it registers with the next one (RFC 5142 6.1); half
of it is less than INITIAL_HA_SWITCH_TIMEOUT, after which the node is told again (5.2)."""
BRI_MAX_RETRIES_NUMBER = 1
"""RFC 5846 11, as the next two."""
INIT_MIN_DELAY_BRIS: Duration = 1 * SECOND
MAX_BRACK_TIMEOUT: Duration = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Association:
    """A mobility security association (RFC 4285 5.1). The algorithm is HMAC_SHA1."""

    spi: int
    """From 256 on."""
    key: bytes
    identifier: bytes = b""
    """Subtype and identifier of the node (RFC 4283), told in a Mobile Node Identifier option; empty: none is told."""
    replay_protection: bool = True
    """Timestamps (RFC 4285 6) order the messages of the node; if not, sequence numbers alone do."""
    close_enough: Duration = 7 * SECOND
    """By how much two clocks may differ."""


@dataclass(frozen=True, slots=True)
class HomeNode:
    """What a home agent knows of a mobile node."""

    home_address: Address | None
    """None: whichever it takes of the home prefixes, as long as nobody else has it (RFC 8818: a local home address)."""
    association: Association | None = None
    """None: its messages are protected by others."""
    lifetime_max: Duration = 0
    """Longest lifetime granted; 0: that of the home agent."""
    prefixes: tuple[Prefix, ...] = ()
    """Mobile network prefixes that it may have as a mobile router (RFC 3963 6.1.2)."""


@dataclass(frozen=True, slots=True)
class HaConfiguration:
    """A home agent."""

    address: Address
    """Where mobile nodes register, and the end of all tunnels."""
    prefixes: tuple[AdvertisedPrefix, ...]
    """Of the home link."""
    nodes: tuple[HomeNode, ...]
    interface: str = ""
    """The home link; empty: it is a virtual one that nobody can be on."""
    duplicate_address_detection: bool = True
    """Before the first binding of a home address, which takes a second (RFC 6275 10.3.1). False where nobody but the
    node can have it, as with a prefix for each host (RFC 8273)."""
    optimistic_duplicate_address_detection: bool = False
    """The first binding is acknowledged while the test goes on, as RFC 4429 lets hosts do: not the letter of RFC 6275.
    If somebody has the address, the binding is revoked, and the next one waits for the test."""
    preference: int = 0
    """Of this home agent among those of the link (RFC 6275 7.4)."""
    lifetime_max: Duration = 1 * HOUR
    """Longest lifetime granted."""
    refresh_advice: Duration = 0
    """Nodes are asked to refresh after this time (RFC 6275 6.2.4); 0: they are not."""
    stores: bool = True
    """Bindings are kept on disk; then there is no refresh advice (RFC 6275 10.3.1)."""
    mobile_routers: bool = True
    """Whether nodes may be mobile routers (RFC 3963)."""
    several: bool = True
    """Whether nodes may have several care-of addresses at a time (RFC 5648)."""
    home_too: bool = True
    """With `several`: whether they may be on the home link at the same time (RFC 5648 5.6)."""
    flows: bool = True
    """Whether nodes may say which packets go to which of these (RFC 6089)."""
    bindings: int = 1_000_000
    """Most at a time."""
    vendors: tuple[int, ...] = ()
    """Private enterprise numbers whose options (RFC 5094) are kept, shown and returned; others are passed over."""
    experiments: bool = False
    """Messages of experiments (RFC 5096) are written down and can be sent; if not, they are unknown ones."""
    min_mobile_prefix_interval: Duration = 600 * SECOND
    """MinMobPfxAdvInterval."""
    max_mobile_prefix_interval: Duration = 86_400 * SECOND
    """MaxMobPfxAdvInterval."""


@dataclass(frozen=True, slots=True)
class CnConfiguration:
    """A correspondent node with route optimisation."""

    address: Address
    bindings: int = 10_000
    """Most at a time, those included whose nonces are remembered only."""
    lifetime_max: Duration = MAX_RR_BINDING_LIFETIME
    tests_per_second: int = 5_000
    """Answers to test init messages, all together."""
    refresh: bool = True
    """Ask mobile nodes to refresh bindings that are in use (RFC 6275 9.5.5)."""
    several: bool = True
    """Whether nodes may have several care-of addresses at a time (RFC 5648)."""
    flows: bool = True
    """Whether they may say which packets go to which of these (RFC 6089)."""


@dataclass(frozen=True, slots=True)
class Home:
    """One home address of a mobile node."""

    address: Address
    prefix: Prefix
    """Of the home link."""
    home_agent: Address | None = None
    """None: it is looked for (RFC 6275 11.4.1)."""
    association: Association | None = None
    router: bool = False
    """This node is a mobile router for networks behind it (RFC 3963)."""
    networks: tuple[Prefix, ...] = ()
    """The prefixes of these, told in Binding Updates (explicit mode)."""
    link_local: bool = False
    """The link-local address has the same interface identifier (flag L)."""
    agent_name: str = ""
    """DNS is asked for the home agent's address under this name before the home link is (RFC 5026 5.1.1)."""
    implicit: bool = False
    """The home agent knows the networks, and they are not told (RFC 3963 5.2)."""
    delegated_length: int = 0
    """A network with a prefix of this length is asked for by DHCPv6 (RFC 6276); the home agent knows it. 0: none."""


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """Which links some of the packets of a mobile node take (RFC 6089)."""

    selector: Ipv6TrafficSelector
    """Of the packets to the node."""
    interfaces: tuple[str, ...]
    """The first of these that leads anywhere; when none does, the packets take the way of all others."""
    shared: bool = False
    """All of these that lead anywhere, each for a part of the ports of the node."""


@dataclass(frozen=True, slots=True)
class MnConfiguration:
    """A mobile node."""

    homes: tuple[Home, ...]
    interfaces: tuple[str, ...]
    """That it may be attached with, the one to prefer first."""
    lifetime: Duration = 5 * MINUTE
    """Asked for; refreshed at four fifths of what was granted."""
    several: bool = False
    """Register the care-of addresses of all links at once (RFC 5648), the best one first."""
    home_too: bool = False
    """With `several`: the home link and foreign ones are used at the same time (RFC 5648 5.6)."""
    flows: tuple[FlowPolicy, ...] = ()
    """With `several`: looked at in this order; all other packets take the best link."""
    route_optimisation: bool = True
    leave_to_network: bool = False
    """Where the network keeps addresses by itself (RFC 5213, RFC 8885), new connections do not use the home address."""
    correspondents: int = 256
    """Most of them with route optimisation at a time."""
    retry_correspondent: Duration = 10 * MINUTE
    """One without support is asked again after this time (RFC 6275 11.3.5)."""
    care_of_peers: tuple[Prefix, ...] = ()
    """New connections to these use the address of the link: short exchanges, which no move interrupts."""
    vendor_options: tuple[VendorSpecific, ...] = ()
    """Told to home agents (RFC 5094)."""
    experiments: bool = False
    """As at a home agent."""
    anchors: Association | None = None
    """What home agents of visited networks know of this node: with it, addresses got there are kept as local home
    addresses while they are in use (RFC 8818); None: they are not."""
    anchor_addresses: tuple[Address, ...] = ()
    """Anchors that are not on the link: new sessions use the nearest (see `mn_nearest`), if it is nearer than home."""
    anchor_names: tuple[str, ...] = ()
    """More of them, as DNS has them."""
    anchor_check: Duration = 1 * MINUTE
    """How often distances are measured, besides after every move."""
    anchors_max: int = 8
    """Most local home addresses at a time."""
    session_check: Duration = 10 * SECOND
    """How often it is looked whether local home addresses are in use."""
    lost_advertisements: int = 3
    """So many missed Router Advertisements (RFC 6275 7.3) are a reason to ask whether the router is still there."""
    router_lifetime_grace: Duration = 500 * MILLISECOND
    """How long an advertisement may be late."""
    initial_bindack_timeout_first_reg: Duration = 1500 * MILLISECOND
    """InitialBindackTimeoutFirstReg."""
    retransmission: RetransmissionConstants = field(default_factory=RetransmissionConstants)
