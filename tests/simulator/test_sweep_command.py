"""``sojourn sim sweep``: what it says, what it leaves, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from sojourn.cli import sim_sweep
from sojourn.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError
from sojourn.control.locks import FileLock
from support import sweep_runs

SCENARIO = """\
duration = "10m"
[topology.ring]
places = 5
[mobility]
nodes = 20
[mobility.walk]
dwell = "60s"
[sweep]
attempts = 2
[sweep.grid]
"protocol.mode" = ["proxy", "relay"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario, and counting in place of simulation."""
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    monkeypatch.setattr(sim_sweep, "simulated", sweep_runs.count)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: object) -> Any:
    app = App(result_action="return_value")
    app.command(sim_sweep.sweep, name="sweep")
    return app(["sweep", *map(str, words)], exit_on_error=False, print_error=False)


def refused(*words: object) -> str:
    with pytest.raises(CommandError) as caught:
        command(*words)
    assert caught.value.code == WRONG_USAGE
    return str(caught.value)


def test_a_folder_is_swept_into_a_directory_of_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder) == DONE
    output = folder / f"sojourn-sweep-{folder.name}"
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "2 of 2 runs done, 0 tried again"
    assert f"  {output / 'results.csv'}" in told.out.splitlines()
    assert [line.endswith(": done") for line in told.err.splitlines()] == [True, True]
    assert "(protocol.mode = relay, seed = 1)" in told.err
    assert command(folder) == DONE
    assert capsys.readouterr().out.startswith("0 of 2 runs done, 2 were done before")


def test_json_says_what_was_done_and_what_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sim_sweep, "simulated", sweep_runs.fail_for_relay)
    assert command(folder, "--json", "--output", "out", "--jobs", 1) == FAILED
    answer = json.loads(capsys.readouterr().out)
    assert (answer["planned"], answer["done"], answer["done_before"], answer["retried"]) == (2, 1, 0, 1)
    assert answer["output"] == str(folder / "out")
    (failed,) = answer["failed"]
    assert (failed["protocol.mode"], failed["attempts"], failed["reason"]) == (
        "relay",
        2,
        "ValueError: relay is out of order",
    )
    assert all(Path(path).exists() for path in answer["written"])


def test_a_failure_is_told_to_people_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sim_sweep, "simulated", sweep_runs.fail_for_relay)
    assert command(folder) == FAILED
    told = capsys.readouterr().out
    assert "1 of 2 runs done, 1 tried again\nfailed 2 times: " in told
    assert "failed.jsonl" in told


def test_a_wrong_scenario_is_told_before_anything_is_made(folder: Path) -> None:
    (folder / "scenario.toml").write_text(SCENARIO.replace('"relay"', '"rely"'))
    assert 'scenario.toml:11: protocol.mode: "rely" is not possible here' in refused(folder)
    assert [path.name for path in folder.iterdir()] == ["scenario.toml"]


def test_a_wrong_trace_is_told_before_anything_is_made(folder: Path) -> None:
    text = SCENARIO.replace('nodes = 20\n[mobility.walk]\ndwell = "60s"', '[mobility.trace]\nfile = "t.csv"')
    (folder / "scenario.toml").write_text(text)
    (folder / "t.csv").write_text("time,node,attachment\n0,x,r1\n1,x,r8\n")
    assert f"{folder / 't.csv'}:3:5: attachment: 'r8' is no place of the topology" in refused(folder)
    assert not (folder / f"sojourn-sweep-{folder.name}").exists()


def test_files_of_somebody_else_are_not_mixed_with_results(folder: Path) -> None:
    assert "holds files that are not results of sojourn" in refused(folder, "--output", folder)


def test_two_sweeps_do_not_write_into_one_directory(folder: Path) -> None:
    assert command(folder, "--output", folder / "out") == DONE
    lock = FileLock(folder / "out" / ".lock")
    try:
        with pytest.raises(CommandError, match="another sweep writes into"):
            command(folder, "--output", folder / "out")
    finally:
        lock.close()


def test_options_that_mean_nothing_are_refused(folder: Path) -> None:
    assert "--jobs: expected a number from 1 on" in refused(folder, "--jobs", 0)
    assert "not together with --cluster" in refused(folder, "--jobs", 2, "--cluster", "tcp://x:1")


def test_without_dask_the_remedy_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert refused(folder, "--cluster", "tcp://x:1") == "--cluster needs Dask: pip install 'sojourn[cluster]'"
