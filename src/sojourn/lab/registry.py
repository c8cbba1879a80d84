"""The scenarios that ``sojourn lab run`` knows: a name, a function, and a line that says what it shows.

    @scenario("walk", "one host walks over three access routers while its connections live on")
    def walk(options: ScenarioOptions) -> int: ...

The function runs inside the sandbox and returns the exit status. A file given to ``lab run`` has no function
of its own: it is built and its ``[roam]`` script is played (`sojourn.lab.play`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass(slots=True)
class ScenarioOptions:
    """What the command line says to every scenario."""

    output: Path
    """Directory for the report; the scenario makes it."""
    json: bool = False
    """Print one JSON document on standard output and nothing else there."""
    plain: bool = False
    """No live view even on a terminal."""
    extra: dict[str, str] = field(default_factory=dict)
    """Options of this scenario alone, as ``--hosts 10``: ``{"hosts": "10"}``. An unknown one is for the
    scenario to refuse."""
    strict: bool = False
    """The limits of a machine with nothing else to do decide too (see `Report.limits`)."""


ScenarioFunction: TypeAlias = Callable[[ScenarioOptions], int]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One entry of the registry."""

    name: str
    description: str
    function: ScenarioFunction


_scenarios: dict[str, Scenario] = {}

_MODULES = (
    "sojourn.lab.anchors",
    "sojourn.lab.bulk",
    "sojourn.lab.bus",
    "sojourn.lab.cmd_cluster",
    "sojourn.lab.cmd_partition",
    "sojourn.lab.coexistence",
    "sojourn.lab.delegation",
    "sojourn.lab.demo",
    "sojourn.lab.drain",
    "sojourn.lab.drain_anchor",
    "sojourn.lab.extensions",
    "sojourn.lab.flow_bindings",
    "sojourn.lab.flow_mobility",
    "sojourn.lab.handover",
    "sojourn.lab.ipv4_transport",
    "sojourn.lab.laptop",
    "sojourn.lab.lma_dies",
    "sojourn.lab.localized",
    "sojourn.lab.multicast",
    "sojourn.lab.multipath",
    "sojourn.lab.outages",
    "sojourn.lab.pmip_walk",
    "sojourn.lab.soak",
    "sojourn.lab.soak_faults",
    "sojourn.lab.takeover",
    "sojourn.lab.transient",
    "sojourn.lab.upgrade",
    "sojourn.lab.userplane",
)
"""Modules that register scenarios when imported."""


def scenario(name: str, description: str) -> Callable[[ScenarioFunction], ScenarioFunction]:
    """Register the decorated function under `name`."""

    def register(function: ScenarioFunction) -> ScenarioFunction:
        _scenarios[name] = Scenario(name, description, function)
        return function

    return register


def scenarios() -> dict[str, Scenario]:
    """All scenarios, by name."""
    for module in _MODULES:
        importlib.import_module(module)
    return dict(sorted(_scenarios.items()))
