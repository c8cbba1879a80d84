"""What a scene says while it plays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sojourn.lab.lab import Lab
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.traffic import Traffic


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    lab: Any = SimpleNamespace(mark=lambda words: None, topology=SimpleNamespace(access_routers=()))
    return Scene(cast(Lab, lab), cast(Traffic, None), ScenarioOptions(tmp_path))


def test_a_phase_that_is_named_after_what_happened_before_it_is_said_once(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    scene.phase("all is well", 0.0)
    at = scene.happens("a router is dark", lambda: done.append("dark"))
    scene.phase("a router is dark", 0.0)
    assert capsys.readouterr().out.splitlines() == ["all is well", "a router is dark"]
    assert done == ["dark"]
    assert at < scene.window("a router is dark").start


def test_a_phase_that_comes_again_is_said_again(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.phase("nobody moves", 0.0)
    scene.say("a host moves")
    scene.phase("nobody moves", 0.0)
    assert capsys.readouterr().out.splitlines() == ["nobody moves", "a host moves", "nobody moves"]
