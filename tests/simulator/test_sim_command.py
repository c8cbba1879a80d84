"""``sojourn sim run``: what it says, what it leaves, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sojourn.cli.main import main
from sojourn.sim import run as sim_run

SCENARIO = """\
duration = "5m"
warm_up = "1m"
wire = "size"
[topology.ring]
places = 5
[mobility]
nodes = 20
[mobility.walk]
dwell = "30s"
[sessions.page]
every = "30s"
lasting = "20s"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario."""
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "scenario.toml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "walk"


def test_a_run_is_told_in_eighty_columns_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "walk"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[0] == "walk: proxy, 20 nodes at 5 places, seed 1"
    assert all(len(line) <= 80 for line in lines)
    assert any(line.strip().startswith("old prefix restored, ms") for line in lines)
    assert {path.name for path in Path("sojourn-sim-walk").iterdir()} >= {"manifest.json", "summary.json", "handovers"}


def test_json_is_the_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "walk", "--json", "-o", "out", "--jobs", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    kept = json.loads(Path("out/summary.json").read_text())
    assert {**told, **kept} == told
    assert (told["scenario"], told["mode"], told["seconds"]) == ("walk", "proxy", 240)
    assert told["signalling"]["octets"] > 0


def test_results_are_taken_up_with_resume_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "walk"]) == 0
    first = capsys.readouterr().out
    assert main(["sim", "run", "walk"]) == 2
    assert "holds results of this simulation already (1 of 1 parts are done); go on with --resume" in (
        capsys.readouterr().err
    )
    assert main(["sim", "run", "walk", "--resume"]) == 0
    assert capsys.readouterr().out == first


def test_ctrl_c_leaves_what_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sim_run, "one_shard", interrupted)
        assert main(["sim", "run", "walk", "--jobs", "1"]) == 130
    assert "stopped; what is done is in sojourn-sim-walk, go on with --resume" in capsys.readouterr().err
    assert main(["sim", "run", "walk", "--resume"]) == 0


def test_a_part_that_fails_is_told_and_the_exit_code_is_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no reason")

    monkeypatch.setattr(sim_run, "one_shard", broken)
    assert main(["sim", "run", "walk", "--jobs", "1"]) == 1
    assert "nodes 0 to 19 failed: ZeroDivisionError: no reason" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["walk", "--jobs", "0"], "--jobs: expected a number from 1 on"),
        (["nowhere.toml"], "nowhere.toml"),
        (["walk", "--output", "walk"], "holds files that are no results of a simulation"),
    ],
)
def test_a_mistake_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main(["sim", "run", *words]) == 2
    told = capsys.readouterr()
    assert sentence in told.err
    assert len(told.err.splitlines()) <= 2
    assert told.out == ""


def test_what_was_mended_in_the_input_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "trace.csv").write_text("time,node,attachment\n0,1,p0\n5,1,p1\n4,1,p2\n9,1,nowhere\n")
    text = 'duration = "10s"\n[topology.ring]\nplaces = 5\n[mobility.trace]\nfile = "trace.csv"\nrepair = true\n'
    (folder / "scenario.toml").write_text(text)
    assert main(["sim", "run", "walk"]) == 0
    assert "mended: " in capsys.readouterr().out
