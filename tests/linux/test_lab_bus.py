"""The scenario bus, with real packets and a real Kea: what does not depend on the machine's load holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab import bus, kea
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import perform
from support.capture import complaints, dissect

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TIMES = ("interrupted", "silence")
"""In verdicts on times of a machine with nothing else to do: `sojourn lab run bus` judges them."""


def test_networks_move_with_their_vehicles_and_lose_nothing_that_was_announced(tmp_path: Path) -> None:
    assert kea.installed(), "contrib/install-tools installs kea-dhcp6-server"
    report = perform(ScenarioOptions(tmp_path), bus.topology(), lambda scene: bus.play(scene, 0.4))
    timed = [one for one in report.verdicts if any(word in one.name for word in TIMES)]
    assert [one.sentence() for one in report.verdicts if not one.holds and one not in timed] == []
    assert len(timed) == 3
    assert "DHCP6_PD_LEASE_ALLOC" in (tmp_path / "kea" / "log").read_text()
    told, kinds, asked = set(), set(), set()
    for file in sorted((tmp_path / "capture").glob("*.pcapng")):
        for packet in dissect(file):
            protocols = {proto.get("name") for proto in packet.iter("proto")}
            if "icmpv6" in protocols and "dhcpv6" not in protocols:
                continue
            fields = [(field.get("name"), field.get("show")) for field in packet.iter("field")]
            kinds |= {shown for name, shown in fields if name == "mip6.mhtype" and shown}
            asked |= {shown for name, shown in fields if name == "dhcpv6.msgtype" and shown}
            told |= {one for one in complaints(packet) if "(Comment/" not in one}
    assert kinds == {"5", "6"}
    assert told == set()
