"""Stand-ins for a simulation, which processes and workers import by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sojourn.sim.scenario import Scenario


def count(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """Counts the records of the workload, and says in which process."""
    workload = scenario.workload(scenario.topology())
    stream = workload.shard(0, workload.nodes)
    _say(output)
    return {
        "records": len(stream),
        "by_kind": {"attach": int((stream.kind == 0).sum()), "leave": int((stream.kind == 1).sum())},
        "mode": scenario.settings.mode,
        "process": os.getpid(),
    }


def fail_for_relay(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """A mode that cannot be simulated."""
    if scenario.settings.mode == "relay":
        raise ValueError("relay is out of order")
    return count(scenario, output)


def fail_at_first(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """Every run succeeds when it is tried again; what was written in its directory is still there."""
    if _say(output) == 1:
        raise OSError("not yet")
    return count(scenario, output)


def die_at_first(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """The process is killed from outside, as for want of memory."""
    if _say(output) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return count(scenario, output)


def wait_for_ever(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """Seed 1 is done; others wait, and write down that they were interrupted."""
    if scenario.seed == 1:
        return count(scenario, output)
    try:
        while True:
            (output / "waiting").touch()
            time.sleep(0.01)
    except KeyboardInterrupt:
        (output / "interrupted").touch()
        raise


def nothing_to_write(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """A summary that is no JSON."""
    return {"of": {1, 2}}


def _say(output: Path) -> int:
    """How often this run was tried."""
    with (output / "tried").open("a") as file:
        file.write("x")
    return (output / "tried").stat().st_size
