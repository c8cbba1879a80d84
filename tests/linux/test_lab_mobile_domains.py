"""A mobile node roams through a plain network, a domain of Proxy Mobile IPv6 and one of RFC 8885 (issue 6, item 6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, perform
from sojourn.lab.topology import star
from support.stars import TRUSTING, mobile

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TOPOLOGY = star(
    "domains",
    {
        "home": "ha",
        "plain": "plain",
        "server": "server",
        "mag1": "mag",
        "mag2": "mag",
        "lma": "lma",
        "ar1": "access-router",
        "ar2": "access-router",
        "cmd": "cmd",
        "laptop": mobile("home", settings={"leave_to_network": True}),
    },
    ha=TRUSTING,
)
WALK = ("plain", "mag1", "mag2", "ar1", "ar2", "plain", "home")


def test_it_keeps_its_sessions_and_uses_what_each_network_offers(tmp_path: Path) -> None:
    seen: dict[str, tuple[str, str]] = {}
    care_of: list[str] = []

    def play(scene: Scene) -> Report:
        mobile = Mobile(scene, "laptop")
        server = scene.topology.address("server")
        scene.traffic.serve("server", server)
        mobile.wait("home")
        scene.traffic.exchange("terminal", "laptop", mobile.home, server, interval=50_000_000)
        scene.traffic.stream("talk", "laptop", mobile.home, server, up=100, down=100)
        scene.until("both talk", lambda: all(scene.traffic.count(flow)["arrived"] for flow in ("terminal", "talk")))
        for target in WALK:
            mobile.go(target)
            scene.phase(target, 0.5)
            seen[target] = (mobile.connects("server"), str(mobile.row()["care_of"]))
            care_of.append(seen[target][1])
        records = scene.finish()
        assert records["terminal"].outcome == "complete"
        talk = records["talk"]
        lost = {
            phase.name: scene.measured(way, phase.name).lost for phase in scene.phases for way in (talk.up, talk.down)
        }
        assert not any(lost.values()), lost
        return Report("", "")

    perform(ScenarioOptions(tmp_path), TOPOLOGY, play)
    assert seen["plain"][1].startswith("2001:db8:d100:")
    assert seen["plain"][0].startswith("2001:db8:1100:")  # the home address
    assert care_of[1] == care_of[2]  # the domain keeps it
    assert care_of[1].startswith("2001:db8:f1")
    assert seen["mag1"][0] == seen["mag2"][0] == care_of[1]  # mobility is left to the network
    assert care_of[3].startswith("2001:db8:a1")
    assert care_of[4].startswith("2001:db8:a2")  # the nearest anchor's
    assert seen["ar2"][0] == care_of[4]
    assert seen["home"][0].startswith("2001:db8:1100:")
