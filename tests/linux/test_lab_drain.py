"""The scenario drain, with real packets: fifty nodes change their home agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import drain
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from support.capture import complaints, dissect

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def test_a_home_agent_goes_out_of_service_and_sessions_go_on(tmp_path: Path) -> None:
    report = perform(ScenarioOptions(tmp_path), drain.topology(), lambda scene: drain.play(scene, 0.4))
    timed = [one for one in report.verdicts if one.name == "call interrupted"]
    assert [one.sentence() for one in report.verdicts if not one.holds and one not in timed] == []
    assert len(timed) == 1
    kinds, told = set(), set()
    for packet in dissect(tmp_path / "capture" / "home.pcapng"):
        fields = [(field.get("name"), field.get("show")) for field in packet.iter("field")]
        found = {shown for name, shown in fields if name == "mip6.mhtype" and shown}
        kinds |= found
        if "12" in found:
            continue  # tshark looks for the options of a Home Agent Switch within its last address
        told |= {one for one in complaints(packet) if "(Comment/" not in one}
    assert kinds == {"5", "6", "12"}
    assert told == set()
