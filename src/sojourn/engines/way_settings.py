"""What the extensions are told that choose ways for packets. An engine without the settings of one does not have it.

Constants keep the names printed in their RFCs; every duration is in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND, Duration


@dataclass(frozen=True, slots=True)
class LocalizedRoutingOfLma:
    """An LMA initiates localized routing (RFC 6705)."""

    pairs: tuple[tuple[bytes, bytes], ...] = ()
    """Nodes that meet, by subtype and identifier; others are named by command."""
    lifetime: Duration = 2 * MINUTE
    """Asked for; renewed at half of it, in whole seconds."""
    lra_wait_time: Duration = 3 * SECOND
    """Between transmissions of an initiation that is not answered (12)."""
    lri_retries: int = 3
    most: int = 1024
    """Pairs at a time."""


@dataclass(frozen=True, slots=True)
class LocalizedRoutingOfMag:
    """A MAG does what the LMA asks for (EnableMAGLocalRouting, RFC 6705 5)."""

    gateways: tuple[Address, ...] = ()
    """Other MAGs that packets are exchanged with, in tunnels."""
    most: int = 1024
    """Pairs at a time."""


@dataclass(frozen=True, slots=True)
class TransientBindingsOfLma:
    """An LMA switches the way to a node late, if the new gateway asks for that (RFC 6058)."""

    lifetime_max: Duration = 10 * SECOND
    """Longest transient state granted; the option can say 25.5 s."""
    activation_state: bool = False
    """Take packets of the previous gateway for a while after the switch (Transient-LA, 4.3.2)."""
    activation_delay: Duration = 2000 * MILLISECOND
    """ACTIVATIONDELAY: how long that lasts (8)."""


@dataclass(frozen=True, slots=True)
class TransientBindingsOfMag:
    """A MAG asks for a transient binding when it is told that a node is about to come (RFC 6058)."""

    lifetime: Duration = 2 * SECOND
    """Longest time until the node is ready on this link."""


@dataclass(frozen=True, slots=True)
class DelegationOfLma:
    """An LMA delegates prefixes to nodes that are routers (RFC 7148)."""

    pools: tuple[Prefix, ...] = ()
    length: int = 56
    """Of the prefixes from these."""
    nodes: tuple[tuple[bytes, tuple[Prefix, ...]], ...] = ()
    """Prefixes of their own, by subtype and identifier."""
    dynamic: bool = True
    """Every node may have one from the pools; else only what `nodes` says."""
    most: int = 4
    """Prefixes that a session may ask for by name."""


@dataclass(frozen=True, slots=True)
class DelegationOfMag:
    """A MAG asks for prefixes for the networks behind its nodes (RFC 7148)."""

    nodes: tuple[tuple[LinkLayer, tuple[Prefix, ...]], ...] = ()
    """Nodes that are known to be routers, and the prefixes to ask for; none: the LMA assigns."""
    everybody: bool = False
    """Every node may ask, over DHCPv6."""
    most: int = 4
    """Prefixes taken for one node."""


@dataclass(frozen=True, slots=True)
class BulkRegistrationOfLma:
    """An LMA lets gateways extend groups of sessions (AcceptBulkBindingUpdateReqForMobilitySession, RFC 6602)."""


@dataclass(frozen=True, slots=True)
class BulkRegistrationOfMag:
    """A MAG extends groups of sessions (RequestBulkBindingUpdateSupportForMobilitySession, RFC 6602)."""

    groups: int = 1
    """That sessions are spread over."""
    patience: Duration = 5 * SECOND
    """After the first session of a group that wants to be extended, all are; a node is asked for as long (6.13)."""
    alone_after: int = 8
    """After so many extensions with its group a session is registered by itself once, in case the LMA lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPlaneOfLma:
    """Tunnels end at another address of the LMA (RFC 7389)."""

    address: Address
    """LMA-UPA."""
    domain_wide: bool = False
    """Domain-wide-LMA-UPA-Support: tell it to gateways that do not ask (5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPlaneOfMag:
    """Tunnels go to where the LMA says (RFC 7389)."""

    addresses: tuple[Address, ...]
    """Those that are believed; packets that are tunnelled from there are taken."""
    domain_wide: bool = False
    """Domain-wide-LMA-UPA-Support: there is no need to ask (5)."""


@dataclass(frozen=True, slots=True)
class FlowMobilityOfLma:
    """An LMA moves flows between the links of a node (RFC 7864)."""

    retransmission_delay: Duration = 1 * SECOND
    """Before a Flow Mobility Initiate is repeated (RFC 7077 6.1)."""
    max_retries: int = 3
    most: int = 1024
    """Prefixes that are moved, at a time."""


@dataclass(frozen=True, slots=True)
class FlowMobilityOfMag:
    """A MAG takes flows of other links of its nodes (RFC 7864)."""

    most: int = 8
    """Prefixes for one node."""


@dataclass(frozen=True, slots=True)
class MultipathOfLma:
    """An LMA reaches gateways over several paths (RFC 8278)."""

    most: int = 4
    """Paths of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipathOfMag:
    """A MAG with several uplinks (RFC 8278)."""

    identifier: bytes
    """Subtype and identifier of the MAG: its name, whatever the address."""
    care_of: tuple[Address, ...]
    """Care-of addresses besides the first, one for each further uplink."""
    labels: tuple[int, ...] = ()
    """What kind of uplink each is, the first one first (If-Label)."""


@dataclass(frozen=True, slots=True)
class Ipv4Gateway:
    """A MAG that registers over IPv4 (RFC 5844 4)."""

    address: Address
    """What it is called: the `address` of a `Gateway`. Nothing is sent there."""
    ipv4: Address
    """IPv4-Proxy-CoA."""
    nat: Address | None = None
    """The address of the NAT that it is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4TransportOfLma:
    """An LMA that some gateways reach over IPv4 (RFC 5844 4). The name of the flag is that of section 5.1."""

    address: Address
    """IPv4-LMAA."""
    gateways: tuple[Ipv4Gateway, ...]
    accept_forced_ipv4_udp_encapsulation_request: bool = False
    """Gateways may have UDP where there is no NAT; if not, that is refused with status 129."""
    keepalive: Duration = 20 * SECOND
    """Told to gateways behind a NAT: it hears of them that often (NAT Detection option, RFC 5555 3.2.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4TransportOfMag:
    """A MAG that reaches its LMA over IPv4 (RFC 5844 4). The name of the flag is that of section 5.2."""

    address: Address
    """IPv4-Proxy-CoA, of this machine."""
    lma: Address
    """IPv4-LMAA: where `lma` of the MAG is reached."""
    force_ipv4_udp_encapsulation_support: bool = False
    """Ask for UDP even where there is no NAT."""
    keepalive: Duration = 20 * SECOND
    """Longest time that a NAT sees nothing of us; less, if the LMA says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpRelayOfMag:
    """A MAG as DHCP relay (RFC 5844 3.4.2)."""

    address: Address
    """An IPv4 address of this machine, at which the server answers (giaddr)."""
    server: Address
    """The DHCP server."""
