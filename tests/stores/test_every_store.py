"""What all stores promise, wherever they are and whoever else may change them: a journal, several processes over
PostgreSQL, one process with a lease there, and what tests and simulations have in their places."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest

from sojourn.core.effects import CheckBinding, DeleteBinding, StoreBinding, StoreEffect
from sojourn.core.events import BindingChanged
from sojourn.lab.postgres import Server, servers
from sojourn.stores import LeasedStore, MemoryStore, SharedStore, SqliteStore, Store
from sojourn.stores.leased_memory import LeasedMemory, LeasedRecords
from sojourn.stores.leased_postgres import Database, LeasedPostgres
from sojourn.stores.postgres import PostgresStore
from sojourn.stores.shared_memory import SharedMemory
from sojourn.wire.addresses import address
from sojourn.wire.units import MINUTE

KEYS = (b"", b"\0", b"\0\xff", b"a", b"b", b"\xff" * 40)
ANCHOR = address("2001:db8:ff::1")


class Life(Protocol):
    """A process with a store. What it was answered for is there for the next one."""

    async def carry_out(self, batch: Sequence[StoreEffect]) -> None: ...

    async def found(self) -> dict[bytes, bytes]:
        """What is there, as one that has just begun sees it."""
        ...


class Alone:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def carry_out(self, batch: Sequence[StoreEffect]) -> None:
        self._store.apply(batch)

    async def found(self) -> dict[bytes, bytes]:
        return ordered(self._store.load())


class Among:
    def __init__(self, store: SharedStore) -> None:
        self._store = store

    async def carry_out(self, batch: Sequence[StoreEffect]) -> None:
        """It has seen all that it changes, and nobody else is there."""
        assert await self._swap(batch) == []

    async def found(self) -> dict[bytes, bytes]:
        told = await self._swap([CheckBinding(key) for key in KEYS])
        return dict(self._store.load()) | {one.key: one.record for one in told}

    async def _swap(self, batch: Sequence[StoreEffect]) -> Sequence[BindingChanged]:
        done: asyncio.Future[Sequence[BindingChanged]] = asyncio.get_running_loop().create_future()
        self._store.swap(batch, done.set_result)
        return await done


class Owner:
    def __init__(self, store: LeasedStore) -> None:
        self._store = store

    async def carry_out(self, batch: Sequence[StoreEffect]) -> None:
        done = asyncio.Event()
        self._store.commit(batch, done.set)
        await done.wait()

    async def found(self) -> dict[bytes, bytes]:
        return ordered(self._store.load())


def ordered(records: object) -> dict[bytes, bytes]:
    pairs = list(records)  # type: ignore[call-overload]
    assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
    return dict(pairs)


Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Life]]
"""The next process over what the one before left."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with servers() as start:
        yield start(None)


def fail() -> None:
    raise AssertionError("the lease was lost")


@pytest.fixture(params=["memory", "sqlite", "shared memory", "postgres", "leased memory", "leased postgres"])
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Begin:
    memory, shared, leased = MemoryStore(), SharedMemory(time.monotonic_ns), LeasedRecords(time.monotonic_ns)
    source = ""
    if request.param.endswith("postgres"):
        postgres: Server = request.getfixturevalue("server")
        postgres.sql("DROP TABLE IF EXISTS binding, anchor, session")
        source = postgres.source()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Life]:
        store: Store | SharedStore | LeasedStore
        life: Life
        match request.param:
            case "memory" | "sqlite":
                store = memory if request.param == "memory" else SqliteStore(tmp_path / "bindings.sqlite")
                life = Alone(store)
            case "shared memory" | "postgres":
                store = shared.view() if request.param == "shared memory" else await PostgresStore.open([source])
                life = Among(store)
            case "leased memory":
                row = leased.look()
                row = leased.claim("one", 0 if row is None else row[1], MINUTE)
                assert row is not None
                store = LeasedMemory(leased, "one", row[1], fail)
                life = Owner(store)
            case _:
                asking = Database([source], ANCHOR, "one")
                row = await asking.look()
                row = await asking.claim(0 if row is None else row[1], MINUTE)
                assert row is not None
                asking.close()
                store = await LeasedPostgres.open(Database([source], ANCHOR, "one"), row[1], fail)
                life = Owner(store)
        try:
            yield life
        finally:
            store.close()

    return opened


@pytest.mark.parametrize("seed", range(3))
def test_what_was_answered_for_is_there_in_the_next_life(begin: Begin, seed: int) -> None:
    """Batches of stores and deletions, several of one key among them, of which the last one counts."""
    chance = random.Random(seed)
    expected: dict[bytes, bytes] = {}

    async def play() -> None:
        for _ in range(4):
            async with begin() as life:
                assert await life.found() == expected
                for _ in range(6):
                    batch: list[StoreEffect] = []
                    for _ in range(chance.randrange(8)):
                        key = chance.choice(KEYS)
                        if chance.random() < 0.6:
                            batch.append(StoreBinding(key, chance.randbytes(chance.randrange(60)), MINUTE))
                            expected[key] = batch[-1].record
                        else:
                            batch.append(DeleteBinding(key))
                            expected.pop(key, None)
                    await life.carry_out(batch)
        async with begin() as life:
            assert await life.found() == expected

    asyncio.run(play())
