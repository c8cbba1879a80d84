"""Records in PostgreSQL, for several processes at once; keys are spread over any number of databases.

Only plain SQL is used, so that distributed engines which speak its protocol (CockroachDB, YugabyteDB, Citus) will do.
A row has a version that no other change ever had, so that a change can say which one it takes for granted. A batch
is at most one statement of each kind to each database: that is what makes it cheap. Whether a batch was carried out
when its connection died is not known; it is then sent again, and a row with the very version that it would have
made counts as changed.

Each database is to have a synchronous standby; its connection string names both
(``postgresql://one,two/sojourn?target_session_attrs=read-write``), and which one may be written to is found out at each
connection. As long as none answers, the batch is tried again, and whoever calls `swap` waits.
"""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, assert_never

import asyncpg

from sojourn.core.effects import CheckBinding, DeleteBinding, StoreBinding, StoreEffect
from sojourn.core.events import BindingChanged
from sojourn.stores.base import StoreError
from sojourn.wire.units import MILLISECOND, SECOND, Duration

TABLE = """
CREATE TABLE IF NOT EXISTS binding (
  key bytea PRIMARY KEY, record bytea NOT NULL, version bigint NOT NULL, expires timestamptz) WITH (fillfactor = 70)
"""
"""No index on what every update changes, and room in each page: so a new version of a row goes beside the old one, and
no index hears of it (two thirds of the time and a third of the journal of an update with an index)."""
LACKING = ("SELECT key, record, version, expires FROM binding LIMIT 0", TABLE)
CHANNEL = "sojourn_binding"
UPDATE = """
UPDATE binding AS b SET record = w.record, version = w.new, expires = now() + w.lifetime * interval '1 millisecond'
FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::float8[]) AS w(key, record, new, known, lifetime)
WHERE b.key = w.key AND b.version = w.known RETURNING b.key
"""
INSERT = """
INSERT INTO binding (key, record, version, expires)
SELECT w.key, w.record, w.new, now() + w.lifetime * interval '1 millisecond'
FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::float8[]) AS w(key, record, new, lifetime)
ON CONFLICT (key) DO NOTHING RETURNING key
"""
DELETE = """
DELETE FROM binding AS b USING unnest($1::bytea[], $2::bigint[]) AS w(key, known)
WHERE b.key = w.key AND b.version = w.known RETURNING b.key
"""
_COLUMNS = "key, record, version, (extract(epoch from expires - now()) * 1000)::float8 AS remaining"
SELECT = f"SELECT {_COLUMNS} FROM binding WHERE key = ANY($1::bytea[])"
FIND = f"SELECT {_COLUMNS} FROM binding WHERE position($1::bytea IN record) > 0"
OVER = f"""
SELECT {_COLUMNS} FROM (SELECT * FROM binding WHERE key > $1 ORDER BY key LIMIT $2) AS s
WHERE expires < now() - $3 * interval '1 millisecond' LIMIT 500
"""
NEXT = "SELECT key FROM binding WHERE key > $1 ORDER BY key LIMIT 1 OFFSET $2"
SOME = f"SELECT {_COLUMNS} FROM binding LIMIT 1"

