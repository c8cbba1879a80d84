"""A store at a PostgreSQL server that one process at a time owns: what is peculiar to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.lab.postgres import Partition, partitions
from sojourn.stores import LeasedStore, StoreError, leased_postgres
from sojourn.stores.leased_postgres import Database, LeasedPostgres
from sojourn.wire.units import MINUTE
from support.leased_stores import ADDRESS, Party, commit


@pytest.fixture(scope="module")
def servers() -> Iterator[Partition]:
    with partitions(1, durable=False) as (found,):
        yield found


@pytest.fixture
def database(servers: Partition) -> Partition:
    """Nothing is in it."""
    servers.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")
    return servers


@asynccontextmanager
async def owner(database: Partition) -> AsyncIterator[tuple[Party, LeasedStore]]:
    """A process that has the lease, and its store."""
    party = Party("one", None, [database.source])
    try:
        await party.claim(0)
        yield party, await party.open(1)
    finally:
        party.close()


async def kept(party: Party) -> list[tuple[bytes, bytes]]:
    """All records, read anew."""
    return list((await party.open(1)).load())


@asynccontextmanager
async def no_proof(database: Partition) -> AsyncIterator[asyncpg.Connection]:
    """As long as this lasts batches are written, and nobody knows whether they are safe."""
    connection = await asyncpg.connect(database.primary.source())
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


def test_a_claim_does_not_wait_for_batches_and_none_of_them_is_answered_after_it(database: Partition) -> None:
    async def work() -> None:
        other = Party("other", None, [database.source])
        done: list[int] = []
        async with owner(database) as (one, store):
            async with no_proof(database) as beside:
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
        other.close()

    asyncio.run(work())


def test_what_a_server_lost_before_it_was_safe_is_written_again(database: Partition) -> None:
    """All of it and in its order, whatever came after."""

    async def work() -> None:
        async with owner(database) as (one, store):
            assert await commit(store, StoreBinding(b"a", b"1"))
            done: list[int] = []
            async with no_proof(database) as beside:
                store.commit([StoreBinding(b"b", b"1"), StoreBinding(b"c", b"1")], partial(done.append, 1))
                await written(beside, 3)
                store.commit([StoreBinding(b"b", b"2"), StoreBinding(b"d", b"1")], partial(done.append, 2))
                await written(beside, 4)
                # As a server that lost its power: the batches are gone, and their numbers with them.
                await beside.execute("DELETE FROM session WHERE key <> 'a'")
                await beside.execute("UPDATE anchor SET batch = 1")
            assert await commit(store, DeleteBinding(b"d"))
            assert done == [1, 2]
            assert await kept(one) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"1")]

    asyncio.run(work())


def test_a_batch_is_not_written_where_the_one_before_it_is_missing(database: Partition) -> None:
    async def work() -> None:
        async with owner(database) as (one, store):
            assert await commit(store, StoreBinding(b"a", b"1"))
            done: list[int] = []
            async with no_proof(database) as beside:
                store.commit([StoreBinding(b"b", b"1")], partial(done.append, 1))
                await written(beside, 2)
                await asyncio.to_thread(
                    database.primary.sql, "DELETE FROM session WHERE key = 'b'; UPDATE anchor SET batch = 1"
                )
                store.commit([StoreBinding(b"c", b"1")], partial(done.append, 2))
                while store._number < 3:  # type: ignore[attr-defined]
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.05)
            assert await commit(store)
            assert done == [1, 2]
            assert await kept(one) == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]

    asyncio.run(work())


def test_nothing_that_was_answered_is_lost_when_connections_break(database: Partition) -> None:
    async def work() -> None:
        async with owner(database) as (one, store):
            for round_ in range(5):
                keep = asyncio.create_task(commit_all(store, round_))
                await asyncio.sleep(0.02)
                await asyncio.to_thread(
                    database.primary.sql,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
                )
                await keep
                assert [record for _, record in await kept(one)] == [b"%d 199" % round_] * 10

    async def commit_all(store: LeasedStore, round_: int) -> None:
        done: list[int] = []
        for number in range(200):
            record = b"%d %d" % (round_, number)
            store.commit([StoreBinding(b"%d" % key, record) for key in range(10)], partial(done.append, number))
            await asyncio.sleep(0)
        assert await commit(store, within=60.0)
        assert done == list(range(200))

    asyncio.run(work())


def test_several_addresses_do_not_mix(database: Partition) -> None:
    async def work() -> None:
        for octet in (1, 2):
            anchor = Database([database.source], bytes(15) + bytes((octet,)), "one")
            assert await anchor.claim(0, MINUTE) == ("one", 1, True)
            store = await LeasedPostgres.open(anchor, 1, lambda: None)
            assert await commit(store, StoreBinding(b"a", bytes((octet,))))
            again = await LeasedPostgres.open(anchor, 1, lambda: None)
            assert list(again.load()) == [(b"a", bytes((octet,)))]
            again.close()
            store.close()

    asyncio.run(work())


def test_many_records_are_read_a_part_at_a_time(database: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, no statement takes so long that it is given up."""
    monkeypatch.setattr(leased_postgres, "PAGE", 100)
    wanted = [(number.to_bytes(4, "big"), b"%d" % number) for number in range(1000)]

    async def work() -> None:
        async with owner(database) as (one, store):
            assert await commit(store, *[StoreBinding(key, record) for key, record in wanted])
            assert await kept(one) == wanted

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


