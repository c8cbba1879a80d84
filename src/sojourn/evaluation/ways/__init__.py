"""What each way of managing mobility costs, for moves and sessions that were counted (`sojourn.evaluation.replay`).

Latency, signalling, traffic and state have a module each. All take the distances of the topology and the counts of one
run, and apply the formulas of `sojourn.evaluation.models` to every move instead of to a mean one.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.topology import Topology
from sojourn.wire.units import MILLISECOND


class Way(StrEnum):
    """How old sessions follow a node."""

    CENTRAL = "central"
    """PMIPv6 (RFC 5213): one anchor for all nodes, all traffic through it."""
    RELAY = "relay"
    """RFC 8885 3.2: the database gathers the answers of the old anchors."""
    PROXY = "proxy"
    """RFC 8885 3.4: it answers at once and tells them in parallel."""
    LOCATOR = "locator"
    """RFC 8885 3.3: the old anchors answer the serving router."""
    DIRECT = "direct"
    """The serving router asks the one just left, which names the other old anchors, and these itself."""
    RELOCATION = "relocation"
    """RFC 8818 4.3: the prefix moves with the node, as a route that every router of the domain learns."""
    HOST = "host"
    """RFC 8818 with Mobile IPv6: the host keeps a binding at each old anchor, over the wireless link."""


DATABASE = (Way.RELAY, Way.PROXY, Way.LOCATOR)
"""A central database without user traffic."""
SIMULATED = (Way.CENTRAL, *DATABASE, Way.DIRECT, Way.HOST)
"""Ways for which sojourn has engines."""
TUNNELLED = (*DATABASE, Way.DIRECT, Way.HOST)
"""Ways in which old sessions go through their old anchor."""


def distances(topology: Topology) -> NDArray[np.float64]:
    """ms between places, the mean of both directions."""
    return np.asarray((topology.delay + topology.delay.T) / (2 * MILLISECOND))
