"""The scenarios takeover and anchor-dies, in one lab: anchors die, with and without a partner."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.lab import Lab
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.takeover import play_anchor_dies, play_takeover, takeover_topology
from sojourn.lab.traffic import Traffic
from sojourn.wire.units import SECOND

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.mark.parametrize("mode", ["proxy", "direct"])
def test_sessions_outlive_an_anchor_with_a_partner_and_nodes_hear_of_the_end_of_one_without(
    mode: str, tmp_path: Path
) -> None:
    topology, options = takeover_topology(mode), ScenarioOptions(tmp_path)
    shorter = {**topology.maar, "liveness": {"interval": "250ms", "misses": 3, "hold": "1s"}}
    with Lab(topology.model_copy(update={"maar": shorter}), tmp_path) as lab:
        places = {name: lab.nodes[name].namespace.descriptor for name in (*topology.hosts, "server")}
        for play in (play_takeover, play_anchor_dies):
            with Traffic(places, patience=10 * SECOND) as traffic:
                report = play(Scene(lab, traffic, options), 0.3)
            assert report.failures == []
