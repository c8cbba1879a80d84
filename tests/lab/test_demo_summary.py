"""The comparison of the demo is made under the same conditions on both sides, and its tables say which."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sojourn.lab.demo import PLAN, DemoOptions, loss_verdict, spoken
from sojourn.lab.demo_summary import print_tables, session_table
from sojourn.lab.demo_walk import WalkPlan, WalkResult
from sojourn.lab.measure import longest_silence
from sojourn.lab.measure_run import FlowLoss, HandoverResult
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.units import MILLISECOND, SECOND


def call(lost: range) -> FlowRecord:
    """A voice call of twenty seconds that loses these packets."""
    record = FlowRecord("voice", "stream", "mn", "2001:db8::1", 0, outcome="complete", ended=20 * SECOND)
    for number in range(1000):
        at = number * 20 * MILLISECOND
        record.down.send(at)
        if number not in lost:
            record.down.arrive(number, at + MILLISECOND)
    return record


def download(arrivals: list[int], ended: int, outcome: str) -> FlowRecord:
    record = FlowRecord("download", "download", "mn", "2001:db8::1", 0, ended=ended, outcome=outcome, octets=10**6)
    record.arrivals = [(at, 1000 * number) for number, at in enumerate(arrivals, 1)]
    return record


def walked(*records: FlowRecord) -> WalkResult:
    result = WalkResult(None, list(records), "2001:db8::1")  # type: ignore[arg-type]
    result.stays = [("ar1", 0, 3 * SECOND), ("ar2", 3 * SECOND, 10 * SECOND), ("ar1", 10 * SECOND, 20 * SECOND)]
    return result


def test_the_time_away_is_longer_than_the_patience_that_both_walks_have() -> None:
    assert DemoOptions(Path()).plan is PLAN
    assert PLAN.away * SECOND > PLAN.patience


def test_the_silence_before_a_client_gave_up_counts() -> None:
    assert longest_silence(download([SECOND, 2 * SECOND], 12 * SECOND, "timeout")) == 10 * SECOND
    assert longest_silence(download([SECOND, 4 * SECOND], 4 * SECOND, "complete")) == 3 * SECOND


def test_the_call_is_shown_with_what_it_lost_while_the_host_was_away() -> None:
    table = session_table(walked(call(range(0))), walked(call(range(150, 500))), WalkPlan())
    rows = {row[0]: tuple(row[1:]) for row in table.rows if row[0] != "  longest silence"}
    assert rows["voice call"] == ("lost 0 of 1000 packets", "lost 350 of 1000 packets")
    assert rows["  at ar2"] == ("lost 0 of 350 packets", "lost 350 of 350 packets")
    assert table.rows[-1] == ("  longest silence", "0.02 s", "7.02 s")
    assert "hears nothing for 10 s gives up" in table.note
    assert "only because this host comes back" in table.note


@pytest.mark.parametrize(("lost_ms", "holds"), [(75.0, True), (95.0, False)])
def test_loss_beyond_formula_allowance_and_one_packet_fails(lost_ms: float, holds: bool) -> None:
    move = HandoverResult(1, "mn", "ar1", "ar2", 0, ["ar1"])
    move.losses = [FlowLoss("voice", "down", "ar1", 80, 4, 150, 0, lost_ms / 20, 50.0, lost_ms, 40.0)]
    assert [verdict.holds for verdict in loss_verdict([move])] == [holds]


def test_piped_tables_have_no_spaces_at_the_end_of_lines() -> None:
    tables = [Table("T", ("", "n"), [("a", "1")], "Note.")]
    report = Report("t", "s", [Verdict("v", "1", "at most 2", True)], tables=tables)
    console = Console(file=io.StringIO(), width=80)
    print_tables(console, report, Path("out"))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in lines if line != line.rstrip()] == []
    assert "yes  v: 1 (at most 2)" in lines


@pytest.mark.parametrize(("given", "words"), [("4s", "4 s"), ("250ms", "250 ms")])
def test_durations_are_written_for_people(given: str, words: str) -> None:
    assert spoken(given) == words
