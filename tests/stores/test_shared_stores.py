"""Stores that several processes share: each change is a compare-and-swap, and who was too late learns what is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest

from sojourn.core.effects import CheckBinding, DeleteBinding, StoreBinding, StoreEffect
from sojourn.core.events import BindingChanged
from sojourn.lab.postgres import Partition, Server, partitions, servers
from sojourn.stores import SharedStore, StoreError
from sojourn.stores.postgres import PostgresStore
from sojourn.stores.shared_memory import SharedMemory
from sojourn.wire.units import MINUTE, SECOND

Make = Callable[[], Awaitable[SharedStore]]
GONE = ("gone", b"")


class Databases(NamedTuple):
    """Two partitions, the first with a synchronous standby."""

    first: Server
    standby: Server
    second: Server


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with servers() as start:
        first = start(None)
        yield Databases(first, start(first), start(None))


@pytest.fixture(params=["memory", "postgres"])
def shared(request: pytest.FixtureRequest) -> Callable[[], object]:
    """A context in which a call gives one more process a view of the same, at first empty, store."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Make]:
        stores: list[SharedStore] = []
        memory = SharedMemory(time.monotonic_ns)
        if request.param == "postgres":
            databases: Databases = request.getfixturevalue("databases")
            sources = [databases.first.source(databases.standby), databases.second.source()]
            for server in (databases.first, databases.second):
                server.sql("DROP TABLE IF EXISTS binding")

        async def make() -> SharedStore:
            stores.append(memory.view() if request.param == "memory" else await PostgresStore.open(sources))
            return stores[-1]

        try:
            yield make
        finally:
            for store in stores:
                store.close()

    return opened


def swap(store: SharedStore, *effects: StoreEffect) -> asyncio.Future[Sequence[BindingChanged]]:
    done: asyncio.Future[Sequence[BindingChanged]] = asyncio.get_running_loop().create_future()
    store.swap(effects, done.set_result)
    return done


def keep(key: bytes, record: bytes) -> StoreBinding:
    return StoreBinding(key, record, MINUTE)


def words(changed: Sequence[BindingChanged]) -> dict[bytes, bytes]:
    return {one.key: one.record for one in changed}


