"""The tables of the file that switch on extensions which choose ways for packets: absent, the role goes without.

Keys have the names and the defaults of the engines' settings (`sojourn.engines.way_settings`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, Strict

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.engines.way_settings import (
    BulkRegistrationOfLma,
    BulkRegistrationOfMag,
    DelegationOfLma,
    DelegationOfMag,
    DhcpRelayOfMag,
    FlowMobilityOfLma,
    FlowMobilityOfMag,
    Ipv4Gateway,
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
from sojourn.files.fields import (
    AddressField,
    DurationField,
    Expected,
    IdentifierField,
    Ipv4AddressField,
    LinkLayerField,
    PoolField,
    PrefixField,
    SwitchField,
)
from sojourn.files.sections import Section, setting

SomeField = Annotated[int, Strict(), Field(ge=1, le=1_000_000), Expected("a whole number from 1 to 1000000", 1024)]
RetriesField = Annotated[int, Strict(), Field(ge=0, le=16), Expected("a whole number from 0 to 16", 3)]
PairField = Annotated[
    tuple[IdentifierField, IdentifierField], Expected("two identifiers", ["ann@example.net", "bob@example.net"])
]


OctetField = Annotated[int, Strict(), Field(ge=0, le=255), Expected("a whole number from 0 to 255", 9)]
FewField = Annotated[int, Strict(), Field(ge=1, le=64), Expected("a whole number from 1 to 64", 4)]
DelegatedField = Annotated[int, Strict(), Field(ge=48, le=64), Expected("a whole number from 48 to 64", 56)]
NetworksField = Annotated[tuple[PrefixField, ...], Expected("a list of prefixes", ["2001:db8:f101::/56"])]


class ExtensionTable(Section):
    """A table that becomes `kind`, whose fields have the names of its keys."""

    kind: ClassVar[type]

    def settings(self) -> Any:
        """What the engine is told."""
        return self.kind(**dict(self))


class LmaLocalizedRouting(ExtensionTable):
    """The LMA lets packets between its nodes pass it by (RFC 6705)."""

    kind = LocalizedRoutingOfLma

    pairs: Annotated[
        tuple[PairField, ...], Expected("a list of pairs of identifiers", [["ann@example.net", "bob@example.net"]])
    ] = as_the_engine(kind, "pairs", "Nodes that meet. Others are named by the command `localize`.")
    lifetime: DurationField = as_the_engine(
        kind, "lifetime", "Asked for, in whole seconds; renewed at half of it.", "2m"
    )
    lra_wait_time: DurationField = as_the_engine(kind, "lra_wait_time", "LRA_WAIT_TIME: before it is repeated.")
    lri_retries: RetriesField = as_the_engine(kind, "lri_retries", "LRI_RETRIES: how often it is repeated.")
    most: SomeField = as_the_engine(kind, "most", "Most pairs at a time.")


class MagLocalizedRouting(ExtensionTable):
    """EnableMAGLocalRouting: nodes reach each other without the LMA, where it asks for that (RFC 6705 5)."""

    kind = LocalizedRoutingOfMag

    gateways: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:b2::1"])] = as_the_engine(
        kind, "gateways", "Other gateways, with whose nodes packets are exchanged in tunnels."
    )
    most: SomeField = as_the_engine(kind, "most", "Most pairs at a time.")


class LmaTransientBindings(ExtensionTable):
    """A handover may keep the way to the previous gateway until the new one is ready (RFC 6058)."""

    kind = TransientBindingsOfLma

    lifetime_max: DurationField = as_the_engine(kind, "lifetime_max", "Longest transient state granted.")
    activation_state: SwitchField = as_the_engine(
        kind, "activation_state", "Show for a while after the switch that packets of the previous gateway are welcome."
    )
    activation_delay: DurationField = as_the_engine(kind, "activation_delay", "ACTIVATIONDELAY: for how long.")


class MagTransientBindings(ExtensionTable):
    """Nodes that the command `make-before-break` names keep their way until they are ready here (RFC 6058)."""

    kind = TransientBindingsOfMag

    lifetime: DurationField = as_the_engine(kind, "lifetime", "For how long at most; at most 25.5 s.")


class LmaDelegation(ExtensionTable):
    """Nodes that are routers get prefixes for the networks behind them (RFC 7148)."""

    kind = DelegationOfLma

    pools: Annotated[tuple[PoolField, ...], Expected("a list of prefixes", ["2001:db8:f101::/48"])] = as_the_engine(
        kind, "pools", "Delegated prefixes are taken from here; the network routes them to this machine."
    )
    length: DelegatedField = as_the_engine(kind, "length", "Length of the prefixes taken from pools.")
    nodes: Annotated[
        dict[IdentifierField, NetworksField],
        Expected("a table of identifiers and prefixes", {"bus@example.net": ["2001:db8:f102::/56"]}),
    ] = Field({}, description="Prefixes that belong to certain nodes.")
    dynamic: SwitchField = as_the_engine(kind, "dynamic", "Every node may have one from the pools.")
    most: FewField = as_the_engine(kind, "most", "Most prefixes that a session may ask for by name.")

    def settings(self) -> Any:
        """The table of nodes as pairs."""
        return self.kind(**dict(self) | {"nodes": tuple(self.nodes.items())})


class MagDelegation(ExtensionTable):
    """Prefixes for the networks behind nodes that are routers (RFC 7148)."""

    kind = DelegationOfMag

    nodes: Annotated[
        dict[LinkLayerField, NetworksField],
        Expected("a table of link-layer addresses and prefixes", {"02:00:00:00:00:01": []}),
    ] = Field({}, description="Nodes that are routers, and prefixes to ask for; an empty list: the LMA assigns.")
    everybody: SwitchField = as_the_engine(kind, "everybody", "Every node may ask for one.")
    most: FewField = as_the_engine(kind, "most", "Most prefixes taken for one node.")

    def settings(self) -> Any:
        """The table of nodes as pairs."""
        return self.kind(**dict(self) | {"nodes": tuple(self.nodes.items())})


class LmaBulkRegistration(ExtensionTable):
    """Gateways may extend many bindings with one message (RFC 6602); a table without keys."""

    kind = BulkRegistrationOfLma


class MagBulkRegistration(ExtensionTable):
    """Bindings are extended many at a time (RFC 6602)."""

    kind = BulkRegistrationOfMag

    groups: FewField = as_the_engine(kind, "groups", "Groups that nodes are spread over.")
    patience: DurationField = as_the_engine(
        kind, "patience", "How long the first node of a group waits for the others to be found present."
    )
    alone_after: FewField = as_the_engine(
        kind, "alone_after", "After so many extensions with its group a node is registered by itself once."
    )


class LmaUserPlane(ExtensionTable):
    """Tunnels end at another address than registrations do (RFC 7389)."""

    kind = UserPlaneOfLma

    address: AddressField = setting(
        "LMA-UPA: the daemon adds it to this machine, and the network routes it here.", example="2001:db8:f:1::1"
    )
    domain_wide: SwitchField = as_the_engine(
        kind, "domain_wide", "Domain-wide-LMA-UPA-Support: tell it to gateways that do not ask."
    )


class MagUserPlane(ExtensionTable):
    """Tunnels go to where the LMA says (RFC 7389)."""

    kind = UserPlaneOfMag

    addresses: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:f:1::1"])] = setting(
        "Addresses that the LMA may name; packets that are tunnelled from there are taken."
    )
    domain_wide: SwitchField = as_the_engine(
        kind, "domain_wide", "Domain-wide-LMA-UPA-Support: there is no need to ask."
    )


class LmaFlowMobility(ExtensionTable):
    """Flows move between the links of a node, by the commands `move-flow` and `return-flow` (RFC 7864)."""

    kind = FlowMobilityOfLma

    retransmission_delay: DurationField = as_the_engine(
        kind, "retransmission_delay", "Before a Flow Mobility Initiate is repeated."
    )
    max_retries: RetriesField = as_the_engine(kind, "max_retries", "How often it is repeated.")
    most: SomeField = as_the_engine(kind, "most", "Most prefixes that are moved at a time.")


class MagFlowMobility(ExtensionTable):
    """Nodes get here what belongs to another link of theirs, if the LMA says so (RFC 7864)."""

    kind = FlowMobilityOfMag

    most: FewField = as_the_engine(kind, "most", "Most such prefixes for one node.")


class LmaMultipath(ExtensionTable):
    """Gateways are reached over several paths, which are among their `care_of` (RFC 8278)."""

    kind = MultipathOfLma

    most: FewField = as_the_engine(kind, "most", "Most paths of a session.")


class MagMultipath(ExtensionTable):
    """Flows are spread over several uplinks (RFC 8278)."""

    kind = MultipathOfMag

    identifier: IdentifierField = setting("The name of this gateway, the same by all of its paths.", example="mag1@lab")
    care_of: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:b1::2"])] = setting(
        "An address for each uplink besides the first; the daemon adds them, and the network routes them here."
    )
    labels: Annotated[tuple[OctetField, ...], Expected("a list of numbers from 0 to 255", [9, 11])] = as_the_engine(
        kind, "labels", "What kind of uplink each is, that of `address` first."
    )


class LmaIpv4Gateway(Section):
    """A gateway that registers over IPv4."""

    address: AddressField = setting(
        "Which of the gateways it is: the `address` of one. Nothing is sent there.", example="2001:db8:b1::1"
    )
    ipv4: Ipv4AddressField = setting("IPv4-Proxy-CoA: its own address.", example="10.1.0.2")
    nat: Ipv4AddressField | None = setting(
        "The address of the NAT that it is behind; several may be behind one.", None, example="203.0.113.7"
    )


class LmaIpv4Transport(ExtensionTable):
    """Some gateways are reached over IPv4, in UDP where there is a NAT or where they ask for that (RFC 5844 4)."""

    kind = Ipv4TransportOfLma

    address: Ipv4AddressField = setting("IPv4-LMAA: an address of this machine.", example="198.51.100.1")
    gateways: tuple[LmaIpv4Gateway, ...] = setting("These gateways, as tables `[[lma.ipv4_transport.gateways]]`.")
    accept_forced_ipv4_udp_encapsulation_request: SwitchField = as_the_engine(
        kind,
        "accept_forced_ipv4_udp_encapsulation_request",
        "AcceptForcedIPv4UDPEncapsulationRequest: gateways may have UDP where there is no NAT; else status 129.",
    )
    keepalive: DurationField = as_the_engine(
        kind, "keepalive", "A gateway behind a NAT is heard that often; less than its NAT remembers. Whole seconds."
    )

    def settings(self) -> Any:
        """The tables of gateways as settings."""
        gateways = tuple(Ipv4Gateway(**dict(gateway)) for gateway in self.gateways)
        return self.kind(**dict(self) | {"gateways": gateways})


class MagIpv4Transport(ExtensionTable):
    """The LMA is reached over IPv4, also from behind a NAT (RFC 5844 4)."""

    kind = Ipv4TransportOfMag

    address: Ipv4AddressField = setting("IPv4-Proxy-CoA: an address of this machine.", example="10.1.0.2")
    lma: Ipv4AddressField = setting("IPv4-LMAA: the IPv4 address of the LMA.", example="198.51.100.1")
    force_ipv4_udp_encapsulation_support: SwitchField = as_the_engine(
        kind,
        "force_ipv4_udp_encapsulation_support",
        "ForceIPv4UDPEncapsulationSupport: ask for UDP though there is no NAT; the LMA must be told to accept that.",
    )
    keepalive: DurationField = as_the_engine(
        kind, "keepalive", "Behind a NAT something goes to the LMA that often, at least, or as often as it says."
    )


class MagDhcpRelay(ExtensionTable):
    """Nodes whose LMA says so get their IPv4 home addresses told by a DHCP server elsewhere (RFC 5844 3.4.2)."""

    kind = DhcpRelayOfMag

    address: Ipv4AddressField = setting(
        "An IPv4 address of this machine, at which the server answers; port 67 there must be free.", example="10.1.0.2"
    )
    server: Ipv4AddressField = setting(
        "The DHCP server. It is told the address that the LMA assigned (Agent Remote ID, RFC 3046) and must give it.",
        example="198.51.100.67",
    )
