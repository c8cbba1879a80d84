"""The tables of the roles of Mobile IPv6: mobile node, home agent, correspondent node (see `model`)."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PlainValidator, Strict

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import BackendField, CountField, FewField, MtuField
from sojourn.daemon.model_extensions import EnterpriseField, Vendor
from sojourn.daemon.model_flows import MnFlow
from sojourn.daemon.model_parts import Kernel, Retransmission
from sojourn.dataplane.settings import LinuxSettings
from sojourn.engines.mip6_configuration import (
    Association as EngineAssociation,
)
from sojourn.engines.mip6_configuration import (
    CnConfiguration,
    HaConfiguration,
    MnConfiguration,
)
from sojourn.files.fields import (
    AddressField,
    DomainsField,
    DurationField,
    Expected,
    IdentifierField,
    InterfaceField,
    PathField,
    PrefixField,
    SwitchField,
    TextField,
    wrong,
)
from sojourn.files.sections import Section, setting

KEY_MIN, KEY_MAX = 16, 128
"""Octets of a key."""


def parse_key(value: object) -> bytes:
    """Hexadecimal digits; spaces and line ends do not matter."""
    if isinstance(value, bytes):
        return value
    digits = re.sub(r"\s", "", value).removeprefix("0x") if isinstance(value, str) else ""
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        raise wrong("this is not a number of hexadecimal digits, two for each octet") from None
    if not KEY_MIN <= len(key) <= KEY_MAX:
        raise wrong(f"a key of {len(key)} octets is not one of {KEY_MIN} to {KEY_MAX}")
    return key


KeyField: TypeAlias = Annotated[
    bytes,
    PlainValidator(parse_key, json_schema_input_type=str),
    Expected("a key of 16 to 128 octets, in hexadecimal digits", "0x00112233445566778899aabbccddeeff"),
]
SpiField: TypeAlias = Annotated[
    int, Strict(), Field(ge=256, le=(1 << 32) - 1), Expected("a whole number from 256 to 2^32 - 1", 1001)
]
PreferenceField: TypeAlias = Annotated[
    int, Strict(), Field(ge=-32768, le=32767), Expected("a whole number from -32768 to 32767", 10)
]
LengthField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=64), Expected("a whole number from 0 to 64", 56)]
InterfacesField: TypeAlias = Annotated[tuple[InterfaceField, ...], Expected("a list of interfaces", ["wlan0", "lte0"])]
PrefixesField: TypeAlias = Annotated[tuple[PrefixField, ...], Expected("a list of prefixes", ["2001:db8:b05::/56"])]


def _mn(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(MnConfiguration, name, about, example)


def _ha(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(HaConfiguration, name, about, example)


def _cn(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(CnConfiguration, name, about, example)


def _time(about: str, default: str) -> Any:
    return Field(default, validate_default=True, description=about)


def _association(name: str, about: str) -> Any:
    return as_the_engine(EngineAssociation, name, about)


class Association(Section):
    """A key that a mobile node and its home agent share (RFC 4285): with it they know each other's messages."""

    spi: SpiField = setting("Its number, the same on both sides.")
    key: KeyField | None = setting("The key. Whoever may read the file has it: `key_file` may be better.", None)
    key_file: PathField = setting(
        "A file with the key in hexadecimal digits, which nobody but its owner may read.",
        "",
        example="/etc/sojourn/laptop.key",
    )
    identifier: IdentifierField | None = setting("Who the node is, told and demanded beside the key (RFC 4283).", None)
    replay_protection: SwitchField = _association(
        "replay_protection", "Times in messages; without, their sequence numbers alone (RFC 4285 6)."
    )
    close_enough: DurationField = _association("close_enough", "By how much both clocks may differ.")


class MnHome(Section):
    """A home address of this node, and who keeps it."""

    address: AddressField = setting("The home address.", example="2001:db8:1::b0")
    prefix: PrefixField = setting("The prefix of the home link.", example="2001:db8:1::/64")
    home_agent: AddressField | None = setting(
        "The home agent; absent: it is looked for (RFC 6275 11.4.1).", None, example="2001:db8:1::1"
    )
    home_agent_name: Annotated[TextField, Expected("the name of a host", "ha.example.net")] = setting(
        "DNS is asked for the home agent under this name, before the home link is (RFC 5026): that of a host, or of a "
        "service, `_mip6._ipv6.example.net`.",
        "",
    )
    association: Association | None = setting("Table `[mn.homes.association]`; absent: IPsec protects messages.", None)
    router: SwitchField = setting("This node is a mobile router for what is behind it (RFC 3963).", False)
    networks: PrefixesField = setting("The networks behind it.", ())
    implicit: SwitchField = setting("The home agent knows the networks: they are not told (RFC 3963 5.2).", False)
    delegated_length: LengthField = setting(
        "A prefix of this length is asked for at the home agent by DHCPv6 (RFC 6276), as one of `networks`; 0: none. "
        "With `implicit`.",
        0,
    )
    link_local: SwitchField = setting(
        "The link-local address at home has the identifier of the home address, and is kept as well (flag L).", False
    )


