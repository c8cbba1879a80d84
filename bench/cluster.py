"""Several CMDs on one store, with real servers and real raw sockets. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/cluster.py [NODES]

One to three CMD processes serve NODES nodes (default 30,000) over two PostgreSQL servers with fsync and a synchronous
standby each, on the two cores that all of them share with the routers that ask. Every update is durable on two servers
before it is answered. Goals: 10,000 registrations a second, 99 of 100 within 20 ms, more with more processes until
the cores are used. "a core-second" is answers by the processor time of all CMD processes, "us server" that of all
servers for one answer. In the last row every node changes its CMD, so that each update is refused once by the store and
handled again.

Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from signalling import MAARS, POOLS, process, processor_time, update
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.configuration import CmdConfiguration, Maar
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY_DMM
from sojourn.host.loop import Host
from sojourn.lab.cmd_cluster import partitions
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.stores.postgres import PostgresStore
from sojourn.wire import BindingAcknowledgement, BindingUpdate, decode, encode
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.units import SECOND, ticks

CMDS = [address(f"2001:db8:c::{number}") for number in (1, 2, 3)]
UNDER_WAY = 96
"""Updates that wait for their answer at a time, at all CMDs together."""
RATE, PERCENTILE = 10_000, 20.0


async def make(where: Address, sources: Sequence[str]) -> Host:
    maars = tuple(Maar(maar, pool) for maar, pool in zip(MAARS, POOLS, strict=True))
    configuration = CmdConfiguration(where, maars, pace_rate=1_000_000, pace_burst=UNDER_WAY, shared=True)
    engine = CentralMobilityDatabase(configuration, time.time_ns() - time.monotonic_ns())
    store = await PostgresStore.open(sources)
    return Host(engine, MemoryDataplane(), store, address=where, peers=frozenset(MAARS), rate=None)


@dataclass
class Found:
    """What one kind of update came to."""

    rate: float
    core: float
    server: float
    p99: float
    refused: int


class Routers:
    """Routers that send to any of `cmds` and count."""

    def __init__(self, namespace: NetworkNamespace, cmds: Sequence[Address]) -> None:
        self.sockets: dict[socket.socket, deque[float]] = {}
        self.ways: dict[tuple[int, int], socket.socket] = {}
        with namespace.entered():
            for router, maar in enumerate(MAARS):
                for number, cmd in enumerate(cmds):
                    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 135)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
                    raw.bind((text(maar), 0))
                    raw.connect((text(cmd), 0))
                    self.ways[router, number] = raw
        self._sent: dict[tuple[socket.socket, int], float] = {}

    def run(self, messages: Sequence[tuple[int, int, bytes]]) -> tuple[float, list[float], int]:
        """All of (router, CMD, message): seconds, milliseconds of each, how many were refused."""
        times: list[float] = []
        refused = sent = 0
        begin = time.monotonic()
        sockets = list(self.ways.values())
        while len(times) < len(messages):
            while sent < len(messages) and sent - len(times) < UNDER_WAY:
                router, cmd, octets = messages[sent]
                raw = self.ways[router, cmd]
                raw.send(octets)
                self._sent[raw, int.from_bytes(octets[6:8], "big")] = time.monotonic()
                sent += 1
            readable = select.select(sockets, [], [], 10.0)[0]
            if not readable:
                raise SystemExit(f"{len(messages) - len(times)} updates were not answered")
            for raw in readable:
                refused += self._drain(raw, times)
        return time.monotonic() - begin, times, refused

    def _drain(self, raw: socket.socket, times: list[float]) -> int:
        refused = 0
        while True:
            try:
                octets = raw.recv(2048)
            except BlockingIOError:
                return refused
            if octets[2] == 6:
                since = self._sent.pop((raw, int.from_bytes(octets[8:10], "big")), None)
                if since is not None:
                    times.append(1e3 * (time.monotonic() - since))
                    refused += octets[6] >= 128
            elif octets[2] == 5:
                request = decode(octets)
                assert isinstance(request, BindingUpdate)
                options = request.options
                raw.send(
                    encode(BindingAcknowledgement(0, ACKNOWLEDGED_DMM, request.sequence, request.lifetime, options))
                )

    def close(self) -> None:
        for raw in self.ways.values():
            raw.close()


def servers_time() -> float:
    """Seconds of processor time of all PostgreSQL processes."""
    found = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == "postgres":
                    found += processor_time(int(entry.name))
            except OSError:
                continue
    return found


def cluster(count: int, nodes: int) -> dict[str, Found]:
    """All phases with `count` CMDs."""
    cmds = CMDS[:count]
    namespace = NetworkNamespace("domain")
    netlink = RouteNetlink(namespace)
    for local in (*cmds, *MAARS):
        netlink.add_address(1, local, 128)
    netlink.close()
    stamps = [ticks(time.time_ns()) + number // 1000 for number in range(nodes)]
    some = nodes // 3

    def one(number: int, maar: int, cmd: int, handoff: int, stamp: int) -> tuple[int, int, bytes]:
        octets = update(number, POOLS[maar % 4].subnet(number, 64), handoff, stamp, PROXY_DMM)
        return maar % 4, cmd % count, octets

    with ExitStack() as opened:
        stores = opened.enter_context(partitions(2))
        sources = [store.source for store in stores]
        children = [
            opened.enter_context(process(namespace, lambda cmd=cmd: make(cmd, sources)))  # type: ignore[misc]
            for cmd in cmds
        ]
        routers = Routers(namespace, cmds)
        opened.callback(routers.close)
        found = {}
        later = ticks(time.time_ns() + SECOND // 5)
        phases = {
            "registration": [one(n, n, n, 4, stamps[n]) for n in range(nodes)],
            "refresh": [one(n, n, n, 5, stamps[n]) for n in range(some)],
            "handover": [one(n, n + 1, n, 4, later + n // 100) for n in range(some)],
            "another CMD": [one(n, n + 2, n + 1, 4, later + 1000 + n // 100) for n in range(some)],
        }
        for name, messages in phases.items():
            used, at_servers = sum(map(processor_time, children)), servers_time()
            wall, times, refused = routers.run(messages)
            used, at_servers = sum(map(processor_time, children)) - used, servers_time() - at_servers
            times.sort()
            p99 = times[len(times) * 99 // 100]
            found[name] = Found(len(times) / wall, len(times) / used, 1e6 * at_servers / len(times), p99, refused)
    namespace.close()
    return found


def main() -> int:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    print(f"{nodes} nodes, {UNDER_WAY} updates under way, 2 servers and 2 synchronous standbys, {os.cpu_count()} cores")
    print(f"goals: {RATE} registrations/s, p99 {PERCENTILE:g} ms")
    print(
        f"{'CMDs':<6}{'update':<14}{'answered/s':>12}{'a core-second':>15}{'us server':>11}{'p99 ms':>8}{'refused':>9}"
    )
    best = 0.0
    slow = False
    for count in (1, 2, 3):
        for name, one in cluster(count, nodes).items():
            if name == "another CMD" and count == 1:
                continue
            print(
                f"{count:<6}{name:<14}{one.rate:>12.0f}{one.core:>15.0f}{one.server:>11.0f}{one.p99:>8.1f}{one.refused:>9}"
            )
            if name == "registration":
                best = max(best, one.rate)
                slow |= one.p99 > PERCENTILE
    print(f"best {best:.0f} registrations/s: {'goal reached' if best >= RATE else 'goal missed'}")
    return int(best < RATE or slow)


if __name__ == "__main__":
    sys.exit(main())
