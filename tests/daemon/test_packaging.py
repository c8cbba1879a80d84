"""The systemd unit says what the daemon does."""

from __future__ import annotations

import configparser
import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from sojourn.daemon.daemon import WRONG, notify

UNIT = Path(__file__).parents[2] / "packaging" / "sojourn@.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_waits_for_the_word_and_restarts_what_failed(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "30s"
    assert service["ExecStart"].endswith("sojourn run /etc/sojourn/%i.toml")
    assert service["KillMode"] == "process", "what outlives the daemon is not to be killed with it"
    assert service["Restart"] == "on-failure"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "systemd would give up after five deaths in ten seconds"
    assert service["RestartPreventExitStatus"] == str(WRONG)
    assert set(service["CapabilityBoundingSet"].split()) == {"CAP_NET_ADMIN", "CAP_NET_RAW"}


@pytest.mark.parametrize(
    ("job", "said"), [("restart", ["leaves"]), ("stop", []), ("", [])], ids=["restart", "stop", "another unit"]
)
def test_a_restart_is_told_from_a_stop(
    job: str, said: list[str], unit: configparser.ConfigParser, tmp_path: Path
) -> None:
    """What the unit runs before SIGTERM, with a systemctl that lists jobs as systemd 252 to 257 do."""
    listed = f"19 sojourn@ar1.service {job} running\n" if job else ""
    (tmp_path / "systemctl").write_text(
        "#!/bin/sh\n"
        '[ "$*" = "list-jobs --plain --no-legend" ] || exit 9\n'
        f"printf '7 sojourn@ar.service restart waiting\n8 other.service restart running\n{listed}'\n"
    )
    (tmp_path / "systemctl").chmod(0o755)
    program, flag, script, name = shlex.split(unit["Service"]["ExecStop"])
    assert (program, flag, name) == ("/bin/sh", "-c", "%n")
    waiting = 'trap "echo leaves; exit" USR1; echo ready; while :; do sleep 0.02; done'
    with subprocess.Popen(["/bin/sh", "-c", waiting], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MAINPID": str(daemon.pid)}
        command = [program, flag, script.replace("$$", "$"), "sojourn@ar1.service"]
        assert subprocess.run(command, env=environment, check=False).returncode == 0
        if not said:
            daemon.terminate()
        assert daemon.stdout.read().split() == said


@pytest.mark.parametrize("abstract", [False, True])
def test_the_daemon_says_the_word(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"\0sojourn-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        notify("READY=1", "STATUS=running")
        assert systemd.recv(100) == b"READY=1\nSTATUS=running"


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
