"""The keys of `[lma]`: a Local Mobility Anchor (RFC 5213 section 5)."""

from __future__ import annotations

from typing import Annotated, Any

from sojourn.daemon import model_extensions as extensions
from sojourn.daemon import model_ways as ways
from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import (
    BackendField,
    CountField,
    DatabasesField,
    FewField,
    LengthField,
    MtuField,
    ToleranceField,
)
from sojourn.daemon.model_parts import (
    Kernel,
    Pair,
    tolerate,
    tolerate_this,
)
from sojourn.dataplane.settings import LinuxSettings
from sojourn.engines.configuration import (
    LmaConfiguration,
)
from sojourn.files.fields import (
    AddressField,
    DurationField,
    Expected,
    IdentifierField,
    Ipv4PoolField,
    NameField,
    PoolField,
    PrefixField,
    SwitchField,
)
from sojourn.files.sections import Section, setting


def _lma(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(LmaConfiguration, name, about, example)


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
    dhcp_relay: SwitchField = _lma(
        "dhcp_relay",
        "Gateways are to be DHCP relays, to a server elsewhere, instead of DHCP servers (RFC 5844 3.3.4).",
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
    databases: DatabasesField = setting(
        "Bindings are kept in one of these (which one, the address decides) instead of the journal: another machine "
        "with the same table has them too.",
        (),
    )
    pair: Pair | None = setting("Table `[lma.pair]`; absent: this machine alone is the anchor.", None)
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
    ipv4_transport: ways.LmaIpv4Transport | None = setting("Table `[lma.ipv4_transport]`; absent: IPv6 alone.", None)
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


TABLES = (
    ("[lma]", Lma),
    ("[[lma.gateways]]", LmaGateway),
    ("[[lma.profiles]]", LmaProfile),
    ("[lma.everybody]", LmaEverybody),
    ("[lma.ipv4_transport]", ways.LmaIpv4Transport),
    ("[[lma.ipv4_transport.gateways]]", ways.LmaIpv4Gateway),
    ("[lma.localized_routing]", ways.LmaLocalizedRouting),
    ("[lma.transient_bindings]", ways.LmaTransientBindings),
    ("[lma.delegation]", ways.LmaDelegation),
    ("[lma.bulk_registration]", ways.LmaBulkRegistration),
    ("[lma.user_plane]", ways.LmaUserPlane),
    ("[lma.flow_mobility]", ways.LmaFlowMobility),
    ("[lma.multipath]", ways.LmaMultipath),
    ("[lma.pair]", Pair),
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
)
"""The tables of this role in the order of the documentation."""
