"""Topologies from files: units are said, mistakes have line and column, repairs are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.files.toml import ConfigurationError
from sojourn.sim.graph import Cable, Finish, Graph, NotPossible, finish
from sojourn.sim.plane import distance
from sojourn.sim.topology_files import links_file, sites_file, topohub, topohub_names
from sojourn.sim.topology_graphml import Attributes, graphml
from sojourn.wire.units import MICROSECOND, MILLISECOND

FIBRE = Cable(5 * MICROSECOND, 0)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def said(error: pytest.ExceptionInfo[ConfigurationError], path: Path) -> list[str]:
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


# --- topohub --------------------------------------------------------------------------------------------------------


def test_lengths_of_topohub_are_kilometres() -> None:
    """Its `dist` is the great circle between the positions, so a delay is 5 us for each kilometre of that."""
    graph = topohub("topozoo/Abilene", FIBRE)
    assert graph.positions is not None
    for link in graph.links:
        kilometres = distance(graph.positions, True, link.one)[link.other] / 1000
        assert link.delay / MICROSECOND == pytest.approx(5 * kilometres, rel=0.01)


def test_a_name_may_be_said_without_its_collection() -> None:
    assert topohub("Geant2012", FIBRE).places == topohub("topozoo/Geant2012", FIBRE).places


def test_all_of_zoo_and_sndlib_can_be_used() -> None:
    names = [name for name in topohub_names() if name.startswith(("topozoo/", "sndlib/"))]
    assert len(names) > 200
    for name in names:
        topology = finish(topohub(name, FIBRE), Finish())
        assert len(set(topology.places)) == len(topology.places)
        assert (topology.delay >= 0).all()


def test_links_without_length_and_names_that_are_there_twice_are_counted() -> None:
    graph = topohub("topozoo/Garr201201", Cable(5 * MICROSECOND, MILLISECOND))
    assert graph.repairs[0].startswith("15 of 62 links have no length, as both ends are at the same coordinates: they")
    assert "delay 1 ms" in graph.repairs[0]
    twice = next(name for name in topohub_names() if len(topohub(name, FIBRE).repairs) and "backbone" in name)
    assert "places share their name with another" in topohub(twice, FIBRE).repairs[-1]


@pytest.mark.parametrize("name", ["Abeline", "../../../etc/passwd", "topozoo", ""])
def test_an_unknown_name_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(NotPossible, match="is no topology of topohub"):
        topohub(name, FIBRE)


# --- CSV ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"), [("delay_ms", "2.5"), ("delay_us", "2500"), ("delay_ns", "2500000"), ("delay_s", "0.0025")]
)
def test_the_name_of_a_column_says_the_unit(tmp_path: Path, column: str, value: str) -> None:
    path = write(tmp_path, "links.csv", f"from,to,{column}\na,b,{value}\n")
    topology = finish(links_file(path, None, FIBRE), Finish())
    assert topology.places == ("a", "b")
    assert topology.delay[0, 1] == 2_500_000


@pytest.mark.parametrize(("column", "value"), [("length_km", "100"), ("length_m", "100000")])
def test_lengths_become_delays(tmp_path: Path, column: str, value: str) -> None:
    path = write(tmp_path, "links.csv", f"source,target,{column}\na,b,{value}\n")
    graph = links_file(path, None, Cable(5 * MICROSECOND, 7))
    assert [link.delay for link in graph.links] == [500 * MICROSECOND + 7]


def test_spaces_in_the_header_empty_lines_quotes_and_windows_do_not_matter(tmp_path: Path) -> None:
    text = '\ufeffFrom, To ,delay_ms\r\n"a, first",b,1\r\n\r\nb,c,2\r\n'
    path = write(tmp_path, "links.csv", text)
    assert links_file(path, None, FIBRE).places == ["a, first", "b", "c"]


def test_a_link_that_is_there_twice_is_counted_and_the_faster_counts(tmp_path: Path) -> None:
    path = write(tmp_path, "links.csv", "from,to,delay_ms\na,b,3\nb,a,1\n")
    graph = links_file(path, None, FIBRE)
    assert graph.repairs == ["1 links are there twice: the faster counts"]
    assert [link.delay for link in graph.links] == [MILLISECOND]


WRONG_LINKS = [
    ("from,to,delay_ms\na,b,-1\n", "2:5: delay_ms: -1 is negative"),
    ("from,to,delay_ms\na,b,1\nb,c,nan\n", "3:5: delay_ms: 'nan' is not a number"),
    ("from,to,delay_ms\na,b,1\nbee,c,fast\n", "3:7: delay_ms: 'fast' is not a number"),
    ("from,to,delay_ms\na,b,99999\n", "2:5: delay_ms: 99999 is more than 10 s"),
    ("from,to,delay_ms\na,a,1\n", "2:3: to: 'a' is linked with itself"),
    ("from,to,delay_ms\na,b\n", "2: has 2 fields, and the header has 3"),
    ("from,to,delay_ms\n,b,1\n", "2:1: from: '' is one of more than 5000 places, or has no name"),
    ("from,to,delay\na,b,1\n", "1: has neither a delay nor a length; expected one column delay_ms or delay_us"),
    ("from,to,delay_ms,length_km\na,b,1,1\n", "1: has both a delay and a length"),
    ("from,delay_ms\na,1\n", "1: there is no column to or target (the other end of the link)"),
    ("a,b,1\n", "1: there is no column from or source"),
    ("from,from,to,delay_ms\na,a,b,1\n", "1: one end of the link is there twice"),
    ('from,to,delay_ms\na,"b,1\n', "2: is not CSV"),
    ("", " is empty"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG_LINKS)
def test_a_mistake_in_a_list_of_links_has_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, "links.csv", text)
    with pytest.raises(ConfigurationError) as caught:
        links_file(path, None, FIBRE)
    assert said(caught, path)[0].startswith(expected), said(caught, path)


def test_octets_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_bytes(b"from,to,delay_ms\na,b,1\nc,\xff,1\n")
    with pytest.raises(ConfigurationError) as caught:
        links_file(path, None, FIBRE)
    assert said(caught, path) == ["3:3: is not text; expected CSV in UTF-8"]


def test_several_mistakes_are_told_at_once_but_not_a_million(tmp_path: Path) -> None:
    path = write(tmp_path, "links.csv", "from,to,delay_ms\n" + "a,b,-1\n" * 1000)
    with pytest.raises(ConfigurationError) as caught:
        links_file(path, None, FIBRE)
    assert len(said(caught, path)) == 10


PLACES = "name,lat,lon\na,44.5,11.3\nb,44.6,11.3\n"


def test_places_have_positions_and_a_link_must_be_between_them(tmp_path: Path) -> None:
    places = write(tmp_path, "places.csv", PLACES)
    path = write(tmp_path, "links.csv", "from,to,delay_ms\na,b,1\nb,c,1\n")
    with pytest.raises(ConfigurationError) as caught:
        links_file(path, places, FIBRE)
    assert said(caught, path) == [f"3:3: to: 'c' is no place of {places}; mend the row"]
    graph = links_file(write(tmp_path, "links.csv", "from,to,delay_ms\na,b,1\n"), places, FIBRE)
    assert graph.geographic
    assert graph.positions is not None
    assert graph.positions.tolist() == [[11.3, 44.5], [11.3, 44.6]]


WRONG_PLACES = [
    ("name,lat,lon\na,44,11\na,45,11\n", "3:1: name: 'a' is the place of line 2 already"),
    ("name,lat,lon\na,91,11\n", "2:3: lat: 91 is not between -90 and 90"),
    ("name,lat,lon\na,44,181\n", "2:6: lon: 181 is not between -180 and 180"),
    ("name,lat,lon\na,,11\n", "2:3: lat: '' is not a number"),
    ("name,lat,lon\n,44,11\n", "2:1: name: the name is missing"),
    ("name,lat\na,44\n", "1: has half a position"),
    ("name,lat,lon,x_m,y_m\na,1,1,1,1\n", "1: has half a position"),
    ("name\na\n", "1: has no positions; expected columns lat and lon, or x_m and y_m"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG_PLACES)
def test_a_mistake_in_a_list_of_places_has_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, "places.csv", text)
    with pytest.raises(ConfigurationError) as caught:
        sites_file(path, False, FIBRE)
    assert said(caught, path)[0].startswith(expected), said(caught, path)


def test_sites_are_linked_with_those_beside_them_or_with_a_hub(tmp_path: Path) -> None:
    path = write(tmp_path, "places.csv", "site,x_km,y_km\n1,0,0\n2,3,0\n3,6,0\n")
    beside = finish(sites_file(path, False, FIBRE), Finish())
    assert beside.edges == ((0, 1), (1, 2))
    assert beside.delay[0, 2] == 30 * MICROSECOND
    hub = finish(sites_file(path, True, FIBRE), Finish())
    assert hub.places == ("1", "2", "3", "core")
    assert hub.attachable().tolist() == [0, 1, 2]
    assert hub.delay[0].tolist() == [0, 15_000, 30_000, 15_000]


# --- GraphML --------------------------------------------------------------------------------------------------------

HEAD = """\
<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="n" for="node" attr.name="label" attr.type="string"/>
<key id="a" for="node" attr.name="Latitude" attr.type="double"/>
<key id="o" for="node" attr.name="Longitude" attr.type="double"/>
<key id="d" for="edge" attr.name="latency" attr.type="string"/>
<graph edgedefault="undirected">
"""
TAIL = "</graph></graphml>\n"


def node(number: int, name: str, position: tuple[float, float] | None = None) -> str:
    place = "" if position is None else f'<data key="a">{position[0]}</data><data key="o">{position[1]}</data>'
    return f'<node id="{number}"><data key="n">{name}</data>{place}</node>\n'


def edge(one: int, other: int, latency: str = "") -> str:
    data = f'<data key="d">{latency}</data>' if latency else ""
    return f'<edge source="{one}" target="{other}">{data}</edge>\n'


NODES = node(0, "Rome", (41.9, 12.5)) + node(1, "Milan", (45.5, 9.2)) + node(2, "Bari", (41.1, 16.9))


def read(folder: Path, text: str, attributes: Attributes) -> Graph:
    return graphml(write(folder, "x.graphml", text), attributes, FIBRE)


def test_delays_are_an_attribute_with_a_unit_or_follow_from_coordinates(tmp_path: Path) -> None:
    text = HEAD + NODES + edge(0, 1, "4.5") + edge(0, 2, "6") + TAIL
    told = read(tmp_path, text, Attributes(delay="latency", delay_unit=MILLISECOND))
    assert told.places == ["Rome", "Milan", "Bari"]
    assert [link.delay for link in told.links] == [4_500_000, 6_000_000]
    assert told.geographic
    by_length = read(tmp_path, text, Attributes(length="latency", length_unit=1000.0))
    assert [link.delay for link in by_length.links] == [22_500, 30_000]
    great_circle = read(tmp_path, text, Attributes())
    assert [link.delay / MILLISECOND for link in great_circle.links] == pytest.approx([2.40, 1.88], abs=0.01)


def test_a_place_without_coordinates_is_told_or_put_between_its_neighbours(tmp_path: Path) -> None:
    text = HEAD + NODES + node(3, "Nowhere") + edge(0, 1) + edge(0, 2) + edge(3, 0) + edge(3, 1) + TAIL
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text, Attributes())
    assert said(caught, tmp_path / "x.graphml")[0].startswith("11:1: 3: has no coordinates on earth; fill_positions")
    graph = read(tmp_path, text, Attributes(fill_positions=True))
    assert graph.repairs == ["1 places without coordinates put between their neighbours"]
    assert graph.positions is not None
    assert graph.positions[3] == pytest.approx([(12.5 + 9.2) / 2, (41.9 + 45.5) / 2])


WRONG_GRAPHML = [
    (NODES + edge(0, 1, "-3"), Attributes(delay="latency", delay_unit=1), "11:1: 0 - 1: -3 is negative"),
    (NODES + edge(0, 1, "x"), Attributes(delay="latency", delay_unit=1), "11:1: 0 - 1: 'x' is not a number"),
    (NODES + edge(0, 1, "nan"), Attributes(delay="latency", delay_unit=1), "11:1: 0 - 1: 'nan' is not a number"),
    (NODES + edge(0, 1), Attributes(delay="latency", delay_unit=1), "11:1: 0 - 1: has no latency"),
    (NODES + edge(0, 1, "11"), Attributes(delay="latency", delay_unit=10**9), "11:1: 0 - 1: 11 is more than 10 s"),
    (node(0, "a") + node(1, "a") + edge(0, 1), Attributes(), "8:1: label: 2 places are called 'a'"),
    (node(0, "a") + node(1, "b") + edge(0, 1), Attributes(), "10:1: 0 - 1: has no delay, as nothing says where"),
    ("<node id='0'><data key='n'>", Attributes(), "8:"),
]


@pytest.mark.parametrize(("body", "attributes", "expected"), WRONG_GRAPHML)
def test_a_mistake_in_graphml_has_a_line(tmp_path: Path, body: str, attributes: Attributes, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, HEAD + body + TAIL, attributes)
    assert said(caught, tmp_path / "x.graphml")[0].startswith(expected), said(caught, tmp_path / "x.graphml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no XML", "1:1: is not XML"),
        ("<a><b></a>", "1:9: is not XML: mismatched tag"),
        ('<!DOCTYPE x [<!ENTITY e "eeee">]>\n<graphml>&e;</graphml>', "1:13: has a DOCTYPE"),
        ("<html/>", " is not GraphML"),
        ('<?xml version="1.0" encoding="ebcdic-x"?><graphml/>', " is not GraphML"),
        (HEAD + '<node id="0"><data key="zz">1</data></node>' + TAIL, " is not GraphML"),
        (HEAD + '<node id="0"><data key="a">far</data></node>' + TAIL, " is not GraphML"),
    ],
)
def test_what_is_no_graphml_is_told_in_words(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text, Attributes())
    assert said(caught, tmp_path / "x.graphml")[0].startswith(expected), said(caught, tmp_path / "x.graphml")


def test_graphml_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.graphml"
    path.write_bytes((HEAD + node(0, "Münster") + TAIL).encode("iso-8859-1"))
    with pytest.raises(ConfigurationError) as caught:
        graphml(path, Attributes(), FIBRE)
    assert said(caught, path)[0].startswith("8:"), said(caught, path)


def test_a_file_that_is_much_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.graphml"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ConfigurationError, match="has more than 64 MiB"):
        graphml(path, Attributes(), FIBRE)
