"""The lab without any privilege: a real user who is not root, nothing but Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sojourn

_NOBODY = 65534
_TOPOLOGY = """
mobility = false
[nodes]
core = "router"
ar1 = "access-router"
ar2 = "access-router"
mn = { kind = "host", at = "ar1" }
[links]
core.ar1 = "2ms"
core.ar2 = 0
[roam]
every = "50ms"
mn = ["ar2"]
"""


def _open_to_everybody(file: Path) -> bool:
    resolved = file.resolve()
    return resolved.exists() and all(path.stat().st_mode & 0o001 for path in (resolved, *resolved.parents))


def _python() -> str:
    """A Python of our version that every user may run; ours may lie in root's home directory."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if _open_to_everybody(Path(candidate)):
            return candidate
    pytest.fail(f"no Python {version} that users other than root can run; install python{version}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the other user owns; pytest's own are root's alone."""
    directory = Path(tempfile.mkdtemp(prefix="sojourn-unprivileged-"))
    (directory / "small.toml").write_text(_TOPOLOGY)
    if os.geteuid() == 0:
        os.chown(directory, _NOBODY, _NOBODY)
    yield directory
    shutil.rmtree(directory)


def test_a_user_who_is_not_root_runs_a_lab(place: Path) -> None:
    source = Path(sojourn.__file__).parents[1]
    packages = [entry for entry in sys.path if entry.endswith("site-packages")]
    done = subprocess.run(
        [_python(), "-m", "sojourn.cli.main", "lab", "run", "small.toml", "--output", "out", "--json"],
        cwd=place,
        env={"PATH": "/nonexistent", "PYTHONPATH": os.pathsep.join([str(source), *packages]), "HOME": str(place)},
        user=_NOBODY if os.geteuid() == 0 else None,
        group=_NOBODY if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(step["from"], step["to"]) for step in report["steps"]] == [("ar1", "ar2")]
    assert (place / "out" / "report.json").stat().st_uid == (_NOBODY if os.geteuid() == 0 else os.geteuid())
