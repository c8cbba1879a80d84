"""Refusals that anybody can cause: told in full at first, then as a number."""

from __future__ import annotations

from pathlib import Path

from sojourn.core.effects import Report
from sojourn.core.events import NodeSeen, Sighting
from sojourn.host.recorder import Recorder, load_steps
from sojourn.host.repeats import FULL, INTERVAL, Repeats
from support.toy import MAC, Scripted, World

REFUSED = Report("node-refused", {"why": "limit"})


def test_the_first_are_told_in_full_and_then_their_number() -> None:
    repeats = Repeats()
    told = [report for now in range(100) for report in repeats.take(REFUSED, now)]
    assert told == [REFUSED] * FULL
    assert repeats.due(INTERVAL - 1) == []
    assert repeats.due(INTERVAL) == [Report("node-refused", {"repeated": 100 - FULL})]
    assert repeats.due(3 * INTERVAL) == []


def test_at_the_end_nothing_is_kept_back() -> None:
    repeats = Repeats()
    for now in range(15):
        repeats.take(REFUSED, now)
    assert repeats.due(15, at_last=True) == [Report("node-refused", {"repeated": 5})]
    assert repeats.due(16, at_last=True) == []


def test_as_long_as_it_goes_on_there_is_one_line_each_interval() -> None:
    repeats = Repeats()
    told = [report for now in range(0, 10 * INTERVAL, INTERVAL // 100) for report in repeats.take(REFUSED, now)]
    numbers = [int(report.detail["repeated"]) for report in told[FULL:]]
    assert len(numbers) == 9
    assert FULL + sum(numbers) == 900


def test_after_a_quiet_interval_they_are_told_in_full_again() -> None:
    repeats = Repeats()
    for now in range(100):
        repeats.take(REFUSED, now)
    assert repeats.take(REFUSED, INTERVAL) == [Report("node-refused", {"repeated": 100 - FULL})]
    repeats.due(2 * INTERVAL)
    assert repeats.take(REFUSED, 3 * INTERVAL) == [REFUSED]


def test_one_name_does_not_hide_another_and_what_is_no_refusal_is_told_always() -> None:
    repeats = Repeats()
    for now in range(100):
        repeats.take(REFUSED, now)
    other, attached = Report("update-refused", {}), Report("attached", {})
    assert repeats.take(other, 100) == [other]
    assert [repeats.take(attached, now) for now in range(50)] == [[attached]] * 50


def test_recording_and_recent_events_stay_small_and_counters_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = Recorder(path, identifiers="plain")
    world = World(Scripted(lambda event, now: [REFUSED] * 5_000), record=recorder.write)
    world.driver.start()
    world.driver.dispatch([NodeSeen("acc0", MAC, Sighting.STATION)])
    world.now += 2 * INTERVAL
    world.driver.dispatch([NodeSeen("acc0", MAC, Sighting.STATION)])
    world.driver.close(withdraw=False)
    recorder.close()
    assert world.driver.counters["reports:node-refused"] == 10_000
    reports = [item for _, item in load_steps(path) if isinstance(item, Report)]
    assert len(reports) == FULL + 2
    assert sum(int(report.detail.get("repeated", 1)) for report in reports) == 10_000
    assert len(world.driver.recent) == 2 + FULL + 2
