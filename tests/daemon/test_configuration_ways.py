"""The tables of extensions that choose ways for packets: what they become, and every mistake with its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.daemon.configuration import linux_settings, lma_configuration, mag_configuration, parse
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_mag import Mag
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
from sojourn.files.toml import ConfigurationError
from sojourn.wire.addresses import address, link_layer, prefix
from sojourn.wire.units import SECOND

MAG = """\
control = "/run/sojourn/mag1.sock"
[mag]
address = "2001:db8:b1::1"
lma = "2001:db8:f::1"
access = ["acc0"]
"""
LMA = """\
control = "/run/sojourn/lma.sock"
[lma]
address = "2001:db8:f::1"
pools = ["2001:db8:f000::/48"]
gateways = [{ address = "2001:db8:b1::1", care_of = ["2001:db8:b1::2"] }]
"""
_OVER_IPV4 = """\
[lma.ipv4_transport]
address = "198.51.100.1"
[[lma.ipv4_transport.gateways]]
address = "2001:db8:b1::1"
ipv4 = "10.1.0.2"
{}"""
MAG_OVER_IPV4 = MAG + '[mag.ipv4_transport]\naddress = "10.1.0.2"\nlma = "{}"\n{}'
IP6TNL_MAG, IP6TNL_LMA = (role + 'backend = "ip6tnl"\n' for role in (MAG, LMA))
NETWORK = prefix("2001:db8:f101::/56")


def mag_of(more: str) -> Mag:
    section = parse((MAG + more).encode(), "x.toml").file.mag
    assert section is not None
    return section


def lma_of(more: str) -> Lma:
    section = parse((LMA + more).encode(), "x.toml").file.lma
    assert section is not None
    return section


def test_without_tables_there_are_no_extensions() -> None:
    names = (
        "ipv4_transport",
        "localized_routing",
        "transient_bindings",
        "delegation",
        "bulk_registration",
        "user_plane",
    )
    for name in (*names, "flow_mobility", "multipath"):
        assert getattr(mag_configuration(mag_of("")), name) is None
        assert getattr(lma_configuration(lma_of("")), name) is None


@pytest.mark.parametrize(
    ("name", "table", "settings"),
    [
        ("localized_routing", 'gateways = ["2001:db8:b2::1"]', LocalizedRoutingOfMag((address("2001:db8:b2::1"),))),
        ("transient_bindings", 'lifetime = "3s"', TransientBindingsOfMag(3 * SECOND)),
        (
            "delegation",
            'nodes = { "02:00:00:00:00:01" = ["2001:db8:f101::/56"] }',
            DelegationOfMag(((link_layer("02:00:00:00:00:01"), (NETWORK,)),)),
        ),
        ("bulk_registration", "groups = 4", BulkRegistrationOfMag(4)),
        ("user_plane", 'addresses = ["2001:db8:f:1::1"]', UserPlaneOfMag(addresses=(address("2001:db8:f:1::1"),))),
        ("flow_mobility", "most = 2", FlowMobilityOfMag(2)),
        (
            "ipv4_transport",
            'address = "10.1.0.2"\nlma = "198.51.100.1"\nforce_ipv4_udp_encapsulation_support = true',
            Ipv4TransportOfMag(
                address=address("10.1.0.2"), lma=address("198.51.100.1"), force_ipv4_udp_encapsulation_support=True
            ),
        ),
        (
            "multipath",
            'identifier = "mag1@lab"\ncare_of = ["2001:db8:b1::2"]\nlabels = [9, 11]',
            MultipathOfMag(identifier=b"\x01mag1@lab", care_of=(address("2001:db8:b1::2"),), labels=(9, 11)),
        ),
    ],
)
def test_tables_of_a_mag(name: str, table: str, settings: object) -> None:
    told = mag_configuration(mag_of(f"[mag.{name}]\n{table}\n"))
    assert told == replace(mag_configuration(mag_of("")), **{name: settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "table", "settings"),
    [
        (
            "localized_routing",
            'pairs = [["ann@x", "02:00:00:00:00:01"]]\nlifetime = "60s"',
            LocalizedRoutingOfLma(((b"\x01ann@x", b"\x05\x02\0\0\0\0\x01"),), 60 * SECOND),
        ),
        ("transient_bindings", "activation_state = true", TransientBindingsOfLma(activation_state=True)),
        (
            "delegation",
            'pools = ["2001:db8:f101::/48"]\nnodes = { "bus@x" = ["2001:db8:f102::/56"] }',
            DelegationOfLma((prefix("2001:db8:f101::/48"),), nodes=((b"\x01bus@x", (prefix("2001:db8:f102::/56"),)),)),
        ),
        ("bulk_registration", "", BulkRegistrationOfLma()),
        ("user_plane", 'address = "2001:db8:f:1::1"', UserPlaneOfLma(address=address("2001:db8:f:1::1"))),
        ("flow_mobility", "max_retries = 1", FlowMobilityOfLma(max_retries=1)),
        ("multipath", "most = 2", MultipathOfLma(2)),
        (
            "ipv4_transport",
            'address = "198.51.100.1"\nkeepalive = "5s"\n'
            'gateways = [{ address = "2001:db8:b1::1", ipv4 = "10.1.0.2", nat = "203.0.113.7" }]',
            Ipv4TransportOfLma(
                address=address("198.51.100.1"),
                gateways=(Ipv4Gateway(address("2001:db8:b1::1"), address("10.1.0.2"), address("203.0.113.7")),),
                keepalive=5 * SECOND,
            ),
        ),
    ],
)
def test_tables_of_an_lma(name: str, table: str, settings: object) -> None:
    told = lma_configuration(lma_of(f"[lma.{name}]\n{table}\n"))
    assert told == replace(lma_configuration(lma_of("")), **{name: settings})  # type: ignore[arg-type]


def test_what_the_kernel_of_a_mag_is_told() -> None:
    """Packets are taken out of tunnels of other gateways and user planes; tunnels begin at every care-of address."""
    more = """\
