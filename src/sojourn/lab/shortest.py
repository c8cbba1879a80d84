"""Shortest paths over a lab's links (Dijkstra), by delay, then by hops, then by name: the same on every
run."""

from __future__ import annotations

import heapq
from typing import TypeAlias

from sojourn.wire.units import Duration

Graph: TypeAlias = dict[str, dict[str, Duration]]
"""Neighbours of each node with the delay to them."""


def next_hops(graph: Graph, source: str) -> dict[str, str]:
    """For every node that can be reached from `source`: the neighbour of `source` on the way."""
    first: dict[str, str] = {}
    heap: list[tuple[Duration, int, str, str]] = [(delay, 1, name, name) for name, delay in graph[source].items()]
    heapq.heapify(heap)
    while heap:
        distance, hops, name, start = heapq.heappop(heap)
        if name in first or name == source:
            continue
        first[name] = start
        for neighbour, delay in graph[name].items():
            heapq.heappush(heap, (distance + delay, hops + 1, neighbour, start))
    return first


def shortest_path(graph: Graph, source: str, destination: str) -> list[str]:
    """The nodes on the way, hop by hop as routers decide it. Raises KeyError when there is no way."""
    path = [source]
    while path[-1] != destination:
        path.append(next_hops(graph, path[-1])[destination])
    return path
