"""The keys of `[mag]`: a Mobile Access Gateway (RFC 5213 section 6)."""

from __future__ import annotations

from typing import Annotated, Any

from sojourn.daemon import model_extensions as extensions
from sojourn.daemon import model_ways as ways
from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import (
    AccessPointsField,
    BackendField,
    CountField,
    Dhcpv6Field,
    FewField,
    HandoversField,
    LengthField,
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
    Multicast,
    Retransmission,
    tolerate,
)
from sojourn.engines.configuration import (
    MagConfiguration,
)
from sojourn.files.fields import (
    AddressField,
    DomainsField,
    DurationField,
    Expected,
    IdentifierField,
    InterfaceField,
    LinkLayerField,
    LinkLocalField,
    NameField,
    NameServersField,
    PoolField,
    PrefixField,
    SwitchField,
)
from sojourn.files.sections import Section, setting


def _mag(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(MagConfiguration, name, about, example)


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
    handovers: HandoversField = _mag("handovers", HANDOVERS)
    handover_wait: DurationField = _mag("handover_wait", HANDOVER_WAIT)
    handover_patience: DurationField = _mag("handover_patience", HANDOVER_PATIENCE)
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
    dhcp_relay: ways.MagDhcpRelay | None = setting(
        "Table `[mag.dhcp_relay]`; absent: nodes whose LMA has a DHCP server elsewhere get no IPv4.", None
    )
    ipv4_transport: ways.MagIpv4Transport | None = setting("Table `[mag.ipv4_transport]`; absent: IPv6.", None)
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


TABLES = (
    ("[mag]", Mag),
    ("[[mag.neighbours]]", MagNeighbour),
    ("[[mag.profiles]]", MagProfile),
    ("[mag.everybody]", MagEverybody),
    ("[[mag.hostapd]]", AccessPoint),
    ("[mag.retransmission]", Retransmission),
    ("[mag.multicast]", Multicast),
    ("[mag.dhcp_relay]", ways.MagDhcpRelay),
    ("[mag.ipv4_transport]", ways.MagIpv4Transport),
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
)
"""The tables of this role in the order of the documentation."""
