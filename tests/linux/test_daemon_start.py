"""What keeps a daemon from starting, so that nothing of it is left: files, rights, other daemons, the kernel."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from domain_of_daemons import Daemon, Domain

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_PR_CAPBSET_DROP, _CAP_NET_RAW = 24, 13


def test_a_wrong_file_starts_nothing(world: Domain) -> None:
    """Exit code 2, the file, the line and the key are named, and the kernel is untouched."""
    daemon = world.daemons["ar1"]
    before = world.routers[0].kernel()
    daemon.edit('"2001:db8:a1::1"', '"2001:db8:dead::1"')
    daemon.edit('"acc0"', '"acc7"')
    code, words = daemon.refusal()
    assert code == 2
    assert f"{daemon.file}:8: maar.address: 2001:db8:dead::1 is not an address of this machine" in words
    assert "maar.access[0]: there is no interface 'acc7'" in words
    assert world.routers[0].kernel() == before
    assert not Path(daemon.socket).exists()
    assert not daemon.file.with_suffix(".sqlite").exists()


def test_a_second_daemon_is_refused(world: Domain) -> None:
    """On the same socket, on the same store, or in the same network namespace: exit code 1 and a sentence."""
    world.daemons["cmd"].start()
    first = world.daemons["ar1"]
    first.start()
    kernel = world.routers[0].kernel()
    directory = first.file.parent

    def second(*edits: tuple[str, str]) -> str:
        other = Daemon(world.routers[0], directory, first.file.read_text())
        other.file = directory / "second.toml"
        other.file.write_text(first.file.read_text())
        for old, new in edits:
            other.edit(old, new)
        code, words = other.refusal()
        assert code == 1, words
        assert world.routers[0].kernel() == kernel
        return words

    assert "another daemon is running with the control socket" in second()
    words = second(("ar1.sock", "other.sock"))
    assert "ar1.sqlite: is in use by another process" in words
    assert not (directory / "other.sock").exists()
    words = second(("ar1.sock", "other.sock"), ("ar1.sqlite", "other.sqlite"))
    assert "a role that forwards (maar, mag or lma) is running on this machine already" in words
    (directory / "elsewhere").mkdir()
    words = second(("ar1.sock", "elsewhere/other.sock"), ("ar1.sqlite", "elsewhere/other.sqlite"))
    assert "a role that forwards (maar, mag or lma) is running on this machine already" in words
    assert first._ready(), "the first daemon goes on"


def test_another_user_cannot_keep_it_from_starting(world: Domain, tmp_path: Path) -> None:
    """By what everybody may do: bind an abstract socket, lock a directory or a file that he may read."""
    names = ("sojourn/maar", "sojourn/cmd/2001:db8:c::1")
    with ExitStack() as theirs:
        for machine, name in zip((world.routers[0], world.cmd), names, strict=True):
            with machine.namespace.entered():
                squatter = theirs.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            squatter.bind(f"\0{name}")
        for path in (tmp_path, Path("/proc/self/ns/net"), world.daemons["ar1"].file):
            descriptor = os.open(path, os.O_RDONLY)
            theirs.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        world.daemons["cmd"].start()
        world.daemons["ar1"].start()
    assert [world.daemons[name].stop() for name in ("ar1", "cmd")] == [0, 0]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".lock")] == []


def test_without_the_right_to_raw_sockets(world: Domain) -> None:
    """A sentence and exit code 1; the kernel is as before."""
    daemon = world.daemons["ar1"]
    before = world.routers[0].kernel()
    libc = ctypes.CDLL(None, use_errno=True)

    def drop() -> None:
        if libc.prctl(_PR_CAPBSET_DROP, _CAP_NET_RAW, 0, 0, 0) != 0:
            os._exit(99)

    code, words = daemon.refusal(drop)
    assert code == 1
    assert "CAP_NET_RAW" in words
    assert "Traceback" not in words
    assert world.routers[0].kernel() == before


def test_a_kernel_that_refuses_at_the_start(world: Domain) -> None:
    """The rule for `local` stands where it cannot be passed: exit code 1, and the kernel as before."""
    router = world.routers[0]
    router.run("ip -6 rule add pref 5 lookup local")
    before = router.kernel()
    code, words = world.daemons["ar1"].refusal()
    assert code == 1
    assert "the rule for table local must stand after" in words
    assert "Traceback" not in words
    assert router.kernel() == before


def test_stale_socket_is_taken_over_and_a_file_is_not(world: Domain) -> None:
    daemon = world.daemons["cmd"]
    daemon.start()
    daemon.stop(signal.SIGKILL)
    assert Path(daemon.socket).exists()
    daemon.start()
    assert daemon.stop() == 0
    Path(daemon.socket).write_text("precious")
    code, words = daemon.refusal()
    assert code == 1
    assert "is there and is no socket" in words
    assert Path(daemon.socket).read_text() == "precious"


def test_other_numbers_of_the_kernel(world: Domain) -> None:
    """Where somebody else uses our tables and priorities, they can be moved, and go again at the end."""
    router = world.routers[0]
    before = router.kernel()
    daemon = world.daemons["ar1"]
    kernel = '[maar.kernel]\nloop = ["dmm0", "dmm1"]\nfirst_table = 1000\nfirst_priority = 200\n'
    daemon.edit("[[maar.peers]]", kernel + "[[maar.peers]]")
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert world.answers(first) == 3
    assert "lookup 1004" in router.kernel()["rules"]
    assert daemon.stop() == 0
    assert router.kernel() == before
