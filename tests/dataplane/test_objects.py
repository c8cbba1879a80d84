"""What is written to the kernel reads back as the same value: the base of reconciliation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.dataplane import objects
from sojourn.dataplane.encapsulation import HeaderTunnel, SegmentTunnel
from sojourn.dataplane.netlink import attributes
from sojourn.dataplane.objects import InterfaceAddress, KernelObject, Neighbour, Rule
from sojourn.dataplane.reconcile import Snapshot
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, Nexthop, Route, parse_nexthop, parse_route
from sojourn.wire.addresses import ANY, ANY_IPV4, Prefix, address, prefix

PEER = address("2001:db8:a2::1")
HOME = prefix("2001:db8:a100:1::/64")
OWN = prefix("2001:db8:a1::1/128")
STATION = address("fe80::5052:0:0:1")

addresses = st.binary(min_size=16, max_size=16)
numbers = st.integers(1, 2**31 - 1)
prefixes = st.builds(Prefix.of, addresses, st.integers(0, 128))
tables_and_prefixes = st.tuples(numbers, prefixes, prefixes)
gateways = st.none() | addresses
tunnels = st.builds(SegmentTunnel, addresses) | st.builds(HeaderTunnel, addresses, addresses)
routes = st.one_of(
    st.tuples(numbers, prefixes, numbers).map(lambda t: Route(t[0], t[1], nexthop=t[2])),
    tables_and_prefixes.map(lambda t: Route(*t, kind=RTN_THROW)),
    tables_and_prefixes.map(lambda t: Route(*t, kind=RTN_BLACKHOLE)),
    st.tuples(tables_and_prefixes, numbers, gateways, tunnels).map(
        lambda t: Route(*t[0], device=t[1], gateway=t[2], tunnel=t[3])
    ),
    st.tuples(tables_and_prefixes, numbers).map(lambda t: Route(*t[0], device=t[1], decapsulate=True)),
)
nexthops = st.tuples(numbers, numbers, gateways, st.none() | tunnels).map(lambda t: Nexthop(*t))
neighbours = st.tuples(numbers, addresses, st.binary(min_size=6, max_size=6)).map(lambda t: Neighbour(*t))
rules = st.one_of(
    st.tuples(
        numbers,
        numbers,
        st.sampled_from(["", "acc0", "fifteen-letters"]),
        st.none() | addresses,
        st.sampled_from([0, 4, 41]),
    ).map(lambda t: Rule(*t)),
    st.tuples(numbers, numbers, numbers, numbers).map(lambda t: Rule(t[0], t[1], mark=t[2], mask=t[3])),
    numbers.map(lambda priority: Rule(priority, 0, "sojourn2")),
    st.tuples(numbers, addresses, st.integers(1, 128), st.none() | prefixes).map(
        lambda t: Rule(t[0], 0, "acc0", t[1], destination_length=t[2], source=t[3])
    ),
)


@given(routes)
def test_routes_read_back(route: Route) -> None:
    assert parse_route(route.ensure().body) == route


@given(nexthops)
def test_nexthops_read_back(nexthop: Nexthop) -> None:
    assert parse_nexthop(nexthop.ensure().body) == nexthop


@given(neighbours)
def test_neighbours_read_back(neighbour: Neighbour) -> None:
    assert objects.parse_neighbour(neighbour.ensure().body) == neighbour


@given(rules)
def test_rules_read_back(rule: Rule) -> None:
    assert objects.parse_rule(rule.ensure().body) == rule


@given(addresses, numbers)
def test_addresses_read_back(owned: bytes, device: int) -> None:
    own = InterfaceAddress(device, owned, 64)
    assert objects.parse_address(own.ensure().body) == own


def test_what_others_installed_is_not_ours() -> None:
    """Their protocol number is not 140."""
    route = bytearray(Route(50, HOME, nexthop=1).ensure().body)
    route[5] = 4
    assert parse_route(bytes(route)) is None
    nexthop = bytearray(Nexthop(1, 2).ensure().body)
    nexthop[2] = 3
    assert parse_nexthop(bytes(nexthop)) is None


def test_a_tunnel_is_a_plain_ipv6_header() -> None:
    """Mode encap.red (3) with one segment leaves no routing header on the wire (RFC 2473)."""
    encapsulation = attributes(Nexthop(1, 2, tunnel=SegmentTunnel(PEER)).ensure().body, 8)[8]
    header = attributes(encapsulation)[1]
    assert header[:4] == (3).to_bytes(4, "little") or header[:4] == (3).to_bytes(4, "big")
    assert header[4:12] == bytes((0, 2, 4, 0, 0, 0, 0, 0))  # one segment, none left
    assert header[12:] == PEER


THINGS: list[KernelObject] = [
    InterfaceAddress(2, STATION),
    Neighbour(2, STATION, b"\x02\0\0\0\0\1"),
    Nexthop(1, 2, STATION),
    Route(54, HOME, nexthop=1),
    Rule(110, 54),
]


def test_what_holds_is_claimed_once_and_the_rest_is_left_in_order() -> None:
    snapshot = Snapshot(iter(THINGS), set())
    assert snapshot.claim(THINGS[4])
    assert not snapshot.claim(THINGS[4])
    assert [type(thing) for thing in snapshot.left()[:2]] == [Route, Nexthop]  # routes before what they refer to
    assert len(snapshot.left()) == 4


def test_what_is_asked_for_differently_is_sent_but_not_removed() -> None:
    snapshot = Snapshot(iter(THINGS), set())
    assert not snapshot.claim(Nexthop(1, 2, tunnel=SegmentTunnel(PEER)))
    assert all(not isinstance(thing, Nexthop) for thing in snapshot.left())


@pytest.mark.parametrize("thing", THINGS)
def test_everything_has_a_line_for_the_log(thing: KernelObject) -> None:
    assert str(thing).split()[0] in ("route", "nexthop", "neighbour", "rule", "address")


def test_routes_of_a_source_are_named_with_it() -> None:
    assert (
        str(Route(53, ANY, HOME, tunnel=SegmentTunnel(PEER)))
        == "route ::/0 from 2001:db8:a100:1::/64 tunnel 2001:db8:a2::1 table 53"
    )
    assert str(Route(50, OWN, decapsulate=True)) == "route 2001:db8:a1::1/128 decapsulate table 50"


def test_a_route_of_ipv4_through_a_neighbour_of_ipv6_reads_back() -> None:
    for destination in (ANY_IPV4, prefix("2001:db8::/32")):
        route = Route(9, destination, device=3, gateway=address("fe80::1"))
        assert parse_route(route.ensure().body) == route
