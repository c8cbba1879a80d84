"""A small soak in every mode: nothing is reset, every message is accounted for, and every kernel is as before."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from sojourn.lab.measure import crowding
from sojourn.lab.measure_run import judge
from sojourn.lab.soak import Mode, Soak, SoakOptions
from sojourn.lab.soak_progress import SilentProgress
from sojourn.lab.traffic import resets

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_nothing_breaks_and_nothing_is_left(mode: Mode, tmp_path: Path) -> None:
    result = Soak(SoakOptions(tmp_path, hosts=3, roams=9, mode=mode, seed=7, lifetime=8), SilentProgress()).run()
    moves = judge(result.evidence)
    assert len(moves) == 9
    assert resets(result.records) == 0
    assert [one.flow for one in result.records if one.kind == "exchange" and one.outcome != "complete"] == []
    assert [one.flow for one in result.records if one.outcome == "complete" and one.octets and not one.intact] == []
    counts = [(move.number, move.messages, min(move.expected)) for move in moves if not move.exact]
    # Whoever has to wait for the processor repeats a message now and then; none is saved, ever.
    assert all(sent > expected for _, sent, expected in counts), counts
    assert sum(sent - expected for _, sent, expected in counts) <= 3 * (crowding() - 1), counts
    assert result.left_behind == {}


def test_buffering_at_the_anchor_keeps_packets(tmp_path: Path) -> None:
    """The host is nowhere for 20 ms at a time; without a buffer 60 ms and more of every probe would be lost."""
    result = Soak(SoakOptions(tmp_path, hosts=2, roams=6, buffer=True, seed=3, lifetime=8), SilentProgress()).run()
    probes = [one for move in judge(result.evidence) for one in move.losses if one.rate > 500]
    assert len(probes) >= 6
    assert sum(one.lost for one in probes) < 0.5 * sum(one.bound_ms for one in probes)
    assert result.left_behind == {}
