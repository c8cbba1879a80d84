"""The scenario bus, with real packets and a real Kea: what does not depend on the machine's load holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import bus, kea, programs
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from support.capture import judged

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TIMES = ("interrupted", "silence")
"""In verdicts on times of a machine with nothing else to do: `sojourn lab run bus` judges them."""


def test_networks_move_with_their_vehicles_and_lose_nothing_that_was_announced(tmp_path: Path) -> None:
    assert kea.installed(), "contrib/install-tools installs kea-dhcp6-server"
    assert programs.missing() == [], "contrib/install-tools installs them"
    report = perform(ScenarioOptions(tmp_path), bus.topology(), lambda scene: bus.play(scene, 0.4))
    timed = [one for one in report.verdicts if any(word in one.name for word in TIMES)]
    assert [one.sentence() for one in report.verdicts if not one.holds and one not in timed] == []
    assert len(timed) == 3
    names = {one.name for one in report.verdicts}
    assert {f"{program} over all moves of the bus" for program in programs.TOOLS} <= names
    assert "DHCP6_PD_LEASE_ALLOC" in (tmp_path / "kea" / "log").read_text()
    told, seen = judged(tmp_path)
    assert seen == {"5", "6"}
    assert told == set()
