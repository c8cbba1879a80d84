"""The lab with its daemons: they get ready, see hosts, fail loudly, are stopped, killed and started again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sojourn.lab.daemons import DaemonFailed
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.topology import star
from support.stars import silent_host

pytestmark = pytest.mark.lab

_NODES = {"ar1": "access-router", "ar2": "access-router", "cmd": "cmd", "mn": silent_host()}
_TOPOLOGY = star("two", _NODES)
_PATIENCE = 10.0


def becomes(question: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(_TOPOLOGY, tmp_path_factory.mktemp("lab")) as made:
        yield made


def preferred(lab: Lab) -> list[str]:
    return [a.address for a in host_addresses(lab.nodes["mn"].namespace) if not a.deprecated]


def test_a_host_gets_the_prefix_of_where_it_is(lab: Lab) -> None:
    for router, pool in (("ar1", "2001:db8:a100:"), ("ar2", "2001:db8:a200:")):
        lab.air.roam("mn", router)
        assert becomes(lambda pool=pool: [a.startswith(pool) for a in preferred(lab)] == [True])
    row = next(row for row in lab.status() if row["node"] == "mn")
    assert row["at"] == "ar2"
    assert {entry["deprecated"] for entry in row["addresses"]} == {True, False}


def test_daemons_answer_both_ways_of_asking(lab: Lab) -> None:
    with lab.client("cmd") as client:
        assert client.ping().name == "cmd"
    answer = lab.control("ar1", {"type": "ping"})
    assert (answer["type"], answer["name"]) == ("pong", "ar1")
    with pytest.raises(KeyError):
        lab.control("core", {"type": "ping"})


def test_programs_in_a_node_find_its_daemon(lab: Lab) -> None:
    assert lab.nodes["ar1"].environment["SOJOURN_SOCKET"].endswith("ar1.sock")


def test_a_daemon_is_killed_noticed_and_started_again(lab: Lab) -> None:
    process = lab.daemon("ar1").process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(DaemonFailed, match="daemon of ar1 ended with status -9"):
        lab.check()
    assert next(row for row in lab.status() if row["node"] == "ar1")["daemon"] is None
    lab.start_daemon("ar1")
    lab.check()
    lab.stop_daemon("ar1", kill=True)
    lab.check()  # stopped on purpose is no failure
    lab.start_daemon("ar1")
    assert lab.stop_daemon("ar1") == 0
    lab.start_daemon("ar1")


def test_a_configuration_that_the_daemon_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    made = Lab(star("two", _NODES, maar={"idle_hopd": "5s"}), tmp_path)
    with pytest.raises(DaemonFailed, match=r"ended with status 2.*idle_hopd"):
        made.up()
    assert made.nodes["mn"].namespace.descriptor == -1  # everything was taken away again


def test_an_earlier_run_in_the_same_directory_is_forgotten(tmp_path: Path) -> None:
    for _ in range(2):
        with Lab(_TOPOLOGY, tmp_path) as made:
            with made.client("cmd") as client:
                assert client.show("bindings") == []
            made.air.roam("mn", "ar1")

            def registered(made: Lab = made) -> bool:
                with made.client("cmd") as client:
                    return len(client.show("bindings")) > 0

            assert becomes(registered)
