"""``sojourn sim sweep``: many runs of one scenario, on all cores or on a cluster."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sojourn.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError

if TYPE_CHECKING:
    from sojourn.sim.executor import Executor
    from sojourn.sim.scenario import Scenario
    from sojourn.sim.sweep import Result, Task


def sweep(
    file: Path,
    /,
    *,
    cluster: str | None = None,
    jobs: int | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Simulate a scenario with all combinations of the values in its table [sweep.grid], each with all seeds.

    Results are collected in one table (results.jsonl, results.csv, and results.parquet with the extra "results") with
    every parameter. A run that fails is tried again and, when it fails every time, listed; the exit code is 1 then.
    What is done stays done: after Ctrl-C, or with more values in the grid, the same command does what is missing.

    Parameters
    ----------
    file:
        The scenario (TOML), or a folder with a scenario.toml; see docs/simulating.md.
    cluster:
        The address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do the runs. They read the scenario
        and what it names by the same paths, and write into the same output directory.
    jobs:
        Runs at a time on this machine; as many as it has processors when absent.
    output:
        The directory for results.
    json_output:
        Answer with JSON.
    """
    from sojourn.cli.sandboxed import claim_output
    from sojourn.control.locks import FileLock, Held
    from sojourn.files.toml import ConfigurationError
    from sojourn.sim.executor import ExecutorLost
    from sojourn.sim.scenario import load
    from sojourn.sim.sweep import plan

    if jobs is not None and (jobs < 1 or cluster):
        raise CommandError("--jobs: expected a number from 1 on, and not together with --cluster", WRONG_USAGE)
    try:
        scenario = load(file)
        scenario.workload(scenario.topology())  # a mistake in a trace is told before anything runs
        directory = (output or Path(f"sojourn-sweep-{scenario.name}")).absolute()
        tasks = plan(scenario, directory, simulated)
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USAGE) from None
    claim_output(directory)
    try:
        lock = FileLock(directory / ".lock")
    except Held:
        raise CommandError(f"another sweep writes into {directory}; wait for it, or name another --output") from None
    try:
        attempts = scenario.sweep.attempts if scenario.sweep else 1
        result = _carry_out(tasks, _executor(cluster, jobs), directory, attempts)
    except ExecutorLost as error:
        raise CommandError(f"{error}; what is done is in {directory}, and the same command goes on") from None
    except KeyboardInterrupt:
        print(f"stopped; what is done is in {directory}, and the same command goes on", file=sys.stderr)
        raise
    finally:
        lock.close()
    _tell(result, directory, json_output)
    return FAILED if result.failed else DONE


def simulated(scenario: Scenario, output: Path) -> Mapping[str, Any]:
    """One run of a sweep, in whatever process."""
    from sojourn.sim.run import simulate

    topology = scenario.topology()
    summary = simulate(
        topology,
        scenario.workload(topology),
        scenario.settings,
        output,
        seed=scenario.seed,
        jobs=1,
        wire=scenario.wire,
        warm_up=scenario.warm_up,
        rows=False,
    )
    del summary["by_place"]  # in the directory of the run
    return summary


def _executor(cluster: str | None, jobs: int | None) -> Executor[Task]:
    """Raises CommandError and ExecutorLost."""
    from sojourn.sim.executor import ClusterExecutor, LocalExecutor
    from sojourn.sim.sweep import perform

    if cluster is None:
        return LocalExecutor(perform, jobs or len(os.sched_getaffinity(0)))
    try:
        return ClusterExecutor(perform, cluster)
    except ImportError:
        raise CommandError("--cluster needs Dask: pip install 'sojourn[cluster]'", WRONG_USAGE) from None


def _carry_out(tasks: list[Task], executor: Executor[Task], directory: Path, attempts: int) -> Result:
    from sojourn.sim.sweep import carry_out

    with _progress(len(tasks)) as progress:
        return carry_out(tasks, executor, directory, attempts, progress)


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[Task, str], None]]:
    """A bar for a person, a line for each run that ends otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sojourn.sim.sweep import BEFORE, NOW

    console = Console(stderr=True)
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        row = bar.add_task("runs", total=runs)

        def tell(task: Task, how: str) -> None:
            well = how in (BEFORE, NOW)
            bar.update(row, advance=well)
            if not well or not console.is_terminal:
                changes = ", ".join(f"{key} = {value}" for key, value in task.changes.items())
                console.print(f"{task.key} ({changes}): {how}", markup=False, highlight=False, soft_wrap=True)

        yield tell


def _tell(result: Result, directory: Path, json_output: bool) -> None:
    """What became of the sweep."""
    if json_output:
        answer = {
            "output": str(directory),
            "planned": result.planned,
            "done": result.done,
            "done_before": result.reused,
            "retried": result.retried,
            "failed": [
                {"run": each.task.key, **each.task.changes, "attempts": each.attempts, "reason": each.reason}
                for each in result.failed
            ],
            "written": [str(path) for path in result.written],
        }
        print(json.dumps(answer, indent=2))
        return
    before = f", {result.reused} were done before" if result.reused else ""
    print(f"{result.done} of {result.planned} runs done{before}, {result.retried} tried again")
    for each in result.failed:
        print(f"failed {each.attempts} times: {each.task.key} {each.task.changes}: {each.reason}")
    for path in result.written:
        print(f"  {path}")
