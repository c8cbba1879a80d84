"""The scenario drain, with real packets: fifty nodes change their home agent, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import drain, programs
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from support.capture import judged

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

MISREAD = frozenset({"12"})
"""tshark looks for the options of a Home Agent Switch within its last address."""


def test_a_home_agent_goes_out_of_service_and_sessions_go_on(tmp_path: Path) -> None:
    assert programs.missing() == [], "contrib/install-tools installs them"
    report = perform(ScenarioOptions(tmp_path), drain.topology(), lambda scene: drain.play(scene, 0.4))
    assert report.failures == []
    names = {one.name for one in report.verdicts}
    assert {"lost: the change", *(f"{program} over the change" for program in programs.TOOLS)} <= names
    told, seen = judged(tmp_path, MISREAD)
    assert seen == {"5", "6", "12"}
    assert told == set()