def test_tables_of_the_first_version_are_used_on(database: Partition) -> None:
    """A column was missing, and nobody could be the LMA: the store was asked for ever, without a word."""
    database.primary.sql(FIRST_VERSION)
    sources = [database.source]

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
    database.primary.sql("INSERT INTO anchor (address, holder, epoch, until) VALUES ('x', 'before', 1, now())")


def test_tables_of_the_first_version_that_are_not_ours_are_refused_with_what_to_do(database: Partition) -> None:
    database.primary.sql(FIRST_VERSION)
    database.primary.sql(
        "CREATE ROLE guest LOGIN; GRANT ALL ON SCHEMA public TO guest; GRANT ALL ON anchor, session TO guest"
    )
    source = database.primary.source().replace("user=postgres", "user=guest")

    async def work() -> None:
        with pytest.raises(StoreError, match=r"does not exist, .* must be owner .* ALTER TABLE anchor ADD COLUMN"):
            await asyncio.wait_for(Database([source], ADDRESS, "one").look(), 10.0)
        database.primary.sql(leased_postgres.SCHEMA[-1][1])
        guest = Database([source], ADDRESS, "one")
        assert await guest.look() == ("before", 7, True)
        guest.close()

    try:
        asyncio.run(work())
    finally:
        database.primary.sql("DROP OWNED BY guest; DROP ROLE guest")


def test_a_role_that_does_not_exist_is_told_at_once(database: Partition) -> None:
    async def work() -> None:
        source = database.primary.source().replace("user=postgres", "user=nobody")
        with pytest.raises(StoreError, match="nobody"):
            await Database([source], ADDRESS, "one").look()

    asyncio.run(work())


def test_nothing_that_was_answered_is_lost_when_the_primary_dies_and_its_standby_is_promoted() -> None:
    async def work(database: Partition) -> None:
        async with owner(database) as (one, store):
            answered: list[int] = []

            async def load() -> None:
                for start in range(0, 400, 4):
                    for number in range(start, start + 4):
                        store.commit([StoreBinding(b"%03d" % number, b"x")], partial(answered.append, number))
                    assert await commit(store, within=30.0)

            loading = asyncio.create_task(load())
            while len(answered) < 100:
                await asyncio.sleep(0.005)
            database.primary.kill()
            await asyncio.to_thread(database.standby.promote)
            await loading
            assert [key for key, _ in await kept(one)] == [b"%03d" % number for number in answered]
            assert len(answered) == 400
            assert one.lost == 0

    with partitions(1, durable=False) as (database,):
        asyncio.run(work(database))