[mag.localized_routing]
gateways = ["2001:db8:b1::1", "2001:db8:b2::1"]
[mag.user_plane]
addresses = ["2001:db8:f:1::1"]
[mag.multipath]
identifier = "mag1@lab"
care_of = ["2001:db8:b1::2"]
"""
    settings = linux_settings(mag_of(more))
    assert settings.peers == tuple(map(address, ("2001:db8:f::1", "2001:db8:b2::1", "2001:db8:f:1::1")))
    assert settings.path_addresses == (address("2001:db8:b1::2"),)
    assert settings.addresses == (address("2001:db8:b1::1"), address("2001:db8:b1::2"))


def test_a_gateway_that_relays_dhcp() -> None:
    told = mag_configuration(mag_of('ipv4 = true\n[mag.dhcp_relay]\naddress = "10.1.0.2"\nserver = "192.0.2.67"\n'))
    assert told.dhcp_relay == DhcpRelayOfMag(address=address("10.1.0.2"), server=address("192.0.2.67"))
    assert lma_configuration(lma_of('ipv4_pool = "10.9.0.0/16"\ndhcp_relay = true\n')).dhcp_relay


def test_what_the_kernel_is_told_of_peers_over_ipv4() -> None:
    told = linux_settings(mag_of('[mag.ipv4_transport]\naddress = "10.1.0.2"\nlma = "198.51.100.1"\n'))
    assert (told.transport, told.transport_peers) == (address("10.1.0.2"), (address("2001:db8:f::1"),))
    told = linux_settings(lma_of(_OVER_IPV4.format("")))
    assert (told.transport, told.transport_peers) == (address("198.51.100.1"), (address("2001:db8:b1::1"),))
    assert linux_settings(lma_of("")).transport is None


def test_what_the_kernel_of_an_lma_is_told() -> None:
    """Tunnels are from the user plane, and packets to either address are taken out; delegated pools are ours."""
    more = '[lma.user_plane]\naddress = "2001:db8:f:1::1"\n[lma.delegation]\npools = ["2001:db8:f101::/48"]\n'
    settings = linux_settings(lma_of(more))
    assert settings.addresses == (address("2001:db8:f:1::1"), address("2001:db8:f::1"))
    assert prefix("2001:db8:f101::/48") in settings.pools


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MAG + '[mag.localized_routing]\ngateways = ["2001:db8:b2::1", "2001:db8:b2::1"]\n', "is gateways[0] already"),
        (MAG + '[mag.user_plane]\naddresses = ["2001:db8:f::2", "2001:db8:f::2"]\n', "is addresses[0] already"),
        (MAG + '[mag.multipath]\nidentifier = "x"\ncare_of = ["2001:db8:b1::1"]\n', "is `address` itself"),
        (MAG + '[mag.multipath]\ncare_of = ["2001:db8:b1::2"]\n', "identifier"),
        (MAG + '[mag.transient_bindings]\nlifetime = "30s"\n', "does not fit into the message"),
        (MAG + '[mag.transient_bindings]\nlifetime = "150ms"\n', "does not fit into the message"),
        (MAG + "[mag.bulk_registration]\ngroups = 0\n", "a whole number from 1 to 64"),
        (MAG + '[mag.delegation]\nnodes = { "x" = [] }\n', "delegation"),
        (LMA + '[lma.localized_routing]\nlifetime = "1500ms"\n', "does not fit into the message"),
        (LMA + '[lma.localized_routing]\npairs = [["ann@x"]]\n', "pairs"),
        (LMA + '[lma.user_plane]\naddress = "2001:db8:f::1"\n', "is where gateways register"),
        (LMA + '[lma.user_plane]\naddress = "2001:db8:f000::1"\n', "contains the address 2001:db8:f000::1"),
        (LMA + '[lma.delegation]\npools = ["2001:db8:f000:8000::/49"]\n', "overlaps 2001:db8:f000::/48"),
        (LMA + '[lma.delegation]\npools = ["2001:db8:b1::/48"]\n', "contains the address 2001:db8:b1::1"),
        (LMA + '[lma.delegation]\npools = ["2001:db8:f101::/60"]\n', "has no room for a /56"),
        (LMA + '[lma.transient_bindings]\nlifetime_max = "0s"\n', "does not fit into the message"),
        (MAG + '[mag.dhcp_relay]\naddress = "10.1.0.2"\nserver = "192.0.2.67"\n', "expected ipv4 = true"),
        (LMA + "dhcp_relay = true\n", "expected an ipv4_pool"),
        (MAG_OVER_IPV4.format("10.1.0.2", ""), "is `address` itself"),
        (MAG_OVER_IPV4.format("224.0.0.1", ""), "is not an address that routers are reached at"),
        (MAG_OVER_IPV4.format("198.51.100.1", 'keepalive = "100ms"\n'), "expected a second at least"),
        (MAG_OVER_IPV4.format("198.51.100.1", '[mag.user_plane]\naddresses = ["2001:db8:f::2"]\n'), "mag.user_plane"),
        (
            MAG_OVER_IPV4.format("198.51.100.1", "").replace("access =", "handovers = 4\naccess ="),
            "expected handovers = 0, or no table [mag.ipv4_transport]",
        ),
        (LMA + _OVER_IPV4.format('nat = "10.1.0.2"\n'), "expected that of its NAT"),
        (LMA + _OVER_IPV4.format("").replace('"2001:db8:b1::1"', '"2001:db8:b9::1"'), "is none of lma.gateways"),
        (LMA + _OVER_IPV4.format("").replace("10.1.0.2", "198.51.100.1"), "is the anchor itself"),
        (
            LMA + _OVER_IPV4.format('[[lma.ipv4_transport.gateways]]\naddress = "2001:db8:b1::1"\nipv4 = "10.1.0.2"\n'),
            "is where gateways[0] is",
        ),
        (LMA + _OVER_IPV4.format("").replace('.1"\n[[', '.1"\nkeepalive = "1500ms"\n[['), "expected whole seconds"),
        (IP6TNL_MAG + '[mag.multipath]\nidentifier = "x"\ncare_of = ["2001:db8:b1::2"]\n', ":6: mag.backend: 'ip6tnl'"),
        (IP6TNL_LMA + '[lma.user_plane]\naddress = "2001:db8:f:1::1"\n', ":6: lma.backend: 'ip6tnl'"),
    ],
)
def test_mistakes_are_named(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "x.toml")
    assert words in str(caught.value)
    assert "x.toml" in str(caught.value)
