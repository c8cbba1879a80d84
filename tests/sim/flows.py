"""Sessions of nodes, and the promise that they go on: the reference model of what mobility is for.

A flow is a session from one prefix of one node. It works when a packet gets from the node to the core and from a
correspondent to the node. The model keeps when it last did. A flow that does not work though everything has
been calm for long enough is a fault; it is excused for ever when something happened that the design does not promise
to survive (`Flow.lost` says what), which is for the cast to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.air import Air, Node
from sim.paths import Loop, Paths
from sim.world import World
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import SECOND, Duration, Instant

FLOWS_PER_NODE = 6
HANDOVER = 5 * SECOND
"""A node that arrived when all was calm has its sessions back after this time."""
RECOVERY = 60 * SECOND
"""After the last trouble, sessions work again."""


@dataclass(slots=True)
class Flow:
    """One session."""

    node: Node
    prefix: Prefix
    home: str
    """The router that gave the prefix out."""
    begun: Instant
    worked: Instant
    """When a packet last went both ways."""
    lost: str = ""
    """Why nobody can expect it to go on; empty: it has to."""


class Flows:
    """All flows of one world. `excuse(flow, calm_since)` answers with a reason to expect no more of a flow."""

    def __init__(
        self,
        world: World,
        air: Air,
        paths: Paths,
        excuse: Callable[[Flow, Instant], str],
        handover: Callable[[Node], Duration] = lambda node: HANDOVER,
        recovery: Duration = RECOVERY,
    ) -> None:
        """`handover`: how long after its arrival in calm a node has its sessions back; `recovery`: after trouble."""
        self._handover, self._recovery = handover, recovery
        self._world, self._air, self._paths = world, air, paths
        self._excuse = excuse
        self.flows: list[Flow] = []
        self.begun = 0
        self.excused = 0

    def begin(self, node: Node) -> None:
        """A session from the prefix that the node prefers, if it has none there yet and not too many."""
        prefix, place = node.preferred, node.place
        mine = [flow for flow in self.flows if flow.node is node]
        if prefix is None or place is None or len(mine) >= FLOWS_PER_NODE or prefix in [flow.prefix for flow in mine]:
            return
        now = self._world.now
        self.begun += 1
        self.flows.append(Flow(node, prefix, place, now, now))

    def end(self, node: Node) -> None:
        """The oldest session of the node is over."""
        mine = [flow for flow in self.flows if flow.node is node]
        if mine:
            self.flows.remove(mine[0])

    def end_all(self) -> None:
        """Nobody sends anything any more."""
        self.flows.clear()

    def tick(self, calm_since: Instant) -> list[str]:
        """A packet each way on every flow; what should have arrived and did not."""
        faults = []
        now = self._world.now
        for flow in list(self.flows):
            self._air.frame(flow.node)
            if self.works(flow):
                flow.worked = now
                continue
            flow.lost = self._excuse(flow, calm_since)
            if flow.lost:
                self.flows.remove(flow)
                self.excused += 1
            elif flow.node.place is not None and self._is_due(flow.node, calm_since):
                faults.append(self._words(flow))
        return faults

    def _is_due(self, node: Node, calm_since: Instant) -> bool:
        now = self._world.now
        moved = max(node.arrived, node.expected)
        return now - moved > self._handover(node) and now - calm_since > self._recovery

    def works(self, flow: Flow) -> bool:
        """Whether a packet gets both ways; one from the node counts on its way."""
        interfaces = self._air.interfaces(flow.node)
        sent = any(self._paths.up(each, flow.prefix, sent=True) for each in interfaces)
        try:
            return self._paths.down(flow.prefix, sent=True) in interfaces and sent
        except Loop:
            return False

    def _words(self, flow: Flow) -> str:
        out = (self._world.now - flow.worked) / SECOND
        return f"{flow.node.name} at {flow.node.place}: session from {flow.prefix} of {flow.home} cut for {out:.0f} s"
