"""A few faults of every kind: sessions outlive them, and every kernel is as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.faults import KINDS
from sojourn.lab.soak_faults import FaultSoak
from sojourn.lab.soak_faults_options import FaultSoakOptions
from sojourn.lab.soak_faults_report import make_report

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def test_sessions_outlive_daemons_and_links(tmp_path: Path) -> None:
    options = FaultSoakOptions(tmp_path, hosts=2, routers=2, faults=4, seconds=120, seed=5, lifetime=20, json=True)
    result = FaultSoak(options).run()
    assert result.faults
    assert {one.kind for one in result.faults} <= set(KINDS)
    assert make_report(result).failures == []


def test_mobile_nodes_outlive_daemons_clocks_disks_and_links(tmp_path: Path) -> None:
    options = FaultSoakOptions(
        tmp_path, domain="mip6", hosts=4, routers=2, faults=8, at_once=2, seconds=120, seed=5, lifetime=20, json=True
    )
    result = FaultSoak(options).run()
    assert len(result.faults) >= 8
    assert make_report(result).failures == []
