"""How fast the simulator is, and what it takes, with the engines of the daemon. Run it as

    python bench/simulation.py [--million [MODE]...]

One simulated hour on examples/geant (222 places), a move and a session in five minutes on average. First the three wire
modes; then the same hour in SimPy, as one writes it there (a process for each node, a timeout for each message), with
the same engines and, for the cores alone, with messages that do nothing but go four ways; then growth, from a few
thousand nodes to more in both modes of RFC 8885, over all cores, with the memory of all processes at its largest. Times
are CPU seconds. Variants take turns where they are compared.

``--million`` simulates 1,000,000 nodes, in relay and in proxy mode unless modes are named: about 20 minutes each on two
cores.
Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import simpy

from sojourn.sim import world
from sojourn.sim.kernel import Action, Entry, Kernel
from sojourn.sim.run import simulate
from sojourn.sim.scenario import Scenario, load
from sojourn.wire.units import Instant

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
KIB = 1024
TURNS = 3
EVENTS_GOAL = {"off": 100_000, "size": 0, "full": 50_000}
"""Events in a CPU second."""
SIMPY_GOAL, GROWTH_GOAL, BYTES_GOAL = 3.0, 1.2, 1.5 * KIB
MILLION_GOAL = 15 * 60.0
"""Seconds of two cores."""


def scenario(nodes: int, **changes: Any) -> Scenario:
    """The hour, for so many nodes."""
    base = load(EXAMPLES / "geant", grid=False)
    plain = {"warm_up": "0s", "mobility.walk": {"dwell": "300s"}, "mobility.nodes": nodes}
    return base.varied({**plain, **changes})


def run(what: Scenario, jobs: int = 1) -> dict[str, Any]:
    """The summary of a simulation, with ``speed``."""
    topology = what.topology()
    workload = what.workload(topology)
    found = simulate(topology, workload, what.settings, None, seed=1, jobs=jobs, wire=what.wire, rows=False)
    if found["failed"]:
        raise SystemExit(f"{len(found['failed'])} shards failed: {found['failed'][0]['reason']}")
    return found


class SimPyKernel(Kernel):
    """`Kernel` in SimPy: the order of equal instants is that of SimPy, all else is the same."""

    def __init__(self, start: Instant = 0) -> None:
        super().__init__(start)
        self._environment = simpy.Environment(initial_time=start)

    def schedule(self, at: Instant, action: Action, item: Any, cause: int) -> None:
        """A timeout that acts."""
        environment = self._environment
        timeout = environment.timeout(at - environment.now)
        timeout.callbacks.append(lambda _: action(at, item, cause))

    def run(
        self,
        until: Instant,
        stream: Iterator[Entry] = iter(()),  # noqa: B008 - it is empty, so nobody takes from it
        every_second: Callable[[Instant], None] | None = None,
    ) -> None:
        """One process for each node, which does what its records say."""
        environment = self._environment
        lives: dict[Any, list[Entry]] = {}
        for record in stream:
            lives.setdefault(record[3], []).append(record)
        for life in lives.values():
            environment.process(self._live(life))
        if until > environment.now:
            environment.run(until)

    def _live(self, life: list[Entry]) -> Iterator[Any]:
        environment = self._environment
        for at, _, action, item, cause in life:
            yield environment.timeout(at - environment.now)
            action(at, item, cause)


class Peak:
    """The most memory that this process and its children have had, in octets, while it is open."""

    def __enter__(self) -> Peak:
        self.octets, self._open = 0, True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()

    def _watch(self) -> None:
        while self._open:
            self.octets = max(self.octets, sum(_resident(pid) for pid in _family(os.getpid())))
            time.sleep(0.2)


def _family(pid: int) -> list[int]:
    try:
        tasks = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(found for task in tasks for child in task for found in _family(int(child)))]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def compare_wires(nodes: int = 2000) -> bool:
    """Events a CPU second by wire mode."""
    print(f"{nodes:,} nodes, relay, one process\n\nwire      events  events/CPU s      goal\n" + "-" * 39)
    good = True
    for wire, goal in EVENTS_GOAL.items():
        best = max((run(scenario(nodes, wire=wire))["speed"] for _ in range(TURNS)), key=_rate)
        print(f"{wire:4} {best['events']:11,} {_rate(best):13,.0f} {goal or '':9}")
        good &= _rate(best) >= goal
    return good


def _rate(speed: dict[str, Any]) -> float:
    return float(speed["events_per_cpu_s"])


def compare_simpy(nodes: int = 10_000) -> bool:
    """The same engines and the same hour."""
    whole: dict[str, list[float]] = {"sojourn": [], "SimPy": []}
    for _ in range(2):
        for name, kernel in (("sojourn", Kernel), ("SimPy", SimPyKernel)):
            with mock.patch.object(world, "Kernel", kernel):
                topology = scenario(nodes).topology()
                workload = scenario(nodes).workload(topology)
                found = simulate(topology, workload, scenario(nodes).settings, None, seed=1, jobs=1, shard_nodes=nodes)
            whole[name].append(_rate(found["speed"]))
    ours, theirs = max(whole["sojourn"]), max(whole["SimPy"])
    print(f"\n{nodes:,} nodes, relay, same engines\n\n          events/CPU s\n" + "-" * 22)
    print(f"sojourn   {ours:12,.0f}\nSimPy     {theirs:12,.0f}\nratio     {ours / theirs:12.2f}    goal {SIMPY_GOAL}")
    return ours / theirs >= SIMPY_GOAL


def compare_cores(records: int = 100_000) -> bool:
    """What is left of that without engines: records known in advance, four messages after each."""
    rates: dict[str, float] = {}
    for _ in range(TURNS):
        for name, kind in (("sojourn", Kernel), ("SimPy", SimPyKernel)):
            kernel = kind()

            def hop(now: Instant, item: Any, cause: int, kernel: Kernel = kernel) -> None:
                if cause:
                    kernel.schedule(now + 10_000_000, hop, item, cause - 1)

            step = 3600 * 10**9 // records
            stream = ((n * step, n - records, hop, n % 10_000, 4) for n in range(records))
            begin = time.process_time()
            kernel.run(3700 * 10**9, stream)
            rates[name] = max(rates.get(name, 0), 5 * records / (time.process_time() - begin))
    ratio = rates["sojourn"] / rates["SimPy"]
    print(f"without engines {rates['sojourn']:,.0f} and {rates['SimPy']:,.0f}: {ratio:.2f}")
    return ratio >= SIMPY_GOAL


def compare_sizes(sizes: dict[str, tuple[int, ...]]) -> bool:
    """CPU time and memory per node; the smallest is what growth is measured by."""
    jobs = len(os.sched_getaffinity(0))
    print(
        f"\n{jobs} processes\n\nmode         nodes  CPU s  us/node  growth  wall s  peak MiB  octets/node\n" + "-" * 72
    )
    good = True
    for mode, numbers in sizes.items():
        first = 0.0
        for nodes in numbers:
            begin = time.monotonic()
            with Peak() as peak:
                speed = run(scenario(nodes, **{"protocol.mode": mode}), jobs)["speed"]
            wall = time.monotonic() - begin
            each = speed["cpu_s"] / nodes
            first = first or each
            print(
                f"{mode:7} {nodes:10,} {speed['cpu_s']:6.0f} {each * 1e6:8.0f} {each / first:7.2f} {wall:7.0f}"
                f" {peak.octets / KIB**2:9.0f} {peak.octets / nodes:12,.0f}",
                flush=True,
            )
            good &= each / first <= GROWTH_GOAL
            if nodes >= 1_000_000:
                good &= speed["cpu_s"] / 2 <= MILLION_GOAL and peak.octets / nodes <= BYTES_GOAL
    return good


def main(arguments: list[str]) -> int:
    """All tables."""
    if arguments[:1] == ["--million"]:
        return not compare_sizes(dict.fromkeys(arguments[1:] or ("relay", "proxy"), (10_000, 1_000_000)))
    goals = [
        compare_wires(),
        compare_simpy(),
        compare_cores(),
        compare_sizes({"relay": (4_000, 10_000, 40_000), "proxy": (4_000,)}),
    ]
    return not all(goals)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
