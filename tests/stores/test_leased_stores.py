"""Stores elsewhere that one process at a time owns: nothing is kept under a lease that is another one's by now."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding, StoreEffect
from sojourn.lab.postgres import Server, binaries
from sojourn.stores import LeasedStore, StoreError, leased_postgres
from sojourn.stores.leased_memory import LeasedMemory, LeasedRecords
from sojourn.stores.leased_postgres import Database, LeasedPostgres
from sojourn.wire.addresses import address
from sojourn.wire.units import MILLISECOND, MINUTE, Duration

ADDRESS = address("2001:db8:ff::1")
Row = tuple[str, int, bool] | None


class Databases(NamedTuple):
    primary: Server
    standby: Server


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    assert binaries() is not None, "no PostgreSQL server is installed: make tools"
    directory = Path(tempfile.mkdtemp(prefix="sojourn-"))  # short: the path of a socket has at most 107 octets
    primary = Server(directory / "a").start()
    standby = Server(directory / "b", primary).start()
    primary.replicate(standby)
    try:
        yield Databases(primary, standby)
    finally:
        for server in (primary, standby):
            server.kill()
        shutil.rmtree(directory)


class Party:
    """One process that may be the owner."""

    def __init__(self, holder: str, memory: LeasedRecords | None, sources: list[str]) -> None:
        self.holder, self.lost = holder, 0
        self._memory, self._sources = memory, sources
        self.database = Database(sources or ["postgresql:///"], ADDRESS, holder)
        self.stores: list[LeasedStore] = []

    async def look(self) -> Row:
        return self._memory.look() if self._memory else await self.database.look()

    async def claim(self, known: int, lasting: Duration = MINUTE) -> Row:
        return (
            self._memory.claim(self.holder, known, lasting)
            if self._memory
            else await self.database.claim(known, lasting)
        )

    async def renew(self, epoch: int, lasting: Duration) -> Row:
        return (
            self._memory.renew(self.holder, epoch, lasting)
            if self._memory
            else await self.database.renew(epoch, lasting)
        )

    async def open(self, epoch: int) -> LeasedStore:
        store: LeasedStore
        if self._memory:
            store = LeasedMemory(self._memory, self.holder, epoch, self._on_lost)
        else:
            store = await LeasedPostgres.open(Database(self._sources, ADDRESS, self.holder), epoch, self._on_lost)
        self.stores.append(store)
        return store

    def close(self) -> None:
        for store in self.stores:
            store.close()
        self.database.close()

    def _on_lost(self) -> None:
        self.lost += 1


Make = Callable[[str], Party]


@pytest.fixture(params=["memory", "postgres"])
def parties(request: pytest.FixtureRequest) -> Callable[[], object]:
    """A context in which a call gives one more process, at first with an empty store."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Make]:
        found: list[Party] = []
        memory, sources = LeasedRecords(time.monotonic_ns), []
        if request.param == "postgres":
            databases: Databases = request.getfixturevalue("databases")
            sources = [databases.primary.source(databases.standby)]
            databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")

        def make(holder: str) -> Party:
            found.append(Party(holder, None if sources else memory, sources))
            return found[-1]

        try:
            yield make
        finally:
            for party in found:
                party.close()

    return opened


async def commit(store: LeasedStore, *effects: StoreEffect, within: float = 10.0) -> bool:
    """Whether it was done."""
    done = asyncio.Event()
    store.commit(effects, done.set)
    try:
        await asyncio.wait_for(done.wait(), within)
    except TimeoutError:
        return False
    return True


async def refused(party: Party, store: LeasedStore, *effects: StoreEffect) -> bool:
    """Whether the store says that the lease is lost, and not that it is done."""
    lost = party.lost
    done: list[int] = []
    store.commit(effects, partial(done.append, 1))
    async with asyncio.timeout(30.0):
        while not done and party.lost == lost:
            await asyncio.sleep(0.005)
    return not done


def run(work: Callable[[Make], Awaitable[None]], parties: Callable[[], object]) -> None:
    async def inside() -> None:
        async with parties() as make:  # type: ignore[attr-defined]
            await work(make)

    asyncio.run(inside())


