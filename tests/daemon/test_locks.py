"""Locks: exclusive, gone with their holder, and not to be had by others."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.control import server
from sojourn.control.locks import FileLock, Held
from sojourn.control.server import ControlServer, SocketTaken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


def test_only_one_has_it_and_nothing_is_left(path: Path) -> None:
    first = FileLock(path)
    with pytest.raises(Held):
        FileLock(path)
    first.close()
    assert not path.exists()
    FileLock(path).close()


def test_it_is_gone_with_the_process_that_held_it(path: Path) -> None:
    code = (
        f"from sojourn.control.locks import FileLock; lock = FileLock({str(path)!r}); print('mine', flush=1); input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    with pytest.raises(Held):
        FileLock(path)
    holder.kill()
    holder.communicate()
    assert path.exists()
    FileLock(path).close()


def test_nobody_else_can_open_it(path: Path) -> None:
    lock = FileLock(path)
    assert path.stat().st_mode & 0o777 == 0o600
    lock.close()


@pytest.mark.parametrize("kind", ["readable by others", "link", "pipe"])
def test_what_somebody_put_in_its_place_is_removed(path: Path, kind: str) -> None:
    """He would hold the lock of a file of his own for as long as he likes."""
    target = path.with_name("target")
    target.write_text("precious")
    match kind:
        case "link":
            path.symlink_to(target)
        case "pipe":
            os.mkfifo(path, 0o644)
        case _:
            path.touch(0o644)
    with target.open() if kind != "readable by others" else path.open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        FileLock(path).close()
    assert target.read_text() == "precious"


def test_a_directory_that_somebody_locked_stops_nobody(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    taken = ControlServer(tmp_path / "control.sock")
    taken.take()
    assert taken._listener is not None
    taken._listener.close()
    os.close(descriptor)


def test_a_start_does_not_wait_for_another_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOOKING", 0.1)
    lock = FileLock(tmp_path / ".sojourn.lock")
    with pytest.raises(SocketTaken, match="is locked by another process"):
        ControlServer(tmp_path / "control.sock").take()
    lock.close()
