"""The other family in a lab: IPv4 routes along the paths that IPv6 takes, without IPv4 addresses on core links.

A route may name the neighbour by its IPv6 address (RTA_VIA, since Linux 5.2), so pools and servers are all that need
addresses.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from ipaddress import IPv4Network

from sojourn.dataplane.netlink import NLM_F_CREATE, NLM_F_REPLACE, attribute
from sojourn.lab.lab import Lab
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import RTM_NEWADDR, RouteNetlink
from sojourn.lab.shortest import next_hops
from sojourn.wire.addresses import eui64_link_local, from_ipv4

_IFA_LOCAL = 2


def route_ipv4(lab: Lab, networks: Mapping[str, IPv4Network]) -> None:
    """Packets to each network reach the node that it is named with; routers forward. Raises OSError."""
    graph = lab.topology.graph()
    for name in graph:
        node = lab.nodes[name]
        if node.kind != "server":
            node.namespace.sysctl("net/ipv4/ip_forward", 1)
        ways = next_hops(graph, name)
        netlink = RouteNetlink(node.namespace)
        try:
            for target, network in networks.items():
                if target != name:
                    there = lab.nodes[ways[target]].ends[f"to-{name}"]
                    gateway = eui64_link_local(there.link_layer)
                    prefix = from_ipv4(network.network_address.packed)
                    netlink.add_route(prefix, network.prefixlen + 96, gateway, node.ends[f"to-{ways[target]}"].index)
        finally:
            netlink.close()


def add_address(namespace: NetworkNamespace, index: int, address: str, length: int) -> None:
    """An IPv4 address on an interface. Raises OSError."""
    body = struct.pack("=BBBBI", socket.AF_INET, length, 0, 0, index)
    netlink = RouteNetlink(namespace)
    try:
        octets = attribute(_IFA_LOCAL, socket.inet_aton(address))
        netlink.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body + octets)
    finally:
        netlink.close()