def test_records_are_there_for_the_next_owner_in_the_order_of_their_keys(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one, other = make("one"), make("other")
        assert await one.look() is None
        assert await one.claim(0) == ("one", 1, True)
        store = await one.open(1)
        assert list(store.load()) == []
        assert await commit(store, StoreBinding(b"b", b"2"), StoreBinding(b"a", b"1"), StoreBinding(b"\0", b""))
        assert await other.claim(1) == ("other", 2, True)
        assert list((await other.open(2)).load()) == [(b"\0", b""), (b"a", b"1"), (b"b", b"2")]

    run(work, parties)


def test_the_last_word_on_a_key_counts(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one = make("one")
        await one.claim(0)
        store = await one.open(1)
        a, b = StoreBinding(b"a", b"1"), StoreBinding(b"b", b"1")
        assert await commit(store, a, DeleteBinding(b"a"), b, StoreBinding(b"b", b"2"))
        assert await commit(store, DeleteBinding(b"never there"), StoreBinding(b"c", b"1"), DeleteBinding(b"c"))
        assert await commit(store)
        assert list((await one.open(1)).load()) == [(b"b", b"2")]

    run(work, parties)


def test_nothing_is_kept_or_answered_under_a_lease_that_another_one_took(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one, other = make("one"), make("other")
        await one.claim(0)
        old = await one.open(1)
        await commit(old, StoreBinding(b"a", b"1"))
        await other.claim(1)
        new = await other.open(2)
        assert await refused(one, old, StoreBinding(b"a", b"2"), StoreBinding(b"b", b"1"))
        assert await refused(one, old)
        assert await commit(new, StoreBinding(b"c", b"1"))
        assert list((await other.open(2)).load()) == [(b"a", b"1"), (b"c", b"1")]
        assert other.lost == 0

    run(work, parties)


def test_many_batches_at_once_are_done_in_their_order(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one = make("one")
        await one.claim(0)
        store = await one.open(1)
        done: list[int] = []
        for number in range(40):
            changes: list[StoreEffect] = [StoreBinding(b"all", b"%d" % number)]
            changes.append(StoreBinding(b"%02d" % number, b""))
            if number:
                changes.append(DeleteBinding(b"%02d" % (number - 1)))
            store.commit(changes if number % 7 else (), partial(done.append, number))
        assert await commit(store)
        assert done == list(range(40))
        assert list((await one.open(1)).load()) == [
            *((b"%02d" % number, b"") for number in (6, 13, 20, 27, 34, 39)),
            (b"all", b"39"),
        ]
        assert one.lost == 0

    run(work, parties)


def test_an_earlier_life_of_the_same_process_is_another_one(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one = make("one")
        await one.claim(0)
        old = await one.open(1)
        assert await one.claim(1) == ("one", 2, True)
        assert await refused(one, old, StoreBinding(b"a", b"1"))

    run(work, parties)


def test_of_two_that_ask_for_the_lease_one_gets_it(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one, other, third = make("one"), make("other"), make("third")
        await one.claim(0)
        both = await asyncio.gather(other.claim(1), third.claim(1))
        assert both[0] == both[1]
        assert both[0] in (("other", 2, True), ("third", 2, True))
        assert await one.claim(1) == both[0]

    run(work, parties)


def test_a_lease_is_over_is_renewed_and_is_given_back(parties: Callable[[], object]) -> None:
    async def work(make: Make) -> None:
        one, other = make("one"), make("other")
        await one.claim(0, 50 * MILLISECOND)
        await asyncio.sleep(0.06)
        assert await other.look() == ("one", 1, False)
        assert await one.renew(1, MINUTE) == ("one", 1, True), "nobody took it, so it goes on"
        assert await one.renew(1, 0) == ("", 1, False)
        assert await refused(one, await one.open(1), StoreBinding(b"a", b"1"))
        assert await other.claim(1) == ("other", 2, True)
        assert await one.renew(1, MINUTE) == ("other", 2, True)

    run(work, parties)


# --- PostgreSQL alone -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def no_proof(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """As long as this lasts batches are written, and nobody knows whether they are safe."""
    connection = await asyncpg.connect(databases.primary.source())
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE proof IN EXCLUSIVE MODE")
            yield connection
    finally:
        await connection.close()


async def written(connection: asyncpg.Connection, count: int) -> None:
    """Until so many records are."""
    while await connection.fetchval("SELECT count(*) FROM session") != count:
        await asyncio.sleep(0.005)


def test_a_claim_does_not_wait_for_batches_and_none_of_them_is_answered_after_it(databases: Databases) -> None:
    databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    sources = [databases.primary.source(databases.standby)]

    async def work() -> None:
        one, other = Party("one", None, sources), Party("other", None, sources)
        await one.claim(0)
        store = await one.open(1)
        done: list[int] = []
        async with no_proof(databases) as beside:
            for number in range(3):
                store.commit([StoreBinding(b"%d" % number, b"old")], partial(done.append, number))
            await written(beside, 3)
            assert await asyncio.wait_for(other.claim(1), 4.0) == ("other", 2, True)
            store.commit([StoreBinding(b"0", b"too late"), StoreBinding(b"3", b"")], partial(done.append, 3))
        while one.lost < 4:
            await asyncio.sleep(0.005)
        assert done == []
        new = await other.open(2)
        assert list(new.load()) == [(b"%d" % number, b"old") for number in range(3)]
        assert await commit(new, StoreBinding(b"0", b"new"))
        for party in (one, other):
            party.close()

    asyncio.run(work())


def test_what_a_server_lost_before_it_was_safe_is_written_again(databases: Databases) -> None:
    """All of it and in its order, whatever came after."""
    databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    sources = [databases.primary.source(databases.standby)]

    async def work() -> None:
        one = Party("one", None, sources)
        await one.claim(0)
        store = await one.open(1)
        assert await commit(store, StoreBinding(b"a", b"1"))
        done: list[int] = []
        async with no_proof(databases) as beside:
            store.commit([StoreBinding(b"b", b"1"), StoreBinding(b"c", b"1")], partial(done.append, 1))
            await written(beside, 3)
            store.commit([StoreBinding(b"b", b"2"), StoreBinding(b"d", b"1")], partial(done.append, 2))
            await written(beside, 4)
            # As a server that lost its power: the batches are gone, and their numbers with them.
            await beside.execute("DELETE FROM session WHERE key <> 'a'")
            await beside.execute("UPDATE anchor SET batch = 1")
        assert await commit(store, DeleteBinding(b"d"))
        assert done == [1, 2]
        assert list((await one.open(1)).load()) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"1")]
        one.close()

    asyncio.run(work())


def test_a_batch_is_not_written_where_the_one_before_it_is_missing(databases: Databases) -> None:
    databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    sources = [databases.primary.source(databases.standby)]

    async def work() -> None:
        one = Party("one", None, sources)
        await one.claim(0)
        store = await one.open(1)
        assert await commit(store, StoreBinding(b"a", b"1"))
        done: list[int] = []
        async with no_proof(databases) as beside:
            store.commit([StoreBinding(b"b", b"1")], partial(done.append, 1))
            await written(beside, 2)
            await asyncio.to_thread(
                databases.primary.sql, "DELETE FROM session WHERE key = 'b'; UPDATE anchor SET batch = 1"
            )
            store.commit([StoreBinding(b"c", b"1")], partial(done.append, 2))
            while store._number < 3:  # type: ignore[attr-defined]
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
        assert await commit(store)
        assert done == [1, 2]
        assert list((await one.open(1)).load()) == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]
        one.close()

    asyncio.run(work())


def test_nothing_that_was_answered_is_lost_when_connections_break(databases: Databases) -> None:
    databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    sources = [databases.primary.source(databases.standby)]

    async def work() -> None:
        one = Party("one", None, sources)
        await one.claim(0)
        store = await one.open(1)
        for round_ in range(5):
            keep = asyncio.create_task(commit_all(store, round_))
            await asyncio.sleep(0.02)
            await asyncio.to_thread(
                databases.primary.sql,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )
            await keep
            assert [record for _, record in (await one.open(1)).load()] == [b"%d 199" % round_] * 10
        one.close()

    async def commit_all(store: LeasedStore, round_: int) -> None:
        done: list[int] = []
        for number in range(200):
            record = b"%d %d" % (round_, number)
            store.commit([StoreBinding(b"%d" % key, record) for key in range(10)], partial(done.append, number))
            await asyncio.sleep(0)
        assert await commit(store, within=60.0)
        assert done == list(range(200))

    asyncio.run(work())


async def kept(database: Database) -> list[tuple[bytes, bytes]]:
    """All records, read anew."""
    store = await LeasedPostgres.open(database, 1, lambda: None)
    store.close()
    return list(store.load())


def test_several_addresses_do_not_mix(databases: Databases) -> None:
    databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    sources = [databases.primary.source(databases.standby)]

    async def work() -> None:
        for octet in (1, 2):
            database = Database(sources, bytes(15) + bytes((octet,)), "one")
            assert await database.claim(0, MINUTE) == ("one", 1, True)
            store = await LeasedPostgres.open(database, 1, lambda: None)
            assert await commit(store, StoreBinding(b"a", bytes((octet,))))
            store.close()
            assert await kept(database) == [(b"a", bytes((octet,)))]

    asyncio.run(work())


def test_many_records_are_read_a_part_at_a_time(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, no statement takes so long that it is given up."""
    databases.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    monkeypatch.setattr(leased_postgres, "PAGE", 100)
    wanted = [(number.to_bytes(4, "big"), b"%d" % number) for number in range(1000)]

    async def work() -> None:
        database = Database([databases.primary.source(databases.standby)], ADDRESS, "one")
        await database.claim(0, MINUTE)
        store = await LeasedPostgres.open(database, 1, lambda: None)
        assert await commit(store, *[StoreBinding(key, record) for key, record in wanted])
        store.close()
        assert await kept(database) == wanted

    asyncio.run(work())


FIRST_VERSION = """
DROP TABLE IF EXISTS anchor, session, proof;
CREATE TABLE anchor (
  address bytea PRIMARY KEY, holder text NOT NULL, epoch bigint NOT NULL, until timestamptz NOT NULL);
CREATE TABLE session (anchor bytea NOT NULL, key bytea NOT NULL, record bytea NOT NULL, PRIMARY KEY (anchor, key));
INSERT INTO anchor VALUES ('\\x20010db800ff00000000000000000001', 'before', 7, now() + interval '1 hour');
INSERT INTO session VALUES ('\\x20010db800ff00000000000000000001', 'a', 'kept');
"""
"""As commit cb2973b made them, and used them."""


def test_tables_of_the_first_version_are_used_on(databases: Databases) -> None:
    """A column was missing, and nobody could be the LMA: the store was asked for ever, without a word."""
    databases.primary.sql(FIRST_VERSION)
    sources = [databases.primary.source(databases.standby)]

    async def work() -> None:
        one, other = Party("one", None, sources), Party("other", None, sources)
        assert await asyncio.gather(one.look(), other.look()) == [("before", 7, True)] * 2  # both put it right at once
        assert await one.claim(7) == ("one", 8, True)
        store = await one.open(8)
        assert list(store.load()) == [(b"a", b"kept")]
        assert await commit(store, StoreBinding(b"b", b"new"))
        for party in (one, other):
            party.close()

    asyncio.run(asyncio.wait_for(work(), 30.0))
    # A process of the version before asks as it did.
    databases.primary.sql("INSERT INTO anchor (address, holder, epoch, until) VALUES ('x', 'before', 1, now())")


def test_tables_of_the_first_version_that_are_not_ours_are_refused_with_what_to_do(databases: Databases) -> None:
    databases.primary.sql(FIRST_VERSION)
    databases.primary.sql(
        "CREATE ROLE guest LOGIN; GRANT ALL ON SCHEMA public TO guest; GRANT ALL ON anchor, session TO guest"
    )
    source = databases.primary.source().replace("user=postgres", "user=guest")

    async def work() -> None:
        with pytest.raises(StoreError, match=r"earlier version: must be owner .* ALTER TABLE anchor ADD COLUMN"):
            await asyncio.wait_for(Database([source], ADDRESS, "one").look(), 10.0)
        databases.primary.sql(leased_postgres.LATER[1])
        database = Database([source], ADDRESS, "one")
        assert await database.look() == ("before", 7, True)
        database.close()

    try:
        asyncio.run(work())
    finally:
        databases.primary.sql("DROP OWNED BY guest; DROP ROLE guest")


def test_a_role_that_does_not_exist_is_told_at_once(databases: Databases) -> None:
    async def work() -> None:
        source = databases.primary.source().replace("user=postgres", "user=nobody")
        with pytest.raises(StoreError, match="nobody"):
            await Database([source], ADDRESS, "one").look()

    asyncio.run(work())


def test_nothing_that_was_answered_is_lost_when_the_primary_dies_and_its_standby_is_promoted() -> None:
    directory = Path(tempfile.mkdtemp(prefix="sojourn-"))
    primary = Server(directory / "a").start()
    standby = Server(directory / "b", primary).start()
    primary.replicate(standby)
    sources = [primary.source(standby)]

    async def work() -> None:
        database = Database(sources, ADDRESS, "one")
        await database.claim(0, MINUTE)
        store = await LeasedPostgres.open(database, 1, lambda: pytest.fail("the lease is still ours"))
        answered: list[int] = []

        async def load() -> None:
            for start in range(0, 400, 4):
                for number in range(start, start + 4):
                    store.commit([StoreBinding(b"%03d" % number, b"x")], partial(answered.append, number))
                assert await commit(store, within=30.0)

        loading = asyncio.create_task(load())
        while len(answered) < 100:
            await asyncio.sleep(0.005)
        primary.kill()
        await asyncio.to_thread(standby.promote)
        await loading
        store.close()
        assert [key for key, _ in await kept(database)] == [b"%03d" % number for number in answered]
        assert len(answered) == 400

    try:
        asyncio.run(work())
    finally:
        for server in (primary, standby):
            server.kill()
        shutil.rmtree(directory)
