"""The scenario laptop, with real packets: what does not depend on the machine's load holds; tshark reads it all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import laptop, programs
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from sojourn.lab.topology import load
from support.capture import judged

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TIMES = (", by the home agent", ", direct", ", direct way after")
"""Verdicts that are times of a machine with nothing else to do: `sojourn lab run laptop` judges them."""
KNOWN_TYPES = {"1", "2", "3", "4", "5", "6"}


def test_a_laptop_keeps_its_sessions_over_all_moves(tmp_path: Path) -> None:
    assert programs.missing() == [], "contrib/install-tools installs them"
    report = perform(ScenarioOptions(tmp_path), load("laptop"), lambda scene: laptop.play(scene, 0.5))
    wrong = [one.sentence() for one in report.verdicts if not one.holds and not one.name.endswith(TIMES)]
    assert wrong == []
    names = {one.name for one in report.verdicts}
    assert {f"{program} over all moves" for program in programs.TOOLS} <= names
    assert len(report.limits) == 8
    told, seen = judged(tmp_path)
    assert seen == KNOWN_TYPES
    assert told == set()
