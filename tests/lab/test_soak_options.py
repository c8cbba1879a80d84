"""What the soak takes on its command line, and what it refuses."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.soak import SoakOptions, soak, soak_topology
from sojourn.lab.soak_progress import BarProgress, PlainProgress, SilentProgress, make_progress
from sojourn.lab.soak_report import air_words


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"mode": "sideways"}, "--mode"),
        ({"hosts": "0"}, "--hosts"),
        ({"hosts": "many"}, "--hosts"),
        ({"roams": "-1"}, "--roams"),
        ({"speed": "1"}, "--speed"),
        ({"notice": "soon"}, "--notice"),
    ],
)
def test_wrong_options_are_refused_by_name(
    extra: dict[str, str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak(ScenarioOptions(tmp_path, extra=extra)) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("buffer", [False, True])
def test_the_topology_of_a_soak_is_one_that_a_file_could_hold(buffer: bool, tmp_path: Path) -> None:
    topology = soak_topology(SoakOptions(tmp_path, hosts=12, routers=5, mode="locator", buffer=buffer))
    assert len(topology.hosts) == 12
    assert topology.access_routers == ["ar1", "ar2", "ar3", "ar4", "ar5"]
    assert topology.mode == "locator"
    assert topology.maar["buffer"] is buffer
    assert topology.delay("ar1", "cmd") == 15_000_000


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, _environ={"TERM": "xterm"})
    assert isinstance(make_progress(plain=False, quiet=True, console=terminal), SilentProgress)
    assert isinstance(make_progress(plain=True, quiet=False, console=terminal), PlainProgress)
    assert isinstance(make_progress(plain=False, quiet=False, console=Console(file=io.StringIO())), PlainProgress)
    with make_progress(plain=False, quiet=False, console=terminal) as bar:
        assert isinstance(bar, BarProgress)
        bar.begin("soak, proxy mode", 12)
        bar.advance(10, "moves, 41 probe packets lost")
    written = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "soak, proxy mode" in written
    assert "10/12" in written
    assert "41 probe packets lost" in written
    with make_progress(plain=False, quiet=False, console=terminal) as bar:
        bar.begin("soak, proxy mode", 12)
        bar.advance(11, "moves, " + "and much more " * 10)
    written = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "11/12" in written
    shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]+", written)]
    assert max(map(len, shown)) <= 80


def test_lines_tell_every_ten_moves_and_the_last() -> None:
    stream = io.StringIO()
    with PlainProgress(stream) as lines:
        lines.begin("soak, proxy mode", 12)
        for number in range(1, 13):
            lines.advance(number, f"moves, {40 * number} probe packets lost in them")
    assert stream.getvalue().splitlines() == [
        "soak, proxy mode",
        "10 of 12 moves, 400 probe packets lost in them",
        "12 of 12 moves, 480 probe packets lost in them",
    ]


@pytest.mark.parametrize(
    ("buffer", "notice", "words"),
    [
        (False, 0, []),
        (True, 0, ["routers buffer", "hosts nowhere for 20 ms", "no notice before"]),
        (True, 5_000_000, ["routers buffer", "hosts nowhere for 20 ms", "old router told 5 ms before"]),
    ],
)
def test_how_hosts_leave_is_said(buffer: bool, notice: int, words: list[str], tmp_path: Path) -> None:
    assert air_words(SoakOptions(tmp_path, buffer=buffer, notice=notice)) == words
