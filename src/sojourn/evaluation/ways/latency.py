"""How long a handover interrupts, for each move and each old prefix in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sojourn.evaluation.models import latency
from sojourn.evaluation.replay import Floats, Handovers
from sojourn.evaluation.ways import Way


@dataclass(frozen=True, slots=True, eq=False)
class Latencies:
    """Of one way, in ms; what a way does not have is empty."""

    registered: Floats
    """Per handover: until the central node has answered."""
    usable: Floats
    """Per handover: until a new session can begin. sojourn advertises the new prefix at once, before any answer."""
    restored: Floats
    """Per handover and old prefix in use: until its packets arrive at the node's new place."""


def latencies(moves: Handovers, distance: Floats, central: int, wireless: float) -> dict[Way, Latencies]:
    """Of all ways. `distance`: ms between places; `central`: where database, central anchor and reflector are."""
    a, farthest = distance[moves.target, central], _farthest(moves, distance, central)
    registered = {
        Way.CENTRAL: latency.central(a),
        Way.RELAY: latency.relay_registered(a, farthest),
        Way.PROXY: latency.proxy_registered(a),
        Way.LOCATOR: _first_answer(moves, distance, central),
    }
    restored = _restored(moves, farthest, distance, central, wireless)
    at_once, nothing = np.zeros(len(moves)), np.zeros(0)
    return {
        way: Latencies(
            registered=np.asarray(registered.get(way, nothing)),
            usable=np.asarray(registered[way]) if way is Way.CENTRAL else at_once,
            restored=restored[way],
        )
        for way in Way
    }


def _restored(moves: Handovers, farthest: Floats, distance: Floats, central: int, wireless: float) -> dict[Way, Floats]:
    """Until each of the prefixes in use works again."""
    pairs = moves.in_use
    target, left = moves.target[pairs.handover], moves.origin[pairs.handover]
    a, c, p = distance[target, central], distance[central, pairs.place], distance[pairs.place, target]
    found = {
        Way.CENTRAL: latency.central(a),
        Way.RELAY: latency.relay_restored(a, farthest[pairs.handover], c, p),
        Way.PROXY: latency.proxy_restored(a, c, p),
        Way.LOCATOR: latency.locator_restored(a, c, p),
        Way.DIRECT: latency.direct_restored(p, np.where(pairs.place == left, 0.0, distance[left, target])),
        Way.RELOCATION: latency.relocation_restored(a, distance[central, left], distance[left, target]),
        Way.HOST: latency.host_restored(p, wireless, moves.returned[pairs.handover].astype(np.float64)),
    }
    return {way: np.asarray(values) for way, values in found.items()}


def _farthest(moves: Handovers, distance: Floats, central: int) -> Floats:
    """Per handover: delay to the farthest router that is told, the one just left included."""
    farthest = np.zeros(len(moves))
    np.maximum.at(farthest, moves.held.handover, distance[central, moves.held.place])
    return farthest


def _first_answer(moves: Handovers, distance: Floats, central: int) -> Floats:
    """Per handover in locator mode: the first answer of an old anchor."""
    first = np.full(len(moves), np.inf)
    held = moves.held
    target = moves.target[held.handover]
    way = latency.locator_restored(
        distance[target, central], distance[central, held.place], distance[held.place, target]
    )
    np.minimum.at(first, held.handover, np.asarray(way))
    return np.where(np.isfinite(first), first, latency.central(distance[moves.target, central]))
