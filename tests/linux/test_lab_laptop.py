"""The scenario laptop, with real packets: what does not depend on the machine's load holds; tshark reads it all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import laptop
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from sojourn.lab.topology import load
from support.capture import complaints, dissect

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TIMES = (", by the home agent", ", direct", ", direct way after")
"""Verdicts that are times of a machine with nothing else to do: `sojourn lab run laptop` judges them."""
KNOWN_TYPES = {"1", "2", "3", "4", "5", "6"}


def test_a_laptop_keeps_its_sessions_over_all_moves(tmp_path: Path) -> None:
    report = perform(ScenarioOptions(tmp_path), load("laptop"), lambda scene: laptop.play(scene, 0.5))
    wrong = [one.sentence() for one in report.verdicts if not one.holds and not one.name.endswith(TIMES)]
    assert wrong == []
    assert len(report.verdicts) > 15
    told, kinds = set(), set()
    for file in sorted((tmp_path / "capture").glob("*.pcapng")):
        for packet in dissect(file):
            protocols = {proto.get("name") for proto in packet.iter("proto")}
            if "mipv6" in protocols and "icmpv6" not in protocols:
                found = {field.get("show") for field in packet.iter("field") if field.get("name") == "mip6.mhtype"}
                kinds |= {kind for kind in found if kind}
                told |= {one for one in complaints(packet) if "(Comment/" not in one}
    assert kinds == KNOWN_TYPES
    assert told == set()
