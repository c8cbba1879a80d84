"""An LMA whose bindings are in PostgreSQL under a lease, with real servers and real raw sockets. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/leased.py [NODES] [BINDINGS]

1. NODES nodes (default 30,000) register, a fifth of them refreshes and another fifth hands over, at one LMA over one
   PostgreSQL server with fsync and a synchronous standby: each new or changed binding is durable on both before it is
   answered. All share two cores with the gateways that ask. The rows are those of bench/signalling.py, and besides "us
   server", processor time of both servers for one answer, "cores", the share of all cores that LMA, servers and
   gateways used, and "in all", that of whoever was running: more than that is not to be had from this machine. Goal:
   10,000 registrations a second.
2. BINDINGS (default 1,000,000) are in the store: how long whoever takes the lease over reads before it can begin.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from restart import bindings_of_lma
from signalling import CMD, HEAD, WINDOW, make_lma, print_run
from sojourn.core.effects import StoreBinding
from sojourn.host.loop import Host
from sojourn.lab.postgres import Partition, partitions
from sojourn.stores.leased_postgres import Database, LeasedPostgres
from sojourn.wire.units import HOUR

_AT_ONCE = 5_000


async def opened(source: str, lost: str = "the lease was lost") -> LeasedPostgres:
    """The store, under a lease that is taken now."""
    database = Database([source], CMD, "bench")
    row = await database.look()
    row = await database.claim(0 if row is None else row[1], HOUR)
    assert row is not None
    return await LeasedPostgres.open(database, row[1], lambda: sys.exit(lost))


async def make(source: str) -> Host:
    store = await opened(source)
    return make_lma(lambda: store)  # type: ignore[arg-type, return-value]


async def fill(source: str, bindings: Sequence[StoreBinding]) -> None:
    store = await opened(source)
    for start in range(0, len(bindings), _AT_ONCE):
        done = asyncio.Event()
        store.commit(bindings[start : start + _AT_ONCE], done.set)
        await done.wait()
    store.close()


async def read(source: str) -> float:
    """Seconds from the claim to all records."""
    since = time.monotonic()
    store = await opened(source)
    count = len(list(store.load()))
    print(f"{count} bindings")
    store.close()
    return time.monotonic() - since


def started(store: Partition) -> Awaitable[Host]:
    return make(store.source)


def main() -> int:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    print(f"{nodes} nodes, {WINDOW} updates under way, a server and a synchronous standby; goal 10000 registrations/s")
    print(f"{HEAD}{'us server':>11}{'cores':>7}{'in all':>8}")
    with partitions(1) as (store,):
        make_it = partial(started, store)
        good = print_run(("lma", "leased", "memory"), nodes, make_it, servers=True)  # type: ignore[arg-type]
    with partitions(1) as (store,):
        asyncio.run(fill(store.source, list(bindings_of_lma(count))))
        print(f"are read in {asyncio.run(read(store.source)):.1f} s")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
