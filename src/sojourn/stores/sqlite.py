"""Records in one SQLite file.

Write-ahead log with ``synchronous=FULL``: a transaction that was answered is on the disk, and a process that
dies at any point leaves the file as it was after its last transaction. The connection keeps the file locked
for as long as it lives (``locking_mode=EXCLUSIVE``), so that two daemons never believe to own the same
bindings; the kernel takes the lock away from a process that is killed. Every file carries our application
number and the version of its layout.

Pages of records that are gone are used again, and when more than half of a file is such pages, they are given back, a
few at a time. A file that was made without that (``auto_vacuum``) keeps the size that it once had.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from sojourn.core.effects import CheckBinding, DeleteBinding, StoreBinding, StoreEffect
from sojourn.stores.base import StoreError

APPLICATION = 0x736F6A6E
"""``sojn``: `file` and we recognise our own files by it."""
VERSION = 1
"""The layout of the tables; raised with every change to it."""

_START_EMPTY = "move it away (with its -wal) and start again: bindings come back from the routers of the domain"
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
_LOG_LIMIT = 16 << 20
"""Octets of the write-ahead log that stay after it was folded into the file."""
_LOOK = 1024
"""Deletions between two looks at whether the file is more room than records ..."""
_GIVEN_BACK = 128
"""... and so many pages of it are given back then, some milliseconds; more than those deletions can have freed."""
_UPSERT = "INSERT INTO binding (key, record) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET record = excluded.record"


class SqliteStore:
    """The file at `path`, made when missing. Raises StoreError when it is not ours, damaged, or in use."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._deleted = 0
        created = self._touch()
        try:
            self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise self._explain(error) from error
        except StoreError:
            self._connection.close()
            raise
        if created:
            self._sync_directory()

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """All (key, record) pairs, in the order of the keys."""
        try:
            return self._connection.execute("SELECT key, record FROM binding ORDER BY key").fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        """Carry out all of `effects` in one transaction; of several for one key only the last is written."""
        last: dict[bytes, bytes | None] = {}
        for effect in effects:
            match effect:
                case StoreBinding():
                    last[effect.key] = effect.record
                case DeleteBinding():
                    last[effect.key] = None
                case CheckBinding():
                    pass  # the file is locked: nobody else changed anything
                case _:
                    assert_never(effect)
        if not last:
            return
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_UPSERT, [pair for pair in last.items() if pair[1] is not None])
            connection.executemany(
                "DELETE FROM binding WHERE key = ?",
                [(key,) for key, record in last.items() if record is None],
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._explain(error) from error
        self._deleted += sum(record is None for record in last.values())
        if self._deleted >= _LOOK:
            self._deleted = 0
            with suppress(sqlite3.Error):  # what was asked for is safe; whoever changes something next hears of it
                self._compact()

    def _compact(self) -> None:
        pages, free = (
            self._connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count")
        )
        if 2 * free > pages:
            self._connection.executescript(f"PRAGMA incremental_vacuum({_GIVEN_BACK})")  # `execute` gives back one page

    def close(self) -> None:
        """Fold the write-ahead log into the file and unlock it."""
        self._connection.close()

    def _touch(self) -> bool:
        """Make the file readable for its owner only, as it names nodes; True when it was not there."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            remedy = "name a file in a directory that exists and is writable"
            raise StoreError(self.path, error.strerror or "cannot be made", remedy, error.errno or errno.EIO) from error
        return True

    def _sync_directory(self) -> None:
        """A new file survives a power cut only when its directory entry does."""
        directory = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # a new file will have it
        connection.execute("BEGIN EXCLUSIVE")  # takes the lock, which stays with the connection
        self._recognise()
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")  # only now: a file of somebody else is left as it is
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreError(self.path, f"is damaged ({' '.join(verdict.split())})", _START_EMPTY)

    def _recognise(self) -> None:
        connection = self._connection
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application == 0 and tables == 0:
            connection.execute("CREATE TABLE binding (key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif application != APPLICATION:
            raise StoreError(self.path, "is a database of something else", "name another file", errno.EINVAL)
        elif version != VERSION:
            trouble = f"has layout {version}, this program reads layout {VERSION}"
            raise StoreError(self.path, trouble, f"run the version that wrote it, or {_START_EMPTY}", errno.EINVAL)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # some failures end the transaction themselves
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                return  # the next BEGIN says what is wrong

    def _explain(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest says where in SQLite
        number = _ERRNO.get(code, errno.EIO)
        if code == sqlite3.SQLITE_BUSY:
            return StoreError(self.path, "is in use by another process", "stop that one or name another file", number)
        if code == sqlite3.SQLITE_NOTADB:
            return StoreError(self.path, "is not a database", "name another file", errno.EINVAL)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
            return StoreError(self.path, f"is damaged ({error})", _START_EMPTY, number)
        return StoreError(self.path, str(error), "see to the file system that it is on", number)
