"""Flows in numbers: what counts as lost, as late, as twice; and what a download should contain."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sojourn.lab.traffic import Direction, FlowRecord, load_records, resets
from sojourn.lab.traffic_http import content, digest


def test_direction_counts_each_arrival_once() -> None:
    direction = Direction()
    for at in (10, 20, 30, 40):
        direction.send(at)
    direction.arrive(0, 15, 62)
    direction.arrive(2, 35, 62)
    direction.arrive(1, 36, 61)
    direction.arrive(1, 37, 61)
    assert direction.received == [15, 36, 35, 0]
    assert direction.hop_limits == [62, 61, 62, 0]
    assert (direction.arrived, direction.duplicates, direction.reordered, direction.latest) == (3, 1, 1, 2)


@pytest.mark.parametrize("sequence", [-1, 1, 4_000_000_000])
def test_a_number_that_was_never_sent_is_none_of_ours(sequence: int) -> None:
    direction = Direction()
    direction.send(1)
    direction.arrive(sequence, 2)
    assert (direction.arrived, direction.received) == (0, [0])


def test_records_survive_the_file(tmp_path: Path) -> None:
    record = FlowRecord("web", "download", "mn", "2001:db8::1", started=5, octets=3, outcome="complete")
    record.arrivals = [(7, 1), (9, 3)]
    record.up.send(1)
    record.up.arrive(record.up.send(2), 4, 62)
    record.digest_sent = record.digest_received = record.digest_expected = "ab"
    path = tmp_path / "traffic.jsonl"
    path.write_text(json.dumps(record.to_row()) + "\n")
    [loaded] = load_records(path)
    assert loaded == record
    assert loaded.intact


def test_a_download_is_intact_only_if_all_three_digests_agree() -> None:
    record = FlowRecord("web", "download", "mn", "", 0, digest_sent="a", digest_received="a", digest_expected="a")
    assert record.intact
    for name in ("digest_sent", "digest_received", "digest_expected"):
        other: dict[str, Any] = {name: "b"}
        assert not replace(record, **other).intact
    assert not FlowRecord("empty", "download", "mn", "", 0).intact


def test_content_depends_on_its_name_and_has_its_length() -> None:
    octets = b"".join(content("one", 40_001))
    assert len(octets) == 40_001
    assert digest("one", 40_001) == hashlib.sha256(octets).hexdigest()
    assert octets != b"".join(content("two", 40_001))
    assert digest("one", 0) == hashlib.sha256(b"").hexdigest()


def test_resets_counts_resets_alone() -> None:
    outcomes = ("complete", "reset", "timeout", "refused: no", "reset")
    assert resets(FlowRecord(str(number), "exchange", "mn", "", 0, outcome=o) for number, o in enumerate(outcomes)) == 2
