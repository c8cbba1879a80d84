"""From places and links to delays: shortest paths, connected or mended, routers at places."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.sim import topology_generated as generated
from sojourn.sim.graph import Cable, Finish, Graph, Link, NotPossible, finish, shortest_paths
from sojourn.sim.plane import distance, gabriel_links
from sojourn.wire.units import MILLISECOND

MS = MILLISECOND


@st.composite
def _networks(draw: st.DrawFn) -> tuple[int, list[Link]]:
    places = draw(st.integers(2, 9))
    ends = st.integers(0, places - 1)
    links = draw(st.lists(st.tuples(ends, ends, st.integers(0, 5)), max_size=20))
    line = [Link(place, place + 1, 3) for place in range(places - 1)]
    return places, line + [Link(*link) for link in links if link[0] != link[1]]


@given(_networks())
@settings(max_examples=60)
def test_delays_and_hops_are_those_that_networkx_finds(network: tuple[int, list[Link]]) -> None:
    places, links = network
    graph = networkx.Graph()
    graph.add_nodes_from(range(places))
    for link in links:
        known = graph.get_edge_data(link.one, link.other, {"delay": link.delay})["delay"]
        graph.add_edge(link.one, link.other, delay=min(known, link.delay))
    delay, hops = shortest_paths(places, links)
    for one, lengths in networkx.all_pairs_dijkstra_path_length(graph, weight="delay"):
        for other, length in lengths.items():
            assert delay[one, other] == length
            paths = networkx.all_shortest_paths(graph, one, other, weight="delay") if one != other else [[one]]
            assert hops[one, other] == min(len(path) for path in paths) - 1


def test_nanoseconds_are_exact_across_a_continent() -> None:
    delay, hops = shortest_paths(1001, [Link(place, place + 1, 999_999_999) for place in range(1000)])
    assert delay[0, 1000] == 1000 * 999_999_999
    assert hops[0, 1000] == 1000
    with pytest.raises(NotPossible, match="more than 1,099 s"):
        shortest_paths(201, [Link(place, place + 1, 9_999_999_999) for place in range(200)])


def _two_parts() -> Graph:
    return Graph("halves", ["a", "b", "c", "d", "e"], [Link(0, 1, MS), Link(1, 2, MS), Link(3, 4, MS)])


def test_a_topology_that_is_not_connected_is_a_mistake_that_names_places() -> None:
    with pytest.raises(NotPossible, match=r"falls into 2 parts.*'d', 'e' cannot be reached.*largest_part = true"):
        finish(_two_parts(), Finish())


def test_its_largest_part_is_taken_when_the_file_says_so_and_the_rest_counted() -> None:
    topology = finish(_two_parts(), Finish(largest_part=True))
    assert topology.places == ("a", "b", "c")
    assert topology.repairs == (
        "2 of 5 places left out: 2 parts without a link between them; 'd', 'e' cannot be reached from the largest",
    )
    assert topology.delay.tolist() == [[0, MS, 2 * MS], [MS, 0, MS], [2 * MS, MS, 0]]


def test_places_where_nodes_attach_are_chosen_by_name() -> None:
    graph = generated.campus(2, 2, generated.CampusDelays(1, 2, 3, 4), 100.0)
    topology = finish(graph, Finish(access=("b1-*", "internet")))
    assert [topology.places[place] for place in topology.attachable()] == ["internet", "b1-r1", "b1-r2"]


@pytest.mark.parametrize("geographic", [True, False])
def test_several_routers_stand_around_a_place(geographic: bool) -> None:
    positions = np.array([[11.3, 44.5], [11.4, 44.5]])
    graph = Graph("two", ["a", "b"], [Link(0, 1, 10 * MS)], positions, geographic)
    topology = finish(graph, Finish(routers_per_place=3, router_delay=MS, router_distance=500.0))
    assert topology.places == ("a", "b", "a/1", "a/2", "a/3", "b/1", "b/2", "b/3")
    assert topology.attachable().tolist() == [2, 3, 4, 5, 6, 7]
    assert topology.sites().tolist() == [0, 1, 0, 0, 0, 1, 1, 1]
    assert topology.delay[2, 3] == 2 * MS
    assert topology.delay[2, 5] == 12 * MS
    assert topology.hops[2, 5] == 3
    assert topology.positions is not None
    assert distance(topology.positions, geographic, 0)[2:5] == pytest.approx([500.0] * 3, rel=1e-3)


def test_best_place_is_the_middle() -> None:
    assert finish(generated.star(5, MS, 10.0), Finish()).best_place() == 0


def test_generated_topologies_have_the_places_and_paths_that_they_promise() -> None:
    ring = finish(generated.ring(6, MS, 100.0), Finish())
    assert (ring.delay.max(), ring.hops.max(), len(ring.edges)) == (3 * MS, 3, 6)
    grid = finish(generated.grid(3, 4, MS, 100.0), Finish())
    assert (len(grid.places), grid.delay[0, -1], len(grid.edges)) == (12, 5 * MS, 17)
    tree = finish(generated.tree(3, 2, MS, 100.0), Finish())
    assert [tree.places[place] for place in tree.access] == [f"l2-{number}" for number in range(1, 10)]
    assert tree.delay[tree.access[0], tree.access[-1]] == 4 * MS
    delays = generated.CampusDelays(1000, 2000, 3000, MS)
    campus = finish(generated.campus(4, 6, delays, 100.0), Finish())
    assert len(campus.access) == 24
    assert campus.delay[campus.access[0], campus.access[1]] == 6000
    assert campus.delay[campus.access[0], campus.places.index("internet")] == 5000 + MS
    assert campus.places[campus.sites()[campus.access[7]]] == "b2"


def test_geometric_is_the_same_for_the_same_seed_and_a_gabriel_graph_is_connected() -> None:
    made = [generated.geometric(40, 10_000.0, None, seed, Cable(5_000, 100)) for seed in (1, 1, 2)]
    topologies = [finish(graph, Finish()) for graph in made]
    assert (topologies[0].delay == topologies[1].delay).all()
    assert (topologies[0].delay != topologies[2].delay).any()
    with pytest.raises(NotPossible, match="falls into"):
        finish(generated.geometric(40, 10_000.0, 500.0, 1, Cable(5_000, 0)), Finish())


def test_gabriel_links_are_those_of_the_definition() -> None:
    points = np.random.default_rng(3).uniform(0, 1, (30, 2))
    expected = []
    for one in range(30):
        for other in range(one + 1, 30):
            middle, reach = (points[one] + points[other]) / 2, ((points[one] - points[other]) ** 2).sum() / 4
            inside = ((points - middle) ** 2).sum(axis=1) < reach * (1 - 1e-9)
            if not inside.any():
                expected.append((one, other))
    assert gabriel_links(points) == expected


@pytest.mark.parametrize(
    "points",
    [
        [[0, 0], [1, 0], [2, 0], [5, 0]],
        [[0, 0], [0, 1], [1, 0], [1, 1]],
        [[0, 0], [0, 0], [3, 4]],
        [[2, 2]],
        [[1, 1], [1, 1]],
    ],
)
def test_gabriel_links_connect_lines_squares_and_equal_points(points: list[list[float]]) -> None:
    links = [Link(one, other, 1) for one, other in gabriel_links(np.array(points, dtype=np.float64))]
    assert finish(Graph("few", [str(number) for number in range(len(points))], links), Finish()).delay.max() < 10


def test_more_places_than_a_matrix_can_hold_are_refused() -> None:
    graph = generated.ring(5_000, MS, 1.0)
    with pytest.raises(NotPossible, match="has 15000 places; expected at most 5000"):
        finish(graph, Finish(routers_per_place=2))
