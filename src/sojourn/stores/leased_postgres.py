"""The bindings of LMAs in PostgreSQL, each LMA's for one process at a time: whoever holds the lease on its address.

An LMA's address is the end of its tunnels, so there is one process to serve it, and no need for versions of records as
several CMDs need them (`postgres`): one row says who holds the address, and how often that changed (its *epoch*), and a
batch of changes is one statement that does nothing under another epoch. It keeps that row from being changed until it
is durable, so whoever takes the lease finds all that was answered for. As it is one statement, no transaction waits for
a process that is gone.

All that belongs to one address is in one database; several databases share the addresses among them. Each is to have a
synchronous standby, as described in `postgres`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import asyncpg

from sojourn.core.effects import DeleteBinding, StoreBinding, StoreEffect
from sojourn.stores.base import StoreError
from sojourn.stores.postgres import LONGEST_PAUSE, SHORTEST_PAUSE, TIMEOUT, without_password
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, Duration

T = TypeVar("T")

PAGE = 20_000
"""Records that are read at a time: a part of a second, on a busy server too."""
READING = 300.0
"""Seconds that all of them may take."""

TABLES = (
    """
CREATE TABLE IF NOT EXISTS anchor (
  address bytea PRIMARY KEY, holder text NOT NULL, epoch bigint NOT NULL, until timestamptz NOT NULL)
""",
    """
CREATE TABLE IF NOT EXISTS session (
  anchor bytea NOT NULL, key bytea NOT NULL, record bytea NOT NULL, PRIMARY KEY (anchor, key))
