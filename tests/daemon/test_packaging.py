"""The systemd unit says what the daemon does."""

from __future__ import annotations

import configparser
import os
import socket
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
    assert service["ExecStart"].endswith("sojourn run /etc/sojourn/%i.toml")
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(WRONG)
    assert set(service["CapabilityBoundingSet"].split()) == {"CAP_NET_ADMIN", "CAP_NET_RAW"}


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
