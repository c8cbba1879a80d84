"""Topologies from GraphML, as the Internet Topology Zoo and most graph editors write it.

networkx reads the file; a pass of expat before it finds the line of every place and link, for what is to be said about
them, and refuses what GraphML does not need and an attacker does (entities).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

import networkx
import numpy as np
from numpy.typing import NDArray

from sojourn.files import toml
from sojourn.files.toml import unusable
from sojourn.sim.graph import LONGEST_LINK, Cable, Graph, Link
from sojourn.sim.plane import distance
from sojourn.sim.rows import Mistakes
from sojourn.wire.units import SECOND

LARGEST = 64 << 20
"""Octets; a file of `MOST_PLACES` places has far fewer."""

Place = tuple[int, int]
"""Line and column."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Which attributes of nodes and edges say what."""

    name: str = "label"
    """Of places; empty: their id."""
    delay: str = ""
    """Of links; empty: from the length."""
    delay_unit: int = 0
    """Nanoseconds."""
    length: str = ""
    """Of links; empty: from the coordinates."""
    length_unit: float = 0.0
    """Metres."""
    latitude: str = "Latitude"
    longitude: str = "Longitude"
    fill_positions: bool = False
    """A place without coordinates gets the mean of its neighbours'."""


def graphml(path: Path, attributes: Attributes, cable: Cable) -> Graph:
    """The topology in a GraphML file. Raises `ConfigurationError`."""
    octets = toml.read(path, LARGEST)
    lines = _Lines(str(path), octets)
    try:
        with warnings.catch_warnings(action="ignore"):  # an attribute without a type is read as text, which is right
            read = networkx.parse_graphml(octets.decode("utf-8-sig"))
    except (networkx.NetworkXException, LookupError, ValueError, TypeError, AttributeError, SyntaxError) as error:
        raise unusable(str(path), f"is not GraphML: {error}", "expected what networkx can read") from None
    return _Reading(path, attributes, cable, read, lines).graph()


class _Lines:
    """Where each node and edge is in the file."""

    def __init__(self, name: str, octets: bytes) -> None:
        self.nodes: dict[str, Place] = {}
        self.edges: dict[tuple[str, str], Place] = {}
        self._name = name
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.StartElementHandler = self._element
        self._parser.StartDoctypeDeclHandler = self._doctype
        try:
            self._parser.Parse(octets, True)
        except expat.ExpatError as error:
            mistakes = Mistakes(name, False, "")
            wrong = f"is not XML: {expat.ErrorString(error.code)}"
            raise mistakes.fatal(error.lineno, error.offset + 1, "", wrong, "expected GraphML") from None

    def _here(self) -> Place:
        return self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1

    def _element(self, name: str, attributes: Mapping[str, str]) -> None:
        kind = name.rpartition(" ")[2]
        if kind == "node":
            self.nodes.setdefault(attributes.get("id", ""), self._here())
        elif kind == "edge":
            ends = attributes.get("source", ""), attributes.get("target", "")
            self.edges.setdefault(ends, self._here())
            self.edges.setdefault(ends[::-1], self._here())

    def _doctype(self, *_: object) -> None:
        raise Mistakes(self._name, False, "").fatal(*self._here(), "", "has a DOCTYPE", "expected GraphML without")


