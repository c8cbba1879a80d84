"""What people see of a walk: 80 columns, true to the stage, plain where there is no terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from sojourn.lab.live import LiveView, PlainView, SeenPrefix, Session, SilentView, Stage, draw, make_view
from sojourn.wire.units import SECOND


@pytest.fixture
def stage() -> Stage:
    stage = Stage("with sojourn, proxy mode", ["ar1", "ar2", "ar3"], "mn", True, at="ar3")
    stage.prefixes = {
        "1": SeenPrefix("2001:db8:a100::/64", "ar1", "deprecated"),
        "2": SeenPrefix("2001:db8:a200::/64", "ar2", "retired"),
        "3": SeenPrefix("2001:db8:a300::/64", "ar3", "preferred"),
    }
    stage.sessions = {
        "download": Session("download", "ar1", "download"),
        "terminal": Session("terminal", "ar1", "exchange"),
        "voice": Session("voice call", "ar1", "stream"),
    }
    return stage


def shown(stage: Stage, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(draw(stage, width, height))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_picture_says_where_host_prefixes_and_anchors_are(stage: Stage) -> None:
    text = shown(stage)
    assert max(map(len, text.splitlines())) <= 80
    assert "2001:db8:a100::/64 deprecated ar1 => ar3" in text
    assert "2001:db8:a300::/64 preferred  ar3, plain" in text
    assert "((o))" in text


def test_sessions_show_progress_silence_and_their_end(stage: Stage) -> None:
    counts = {"up": {"sent": 20, "arrived": 19}, "down": {"sent": 30, "arrived": 20}}
    stage.take(
        {
            "event": "status",
            "flows": {
                "download": {"received": 50, "octets": 100, "silent": 0},
                "terminal": {**counts, "round_trip": 41_000_000, "silent": 2 * SECOND},
                "voice": {**counts, "silent": 0},
                "unknown": {"silent": 0},
            },
        }
    )
    text = shown(stage)
    assert "50 %" in text
    assert "19 lines, last back in 41 ms" in text
    assert "silent for 2.0 s" in text
    assert "lost 7/0" in text
    stage.take({"event": "ended", "flow": "download", "kind": "download", "intact": True, "outcome": "complete"})
    stage.take({"event": "ended", "flow": "terminal", "kind": "exchange", "intact": False, "outcome": "timeout"})
    text = shown(stage)
    assert "checksum right" in text
    assert "given up" in text


def test_view_fits_where_it_is_shown() -> None:
    assert isinstance(make_view(plain=False, quiet=True), SilentView)
    assert isinstance(make_view(plain=False, quiet=False, console=Console(file=io.StringIO())), PlainView)
    terminal = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(make_view(plain=True, quiet=False, console=terminal), PlainView)
    assert isinstance(make_view(plain=False, quiet=False, console=terminal), LiveView)


def test_plain_view_writes_a_line_for_each_thing(stage: Stage) -> None:
    stream = io.StringIO()
    view = PlainView(stream)
    view.open(stage)
    view.say("mn moves from ar1 to ar2")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "with sojourn, proxy mode"
    assert lines[1].endswith(" s  mn moves from ar1 to ar2")
    assert json.dumps(lines)


@pytest.mark.parametrize(
    "size", [(80, 24), (120, 40), (60, 24), (80, 16), (60, 16), (48, 10), (80, 8), (30, 24), (20, 4)]
)
def test_the_picture_fits_with_a_line_to_spare_for_the_cursor(stage: Stage, size: tuple[int, int]) -> None:
    counts = {"up": {"sent": 1000, "arrived": 1000}, "down": {"sent": 1000, "arrived": 1000}}
    for number in range(3):
        stage.sessions[f"new-{number}"] = Session(f"new at ar{number}", f"ar{number}", "exchange")
        stage.sessions[f"new-{number}"].progress = {**counts, "round_trip": 41_000_000, "silent": 0}
    stage.log.extend((number * 10.0, "a new flow begins from 2001:db8:a300::ff:fe00:1") for number in range(5))
    lines = shown(stage, *size).splitlines()
    assert len(lines) <= size[1] - 1
    assert max(map(len, lines)) <= size[0] - 2
    if size[0] >= 48 and size[1] >= 10:
        assert "╰" in lines[-1]
        assert any("2001:db8:a300::/64" in line for line in lines)
    assert any("ar3" in line for line in lines)


def test_what_retired_is_not_called_deprecated_afterwards(stage: Stage) -> None:
    stage.take_prefix("2001:db8:a100::/64", "ar1", "preferred")
    assert stage.take_prefix("2001:db8:a100::/64", "ar1", "deprecated")
    assert stage.take_prefix("2001:db8:a100::/64", "ar1", "retired")
    assert not stage.take_prefix("2001:db8:a100::/64", "ar1", "deprecated")
    assert stage.prefixes["2001:db8:a100::/64"].state == "retired"
    assert stage.take_prefix("2001:db8:a100::/64", "ar1", "preferred")


def test_lines_of_several_threads_stay_whole(stage: Stage) -> None:
    class OneWriteEach(io.StringIO):
        def write(self, text: str) -> int:
            assert text.endswith("\n")
            return super().write(text)

    view = PlainView(OneWriteEach())
    view.open(stage)
    view.say("mn moves from ar1 to ar2")