def test_who_was_too_late_learns_what_is_true_and_may_change_that(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            assert await swap(one, keep(b"a", b"1"), keep(b"b", b"2")) == []
            refused = await swap(two, keep(b"a", b"x"), keep(b"c", b"y"))
            assert words(refused) == {b"a": b"1"}, "c was nobody's"
            assert 50 * SECOND < refused[0].remaining <= MINUTE
            assert await swap(two, keep(b"a", b"x")) == [], "what it was told counts as seen"
            assert words(await swap(one, keep(b"a", b"z"))) == {b"a": b"x"}
            assert await swap(one, keep(b"a", b"z"), keep(b"b", b"3")) == []

    asyncio.run(play())


def test_what_was_told_counts_as_seen_when_it_is_taken_and_not_before(shared) -> None:
    """An engine that has not heard of it yet would change what it does not know."""

    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            await swap(one, keep(b"a", b"1 here"))
            found: asyncio.Future[Sequence[BindingChanged]] = asyncio.get_running_loop().create_future()
            two.find(b"here", found.set_result)
            (told,) = await found
            assert words(await swap(two, keep(b"a", b"x"))) == {b"a": b"1 here"}, "it was not taken"
            assert not two.take(told), "something was seen since, even if it is the same"
            await swap(two, keep(b"b", b"2 there"))
            again: asyncio.Future[Sequence[BindingChanged]] = asyncio.get_running_loop().create_future()
            one.find(b"there", again.set_result)
            (told,) = await again
            assert one.take(told)
            assert await swap(one, keep(b"b", b"3")) == []

    asyncio.run(play())


def test_what_is_deleted_and_made_anew_is_another_one(shared) -> None:
    """Versions never come back: one who slept through both changes is refused."""

    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            await swap(one, keep(b"a", b"1"))
            await swap(two, CheckBinding(b"a"))
            await swap(two, DeleteBinding(b"a"))
            await swap(two, keep(b"a", b"1"))
            assert words(await swap(one, keep(b"a", b"2"))) == {b"a": b"1"}

    asyncio.run(play())


def test_a_change_of_something_that_was_deleted_is_refused(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            await swap(one, keep(b"a", b"1"))
            assert words(await swap(two, DeleteBinding(b"a"))) == {b"a": b"1"}, "it did not know of it"
            assert await swap(two, DeleteBinding(b"a")) == []
            assert words(await swap(one, keep(b"a", b"2"))) == {b"a": b""}
            assert await swap(one, keep(b"a", b"2")) == []

    asyncio.run(play())


def test_a_check_changes_nothing_and_tells_what_is_true(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            assert await swap(one, CheckBinding(b"a")) == [], "there is nothing, as it believed"
            await swap(one, keep(b"a", b"1"))
            assert await swap(one, CheckBinding(b"a")) == []
            assert words(await swap(two, CheckBinding(b"a"))) == {b"a": b"1"}
            await swap(two, DeleteBinding(b"a"))
            assert words(await swap(one, CheckBinding(b"a"))) == {b"a": b""}

    asyncio.run(play())


def test_the_last_word_on_a_key_counts(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            assert await swap(one, keep(b"a", b"1"), CheckBinding(b"a"), keep(b"a", b"2"), CheckBinding(b"a")) == []
            assert words(await swap(two, CheckBinding(b"a"))) == {b"a": b"2"}
            assert await swap(two, keep(b"a", b"3"), DeleteBinding(b"a")) == []
            assert await swap(two, CheckBinding(b"a")) == []

    asyncio.run(play())


def test_a_newcomer_sees_that_this_is_not_the_beginning(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one = await make()
            assert list(one.load()) == []
            await swap(one, keep(b"a", b"1"))
            assert list((await make()).load()) == [(b"a", b"1")]

    asyncio.run(play())


def test_whoever_held_what_another_one_changed_is_told(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            told: list[BindingChanged] = []
            one.watch(told.extend)
            await asyncio.sleep(0.3)  # it listens
            await swap(one, keep(b"a", b"1"), keep(b"b", b"1"))
            await swap(two, CheckBinding(b"a"))
            await swap(two, keep(b"a", b"2"))
            for _ in range(100):
                if told:
                    break
                await asyncio.sleep(0.02)
            assert words(told) == {b"a": b""}, "it need not know more before it is asked"
            assert words(await swap(one, keep(b"a", b"3"))) == {b"a": b"2"}
            assert await swap(one, keep(b"a", b"3")) == []
            assert not one.take(told[0]), "heeded now, it would make the engine forget what is its own"
            assert await swap(one, keep(b"a", b"4")) == []

    asyncio.run(play())


def test_what_mentions_an_address_is_found_where_it_is_not_known(shared) -> None:
    async def play() -> None:
        async with shared() as make:
            one, two = await make(), await make()
            await swap(one, *(keep(bytes([number]), b"at %d" % (number % 2)) for number in range(6)))
            await swap(two, CheckBinding(bytes([1])))
            found: asyncio.Future[Sequence[BindingChanged]] = asyncio.get_running_loop().create_future()
            two.find(b"at 1", found.set_result)
            assert set(words(await found)) == {bytes([3]), bytes([5])}

    asyncio.run(play())


def test_many_processes_that_change_one_key_lose_no_change(shared) -> None:
    """A counter that each raises twenty times: whoever is refused looks and tries again."""

    async def raise_it(store: SharedStore) -> None:
        value = 0
        for _ in range(20):
            while True:
                refused = await swap(store, keep(b"n", b"%d" % (value + 1)))
                if not refused:
                    break
                value = int(refused[0].record)
            value += 1

    async def play() -> None:
        async with shared() as make:
            await asyncio.gather(*[raise_it(await make()) for _ in range(3)])
            assert dict((await make()).load()) == {b"n": b"60"}

    asyncio.run(play())


def test_a_batch_of_all_kinds_of_changes_is_one_commit(databases: Databases) -> None:
    """Two disks are waited for at each."""

    async def play() -> None:
        databases.second.sql("DROP TABLE IF EXISTS binding")
        one, two = [await PostgresStore.open([databases.second.source()]) for _ in range(2)]
        await swap(one, keep(b"a", b"1"), keep(b"b", b"1"))
        refused = await swap(two, keep(b"b", b"x"))
        assert words(refused) == {b"b": b"1"}
        await swap(two, keep(b"b", b"2"))
        refused = await swap(one, keep(b"a", b"2"), DeleteBinding(b"b"), keep(b"c", b"2"))
        assert words(refused) == {b"b": b"2"}, "and the others were carried out"
        rows = databases.second.sql("SELECT key, record, xmin FROM binding ORDER BY key").splitlines()
        changes = {line.split("|")[0]: line.split("|")[2] for line in rows}
        assert changes[r"\x61"] == changes[r"\x63"] != changes[r"\x62"]
        one.close()
        two.close()

    asyncio.run(play())


@pytest.mark.slow
def test_a_primary_that_dies_under_load_loses_nothing_that_was_answered() -> None:
    answered: dict[bytes, bytes] = {}

    async def load(store: SharedStore, name: int) -> None:
        for number in range(150):
            batch = [keep(b"%d-%d-%d" % (name, number, which), b"%d" % number) for which in range(8)]
            assert await swap(store, *batch) == [], "also what was sent twice was carried out once"
            answered.update({one.key: one.record for one in batch})

    async def play(database: Partition) -> None:
        stores = [await PostgresStore.open([database.source]) for _ in range(3)]
        work = [asyncio.create_task(load(store, name)) for name, store in enumerate(stores)]
        while len(answered) < 600:
            await asyncio.sleep(0.005)
        database.primary.kill()
        await asyncio.to_thread(database.standby.promote)
        await asyncio.gather(*work)
        assert any(store.counters["retries"] for store in stores), "it died under load"
        for store in stores:
            store.close()

    with partitions(1, durable=False) as (database,):
        asyncio.run(play(database))
        rows = database.standby.sql("SELECT encode(key, 'escape'), encode(record, 'escape') FROM binding")
        assert dict(line.split("|") for line in rows.splitlines()) == {
            key.decode(): record.decode() for key, record in answered.items()
        }


def test_a_database_that_hangs_is_waited_for(databases: Databases) -> None:
    async def play() -> None:
        databases.second.sql("DROP TABLE IF EXISTS binding")
        store = await PostgresStore.open([databases.second.source()])
        databases.second.pause(True)
        waiting = swap(store, keep(b"a", b"1"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        databases.second.pause(False)
        assert await asyncio.wait_for(waiting, 20) == []
        store.close()

    asyncio.run(play())


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"nobody@localhost:1/x: .*; start it, or name one that runs") as caught:
        asyncio.run(PostgresStore.open(["postgresql://nobody:secret@localhost:1/x"], patience=0))
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_exist_is_named(databases: Databases) -> None:
    source = databases.second.source().replace("/postgres?", "/elsewhere?")
    with pytest.raises(StoreError, match=r'"elsewhere" does not exist; see to the role and database'):
        asyncio.run(PostgresStore.open([source], patience=0))


@pytest.mark.slow
def test_a_role_without_the_right_to_create_is_told_the_statement_and_then_needs_no_such_right(
    databases: Databases,
) -> None:
    server = databases.first
    server.sql("CREATE DATABASE strict")
    server.sql("CREATE ROLE guest LOGIN")
    source = server.source().replace("/postgres?user=postgres", "/strict?user=guest")

    async def work() -> None:
        with pytest.raises(StoreError, match=r"permission denied .*: CREATE TABLE IF NOT EXISTS binding \(") as refused:
            await PostgresStore.open([source], patience=0)
        owner = await asyncpg.connect(source.replace("user=guest", "user=postgres"))
        await owner.execute(str(refused.value).partition("say once: ")[2])
        with pytest.raises(StoreError, match="grant the role the rights to its tables"):
            await PostgresStore.open([source], patience=0)
        await owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON binding TO guest")
        await owner.close()
        store = await PostgresStore.open([source], patience=0)
        assert not await swap(store, keep(b"a", b"one"))
        store.close()

    try:
        asyncio.run(work())
    finally:
        server.sql("DROP DATABASE strict WITH (FORCE)")
        server.sql("DROP ROLE guest")


def test_what_is_over_is_told_to_one_that_is_still_there(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.stores.postgres.SWEEP", 0.1)
    monkeypatch.setattr("sojourn.stores.postgres.GRACE", 0)
    monkeypatch.setattr("sojourn.stores.postgres.SWEPT", 2)

    async def play() -> None:
        databases.second.sql("DROP TABLE IF EXISTS binding")
        one, two = [await PostgresStore.open([databases.second.source()]) for _ in range(2)]
        await swap(one, StoreBinding(b"short", b"1", SECOND // 20), *(keep(b"long %d" % n, b"1") for n in range(5)))
        one.close()
        told: list[BindingChanged] = []
        two.watch(told.extend)
        for _ in range(400):
            if len(told) > 1:
                break
            await asyncio.sleep(0.05)
        assert words(told) == {b"short": b"1"}
        assert len(told) > 1, "nobody ended it, and the search began anew"
        assert told[0].remaining <= 0
        assert two.counters["asides-refused"] == 0
        two.close()

    asyncio.run(play())


@pytest.mark.slow
def test_an_engine_without_notifications_will_do(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """YugabyteDB refuses LISTEN, unless it is switched on; searches, and looks for what is over, go on."""

    async def refuse(*_: object) -> None:
        raise asyncpg.FeatureNotSupportedError("This statement not supported yet")

    monkeypatch.setattr(asyncpg.Connection, "add_listener", refuse)
    monkeypatch.setattr("sojourn.stores.postgres.CHANNEL", "x" * 64)  # a name that PostgreSQL refuses to notify
    monkeypatch.setattr("sojourn.stores.postgres._GATHERED", 0)

    async def play() -> None:
        databases.second.sql("DROP TABLE IF EXISTS binding")
        one, two = [await PostgresStore.open([databases.second.source()]) for _ in range(2)]
        try:
            two.watch(lambda _: None)
            await swap(one, keep(b"a", b"1"))
            assert words(await swap(two, keep(b"a", b"2"))) == {b"a": b"1"}
            await swap(one, keep(b"b", b"1 there"))
            found: asyncio.Future[Sequence[BindingChanged]] = asyncio.get_running_loop().create_future()
            two.find(b"there", found.set_result)
            assert words(await asyncio.wait_for(found, 30)) == {b"b": b"1 there"}
            assert await swap(two, keep(b"a", b"2")) == []  # one is to hear of that, and cannot
            await asyncio.sleep(0.1)
            assert two.counters["asides-refused"] == 0
            assert words(await swap(one, keep(b"a", b"3"))) == {b"a": b"2"}
        finally:
            one.close()
            two.close()

    asyncio.run(play())
