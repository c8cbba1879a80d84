"""Roles are restarted as systemd restarts them, under traffic, and not a packet is lost.

Those of a distributed domain: `test_daemon_lives.test_a_stop_for_a_successor_leaves_forwarding`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.upgrade import play

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.mark.parametrize("domain", ["pmip", "mobile"])
def test_a_restart_of_any_role_loses_no_packet(domain: str, tmp_path: Path) -> None:
    report = play(ScenarioOptions(tmp_path, json=True), [domain], settles=0.3)
    assert report.failures == []
    groups = [one for one in report.verdicts if "lost of a group" in one.name]
    assert len(groups) == (2 if domain == "pmip" else 0)
    roles = {"pmip": ["lma", "mag"], "mobile": ["ha", "mn", "cn"]}[domain]
    assert [row[0] for row in report.tables[0].rows] == roles
