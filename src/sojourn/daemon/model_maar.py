"""The keys of `[maar]`: a Mobility Anchor and Access Router (RFC 8885)."""

from __future__ import annotations

from typing import Annotated, Any

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import (
    BackendField,
    CountField,
    DelegatedField,
    Dhcpv6Field,
    FewField,
    HandoversField,
    LengthField,
    ModeField,
    MtuField,
    OctetField,
    ToleranceField,
)
from sojourn.daemon.model_parts import (
    HANDOVER_PATIENCE,
    HANDOVER_WAIT,
    HANDOVERS,
    AccessPoint,
    Kernel,
    Liveness,
    Multicast,
    Peer,
    Retransmission,
    tolerate,
)
from sojourn.engines.configuration import (
    MaarConfiguration,
)
from sojourn.files.fields import (
    AddressField,
    DomainsField,
    DurationField,
    Expected,
    InterfaceField,
    Ipv4PoolField,
    LinkLayerField,
    LinkLocalField,
    NameServersField,
    PoolField,
    PrefixField,
    SwitchField,
)
from sojourn.files.sections import Section, setting


def _maar(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(MaarConfiguration, name, about, example)


class Maar(Section):
    """The role of a Mobility Anchor and Access Router (RFC 8885)."""

    address: AddressField = setting("An address of this router: its Proxy-CoA and tunnel end point.")
    pool: PoolField = setting("Every node gets a prefix of its own from here; the network routes it to this router.")
    access: Annotated[tuple[InterfaceField, ...], Expected("a list of interfaces", ["acc0"])] = setting(
        "The interfaces on which nodes attach."
    )
    hostapd: tuple[AccessPoint, ...] = setting(
        "Access points on this machine, as tables `[[maar.hostapd]]`: their stations are known before their first "
        "frame, and their leaving at once.",
        (),
    )
    cmd: AddressField | None = setting(
        "The Central Mobility Database of the domain. In direct mode it is told afterwards, or there is none.",
        None,
        example="2001:db8:c::1",
    )
    more_cmds: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:c::2"])] = setting(
        "Other databases of the domain with the same store (`cmd.databases`): any of them is asked.", ()
    )
    mode: ModeField = _maar(
        "mode",
        "Who tells the routers of a move: the database, in three ways, or (`direct`) they each other; the same in the "
        "whole domain.",
    )
    peers: tuple[Peer, ...] = setting("The other routers, as tables `[[maar.peers]]`.", ())
    neighbours: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:a2::1"])] = setting(
        "Direct mode: which of the `peers` are asked about a node that comes from nobody knows where; without it the "
        "first 32.",
        (),
    )
    ask_rate: CountField = _maar("ask_rate", "Direct mode: most questions to neighbours a second.", 2_000)
    partner: AddressField | None = setting(
        "The peer that takes `pool` over while this router is gone; needs `[maar.liveness]`, here and there.",
        None,
        example="2001:db8:a2::1",
    )
    routes: Annotated[tuple[PrefixField, ...], Expected("a list of prefixes", ["2001:db8:5e::/48"])] = setting(
        "Networks that only this router reaches: nodes with a prefix from here are told so wherever they are.", ()
    )
    tolerate: ToleranceField = tolerate("mad-pmipv6")
    backend: BackendField = setting(
        "What tunnels: the kernel's SRv6 code, its ip6tnl devices, the first of these that it has, or (for trying out) "
        "nothing. Routers with different ones understand each other.",
        "auto",
    )
    counters: SwitchField = setting(
        "Use nf_tables. Without it no prefix is found idle, and with seg6 packets too big for a tunnel are lost in "
        "silence.",
        True,
    )
    keep_forwarding: SwitchField = setting(
        "An orderly stop leaves forwarding as it is, as a crash does; the next start takes it up.",
        False,
    )
    lifetime: DurationField = _maar("lifetime", "Lifetime of a registration; refreshed at half of it. Multiple of 4 s.")
    idle_hold: DurationField = _maar(
        "idle_hold",
        "An old prefix retires after this time without a packet from it. Packets to it do not count, as anybody can "
        "send them: a flow to a node that never answers ends with the prefix unless this is longer than it lasts.",
    )
    watch: SwitchField = _maar(
        "watch",
        "Count packets from old prefixes to see which are idle. Without it a prefix retires with its node, or when "
        "that is commanded.",
    )
    mtu: MtuField = _maar("mtu", "MTU of the core. Nodes are told 40 octets less, so that tunnelled packets fit.")
    buffer: SwitchField = _maar(
        "buffer", "Keep packets of a node that left in the kernel until its new place is known."
    )
    buffer_time: DurationField = _maar("buffer_time", "At most for this long.")
    prefixes_per_node: FewField = _maar("prefixes_per_node", "Most prefixes of other routers for one node.")
    nodes: CountField = _maar("nodes", "Most nodes known at a time, served and anchored together.")
    new_nodes_per_second: CountField = _maar(
        "new_nodes_per_second", "Unknown nodes accepted per second and access link.", 200
    )
    advertise_confirmed: SwitchField = _maar(
        "advertise_confirmed",
        "Announce a new prefix only after the database accepted it, instead of at once.",
    )
    preferred_lifetime: DurationField = _maar("preferred_lifetime", "Of the announced prefix of this router.")
    valid_lifetime: DurationField = _maar(
        "valid_lifetime", "Of every announced prefix; hosts do not let it be cut later."
    )
    router_lifetime: DurationField = _maar("router_lifetime", "How long a node uses this router without hearing of it.")
    advertisement_interval: DurationField = _maar(
        "advertisement_interval", "Between two unsolicited advertisements; 0 for none."
    )
    handovers: HandoversField = _maar("handovers", HANDOVERS)
    handover_wait: DurationField = _maar("handover_wait", HANDOVER_WAIT)
    handover_patience: DurationField = _maar("handover_patience", HANDOVER_PATIENCE)
    forward_grace: DurationField = _maar(
        "forward_grace", "How long packets of other anchors are passed on to the router that a node went to."
    )
    reattach_guard: DurationField = _maar(
        "reattach_guard", "Late frames after a departure are no return for this long."
    )
    quarantine: DurationField = _maar("quarantine", "A retired prefix is given to nobody else for this long.")
    clock_window: DurationField = _maar("clock_window", "A larger difference to the database's clock is corrected.")
    prefix_length: LengthField = _maar("prefix_length", "Length of a node's prefix. Hosts make addresses from 64 only.")
    access_technology: OctetField = _maar("access_technology", "As told to the database (RFC 5213 8.5); 4 is Wi-Fi.")
    dhcpv6: Dhcpv6Field = _maar(
        "dhcpv6",
        "What nodes get by DHCPv6: nothing, name servers, or also addresses out of their own prefixes (IA_NA) and, "
        "with a `delegated_pool`, prefixes for what is behind them (IA_PD). All routers of the domain answer as one.",
    )
    slaac: SwitchField = _maar("slaac", "Nodes make addresses of their prefixes by themselves. If not, by DHCPv6 only.")
    dns: NameServersField = setting("Name servers that nodes are told of by DHCPv6 and DHCPv4.", ())
    domains: DomainsField = setting("Domains in which nodes look names up; DHCPv4 tells the first.", ())
    delegated_pool: PoolField | None = setting(
        "A part of `pool`: a node that is a router gets a prefix from here and keeps it wherever it is.",
        None,
        example="2001:db8:a100:8000::/49",
    )
    delegated_length: DelegatedField = _maar("delegated_length", "Length of such a prefix, the same in the domain.")
    ipv4_pool: Ipv4PoolField | None = setting(
        "A node that asks by DHCPv4 gets an address from here and keeps it wherever it is. The first address is the "
        "default router of all of them. The network routes the pool to this router.",
        None,
        example="10.1.0.0/16",
    )
    lma_ipv4_pool: Ipv4PoolField | None = setting(
        "Where `cmd` is the address of an LMA: its pool of IPv4 addresses, to ask for them as its gateways do.",
        None,
        example="10.9.0.0/16",
    )
    dhcp_lease: DurationField = _maar(
        "dhcp_lease",
        "Of IPv4 addresses and delegated prefixes; nodes renew at half of it. What is not renewed ends with it.",
    )
    link_local: LinkLocalField = _maar(
        "link_local",
        "What all routers of the domain are called on access links (RFC 6543); the same everywhere.",
    )
    link_layer: LinkLayerField = _maar("link_layer", "The link-layer address that goes with it (RFC 6543).")
    retransmission: Retransmission = setting("Table `[maar.retransmission]`.", Retransmission())
    liveness: Liveness | None = setting("Table `[maar.liveness]`; without it nobody is missed.", None)
    multicast: Multicast | None = setting("Table `[maar.multicast]`; without it no multicast is forwarded.", None)
    kernel: Kernel = setting("Table `[maar.kernel]`.", Kernel())


TABLES = (
    ("[maar]", Maar),
    ("[[maar.peers]]", Peer),
    ("[[maar.hostapd]]", AccessPoint),
    ("[maar.retransmission]", Retransmission),
    ("[maar.liveness]", Liveness),
    ("[maar.multicast]", Multicast),
    ("[maar.kernel]", Kernel),
)
"""The tables of this role in the order of the documentation."""
