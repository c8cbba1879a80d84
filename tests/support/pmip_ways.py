"""What tests of extensions that choose ways for packets share: all of them at once, and what must be true of them."""

from __future__ import annotations

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.engines.access_session import Presence
from sojourn.engines.configuration import Gateway
from sojourn.engines.way_settings import (
    BulkRegistrationOfLma,
    BulkRegistrationOfMag,
    DelegationOfLma,
    DelegationOfMag,
    FlowMobilityOfLma,
    FlowMobilityOfMag,
    LocalizedRoutingOfLma,
    LocalizedRoutingOfMag,
    MultipathOfLma,
    MultipathOfMag,
    TransientBindingsOfLma,
    TransientBindingsOfMag,
    UserPlaneOfLma,
    UserPlaneOfMag,
)
from sojourn.wire.addresses import Address, Prefix, address, prefix
from sojourn.wire.units import SECOND
from support import pmip_checkers
from support.pmip import ProxyDomain, gateway
from support.table import HOSTS, node

NETWORKS = prefix("2001:db8:f101::/48")
USER_PLANE = address("2001:db8:f:1::1")
PAIRS = ((node("mn1"), node("mn2")), (node("mn1"), node("mn3")), (node("mn4"), node("mn5")))
_GATEWAYS = tuple(map(gateway, range(1, 4)))


def ways_of_lma() -> dict[str, object]:
    """Settings that leave the far ends of tunnels where RFC 5213 has them."""
    return {
        "localized_routing": LocalizedRoutingOfLma(PAIRS, lifetime=40 * SECOND),
        "transient_bindings": TransientBindingsOfLma(activation_state=True),
        "delegation": DelegationOfLma((NETWORKS,)),
        "bulk_registration": BulkRegistrationOfLma(),
        "flow_mobility": FlowMobilityOfLma(),
    }


def ways_of_mag() -> dict[str, object]:
    """The same of MAGs: mn1 and mn2 are routers."""
    return {
        "localized_routing": LocalizedRoutingOfMag(_GATEWAYS),
        "transient_bindings": TransientBindingsOfMag(),
        "delegation": DelegationOfMag(tuple((HOSTS[host], ()) for host in ("mn1", "mn2"))),
        "bulk_registration": BulkRegistrationOfMag(groups=2, alone_after=3),
        "flow_mobility": FlowMobilityOfMag(),
    }


def all_ways_of_lma() -> dict[str, object]:
    """With those that move the ends of tunnels."""
    paths = {1: (second_path(1),), 2: (second_path(2),)}
    known = tuple(Gateway(gateway(n), f"mag{n}", paths[n]) for n in (1, 2))
    ends = {"user_plane": UserPlaneOfLma(address=USER_PLANE), "multipath": MultipathOfLma(), "gateways": known}
    return ways_of_lma() | ends


def all_ways_of_mag() -> dict[str, object]:
    """The same of MAGs. They all have the paths of mag1, which the LMA believes of that one only."""
    multipath = MultipathOfMag(identifier=b"\x01mag@lab", care_of=(second_path(1),))
    return ways_of_mag() | {"user_plane": UserPlaneOfMag(addresses=(USER_PLANE,)), "multipath": multipath}


def second_path(number: int) -> Address:
    """Another care-of address of ``magN``."""
    return address(f"2001:db8:b{number}::2")


def faults(domain: ProxyDomain) -> list[str]:
    """What `pmip_checkers` finds, but for delegated networks, and what is wrong with these and with shortcuts."""
    found = [fault for fault in pmip_checkers.faults(domain) if "2001:db8:f101:" not in fault]
    return [*found, *_networks(domain), *_shortcuts(domain)]


def _networks(domain: ProxyDomain) -> list[str]:
    """A router has one network, wherever it is."""
    found = []
    for row in domain.lma.show("bindings", domain.now):
        networks, wanted = row["delegated"], row["node"] in (node("mn1").hex(), node("mn2").hex())
        assert isinstance(networks, list)
        if row["state"] == "active" and len(networks) != wanted:
            found.append(f"lma: {row['node']} has the networks {networks}")
    known = {network for network in domain.plane("lma").state.prefixes if NETWORKS.contains(network)}
    served: dict[Prefix, str] = {}
    for name in domain.mag_configurations:
        plane = domain.plane(name)
        for network in [one for one in plane.state.prefixes if NETWORKS.contains(one)]:
            served[network] = name
            if not isinstance(plane.way(network), EnsureDelivery) or network not in plane.state.uplinks:
                found.append(f"{name}: {network} is not delivered")
    for network in known:
        way = domain.plane("lma").way(network)
        assert isinstance(way, EnsureTunnel)
        if domain.names[way.remote] != served.get(network):
            found.append(f"lma: {network} is at {domain.names[way.remote]}, and served by {served.get(network)}")
    return found + [f"{name}: {network} is nobody's" for network, name in served.items() if network not in known]


def _shortcuts(domain: ProxyDomain) -> list[str]:
    """Nodes that shall meet and are here do, and nobody else."""
    expected: dict[str, dict[tuple[Prefix, Prefix], Address | None]] = {name: {} for name in domain.mag_configurations}
    for one, other in PAIRS:
        for start, end in ((one, other), (other, one)):
            for a in domain.lma.cache.of(start)[:1]:
                for b in domain.lma.cache.of(end)[:1]:
                    if not (a.waiting or b.waiting):
                        remote = None if a.source == b.source else b.gateway
                        pairs = {(x, y): remote for x in a.home_prefixes for y in b.home_prefixes}
                        expected[domain.names[a.source]] |= pairs
    held = {name: domain.plane(name).state.shortcuts for name in domain.mag_configurations}
    return [f"{name}: shortcuts are {held[name]}" for name in held if held[name] != expected[name]]


def left(domain: ProxyDomain) -> list[str]:
    """What should be gone when all nodes are."""
    found = []
    for name, member in domain.members.items():
        state = member.plane.state
        if state.shortcuts or state.spreads:
            found.append(f"{name}: {state.shortcuts or state.spreads}")
    for name in domain.mag_configurations:
        sessions = domain.mag(name).sessions.values()
        found += [f"{name}: somebody is here" for one in sessions if one.presence is Presence.SERVED]
    return found
