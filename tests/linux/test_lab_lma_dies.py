"""The scenario lma-dies, with a real store: two LMAs for one address, of which one dies in several ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.lma_dies import play
from sojourn.lab.registry import ScenarioOptions

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


def test_sessions_outlive_the_active_lma_and_a_server_of_its_store(tmp_path: Path) -> None:
    assert play(ScenarioOptions(tmp_path), 0.3).failures == []
