"""Processes that may own a leased store, in memory or at a PostgreSQL server, and what they ask of it."""

from __future__ import annotations

import asyncio
from functools import partial

from sojourn.core.effects import StoreEffect
from sojourn.stores import LeasedStore
from sojourn.stores.leased_memory import LeasedMemory, LeasedRecords
from sojourn.stores.leased_postgres import Database, LeasedPostgres
from sojourn.wire.addresses import address
from sojourn.wire.units import MINUTE, Duration

ADDRESS = address("2001:db8:ff::1")
Row = tuple[str, int, bool] | None


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
