"""The same sweep on a cluster: a real scheduler and real workers of Dask, as processes of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sojourn.sim.executor import ClusterExecutor, ExecutorLost
from sojourn.sim.scenario import load
from sojourn.sim.sweep import Result, Run, carry_out, perform, plan
from support import sweep_runs

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SCENARIO = """\
duration = "10m"
[topology.ring]
places = 5
[mobility]
nodes = 20
[mobility.walk]
dwell = "60s"
[sweep]
seeds = 2
[sweep.grid]
"protocol.mode" = ["proxy", "relay"]
"""


class Cluster:
    """A scheduler and two workers."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._file = folder / "scheduler.json"
        self._environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        self.scheduler = self._dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not self._file.exists() or not self._file.read_text().endswith("}"):
            time.sleep(0.05)
        self.address = json.loads(self._file.read_text())["address"]
        for _ in range(2):
            self._dask("worker", "--nthreads", "1", "--nworkers", "1", "--no-dashboard", "--local-directory", folder)

    def _dask(self, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *map(str, arguments), "--scheduler-file", str(self._file)]
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process

    def close(self) -> None:
        """End all."""
        self._stack.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests of the module."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


def sweep(folder: Path, cluster: Cluster, run: Run) -> Result:
    (folder / "x.toml").write_text(SCENARIO)
    tasks = plan(load(folder / "x.toml"), folder / "out", run)
    executor = ClusterExecutor(perform, cluster.address)
    return carry_out(tasks, executor, folder / "out", 2, lambda task, how: None)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]


def test_a_cluster_gives_the_same_table_as_this_machine(tmp_path: Path, cluster: Cluster) -> None:
    result = sweep(tmp_path, cluster, sweep_runs.count)
    assert (result.done, result.failed) == (4, [])
    found = rows(tmp_path)
    assert os.getpid() not in {row["process"] for row in found}
    assert len({row["process"] for row in found}) <= 2, "the workers did it"
    for task, row in zip(plan(load(tmp_path / "x.toml"), tmp_path / "out", sweep_runs.count), found, strict=True):
        here = perform(task)["summary"]
        assert (here["records"], here["by_kind"]["attach"]) == (row["records"], row["by_kind.attach"])


def test_failures_on_a_cluster_are_tried_again_and_listed(tmp_path: Path, cluster: Cluster) -> None:
    result = sweep(tmp_path, cluster, sweep_runs.fail_for_relay)
    assert (result.done, result.retried) == (2, 2)
    assert [each.reason for each in result.failed] == ["ValueError: relay is out of order"] * 2
    again = sweep(tmp_path, cluster, sweep_runs.fail_at_first)
    assert (again.reused, again.done, again.failed) == (2, 2, [])


def test_a_run_whose_worker_dies_is_done_by_another(tmp_path: Path, cluster: Cluster) -> None:
    """Here all four runs kill the first worker that they meet; their nannies start others."""
    result = sweep(tmp_path, cluster, sweep_runs.die_at_first)
    assert (result.done, result.failed) == (4, [])
    assert len(rows(tmp_path)) == 4


def test_without_a_scheduler_a_sentence_says_so() -> None:
    with pytest.raises(ExecutorLost, match=r"there is no Dask scheduler at tcp://127\.0\.0\.1:9"):
        ClusterExecutor(perform, "tcp://127.0.0.1:9", patience="1s")
    with pytest.raises(ExecutorLost, match="there is no Dask scheduler at nonsense://x"):
        ClusterExecutor(perform, "nonsense://x", patience="1s")


def test_a_scheduler_that_goes_away_leaves_what_is_done(tmp_path: Path) -> None:
    own = Cluster(tmp_path)
    try:
        (tmp_path / "x.toml").write_text(SCENARIO)
        tasks = plan(load(tmp_path / "x.toml"), tmp_path / "out", sweep_runs.wait_for_ever)
        executor = ClusterExecutor(perform, own.address)

        def gone_after_two(task: object, how: str) -> None:
            said.append(how)
            if len(said) == 2:
                own.scheduler.kill()

        said: list[str] = []
        with pytest.raises(ExecutorLost, match="is gone"):
            carry_out(tasks, executor, tmp_path / "out", 2, gone_after_two)
        assert [row["seed"] for row in rows(tmp_path)] == [1, 1]
    finally:
        own.close()
