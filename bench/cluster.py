"""Several CMDs on one store, with real servers and real raw sockets. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/cluster.py [--nodes N] [--cmds 1 2 3] [--rates N N] [--seconds S]
        [--awake]

One to three CMD processes serve nodes over two PostgreSQL servers with fsync and a synchronous standby each, on the
cores that all of them share with the routers that ask. Every update is durable on two servers before it is answered.

* "offered N": registrations come at N a second (default 5,000 and 10,000) for S seconds, at random instants (Poisson),
  whether or not the ones before were answered; the time of each counts from the instant at which it was to be sent.
  Here the goal of the time holds: 99 of 100 within 20 ms. It is not the first row, in which connections are made.
* All other rows keep 96 updates under way: they tell how many there can be, with the time of each when nothing is idle.
  Goals: 10,000 registrations a second, more with more processes until the cores are used. In the last row
  every node changes its CMD, so that each update is refused once by the store and handled again.

With --awake a process of the idle class on each core keeps it from being halted: a virtual processor that was halted
takes long to wake, a registration waits for five processes in turn, and a busy machine is the faster one then.

"a core-s" is answers by the processor time of all CMD processes, "us server" that of all servers for one answer.
"cores" is the share of all cores that CMDs, servers and routers used, "all" that of whoever was running: more than
that is not to be had from this machine. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent))

from signalling import MAARS, POOLS, machine_time, process, processor_time, servers_time, update
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.configuration import CmdConfiguration, Maar
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY_DMM
from sojourn.host.loop import Host
from sojourn.lab.namespaces import NetworkNamespace, die_with_parent
from sojourn.lab.postgres import partitions
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.stores.postgres import PostgresStore
from sojourn.wire import BindingAcknowledgement, BindingUpdate, decode, encode
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.units import SECOND, ticks

CMDS = [address(f"2001:db8:c::{number}") for number in (1, 2, 3)]
Message: TypeAlias = tuple[int, int, bytes]
"""Router, CMD, octets."""
UNDER_WAY = 96
"""Updates that wait for their answer at a time, at all CMDs together."""
RATE, PERCENTILE = 10_000, 20.0
"""Registrations a second; milliseconds for 99 of 100."""


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
    p50: float
    p99: float
    refused: int
    ours: float
    """Share of all cores that CMDs, servers and routers used."""
    whole: float
    """And everybody."""


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

    def run(self, messages: Sequence[Message], due: Sequence[float] | None = None) -> tuple[float, list[float], int]:
        """All of (router, CMD, message): seconds, milliseconds of each, how many were refused.

        Each is sent when its time is `due`, in seconds from now; without that, as soon as fewer than UNDER_WAY wait.
        """
        times: list[float] = []
        refused = sent = 0
        begin = time.monotonic()
        sockets = list(self.ways.values())
        while len(times) < len(messages):
            pause = 10.0
            while sent < len(messages):
                now = time.monotonic()
                if due is not None and begin + due[sent] > now:
                    pause = begin + due[sent] - now
                    break
                if due is None and sent - len(times) >= UNDER_WAY:
                    break
                router, cmd, octets = messages[sent]
                raw = self.ways[router, cmd]
                raw.send(octets)
                self._sent[raw, int.from_bytes(octets[6:8], "big")] = now if due is None else begin + due[sent]
                sent += 1
            readable = select.select(sockets, [], [], pause)[0]
            if not readable and pause == 10.0:  # it was dropped: a router would repeat it
                times += [math.inf] * (len(messages) - len(times))
                self._sent.clear()
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


def cluster(count: int, options: argparse.Namespace) -> dict[str, Found]:
    """All phases with `count` CMDs."""
    cmds, nodes = CMDS[:count], options.nodes
    namespace = NetworkNamespace("domain")
    netlink = RouteNetlink(namespace)
    for local in (*cmds, *MAARS):
        netlink.add_address(1, local, 128)
    netlink.close()
    dice = random.Random(1)
    offered = {rate: _instants(dice, rate, options.seconds) for rate in options.rates}
    stamp = ticks(time.time_ns())
    some = nodes // 3
    follows = nodes

    def one(number: int, maar: int, cmd: int, handoff: int, stamp: int) -> Message:
        octets = update(number, POOLS[maar % 4].subnet(number, 64), handoff, stamp, PROXY_DMM)
        return maar % 4, cmd % count, octets

    with ExitStack() as opened:
        stores = opened.enter_context(partitions(2))
        sources = [store.source for store in stores]
        children = [
            opened.enter_context(process(namespace, lambda cmd=cmd: make(cmd, sources)))  # type: ignore[misc]
            for cmd in cmds
        ]
        spinners = opened.enter_context(awake()) if options.awake else []
        routers = Routers(namespace, cmds)
        opened.callback(routers.close)
        found = {}
        later = ticks(time.time_ns() + SECOND // 5)
        phases = {"registration": [one(n, n, n, 4, stamp) for n in range(nodes)]}
        for rate, due in offered.items():
            phases[f"offered {rate}"] = [one(follows + n, n, n, 4, stamp) for n in range(len(due))]
            follows += len(due)
        phases |= {
            "refresh": [one(n, n, n, 5, stamp) for n in range(some)],
            "handover": [one(n, n + 1, n, 4, later + n // 100) for n in range(some)],
            "another CMD": [one(n, n + 2, n + 1, 4, later + 1000 + n // 100) for n in range(some)],
        }
        for name, messages in phases.items():
            if count == 1 and name == "another CMD":
                continue
            before = _spent(children, spinners)
            kind, _, rate = name.partition(" ")
            wall, times, refused = routers.run(messages, offered[int(rate)] if kind == "offered" else None)
            after = _spent(children, spinners)
            used, at_servers, at_routers, whole = (late - early for early, late in zip(before, after, strict=True))
            times.sort()
            p50, p99 = (times[len(times) * share // 100] for share in (50, 99))
            there = wall * (os.cpu_count() or 1)
            found[name] = Found(
                len(times) / wall,
                len(times) / used,
                1e6 * at_servers / len(times),
                p50,
                p99,
                refused,
                (used + at_servers + at_routers) / there,
                whole / there,
            )
    namespace.close()
    return found


def _spent(cmds: Sequence[int], spinners: Sequence[int]) -> tuple[float, float, float, float]:
    """Seconds of processors that CMDs, servers, routers, and all but spinners used."""
    whole = machine_time() - sum(map(processor_time, spinners))
    return sum(map(processor_time, cmds)), servers_time(), time.process_time(), whole


def _instants(dice: random.Random, rate: int, seconds: float) -> list[float]:
    """When so many a second are due, as they come from many that do not know of each other."""
    due = [0.0]
    while due[-1] < seconds:
        due.append(due[-1] + dice.expovariate(rate))
    return due


@contextmanager
def awake() -> Iterator[list[int]]:
    """A process on each core that has nothing to do and does it whenever nobody else wants to."""
    children = []
    for core in os.sched_getaffinity(0):
        child = os.fork()
        if child == 0:
            die_with_parent()
            os.sched_setaffinity(0, {core})
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            while True:
                pass
        children.append(child)
    try:
        yield children
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Several CMDs on one store.")
    parser.add_argument("--nodes", type=int, default=30_000)
    parser.add_argument("--cmds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--rates", type=int, nargs="*", default=[RATE // 2, RATE])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--awake", action="store_true", help="let no processor be halted")
    options = parser.parse_args()
    print(
        f"{options.nodes} nodes, {UNDER_WAY} updates under way, or some offered a second for {options.seconds:g} s;\n"
        f"2 servers and 2 synchronous standbys, {os.cpu_count()} cores{', never halted' if options.awake else ''}"
    )
    print(f"goals: {RATE} registrations/s; offered: p99 {PERCENTILE:g} ms")
    print(
        f"{'CMDs':<5}{'update':<14}{'answered/s':>11}{'a core-s':>9}{'us server':>10}{'p50 ms':>7}{'p99 ms':>7}"
        f"{'refused':>8}{'cores':>6}{'all':>5}"
    )
    best = 0.0
    late = []
    for count in options.cmds:
        for name, one in cluster(count, options).items():
            print(
                f"{count:<5}{name:<14}{one.rate:>11.0f}{one.core:>9.0f}{one.server:>10.0f}{one.p50:>7.1f}{one.p99:>7.1f}"
                f"{one.refused:>8}{one.ours:>6.0%}{one.whole:>5.0%}",
                flush=True,
            )
            if name == "registration":
                best = max(best, one.rate)
            if name.startswith("offered") and one.p99 > PERCENTILE:
                late.append(f"{name} to {count}")
    print(f"best {best:.0f} registrations/s: {'goal reached' if best >= RATE else 'goal missed'}")
    print(f"p99: {'goal missed, ' + ', '.join(late) if late else 'goal reached'}")
    return int(best < RATE or bool(late))


if __name__ == "__main__":
    sys.exit(main())
