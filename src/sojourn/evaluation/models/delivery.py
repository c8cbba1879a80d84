"""What packets cost on their way: hops or delay, stretch, and the load of routers.

h_XY is the distance between X and Y in hops (or ms): C correspondent, L central anchor, M access router of a node, P
old anchor, S serving router. s is the size of a packet, o what a tunnel adds.
"""

from __future__ import annotations

from dataclasses import dataclass

TUNNEL = 40
"""Octets that IPv6 in IPv6 adds (seg6 with one segment in reduced form too)."""


@dataclass(frozen=True, slots=True)
class Distances:
    """Mean distances of a network, in hops or ms."""

    correspondent_central: float
    central_access: float
    correspondent_serving: float
    correspondent_anchor: float
    anchor_serving: float


def central_cost(way: Distances, size: float, overhead: float = TUNNEL) -> float:
    """C_cen = h_CL s + h_LM (s + o)."""
    return way.correspondent_central * size + way.central_access * (size + overhead)


def distributed_cost(way: Distances, share: float, size: float, overhead: float = TUNNEL) -> float:
    """C_dmm = (1 - phi) h_CS s + phi [h_CP s + h_PS (s + o)]."""
    away = way.correspondent_anchor * size + way.anchor_serving * (size + overhead)
    return (1 - share) * way.correspondent_serving * size + share * away


def break_even_share(way: Distances, size: float, overhead: float = TUNNEL) -> float | None:
    """phi* = (C_cen - h_CS s) / (h_CP s + h_PS (s + o) - h_CS s): above it the central anchor is cheaper.

    Above 1 distribution is always cheaper, below 0 never; None where tunnelled packets cost no more than direct ones.
    """
    direct = way.correspondent_serving * size
    away = way.correspondent_anchor * size + way.anchor_serving * (size + overhead)
    return None if away <= direct else (central_cost(way, size, overhead) - direct) / (away - direct)


def stretch(way: Distances) -> float:
    """Of an old flow: (h_CP + h_PS) / h_CS."""
    return (way.correspondent_anchor + way.anchor_serving) / way.correspondent_serving


def central_load(nodes: float, rate: float) -> float:
    """Through the central anchor: N r. It keeps N tunnel entries."""
    return nodes * rate


def router_load(nodes: float, routers: int, rate: float, share: float) -> float:
    """Through each of M routers: (N / M) r (1 + phi), as its own nodes' router and as anchor of those that left."""
    return nodes / routers * rate * (1 + share)


def router_entries(nodes: float, routers: int, old: float) -> float:
    """Tunnel entries of each router: (N / M) n_rand as anchor; as many again as serving router."""
    return nodes / routers * old


def relocation_entries(nodes: float, old: float) -> float:
    """Host routes in *every* router where prefixes move with their nodes: N n_rand."""
    return nodes * old
