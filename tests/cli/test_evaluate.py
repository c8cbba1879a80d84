"""``sojourn evaluate``: tables in 80 columns, JSON, and mistakes that end in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sojourn.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--no-simulation", "--nodes", "80", "--seeds", "2")
SCENARIO = """
duration = "30m"
[topology.ring]
places = 6
[mobility]
nodes = 40
[mobility.walk]
dwell = "60s"
[sessions.page]
every = "60s"
lasting = "20s"
"""


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time; tests/evaluation looks at them."""
    monkeypatch.setattr("sojourn.evaluation.plots.canvas.available", lambda: False)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["evaluate", *words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_campus_is_evaluated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, str(EXAMPLES / "campus"), "--output", str(tmp_path / "out"), *SMALL)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Does distributed mobility pay for campus?"
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert (tmp_path / "out" / "report.html").exists()


def test_json_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, str(scenario / "scenario.toml"), "--json", *SMALL)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["counted_nodes"] == 40
    assert (tmp_path / f"sojourn-evaluate-{scenario.name}" / "report.json").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('dwell = "60s"', 'dwell = "0s"'), ("scenario.toml:8", "no steady state")),
        (('dwell = "60s"', 'dwell = "90h"'), ("no node moves in the 0.5 h", "; give a longer duration")),
        (
            ('lasting = "20s"', 'lasting = "20h"'),
            ("sessions that began", "; give a duration of several session lengths"),
        ),
        (("places = 6", "places = 6\n[topology.star]\nplaces = 3"), ("topology",)),
    ],
)
def test_what_cannot_be_evaluated_is_a_sentence(
    capsys: pytest.CaptureFixture[str], scenario: Path, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    (scenario / "scenario.toml").write_text(SCENARIO.replace(*change))
    code, out, err = run(capsys, str(scenario), "--output", str(scenario / "out"), *SMALL)
    assert (code, out) == (2, "")
    assert err.startswith("sojourn: ")
    assert all(word in err for word in words), err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--nodes", "0"), "--nodes 0 is nothing to look at; give a number of 1 or more"),
        (("--seeds", "-1"), "--seeds -1 is nothing to look at"),
        (("--lab", "absent.json"), "absent.json: no such file or directory"),
    ],
)
def test_wrong_options_are_sentences(
    capsys: pytest.CaptureFixture[str], scenario: Path, words: tuple[str, ...], sentence: str
) -> None:
    code, _, err = run(capsys, str(scenario), "--output", str(scenario / "out"), "--no-simulation", *words)
    assert code == 2
    assert sentence in err
    assert not (scenario / "out" / "report.html").exists()


def test_files_of_somebody_else_are_not_mixed_with_a_report(capsys: pytest.CaptureFixture[str], scenario: Path) -> None:
    code, _, err = run(capsys, str(scenario), "--output", str(scenario), *SMALL)
    assert code == 2
    assert "name an empty or a new directory with --output" in err
    code, _, err = run(capsys, str(scenario / "absent"), *SMALL)
    assert code == 2
    assert "absent" in err
