"""What becomes of a packet, by the memory data planes: from a correspondent to a node, and from a node to the core.

A correspondent may be anywhere in the core. The routing protocol carries a packet to the router whose pool has the
prefix; from there on the data planes decide. What they have no special way for takes the ordinary one again.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from sim.air import Air, Node
from sim.world import Machine, World
from sojourn.core.effects import (
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsurePaths,
    EnsureQueue,
    EnsureTunnel,
)
from sojourn.wire.addresses import Prefix

Home = Callable[[Prefix], Machine | None]
"""The machine to which ordinary routing carries packets to a prefix."""
HOPS = 12
"""A packet that met so many routers goes round."""


class Loop(Exception):
    """The packet goes round until its hop limit ends; the text says where."""

    def __init__(self, prefix: Prefix, visited: list[str], *, tunnels: bool) -> None:
        super().__init__(f"packets to {prefix} go round: {' '.join(visited)}")
        self.tunnels = tunnels
        """All the way round was through tunnels."""


class Paths:
    """Follows packets through one world."""

    def __init__(
        self,
        world: World,
        air: Air,
        home: Home,
        places: Container[str],
        dead_ends: Container[str] = (),
        anchor: Home | None = None,
    ) -> None:
        """`places`: machines with access links; `dead_ends`: those that drop what came out of a tunnel to nobody who
        is there. `anchor`: to whom a prefix belongs, where that is not always who its packets are led to."""
        self._anchor = anchor or home
        self._places, self._dead_ends = places, dead_ends
        self._world = world
        self._air = air
        self._home = home

    def down(self, prefix: Prefix, *, sent: bool = False) -> Node | None:
        """The node that a packet to `prefix` reaches; None when it is lost, or waits: one that is `sent` does so.

        Raises `Loop`.
        """
        at = self._home(prefix)
        if at is None or not at.powered:
            return None
        visited, tunnels, forwarded = [at.name], True, False
        while True:
            way = at.plane.way(prefix, forwarded)
            if sent and isinstance(way, EnsureQueue | EnsureFlowToNode | EnsureFlowToRouter):
                at.plane.queue(way)
            forwarded = False
            tunnels = tunnels and prefix in at.plane.state.prefixes  # else what is unknown went back to its anchor
            match way:
                case EnsureDelivery(_, interface, link_layer) | EnsureFlowToNode(_, _, interface, link_layer):
                    return self._air.node_at(at.name, interface, link_layer)
                case EnsureTunnel(_, remote) | EnsureFlowToRouter(_, _, remote) | EnsurePaths(_, (remote, *_)):
                    following = self._world.machines[self._world.network.names[remote]]
                    forwarded = at.name in self._places
                case EnsureHold() | EnsureQueue():
                    return None
                case _:
                    home = self._home(prefix)
                    if home is None or home is at or at.name in self._dead_ends or self._anchor(prefix) is at:
                        return None
                    following, tunnels = home, False
            if not self._world.network.passes(at.name, following.name):
                return None
            at = following
            visited.append(at.name)
            if len(visited) > HOPS:
                raise Loop(prefix, visited, tunnels=tunnels)

    def up(self, node: Node, prefix: Prefix, *, sent: bool) -> bool:
        """Whether a packet of `node` from `prefix` reaches the core where it belongs. One that is `sent` is counted."""
        if node.place is None or (node.place, node.interface) in self._air.down:
            return False
        place = self._world.machines[node.place]
        if not place.powered or prefix not in place.plane.state.uplinks:
            return False
        anchor = place.plane.state.uplinks[prefix]
        if anchor is None:
            if sent:
                place.plane.traffic(prefix)
            return place in (self._home(prefix), self._anchor(prefix))
        name = self._world.network.names.get(anchor)
        if name is None or not self._world.network.passes(node.place, name):
            return False
        home = self._world.machines[name]
        if sent:
            home.plane.traffic(prefix)
        return home in (self._home(prefix), self._anchor(prefix))
