"""What nodes have to remember to forward packets: entries for old prefixes, tunnels and host routes."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.evaluation.replay import Replay
from sojourn.evaluation.ways import TUNNELLED, Way


@dataclass(frozen=True, slots=True)
class State:
    """Of one way; means over time."""

    anchors: float
    """Routers that anchor something of a node which is elsewhere."""
    anchors_p99: float
    """Which 99 % of the time is not exceeded."""
    entries: float
    """In the whole domain, hosts included."""
    busiest: float
    """At the node that has most."""


def states(counted: Replay, routers: int) -> dict[Way, State]:
    """Of all ways, in a domain of `routers`.

    A central anchor keeps a tunnel for every node, its gateways as many together. Where old prefixes are tunnelled,
    anchor and serving router (or the host itself) keep an entry each. Where prefixes move, every router keeps a route
    for each. Prefixes that are idle and not retired yet are left out; sojourn's database keeps a record of each node
    beside these.
    """
    attached, window = counted.node_seconds / counted.window, counted.window
    anchored, served = counted.anchored / window, counted.served / window
    old, p99 = counted.mean_old_anchors, float(counted.old_anchors_quantile(0.99))
    away = float(anchored.sum())
    both = State(old, p99, 2 * away, float((anchored + served).max()))
    return {
        Way.CENTRAL: State(1.0, 1.0, 2 * attached, attached),
        **dict.fromkeys(TUNNELLED, both),
        Way.HOST: State(old, p99, 2 * away, float(anchored.max())),
        Way.RELOCATION: State(0.0, 0.0, routers * away, away),
    }
