"""How fast the events of a simulation are made, and what a shard of them needs. Run it as

    python bench/workload.py [NODES]

The nodes of examples/geant (185 access routers, one hour, a move and a session in five minutes on average) under each
kind of mobility, in shards of 10,000. CPU time of this process; the goal is a million nodes in at most 30 CPU seconds.
Memory is the largest that numpy and Python hold while one shard is made (tracemalloc), the finished stream included.
The last row reads the trace of examples/bologna.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from sojourn.sim.population import Population
from sojourn.sim.scenario import Scenario, load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SHARD = 10_000
GOAL = 30.0
"""CPU seconds for a million nodes."""
NEIGHBOURS = {"dwell": "300s", "to": "neighbours"}
KINDS: dict[str, dict[str, Any]] = {
    "walk, uniform": {"mobility.walk": {"dwell": "300s"}},
    "walk, neighbours": {"mobility.walk": NEIGHBOURS},
    "walk, gravity": {"mobility.walk": {"dwell": "300s", "to": "gravity"}},
    "walk, Gamma stays, gaps": {"mobility.walk": {**NEIGHBOURS, "shape": 4, "gap_share": 0.1}},
    "Pareto sessions": {"mobility.walk": NEIGHBOURS, "sessions.content.law": "pareto"},
}
WAYPOINT = {"slowest": "0.8 m/s", "fastest": "1.8 m/s", "pause": "60s"}


def scenarios() -> dict[str, Scenario]:
    """All kinds of mobility."""
    base = load(EXAMPLES / "geant", grid=False)
    found = {name: base.varied(changes) for name, changes in KINDS.items()}
    grid = {"grid": {"rows": 14, "columns": 14, "spacing": "400m"}}
    found["waypoint, 14 x 14 cells"] = base.varied(
        {"topology": grid, "mobility": {"nodes": SHARD, "waypoint": WAYPOINT}}
    )
    return found


def seconds(population: Population, nodes: int) -> tuple[float, int]:
    """CPU seconds for so many nodes, and the rows of their streams."""
    population.shard(0, 1000)
    rows = 0
    begin = time.process_time()
    for first in range(0, nodes, SHARD):
        rows += len(population.shard(first, first + SHARD))
    return time.process_time() - begin, rows


def peak(population: Population) -> float:
    """MiB while one shard is made."""
    tracemalloc.start()
    try:
        population.shard(0, SHARD)
        return tracemalloc.get_traced_memory()[1] / (1 << 20)
    finally:
        tracemalloc.stop()


def main(nodes: int) -> int:
    missed = []
    print(f"{nodes} nodes, one hour, shards of {SHARD}")
    print(f"{'mobility':<26}{'rows/node':>10}{'node-hours/CPU s':>18}{'1 M nodes, CPU s':>18}{'MiB/shard':>11}")
    for name, scenario in scenarios().items():
        population = scenario.varied({"mobility.nodes": nodes}).workload(scenario.topology())
        taken, rows = seconds(population, nodes)
        million = taken * 1e6 / nodes
        print(f"{name:<26}{rows / nodes:>10.1f}{nodes / taken:>18,.0f}{million:>18.1f}{peak(population):>11.1f}")
        if million > GOAL:
            missed.append(name)
    begin = time.process_time()
    bologna = load(EXAMPLES / "bologna", grid=False)
    population = bologna.workload(bologna.topology())
    rows = len(population.shard(0, population.nodes))
    print(f"trace of Bologna: {population.nodes} nodes, {rows} rows in {time.process_time() - begin:.2f} CPU s")
    if missed:
        print(f"more than {GOAL:g} CPU s for a million nodes: {', '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