class _Reading:
    """One file on its way to a `Graph`."""

    def __init__(self, path: Path, attributes: Attributes, cable: Cable, read: Any, lines: _Lines) -> None:
        self._path, self._attributes, self._cable, self._read, self._lines = path, attributes, cable, read, lines
        self._mistakes = Mistakes(str(path), False, "mend the file")
        self._number: dict[Hashable, int] = {node: number for number, node in enumerate(read.nodes)}
        self._repairs: list[str] = []

    def graph(self) -> Graph:
        places = self._names()
        positions = self._positions()
        links = self._links(positions)
        self._mistakes.check()
        return Graph(self._path.stem, places, links, positions, positions is not None, repairs=self._repairs)

    def _names(self) -> list[str]:
        attribute = self._attributes.name
        names = [str(data.get(attribute, node) if attribute else node) for node, data in self._read.nodes(data=True)]
        often = Counter(names)
        for node, name in zip(self._read.nodes, names, strict=True):
            if often[name] > 1:
                wrong = f'{often[name]} places are called {name!r}; name = "" takes their id'
                self._mistakes.add("", *self._lines.nodes.get(str(node), (0, 0)), attribute, wrong)
        return names

    def _positions(self) -> NDArray[np.float64] | None:
        """Longitude and latitude; None when no place has them."""
        keys = (self._attributes.longitude, self._attributes.latitude)
        data = [data for _, data in self._read.nodes(data=True)]
        positions = np.array([[_finite(node.get(key)) for key in keys] for node in data], dtype=np.float64)
        positions[(np.abs(positions) > (180.0, 90.0)).any(axis=1)] = np.nan
        missing: NDArray[np.bool_] = np.asarray(np.isnan(positions).any(axis=1))
        if missing.all():
            return None
        if missing.any() and self._attributes.fill_positions:
            self._fill(positions, missing)
        if missing.any() and not (self._attributes.delay or self._attributes.length):
            for node, number in self._number.items():
                if missing[number]:
                    wrong = "has no coordinates on earth; fill_positions = true puts it between its neighbours"
                    self._mistakes.add("", *self._lines.nodes.get(str(node), (0, 0)), str(node), wrong)
        return None if missing.any() else positions

    def _fill(self, positions: NDArray[np.float64], missing: NDArray[np.bool_]) -> None:
        """Places without coordinates between their neighbours, for as long as that finds another one."""
        beside: dict[int, list[int]] = defaultdict(list)
        for one, other in self._read.edges():
            beside[self._number[one]].append(self._number[other])
            beside[self._number[other]].append(self._number[one])
        count = int(missing.sum())
        before = -1
        while missing.any() and missing.sum() != before:
            before = int(missing.sum())
            for number in np.flatnonzero(missing):
                known = [other for other in beside[int(number)] if not missing[other]]
                if known:
                    positions[number] = positions[known].mean(axis=0)
                    missing[number] = False
        self._repairs.append(f"{count - int(missing.sum())} places without coordinates put between their neighbours")

    def _links(self, positions: NDArray[np.float64] | None) -> list[Link]:
        links: dict[tuple[int, int], int] = {}
        repeated = loops = 0
        for one, other, data in self._read.edges(data=True):
            ends = self._number[one], self._number[other]
            pair = min(ends, ends[::-1])
            delay = self._delay(data, *pair, positions)
            if isinstance(delay, str):
                place = self._lines.edges.get((str(one), str(other)), (0, 0))
                self._mistakes.add("", *place, f"{one} - {other}", delay)
            elif pair[0] == pair[1]:
                loops += 1
            else:
                repeated += pair in links
                links[pair] = min(delay, links.get(pair, delay))
        if repeated:
            self._repairs.append(f"{repeated} links are there twice: the faster counts")
        if loops:
            self._repairs.append(f"{loops} links from a place to itself left out")
        return [Link(*pair, delay) for pair, delay in links.items()]

    def _delay(self, data: Mapping[str, Any], one: int, other: int, positions: NDArray[np.float64] | None) -> int | str:
        """Nanoseconds, or what is wrong."""
        which = self._attributes
        attribute = which.delay or which.length
        if not attribute:
            if positions is None:
                return "has no delay, as nothing says where its ends are: name the attribute of delay or length"
            return self._cable.delay(float(distance(positions[[one, other]], True, 0)[1]))
        written = data.get(attribute)
        value = _finite(written)
        if math.isnan(value):
            return f"has no {attribute}" if written is None else f"{written!r} is not a number"
        if value < 0:
            return f"{written} is negative"
        delay = value * which.delay_unit if which.delay else self._cable.delay(value * which.length_unit)
        return round(delay) if delay <= LONGEST_LINK else f"{written} is more than {LONGEST_LINK // SECOND} s"


def _finite(value: object) -> float:
    """A number, or NaN."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
