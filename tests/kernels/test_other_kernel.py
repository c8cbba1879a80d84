"""``make test-kernels``: the other kernel runs what it is told, harms nothing, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

RUN = [sys.executable, str(Path(__file__).with_name("run.py"))]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "CI": "", **environment}
    return subprocess.run([*RUN, *command], capture_output=True, text=True, env=known, check=False)


def test_a_command_runs_on_another_kernel_which_cannot_write_here(tmp_path: Path) -> None:
    here = os.uname().release
    script = f"uname -r; id -u; ls -1 /sys/class/net; touch {tmp_path}/trace 2>&- || echo refused; exit 7"
    done = run("sh", "-c", script)
    assert done.returncode == 7, done.stderr
    release, user, *interfaces, refused = done.stdout.split("\n")[:-1]
    assert release != here
    assert user == "0"
    assert "lo" in interfaces
    assert "eth0" not in interfaces
    assert refused == "refused"
    assert list(tmp_path.iterdir()) == []


def processes(mark: str) -> set[int]:
    """Those that have `mark` in their environment."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (directory / "environ").read_bytes():
                found.add(int(directory.name))
        except OSError:
            continue  # it ended
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_whatever_kills_it_leaves_nothing(number: signal.Signals) -> None:
    mark = f"guest-of-{number.name}-{os.getpid()}"
    guest = subprocess.Popen(
        [*RUN, "sh", "-c", "echo up; sleep 60"],
        env={**os.environ, "SOJOURN_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert guest.stdout is not None
    with guest.stdout:
        assert guest.stdout.readline() == b"up\n"
        assert len(processes(mark)) > 2  # this side of the sandbox, its inside, the kernel
        guest.send_signal(number)
        assert guest.wait(10) != 0
    for _ in range(100):
        if not processes(mark):
            break
        time.sleep(0.05)
    assert processes(mark) == set()
    assert not {"order", "kernel.log", "uml"} & {path.name for path in Path("/dev/shm").iterdir()}


def test_a_missing_kernel_is_said_and_in_ci_is_a_failure() -> None:
    for ci, status in (("", 0), ("true", 1)):
        done = run("true", UML="linux.not-here", CI=ci)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr == "not run on another kernel: no linux.not-here here: apt install user-mode-linux\n"


def test_a_kernel_that_dies_is_a_failure() -> None:
    done = run("true", UML="/bin/true")
    assert done.returncode == 1
    assert "the guest kernel ended without a status (0)" in done.stderr
