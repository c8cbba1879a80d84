"""Walks: stays have the law that was asked for, the population is steady from the start, chains go where told."""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.sim import topology_generated as generated
from sojourn.sim import walks
from sojourn.sim.graph import Cable, Finish, finish
from sojourn.sim.movements import AWAY, Movements
from sojourn.sim.topology import Topology
from sojourn.sim.topology_files import topohub
from sojourn.sim.walks import Anywhere, Walk, Weighted, dwell_of
from sojourn.wire.units import HOUR, MILLISECOND, SECOND

ACCESS = np.arange(7) + 3


def walk(**more: object) -> Walk:
    given = {"nodes": 1000, "duration": 2 * HOUR, "seed": 1, "access": ACCESS, "chain": Anywhere(7), "dwell": 60.0}
    return Walk(**{**given, **more})  # type: ignore[arg-type]


def stays(movements: Movements) -> np.ndarray:
    """Seconds of stays that began and ended, without the first of each node."""
    whole = movements.node[2:] == movements.node[:-2]
    return (movements.time[2:] - movements.time[1:-1])[whole] / SECOND


@pytest.mark.parametrize(("speed", "radius", "dwell"), [(1.4, 50.0, 56.1), (14.0, 200.0, 22.4), (30.0, 500.0, 26.2)])
def test_fluid_flow(speed: float, radius: float, dwell: float) -> None:
    """The check values of standards.md 7.1."""
    assert dwell_of(speed, radius) == pytest.approx(dwell, abs=0.05)


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0])
def test_stays_are_gamma_with_the_mean_that_was_asked_for(shape: float) -> None:
    found = stays(walk(shape=shape).block(0))
    # A stay is seen whole only if it ends in time; with 120 of them in a run that is a bias of less than 2 %.
    assert found.mean() == pytest.approx(60.0, rel=0.03)
    assert found.std() == pytest.approx(60.0 / np.sqrt(shape), rel=0.05)


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0])
def test_the_population_is_steady_from_the_start(shape: float) -> None:
    """As many moves in the first minutes as in any others, though all nodes begin at once."""
    blocks = [walk(shape=shape, seed=seed).block(0) for seed in range(6)]
    moves = np.concatenate([block.time[np.diff(block.node, prepend=-1) == 0] for block in blocks]) / SECOND
    counts = np.histogram(moves, bins=12, range=(0, 7200))[0]
    assert counts == pytest.approx(np.full(12, 6 * 1000 * 7200 / 60 / 12), rel=0.02)


def test_every_move_leads_to_another_place_and_times_rise() -> None:
    movements = walk().block(0)
    same = movements.node[1:] == movements.node[:-1]
    assert (movements.place[1:] != movements.place[:-1])[same].all()
    assert (np.diff(movements.time)[same] > 0).all()
    assert (np.diff(movements.node) >= 0).all()
    assert set(movements.place) == set(ACCESS)
    assert (movements.time <= 2 * HOUR).all()


def test_anywhere_goes_to_all_other_places_equally_often() -> None:
    chain = Anywhere(5)
    draws = np.random.default_rng(1).random((2000, 50))
    places = chain.walk(np.zeros(2000, dtype=np.int64), draws)
    assert np.bincount(places[:, 0], minlength=5)[0] == 0
    assert np.bincount(places.ravel(), minlength=5) / places.size == pytest.approx(np.full(5, 0.2), abs=0.01)


