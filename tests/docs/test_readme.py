"""README is commands that run; here they do."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONSOLE = [
    line.removeprefix("$ ").partition("  #")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("$ ")
]
TOML = re.findall(r"```toml\n(.*?)```", README, re.S)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "80"}
    return subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_its_two_commands_are_targets_of_the_makefile() -> None:
    assert CONSOLE[:2] == ["make demo", "make test"]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {command.split()[1] for command in CONSOLE if command.startswith("make ")} <= targets


def test_its_configuration_is_right(tmp_path: Path) -> None:
    assert TOML
    for number, text in enumerate(TOML):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        checked = run(f"sojourn check --offline {file}", ROOT)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_its_links_lead_somewhere() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
            assert "://" in target or (ROOT / target).exists(), target


@pytest.mark.lab
def test_its_commands_run_in_the_order_in_which_they_stand(tmp_path: Path) -> None:
    commands = [command for command in CONSOLE if command.startswith("sojourn ")]
    assert "sojourn lab up walk" in commands
    try:
        for command in commands:
            done = run(command.replace("docs/", f"{ROOT}/docs/"), tmp_path)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    finally:
        run("sojourn lab down", tmp_path)
