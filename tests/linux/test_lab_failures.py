"""A serving router dies, a direction of a link does, a host leaves without a word: see docs/operations.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.faults import Faults
from sojourn.lab.lab import Lab
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.soak_faults import cast_of
from sojourn.lab.soak_faults_options import FaultSoakOptions
from sojourn.lab.traffic import Traffic
from sojourn.wire.addresses import link_layer_text
from sojourn.wire.units import SECOND

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


def presence(scene: Scene, router: str, host: str) -> str:
    """What a router holds of a host; empty: nothing."""
    node = link_layer_text(scene.lab.air.link_layer(host))
    found = [row["presence"] for row in scene.rows(router, "sessions") if row["link_layer"] == node]
    return str(found[0]) if found else ""


def hears(scene: Scene, flow: str) -> None:
    """Until packets of a stream arrive again at its host."""
    before = scene.traffic.count(flow)["arrived"]
    scene.until(f"{flow} is heard", lambda: scene.traffic.count(flow)["arrived"] > before + 5)


def test_routers_links_and_hosts_that_fail_without_a_word(tmp_path: Path) -> None:
    built = cast_of(FaultSoakOptions(tmp_path, hosts=2, routers=3, lifetime=8)).topology
    with Lab(built, tmp_path, verify=False) as lab:
        places = {name: lab.nodes[name].namespace.descriptor for name in ("h1", "h2", "server")}
        with Traffic(places, patience=60 * SECOND, status_every=0) as traffic:
            scene, faults = Scene(lab, traffic, ScenarioOptions(tmp_path, json=True)), Faults(lab)
            server = built.address("server")
            traffic.serve("server", server)
            addresses = []
            for router in ("ar1", "ar2"):
                lab.air.roam("h1", router)
                within = str(built.nodes[router].pool).partition("::")[0]
                addresses.append(scene.address("h1", within))
                traffic.stream(f"of {router}", "h1", addresses[-1], server, up=20, down=20)
                hears(scene, f"of {router}")
            hears(scene, "of ar1")

            broken = [faults.begin("cut", "ar2"), faults.begin("kill", "ar2")]
            lab.air.roam("h1", "ar3", notice=False)
            hears(scene, "of ar1")
            scene.until("a new address is there", lambda: scene.address("h1", "2001:db8:a3") != "")
            for fault in broken:
                faults.heal(fault)
            scene.until("the router that was dead knows", lambda: presence(scene, "ar2", "h1") == "away")
            hears(scene, "of ar2")

            for kind in ("deaf", "mute"):
                fault = faults.begin(kind, "ar3")
                scene.until("nothing passes", lambda: silent(scene, "of ar1"))
                faults.heal(fault)
                hears(scene, "of ar1")
                hears(scene, "of ar2")

            lab.air.roam("h2", "ar3")
            scene.address("h2", "2001:db8:a3")
            scene.until("it is served", lambda: presence(scene, "ar3", "h2") == "served")
            lab.air.detach("h2", notice=False)
            scene.until("it is missed", lambda: presence(scene, "ar3", "h2") != "served")
            scene.until("nobody knows it any more", lambda: presence(scene, "ar3", "h2") == "")
            nodes = [row["node"] for row in scene.rows("cmd", "bindings")]
            assert nodes == [link_layer_text(lab.air.link_layer("h1"))]
            hears(scene, "of ar1")


def silent(scene: Scene, flow: str) -> bool:
    """Whether none of five packets arrives."""
    before = scene.traffic.count(flow)
    scene.until("more is sent", lambda: scene.traffic.count(flow)["sent"] > before["sent"] + 5)
    return bool(scene.traffic.count(flow)["arrived"] == before["arrived"])