class MnAnchors(Association):
    """The key by which home agents of visited networks know this node (RFC 8818), and which others there are."""

    addresses: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:a1::1"])] = setting(
        "Anchors that need not be on the link: new sessions use the nearest, if it is nearer than the home agent.", ()
    )
    names: DomainsField = setting("More of them, by their names in DNS.", ())
    check: DurationField = _mn("anchor_check", "How often distances are measured, besides after every move.")


class Mn(Section):
    """The role of a mobile node, or of a mobile router (RFC 6275 section 11, RFC 3963 section 5)."""

    interfaces: InterfacesField = setting("The links that it may be attached with, the best one first.")
    homes: tuple[MnHome, ...] = setting("Its home addresses, as tables `[[mn.homes]]`.")
    lifetime: DurationField = _mn("lifetime", "Lifetime of a registration; refreshed at four fifths. Multiple of 4 s.")
    several: SwitchField = _mn("several", "Register the care-of addresses of all links at once (RFC 5648).")
    home_too: SwitchField = _mn("home_too", "With `several`: the home link and foreign ones at once (RFC 5648 5.6).")
    flows: tuple[MnFlow, ...] = setting(
        "With `several`: packets that take certain links, as tables `[[mn.flows]]`, looked at in order.", ()
    )
    route_optimisation: SwitchField = _mn(
        "route_optimisation", "Take the direct way to correspondents that can; they learn the care-of address."
    )
    leave_to_network: SwitchField = _mn(
        "leave_to_network",
        "In domains of Proxy Mobile IPv6 and RFC 8885, known by the address that their routers show (RFC 6543), new "
        "connections use the domain's prefix, which the network keeps. It is a care-of address in any case.",
    )
    correspondents: CountField = _mn("correspondents", "Most of them at a time.")
    retry_correspondent: DurationField = _mn("retry_correspondent", "One that cannot is asked again after this time.")
    care_of_peers: PrefixesField = setting(
        "New connections to these use the address of the visited network: short exchanges, as with name servers.", ()
    )
    vendor_options: tuple[Vendor, ...] = setting(
        "Told to home agents (RFC 5094), as tables `[[mn.vendor_options]]`; four at most.", ()
    )
    experiments: SwitchField = _mn(
        "experiments", "Messages of experiments (RFC 5096) are written down, and can be sent."
    )
    anchors: MnAnchors | None = setting(
        "Table `[mn.anchors]`: addresses of visited networks with an anchor are kept while they are in use.", None
    )
    anchors_max: FewField = _mn("anchors_max", "Most such addresses at a time.")
    session_check: DurationField = _mn("session_check", "How often it is looked whether they are in use.")
    lost_advertisements: FewField = _mn(
        "lost_advertisements", "So many missed Router Advertisements are a reason to ask the router (RFC 6275 7.3)."
    )
    router_lifetime_grace: DurationField = _mn("router_lifetime_grace", "How late an advertisement may be.")
    initial_bindack_timeout_first_reg: DurationField = _mn(
        "initial_bindack_timeout_first_reg", "InitialBindackTimeoutFirstReg."
    )
    mtu: MtuField = setting("MTU of the way to the home agent and to correspondents.", LinuxSettings.mtu)
    backend: BackendField = setting(
        "What tunnels: the kernel's SRv6 code, its ip6tnl devices, the first of these that it has, or nothing.",
        "auto",
    )
    keep_forwarding: SwitchField = setting(
        "An orderly stop leaves tunnels and home addresses as they are, as a crash does.", False
    )
    retransmission: Retransmission = setting("Table `[mn.retransmission]`.", Retransmission())
    kernel: Kernel = setting("Table `[mn.kernel]`.", Kernel())


class HaNode(Section):
    """A mobile node that this home agent serves."""

    home_address: AddressField | None = setting(
        "Its home address; absent: whichever it takes, so long as nobody else has it (RFC 8818).",
        None,
        example="2001:db8:1::b0",
    )
    association: Association | None = setting("Table `[ha.nodes.association]`; absent: IPsec protects messages.", None)
    lifetime_max: DurationField = _time('Longest lifetime granted; "0s": that of the home agent.', "0s")
    prefixes: PrefixesField = setting("Networks that it may have behind it as a mobile router (RFC 3963).", ())


