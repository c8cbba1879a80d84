"""What an evaluation starts from: the one place where it meets scenario files and the simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.ways import Way
from sojourn.sim.protocol import ProtocolSettings
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Stream, Workload
from sojourn.wire.units import Duration

Figures = Mapping[str, float]


class Inputs(Protocol):
    """A scenario, as far as it matters here."""

    @property
    def name(self) -> str: ...

    @property
    def topology(self) -> Topology: ...

    def workload(self, seed: int) -> Workload:
        """The population of the scenario, drawn from `seed`."""
        ...

    def with_sessions(self, seed: int, session: float, inter_arrival: float) -> Workload:
        """The same moves with exponential sessions of other lengths (seconds) to correspondents anywhere."""
        ...
