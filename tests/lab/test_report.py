"""The report directory: complete without network, honest about failures, readable by machines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.report_timeline import Lane, Stay, draw_timeline
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.units import SECOND


def made(holds: bool) -> Report:
    return Report(
        "Walk <1>",
        "A host & its sessions.",
        verdicts=[Verdict("TCP resets", "0" if holds else "3", "0", holds)],
        tables=[Table("Moves", ("", "ar1 to ar2"), [("lost | found", "<2>")])],
        data={"moves": [{"endless": float("inf")}]},
    )


def test_report_leaves_three_forms_of_the_same(tmp_path: Path) -> None:
    (tmp_path / "capture.pcapng").write_bytes(b"")
    made(True).write(tmp_path)
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["passed"]
    assert document["moves"] == [{"endless": None}]
    assert document["machine"]["processors"] > 0
    page = (tmp_path / "report.html").read_text()
    assert "Walk &lt;1&gt;" in page
    assert "&lt;2&gt;" in page
    assert "capture.pcapng" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "lost \\| found" in (tmp_path / "report.md").read_text()


def test_a_verdict_that_does_not_hold_becomes_a_sentence(tmp_path: Path) -> None:
    report = made(False)
    assert report.failures == ["TCP resets: 3, but 0 was required"]
    report.write(tmp_path)
    assert "TCP resets: 3, but 0 was required" in (tmp_path / "report.html").read_text()


def test_to_json_knows_what_runs_are_made_of() -> None:
    @dataclass
    class Inner:
        octets: bytes

    assert to_json({1: Inner(b"\x01"), "path": Path("a"), "nan": float("nan"), "set": {2}}) == {
        "1": {"octets": "01"},
        "path": "a",
        "nan": None,
        "set": [2],
    }


def test_the_timeline_draws_every_kind_of_flow(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing is optional")
    records = [
        FlowRecord(kind, kind, "mn", "", SECOND, first_sent=SECOND) for kind in ("stream", "exchange", "download")
    ]
    for record in records[:2]:
        for number in range(20):
            sequence = record.up.send(SECOND + number * SECOND // 10)
            if number != 5:
                record.up.arrive(sequence, record.up.sent[-1] + 1)
    records[2].arrivals = [(2 * SECOND, 1000), (3 * SECOND, 5000)]
    records[2].outcome, records[2].ended = "timeout", 3 * SECOND
    stays = [Stay("ar1", 0, 2 * SECOND), Stay("ar2", 2 * SECOND, 4 * SECOND)]
    path = tmp_path / "timeline.png"
    draw_timeline(path, "walk", stays, [Lane(record, record.kind, "ar1") for record in records], ["ar1", "ar2"])
    assert path.read_bytes().startswith(b"\x89PNG")
