"""Stores elsewhere that one process at a time owns: nothing is kept under a lease that is another one's by now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding, StoreEffect
from sojourn.lab.postgres import Partition, partitions
from sojourn.stores.leased_memory import LeasedRecords
from sojourn.wire.units import MILLISECOND, MINUTE
from support.leased_stores import Party, commit, refused

Make = Callable[[str], Party]
Run = Callable[[Callable[[Make], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def database() -> Iterator[Partition]:
    with partitions(1, durable=False) as (found,):
        yield found


@pytest.fixture(params=["memory", "postgres"])
def run(request: pytest.FixtureRequest) -> Run:
    """Does what it is given, which gets a call that gives one more process, at first with an empty store."""

    def play(work: Callable[[Make], Awaitable[None]]) -> None:
        found: list[Party] = []
        memory, sources = LeasedRecords(time.monotonic_ns), []
        if request.param == "postgres":
            database: Partition = request.getfixturevalue("database")
            sources = [database.source]
            database.primary.sql("DROP TABLE IF EXISTS anchor, session, proof")

        def make(holder: str) -> Party:
            found.append(Party(holder, None if sources else memory, sources))
            return found[-1]

        async def inside() -> None:
            try:
                await work(make)
            finally:
                for party in found:
                    party.close()

        asyncio.run(inside())

    return play


def test_records_are_there_for_the_next_owner_in_the_order_of_their_keys(run: Run) -> None:
    async def work(make: Make) -> None:
        one, other = make("one"), make("other")
        assert await one.look() is None
        assert await one.claim(0) == ("one", 1, True)
        store = await one.open(1)
        assert list(store.load()) == []
        assert await commit(store, StoreBinding(b"b", b"2"), StoreBinding(b"a", b"1"), StoreBinding(b"\0", b""))
        assert await other.claim(1) == ("other", 2, True)
        assert list((await other.open(2)).load()) == [(b"\0", b""), (b"a", b"1"), (b"b", b"2")]

    run(work)


def test_the_last_word_on_a_key_counts(run: Run) -> None:
    async def work(make: Make) -> None:
        one = make("one")
        await one.claim(0)
        store = await one.open(1)
        a, b = StoreBinding(b"a", b"1"), StoreBinding(b"b", b"1")
        assert await commit(store, a, DeleteBinding(b"a"), b, StoreBinding(b"b", b"2"))
        assert await commit(store, DeleteBinding(b"never there"), StoreBinding(b"c", b"1"), DeleteBinding(b"c"))
        assert await commit(store)
        assert list((await one.open(1)).load()) == [(b"b", b"2")]

    run(work)


def test_nothing_is_kept_or_answered_under_a_lease_that_another_one_took(run: Run) -> None:
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

    run(work)


def test_many_batches_at_once_are_done_in_their_order(run: Run) -> None:
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

    run(work)


def test_an_earlier_life_of_the_same_process_is_another_one(run: Run) -> None:
    async def work(make: Make) -> None:
        one = make("one")
        await one.claim(0)
        old = await one.open(1)
        assert await one.claim(1) == ("one", 2, True)
        assert await refused(one, old, StoreBinding(b"a", b"1"))

    run(work)


def test_of_two_that_ask_for_the_lease_one_gets_it(run: Run) -> None:
    async def work(make: Make) -> None:
        one, other, third = make("one"), make("other"), make("third")
        await one.claim(0)
        both = await asyncio.gather(other.claim(1), third.claim(1))
        assert both[0] == both[1]
        assert both[0] in (("other", 2, True), ("third", 2, True))
        assert await one.claim(1) == both[0]

    run(work)


def test_a_lease_is_over_is_renewed_and_is_given_back(run: Run) -> None:
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

    run(work)
