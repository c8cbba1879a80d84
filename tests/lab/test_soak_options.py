"""What the soak takes on its command line, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.soak import SoakOptions, soak, soak_topology


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"mode": "direct"}, "--mode"),
        ({"hosts": "0"}, "--hosts"),
        ({"hosts": "many"}, "--hosts"),
        ({"roams": "-1"}, "--roams"),
        ({"speed": "1"}, "--speed"),
    ],
)
def test_wrong_options_are_refused_by_name(
    extra: dict[str, str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak(ScenarioOptions(tmp_path, extra=extra)) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("buffer", [False, True])
def test_the_topology_of_a_soak_is_one_that_a_file_could_hold(buffer: bool, tmp_path: Path) -> None:
    topology = soak_topology(SoakOptions(tmp_path, hosts=12, routers=5, mode="locator", buffer=buffer))
    assert len(topology.hosts) == 12
    assert topology.access_routers == ["ar1", "ar2", "ar3", "ar4", "ar5"]
    assert topology.mode == "locator"
    assert topology.maar["buffer"] is buffer
    assert topology.delay("ar1", "cmd") == 15_000_000
