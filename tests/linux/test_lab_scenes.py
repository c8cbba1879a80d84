"""Scenarios of one extension each, with real packets: what they require holds, and tshark reads their captures."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import localized, transient
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Play, perform
from sojourn.lab.topology import load
from support.capture import complaints, dissect

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

NOT_TEXT = "Expert Info (Warning/Undecoded): Trailing stray characters"
"""tshark shows identifiers as text; a node that has no name is known by its link-layer address."""
WRONG_LENGTH = "Expert Info (Warning/Protocol): MAG IPv6 Address (with option length = 18 bytes; should be 16)"
"""RFC 6705 11.1: "This field MUST be set to 18"; tshark takes the address for all that there is."""
NOT_READ = "Expert Info (Note/Undecoded): IE data not dissected yet"
"""tshark knows the option, but not what is in it."""
PLAYS: dict[str, Play] = {"localized": localized.play, "transient": transient.play}


@pytest.mark.parametrize("name", PLAYS)
def test_a_scene_shows_what_it_promises(name: str, tmp_path: Path) -> None:
    report = perform(ScenarioOptions(tmp_path), load(name), PLAYS[name])
    assert report.failures == []
    told, seen = set(), 0
    for file in sorted((tmp_path / "capture").glob("*.pcapng")):
        for packet in dissect(file):
            protocols = {proto.get("name") for proto in packet.iter("proto")}
            if "mipv6" in protocols and "icmpv6" not in protocols:
                seen += 1
                told |= {one for one in complaints(packet) if "(Comment/" not in one}
    assert seen > 8
    assert told <= {NOT_TEXT, WRONG_LENGTH, NOT_READ}
