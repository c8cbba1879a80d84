"""From a topology to namespaces, cables, addresses and static routes.

* Core links carry link-local addresses only; a node's one global address is a /128 on its first core
  interface. All routes are static, along the shortest path by delay, one per address and pool: no default
  route in the core, so that a packet to nowhere ends at the first router instead of going in circles.
  Neighbours on core links are permanent.
* An access router has a bridge ``acc0`` with one port ``air``; a host has ``wlan0``. The other ends are in
  the air (`sojourn.lab.air`), where a bridge per access router is its cell.
* A link with delay or loss that the kernel cannot do itself runs through the namespace ``wire``
  (`sojourn.lab.links`).
* Hosts keep the kernel's defaults; routers accept no advertisements and do no duplicate address detection.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
from itertools import count
from pathlib import Path

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.node import Node
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.lab.shortest import next_hops
from sojourn.lab.topology import Link, Topology
from sojourn.wire.addresses import eui64_link_local

_FIRST_INDEX = 100
_INFRASTRUCTURE = {
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/dad_transmits": 0,
    "net/ipv6/conf/default/router_solicitations": 0,
}
_FORWARDING = {"net/ipv6/conf/all/forwarding": 1, "net/ipv6/conf/default/forwarding": 1}
_NO_IPV6 = {"net/ipv6/conf/all/disable_ipv6": 1, "net/ipv6/conf/default/disable_ipv6": 1}
_OPTIMISTIC = {
    f"net/ipv6/conf/{scope}/{key}": 1 for scope in ("all", "default") for key in ("optimistic_dad", "use_optimistic")
}
_NO_DAD = {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/default/dad_transmits": 0}
_DAD: dict[str, Mapping[str, int]] = {"default": {}, "optimistic": _OPTIMISTIC, "off": _NO_DAD}


class Cable:
    """A core link as built: the two ends in the nodes and, when it is relayed, the two in ``wire``."""

    def __init__(self, link: Link, nodes: tuple[Node, Node], ends: tuple[End, End], middle: tuple[End, End] | None):
        self.link, self.nodes, self.ends, self.middle = link, nodes, ends, middle


class Network:
    """Everything of a lab that is in the kernel. `build` once, `close` once."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.nodes: dict[str, Node] = {}
        self.cables: list[Cable] = []
        self.air = NetworkNamespace("air")
        self.wire: NetworkNamespace | None = None
        self.host_ports: dict[str, End] = {}
        """The end of each host's link that is in the air."""
        self.radios: dict[str, End] = {}
        """The other end, in the host."""
        self.cells: dict[str, End] = {}
        """The bridge in the air of each access router."""
        self.cell_ports: dict[str, End] = {}
        """The port of each cell that leads to its access router."""
        self._indexes = count(_FIRST_INDEX)
        self._netlinks: dict[int, RouteNetlink] = {}

    def build(self, relayed: set[frozenset[str]]) -> None:
        """Make it all; links in `relayed` get a gap in the middle for the relay. Raises OSError."""
        _set(self.air, _NO_IPV6)
        for name, planned in self.topology.nodes.items():
            self.nodes[name] = Node(name, planned.kind, str(planned.address or ""))
            self._set_up(self.nodes[name], planned.dad)
        if relayed:
            self.wire = NetworkNamespace("wire")
            _set(self.wire, _NO_IPV6)
        for link in self.topology.links:
            self._lay(link, frozenset(link.between) in relayed)
        for node in self.nodes.values():
            self._connect_to_air(node)
        self._number()
        self._route()

    def netlink(self, namespace: NetworkNamespace) -> RouteNetlink:
        """A socket inside, opened once."""
        if namespace.descriptor not in self._netlinks:
            self._netlinks[namespace.descriptor] = RouteNetlink(namespace)
        return self._netlinks[namespace.descriptor]

    def set_links(self, name: str, *, up: bool) -> None:
        """All links of a node go down, and the kernel forgets what was on them; or come up, with all that was."""
        netlink = self.netlink(self.nodes[name].namespace)
        for end in self.nodes[name].ends.values():
            netlink.set_link(end.index, up=up)
        if up:
            self._number()
            self._route()

    def close(self) -> None:
        """Let go of everything; the kernel removes it."""
        for netlink in self._netlinks.values():
            netlink.close()
        self._netlinks.clear()
        for node in self.nodes.values():
            node.close()
        self.air.close()
        if self.wire is not None:
            self.wire.close()

    # --- pieces
    # ---------------------------------------------------------------------------------------------------

    def _set_up(self, node: Node, dad: str) -> None:
        if node.kind in ("host", "mn"):
            _set(node.namespace, _DAD[dad])
        elif node.kind in ("router", "access-router", "mag", "plain", "lma", "ha"):
            _set(node.namespace, _INFRASTRUCTURE | _FORWARDING)
        else:
            _set(node.namespace, _INFRASTRUCTURE)

    def _end(self, namespace: NetworkNamespace, name: str, link_layer: bytes | None = None) -> End:
        index = next(self._indexes)
        return End(namespace, name, index, link_layer or b"\x02\x1a\xb0" + index.to_bytes(3, "big"))

    def _cable(self, one: End, two: End, mtu: int) -> None:
        self.netlink(one.namespace).add_veth(one, two, mtu)
        for end in (one, two):
            self.netlink(end.namespace).set_link(end.index, up=True)

    def _lay(self, link: Link, relayed: bool) -> None:
        a, b = (self.nodes[name] for name in link.between)
        mtu = link.mtu or self.topology.mtu
        ends = self._end(a.namespace, f"to-{b.name}"), self._end(b.namespace, f"to-{a.name}")
        a.ends[ends[0].name], b.ends[ends[1].name] = ends
        middle = None
        if relayed:
            assert self.wire is not None
            middle = self._wire_end(self.wire), self._wire_end(self.wire)
            for end, gap in zip(ends, middle, strict=True):
                self._cable(end, gap, mtu)
        else:
            self._cable(*ends, mtu)
        self.cables.append(Cable(link, (a, b), ends, middle))

    def _wire_end(self, wire: NetworkNamespace) -> End:
        end = self._end(wire, "w")
        end.name = f"w{end.index}"
        return end

    def _connect_to_air(self, node: Node) -> None:
        mtu = self.topology.mtu
        if node.kind in ("host", "mn"):
            for radio in range(self.topology.nodes[node.name].radios):
                self._add_radio(node, radio)
        link = self.topology.nodes[node.name].link
        if node.name in self.topology.cells or link is not None:
            bridge = self._end(node.namespace, "acc0")
            port = self._end(node.namespace, "air")
            far = self._end(self.air, f"r-{node.name}")
            self.netlink(node.namespace).add_bridge(bridge, mtu)
            if link is None:
                cell = self._end(self.air, f"c-{node.name}")
                self.netlink(self.air).add_bridge(cell, mtu)
            else:
                cell = self.cells[link]
            self._cable(port, far, mtu)
            _set(node.namespace, {"net/ipv6/conf/air/disable_ipv6": 1})  # a port of a bridge has no addresses
            self.netlink(node.namespace).set_link(port.index, master=bridge.index)
            self.netlink(self.air).set_link(far.index, master=cell.index)
            node.ends |= {"acc0": bridge, "air": port}
            if link is None:
                self.cells[node.name], self.cell_ports[node.name] = cell, far

    def _add_radio(self, node: Node, radio: int) -> None:
        """Its first one is in the air by the name of the host, a second one as ``HOST/2``."""
        number = len(self.host_ports) + 1
        wireless = self._end(node.namespace, f"wlan{radio}", b"\x02\0\0" + number.to_bytes(3, "big"))
        port = self._end(self.air, f"h-{node.name}" if radio == 0 else f"h{radio}-{node.name}"[:15])
        self.netlink(self.air).add_veth(port, wireless, self.topology.mtu)
        self.netlink(node.namespace).set_link(wireless.index, up=True)  # no carrier until it is in a cell
        node.ends[wireless.name] = wireless
        name = node.name if radio == 0 else f"{node.name}/{radio + 1}"
        self.host_ports[name], self.radios[name] = port, wireless

    def _number(self) -> None:
        for node in self.nodes.values():
            if node.kind == "ha":  # its address is one of the home link
                link = self.netlink(node.namespace)
                link.add_address(node.ends["acc0"].index, IPv6Address(node.address).packed, 64)
            elif node.address and node.kind != "mn":
                core = [end.index for name, end in node.ends.items() if name.startswith("to-")]
                address = IPv6Address(node.address).packed
                self.netlink(node.namespace).add_address(core[0] if core else 1, address, 128)
        for cable in self.cables:
            for here, there in (cable.ends, cable.ends[::-1]):
                address = eui64_link_local(there.link_layer)
                self.netlink(here.namespace).add_neighbour(here.index, address, there.link_layer)

    def _route(self) -> None:
        graph = self.topology.graph()
        for name in graph:
            ways = next_hops(graph, name)
            netlink = self.netlink(self.nodes[name].namespace)
            for target, hop in ways.items():
                here = self.nodes[name].ends[f"to-{hop}"]
                there = self.nodes[hop].ends[f"to-{name}"]
                gateway = eui64_link_local(there.link_layer)
                for network in self._networks(target):
                    prefix = network.network_address.packed
                    netlink.add_route(prefix, network.prefixlen, gateway, here.index)

    def _networks(self, name: str) -> list[IPv6Network]:
        node = self.topology.nodes[name]
        networks = [] if node.address is None else [IPv6Network(node.address)]
        return networks if node.pool is None else [*networks, node.pool]


def _set(namespace: NetworkNamespace, values: Mapping[str, int]) -> None:
    def write() -> None:
        for name, value in values.items():
            try:
                Path("/proc/sys", name).write_text(str(value))
            except FileNotFoundError as error:
                raise OSError(error.errno, f"this kernel has no setting {name}") from error

    if values:
        namespace.call(write)
