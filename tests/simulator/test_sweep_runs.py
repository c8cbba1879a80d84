"""Sweeps on this machine: every combination with every seed, failures retried and listed, nothing done twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from sojourn.sim.executor import LocalExecutor
from sojourn.sim.scenario import Scenario, load
from sojourn.sim.sweep import Result, Run, Task, carry_out, perform, plan
from support import sweep_runs

SCENARIO = """\
name = "small"
duration = "10m"
[topology.ring]
places = 5
[mobility]
nodes = 20
[mobility.walk]
dwell = "60s"
[sessions.web]
every = "30s"
lasting = "10s"
[sweep]
seeds = {seeds}
attempts = 2
[sweep.grid]
"protocol.mode" = ["proxy", "relay"]
"mobility.walk.dwell" = {dwells}
"""


def scenario(folder: Path, seeds: str = "2", dwells: str = '["30s", "60s"]') -> Scenario:
    path = folder / "small.toml"
    path.write_text(SCENARIO.format(seeds=seeds, dwells=dwells))
    return load(path)


def sweep(given: Scenario, output: Path, run: Run, jobs: int = 2) -> tuple[Result, list[str]]:
    said: list[str] = []
    tasks = plan(given, output, run)
    result = carry_out(tasks, LocalExecutor(perform, jobs), output, 2, lambda task, how: said.append(how))
    return result, said


def rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def test_a_plan_has_every_combination_with_the_same_seeds(tmp_path: Path) -> None:
    tasks = plan(scenario(tmp_path), tmp_path / "out", sweep_runs.count)
    assert [(*task.changes.values(),) for task in tasks] == [
        ("proxy", "30s", 1),
        ("proxy", "30s", 2),
        ("proxy", "60s", 1),
        ("proxy", "60s", 2),
        ("relay", "30s", 1),
        ("relay", "30s", 2),
        ("relay", "60s", 1),
        ("relay", "60s", 2),
    ]
    assert len({task.key for task in tasks}) == 8
    listed = plan(scenario(tmp_path, seeds="[7, 3]"), tmp_path / "out", sweep_runs.count)
    assert [task.changes["seed"] for task in listed[:2]] == [7, 3]


def test_a_run_is_known_by_its_parameters_and_its_files(tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text("from,to,delay_ms\na,b,1\n")
    text = SCENARIO.format(seeds="1", dwells='["30s"]')
    text = text.replace("[topology.ring]\nplaces = 5", '[topology.links]\nfile = "links.csv"')
    (tmp_path / "x.toml").write_text(text)

    def keys() -> list[str]:
        return [task.key for task in plan(load(tmp_path / "x.toml"), tmp_path / "out", sweep_runs.count)]

    first = keys()
    assert keys() == first
    (tmp_path / "x.toml").write_text(f"# a remark\n{text}")
    assert keys() == first
    (tmp_path / "x.toml").write_text(text.replace('every = "30s"', 'every = "31s"'))
    assert not {*keys()} & {*first}
    (tmp_path / "x.toml").write_text(text)
    (tmp_path / "links.csv").write_text("from,to,delay_ms\na,b,2\n")
    assert not {*keys()} & {*first}


def test_results_are_one_table_with_every_parameter(tmp_path: Path) -> None:
    result, said = sweep(scenario(tmp_path), tmp_path / "out", sweep_runs.count)
    assert (result.planned, result.done, result.reused, result.failed) == (8, 8, 0, [])
    assert said == ["done"] * 8
    found = rows(tmp_path / "out")
    assert len({row["process"] for row in found}) == 8, "each run has a process of its own"
    assert all(row["mode"] == row["protocol.mode"] for row in found)
    assert {row["mobility.walk.dwell"] for row in found} == {30.0, 60.0}
    assert found[0]["topology.ring.places"] == 5
    assert found[0]["by_kind.attach"] > found[2]["by_kind.attach"], "shorter stays, more attachments"
    with (tmp_path / "out" / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["records"]) for row in table] == [row["records"] for row in found]
    columns = parquet.read_table(tmp_path / "out" / "results.parquet").to_pydict()
    assert columns["records"] == [row["records"] for row in found]
    assert columns["seed"] == [row["seed"] for row in found]


def test_paired_seeds_give_the_same_nodes_for_every_mode(tmp_path: Path) -> None:
    sweep(scenario(tmp_path), tmp_path / "out", sweep_runs.count)
    found = {(row["mode"], row["mobility.walk.dwell"], row["seed"]): row["records"] for row in rows(tmp_path / "out")}
    assert found["proxy", 30.0, 1] == found["relay", 30.0, 1] != found["proxy", 30.0, 2]


def test_a_sweep_goes_on_where_it_stopped_and_does_what_is_new(tmp_path: Path) -> None:
    sweep(scenario(tmp_path, seeds="1"), tmp_path / "out", sweep_runs.count)
    before = rows(tmp_path / "out")
    again, said = sweep(scenario(tmp_path, seeds="1"), tmp_path / "out", sweep_runs.count)
    assert (again.planned, again.reused, again.done) == (4, 4, 0)
    assert said == ["done before"] * 4
    assert rows(tmp_path / "out") == before
    grown, _ = sweep(scenario(tmp_path, seeds="2", dwells='["30s", "60s", "90s"]'), tmp_path / "out", sweep_runs.count)
    assert (grown.planned, grown.reused, grown.done) == (12, 4, 8)
    assert len(rows(tmp_path / "out")) == 12


def test_a_run_that_fails_is_tried_again(tmp_path: Path) -> None:
    result, _ = sweep(scenario(tmp_path, seeds="1"), tmp_path / "out", sweep_runs.fail_at_first)
    assert (result.done, result.retried, result.failed) == (4, 4, [])
    tried = [path.stat().st_size for path in (tmp_path / "out" / "runs").glob("*/tried")]
    assert tried == [3] * 4, "twice by the first function, once by the second: it went on in the same directory"


def test_a_process_that_is_killed_takes_no_other_along(tmp_path: Path) -> None:
    result, _ = sweep(scenario(tmp_path, seeds="1"), tmp_path / "out", sweep_runs.die_at_first)
    assert (result.done, result.retried, result.failed) == (4, 4, [])
    reason = next((tmp_path / "out" / "runs").glob("*/failure.txt")).read_text()
    assert reason.startswith("its process was ended by SIGKILL; perhaps there was no memory left")


def test_a_run_that_fails_every_time_is_listed_and_the_others_are_done(tmp_path: Path) -> None:
    result, _ = sweep(scenario(tmp_path, seeds="1"), tmp_path / "out", sweep_runs.fail_for_relay)
    assert (result.done, result.retried) == (2, 2)
    assert [(each.attempts, each.reason) for each in result.failed] == [(2, "ValueError: relay is out of order")] * 2
    listed = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    assert [row["protocol.mode"] for row in listed] == ["relay", "relay"]
    assert {row["protocol.mode"] for row in rows(tmp_path / "out")} == {"proxy"}
    details = (tmp_path / "out" / "runs" / listed[0]["run"] / "failure.txt").read_text()
    assert "fail_for_relay" in details, "the traceback is kept"
    mended, _ = sweep(scenario(tmp_path, seeds="1"), tmp_path / "out", sweep_runs.count)
    assert (mended.reused, mended.done) == (2, 2)


def test_a_summary_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    result, _ = sweep(scenario(tmp_path, seeds="1", dwells='["30s"]'), tmp_path / "out", sweep_runs.nothing_to_write)
    assert result.done == 0
    assert "its summary cannot be written down" in result.failed[0].reason


def test_a_column_of_numbers_and_words_is_text(tmp_path: Path) -> None:
    def run(task: Task) -> dict[str, Any]:
        value = 1 if task.changes["protocol.mode"] == "proxy" else "none"
        return {"parameters": dict(task.changes), "summary": {"value": value, "share": 1 if value == 1 else 0.5}}

    tasks = plan(scenario(tmp_path, seeds="1", dwells='["30s"]'), tmp_path / "out", sweep_runs.count)
    carry_out(tasks, _Here(run), tmp_path / "out", 1, lambda task, how: None)
    columns = parquet.read_table(tmp_path / "out" / "results.parquet").to_pydict()
    assert (columns["value"], columns["share"]) == (["1", "none"], [1.0, 0.5])


class _Here:
    """An executor in this process."""

    def __init__(self, run: Callable[[Task], Mapping[str, Any]]) -> None:
        self._run, self._waiting = run, list[Task]()

    def start(self, argument: Task) -> None:
        self._waiting.append(argument)

    def next(self) -> Any:
        from sojourn.sim.executor import Outcome

        task = self._waiting.pop(0)
        return Outcome(task, self._run(task))

    def close(self) -> None:
        self._waiting.clear()


_INTERRUPTED = """\
import sys
from pathlib import Path
from sojourn.sim.executor import LocalExecutor
from sojourn.sim.scenario import load
from sojourn.sim.sweep import carry_out, perform, plan
from support import sweep_runs

