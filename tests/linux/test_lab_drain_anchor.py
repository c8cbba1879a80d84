"""An anchor of a distributed domain goes out of service, and nobody notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.drain_anchor import play
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from sojourn.lab.topology import load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


def test_an_anchor_that_drained_is_missed_by_nobody(tmp_path: Path) -> None:
    report = perform(ScenarioOptions(tmp_path, json=True), load("drain-anchor"), lambda scene: play(scene, dwell=0.5))
    assert report.failures == []
