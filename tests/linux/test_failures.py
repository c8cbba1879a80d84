"""What fails around a daemon, and what becomes of it then: the table of docs/operations.md, with real packets."""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from domain_of_daemons import HOST, Daemon, Domain, domain, until

from sojourn.control.client import ControlClient, ControlError

pytestmark = pytest.mark.lab

_MS_RDONLY, _MS_REMOUNT, _MNT_DETACH = 1, 32, 2
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    where = tmp_path / "disk"
    where.mkdir()
    assert _libc.mount(b"tmpfs", str(where).encode(), b"tmpfs", 0, b"size=512k") == 0, os.strerror(ctypes.get_errno())
    try:
        yield where
    finally:
        _libc.umount2(str(where).encode(), _MNT_DETACH)


@pytest.fixture
def world(tmp_path: Path, disk: Path) -> Iterator[Domain]:
    """Journals and recordings of database and first router are on `disk`."""
    with domain(tmp_path) as built:
        for name in ("cmd", "ar1"):
            for ending in ("sqlite", "jsonl"):
                built.daemons[name].edit(f"{tmp_path}/{name}.{ending}", f"{disk}/{name}.{ending}")
        yield built


def fill(disk: Path) -> Path:
    """Until nothing more goes on it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    return ballast


def kept(disk: Path, name: str) -> int:
    """Nodes in the journal of a daemon that is dead."""
    with sqlite3.connect(disk / f"{name}.sqlite") as journal:
        return int(journal.execute("SELECT count(*) FROM binding WHERE length(record) > 20").fetchone()[0])


def safe(daemon: Daemon) -> bool:
    """Whether nothing was refused for longer than it takes to try again."""
    with ControlClient(daemon.socket) as client:
        before = client.counters()
        time.sleep(1.2)
        after = client.counters()
    return all(before[name] == after[name] for name in before if name.endswith("effects-failed"))


def counted(daemon: Daemon, name: str) -> int:
    with ControlClient(daemon.socket) as client:
        return sum(count for known, count in client.counters().items() if known.endswith(name))


def lost_lines(daemon: Daemon) -> int:
    """Of its recording, by its own count; asking for a refresh gives it something to write."""
    with ControlClient(daemon.socket) as client, suppress(ControlError):
        client.command("refresh")
    return counted(daemon, "recorder:lines-lost")


def withheld(daemon: Daemon) -> int:
    """Acknowledgements that waited for its journal."""
    return counted(daemon, "answers-withheld")


def said(daemon: Daemon, *words: str) -> bool:
    return any(all(word in line for word in words) for line in daemon.log.read_text().splitlines())


def test_a_full_disk_stops_nobody_and_is_made_up_for(world: Domain, disk: Path) -> None:
    """Hosts come and are registered; the log says what is not safe, the recording which lines it lost; when there is
    room again what is true by then is stored, and a crash loses nothing."""
    world.start()
    ballast = fill(disk)
    world.roam(1)
    first = world.address("2001:db8:a100:")
    router, database = world.daemons["ar1"], world.daemons["cmd"]
    until("it is registered", lambda: [row for row in router.show("sessions") if row["confirmed"]])
    assert [row["node"] for row in database.show("bindings")] == [HOST]
    assert world.answers(first) == 3
    for daemon in (router, database):
        until("it says so", lambda daemon=daemon: said(daemon, "store-refuses", "full"))
    until("lines of the recordings are counted as lost", lambda: lost_lines(router) and lost_lines(database))
    ballast.unlink()

    for daemon in (router, database):
        until("it takes again what is to be kept", lambda daemon=daemon: said(daemon, "store-accepts"))
        until("all of it", lambda daemon=daemon: safe(daemon))
    for daemon in (router, database):
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    assert kept(disk, "ar1") == 1
    assert kept(disk, "cmd") == 1


def test_where_the_journal_is_required_a_full_disk_keeps_new_registrations_waiting(world: Domain, disk: Path) -> None:
    """The host is served, its router asks again and again, and is answered as soon as its record is safe. Whoever is
    safe already is answered as ever."""
    router, database = world.daemons["ar1"], world.daemons["cmd"]
    database.edit("store = ", "store_required = true\nstore = ")
    world.start()
    ballast = fill(disk)
    world.roam(1)
    first = world.address("2001:db8:a100:")
    until("it is not acknowledged", lambda: withheld(database) >= 2)
    assert [row["confirmed"] for row in router.show("sessions")] == [False]
    assert world.answers(first) == 3
    assert said(database, "store-refuses", "what is new is not acknowledged")
    ballast.unlink()
    until("it is", lambda: [row for row in router.show("sessions") if row["confirmed"]])

    ballast = fill(disk)
    waited, sent = withheld(database), counted(database, "socket:sent")
    with ControlClient(router.socket) as client:
        client.command("refresh")
    until("it is answered", lambda: counted(database, "socket:sent") > sent)
    assert withheld(database) == waited
    assert database.stop(signal.SIGKILL) == -signal.SIGKILL
    ballast.unlink()
    assert kept(disk, "cmd") == 1


def test_a_disk_that_may_not_be_written_to_is_named_at_the_start(world: Domain, disk: Path) -> None:
    daemon = world.daemons["ar1"]
    before = world.routers[0].kernel()
    assert _libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", _MS_REMOUNT | _MS_RDONLY, None) == 0
    code, words = daemon.refusal()
    assert code in (1, 2)
    assert str(disk) in words
    assert "Traceback" not in words
    assert world.routers[0].kernel() == before
