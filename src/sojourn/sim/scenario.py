"""A scenario: the file that says what is simulated, and all that follows from it.

`load` finds every mistake before anything runs: syntax, keys and values, what contradicts itself or has no steady
state, and what refers to places that the topology does not have. Traces and logs are read when the workload is made.
A sweep varies a scenario: the same file with other values for some of its keys (`Scenario.varied`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sojourn.files import toml
from sojourn.files.fields import DURATION
from sojourn.files.sections import Key, key_text, kind_of, written
from sojourn.files.toml import ConfigurationError, Document, Fault
from sojourn.sim import scenario_build as build
from sojourn.sim import scenario_checks as checks
from sojourn.sim.graph import NotPossible
from sojourn.sim.population import Population
from sojourn.sim.protocol import ProtocolSettings, WireMode
from sojourn.sim.scenario_model import LAYOUT, EvaluateTable, File, SweepTable
from sojourn.sim.sessions import SessionClass
from sojourn.sim.topology import Topology
from sojourn.wire.units import SECOND, Duration

DEFAULT_NAME = "scenario.toml"
"""Of the file in a folder."""


@dataclass(frozen=True)
class Scenario:
    """A file that can be simulated."""

    document: Document
    file: File
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What is not as the file says (`varied`)."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.document.name)

    @property
    def folder(self) -> Path:
        """What the file names is looked for from here."""
        return self.path.parent

    @property
    def name(self) -> str:
        """What results are called."""
        own = self.path.parent.resolve().name if self.path.name == DEFAULT_NAME else self.path.stem
        return self.file.name or own

    @property
    def seed(self) -> int:
        """Of the workload, and of the network's randomness."""
        return self.file.seed

    @property
    def duration(self) -> Duration:
        """Simulated time."""
        return self.file.duration

    @property
    def warm_up(self) -> Duration:
        """What happens before is not counted."""
        return self.file.warm_up

    @property
    def wire(self) -> WireMode:
        """How messages travel."""
        return self.file.wire

    @property
    def evaluate(self) -> EvaluateTable:
        """What the evaluation needs besides."""
        return self.file.evaluate

    @property
    def sweep(self) -> SweepTable | None:
        """What a sweep varies."""
        return self.file.sweep

    @property
    def settings(self) -> ProtocolSettings:
        """What is simulated."""
        return build.settings(self.file, self._topology.places)

    @property
    def sessions(self) -> tuple[SessionClass, ...]:
        """The classes of sessions; without those of a log of flows."""
        places = self._topology.places
        return tuple(build.session_class(name, table, places) for name, table in self.file.sessions.items())

    @property
    def dwell(self) -> float | None:
        """Mean seconds at a place, where the scenario says them: with a walk."""
        walk = self.file.mobility.walk
        return build.mean_dwell(walk) if walk else None

    def topology(self) -> Topology:
        """The network; always the same object."""
        return self._topology

    def workload(self, topology: Topology) -> Population:
        """What the nodes do on `topology`. Reads traces and logs. Raises `ConfigurationError`."""
        try:
            return build.population(self.file, topology, self.folder)
        except NotPossible as error:
            raise ConfigurationError(self.document.name, [self.document.problem(_fault(error))]) from None

    def varied(self, changes: Mapping[str, Any]) -> Scenario:
        """The scenario with other values for some keys (``mobility.walk.dwell``). Raises `ConfigurationError`."""
        data = copy.deepcopy(self.document.data)
        lines = dict(self.document.lines)
        for key, value in changes.items():
            path: Key = tuple(key.split("."))
            _put(data, path, value)
            lines[path] = _line_of_change(self.document, key, path)
        return _scenario(replace(self.document, data=data, lines=lines), self, changes)

    @cached_property
    def _topology(self) -> Topology:
        return build.topology(self.file.topology, self.folder)