if __name__ == "__main__":
    output = Path(sys.argv[2])
    tasks = plan(load(sys.argv[1]), output, sweep_runs.wait_for_ever)
    carry_out(tasks, LocalExecutor(perform, 4), output, 2, lambda task, how: print(how, flush=True))
"""


def _start(folder: Path) -> subprocess.Popen[str]:
    scenario(folder, seeds="2", dwells='["30s"]')
    program = folder / "interrupted.py"
    program.write_text(_INTERRUPTED)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(program), str(folder / "small.toml"), str(folder / "out")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["done\n"] * 2
    while len(list((folder / "out" / "runs").glob("*/waiting"))) < 2:
        time.sleep(0.01)
    return process


def test_ctrl_c_lets_runs_write_down_how_far_they_are_and_keeps_what_is_done(tmp_path: Path) -> None:
    with _start(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    assert len(list((tmp_path / "out" / "runs").glob("*/interrupted"))) == 2
    assert [row["seed"] for row in rows(tmp_path / "out")] == [1, 1]
    result, _ = sweep(scenario(tmp_path, seeds="2", dwells='["30s"]'), tmp_path / "out", sweep_runs.count)
    assert (result.reused, result.done) == (2, 2)


def test_no_run_outlives_a_sweep_that_is_killed(tmp_path: Path) -> None:
    with _start(tmp_path) as process:
        process.kill()
    waiting = list((tmp_path / "out" / "runs").glob("*/waiting"))
    assert len(waiting) == 2
    for path in waiting:
        while True:  # until its process does not make it any more; the timeout of the test run is the limit
            path.unlink(missing_ok=True)
            time.sleep(0.2)
            if not path.exists():
                break


@pytest.mark.parametrize("run", [sweep_runs.count, sweep_runs.fail_for_relay])
def test_a_task_can_be_sent_to_another_process(tmp_path: Path, run: Run) -> None:
    import pickle

    task = plan(scenario(tmp_path), tmp_path / "out", run)[0]
    assert pickle.loads(pickle.dumps(task)) == task


def test_too_many_runs_are_refused(tmp_path: Path) -> None:
    from sojourn.files.toml import ConfigurationError

    with pytest.raises(ConfigurationError, match="the sweep has 12000 runs; expected at most 10000"):
        plan(scenario(tmp_path, seeds="3000"), tmp_path / "out", sweep_runs.count)
