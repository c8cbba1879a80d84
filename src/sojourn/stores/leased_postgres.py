"""The bindings of LMAs in PostgreSQL, each LMA's for one process at a time: whoever holds the lease on its address.

An LMA's address is the end of its tunnels, so there is one process to serve it, and no need for versions of records as
several CMDs need them (`postgres`): one row, the *lease*, says who holds the address, how often that changed (its
*epoch*), and the number of the latest batch of changes. A batch is one statement that changes this row too, and does
nothing under another epoch, or where the batch before it is missing.

It takes milliseconds until something is on two disks, and several batches are under way meanwhile, in their order:

* They are written one after the other, on a connection that does not wait for the disks. So the lease is locked for a
  moment only, and a claim never waits long. (Batches side by side that share a lock on it until they are durable leave
  no gap between them: a claim then waited for up to 0.8 s.)
* Whether they are safe is asked on two other connections, for all that is written by then: a small write that waits for
  the disks, and that is made only where the lease has the number of the latest batch, or a later one. The journal of a
  database has one order: when that write is durable, so is all that it saw. Then the lease is looked at once more:
  nothing is answered that was not safe, and ours, at that time.
* After whatever trouble, all that was not told to be done is written again, as one batch: nothing is taken for written
  because an earlier connection said so. What an earlier connection still carries out late has too low a number by then.

A claim is another change of the lease, so whoever has claimed it finds all that was answered for. Where a
server does not let writes go on before they are durable, all this is as right, and slower. As each step is one
statement, no transaction waits for a process that is gone.

All that belongs to one address is in one database; several databases share the addresses among them. Each is to have a
synchronous standby, as described in `postgres`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import asyncpg

from sojourn.core.effects import DeleteBinding, StoreBinding, StoreEffect
from sojourn.stores.base import StoreError
from sojourn.stores.postgres import LONGEST_PAUSE, SHORTEST_PAUSE, TIMEOUT, complete, without_password
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND, Duration

T = TypeVar("T")

PAGE = 20_000
"""Records that are read at a time: a part of a second, on a busy server too."""
PROVERS = 2
"""Connections that ask whether what is written is safe: while one waits for a disk, the other one for the next."""
READING = 300.0
"""Seconds that all of them may take."""

SCHEMA = (
    (
        "SELECT address, holder, epoch, until FROM anchor LIMIT 0",
        """
CREATE TABLE IF NOT EXISTS anchor (
  address bytea PRIMARY KEY, holder text NOT NULL, epoch bigint NOT NULL, until timestamptz NOT NULL,
  batch bigint NOT NULL DEFAULT 0)
""",
    ),
    (
        "SELECT anchor, place, batch FROM proof LIMIT 0",
        """
CREATE TABLE IF NOT EXISTS proof (
  anchor bytea NOT NULL, place int NOT NULL, batch bigint NOT NULL, PRIMARY KEY (anchor, place))
""",
    ),
    (
        "SELECT anchor, key, record FROM session LIMIT 0",
        """
CREATE TABLE IF NOT EXISTS session (
  anchor bytea NOT NULL, key bytea NOT NULL, record bytea NOT NULL, PRIMARY KEY (anchor, key))
""",
    ),
    (
        "SELECT batch FROM anchor LIMIT 0",
        "ALTER TABLE anchor ADD COLUMN IF NOT EXISTS batch bigint NOT NULL DEFAULT 0",
    ),
)
"""See `complete`. The last is what the first version had not: there in a moment, however many rows there are, as a
constant is not written to them. Processes of the version before go on with a table that has it."""
LOOK = "SELECT holder, epoch, until > now() AS valid FROM anchor WHERE address = $1"
RENEWAL = """
SELECT holder, until, extract(epoch FROM until - now())::float8 AS remaining FROM anchor WHERE address = $1
"""
CLAIM = """
INSERT INTO anchor AS a (address, holder, epoch, until) VALUES ($1, $2, 1, now() + $4 * interval '1 millisecond')
ON CONFLICT (address) DO UPDATE SET holder = $2, epoch = a.epoch + 1, batch = 0,
  until = now() + $4 * interval '1 millisecond'