""",
)
LOOK = "SELECT holder, epoch, until > now() AS valid FROM anchor WHERE address = $1"
CLAIM = """
INSERT INTO anchor AS a (address, holder, epoch, until) VALUES ($1, $2, 1, now() + $4 * interval '1 millisecond')
ON CONFLICT (address) DO UPDATE SET holder = $2, epoch = a.epoch + 1, until = now() + $4 * interval '1 millisecond'
WHERE a.epoch = $3
"""
RENEW = """
UPDATE anchor SET until = now() + $4 * interval '1 millisecond', holder = CASE WHEN $4 > 0 THEN holder ELSE '' END
WHERE address = $1 AND holder = $2 AND epoch = $3
"""
READ = "SELECT key, record FROM session WHERE anchor = $1"
CHECK = "SELECT count(*) FROM anchor WHERE address = $1 AND holder = $2 AND epoch = $3"
COMMIT = """
WITH held AS MATERIALIZED (
  SELECT 1 FROM anchor WHERE address = $1 AND holder = $2 AND epoch = $3 FOR SHARE
), kept AS (
  INSERT INTO session (anchor, key, record)
  SELECT $1, w.key, w.record FROM unnest($4::bytea[], $5::bytea[]) AS w(key, record) WHERE EXISTS (SELECT 1 FROM held)
  ON CONFLICT (anchor, key) DO UPDATE SET record = excluded.record
), gone AS (
  DELETE FROM session WHERE anchor = $1 AND key = ANY($6::bytea[]) AND EXISTS (SELECT 1 FROM held)
)
SELECT count(*) FROM held
"""
_REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_FOR_GOOD = (
    (asyncpg.InvalidAuthorizationSpecificationError, "see to the role and database that the string names"),
    (asyncpg.InvalidCatalogNameError, "see to the role and database that the string names"),
    (asyncpg.InsufficientPrivilegeError, "the role needs the right to create a table once"),
)


class Database:
    """The one of `sources` where the LMA at `address` is, as `holder` sees it. Use it on one event loop."""

    def __init__(self, sources: Sequence[str], address: Address, holder: str) -> None:
        self.counters: Counter[str] = Counter()
        """``retries``, ``commits``, ``changes``, ``questions``."""
        self.trouble = ""
        """Why the latest attempt failed; empty: it did not."""
        self.address, self.holder = address, holder
        self._source = sources[zlib.crc32(address) % len(sources)]
        self.name = without_password(self._source)
        self._prepared = False
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def look(self) -> tuple[str, int, bool] | None:
        """Holder and epoch of the lease, and whether it holds; None: there never was one."""

        async def ask(connection: asyncpg.Connection) -> tuple[str, int, bool] | None:
            row = await connection.fetchrow(LOOK, self.address)
            return None if row is None else (row["holder"], row["epoch"], row["valid"])

        return await self.insist(ask)

    async def claim(self, known: int, lasting: Duration) -> tuple[str, int, bool] | None:
        """Take the lease if its epoch is still `known`; answers as `look`."""
        await self._told(CLAIM, known, lasting)
        return await self.look()

    async def renew(self, epoch: int, lasting: Duration) -> tuple[str, int, bool] | None:
        """Hold the lease for `lasting` from now on, or (0) give it back; answers as `look`."""
        await self._told(RENEW, epoch, lasting)
        return await self.look()

    async def _told(self, statement: str, epoch: int, lasting: Duration) -> None:
        async def ask(connection: asyncpg.Connection) -> None:
            await connection.execute(statement, self.address, self.holder, epoch, lasting / MILLISECOND)

        await self.insist(ask)

    async def insist(self, ask: Callable[[asyncpg.Connection], Awaitable[T]], within: float = TIMEOUT) -> T:
        """What `ask` answers in so many seconds, as often as it takes. Raises StoreError for what does not change by
        itself.
        """
        pause = SHORTEST_PAUSE
        while True:
            try:
                async with self._turn, asyncio.timeout(within):
                    answer = await ask(await self._connected())
            except asyncio.CancelledError:
                self._drop()  # nobody knows what came of the question
                raise
            except _REFUSALS as error:
                for kind, remedy in _FOR_GOOD:
                    if isinstance(error, kind):
                        raise StoreError(self.name, str(error), remedy) from error
                self.trouble = str(error) or type(error).__name__
                self.counters["retries"] += 1
                self._drop()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.trouble = ""
                return answer

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._source, timeout=TIMEOUT, command_timeout=TIMEOUT)
        if not self._prepared:
            for table in TABLES:
                with suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):  # two begin at once
                    await self._connection.execute(table)
            self._prepared = True
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        """The connection ends at once."""
        self._drop()


class LeasedPostgres:
    """A `LeasedStore`: what belongs to the address of `database`, under the lease of `epoch`. Make it with `open`.

    `lost` is called when that lease turns out not to be ours any more.
    """

    def __init__(
        self, database: Database, epoch: int, records: list[tuple[bytes, bytes]], lost: Callable[[], None]
    ) -> None:
        self.counters = database.counters
        self._database, self._epoch, self._lost = database, epoch, lost
        self._records = records
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, database: Database, epoch: int, lost: Callable[[], None]) -> LeasedPostgres:
        """With all that is there. The database is to be another object than the one that asks for leases, as each does
        one thing at a time. Raises StoreError."""

        async def read(connection: asyncpg.Connection) -> list[tuple[bytes, bytes]]:
            records: list[tuple[bytes, bytes]] = []
            async with connection.transaction(readonly=True):
                cursor = await connection.cursor(READ, database.address)
                while rows := await cursor.fetch(PAGE, timeout=TIMEOUT):
                    records.extend((row["key"], row["record"]) for row in rows)
            return records

        records = await database.insist(read, READING)
        records.sort()
        return cls(database, epoch, records, lost)

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """See `LeasedStore.load`; once, as they are not kept."""
        records, self._records = self._records, []
        return records

    def commit(self, effects: Sequence[StoreEffect], done: Callable[[], None]) -> None:
        """See `LeasedStore.commit`."""
        self._task = asyncio.get_running_loop().create_task(self._commit(effects, done))

    async def _commit(self, effects: Sequence[StoreEffect], done: Callable[[], None]) -> None:
        last = {effect.key: effect for effect in effects}
        kept = [(effect.key, effect.record) for effect in last.values() if isinstance(effect, StoreBinding)]
        gone = [effect.key for effect in last.values() if isinstance(effect, DeleteBinding)]
        database = self._database
        held = (database.address, database.holder, self._epoch)
        kept.sort()

        async def ask(connection: asyncpg.Connection) -> int:
            if not kept and not gone:
                return int(await connection.fetchval(CHECK, *held))
            keys, records = [key for key, _ in kept], [record for _, record in kept]
            return int(await connection.fetchval(COMMIT, *held, keys, records, gone))

        self.counters["commits" if kept or gone else "questions"] += 1
        self.counters["changes"] += len(kept) + len(gone)
        if await database.insist(ask):
            done()
        else:
            self._lost()

    def close(self) -> None:
        """See `LeasedStore.close`."""
        if self._task is not None:
            self._task.cancel()
        self._database.close()
