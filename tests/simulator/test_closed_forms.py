"""The simulator against the closed forms of `standards.md` 7.2 to 7.4, within 3 %.

Nodes go to any of many places, so that they hardly ever come back; all times are exponential. n_HO and phi are those of
the standards sheet. Messages are those that the engines send: the router just left always anchors the prefix that the
node had there, in use or not, so k = 1 + n_rand + mu hold routers are contacted (the last part are prefixes that are
idle and have not retired yet), and each handover leaves one prefix behind that retires some day, with four messages:

    proxy, relay   2 + 2 k + 4          locator   1 + 3 k + 4 + 2 e^(-3 s mu), with the refresh after 3 s

The seeds are fixed: what is compared is always the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sojourn.evaluation.models.anchors import (
    anchors_at_handover,
    contacted,
    old_anchors,
    tunnelled_share_exponential,
)
from sojourn.evaluation.models.signalling import sojourn_locator, sojourn_relay_or_proxy
from sojourn.sim.figures import Reckoning
from sojourn.sim.itinerary import understand
from sojourn.sim.run import simulate
from sojourn.sim.scenario import Scenario
from support.simulations import scenario

WITHIN = 0.03
SESSION = 60.0
POINTS = [(kappa, rho) for kappa in (0.3, 1.0, 3.0) for rho in (1.0, 2.0, 5.0)]
FEW_POINTS = [(0.3, 1.0), (0.3, 5.0), (1.0, 2.0), (3.0, 1.0), (3.0, 5.0)]
SCENARIO = """\
duration = "40m"
warm_up = "12m"
[topology.star]
places = 400
delay = "2ms"
[protocol]
mode = "{mode}"
[mobility]
nodes = {nodes}
[mobility.walk]
dwell = {dwell}
[sessions.one]
every = {every}
lasting = 60
"""


def point(folder: Path, kappa: float, rho: float, mode: str, handovers: int) -> Scenario:
    """A scenario with about so many handovers."""
    dwell = SESSION / kappa
    nodes = round(handovers * dwell / (28 * 60))
    return scenario(folder, SCENARIO.format(mode=mode, nodes=nodes, dwell=dwell, every=SESSION / rho))


def simulated(one: Scenario) -> dict[str, Any]:
    """The summary."""
    topology = one.topology()
    return simulate(topology, one.workload(topology), one.settings, seed=1, jobs=1, warm_up=one.warm_up)


@pytest.mark.parametrize(("kappa", "rho"), POINTS)
def test_anchors_and_tunnels_are_those_of_the_closed_forms(tmp_path: Path, kappa: float, rho: float) -> None:
    """Of 20,000 handovers; what the simulator says without asking the engines."""
    one = point(tmp_path, kappa, rho, "proxy", 20_000)
    topology, workload = one.topology(), one.workload(one.topology())
    stream = workload.shard(0, workload.nodes)
    itinerary = understand(stream, one.duration, one.settings.idle_hold)
    reckoning = Reckoning(itinerary, topology, warm_up=one.warm_up, end=one.duration)
    reckoning.sessions()
    reckoning.anchors()
    figures = reckoning.figures
    attached = workload.nodes * (one.duration - one.warm_up)
    assert figures.anchors_at_handover.mean == pytest.approx(anchors_at_handover(kappa, rho), rel=WITHIN)
    assert figures.old_anchors / attached == pytest.approx(old_anchors(kappa, rho), rel=WITHIN)
    share = figures.tunnelled_time / figures.session_time
    assert share == pytest.approx(tunnelled_share_exponential(kappa), rel=WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize(("kappa", "rho"), FEW_POINTS)
def test_messages_are_those_of_the_closed_forms(tmp_path: Path, kappa: float, rho: float) -> None:
    """Of the engines in proxy mode, with 4,000 handovers."""
    found = simulated(point(tmp_path, kappa, rho, "proxy", 4_000))
    told = contacted(kappa, rho, kappa / SESSION, 1.0)
    assert found["contacted"]["mean"] == pytest.approx(told, rel=WITHIN)
    assert found["messages_per_handover"]["mean"] == pytest.approx(2 + 2 * told, rel=WITHIN)
    assert found["signalling"]["messages_per_handover"] == pytest.approx(sojourn_relay_or_proxy(told), rel=WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["relay", "locator"])
def test_messages_of_the_other_modes_too(tmp_path: Path, mode: str) -> None:
    kappa, rho = 1.0, 1.0
    found = simulated(point(tmp_path, kappa, rho, mode, 1_500))
    mu = kappa / SESSION
    told = contacted(kappa, rho, mu, 1.0)
    expected = sojourn_relay_or_proxy(told) if mode == "relay" else sojourn_locator(told, mu)
    assert found["signalling"]["messages_per_handover"] == pytest.approx(expected, rel=WITHIN)
