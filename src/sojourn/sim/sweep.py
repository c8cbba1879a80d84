"""Many runs of one scenario: all combinations of a grid, each with all seeds.

A run is known by a digest of all of its parameters, the files that it reads and the version of sojourn. What it found
is written down as soon as it ends, so that a sweep that was stopped, or whose grid has grown, does what is missing.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sojourn import __version__
from sojourn.files.toml import unusable
from sojourn.sim.executor import Executor, Outcome
from sojourn.sim.scenario import Scenario, input_files, load, parameters

MOST_RUNS = 10_000
_HASHED = 64 << 20
"""Octets; of a larger file only size and time are looked at."""

BEFORE, NOW = "done before", "done"

Run = Callable[[Scenario, Path], Mapping[str, Any]]
"""Simulates a scenario into a directory and returns a summary: names and values, perhaps in tables."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run, as a worker is told of it."""

    key: str
    path: str
    """Of the scenario, from the root."""
    changes: Mapping[str, Any]
    output: str
    """The directory of this run, from the root."""
    run: Run


@dataclass(slots=True)
class Failed:
    """A run that failed every time."""

    task: Task
    attempts: int
    reason: str


@dataclass(slots=True)
class Result:
    """Of a sweep."""

    planned: int
    reused: int = 0
    """Done before."""
    done: int = 0
    """Done now."""
    retried: int = 0
    failed: list[Failed] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    """Tables."""


def plan(scenario: Scenario, output: Path, run: Run) -> list[Task]:
    """All runs. Raises `ConfigurationError`."""
    grid, seeds = scenario.sweep.grid if scenario.sweep else {}, _seeds(scenario)
    count = len(seeds)
    for values in grid.values():
        count *= len(values)
    if count > MOST_RUNS:
        raise unusable(scenario.document.name, f"the sweep has {count} runs", f"expected at most {MOST_RUNS}")
    files = _digest(input_files(scenario))
    tasks = {}
    for values in itertools.product(*grid.values()):
        varied = scenario.varied(dict(zip(grid, values, strict=True)))
        for seed in seeds:
            # Every combination has the same seeds: differences between them are not those of chance.
            changes = {**varied.changes, "seed": seed}
            key = _key(varied, seed, files)
            directory = output / "runs" / key
            tasks[key] = Task(key, str(scenario.path.absolute()), changes, str(directory.absolute()), run)
    return list(tasks.values())


def _seeds(scenario: Scenario) -> Sequence[int]:
    seeds = scenario.sweep.seeds if scenario.sweep else 1
    return range(scenario.seed, scenario.seed + seeds) if isinstance(seeds, int) else seeds


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        if status.st_size <= _HASHED:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        else:
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


def _key(scenario: Scenario, seed: int, files: str) -> str:
    told = {**parameters(scenario), "seed": seed}
    return hashlib.sha256(json.dumps([__version__, files, told], sort_keys=True).encode()).hexdigest()[:16]


def perform(task: Task) -> dict[str, Any]:
    """What a worker does: one run. Returns every parameter and the summary."""
    scenario = load(task.path, grid=False).varied(task.changes)
    directory = Path(task.output)
    directory.mkdir(parents=True, exist_ok=True)
    summary = task.run(scenario, directory)
    return {"parameters": parameters(scenario), "summary": dict(summary)}


def carry_out(
    tasks: Sequence[Task],
    executor: Executor[Task],
    output: Path,
    attempts: int,
    progress: Callable[[Task, str], None],
) -> Result:
    """Do what is not done yet, and write the tables, also when it is interrupted (KeyboardInterrupt, `ExecutorLost`).

    `progress` is told of each run: `BEFORE`, `NOW`, or why it failed.
    """
    result = Result(len(tasks))
    tried: dict[str, int] = {}
    missing = []
    for task in tasks:
        if _record(output, task.key).exists():
            result.reused += 1
            progress(task, BEFORE)
        else:
            missing.append(task)
    try:
        for task in missing:
            executor.start(task)
        open_tasks = len(missing)
        while open_tasks:
            outcome = executor.next()
            task = outcome.argument
            tried[task.key] = tried.get(task.key, 0) + 1
            failure = _take(outcome, output)
            if failure and tried[task.key] < attempts:
                result.retried += 1
                executor.start(task)
            else:
                open_tasks -= 1
                result.done += not failure
                if failure:
                    result.failed.append(Failed(task, tried[task.key], failure))
            progress(task, failure or NOW)
    finally:
        executor.close()
        result.written = write_tables(tasks, result.failed, output)
    return result


def _take(outcome: Outcome[Task], output: Path) -> str:
    """Write down what a run found; returns why it failed."""
    task = outcome.argument
    if outcome.failure:
        directory = output / "runs" / task.key
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "failure.txt").write_text(f"{outcome.failure}\n\n{outcome.details}")
        return outcome.failure
    try:
        text = json.dumps({"run": task.key, "changes": task.changes, **outcome.result}, indent=2)
    except (TypeError, ValueError) as error:
        return f"its summary cannot be written down: {error}"
    _replace(_record(output, task.key), text)
    return ""


def _record(output: Path, key: str) -> Path:
    return output / "runs" / key / "run.json"


def _replace(path: Path, text: str) -> None:
    """The file is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


# --- tables -----------------------------------------------------------------------------------------------------------


def write_tables(tasks: Sequence[Task], failed: Sequence[Failed], output: Path) -> list[Path]:
    """One row for each run that is done, with every parameter; and the list of those that failed."""
    rows = []
    for task in tasks:
        record = _record(output, task.key)
        if record.exists():
            found = json.loads(record.read_text())
            rows.append({"run": task.key, **found["parameters"], **dict(_flat("", found["summary"]))})
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = output / "results.jsonl"
    _replace(lines, "".join(json.dumps(row) + "\n" for row in rows))
    table = output / "results.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    reasons = output / "failed.jsonl"
    said = [
        {"run": each.task.key, **each.task.changes, "attempts": each.attempts, "reason": each.reason} for each in failed
    ]
    _replace(reasons, "".join(json.dumps(row) + "\n" for row in said))
    return [lines, table, *_parquet(rows, columns, output / "results.parquet"), *([reasons] if failed else [])]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Names with dots for tables in tables; lists as text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    else:
        yield prefix, json.dumps(value) if isinstance(value, list) else value


def _parquet(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], path: Path) -> list[Path]:
    """With the extra ``results``; a column that has numbers and other things is text."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return []
    arrays = {}
    for column in columns:
        values = [row.get(column) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1:
            values = [None if value is None else str(value) for value in values]
        arrays[column] = pyarrow.array(values)
    parquet.write_table(pyarrow.table(arrays), path)
    return [path]
