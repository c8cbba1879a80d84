"""LMAs with a real store: the scenario lma-dies, and one that has no partner and begins again elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.dataplane.object_parts import PROTOCOL
from sojourn.lab.lab import Lab
from sojourn.lab.lma_dies import play, serves, with_databases
from sojourn.lab.postgres import partitions
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.topology import load
from sojourn.lab.traffic import Traffic
from sojourn.wire.units import SECOND

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


def test_sessions_outlive_the_active_lma_and_a_server_of_its_store(tmp_path: Path) -> None:
    assert play(ScenarioOptions(tmp_path), 0.3).failures == []


def test_an_lma_alone_begins_again_on_another_machine_without_any_file_of_the_first(tmp_path: Path) -> None:
    """The same namespace plays the other machine: nothing of the first is left in its kernel while it waits."""
    options = ScenarioOptions(tmp_path, json=True)
    with partitions(1, durable=False) as (store,):
        topology = with_databases(load("pmipv6"), [store.source])
        with Lab(topology, tmp_path, verify=False) as lab:
            places = {name: lab.nodes[name].namespace.descriptor for name in ("mn", "server")}
            with Traffic(places, patience=60 * SECOND, status_every=0) as traffic:
                scene = Scene(lab, traffic, options)
                scene.until("the LMA is there", lambda: serves(scene, "lma"))
                server, source = topology.address("server"), scene.address("mn")
                traffic.serve("server", server)
                traffic.stream("call", "mn", source, server, up=20, down=20)
                scene.until("the call is heard", lambda: traffic.count("call")["arrived"] > 5)
                before = scene.rows("lma", "bindings")

                daemon = lab.daemon("lma")
                lab.stop_daemon("lma", kill=True)
                for path in daemon.store.parent.glob("lma.sqlite*"):
                    path.unlink()
                daemon.file.write_text(daemon.file.read_text().replace('name = "lma"', 'name = "elsewhere"'))
                lab.start_daemon("lma")
                scene.until(
                    "nothing is left", lambda: not any(f"protocol {PROTOCOL}" in one for one in lab.state("lma").lines)
                )
                with lab.client("lma") as client:
                    (row,) = client.show("health")
                assert row["what"].startswith("waits for lma: the lease of")
                assert "which is at lma@" in row["what"]

                scene.until("the LMA is there again", lambda: serves(scene, "lma"))
                heard = traffic.count("call")["arrived"]
                scene.until("the call is heard again", lambda: traffic.count("call")["arrived"] > heard + 5)
                after = scene.rows("lma", "bindings")
                assert [row["prefixes"] for row in after] == [row["prefixes"] for row in before] != []
