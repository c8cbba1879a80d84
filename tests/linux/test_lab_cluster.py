"""Databases that share a store, with real servers: whoever dies, hosts roam on and nothing answered is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.cmd_cluster import play
from sojourn.lab.cmd_partition import play as play_partition
from sojourn.lab.registry import ScenarioOptions

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


def test_hosts_roam_while_a_database_and_then_a_server_of_the_store_die(tmp_path: Path) -> None:
    assert play(ScenarioOptions(tmp_path)).failures == []


def test_both_halves_of_a_domain_go_on_over_one_store_and_one_of_them_without_it(tmp_path: Path) -> None:
    assert play_partition(ScenarioOptions(tmp_path, json=True)).failures == []
