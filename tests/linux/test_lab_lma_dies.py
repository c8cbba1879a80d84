"""LMAs with a real store: the scenario lma-dies, and one that has no partner and begins again elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.dataplane.object_parts import PROTOCOL
from sojourn.lab.daemons import METRICS
from sojourn.lab.lab import Lab
from sojourn.lab.lma_dies import play, serves, with_databases
from sojourn.lab.postgres import partitions
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.scraped import gauge
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
        topology = with_databases(load("pmipv6"), [store.source]).model_copy(update={"metrics": True})
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
                for figure, wanted in (("active", 1), ("epoch", 1), ("takeovers_total", 1), ("partner_alive", None)):
                    assert gauge(lab, "lma", f"sojourn_anchor_{figure}") == wanted

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
                assert gauge(lab, "lma", "sojourn_anchor_active") == 0

                scene.until("the LMA is there again", lambda: serves(scene, "lma"))
                heard = traffic.count("call")["arrived"]
                scene.until("the call is heard again", lambda: traffic.count("call")["arrived"] > heard + 5)
                after = scene.rows("lma", "bindings")
                assert [row["prefixes"] for row in after] == [row["prefixes"] for row in before] != []
                assert gauge(lab, "lma", "sojourn_anchor_active") == 1
                assert gauge(lab, "lma", "sojourn_anchor_epoch") == 2

                # Another machine of the same name, a copy of this one: it says so and does nothing else.
                text = daemon.file.read_text().replace(str(tmp_path), str(tmp_path / "copy"))
                text = text.replace(str(daemon.control), str(tmp_path / "copy.sock")).replace(METRICS, "[::1]:9479")
                copy = tmp_path / "copy.toml"
                copy.write_text(text)
                for name in ("store", "events"):
                    (tmp_path / "copy" / name).mkdir(parents=True)
                command = [sys.executable, "-m", "sojourn.cli.main", "run", str(copy)]
                process = lab.nodes["lma"].spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                said, _ = process.communicate(timeout=60)
                assert process.returncode == 2, said
                assert f"{copy}:1: name: another daemon that runs is called so" in said.decode()
                assert "; give each machine that shares lma.databases a name of its own" in said.decode()
                heard = traffic.count("call")["arrived"]
                scene.until("the call is heard still", lambda: traffic.count("call")["arrived"] > heard + 5)
                assert gauge(lab, "lma", "sojourn_anchor_epoch") == 2
