"""The scenarios no-cmd, cmd-dies and partition: what does not depend on the database, and what waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.lab import Lab
from sojourn.lab.outages import PATIENCE, play_cmd_dies, play_no_cmd, play_partition
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.topology import load
from sojourn.lab.traffic import Traffic

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


def test_routers_tell_each_other_without_a_database_and_tell_one_afterwards(tmp_path: Path) -> None:
    assert play_no_cmd(ScenarioOptions(tmp_path, json=True), rounds=1).failures == []


def test_sessions_outlive_a_database_that_dies_and_one_that_is_cut_off(tmp_path: Path) -> None:
    """In one lab, one after the other."""
    topology, options = load("cmd-dies"), ScenarioOptions(tmp_path, json=True)
    with Lab(topology, tmp_path) as lab:
        places = {name: lab.nodes[name].namespace.descriptor for name in (*topology.hosts, "server")}
        for play in (play_cmd_dies, play_partition):
            with Traffic(places, patience=PATIENCE) as traffic:
                report = play(Scene(lab, traffic, options), 0.3)
            assert report.failures == []