def load(path: str | Path, grid: bool = True) -> Scenario:
    """The scenario in a file, or in `DEFAULT_NAME` of a folder. Raises `ConfigurationError`.

    `grid`: every value that a sweep gives to a key is checked as well.
    """
    path = Path(path)
    path = path / DEFAULT_NAME if path.is_dir() else path
    scenario = _scenario(toml.parse(toml.read(path), str(path)))
    if grid:
        _check_grid(scenario)
    return scenario


def _scenario(document: Document, near: Scenario | None = None, changes: Mapping[str, Any] | None = None) -> Scenario:
    """Raises `ConfigurationError`. `changes`: from `near`, which perhaps has the same topology."""
    folder = Path(document.name).parent
    file = document.validate(File, LAYOUT, checks.find(document.data, folder))
    scenario = Scenario(document, file, {**(near.changes if near else {}), **(changes or {})})
    if near is not None and near.file.topology == file.topology:
        scenario.__dict__["_topology"] = near.topology()
    try:
        places = scenario.topology().places
    except NotPossible as error:
        raise ConfigurationError(document.name, [document.problem(_fault(error, "topology"))]) from None
    unknown = list(build.unknown_places(scenario.file, places))
    if unknown:
        raise ConfigurationError(document.name, [document.problem(fault) for fault in unknown])
    return scenario


def _fault(error: NotPossible, *table: str) -> Fault:
    return Fault((*table, *filter(None, error.key.split("."))), error.wrong, error.expected)


def input_files(scenario: Scenario) -> list[Path]:
    """The files that the scenario reads, besides itself."""
    return [scenario.folder / name for name in checks.file_names(scenario.document.data)]


# --- sweeps -----------------------------------------------------------------------------------------------------------


def _check_grid(scenario: Scenario) -> None:
    """Each value of the grid can take its place. Raises `ConfigurationError`."""
    if scenario.sweep is None:
        return
    problems = []
    for key, values in scenario.sweep.grid.items():
        try:
            _check_key(scenario, key)
            for value in values:
                scenario.varied({key: value})
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(scenario.document.name, problems)


def _check_key(scenario: Scenario, key: str) -> None:
    path: Key = tuple(key.split("."))
    wrong, expected = "", ""
    if path[0] in ("sweep", "seed", "name", "evaluate"):
        wrong, expected = "nothing that a grid can vary", "seeds are varied by sweep.seeds"
    elif path[0] == "sessions" and (len(path) < 2 or path[1] not in scenario.file.sessions):
        wrong, expected = "no such table", f"there are {', '.join(scenario.file.sessions) or 'none'}"
    elif LAYOUT.exact(path) is None:
        wrong, expected = "there is no such key", LAYOUT.suggestion(path)
    if wrong:
        place = Fault(("sweep", "grid", key), wrong, expected)
        raise ConfigurationError(scenario.document.name, [scenario.document.problem(place)])


def _put(data: dict[str, Any], path: Key, value: Any) -> None:
    for part in path[:-1]:
        data = data.setdefault(str(part), {})
    data[str(path[-1])] = list(value) if isinstance(value, tuple) else value


def _line_of_change(document: Document, key: str, path: Key) -> int:
    """The line of the grid that sets it; else where it stood."""
    for place in (("sweep", "grid", key), ("sweep", "grid", *path)):
        if place in document.lines:
            return document.lines[place]
    return toml.line_of(document.lines, path)


# --- results ----------------------------------------------------------------------------------------------------------


def parameters(scenario: Scenario) -> dict[str, Any]:
    """Every parameter of the simulation by its key, defaults included: lengths of time in seconds, lists as text."""
    flat = _flat((), scenario.file.model_copy(update={"sweep": None}))
    return {key: value for key, value in flat if not key.startswith("evaluate.")}


def _flat(key: Key, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            if kind_of(field) == DURATION and inner is not None:
                inner = inner / SECOND
            if kind_of(field) or inner is not None:  # a table that is not there has no parameters
                yield from _flat((*key, name), inner)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat((*key, name), inner)
    else:
        yield key_text(key), written(value) if isinstance(value, tuple) else value