WHERE a.epoch = $3
"""
RENEW = """
UPDATE anchor SET until = now() + $4 * interval '1 millisecond', holder = CASE WHEN $4 > 0 THEN holder ELSE '' END
WHERE address = $1 AND holder = $2 AND epoch = $3
"""
READ = "SELECT key, record FROM session WHERE anchor = $1"
HELD = "SELECT batch FROM anchor WHERE address = $1 AND holder = $2 AND epoch = $3"
WRITE = """
WITH held AS (
  UPDATE anchor SET batch = $4 WHERE address = $1 AND holder = $2 AND epoch = $3 AND batch >= $5 AND batch < $4
  RETURNING 1
), kept AS (
  INSERT INTO session (anchor, key, record)
  SELECT $1, w.key, w.record FROM unnest($6::bytea[], $7::bytea[]) AS w(key, record) WHERE EXISTS (SELECT 1 FROM held)
  ON CONFLICT (anchor, key) DO UPDATE SET record = excluded.record
), gone AS (
  DELETE FROM session WHERE anchor = $1 AND key = ANY($8::bytea[]) AND EXISTS (SELECT 1 FROM held)
)
SELECT count(*) FROM held
"""
"""The changes of batch $4, if no batch before $5 is missing."""
PROVE = """
INSERT INTO proof (anchor, place, batch)
SELECT address, $5, batch FROM anchor WHERE address = $1 AND holder = $2 AND epoch = $3 AND batch >= $4
ON CONFLICT (anchor, place) DO UPDATE SET batch = excluded.batch RETURNING 1
"""
"""When this is durable, batch $4 is. Each connection has a place of its own, so that none waits for another."""
REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_FOR_GOOD = (
    (asyncpg.InvalidAuthorizationSpecificationError, "see to the role and database that the string names"),
    (asyncpg.InvalidCatalogNameError, "see to the role and database that the string names"),
    (asyncpg.InsufficientPrivilegeError, "grant the role the rights to its tables"),
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
        self._patient = True
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def look(self) -> tuple[str, int, bool] | None:
        """Holder and epoch of the lease, and whether it holds; None: there never was one."""

        async def ask(connection: asyncpg.Connection) -> tuple[str, int, bool] | None:
            row = await connection.fetchrow(LOOK, self.address)
            return None if row is None else (row["holder"], row["epoch"], row["valid"])

        return await self.insist(ask)

    async def renewal(self) -> tuple[str, datetime, Duration] | None:
        """Holder of the lease, until when it lasts (which a renewal changes), and how long that is; None: as `look`."""

        async def ask(connection: asyncpg.Connection) -> tuple[str, datetime, Duration] | None:
            row = await connection.fetchrow(RENEWAL, self.address)
            return None if row is None else (row["holder"], row["until"], round(row["remaining"] * SECOND))

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

    def another(self, *, patient: bool = True) -> Database:
        """One more connection to the same; if not `patient`, its changes do not wait for the disks."""
        made = Database([self._source], self.address, self.holder)
        made.counters, made._patient, made._prepared = self.counters, patient, self._prepared
        return made

    async def insist(self, ask: Callable[[asyncpg.Connection], Awaitable[T]], within: float = TIMEOUT) -> T:
        """What `ask` answers in so many seconds, as often as it takes. Raises StoreError for what does not change by
        itself.
        """
        pause = SHORTEST_PAUSE
        while True:
            try:
                return await self.once(ask, within)
            except StoreError:
                raise
            except REFUSALS as error:
                for kind, remedy in _FOR_GOOD:
                    if isinstance(error, kind):
                        raise StoreError(self.name, str(error), remedy) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def once(self, ask: Callable[[asyncpg.Connection], Awaitable[T]], within: float = TIMEOUT) -> T:
        """The same, tried once. Raises one of `REFUSALS`; StoreError is one."""
        try:
            async with self._turn, asyncio.timeout(within):
                answer = await ask(await self._connected())
        except asyncio.CancelledError:
            self._drop()  # nobody knows what came of the question
            raise
        except REFUSALS as error:
            self.trouble = str(error) or type(error).__name__
            self.counters["retries"] += 1
            self._drop()
            raise
        self.trouble = ""
        return answer

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._source, timeout=TIMEOUT, command_timeout=TIMEOUT)
            if not self._patient:
                with suppress(asyncpg.PostgresError):
                    await self._connection.execute("SET synchronous_commit = off")
        if not self._prepared:
            await complete(self._connection, self.name, SCHEMA)
            self._prepared = True
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        """The connection ends at once."""
        self._drop()


class _Batch:
    """Changes, the last word on each key, and whom to tell."""

    __slots__ = ("changes", "done", "number", "safe")

    def __init__(self, changes: dict[bytes, StoreEffect], done: Callable[[], None]) -> None:
        self.changes, self.done = changes, done
        self.number = 0
        """That of the batch of the database that has the changes in it; 0: none, as far as we know."""
        self.safe = False


class LeasedPostgres:
    """A `LeasedStore`: what belongs to the address of `database`, under the lease of `epoch`. Make it with `open`.

    `lost` is called when that lease turns out not to be ours any more.
    """

    def __init__(
        self,
        database: Database,
        writer: Database,
        epoch: int,
        records: list[tuple[bytes, bytes]],
        lost: Callable[[], None],
    ) -> None:
        self.counters = database.counters
        self._lease = (database.address, database.holder, epoch)
        self._lost = lost
        self._records = records
        self._batches: deque[_Batch] = deque()
        """What was not told to be done."""
        self._written = 0
        """The latest batch that nothing before is missing of; 0: nobody knows."""
        self._number = 0
        """Of the latest batch that we tried to write."""
        self._writer = writer
        self._turn = asyncio.Lock()
        """Batches are written one after the other."""
        self._provers = [database, *(database.another() for _ in range(PROVERS - 1))]
        self._idle = list(reversed(range(PROVERS)))
        """Those that have nothing to do; the one used last comes first."""
        self._some_idle = asyncio.Semaphore(PROVERS)
        self._tasks: set[asyncio.Task[None]] = set()

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

        async def nothing(connection: asyncpg.Connection) -> None:
            """To be connected when the first batch comes."""

        writer = database.another(patient=False)
        try:
            records, _ = await asyncio.gather(database.insist(read, READING), writer.insist(nothing))
        except BaseException:
            writer.close()
            raise
        records.sort()
        return cls(database, writer, epoch, records, lost)

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """See `LeasedStore.load`; once, as they are not kept."""
        records, self._records = self._records, []
        return records

    def commit(self, effects: Sequence[StoreEffect], done: Callable[[], None]) -> None:
        """See `LeasedStore.commit`."""
        batch = _Batch({effect.key: effect for effect in effects}, done)
        self.counters["commits" if batch.changes else "questions"] += 1
        self.counters["changes"] += len(batch.changes)
        self._batches.append(batch)
        task = asyncio.get_running_loop().create_task(self._commit(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _commit(self, batch: _Batch) -> None:
        pause = SHORTEST_PAUSE
        while True:
            try:
                if not await self._try(batch):
                    self._lost()
                    return
            except REFUSALS:
                self._begin_again()
            if batch.safe:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        while self._batches and self._batches[0].safe:
            self._batches.popleft().done()

    async def _try(self, batch: _Batch) -> bool:
        """Make `batch` safe, if that can be; whether the lease is ours. Raises one of `REFUSALS`."""
        if batch.changes:
            async with self._turn:
                if not batch.number:
                    await self._write()
        async with self._some_idle:
            if batch.safe:  # it was with another one
                return True
            place = self._idle.pop()
            try:
                return await self._provers[place].once(partial(self._prove, place))
            finally:
                self._idle.append(place)

    async def _write(self) -> None:
        """All that is not written, as one batch. It is not if it turns out that something before it is missing."""
        waiting = [batch for batch in self._batches if batch.changes and not batch.number]
        changes: dict[bytes, StoreEffect] = {}
        for batch in waiting:
            changes.update(batch.changes)
        kept = sorted((key, effect.record) for key, effect in changes.items() if isinstance(effect, StoreBinding))
        gone = [key for key, effect in changes.items() if isinstance(effect, DeleteBinding)]
        known = self._written
        number = self._number = self._number + 1

        async def ask(connection: asyncpg.Connection) -> int:
            keys, records = [key for key, _ in kept], [record for _, record in kept]
            return int(await connection.fetchval(WRITE, *self._lease, number, known, keys, records, gone))

        if not await self._writer.once(ask):
            self._begin_again()
        elif known == self._written:  # nobody began again meanwhile
            self._written = number
            for batch in waiting:
                batch.number = number

    async def _prove(self, place: int, connection: asyncpg.Connection) -> bool:
        """Find out whether all that is written is safe; whether the lease is ours."""
        number = self._written
        written = [batch for batch in self._batches if batch.number and not batch.safe]
        proven = not written or await connection.fetchval(PROVE, *self._lease, number, place) is not None
        asking = [batch for batch in self._batches if not batch.changes]
        latest = await connection.fetchval(HELD, *self._lease)
        if latest is None:
            return False
        self._number = max(self._number, latest)
        for batch in (*asking, *(written if proven else ())):
            batch.safe = True
        if not proven:
            self._begin_again()
        return True

    def _begin_again(self) -> None:
        """Take nothing for written that was not told to be done."""
        self._written = 0
        for batch in self._batches:
            batch.number = 0

    def close(self) -> None:
        """See `LeasedStore.close`."""
        for task in self._tasks:
            task.cancel()
        for database in (self._writer, *self._provers):
            database.close()
