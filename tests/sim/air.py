"""Nodes without an engine of their own, on the access links of routers: where each one really is, and what it was told.

A router notices a node by events (a station came, a neighbour spoke) and speaks to it by advertisements; this is
all that the two know of each other. Roles that serve such nodes (MAAR, MAG) are played with an `Air`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sim.world import Machine, World
from sojourn.core.effects import AccessEffect, Advertise, ForgetStation, ProbeNode
from sojourn.core.events import LinkChanged, NodeDetached, NodeSeen, Sighting
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import MILLISECOND, SECOND, Instant

ANSWER = 2 * MILLISECOND
"""After which a node that is probed answers."""
SOLICITS = (1 * SECOND, 5 * SECOND, 9 * SECOND)
"""When a node asks for a router that did not speak to it, after its arrival."""
INTERFACES = ("acc0", "acc1")


@dataclass(slots=True)
class Node:
    """One node: the truth."""

    name: str
    link_layer: LinkLayer
    place: str | None = None
    """The router on whose link it is; None: nowhere."""
    interface: str = INTERFACES[0]
    arrived: Instant = 0
    """When it last changed its place, or left."""
    expected: Instant = 0
    """When somebody last said that it would."""
    promises: dict[Address, tuple[Prefix, ...]] = field(default_factory=dict)
    """What it may use, by router identity, according to the last advertisement here."""
    preferred: Prefix | None = None
    """What it uses for new sessions."""

    @property
    def usable(self) -> set[Prefix]:
        """All prefixes that it is promised where it is."""
        return {prefix for prefixes in self.promises.values() for prefix in prefixes}


class Air:
    """The nodes of one world."""

    def __init__(self, world: World, nodes: dict[str, LinkLayer]) -> None:
        self._world = world
        self.nodes = {name: Node(name, link_layer) for name, link_layer in nodes.items()}
        self._by_link_layer = {node.link_layer: node for node in self.nodes.values()}
        self.dedicated: tuple[str, ...] = ()
        """Links with room for one node: whoever comes takes the place of who was there."""
        self.down: set[tuple[str, str]] = set()
        """Access links without a carrier, as (machine, interface)."""
        self._stations: set[tuple[str, str, LinkLayer]] = set()
        """What bridges remember, as (machine, interface, station): also of nodes that left without a word."""
        self.on_advertised: Callable[[Machine, Node, Advertise], None] = lambda machine, node, effect: None

    def node_at(self, machine: str, interface: str, link_layer: LinkLayer) -> Node | None:
        """The node with that address, if it is on that link."""
        node = self._by_link_layer.get(link_layer)
        if node is None or node.place != machine or node.interface != interface or (machine, interface) in self.down:
            return None
        return node

    def interfaces(self, node: Node) -> list[Node]:
        """All interfaces of the machine that `node` is one of: mostly that one alone."""
        return [node]

    def on_link(self, machine: str) -> list[Node]:
        """The nodes on the links of a router."""
        return [node for node in self.nodes.values() if node.place == machine]

    # --- nodes move -----------------------------------------------------------------------------------------------

    def arrive(self, node: Node, machine: Machine, interface: str, sighting: Sighting) -> None:
        """It is on that link now, wherever it was, and gives itself away."""
        if interface in self.dedicated:
            for other in self.on_link(machine.name):
                if other.interface == interface and other is not node:
                    self.leave(other, told=False)
        node.place, node.interface = machine.name, interface
        node.arrived = self._world.now
        node.promises.clear()
        node.preferred = None
        if sighting is Sighting.STATION and (machine.name, interface, node.link_layer) in self._stations:
            sighting = Sighting.MULTICAST_LISTENER  # the bridge remembers it: nothing new to tell
        self.show(node, sighting)
        for delay in SOLICITS:
            self._world.later(delay, self._solicit, (node, node.arrived))

    def _solicit(self, arrival: tuple[Node, Instant]) -> None:
        """Nobody advertised anything to it yet: it asks for it (RFC 4861 6.3.7)."""
        node, arrived = arrival
        if node.arrived == arrived and not node.usable:
            self.show(node, Sighting.ROUTER_SOLICITATION)

    def leave(self, node: Node, *, told: bool) -> None:
        """It is nowhere now; `told`: the link noticed."""
        place, node.place = node.place, None
        node.arrived = self._world.now
        node.promises.clear()
        node.preferred = None
        if place is not None and told and (place, node.interface) not in self.down:
            self._stations.discard((place, node.interface, node.link_layer))
            self._world.machines[place].tell(NodeDetached(node.interface, node.link_layer))

    def show(self, node: Node, sighting: Sighting) -> None:
        """It gives a sign of life where it is."""
        if node.place is not None and (node.place, node.interface) not in self.down:
            self.frame(node)
            if sighting is not Sighting.STATION:
                self._world.machines[node.place].tell(NodeSeen(node.interface, node.link_layer, sighting))

    def frame(self, node: Node) -> None:
        """It sends a packet: a bridge that does not remember it learns it."""
        if node.place is None or (node.place, node.interface) in self.down:
            return
        station = (node.place, node.interface, node.link_layer)
        if station not in self._stations:
            self._stations.add(station)
            self._world.machines[node.place].tell(NodeSeen(node.interface, node.link_layer, Sighting.STATION))

    def forget(self, machine: Machine, effect: ForgetStation) -> None:
        """A router told its bridge to forget a station."""
        self._stations.discard((machine.name, effect.interface, effect.link_layer))

    # --- links ----------------------------------------------------------------------------------------------------

    def fail(self, machine: Machine, interface: str) -> None:
        """The carrier is lost: stations go, the kernel forgets what leads there."""
        if (machine.name, interface) in self.down:
            return
        for _, _, link_layer in self._known(machine, interface):
            self._stations.discard((machine.name, interface, link_layer))
            machine.tell(NodeDetached(interface, link_layer))
        self.down.add((machine.name, interface))
        machine.plane.lose_link(interface)
        machine.tell(LinkChanged(interface, up=False))

    def mend(self, machine: Machine, interface: str) -> None:
        """The carrier is back, and so are the nodes that are still there."""
        if (machine.name, interface) not in self.down:
            return
        self.down.discard((machine.name, interface))
        machine.tell(LinkChanged(interface, up=True))
        if machine.driver is not None:  # as the daemon does
            machine.plane.reassert()
        for node in self.on_link(machine.name):
            if node.interface == interface:
                self.show(node, Sighting.STATION)

    def greet(self, machine: Machine) -> None:
        """A router that begins sees whom its bridges remember; after a loss of power these are the nodes there."""
        if machine.cold:
            machine.cold = False
            for key in self._known(machine):
                self._stations.discard(key)
            for node in self.on_link(machine.name):
                self.show(node, Sighting.STATION)
        for _, interface, link_layer in self._known(machine):
            machine.tell(NodeSeen(interface, link_layer, Sighting.STATION))

    def _known(self, machine: Machine, interface: str = "") -> list[tuple[str, str, LinkLayer]]:
        stations = sorted(key for key in self._stations if key[0] == machine.name)
        return [key for key in stations if not interface or key[1] == interface]

    # --- routers speak --------------------------------------------------------------------------------------------

    def on_access(self, machine: Machine, effect: AccessEffect) -> None:
        """An advertisement or a probe goes out on a link."""
        node = None if effect.link_layer is None else self.node_at(machine.name, effect.interface, effect.link_layer)
        if node is None:
            return
        if isinstance(effect, ProbeNode):
            self._world.later(ANSWER, self._answer, (node, machine.name, effect.interface))
            return
        if isinstance(effect, Advertise):
            self._hear(node, effect)
            self.on_advertised(machine, node, effect)

    def _answer(self, probed: tuple[Node, str, str]) -> None:
        node, place, interface = probed
        if (node.place, node.interface) == (place, interface):
            self.show(node, Sighting.NEIGHBOUR)

    def _hear(self, node: Node, effect: Advertise) -> None:
        """An advertisement lists all that its router identity stands for; that of the default router comes first."""
        if effect.lifetime:
            node.promises.clear()
        node.promises[effect.router] = tuple(each.prefix for each in effect.prefixes if each.valid > 0)
        over = {each.prefix for each in effect.prefixes if each.valid == 0}
        if over:  # whoever says so: a host keeps its prefixes by link, not by router
            for router, prefixes in node.promises.items():
                node.promises[router] = tuple(prefix for prefix in prefixes if prefix not in over)
        if effect.lifetime:
            preferred = [each.prefix for each in effect.prefixes if each.preferred > 0]
            node.preferred = preferred[0] if preferred else None
