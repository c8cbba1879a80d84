"""The configuration file as a model: which keys there are, what they mean, what they are when absent.

The messages for wrong values, the JSON Schema and ``docs/configuration.md`` come from here. A key that sets a field of
the engines' configuration has that field's name and default; a test walks the fields and fails for a missing one.
"""

from __future__ import annotations

from typing import Annotated, Any

from sojourn.daemon import model_extensions as extensions
from sojourn.daemon import model_mobile as mobile
from sojourn.daemon import model_ways as ways
from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import (
    AccessPointsField,
    BackendField,
    CountField,
    DelegatedField,
    Dhcpv6Field,
    FewField,
    HandoversField,
    IdentifiersField,
    LengthField,
    LogField,
    LogFormatField,
    ModeField,
    MtuField,
    OctetField,
    ToleranceField,
)
from sojourn.daemon.model_parts import AccessPoint, Kernel, Multicast, Peer, Retransmission, tolerate, tolerate_this
from sojourn.dataplane.settings import LinuxSettings
from sojourn.engines.configuration import (
    CmdConfiguration,
    LmaConfiguration,
    MaarConfiguration,
    MagConfiguration,
)
from sojourn.files.fields import (
    AddressField,
    DomainsField,
    DurationField,
    Expected,
    IdentifierField,
    InterfaceField,
    Ipv4PoolField,
    LinkLayerField,
    LinkLocalField,
    NameField,
    NameServersField,
    PathField,
    PoolField,
    PrefixField,
    SocketField,
    SwitchField,
    TextField,
)
from sojourn.files.sections import Layout, Section, setting


