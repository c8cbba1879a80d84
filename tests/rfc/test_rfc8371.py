"""RFC 8371: identifiers of mobile nodes that are no names."""

from __future__ import annotations

import pytest

from sojourn.engines.configuration import GatewayProfile
from sojourn.files.fields import parse_identifier
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain
from support.pmip_extensions import settled
from support.table import HOSTS

IDENTIFIERS = {
    "nai": "ann@example.net",
    "ipv6-address": "ipv6:2001:db8::1",
    "imsi": "imsi:001010123456789",
    "p-tmsi": "p-tmsi:c0ffee01",
    "eui-48": "02:00:00:00:00:01",
    "eui-64": "eui-64:02-00-00-ff-fe-00-00-01",
    "guti": "guti:00010203040506070809",
    "duid": "duid:000300010200000000a1",
}


@pytest.mark.parametrize("kind", IDENTIFIERS)
def test_4_a_node_is_registered_by_an_identifier_of_each_type_and_shown_with_it(kind: str) -> None:
    identity = parse_identifier(IDENTIFIERS[kind])
    domain = ProxyDomain(profiles=(GatewayProfile(HOSTS["mn1"], identity),))
    settled(domain, ("mn1", "mag1"))
    domain.roam("mn1", "mag1", "mag2")
    domain.run(SECOND)
    (entry,) = domain.lma.cache
    assert entry.node == identity
    (row,) = domain.lma.show("bindings", domain.now)
    assert (row["type"], row["node"]) == (kind, identity.hex())


def test_4_the_same_octets_of_another_type_are_another_node() -> None:
    octets = bytes.fromhex("0102030405060708")
    both = (GatewayProfile(HOSTS["mn1"], b"\3" + octets), GatewayProfile(HOSTS["mn2"], b"\6" + octets))
    domain = ProxyDomain(profiles=both)
    settled(domain, ("mn1", "mag1"), ("mn2", "mag1"))
    assert {entry.node[0] for entry in domain.lma.cache} == {3, 6}


@pytest.mark.parametrize(
    "wrong",
    ["imsi:12x", "imsi:0123456789012345", "imsi:1", "eui-64:0102", "ipv6:nowhere", "guti:", "duid:", "p-tmsi:01"],
)
def test_an_identifier_that_is_none_of_its_type_is_a_mistake(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not an identifier"):
        parse_identifier(wrong)


def test_a_type_that_nobody_knows_is_shown_as_a_number() -> None:
    domain = ProxyDomain(profiles=(GatewayProfile(HOSTS["mn1"], b"\x63abc"),))
    settled(domain, ("mn1", "mag1"))
    (row,) = domain.lma.show("bindings", domain.now)
    assert row["type"] == "99"
