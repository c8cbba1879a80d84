"""Small evaluations: exponential populations on lines of places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.inputs import Inputs
from sojourn.evaluation.study import Study
from sojourn.evaluation.survey import survey
from sojourn.evaluation.ways import Way
from sojourn.sim.protocol import ProtocolSettings
from sojourn.sim.workload import Workload
from sojourn.wire.units import SECOND
from support.workloads import Exponential, line

DURATION = 1800 * SECOND
PLACES = 8


def inputs(milliseconds: float = 10.0, central: int = 3, **changes: object) -> Inputs:
    """A line of places; nodes go anywhere after 120 s, sessions of 60 s every 60 s."""
    topology = line(PLACES, milliseconds)

    def population(seed: int, session: float = 60.0, every: float = 60.0) -> Exponential:
        return Exponential(40, DURATION, PLACES, 120, session, every, seed)

    made = Inputs(
        name="line",
        topology=topology,
        assumptions=Assumptions(ProtocolSettings(), central),
        placement="given",
        duration=DURATION,
        warm_up=300 * SECOND,
        population=400,
        nodes=40,
        step=1,
        seeds=(1, 2, 3),
        workload=population,
        overlay=population,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def engines(way: Way, workload: Workload, seed: int) -> Mapping[str, float]:
    """Stands in for the simulator."""
    figures = {
        "registered_ms": 30.0, "restored_ms": 31.0, "restored_p50_ms": 30.0, "restored_p95_ms": 50.0,
        "restored_p99_ms": 60.0, "messages": 8.5, "redirection_octets": 700.0, "contacted": 1.25, "in_use": 0.6,
        "anchors": 0.25, "tunnelled": 0.3,
    }  # fmt: skip
    return {name: value + seed / 100 for name, value in figures.items()}


@cache
def study(milliseconds: float = 10.0, central: int = 3, *, simulated: bool = True) -> Study:
    """What is found out about `inputs`."""
    chosen = inputs(milliseconds, central, engines=engines if simulated else None)
    return survey(chosen, lambda step, done, total: None)
