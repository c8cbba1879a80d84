"""Random waypoint on cells: crossings are where geometry has them, and the population is steady from the start."""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.sim.movements import Movements
from sojourn.sim.waypoints import Cells, Waypoints, mean_distance
from sojourn.wire.units import HOUR, SECOND


def grid(side: int, spacing: float) -> np.ndarray:
    return spacing * np.array([(x, y) for x in range(side) for y in range(side)], dtype=np.float64)


def waypoints(places: np.ndarray, **more: object) -> Waypoints:
    given = {
        "nodes": 1000,
        "duration": HOUR,
        "seed": 1,
        "access": np.arange(len(places)),
        "cells": Cells(places),
        "low": places.min(axis=0) - 50.0,
        "high": places.max(axis=0) + 50.0,
        "slowest": 1.0,
        "fastest": 3.0,
        "pause": 20.0,
    }
    return Waypoints(**{**given, **more})  # type: ignore[arg-type]


def test_mean_distance_in_a_square_and_in_a_rectangle() -> None:
    assert mean_distance(1.0, 1.0) == pytest.approx(0.521405, abs=1e-6)
    points = np.random.default_rng(1).random((2, 400_000, 2)) * (5.0, 1.0)
    assert mean_distance(5.0, 1.0) == pytest.approx(np.hypot(*(points[0] - points[1]).T).mean(), rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_a_crossing_is_where_another_place_becomes_the_nearest(seed: int) -> None:
    """Straight ways through anywhere's cells, against a fine walk along them."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, 1000, (25, 2))
    cells = Cells(places)
    here, there = random.uniform(0, 1000, (2, 40, 2))
    cell = cells.nearest.query(here)[1]
    position, left = here.copy(), there - here
    crossed: list[list[int]] = [[int(first)] for first in cell]
    going = np.arange(40)
    for _ in range(60):
        part, after = cells.crossing(cell[going], position[going], left[going])
        going, part, after = going[part < 1], part[part < 1], after[part < 1]
        position[going] += part[:, None] * left[going]
        left[going] = there[going] - position[going]
        cell[going] = after
        for index, place in zip(going, after, strict=True):
            crossed[index].append(int(place))
            ends = ((places[[crossed[index][-2], place]] - position[index]) ** 2).sum(axis=1)
            assert ends[0] == pytest.approx(ends[1])
    assert not len(going)
    for index in range(40):
        fine = here[index] + np.linspace(0, 1, 20_001)[:, None] * (there[index] - here[index])
        seen = cells.nearest.query(fine)[1]
        walked = seen[np.flatnonzero(np.diff(seen, prepend=-1))].tolist()
        # The fine walk may step over a corner; what it sees must be in the exact sequence, in order.
        steps = iter(crossed[index])
        assert all(place in steps for place in walked)
        assert len(crossed[index]) <= len(walked) + 2


def test_a_node_moves_to_a_cell_beside_its_own() -> None:
    places = grid(5, 100.0)
    movements = waypoints(places).block(0)
    same = movements.node[1:] == movements.node[:-1]
    apart = np.hypot(*(places[movements.place[1:]] - places[movements.place[:-1]])[same].T)
    assert (apart > 0).all()
    assert (apart < 142).all()  # across a corner at most
    assert (np.diff(movements.time)[same] >= 0).all()
    assert (movements.time <= HOUR).all()


def _rates(movements: Movements) -> np.ndarray:
    moves = movements.time[np.diff(movements.node, prepend=-1) == 0] / SECOND
    return np.histogram(moves, bins=6, range=(0, 3600))[0]


@pytest.mark.parametrize("pause", [0.0, 120.0])
def test_the_population_is_steady_from_the_start(pause: float) -> None:
    """The known trap of this model: started uniformly, it slows down for a long time (here 0.1 to 5 m/s)."""
    counts = sum(
        _rates(waypoints(grid(5, 100.0), pause=pause, slowest=0.1, fastest=5.0, seed=seed).block(0))
        for seed in range(4)
    )
    assert counts == pytest.approx(np.full(6, np.mean(counts)), rel=0.04)


def test_nodes_are_in_the_middle_more_often_than_at_the_border() -> None:
    movements = waypoints(grid(5, 100.0)).block(0)
    last = movements.place[np.flatnonzero(np.diff(movements.node, append=1000))]
    counts = np.bincount(last, minlength=25)
    assert counts[12] > 2 * counts[[0, 4, 20, 24]].mean()


def test_expected_moves_are_about_right() -> None:
    mobility = waypoints(grid(8, 100.0), pause=60.0)
    assert len(mobility.block(0).node) / 1000 == pytest.approx(mobility.moves, rel=0.3)


def test_places_on_a_line_have_cells_too() -> None:
    line = np.array([(100.0 * number, 0.0) for number in range(6)])
    movements = waypoints(line).block(0)
    same = movements.node[1:] == movements.node[:-1]
    assert (np.abs(np.diff(movements.place))[same] == 1).all()


def test_a_block_is_the_same_whoever_asks() -> None:
    one, again = waypoints(grid(4, 100.0), nodes=2000), waypoints(grid(4, 100.0), nodes=1001)
    assert len(one.block(1).time) != len(again.block(0).time)
    assert (one.block(1).time == waypoints(grid(4, 100.0), nodes=2000).block(1).time).all()
    assert set(again.block(1).node) == {0}