class Ha(Section):
    """The role of a home agent (RFC 6275 section 10, RFC 3963 section 6)."""

    address: AddressField = setting(
        "An address of this router in the home prefix: where nodes register, and the end of their tunnels.",
        example="2001:db8:1::1",
    )
    interface: InterfaceField | None = setting(
        "The home link; absent: it is a virtual one, that nobody can be on.", None, example="lan0"
    )
    prefixes: Annotated[tuple[PrefixField, ...], Expected("a list of prefixes", ["2001:db8:1::/64"])] = setting(
        "The prefixes of the home link."
    )
    preferred_lifetime: DurationField = _time("Of these, as nodes abroad are told (RFC 6275 10.6).", "168h")
    valid_lifetime: DurationField = _time("The same.", "720h")
    nodes: tuple[HaNode, ...] = setting("The mobile nodes, as tables `[[ha.nodes]]`; others are refused.")
    duplicate_address_detection: SwitchField = _ha(
        "duplicate_address_detection",
        "Before the first binding of a home address, which takes a second. False where nobody else can have it.",
    )
    optimistic_duplicate_address_detection: SwitchField = _ha(
        "optimistic_duplicate_address_detection",
        "The first binding does not wait for that (as in RFC 4429); should somebody have the address, it is revoked.",
    )
    preference: PreferenceField = _ha("preference", "Among the home agents of the link: higher is better.")
    lifetime_max: DurationField = _ha("lifetime_max", "Longest lifetime granted. Multiple of 4 s.")
    refresh_advice: DurationField = _ha(
        "refresh_advice", "Nodes are asked to refresh after this time, where there is no store; 0: they are not."
    )
    mobile_routers: SwitchField = _ha("mobile_routers", "Nodes may be mobile routers (RFC 3963).")
    several: SwitchField = _ha("several", "Nodes may have several care-of addresses (RFC 5648).")
    home_too: SwitchField = _ha("home_too", "They may be on the home link at the same time (RFC 5648 5.6).")
    flows: SwitchField = _ha("flows", "Nodes may say which packets go to which of these (RFC 6089).")
    vendors: Annotated[tuple[EnterpriseField, ...], Expected("a list of numbers", [32473])] = setting(
        "Vendors whose options (RFC 5094) are kept, shown and returned; others are passed over.", ()
    )
    experiments: SwitchField = _ha(
        "experiments", "Messages of experiments (RFC 5096) are written down, and can be sent."
    )
    bindings: CountField = _ha("bindings", "Most at a time.", 100_000)
    min_mobile_prefix_interval: DurationField = _ha("min_mobile_prefix_interval", "MinMobPfxAdvInterval.")
    max_mobile_prefix_interval: DurationField = _ha("max_mobile_prefix_interval", "MaxMobPfxAdvInterval.")
    messages_per_second: CountField = setting("Messages a second that one source may send.", 200)
    mtu: MtuField = setting("MTU of the way to the nodes.", LinuxSettings.mtu)
    backend: BackendField = setting(
        "What tunnels: the kernel's SRv6 code, its ip6tnl devices, the first of these that it has, or nothing.",
        "auto",
    )
    counters: SwitchField = setting("Use nf_tables. Without it packets too big for a tunnel are lost in silence.", True)
    keep_forwarding: SwitchField = setting(
        "An orderly stop leaves forwarding as it is, as a crash does; the next start takes it up.", False
    )
    kernel: Kernel = setting("Table `[ha.kernel]`.", Kernel())


class Cn(Section):
    """The role of a correspondent node with route optimisation (RFC 6275 section 9); `[mn]` may stand beside it."""

    bindings: CountField = _cn("bindings", "Most at a time.", 10_000)
    lifetime_max: DurationField = _cn("lifetime_max", "Longest lifetime granted: no more than 420 s (RFC 6275 12).")
    tests_per_second: CountField = _cn("tests_per_second", "Answers to test messages, all together.", 5_000)
    refresh: SwitchField = _cn("refresh", "Ask nodes to refresh bindings that are in use.")
    several: SwitchField = _cn(
        "several", "Nodes may have several care-of addresses (RFC 5648); not where the kernel does route optimisation."
    )
    flows: SwitchField = _cn("flows", "Nodes may say which packets go to which of these (RFC 6089).")
    mtu: MtuField = setting("MTU of the way to mobile nodes.", LinuxSettings.mtu)
    keep_forwarding: SwitchField = setting("An orderly stop leaves direct ways as they are, as a crash does.", False)


ROLES = ("mn", "ha", "cn")
TABLES: tuple[tuple[str, type[Section]], ...] = (
    ("[mn]", Mn),
    ("[[mn.homes]]", MnHome),
    ("[mn.homes.association]", Association),
    ("[mn.anchors]", MnAnchors),
    ("[[mn.flows]]", MnFlow),
    ("[[mn.vendor_options]]", Vendor),
    ("[mn.retransmission]", Retransmission),
    ("[mn.kernel]", Kernel),
    ("[ha]", Ha),
    ("[[ha.nodes]]", HaNode),
    ("[ha.nodes.association]", Association),
    ("[ha.kernel]", Kernel),
    ("[cn]", Cn),
)
