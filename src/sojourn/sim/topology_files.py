"""Topologies from elsewhere: the package topohub, lists of links and of places (CSV).

Units are never guessed: a column says its unit by its name, and lengths become delays by a `Cable`. What a file of the
user's has wrong is a mistake with its line; what the collection of topohub lacks is mended, counted and said.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.sim.graph import LONGEST_LINK, MOST_PLACES, Cable, Graph, Link, NotPossible
from sojourn.sim.plane import gabriel_links, metres
from sojourn.sim.rows import Column, Mistakes, Piece, Rows
from sojourn.wire.units import MICROSECOND, MILLISECOND, NANOSECOND, SECOND

MOST_LINKS = 500_000
NAME = Column("the name of the place", {"name": 1, "place": 1, "site": 1})
LATITUDE = Column("latitude in degrees", {"lat": 1, "latitude": 1}, needed=False)
LONGITUDE = Column("longitude in degrees", {"lon": 1, "longitude": 1}, needed=False)
EAST = Column("metres to the east", {"x_m": 1, "x_km": 1000}, needed=False)
NORTH = Column("metres to the north", {"y_m": 1, "y_km": 1000}, needed=False)
ONE = Column("one end of the link", {"from": 1, "source": 1})
OTHER = Column("the other end of the link", {"to": 1, "target": 1})
DELAY = Column(
    "one-way delay",
    {"delay_ms": MILLISECOND, "delay_us": MICROSECOND, "delay_ns": NANOSECOND, "delay_s": SECOND},
    needed=False,
)
LENGTH = Column("length", {"length_km": 1000, "length_m": 1}, needed=False)


# --- topohub --------------------------------------------------------------------------------------------------------


@cache
def topohub_names() -> list[str]:
    """All topologies of the package, as ``topozoo/Abilene``."""
    root = resources.files("topohub") / "data"
    with resources.as_file(root) as folder:
        return sorted(str(file.relative_to(folder).with_suffix("")) for file in Path(folder).rglob("*.json"))


def topohub(name: str, cable: Cable) -> Graph:
    """A topology of the package topohub; its lengths are kilometres. Raises `NotPossible`."""
    known = topohub_names()
    matching = [key for key in known if name in (key, key.rpartition("/")[2])]
    if len(matching) != 1:
        near = matching[:3] or difflib.get_close_matches(
            name, [*known, *(key.rpartition("/")[2] for key in known)], n=3
        )
        hint = f"did you mean {' or '.join(near)}?" if near else 'expected a name such as "topozoo/Abilene"'
        what = "the name of several topologies" if matching else "no topology"
        raise NotPossible("topohub.name", f"{name!r} is {what} of topohub", hint)
    found = json.loads((resources.files("topohub") / "data" / f"{matching[0]}.json").read_text())
    number = {node["id"]: place for place, node in enumerate(found["nodes"])}
    repairs: list[str] = []
    links = [
        Link(number[edge["source"]], number[edge["target"]], cable.delay(1000 * edge["dist"]))
        for edge in found["edges"]
    ]
    if zero := sum(1 for edge in found["edges"] if edge["dist"] == 0):
        repairs.append(
            f"{zero} of {len(links)} links have no length, as both ends are at the same coordinates: "
            f"they delay {cable.per_link / MILLISECOND:g} ms (per_link)"
        )
    places = _distinct([node.get("name") or f"n{node['id']}" for node in found["nodes"]], repairs)
    positions = np.array([node["pos"] for node in found["nodes"]], dtype=np.float64)
    geographic = not matching[0].startswith("gabriel/")
    return Graph(matching[0].rpartition("/")[2], places, links, positions, geographic, repairs=repairs)


def _distinct(names: Sequence[str], repairs: list[str]) -> list[str]:
    """Names of which none is there twice."""
    often = Counter(names)
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(f"{name} ({seen[name]})" if often[name] > 1 else name)
    if renamed := sum(count for count in often.values() if count > 1):
        repairs.append(f"{renamed} places share their name with another; they are numbered")
    return distinct


# --- CSV ------------------------------------------------------------------------------------------------------------


def links_file(path: Path, places_path: Path | None, cable: Cable) -> Graph:
    """A list of links, with a list of the places when their positions are known. Raises `ConfigurationError`."""
    places, positions, geographic = _places(places_path) if places_path else ([], None, False)
    number = {name: place for place, name in enumerate(places)}
    mistakes = Mistakes(str(path), False, "mend the row")
    rows = Rows(path, (ONE, OTHER, DELAY, LENGTH), mistakes)
    delays: dict[tuple[int, int], int] = {}
    repeated = 0
    for piece in rows.pieces():
        values = _delays(rows, piece, mistakes, cable)
        for row, (one, other) in enumerate(zip(rows.text(piece, ONE.what), rows.text(piece, OTHER.what), strict=True)):
            if one == other:
                rows.wrong(piece, row, OTHER.what, "", f"{other!r} is linked with itself")
            for name, end in ((one, ONE), (other, OTHER)):
                if places_path is None and name and len(number) <= MOST_PLACES:
                    number.setdefault(name, len(number))
                elif name not in number:
                    rows.wrong(piece, row, end.what, "", f"{name!r} is {_no_place(places_path)}")
            if {one, other} <= number.keys() and values[row] >= 0:
                pair = (number[one], number[other])
                pair = min(pair, pair[::-1])
                repeated += pair in delays
                delays[pair] = min(int(values[row]), delays.get(pair, LONGEST_LINK))
        if len(delays) > MOST_LINKS:
            raise mistakes.fatal(0, 0, "", f"has more than {MOST_LINKS} links", "leave some out")
    mistakes.check()
    repairs = [f"{repeated} links are there twice: the faster counts"] if repeated else []
    links = [Link(*pair, delay) for pair, delay in delays.items()]
    return Graph(path.stem, list(number), links, positions, geographic, repairs=repairs)


def _no_place(places_path: Path | None) -> str:
    return f"no place of {places_path}" if places_path else f"one of more than {MOST_PLACES} places, or has no name"


def _delays(rows: Rows, piece: Piece, mistakes: Mistakes, cable: Cable) -> NDArray[np.float64]:
    """Nanoseconds of each link, negative where it is wrong."""
    given = [column for column in (DELAY, LENGTH) if column.what in rows.found]
    if len(given) != 1:
        wrong = "has both a delay and a length" if given else "has neither a delay nor a length"
        names = " or ".join([*DELAY.names, *LENGTH.names])
        raise mistakes.fatal(1, 0, "", wrong, f"expected one column {names}: its name says the unit")
    column = given[0]
    values = rows.numbers(piece, column.what)
    written = rows.text(piece, column.what)
    for row in np.flatnonzero(values < 0):
        rows.wrong(piece, int(row), column.what, "", f"{written[row]} is negative")
    if column is LENGTH:
        values = np.where(values >= 0, np.rint(cable.per_km * values / 1000) + cable.per_link, -1.0)
    for row in np.flatnonzero(values > LONGEST_LINK):
        rows.wrong(piece, int(row), column.what, "", f"{written[row]} is more than {LONGEST_LINK // SECOND} s")
        values[row] = -1.0
    return np.asarray(np.rint(np.nan_to_num(values, nan=-1.0)))


def sites_file(path: Path, hub: bool, cable: Cable) -> Graph:
    """Places with positions, linked with those beside them, or all with a ``core`` in their middle (`hub`)."""
    places, positions, geographic = _places(path)
    if positions is None:
        raise Mistakes(str(path), False, "").fatal(
            1, 0, "", "has no positions", "expected columns lat and lon, or x_m and y_m"
        )
    access = list(range(len(places)))
    if hub and "core" in places:
        raise NotPossible("sites.links", f"a place of {path} is called core already", 'expected links = "beside"')
    if hub:
        places, positions = [*places, "core"], np.vstack((positions, positions.mean(axis=0)))
        pairs = [(place, len(access)) for place in access]
    else:
        pairs = gabriel_links(metres(positions, geographic))
    links = cable.along(pairs, positions, geographic)
    return Graph(path.stem, places, links, positions, geographic, access)


def _places(path: Path) -> tuple[list[str], NDArray[np.float64] | None, bool]:
    """Names, positions if the file has them, and whether these are longitude and latitude."""
    mistakes = Mistakes(str(path), False, "mend the row")
    rows = Rows(path, (NAME, LATITUDE, LONGITUDE, EAST, NORTH), mistakes)
    names: dict[str, int] = {}
    columns: tuple[Column, ...] = ()
    parts = []
    for piece in rows.pieces():
        columns = _coordinates(rows.found, mistakes)
        for row, name in enumerate(rows.text(piece, NAME.what)):
            if not name:
                rows.wrong(piece, row, NAME.what, "", "the name is missing")
            elif name in names:
                rows.wrong(piece, row, NAME.what, "", f"{name!r} is the place of line {names[name]} already")
            else:
                names[name] = int(piece.lines[row])
        if len(names) > MOST_PLACES:
            raise mistakes.fatal(0, 0, "", f"has more than {MOST_PLACES} places", "leave some out")
        if columns:
            parts.append(np.column_stack([rows.numbers(piece, column.what) for column in columns]))
            _on_earth(rows, piece, columns, parts[-1])
    mistakes.check()
    return list(names), np.concatenate(parts) if parts else None, columns == (LONGITUDE, LATITUDE)


def _coordinates(found: Mapping[str, Any], mistakes: Mistakes) -> tuple[Column, ...]:
    pairs = [(LONGITUDE, LATITUDE), (EAST, NORTH)]
    whole = [pair for pair in pairs if all(column.what in found for column in pair)]
    if len(whole) > 1 or len(whole) * 2 != sum(column.what in found for pair in pairs for column in pair):
        raise mistakes.fatal(1, 0, "", "has half a position", "expected lat and lon, or x_m and y_m")
    return whole[0] if whole else ()


def _on_earth(rows: Rows, piece: Piece, columns: tuple[Column, ...], values: NDArray[np.float64]) -> None:
    if columns == (LONGITUDE, LATITUDE):
        for column, limit, part in ((LONGITUDE, 180, values[:, 0]), (LATITUDE, 90, values[:, 1])):
            for row in np.flatnonzero(np.abs(part) > limit):
                rows.wrong(piece, int(row), column.what, "", f"{part[row]:g} is not between -{limit} and {limit}")
