"""Every kind of network and of mobility that a scenario can name becomes a stream, or a sentence says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sojourn.files.toml import ConfigurationError
from sojourn.sim.population import Population
from sojourn.sim.scenario import load
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Happening
from sojourn.wire.units import MICROSECOND, MILLISECOND

GRID = "[topology.grid]\nrows = 4\ncolumns = 4\n"
WALK = '[mobility]\nnodes = 50\n[mobility.walk]\ndwell = "60s"\n'
WAYPOINT = '[mobility]\nnodes = 50\n[mobility.waypoint]\nslowest = "1 m/s"\nfastest = "20 m/s"\n'


def made(folder: Path, text: str) -> tuple[Topology, Population]:
    (folder / "x.toml").write_text(f'duration = "20m"\n{text}')
    scenario = load(folder / "x.toml")
    topology = scenario.topology()
    return topology, scenario.workload(topology)


def why_not(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        made(folder, text)
    return str(caught.value).removeprefix(str(folder / "x.toml"))


MOBILITIES = [
    WALK,
    WALK + 'to = "neighbours"\nnearest = 2\ninside = 0.5\n',
    WALK + 'to = "gravity"\nexponent = 1\nmasses = { r1c1 = 5, r4c4 = 0 }\n',
    WALK + 'shape = 3\ngap_share = 0.2\ngap = "30s"\n',
    '[mobility]\nnodes = 50\narrive = "5m"\n[mobility.walk]\nspeed = "10 m/s"\nradius = "200m"\n',
    WAYPOINT,
    WAYPOINT + 'pause = "30s"\nmargin = "10m"\n',
]


@pytest.mark.parametrize("mobility", MOBILITIES)
def test_every_mobility_makes_a_stream(tmp_path: Path, mobility: str) -> None:
    topology, workload = made(tmp_path, GRID + mobility)
    stream = workload.shard(0, 50)
    attached = stream.kind == Happening.ATTACH
    assert attached.sum() > 300
    assert set(stream.node) == set(range(50))
    assert set(stream.argument[attached]) <= set(range(len(topology.places)))


def test_masses_of_nothing_are_never_visited(tmp_path: Path) -> None:
    topology, workload = made(tmp_path, GRID + MOBILITIES[2])
    stream = workload.shard(0, 50)
    attached = stream.argument[stream.kind == Happening.ATTACH]
    visits = np.bincount(attached, minlength=16)
    assert visits[topology.places.index("r4c4")] == 0
    assert visits.argmax() == topology.places.index("r1c1")


NETWORKS = [
    ("[topology.topohub]\nname = 'sndlib/polska'\nper_km = '10us'\nper_link = '1ms'\n", 12),
    ("[topology.links]\nfile = 'links.csv'\nplaces = 'places.csv'\n", 3),
    ("[topology.links]\nfile = 'links.csv'\n", 3),
    ("[topology.sites]\nfile = 'places.csv'\n", 3),
    ("[topology.sites]\nfile = 'places.csv'\nlinks = 'hub'\n", 4),
    ("[topology.graphml]\nfile = 'x.graphml'\nname = ''\ndelay = 'latency'\ndelay_unit = 'us'\n", 2),
    ("[topology.ring]\nplaces = 7\n", 7),
    ("[topology.star]\nplaces = 7\n", 8),
    ("[topology.tree]\nbranches = 2\nlevels = 3\n", 15),
    ("[topology.campus]\nbuildings = 2\nrouters = 3\n", 11),
    ("[topology.geometric]\nplaces = 9\nside = '3km'\n", 9),
    ("[topology.geometric]\nplaces = 30\nside = '3km'\nreach = '2km'\n[topology]\nlargest_part = true\n", 30),
    ("[topology]\nrouters_per_place = 3\naccess = ['r*']\n[topology.star]\nplaces = 2\n", 9),
]


@pytest.mark.parametrize(("network", "places"), NETWORKS)
def test_every_network_carries_nodes(tmp_path: Path, network: str, places: int) -> None:
    (tmp_path / "links.csv").write_text("from,to,delay_us\na,b,100\nb,c,200\n")
    (tmp_path / "places.csv").write_text("name,x_m,y_m\na,0,0\nb,100,0\nc,0,100\n")
    (tmp_path / "x.graphml").write_text(
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="d" for="edge" attr.name="latency" '
        'attr.type="int"/><graph edgedefault="undirected"><node id="n1"/><node id="n2"/>'
        '<edge source="n1" target="n2"><data key="d">150</data></edge></graph></graphml>'
    )
    topology, workload = made(tmp_path, network + WALK)
    assert len(topology.places) == places
    assert len(workload.shard(0, 50)) > 300
    if "links.csv" in network:
        assert topology.delay[0, 2] == 300 * MICROSECOND
    if "graphml" in network:
        assert topology.delay[0, 1] == 150 * MICROSECOND
    if "polska" in network:
        assert topology.delay[0, 10] == pytest.approx(273.93 * 10_000 + MILLISECOND)


WHY_NOT = [
    (
        "[topology.links]\nfile = 'links.csv'\n" + WAYPOINT,
        ":6: mobility.waypoint: the places have no positions; name a topology with positions, or another mobility",
    ),
    (
        "[topology.sites]\nfile = 'same.csv'\n" + WAYPOINT,
        ":6: mobility.waypoint: places where nodes attach are at one point, so that none is the nearest",
    ),
    (
        "[topology.ring]\nplaces = 2001\n" + WALK + 'to = "gravity"\n',
        ":8: mobility.walk.to: with gravity every place is weighed against all 2001",
    ),
    (
        "[topology.star]\nplaces = 2\n" + WALK + 'to = "gravity"\nmasses = { r1 = 0, r2 = 1 }\n',
        ":9: mobility.walk.masses: leave nowhere to go",
    ),
    (
        "[topology.ring]\nplaces = 1000\n[topology]\nrouters_per_place = 5\n" + WALK,
        ":4: topology: has 6000 places; expected at most 5000",
    ),
    (
        "[topology.geometric]\nplaces = 50\nside = '20km'\nreach = '1km'\n" + WALK,
        ": topology: falls into ",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WHY_NOT)
def test_what_cannot_be_is_said_with_its_key(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "links.csv").write_text("from,to,delay_us\na,b,100\nb,c,200\n")
    (tmp_path / "same.csv").write_text("name,x_m,y_m\na,5,5\nb,5,5\n")
    assert why_not(tmp_path, text).startswith(expected), why_not(tmp_path, text)


def test_a_scenario_of_two_gibibytes_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.toml").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(ConfigurationError, match="has more than 16 MiB"):
        load(tmp_path / "x.toml")
