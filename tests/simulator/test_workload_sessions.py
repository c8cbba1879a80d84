"""Sessions and the stream: laws as asked for, begun where the node is, the same however the nodes are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sojourn.sim import topology_generated as generated
from sojourn.sim.graph import Finish, finish
from sojourn.sim.population import Population
from sojourn.sim.sessions import Correspondents, Law, Mix, Peers, SessionClass
from sojourn.sim.topology import Topology
from sojourn.sim.walks import Anywhere, Walk
from sojourn.sim.workload import BLOCK, Happening, Stream
from sojourn.wire.units import HOUR, SECOND

EDGE = Correspondents(edge=1.0)


def campus() -> Topology:
    return finish(generated.campus(4, 6, generated.CampusDelays(1, 1, 1, 1), 200.0), Finish())


def session(law: Law = "exponential", tail: float = 1.5, to: Correspondents = EDGE, **more: float) -> SessionClass:
    given = {"every": 60.0, "lasting": 30.0, **more}
    return SessionClass("web", given["every"], given["lasting"], law, tail, to)


def population(nodes: int = BLOCK, *classes: SessionClass, seed: int = 1, gap_share: float = 0.0) -> Population:
    topology = campus()
    access = topology.attachable()
    walk = Walk(nodes, HOUR, seed, access, Anywhere(len(access)), 120.0, gap_share=gap_share, gap=60.0)
    return Population(HOUR, seed, walk, Mix(classes or (session(),)), Peers(topology))


def same(one: Stream, other: Stream) -> bool:
    columns = ("time", "node", "kind", "argument", "peer")
    return all(np.array_equal(getattr(one, column), getattr(other, column)) for column in columns)


# --- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "tail", "deviation"),
    [
        ("exponential", 0.0, 1.0),
        ("lognormal", 0.5, np.sqrt(np.exp(0.25) - 1)),
        ("pareto", 4.0, 1 / np.sqrt(8)),
        ("fixed", 0, 0),
    ],
)
def test_sessions_last_as_long_as_was_asked_for(law: Law, tail: float, deviation: float) -> None:
    drawn = session(law, tail).durations(np.random.default_rng(1), 400_000)
    assert drawn.mean() == pytest.approx(30.0, rel=0.01)
    assert drawn.std() / 30.0 == pytest.approx(deviation, rel=0.05, abs=1e-9)


def test_a_heavy_tail_has_the_share_of_long_sessions_that_its_exponent_says() -> None:
    """Pareto 1.5 with mean 30 s begins at 10 s, and P(X > x) = (10 / x)^1.5."""
    drawn = session("pareto", 1.5).durations(np.random.default_rng(1), 1_000_000)
    assert drawn.min() == pytest.approx(10.0, rel=1e-3)
    for longer in (20.0, 100.0, 1000.0):
        assert (drawn > longer).mean() == pytest.approx((10 / longer) ** 1.5, rel=0.05)


def test_arrivals_of_a_mix_are_those_of_its_classes() -> None:
    mix = Mix([session(every=60.0, lasting=1.0, law="fixed"), session(every=20.0, lasting=2.0, law="fixed")])
    arrivals = mix.arrivals(np.random.default_rng(1), 1000, HOUR)
    counts = [(arrivals.lasting == seconds * SECOND).sum() for seconds in (1, 2)]
    assert counts == pytest.approx([60_000, 180_000], rel=0.01)
    each = np.bincount(arrivals.node, minlength=1000)
    assert each.var() == pytest.approx(each.mean(), rel=0.15), "Poisson"
    halves = np.histogram(arrivals.time, bins=4, range=(0, HOUR))[0]
    assert halves == pytest.approx(np.full(4, 60_000), rel=0.02)
    assert (np.diff(arrivals.node * (HOUR + 1) + arrivals.time) >= 0).all()


def test_correspondents_are_where_their_shares_say() -> None:
    topology = campus()
    internet = topology.places.index("internet")
    to = Correspondents(local=0.1, edge=0.2, uniform=0.3, fixed=((internet, 0.4),))
    random = np.random.default_rng(1)
    place = np.full(100_000, topology.places.index("b2-r3"))
    peers = Peers(topology).placed(random, Mix.peers(random, to, 100_000), place)
    share = {topology.places[number]: count / 100_000 for number, count in enumerate(np.bincount(peers)) if count}
    assert share == pytest.approx(
        {"b2-r3": 0.1, "b2": 0.2 + 0.075, "b1": 0.075, "b3": 0.075, "b4": 0.075, "internet": 0.4}, abs=0.01
    )


# --- the stream -----------------------------------------------------------------------------------------------------


def test_a_stream_is_what_its_contract_says() -> None:
    stream = population(BLOCK, session(), gap_share=0.2).shard(0, BLOCK)
    assert (np.diff(stream.time) >= 0).all()
    assert stream.time[-1] <= HOUR
    order = np.lexsort((np.arange(len(stream)), stream.node))
    at: dict[int, int | None] = {}
    began: dict[int, list[int]] = {}
    ended: set[tuple[int, int]] = set()
    access, sites = set(campus().access), campus().sites()
    for row in order:
        node, kind, argument = int(stream.node[row]), Happening(int(stream.kind[row])), int(stream.argument[row])
        match kind:
            case Happening.ATTACH:
                assert at.get(node) != argument
                assert argument in access
                at[node] = argument
            case Happening.LEAVE:
                assert at[node] is not None
                at[node] = None
            case Happening.BEGIN:
                assert at[node] is not None, "a session begins only while its node is attached"
                assert argument == len(began.setdefault(node, [])), "numbers are unique, and rise"
                assert int(stream.peer[row]) == sites[at[node]]
                began[node].append(argument)
            case Happening.END:
                assert argument in began[node]
                assert (node, argument) not in ended
                ended.add((node, argument))
    assert len(at) == BLOCK
    assert len(ended) > 0.9 * sum(map(len, began.values()))


def test_sessions_that_arrive_while_their_node_is_away_are_counted() -> None:
    stream = population(BLOCK, gap_share=0.5).shard(0, BLOCK)
    begun = (stream.kind == Happening.BEGIN).sum()
    # Away 30 s of each 150 s, on average.
    assert stream.lost / (stream.lost + begun) == pytest.approx(0.2, rel=0.1)
    assert population().shard(0, BLOCK).lost == 0


def test_the_same_seed_gives_the_same_stream_however_the_nodes_are_cut() -> None:
    people = population(3 * BLOCK + 10)
    whole = people.shard(0, people.nodes)
    cuts = [0, BLOCK, BLOCK + 1, 2 * BLOCK - 7, 3 * BLOCK, people.nodes]
    for first, last in pairwise(cuts):
        part = people.shard(first, last)
        inside = (whole.node >= first) & (whole.node < last)
        expected = Stream(
            whole.time[inside], whole.node[inside], whole.kind[inside], whole.argument[inside], whole.peer[inside]
        )
        assert same(part, expected)
    assert same(whole, population(3 * BLOCK + 10).shard(0, people.nodes))
    assert not same(whole, population(3 * BLOCK + 10, seed=2).shard(0, people.nodes))


def test_another_session_mix_moves_no_node() -> None:
    """So that scenarios that differ in their sessions can be compared node by node."""
    one, other = population(BLOCK).shard(0, BLOCK), population(BLOCK, session(every=5.0)).shard(0, BLOCK)
    moves = [
        (part.time[part.kind == 0], part.node[part.kind == 0], part.argument[part.kind == 0]) for part in (one, other)
    ]
    assert all(np.array_equal(first, second) for first, second in zip(*moves, strict=True))


def test_a_population_without_sessions_moves() -> None:
    topology = campus()
    walk = Walk(100, HOUR, 1, topology.attachable(), Anywhere(24), 120.0)
    stream = Population(HOUR, 1, walk, Mix(()), Peers(topology)).shard(0, 100)
    assert set(stream.kind) == {Happening.ATTACH}


def test_the_expected_length_of_a_stream_is_about_right() -> None:
    people = population(BLOCK, session(), session(every=10.0, lasting=5.0))
    assert len(people.shard(0, BLOCK)) / BLOCK == pytest.approx(people.records, rel=0.02)


def test_columns_have_the_types_of_the_contract() -> None:
    stream = population(50).shard(0, 50)
    types = [getattr(stream, column).dtype for column in ("time", "node", "kind", "argument", "peer")]
    assert types == [np.int64, np.uint32, np.uint8, np.uint32, np.uint32]
