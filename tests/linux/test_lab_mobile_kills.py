"""The daemons of Mobile IPv6 are killed under traffic, one after the other: not a packet is lost by that alone.

Forwarding is the kernel's, and each next life knows what its store has: a mobile node its registrations and direct
ways, a home agent and a correspondent node their bindings.
"""

from __future__ import annotations

import time
from ipaddress import IPv6Address
from pathlib import Path
from typing import cast

import pytest

from sojourn.lab.faults import Faults, Kind
from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, perform
from sojourn.lab.topology import star
from support.stars import OPTIMISTIC, mobile

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TOPOLOGY = star(
    "kills",
    {"home": "ha", "f1": "plain", "f2": "plain", "cn": "cn", "server": "server", "mn": mobile("f1")},
    ha=OPTIMISTIC,
)
RATE = 100
_AFTER = 0.5
"""Seconds with the next life that count too."""


def test_kill_9_of_any_role_loses_no_packet_away_and_at_home(tmp_path: Path) -> None:
    lost: dict[str, int] = {}
    windows: dict[str, tuple[int, int]] = {}

    def play(scene: Scene) -> Report:
        mobile = Mobile(scene, "mn")
        mobile.wait("away")
        for name in ("cn", "server"):
            scene.traffic.serve(name, scene.topology.address(name))
            scene.traffic.stream(f"to-{name}", "mn", mobile.home, scene.topology.address(name), up=RATE, down=RATE)
        scene.until("a direct way", lambda: mobile.optimised("cn"))
        for node in ("mn", "home", "cn"):
            kill(scene, node, f"{node}, away")
        assert mobile.optimised("cn")
        assert [row["care_of"] for row in scene.rows("cn", "bindings")] == [mobile.row()["care_of"]]
        mobile.go("home")
        scene.until("it is at home", lambda: scene.traffic.count("to-server")["arrived"] > 0)
        time.sleep(1)
        kill(scene, "mn", "mn, at home")
        mobile.wait("home")
        for record in scene.finish().values():
            for what, (since, until) in windows.items():
                for way in (record.up, record.down):
                    pairs = zip(way.sent, way.received, strict=True)
                    gone = sum(not received for sent, received in pairs if since <= sent < until)
                    lost[what] = lost.get(what, 0) + gone
        return Report("", "")

    def kill(scene: Scene, node: str, what: str) -> None:
        since = time.monotonic_ns()
        scene.lab.stop_daemon(node, kill=True)
        time.sleep(0.3)
        scene.lab.start_daemon(node)
        time.sleep(_AFTER)
        windows[what] = since, time.monotonic_ns()
        time.sleep(0.2)

    perform(ScenarioOptions(tmp_path, json=True), TOPOLOGY, play)
    assert lost == dict.fromkeys(("mn, away", "home, away", "cn, away", "mn, at home"), 0)


def test_a_node_that_moved_while_its_daemon_was_dead_is_found_again(tmp_path: Path) -> None:
    """Nobody saw the change of carrier: the kernel still has routes by the last link, where the home agent was."""

    def play(scene: Scene) -> Report:
        mobile = Mobile(scene, "mn")
        mobile.wait("away")
        mobile.go("home")
        scene.traffic.serve("cn", scene.topology.address("cn"))
        for target in ("f2", "f1"):
            scene.lab.stop_daemon("mn", kill=True)
            scene.lab.air.roam("mn", target, outage=0.02, carrier=True)
            time.sleep(1)
            scene.lab.start_daemon("mn")
            mobile.wait("away")
            prefix = scene.topology.link_prefix(target)
            scene.until(f"it is at {target}", lambda p=prefix: IPv6Address(mobile.row()["care_of"]) in p)
            mobile.connects("cn")
            scene.until("a direct way", lambda: mobile.optimised("cn"))
            scene.until(
                "it is known where it went",
                lambda: [row["care_of"] for row in scene.rows("cn", "bindings")] == [mobile.row()["care_of"]],
            )
        return Report("", "")

    perform(ScenarioOptions(tmp_path, json=True), TOPOLOGY, play)


def test_a_link_of_a_mobile_node_can_be_dead_in_one_direction(tmp_path: Path) -> None:
    """Which is what the soak does to it: nothing comes, or nothing goes, and afterwards all is as before."""
    arrived: dict[str, tuple[bool, bool]] = {}

    def play(scene: Scene) -> Report:
        mobile, faults = Mobile(scene, "mn"), Faults(scene.lab)
        mobile.wait("away")
        scene.traffic.serve("server", scene.topology.address("server"))
        scene.traffic.stream("call", "mn", mobile.home, scene.topology.address("server"), up=RATE, down=RATE)
        scene.until("packets arrive", lambda: scene.traffic.count("call")["arrived"] > 20)
        windows = {}
        for kind in ("deaf", "mute", "cut"):
            fault = faults.begin(cast(Kind, kind), "mn")
            since = time.monotonic_ns()
            time.sleep(0.4)
            windows[kind] = since, time.monotonic_ns()
            faults.heal(fault)
            heard = scene.traffic.count("call")["arrived"]
            scene.until("packets arrive again", lambda n=heard: scene.traffic.count("call")["arrived"] > n + 50)
        record = scene.finish()["call"]
        for kind, (since, until) in windows.items():
            ways = [
                any(received for sent, received in zip(way.sent, way.received, strict=True) if since <= sent < until)
                for way in (record.up, record.down)
            ]
            arrived[kind] = ways[0], ways[1]
        return Report("", "")

    perform(ScenarioOptions(tmp_path, json=True), TOPOLOGY, play)
    assert arrived == {"deaf": (True, False), "mute": (False, True), "cut": (False, False)}
