"""Simulations that are written out: who moves when, on which delays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.sim.itinerary import understand
from sojourn.sim.protocol import ProtocolSettings, WireMode
from sojourn.sim.scenario import Scenario, load
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Stream
from sojourn.sim.world import World
from sojourn.wire.units import MILLISECOND, SECOND, Duration
from support.workloads import stream

Event = tuple[float, int, str, int, int] | tuple[float, int, str, int] | tuple[float, int, str]


@dataclass(frozen=True)
class Script:
    """What the nodes do, event by event: (seconds, node, kind, argument, peer)."""

    events: tuple[Event, ...]
    duration: Duration
    nodes: int = 1

    def shard(self, first: int, last: int) -> Stream:
        """See `Workload.shard`."""
        return stream(*(event for event in self.events if first <= event[1] < last))


def asymmetric(*milliseconds: tuple[float, ...]) -> Topology:
    """A topology by its matrix of delays."""
    delay = (np.array(milliseconds) * MILLISECOND).astype(np.int64)
    hops = (delay > 0).astype(np.uint16)
    return Topology("matrix", tuple(f"p{number}" for number in range(len(delay))), delay, hops)


def star(*milliseconds: float, across: float | None = None) -> Topology:
    """The database at place 0; so far are places 1 and after from it, and `across` from each other.

    Without `across` the way from one to the other leads past the database.
    """
    from_here = np.array([0.0, *milliseconds])
    delay = from_here[:, None] + from_here[None, :]
    if across is not None:
        delay[1:, 1:] = across
    np.fill_diagonal(delay, 0)
    return asymmetric(*(tuple(row) for row in delay))


def walk(*places: int, every: float = 10.0, sessions: bool = True, long: float = 1e6) -> list[Event]:
    """Node 0 visits `places`; at each it begins a session that lasts for `long` seconds."""
    events: list[Event] = []
    for number, place in enumerate(places):
        events.append((number * every, 0, "attach", place))
        if sessions:
            events.append((number * every + every / 2, 0, "begin", number, 0))
            events.append((number * every + every / 2 + long, 0, "end", number))
    return sorted(events, key=lambda event: event[0])


def world(
    topology: Topology,
    events: list[Event],
    seconds: float,
    *,
    wire: WireMode = "off",
    seed: int = 0,
    **settings: Any,
) -> World:
    """The simulated world at the end."""
    told = ProtocolSettings(**{"database": 0, **settings})
    end = int(seconds * SECOND)
    itinerary = understand(stream(*(event for event in events if event[0] < seconds)), end, told.idle_hold)
    made = World(topology, told, itinerary, wire=wire, seed=seed)
    made.run(end)
    return made


def scenario(folder: Path, text: str) -> Scenario:
    """From the text of a file."""
    (folder / "scenario.toml").write_text(text)
    return load(folder)
