"""Two mobile nodes that are each other's correspondents, and daemons that are killed: packets go on."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, perform
from sojourn.lab.topology import star
from sojourn.wire.addresses import address
from support.selftests import checks, troubles
from support.stars import TRUSTING, mobile

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TOPOLOGY = star(
    "pair",
    {
        "home": "ha",
        "f1": "plain",
        "f2": "plain",
        "server": "server",
        "ann": mobile("f1", correspondent=True),
        "bob": mobile("f2", correspondent=True),
    },
    ha=TRUSTING,
)


def direct(scene: Scene, node: str, other: Mobile) -> bool:
    """Whether packets between both go directly, both ways, as `node` sees it."""
    sessions = [row for row in scene.rows(node, "sessions") if row["of"] == "mn" and row["state"] == "bound"]
    bindings = [row for row in scene.rows(node, "bindings") if row["of"] == "cn" and row["state"] == "active"]
    return {row["correspondent"] for row in sessions} == {other.home} == {row["home"] for row in bindings}


def both_headers(scene: Scene) -> set[bytes]:
    """Home addresses, two each, in packets at the core with a type 2 routing header and a Home Address option."""
    call = scene.lab.nodes["core"].namespace.call
    with call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD))) as wire:
        wire.settimeout(1)
        packets = [wire.recv(2048) for _ in range(300)]
    routed = [one for one in packets if one[6] == 43 and one[42] == 2 and one[40] == 60]
    return {one[48:64] + one[72:88] for one in routed if one[64] == 17 and one[70] == 0xC9}


def test_C095_two_mobile_nodes_meet_directly_and_outlive_their_daemons(tmp_path: Path) -> None:  # noqa: N802
    found: dict[str, int] = {}

    def play(scene: Scene) -> Report:
        ann, bob = Mobile(scene, "ann"), Mobile(scene, "bob")
        server = scene.topology.address("server")
        for one in (ann, bob):
            one.wait("away")
        scene.traffic.serve("bob", bob.home)
        scene.traffic.serve("server", server)
        scene.traffic.stream("to-bob", "ann", ann.home, bob.home, up=50, down=50)
        scene.traffic.stream("to-server", "ann", ann.home, server, up=50, down=50)
        scene.until("ann and bob meet", lambda: direct(scene, "ann", bob) and direct(scene, "bob", ann))
        scene.phase("both directly", 0.5)
        homes = [address(one.home) for one in (ann, bob)]
        assert both_headers(scene) == {homes[0] + homes[1], homes[1] + homes[0]}
        stale = {one.node: one.row()["care_of"] for one in (ann, bob)}
        ann.go("f2", wait=False)
        bob.go("f1", wait=False)
        scene.until(
            "both registered from there",
            lambda: all(
                (row := one.row())["registered"] and row["place"] == "away" and row["care_of"] != stale[one.node]
                for one in (ann, bob)
            ),
        )
        scene.until("and after both moved at once", lambda: direct(scene, "ann", bob) and direct(scene, "bob", ann))
        scene.phase("both moved at once", 0.5)
        bob.go("f2")
        scene.until("and again", lambda: direct(scene, "ann", bob) and direct(scene, "bob", ann))
        scene.phase("at one link", 0.5)
        scene.lab.stop_daemon("home", kill=True)
        scene.phase("without the home agent's daemon", 0.5)
        scene.lab.start_daemon("home")
        scene.phase("with the next one", 0.5)
        scene.lab.stop_daemon("ann", kill=True)
        scene.phase("without ann's daemon", 0.5)
        killed = time.monotonic_ns()
        scene.lab.start_daemon("ann")
        ann.wait("away")
        started = time.monotonic_ns()
        scene.phase("with ann's next one", 0.5)
        assert troubles(scene.lab, "home", "ann", "bob") == []
        assert {("kernel", "ok"), ("way", "ok")} <= set(checks(scene.lab, "ann"))
        assert checks(scene.lab, "home") == [("kernel", "ok"), ("way", "ok"), ("way", "ok")]
        records = scene.finish()
        for phase in scene.phases:
            for name in ("to-bob", "to-server"):
                record = records[name]
                found[phase.name] = found.get(phase.name, 0) + sum(
                    scene.measured(way, phase.name).lost for way in (record.up, record.down)
                )
        through = records["to-server"]
        found["tunnel while ann's next one starts"] = sum(
            not received
            for way in (through.up, through.down)
            for sent, received in zip(way.sent, way.received, strict=True)
            if killed <= sent < started
        )
        return Report("", "")

    perform(ScenarioOptions(tmp_path), TOPOLOGY, play)
    assert found == dict.fromkeys(found, 0)
    assert len(found) == 8
