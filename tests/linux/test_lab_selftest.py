"""``sojourn selftest`` at every role of Mobile IPv6: what is in place, what is lost and where, that nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, perform
from sojourn.lab.topology import star
from support.selftests import checks, troubles
from support.stars import mobile

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TOPOLOGY = star("selftest-mobile", {"home": "ha", "f1": "plain", "cn": "cn", "mn": mobile("f1")}, "2ms")


def told(scene: Scene, node: str, *, repair: bool = False) -> list[dict[str, Any]]:
    with scene.lab.client(node) as client:
        return client.selftest(repair=repair)


def left(scene: Scene, node: str) -> tuple[int, list[dict[str, Any]]]:
    """What ``sojourn selftest --file`` says of a node whose daemon is not there."""
    daemon = scene.lab.daemon(node)
    daemon.control.unlink(missing_ok=True)
    command = [sys.executable, "-m", "sojourn.cli.main", "selftest", "--file", str(daemon.file), "--json"]
    with scene.lab.nodes[node].namespace.entered():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def wait_for(scene: Scene, node: str, what: str, place: str) -> None:
    """A machine that is late may lose a probe, so it is asked again."""
    deadline = time.monotonic() + 60
    while True:
        rows = told(scene, node)
        found = [row for row in rows if (row["result"], row["place"]) == (what, place)]
        if found or time.monotonic() > deadline:
            assert found, rows
            assert all(row["remedy"] for row in found)
            return


def test_every_role_of_mobile_ipv6_is_tested_and_what_is_torn_down_is_gone(tmp_path: Path) -> None:
    def play(scene: Scene) -> Report:
        mn, cn = Mobile(scene, "mn"), scene.topology.address("cn")
        mn.wait("away")
        scene.traffic.serve("cn", cn)
        scene.traffic.stream("direct", "mn", mn.home, cn, up=50, down=50)
        scene.until("a direct way", lambda: mn.optimised("cn"))
        scene.until("both ways", lambda: any(row["way"] == "direct" for row in scene.rows("cn", "routes")))
        assert troubles(scene.lab, "home", "mn", "cn") == []
        assert checks(scene.lab, "home") == [("kernel", "ok"), ("way", "ok")]
        assert sorted(checks(scene.lab, "mn")) == [("direct way", "ok"), ("kernel", "ok"), ("way", "ok")]
        assert sorted(checks(scene.lab, "cn")) == [("direct way", "ok"), ("kernel", "ok")]

        with scene.lab.nodes["cn"].namespace.entered():
            subprocess.run(["ip", "-6", "route", "del", mn.home, "table", "51"], check=True)
        wait_for(scene, "cn", "missing", "direct way")
        assert "repaired" in {row["result"] for row in told(scene, "cn", repair=True)}
        assert troubles(scene.lab, "cn") == []
        with scene.lab.nodes["core"].namespace.entered():
            subprocess.run(["ip", "-6", "route", "add", "blackhole", f"{cn}/128", "metric", "1"], check=True)
        wait_for(scene, "mn", "lost", "direct way")
        with scene.lab.nodes["core"].namespace.entered():
            subprocess.run(["ip", "-6", "route", "del", "blackhole", f"{cn}/128", "metric", "1"], check=True)
        scene.finish()

        for node, thing in (("mn", "route"), ("cn", "filter sojourn-cn"), ("home", "route")):
            scene.lab.stop_daemon(node, kill=True)
            code, rows = left(scene, node)
            assert code == 1, rows
            assert any(thing in row["detail"] for row in rows), rows
            scene.lab.start_daemon(node)
            assert scene.lab.stop_daemon(node) == 0
            code, rows = left(scene, node)
            assert (code, [row["result"] for row in rows]) == (0, ["ok"]), rows
        return Report("", "")

    perform(ScenarioOptions(tmp_path), TOPOLOGY, play)