def test_a_weighted_chain_has_the_shares_of_its_weights_and_starts_steady() -> None:
    others = np.array([[1, 2, 0], [0, 2, 0], [0, 1, 0]])
    weights = np.array([[3.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    chain = Weighted(others, weights)
    random = np.random.default_rng(2)
    first = chain.first(random.random(100_000))
    # Solve pi = pi P: pi2 = pi0 / 4, pi1 = 3/4 pi0 + pi2 / 2 = 7/8 pi0.
    steady = np.array([1, 7 / 8, 1 / 4]) / (1 + 7 / 8 + 1 / 4)
    assert np.bincount(first) / len(first) == pytest.approx(steady, abs=0.005)
    places = chain.walk(first, random.random((100_000, 3)))
    assert np.bincount(places[:, 2]) / len(first) == pytest.approx(steady, abs=0.005)
    from_0 = places[:, 0][first == 0]
    assert (from_0 == 1).mean() == pytest.approx(0.75, abs=0.01)
    assert (places[:, 0][first == 1] == 0).all()


def test_a_draw_that_rounds_up_to_the_next_row_stays_in_its_own() -> None:
    rows = 4096
    chain = Weighted((np.arange(rows)[:, None] + [1, 2]) % rows, np.array([[1.0, 0.0]] * rows))
    last = np.full((1, 1), np.nextafter(1.0, 0.0))
    assert chain.walk(np.array([rows - 1]), last).tolist() == [[0]]
    assert chain.walk(np.array([17]), last).tolist() == [[18]]


def campus() -> Topology:
    return finish(generated.campus(4, 6, generated.CampusDelays(1, 1, 1, 1), 200.0), Finish())


def test_neighbours_stay_at_their_site_as_often_as_was_said() -> None:
    topology = campus()
    chain = walks.neighbours(topology, nearest=3, inside=0.8)
    movements = walk(access=topology.attachable(), chain=chain).block(0)
    site = topology.sites()[movements.place]
    moved = movements.node[1:] == movements.node[:-1]
    assert (site[1:] == site[:-1])[moved].mean() == pytest.approx(0.8, abs=0.01)


def test_neighbours_on_a_grid_have_no_direction() -> None:
    """The fourth neighbour is as near as the third, so that it counts, too."""
    grid = finish(generated.grid(9, 9, MILLISECOND, 100.0), Finish())
    chain = walks.neighbours(grid, nearest=3, inside=0.8)
    middle = np.full(8000, grid.places.index("r5c5"))
    beside = chain.walk(middle, np.random.default_rng(1).random((8000, 1)))[:, 0]
    names = {grid.places[place] for place in beside}
    assert names == {"r4c5", "r6c5", "r5c4", "r5c6"}
    assert np.bincount(beside)[np.unique(beside)] == pytest.approx(np.full(4, 2000), rel=0.1)


def test_gravity_prefers_what_is_heavy_and_near() -> None:
    ring = finish(generated.ring(6, MILLISECOND, 100.0), Finish())
    masses = np.array([1.0, 1.0, 1.0, 4.0, 1.0, 1.0])
    chain = walks.gravity(ring, masses, exponent=2.0)
    gone = chain.walk(np.zeros(200_000, dtype=np.int64), np.random.default_rng(1).random((200_000, 1)))[:, 0]
    # Distances on a hexagon of side 1: 1, sqrt 3, 2.
    weights = np.array([0, 1, 1 / 3, 4 / 4, 1 / 3, 1])
    assert np.bincount(gone, minlength=6) / len(gone) == pytest.approx(weights / weights.sum(), abs=0.005)


def test_gravity_goes_by_delay_where_there_are_no_positions() -> None:
    ring = finish(generated.ring(6, MILLISECOND, 100.0), Finish())
    blind = Topology(ring.name, ring.places, ring.delay, ring.hops)
    gone = walks.gravity(blind, np.ones(6), 1.0).walk(
        np.zeros(100_000, dtype=np.int64), np.random.default_rng(1).random((100_000, 1))
    )[:, 0]
    weights = np.array([0, 1, 1 / 2, 1 / 3, 1 / 2, 1])
    assert np.bincount(gone, minlength=6) / len(gone) == pytest.approx(weights / weights.sum(), abs=0.005)


def test_nodes_come_one_after_the_other() -> None:
    movements = walk(arrive=600 * SECOND).block(0)
    first = movements.time[np.diff(movements.node, prepend=-1) > 0] / SECOND
    assert len(first) == 1000
    assert np.histogram(first, bins=4, range=(0, 600))[0] == pytest.approx(np.full(4, 250), rel=0.25)


def test_some_moves_lead_out_of_the_domain_first() -> None:
    movements = walk(gap_share=0.25, gap=30.0).block(0)
    same = movements.node[1:] == movements.node[:-1]
    left = np.flatnonzero(movements.place == AWAY)
    back = left[(left + 1 < len(movements.node))]
    back = back[same[back]]
    assert (movements.place[back + 1] != AWAY).all()
    gaps = (movements.time[back + 1] - movements.time[back]) / SECOND
    assert gaps.mean() == pytest.approx(30.0, rel=0.05)
    departures = same.sum() - len(back)
    assert len(left) / departures == pytest.approx(0.25, abs=0.01)


def test_in_one_place_nobody_moves_but_may_come_back() -> None:
    alone = walk(access=np.array([4]), chain=None).block(0)
    assert len(alone.node) == 1000
    again = walk(access=np.array([4]), chain=None, gap_share=1.0, gap=60.0).block(0)
    assert (again.place == AWAY).sum() > 10_000
    same = again.node[1:] == again.node[:-1]
    assert ((again.place[1:] == AWAY) != (again.place[:-1] == AWAY))[same].all()


def test_blocks_differ_and_each_is_the_same_whoever_asks() -> None:
    one, again, other = walk(nodes=2000).block(1), walk(nodes=1500).block(1), walk(nodes=2000).block(0)
    assert (one.time[: len(again.time) // 4] != other.time[: len(again.time) // 4]).any()
    assert again.node.max() == 499
    repeated = walk(nodes=2000).block(1)
    assert (one.time == repeated.time).all()
    assert (one.place == repeated.place).all()


def test_expected_moves_are_about_right() -> None:
    for given in ({}, {"gap_share": 0.3, "gap": 100.0}, {"shape": 3.0}):
        mobility = walk(**given)
        assert len(mobility.block(0).node) / 1000 == pytest.approx(mobility.moves, rel=0.03)


def test_an_operator_with_routers_in_every_city_can_be_walked() -> None:
    graph = topohub("topozoo/Geant2012", Cable(5_000, 0))
    topology = finish(graph, Finish(routers_per_place=5, router_delay=MILLISECOND))
    chain = walks.neighbours(topology, 3, 0.8)
    movements = walk(access=topology.attachable(), chain=chain).block(0)
    sites = topology.sites()[movements.place]
    assert len(np.unique(sites)) == 37, "no city is left for good"
    moved = movements.node[1:] == movements.node[:-1]
    assert (sites[1:] == sites[:-1])[moved].mean() == pytest.approx(0.8, abs=0.01)
