"""What the scenario pmipv6 finds good and bad, from walks that are invented; the real one is in tests/linux."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sojourn.lab.pmip_walk import Move, ProxyWalk, make_report, pmipv6, verdicts
from sojourn.lab.registry import ScenarioOptions, scenarios
from sojourn.lab.topology import load
from sojourn.lab.traffic import FlowRecord

ADDRESS = "2001:db8:f100::1"
GOOD = Move("mag1", "mag2", 60.0, 60.0, 50.0, 50.0, 4, 0, 480, 30.0)


def record(flow: str, outcome: str = "complete") -> FlowRecord:
    made = FlowRecord(flow, flow, "mn", ADDRESS, 0, outcome=outcome)
    made.digest_sent = made.digest_received = made.digest_expected = "5213"
    return made


def walked() -> ProxyWalk:
    records = [record(flow) for flow in ("download", "terminal", "voice")]
    stays = [("mag1", 0, 5_000_000_000), ("mag2", 5_000_000_000, 10_000_000_000)]
    return ProxyWalk(load("pmipv6"), records, ADDRESS, [ADDRESS], stays, [GOOD])


def wrong(result: ProxyWalk) -> list[str]:
    return [verdict.name for verdict in verdicts(result) if not verdict.holds]


def test_a_good_walk() -> None:
    assert wrong(walked()) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"addresses": [ADDRESS, "2001:db8:f100:1::1"]}, "address of the host"),
        ({"addresses": []}, "address of the host"),
        ({"records": [record("download"), record("terminal", "timeout"), record("voice")]}, "sessions alive"),
        ({"moves": [replace(GOOD, messages=6)]}, "messages of a move"),
        ({"moves": [GOOD, replace(GOOD, down=50.0 + 36.0)]}, "voice lost at a move"),
        ({"moves": [GOOD, replace(GOOD, up=50.0 + 36.0)]}, "voice lost at a move"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], name: str) -> None:
    assert wrong(replace(walked(), **change)) == [name]


def test_a_reset_and_a_wrong_checksum() -> None:
    result = walked()
    result.records[0].digest_received = "3775"
    result.records[1].outcome = "reset"
    assert wrong(result) == ["sessions alive", "download", "TCP resets"]


def test_the_report_says_what_a_reader_must_know(tmp_path: Path) -> None:
    make_report(walked()).write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "mag1 to mag2" in text
    assert "gateway to LMA 15 ms, LMA to server 15 ms, gateway to server 10 ms" in text


def test_it_is_listed_and_takes_no_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "RFC 5213" in scenarios()["pmipv6"].description
    assert pmipv6(ScenarioOptions(tmp_path, extra={"hosts": "3"})) == 2
    assert capsys.readouterr().err.startswith("sojourn: pmipv6 does not know --hosts;")
