"""Stores keep what they were given, and say clearly when they cannot."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.stores import MemoryStore, SqliteStore, Store, StoreError

Open = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store again, as a restarted daemon does."""
    if request.param == "memory":
        store = MemoryStore()
        return lambda: store
    return lambda: SqliteStore(tmp_path / "bindings.sqlite")


def test_a_new_store_is_empty(open_store: Open) -> None:
    store = open_store()
    assert list(store.load()) == []
    store.close()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bindings.sqlite"
    store = SqliteStore(path)
    store.apply([StoreBinding(b"a", b"1")])
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bindings.sqlite"
    store = SqliteStore(path)
    program = "import sys; from sojourn.stores import SqliteStore; SqliteStore(sys.argv[1])"
    second = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert f"StoreError: {path}: is in use by another process; stop that one" in second.stderr
    store.apply([StoreBinding(b"a", b"1")])
    store.close()
    SqliteStore(path).close()


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "bindings.sqlite")
    with pytest.raises(StoreError, match="in use"):
        SqliteStore(tmp_path / "bindings.sqlite")
    store.close()


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database" * 100)
    with pytest.raises(StoreError, match=r"notes\.txt: is not a database; name another file"):
        SqliteStore(path)
    assert path.read_text() == "this is not a database" * 100


def test_a_database_of_something_else_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE song (title TEXT)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="database of something else"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_another_layout_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bindings.sqlite"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="layout 99"):
        SqliteStore(path)


def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "bindings.sqlite"
    store = SqliteStore(path)
    store.apply([StoreBinding(number.to_bytes(4, "big"), bytes(200)) for number in range(500)])
    store.close()
    octets = bytearray(path.read_bytes())
    octets[8192:16384] = os.urandom(8192)
    path.write_bytes(octets)
    with pytest.raises(StoreError, match=r"is damaged.*move it away") as caught:
        SqliteStore(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("place", ["missing/bindings.sqlite", "."])
def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match=str(tmp_path)):
        SqliteStore(tmp_path / place)


def test_a_full_disk_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "bindings.sqlite")
    store.apply([StoreBinding(b"a", b"1")])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full") as caught:
        store.apply([StoreBinding(b"a", b"2"), StoreBinding(b"b", bytes(100_000))])
    assert caught.value.errno == 28
    assert list(store.load()) == [(b"a", b"1")], "all or nothing"
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.apply([StoreBinding(b"b", b"1")])
    store.close()


_WRITER = """
import sys
from sojourn.core.effects import StoreBinding, DeleteBinding
from sojourn.stores import SqliteStore
store = SqliteStore(sys.argv[1])
number = int(dict(store.load()).get(b"left", b"0"))
while True:
    number += 1
    value = str(number).encode()
    store.apply([StoreBinding(b"left", value), StoreBinding(b"n" + value, bytes(300)),
                 DeleteBinding(b"n" + str(number - 50).encode()), StoreBinding(b"right", value)])
    print(number, flush=True)
"""


def test_a_file_is_as_large_as_what_is_in_it(tmp_path: Path) -> None:
    """Nodes change for a long time, and most of them leave: neither file nor log keeps the size that they had."""
    path = tmp_path / "bindings.sqlite"

    def octets() -> int:
        return sum(file.stat().st_size for file in tmp_path.iterdir())

    def keys(first: int, last: int) -> list[bytes]:
        return [b"%06d" % number for number in range(first, last)]

    store = SqliteStore(path)
    sizes = []
    for life in range(6):
        for first in range(0, 20_000, 500):
            store.apply([StoreBinding(key, bytes([life]) * 110) for key in keys(first, first + 500)])
        sizes.append(octets())
    assert sizes[-1] <= 1.1 * sizes[1], "what is written again takes the place of what was there"
    for first in range(1000, 20_000, 500):
        store.apply([DeleteBinding(key) for key in keys(first, first + 500)])
    store.close()
    assert octets() < sizes[0] / 3
    store = SqliteStore(path)
    assert list(store.load()) == [(key, bytes([5]) * 110) for key in keys(0, 1000)]
    store.close()


@pytest.mark.parametrize("made_before", [False, True])
def test_a_full_disk_keeps_a_file_large_and_nothing_else(
    tmp_path: Path, made_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing can be given back is no failure of what was stored; files of earlier versions never do."""
    monkeypatch.setattr("sojourn.stores.sqlite._LOOK", 1)
    path = tmp_path / "bindings.sqlite"
    if made_before:
        with contextlib.closing(sqlite3.connect(path)) as old:
            old.execute("CREATE TABLE binding (key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID")
            old.execute("PRAGMA application_id = 0x736F6A6E")
            old.execute("PRAGMA user_version = 1")
    store = SqliteStore(path)
    store.apply([StoreBinding(b"%d" % number, bytes(2000)) for number in range(100)])
    if not made_before:
        monkeypatch.setattr(SqliteStore, "_compact", lambda _: refuse())
    store.apply([DeleteBinding(b"%d" % number) for number in range(99)])
    store.close()
    store = SqliteStore(path)
    assert list(store.load()) == [(b"99", bytes(2000))]
    store.close()


def refuse() -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_killed_at_any_point_it_holds_every_answered_transaction_and_no_half_one(tmp_path: Path) -> None:
    path = tmp_path / "bindings.sqlite"
    for lines in (1, 3, 30, 100, 7):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        answered = 0
        for _ in range(lines):
            answered = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")  # what it still answered before it died
        answered = max([answered, *[int(line) for line in rest[:-1]]])
        writer.wait()
        writer.stdout.close()
        store = SqliteStore(path)
        records = dict(store.load())
        store.close()
        assert records[b"left"] == records[b"right"]
        assert int(records[b"left"]) in (answered, answered + 1)