def _maar(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(MaarConfiguration, name, about, example)


def _cmd(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(CmdConfiguration, name, about, example)


def _mag(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(MagConfiguration, name, about, example)


def _lma(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(LmaConfiguration, name, about, example)


_HANDOVERS = "Fast handovers (RFC 5949) that may be under way at a time, two queues each; 0: there are none."
_HANDOVER_WAIT = (
    "How long a node that is expected may take to come, and a node that left is looked out for before its anchor hears."
)
_HANDOVER_PATIENCE = "How long packets that come straight from the anchor wait for what the previous router forwards."


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
    cmd: AddressField = setting("The Central Mobility Database of the domain.", example="2001:db8:c::1")
    mode: ModeField = _maar("mode", "Who tells the routers of a move; the same in the whole domain.")
    peers: tuple[Peer, ...] = setting("The other routers, as tables `[[maar.peers]]`.", ())
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
    handovers: HandoversField = _maar("handovers", _HANDOVERS)
    handover_wait: DurationField = _maar("handover_wait", _HANDOVER_WAIT)
    handover_patience: DurationField = _maar("handover_patience", _HANDOVER_PATIENCE)
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
    multicast: Multicast | None = setting("Table `[maar.multicast]`; without it no multicast is forwarded.", None)
    kernel: Kernel = setting("Table `[maar.kernel]`.", Kernel())


class CmdMaar(Section):
    """A MAAR that may register nodes, and the pool that it owns."""

    name: NameField = setting("For people.", "", example="ar1")
    address: AddressField = setting("Its Proxy-CoA: where its registrations come from.")
    pool: PoolField = setting("Its pool. It is refused a prefix outside, and no other router gets one inside.")
    ipv4_pool: Ipv4PoolField | None = setting("Its pool of IPv4 addresses, likewise.", None, example="10.1.0.0/16")
    tolerate: ToleranceField = tolerate_this()


class Cmd(Section):
    """The role of the Central Mobility Database (RFC 8885)."""

    address: AddressField = setting("The address that routers register with.", example="2001:db8:c::1")
    mode: ModeField = _cmd("mode", "Who tells the routers of a move; the same in the whole domain.")
    maars: tuple[CmdMaar, ...] = setting("The routers of the domain, as tables `[[cmd.maars]]`; others are refused.")
    lifetime_max: DurationField = _cmd("lifetime_max", "Longest lifetime granted. Multiple of 4 s.")
    relay_flush: DurationField = _cmd("relay_flush", "Relay mode: the serving router is told what is known after this.")
    nodes: CountField = _cmd("nodes", "Most nodes known at a time.", 1_000_000)
    nodes_per_maar: CountField = _cmd("nodes_per_maar", "Most nodes that one router may register.", 500_000)
    prefixes_per_node: FewField = _cmd("prefixes_per_node", "A node with more loses the prefix that it left first.")
    timestamp_validity_window: DurationField = _cmd(
        "timestamp_validity_window",
        "A registration from further in the future than this is refused (RFC 5213 5.5).",
    )
    pace_rate: CountField = _cmd(
        "pace_rate", "Most updates per second about moves; a quarter as many again of what is not urgent.", 2_000
    )
    pace_burst: CountField = _cmd("pace_burst", "As many may leave at once.", 16)
    warm_up: DurationField = _cmd("warm_up", "After a start with nothing, no node is called unknown for this long.")
    tolerate: ToleranceField = tolerate("mad-pmipv6")
    attempts: FewField = _cmd("attempts", "Transmissions of an update to a router that does not answer.")
    retransmission: Retransmission = setting("Table `[cmd.retransmission]`.", Retransmission())


class MagEverybody(Section):
    """Nodes without a table `[[mag.profiles]]` of their own."""

    service: SwitchField = setting("Mobility service: their home network everywhere. If not, they are visitors.", True)
    lma: AddressField | None = setting("Their LMA, if not that of the gateway.", None, example="2001:db8:f::2")
    quality: extensions.QualityOfService | None = setting(
        "Quality of service to ask for (RFC 7222); absent in a profile: that of everybody.",
        None,
        example={"dscp": 46, "downlink": 10_000_000},
    )


class MagProfile(MagEverybody):
    """What this gateway knows of a node (RFC 5213 6.2)."""

    link_layer: LinkLayerField = setting("By what it is known on the access link.", example="02:00:00:00:00:01")
    identifier: IdentifierField | None = setting(
        "By what its LMA knows it, the same at every gateway; absent: its link-layer address.", None
    )
    prefixes: Annotated[tuple[PrefixField, ...], Expected("a list of prefixes", ["2001:db8:f000::/64"])] = setting(
        "Home network prefixes to ask for; absent: the LMA assigns them.", ()
    )


class MagNeighbour(Section):
    """Another gateway: nodes go there and come from there by fast handover."""

    address: AddressField = setting("Its Proxy-CoA.", example="2001:db8:b2::1")
    name: NameField = setting("For people.", "", example="mag2")
    access_points: AccessPointsField = setting("Its access points (BSSID), as `sojourn` may be told of them.", ())


class Mag(Section):
    """The role of a Mobile Access Gateway (RFC 5213 section 6)."""

    address: AddressField = setting("An address of this router: its Proxy-CoA and tunnel end point.")
    lma: AddressField = setting("The Local Mobility Anchor.", example="2001:db8:f::1")
    access: Annotated[tuple[InterfaceField, ...], Expected("a list of interfaces", ["acc0"])] = setting(
        "The interfaces on which nodes attach."
    )
    hostapd: tuple[AccessPoint, ...] = setting(
        "Access points on this machine, as tables `[[mag.hostapd]]`: their stations are known before their first "
        "frame, and their leaving at once.",
        (),
    )
    profiles: tuple[MagProfile, ...] = setting("Nodes that are known, as tables `[[mag.profiles]]`.", ())
    everybody: MagEverybody = setting("Table `[mag.everybody]`.", MagEverybody())
    neighbours: tuple[MagNeighbour, ...] = setting("Other gateways, as tables `[[mag.neighbours]]`.", ())
    handovers: HandoversField = _mag("handovers", _HANDOVERS)
    handover_wait: DurationField = _mag("handover_wait", _HANDOVER_WAIT)
    handover_patience: DurationField = _mag("handover_patience", _HANDOVER_PATIENCE)
    visitors: PoolField | None = setting(
        "Nodes without mobility service get a prefix from here, which the network routes to this router; absent: "
        "they get nothing.",
        None,
        example="2001:db8:b100::/48",
    )
    dedicated: Annotated[tuple[InterfaceField, ...], Expected("a list of interfaces", ["acc1"])] = setting(
        "Access interfaces with one node at a time: who comes takes the place of who was there.", ()
    )
    technologies: Annotated[
        dict[InterfaceField, OctetField], Expected("a table of interfaces and numbers", {"acc1": 3})
    ] = setting("Access technologies of interfaces that differ from `access_technology`.", {})
    local_routing: SwitchField = setting(
        "EnableMAGLocalRouting: nodes of this gateway reach each other directly instead of by way of the LMA.", False
    )
    timestamp_based_approach_in_use: SwitchField = _mag(
        "timestamp_based_approach_in_use",
        "Timestamps order registrations, else sequence numbers do; the same in the whole domain.",
    )
    link_local_of_lma: SwitchField = _mag(
        "link_local_of_lma",
        "The LMA says what this router is called on each node's link, instead of `link_local`.",
    )
    tolerate: ToleranceField = tolerate("oai-pmipv6")
    backend: BackendField = setting(
        "What tunnels: the kernel's SRv6 code, its ip6tnl devices, the first of these that it has, or (for trying out) "
        "nothing. Routers with different ones understand each other.",
        "auto",
    )
    counters: SwitchField = setting(
        "Use nf_tables. Without it packets too big for a tunnel are lost in silence, and those for nodes that left are "
        "routed on.",
        True,
    )
    keep_forwarding: SwitchField = setting(
        "An orderly stop leaves forwarding as it is, as a crash does; the next start takes it up.",
        False,
    )
    lifetime: DurationField = _mag("lifetime", "Lifetime of a registration; refreshed at half of it. Multiple of 4 s.")
    presence_trust: DurationField = _mag(
        "presence_trust", "A node that was seen within this time is not asked before it is registered again."
    )
    mtu: MtuField = _mag("mtu", "MTU of the core. Nodes are told 40 octets less, so that tunnelled packets fit.")
    buffer: SwitchField = _mag("buffer", "Keep packets of a node that left in the kernel, for if it comes back.")
    buffer_time: DurationField = _mag("buffer_time", "At most for this long.")
    prefixes_per_node: FewField = _mag("prefixes_per_node", "Most home network prefixes for one node.")
    nodes: CountField = _mag("nodes", "Most nodes known at a time.")
    new_nodes_per_second: CountField = _mag(
        "new_nodes_per_second", "Unknown nodes accepted per second and access link.", 200
    )
    preferred_lifetime: DurationField = _mag("preferred_lifetime", "Of the announced prefixes.")
    valid_lifetime: DurationField = _mag("valid_lifetime", "The same; hosts do not let it be cut later.")
    router_lifetime: DurationField = _mag("router_lifetime", "How long a node uses this router without hearing of it.")
    advertisement_interval: DurationField = _mag("advertisement_interval", "Between two unsolicited advertisements.")
    reattach_guard: DurationField = _mag("reattach_guard", "Late frames after a departure are no return for this long.")
    quarantine: DurationField = _mag("quarantine", "A visitor's prefix is given to nobody else for this long.")
    clock_window: DurationField = _mag("clock_window", "A larger difference to the LMA's clock is corrected.")
    prefix_length: LengthField = _mag("prefix_length", "Length of a visitor's prefix, and of every prefix counted.")
    access_technology: OctetField = _mag("access_technology", "As told to the LMA (RFC 5213 8.5); 4 is Wi-Fi.")
    ipv4: SwitchField = _mag(
        "ipv4",
        "Ask the LMA for an IPv4 home address for every node; nodes get it by DHCPv4 (RFC 5844). All gateways alike.",
    )
    dhcp_lease: DurationField = _mag("dhcp_lease", "Of IPv4 addresses; nodes renew at half of it.")
    link_local: LinkLocalField = _mag(
        "link_local",
        "What all gateways of the domain are called on access links (RFC 6543); the same everywhere.",
    )
    link_layer: LinkLayerField = _mag("link_layer", "The link-layer address that goes with it (RFC 6543).")
    dhcpv6: Dhcpv6Field = _mag(
        "dhcpv6",
        "What nodes get by DHCPv6: nothing, name servers, or also addresses out of their home prefixes (IA_NA). All "
        "gateways of the domain answer as one.",
    )
    slaac: SwitchField = _mag("slaac", "Nodes make addresses of their prefixes by themselves. If not, by DHCPv6 only.")
    dns: NameServersField = setting("Name servers that nodes are told of by DHCPv6 and DHCPv4.", ())
    domains: DomainsField = setting("Domains in which nodes look names up; DHCPv4 tells the first.", ())
    multicast: Multicast | None = setting("Table `[mag.multicast]`; without it no multicast is forwarded.", None)
    localized_routing: ways.MagLocalizedRouting | None = setting("Table `[mag.localized_routing]`.", None)
    transient_bindings: ways.MagTransientBindings | None = setting("Table `[mag.transient_bindings]`.", None)
    delegation: ways.MagDelegation | None = setting("Table `[mag.delegation]`.", None)
    bulk_registration: ways.MagBulkRegistration | None = setting("Table `[mag.bulk_registration]`.", None)
    user_plane: ways.MagUserPlane | None = setting("Table `[mag.user_plane]`.", None)
    flow_mobility: ways.MagFlowMobility | None = setting("Table `[mag.flow_mobility]`.", None)
    multipath: ways.MagMultipath | None = setting("Table `[mag.multipath]`.", None)
    retransmission: Retransmission = setting("Table `[mag.retransmission]`.", Retransmission())
    heartbeat: extensions.Heartbeat | None = setting("Table `[mag.heartbeat]`; absent: none are sent.", None)
    revocation: extensions.MagRevocation | None = setting("Table `[mag.revocation]`; absent: there is none.", None)
    update_notification: SwitchField = _mag(
        "update_notification", "Do what Update Notifications of the LMA ask for (RFC 7077)."
    )
    lma_timers: SwitchField = _mag("lma_timers", "Take timers from the LMA (RFC 8127).")
    renumbering: SwitchField = _mag(
        "renumbering", "Take other prefixes for a node (RFC 8191); needs `update_notification`."
    )
    prefix_retirement: DurationField = _mag("prefix_retirement", "So long the prefixes of before work here.")
    redirect_anchors: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:f::2"])] = setting(
        "The LMAs that the LMA may assign to nodes (RFC 6463); absent: this gateway is not redirected.", ()
    )
    access_networks: tuple[extensions.Network, ...] = setting(
        "What the LMA is told of the networks here (RFC 6757), as tables `[[mag.access_networks]]`.", ()
    )
    vendor_options: tuple[extensions.Vendor, ...] = setting(
        "Carried in all registrations (RFC 5094), as tables `[[mag.vendor_options]]`; eight at most.", ()
    )
    kernel: Kernel = setting("Table `[mag.kernel]`.", Kernel())


class LmaGateway(Section):
    """A gateway that may register nodes."""

    name: NameField = setting("For people.", "", example="mag1")
    address: AddressField = setting("Its Proxy-CoA: where its registrations come from.", example="2001:db8:b1::1")
    care_of: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:b1::2"])] = setting(
        "More tunnel ends of it, which it may name in an Alternate Care-of Address option.", ()
    )
    tolerate: ToleranceField = tolerate_this()


class LmaEverybody(Section):
    """Nodes without a table `[[lma.profiles]]` of their own."""

    service: SwitchField = setting("Whether they are served; if not, they are refused with status 152.", True)
    dynamic: SwitchField = setting("Sessions get prefixes from the pools, and may ask for a free one by name.", True)
    count: FewField = setting("Prefixes that a session gets from the pools.", 1)


class LmaProfile(LmaEverybody):
    """What this LMA knows of a node (RFC 5213 6.2)."""

    identifier: IdentifierField = setting("By what the gateways know it.")
    prefixes: Annotated[tuple[PrefixField, ...], Expected("a list of prefixes", ["2001:db8:f000::/64"])] = setting(
        "Its own: its first session gets all of them, and nobody else ever gets one.", ()
    )
    gateways: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:b1::1"])] = setting(
        "The gateways that may register it; absent: all of them.", ()
    )
    lifetime_max: DurationField = setting("Longest lifetime granted, if not that of the LMA.", 0, example="5m")


class Lma(Section):
    """The role of a Local Mobility Anchor (RFC 5213 section 5)."""

    address: AddressField = setting(
        "LMAA: where gateways register, and the end of all tunnels.", example="2001:db8:f::1"
    )
    pools: Annotated[tuple[PoolField, ...], Expected("a list of prefixes", ["2001:db8:f000::/48"])] = setting(
        "Home network prefixes are taken from here; the network routes them to this machine.", ()
    )
    gateways: tuple[LmaGateway, ...] = setting("The gateways of the domain, as tables `[[lma.gateways]]`.")
    profiles: tuple[LmaProfile, ...] = setting("Nodes that are known, as tables `[[lma.profiles]]`.", ())
    everybody: LmaEverybody = setting("Table `[lma.everybody]`.", LmaEverybody())
    known_only: SwitchField = setting("Nodes without a profile are unknown here (status 153).", False)
    ipv4_pool: Ipv4PoolField | None = setting(
        "Nodes get IPv4 home addresses from here where gateways ask for them; the first address is the default router "
        "of all of them. The network routes the pool to this machine.",
        None,
        example="10.9.0.0/16",
    )
    lifetime_max: DurationField = _lma("lifetime_max", "Longest lifetime granted. Multiple of 4 s.")
    min_delay_before_bce_delete: DurationField = _lma(
        "min_delay_before_bce_delete",
        "MinDelayBeforeBCEDelete: how long a node that left may take to turn up elsewhere.",
    )
    max_delay_before_new_bce_assign: DurationField = _lma(
        "max_delay_before_new_bce_assign",
        "MaxDelayBeforeNewBCEAssign: how long a node's new session waits for the end of its other one; 0: not at all.",
    )
    timestamp_validity_window: DurationField = _lma(
        "timestamp_validity_window", "TimestampValidityWindow: how far a timestamp may be off, on both sides."
    )
    mobile_node_generated_timestamp_in_use: SwitchField = _lma(
        "mobile_node_generated_timestamp_in_use",
        "Timestamps are the nodes' own and only have to increase; the same in the whole domain.",
    )
    refuse_distributed: SwitchField = _lma(
        "refuse_distributed", "Refuse registrations of a MAAR (flag D, RFC 8885 4.1) instead of ignoring the flag."
    )
    nodes: CountField = _lma("nodes", "Most sessions at a time.", 1_000_000)
    nodes_per_gateway: CountField = _lma("nodes_per_gateway", "Most sessions of one gateway.", 500_000)
    sessions_per_node: FewField = _lma("sessions_per_node", "Most sessions of one node, one for each interface.")
    prefixes_per_session: FewField = _lma("prefixes_per_session", "Most prefixes that a session may ask for by name.")
    prefix_length: LengthField = _lma("prefix_length", "Length of the prefixes taken from pools.")
    quarantine: DurationField = _lma("quarantine", "A prefix that came back is given to nobody else for this long.")
    heartbeat: extensions.Heartbeat | None = setting("Table `[lma.heartbeat]`; absent: none are sent.", None)
    revocation: extensions.LmaRevocation | None = setting("Table `[lma.revocation]`; absent: there is none.", None)
    update_notification: extensions.Notification | None = setting(
        "Table `[lma.update_notification]`; absent: none are sent.", None
    )
    mag_timers: extensions.Timers | None = setting("Table `[lma.mag_timers]`; absent: gateways have their own.", None)
    renumbering: extensions.Renumbering | None = setting(
        "Table `[lma.renumbering]`; absent: prefixes never change. It needs `[lma.update_notification]`.", None
    )
    redirect: extensions.Redirect | None = setting("Table `[lma.redirect]`; absent: no LMA is assigned.", None)
    access_network: extensions.Networks | None = setting(
        "Table `[lma.access_network]`; absent: what gateways say of their networks is passed over.", None
    )
    quality: extensions.QualityLimits | None = setting(
        "Table `[lma.quality]`; absent: requests for quality of service are passed over.", None
    )
    vendors: Annotated[tuple[extensions.EnterpriseField, ...], Expected("a list of numbers", [32473])] = setting(
        "Private enterprise numbers whose options are kept, shown and returned (RFC 5094).", ()
    )
    localized_routing: ways.LmaLocalizedRouting | None = setting("Table `[lma.localized_routing]`.", None)
    transient_bindings: ways.LmaTransientBindings | None = setting("Table `[lma.transient_bindings]`.", None)
    delegation: ways.LmaDelegation | None = setting("Table `[lma.delegation]`.", None)
    bulk_registration: ways.LmaBulkRegistration | None = setting("Table `[lma.bulk_registration]`.", None)
    user_plane: ways.LmaUserPlane | None = setting("Table `[lma.user_plane]`.", None)
    flow_mobility: ways.LmaFlowMobility | None = setting("Table `[lma.flow_mobility]`.", None)
    multipath: ways.LmaMultipath | None = setting("Table `[lma.multipath]`.", None)
    mtu: MtuField = setting("MTU of the core, between the LMA and its gateways.", LinuxSettings.mtu)
    tolerate: ToleranceField = tolerate("oai-pmipv6")
    backend: BackendField = setting(
        "What tunnels: the kernel's SRv6 code, its ip6tnl devices, the first of these that it has, or (for trying out) "
        "nothing. Routers with different ones understand each other.",
        "auto",
    )
    counters: SwitchField = setting("Use nf_tables. Without it packets too big for a tunnel are lost in silence.", True)
    keep_forwarding: SwitchField = setting(
        "An orderly stop leaves forwarding as it is, as a crash does; the next start takes it up.",
        False,
    )
    kernel: Kernel = setting("Table `[lma.kernel]`.", Kernel())


class File(Section):
    """What is true of the whole daemon."""

    name: NameField = setting("What the daemon is called in logs and records; the name of the host when absent.", "")
    control: SocketField = setting("Where `sojourn show` finds the daemon.")
    store: PathField = setting("The journal from which bindings come back after a restart; absent: memory only.", "")
    events: PathField = setting(
        "Every event and effect as a line of JSON, for reading and replaying; absent: off.",
        "",
        example="/var/log/sojourn/ar1.jsonl",
    )
    log: LogField = setting("What is told on the error stream: this and all that is graver.", "info")
    log_format: LogFormatField = setting("One line of text, or one object of JSON, for each message.", "text")
    identifiers: IdentifiersField = setting(
        "How log and recording tell who a node is. A recording with hashes can be read, but not be replayed.", "hashed"
    )
    identifier_key: TextField = setting(
        "Any text. Hashes of identifiers cannot be guessed without it, and are the same where it is the same.", ""
    )
    maar: Maar | None = setting("The role of an access router.", None)
    cmd: Cmd | None = setting("The role of the database.", None)
    mag: Mag | None = setting("The role of a gateway of Proxy Mobile IPv6.", None)
    lma: Lma | None = setting("The role of an anchor of Proxy Mobile IPv6.", None)
    mn: mobile.Mn | None = setting("The role of a mobile node or mobile router of Mobile IPv6.", None)
    ha: mobile.Ha | None = setting("The role of a home agent of Mobile IPv6.", None)
    cn: mobile.Cn | None = setting("The role of a correspondent node of Mobile IPv6.", None)


ROLES = ("maar", "cmd", "mag", "lma", *mobile.ROLES)
"""The tables of the file that make the daemon do something."""
ARTICLES = {"maar": "a", "cmd": "a", "mag": "a", "lma": "an", "mn": "an", "ha": "an", "cn": "a"}


LAYOUT = Layout(
    File,
    (
        ("the top", File),
        ("[maar]", Maar),
        ("[[maar.peers]]", Peer),
        ("[[maar.hostapd]]", AccessPoint),
        ("[maar.retransmission]", Retransmission),
        ("[maar.multicast]", Multicast),
        ("[maar.kernel]", Kernel),
        ("[cmd]", Cmd),
        ("[[cmd.maars]]", CmdMaar),
        ("[cmd.retransmission]", Retransmission),
        ("[mag]", Mag),
        ("[[mag.neighbours]]", MagNeighbour),
        ("[[mag.profiles]]", MagProfile),
        ("[mag.everybody]", MagEverybody),
        ("[[mag.hostapd]]", AccessPoint),
        ("[mag.retransmission]", Retransmission),
        ("[mag.multicast]", Multicast),
        ("[mag.localized_routing]", ways.MagLocalizedRouting),
        ("[mag.transient_bindings]", ways.MagTransientBindings),
        ("[mag.delegation]", ways.MagDelegation),
        ("[mag.bulk_registration]", ways.MagBulkRegistration),
        ("[mag.user_plane]", ways.MagUserPlane),
        ("[mag.flow_mobility]", ways.MagFlowMobility),
        ("[mag.multipath]", ways.MagMultipath),
        ("[mag.kernel]", Kernel),
        ("[mag.heartbeat]", extensions.Heartbeat),
        ("[mag.revocation]", extensions.MagRevocation),
        ("[[mag.access_networks]]", extensions.Network),
        ("[[mag.vendor_options]]", extensions.Vendor),
        ("[mag.everybody.quality]", extensions.QualityOfService),
        ("[lma]", Lma),
        ("[[lma.gateways]]", LmaGateway),
        ("[[lma.profiles]]", LmaProfile),
        ("[lma.everybody]", LmaEverybody),
        ("[lma.localized_routing]", ways.LmaLocalizedRouting),
        ("[lma.transient_bindings]", ways.LmaTransientBindings),
        ("[lma.delegation]", ways.LmaDelegation),
        ("[lma.bulk_registration]", ways.LmaBulkRegistration),
        ("[lma.user_plane]", ways.LmaUserPlane),
        ("[lma.flow_mobility]", ways.LmaFlowMobility),
        ("[lma.multipath]", ways.LmaMultipath),
        ("[lma.kernel]", Kernel),
        ("[lma.heartbeat]", extensions.Heartbeat),
        ("[lma.revocation]", extensions.LmaRevocation),
        ("[[lma.revocation.authorized]]", extensions.Authorized),
        ("[lma.update_notification]", extensions.Notification),
        ("[lma.mag_timers]", extensions.Timers),
        ("[lma.renumbering]", extensions.Renumbering),
        ("[lma.redirect]", extensions.Redirect),
        ("[lma.access_network]", extensions.Networks),
        ("[lma.quality]", extensions.QualityLimits),
        *mobile.TABLES,
    ),
)