TIMEOUT = 5.0
"""Seconds for one statement or connection; a primary whose standby is gone answers nothing at all."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds between attempts."""
SWEEP = 5.0
"""Seconds between looks for bindings that are over ..."""
SWEPT = 20_000
"""... among so many, then among those that follow: some ten milliseconds of a server."""
GRACE = 5 * SECOND
"""For so long the process that holds a binding is left to end it by itself."""
_TOLD = 200
"""Keys in one notification, which may have 8000 octets."""
_GATHERED = 0.5
"""Seconds for which keys are gathered that others are told of: a notification costs server and listeners as much as a
batch, and only frees memory."""
_REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresStore:
    """A `SharedStore` over `partitions`, connection strings of PostgreSQL; their order and number are the same in all
    processes. Make it with `open`. Use it on the event loop that it was made on."""

    def __init__(self, partitions: Sequence[_Partition]) -> None:
        self.counters: Counter[str] = Counter()
        """``conflicts``, ``retries``, ``swaps``, ``changes``, and ``asides-refused``: looks for what is over, searches
        and notifications that a server did not carry out."""
        self._partitions = partitions
        self._tasks: set[asyncio.Task[None]] = set()
        self._some: list[tuple[bytes, bytes]] = []

    @classmethod
    async def open(cls, partitions: Sequence[str], patience: float = 30.0) -> PostgresStore:
        """Connect, make what is missing, and look whether anything is there.

        Raises StoreError when a database does not answer for `patience` seconds, or refuses for good.
        """
        store = cls([])
        writer = secrets.randbits(31) << 32
        store._partitions = [_Partition(source, writer, store.counters) for source in partitions]
        try:
            for partition in store._partitions:
                store._some += await partition.prepare(patience)
                store._spawn(partition.tell())
        except BaseException:
            store.close()
            raise
        return store

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """One record of each database, if it has any."""
        return self._some

    def swap(self, effects: Sequence[StoreEffect], done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.swap`."""
        last: dict[bytes, StoreEffect] = {}
        for effect in effects:
            if not isinstance(effect, CheckBinding) or effect.key not in last:
                last[effect.key] = effect
        shares: dict[_Partition, list[StoreEffect]] = {}
        for effect in last.values():
            shares.setdefault(self._of(effect.key), []).append(effect)
        self.counters["swaps"] += 1
        self.counters["changes"] += len(last)
        self._spawn(self._swap(shares, done))

    def find(self, mention: bytes, done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.find`."""
        self._spawn(self._find(mention, done))

    def watch(self, changed: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.watch`."""
        for partition in self._partitions:
            self._spawn(partition.attend(changed))

    def take(self, changed: BindingChanged) -> bool:
        """See `SharedStore.take`."""
        return self._of(changed.key).take(changed)

    def close(self) -> None:
        """Connections end at once; what was not answered is not told any more."""
        for task in self._tasks:
            task.cancel()
        for partition in self._partitions:
            partition.close()

    def trouble(self) -> list[str]:
        """Databases that do not answer now, and why."""
        return [f"{partition.name}: {partition.trouble}" for partition in self._partitions if partition.trouble]

    def _of(self, key: bytes) -> _Partition:
        count = len(self._partitions)
        return self._partitions[zlib.crc32(key) % count if count > 1 else 0]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _swap(
        self, shares: dict[_Partition, list[StoreEffect]], done: Callable[[Sequence[BindingChanged]], None]
    ) -> None:
        if len(shares) == 1:
            ((partition, share),) = shares.items()
            done(await partition.swap(share))
            return
        refused = await asyncio.gather(*(partition.swap(share) for partition, share in shares.items()))
        done([changed for one in refused for changed in one])

    async def _find(self, mention: bytes, done: Callable[[Sequence[BindingChanged]], None]) -> None:
        found = await asyncio.gather(*(partition.find(mention) for partition in self._partitions))
        done([changed for one in found for changed in one])


class _Partition:
    """One database, its standby included."""

    def __init__(self, source: str, writer: int, counters: Counter[str]) -> None:
        self.name = without_password(source)
        self.trouble = ""
        self._source = source
        self._writer = writer
        self._counters = counters
        self._serial = 0
        self._seen: dict[bytes, int] = {}
        self._open: set[asyncpg.Connection] = set()
        self._idle: list[asyncpg.Connection] = []
        """Connections that make changes, one for each swap at a time; the one used last comes first."""
        self._listener: asyncpg.Connection | None = None
        self._heard: Callable[[object, int, str, object], None] | None = None
        self._turn = asyncio.Lock()
        """The listener does one thing at a time."""
        self._untold: list[bytes] = []
        """Keys that were another one's, which is to be told."""
        self._notifies = True
        """The engine has notifications, as far as is known. Without, what another one changed is kept until it is
        asked about, or is over."""
        self._telling = asyncio.Event()

    async def prepare(self, patience: float) -> list[tuple[bytes, bytes]]:
        """Tables, and a record as a sign that there are any."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while True:
            try:
                async with self._connected() as connection:
                    await complete(connection, self.name, [LACKING])
                    rows = await connection.fetch(SOME, timeout=TIMEOUT)
                self._seen.update((row["key"], row["version"]) for row in rows)
                return [(row["key"], row["record"]) for row in rows]
            except StoreError:
                raise
            except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
                raise StoreError(self.name, str(error), "see to the role and database that the string names") from error
            except asyncpg.InsufficientPrivilegeError as error:
                raise StoreError(self.name, str(error), "grant the role the rights to its tables") from error
            except _REFUSALS as error:
                self._trouble_with(error)
                if loop.time() > end:
                    raise StoreError(self.name, self.trouble, "start it, or name one that runs") from error
                await asyncio.sleep(LONGEST_PAUSE)

    async def swap(self, effects: Sequence[StoreEffect]) -> list[BindingChanged]:
        """Each of `effects` or what is true instead."""
        versions: dict[bytes, int] = {}
        for effect in effects:
            self._serial += 1
            versions[effect.key] = self._writer | self._serial
        pause = SHORTEST_PAUSE
        while True:
            try:
                async with asyncio.timeout(TIMEOUT), self._connected() as connection:
                    refused = await self._try_swap(connection, effects, versions)
            except _REFUSALS as error:
                self._trouble_with(error)
                self._counters["retries"] += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return refused

    async def _try_swap(
        self, connection: asyncpg.Connection, effects: Sequence[StoreEffect], versions: dict[bytes, int]
    ) -> list[BindingChanged]:
        seen = self._seen
        updates: list[tuple[bytes, bytes, int, int, float | None]] = []
        inserts: list[tuple[bytes, bytes, int, float | None]] = []
        deletes: list[tuple[bytes, int]] = []
        unsure: list[bytes] = []
        for effect in effects:
            key = effect.key
            known = seen.get(key, 0)
            match effect:
                case StoreBinding(_, record, lifetime):
                    milliseconds = lifetime / MILLISECOND if lifetime else None
                    if known:
                        updates.append((key, record, versions[key], known, milliseconds))
                    else:
                        inserts.append((key, record, versions[key], milliseconds))
                case DeleteBinding() if known:
                    deletes.append((key, known))
                case DeleteBinding() | CheckBinding():
                    unsure.append(key)
                case _:
                    assert_never(effect)
        work: list[tuple[str, list[Any]]] = [(UPDATE, updates), (INSERT, inserts), (DELETE, deletes)]
        work = [(statement, rows) for statement, rows in work if rows]
        done: set[bytes] = set()
        if len(work) > 1:  # else they are several commits, and for each two disks are waited for
            await connection.execute("BEGIN")
        for statement, rows in work:
            rows.sort()  # two processes that lock the same rows do it in one order
            done.update([row[0] for row in await connection.fetch(statement, *zip(*rows, strict=True))])
        if len(work) > 1:
            await connection.execute("COMMIT")
        unsure += [row[0] for rows in (updates, inserts, deletes) for row in rows if row[0] not in done]
        taken = {key: seen[key] for key in done if key in seen}
        for key in done:
            seen[key] = versions[key]
        for key, _ in deletes:
            if key in done:
                del seen[key]
        refused = await self._look(connection, unsure, versions, {effect.key: effect for effect in effects})
        others = [key for key, version in taken.items() if version & ~0xFFFFFFFF != self._writer]
        if others:
            self._untold += others
            self._telling.set()
        self.trouble = ""
        return refused

    async def _look(
        self,
        connection: asyncpg.Connection,
        keys: Sequence[bytes],
        versions: dict[bytes, int],
        effects: dict[bytes, StoreEffect],
    ) -> list[BindingChanged]:
        """What is true of `keys`, where that is not what `effects` wanted."""
        if not keys:
            return []
        rows = {row["key"]: row for row in await connection.fetch(SELECT, keys)}
        refused = []
        for key in keys:
            row = rows.get(key)
            effect = effects[key]
            known = self._seen.get(key, 0)
            if row is None:
                self._seen.pop(key, None)
                if isinstance(effect, StoreBinding) or (known and isinstance(effect, CheckBinding)):
                    refused.append(BindingChanged(key, b"", 0))
            elif row["version"] == versions[key]:
                self._seen[key] = versions[key]  # an earlier attempt did it
            elif row["version"] != known or isinstance(effect, DeleteBinding):
                self._seen[key] = row["version"]
                refused.append(_told(row))
        self._counters["conflicts"] += len(refused)
        return refused

    async def find(self, mention: bytes) -> list[BindingChanged]:
        """Records with `mention` in them that we do not know as they are."""
        while True:
            rows = await self._aside(FIND, mention)
            if rows is not None:
                news = [row for row in rows if self._seen.get(row["key"], 0) != row["version"]]
                return [self._news(row) for row in news]
            await asyncio.sleep(LONGEST_PAUSE)

    async def attend(self, changed: Callable[[Sequence[BindingChanged]], None]) -> None:
        """Hear of keys that were ours and that another process changed; now and then, look for what is over and
        nobody ended, as whoever held it is gone."""

        def heard(_connection: object, _sender: int, _channel: str, payload: object) -> None:
            writer, _, keys = str(payload).partition(" ")
            if int(writer) != self._writer:
                ours = [key for key in map(bytes.fromhex, keys.split()) if key in self._seen]
                if ours:
                    changed([BindingChanged(key, b"", 0, self._seen[key]) for key in ours])

        self._heard = heard
        begin = b""
        while True:
            rows = await self._aside(OVER, begin, SWEPT, GRACE / MILLISECOND)
            last = None if rows is None else await self._aside(NEXT, begin, SWEPT - 1)
            if last is not None:
                begin = last[0][0] if last else b""
            if rows:
                changed([self._news(row) for row in rows])
            await asyncio.sleep(
                (SWEEP if rows is not None else LONGEST_PAUSE) * (0.75 + secrets.randbelow(1000) / 2000)
            )

    async def _aside(self, statement: str, *arguments: object) -> list[asyncpg.Record] | None:
        """The answer of the connection beside the one that changes are made on; None: there is none now."""
        async with self._turn:
            try:
                if self._listener is None or self._listener.is_closed():
                    self._listener = await self._connect()
                    with suppress(asyncpg.PostgresError):
                        await self._listener.execute("SET synchronous_commit = off")  # a notification is a commit, too
                    if self._heard is not None and self._notifies:
                        try:
                            await self._listener.add_listener(CHANNEL, self._heard)
                        except asyncpg.FeatureNotSupportedError:  # as YugabyteDB says, unless it is switched on
                            self._notifies = False
                rows: list[asyncpg.Record] = await self._listener.fetch(statement, *arguments)
                return rows
            except _REFUSALS:
                self._counters["asides-refused"] += 1
                if self._listener is not None:
                    self._listener.terminate()
                    self._listener = None
                return None

    async def tell(self) -> None:
        """Others hear of what was theirs: soon, if at all. Nobody waits for it, as whoever does not hear is refused."""
        while True:
            await self._telling.wait()
            await asyncio.sleep(_GATHERED)
            self._telling.clear()
            keys, self._untold = self._untold, []
            if not self._notifies:
                continue
            for start in range(0, len(keys), _TOLD):
                payload = f"{self._writer} {' '.join(key.hex() for key in keys[start : start + _TOLD])}"
                await self._aside("SELECT pg_notify($1, $2)", CHANNEL, payload)

    def close(self) -> None:
        """Let go of the connections."""
        for connection in (*self._open, self._listener):
            if connection is not None:
                connection.terminate()
        self._open.clear()
        self._idle.clear()
        self._listener = None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for one swap. After whatever trouble it is given up, with all that are idle: they may lead to
        what is no primary any more."""
        while self._idle and self._idle[-1].is_closed():
            self._open.discard(self._idle.pop())
        connection = self._idle.pop() if self._idle else await self._connect()
        self._open.add(connection)
        try:
            yield connection
        except BaseException:
            for one in (connection, *self._idle):
                one.terminate()
                self._open.discard(one)
            self._idle.clear()
            raise
        self._idle.append(connection)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._source, timeout=TIMEOUT, command_timeout=TIMEOUT)

    def _trouble_with(self, error: BaseException) -> None:
        self.trouble = str(error) or type(error).__name__

    def take(self, changed: BindingChanged) -> bool:
        """See `SharedStore.take`."""
        if changed.seen < 0:
            return True
        if self._seen.get(changed.key, 0) != changed.seen:
            return False
        if changed.version:
            self._seen[changed.key] = changed.version
        else:
            self._seen.pop(changed.key, None)
        return True

    def _news(self, row: asyncpg.Record) -> BindingChanged:
        """What is there, for `take`."""
        told = _told(row)
        return BindingChanged(told.key, told.record, told.remaining, self._seen.get(told.key, 0), row["version"])


def _told(row: asyncpg.Record) -> BindingChanged:
    remaining: Duration = int((row["remaining"] or 0.0) * MILLISECOND)
    return BindingChanged(row["key"], row["record"], remaining)


async def complete(connection: asyncpg.Connection, name: str, schema: Iterable[tuple[str, str]]) -> None:
    """What the database `name` lacks is made: for each of `schema`, a question that fails without it, and the statement
    that makes it.

    It is asked first, as a statement wants rights that nobody needs once it is there, and locks that others wait for.
    Raises StoreError where we may not make it.
    """
    for question, statement in schema:
        try:
            await connection.execute(question, timeout=TIMEOUT)
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as lacking:
            try:
                with suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):  # two begin at once
                    await connection.execute(statement, timeout=TIMEOUT)
            except asyncpg.InsufficientPrivilegeError as error:
                remedy = f"let its owner say once: {' '.join(statement.split())}"
                raise StoreError(name, f"{lacking}, and the role may not make it: {error}", remedy) from error


def without_password(source: str) -> str:
    """A connection string as people may see it."""
    head, at, rest = source.rpartition("@")
    scheme, slashes, user = head.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{rest}" if at else source
