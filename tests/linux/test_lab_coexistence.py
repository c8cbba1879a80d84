"""The matrix of coexistence with real packets (RFC 7333 REQ5), and what IPv4 leaves in kernels: nothing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from sojourn.lab.coexistence import HOSTS, NETWORKS, Visit, make_report, play
from sojourn.lab.kernel_state import configured
from sojourn.lab.lab import Lab
from sojourn.lab.live import SilentView
from sojourn.lab.stock_hosts import StockHost, missing
from sojourn.lab.topology import load, parse
from support.capture import malformed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

PATIENCE = 15.0
SHORT = ("pmip", "dmm", "plain", "mixed")
"""Each network once; `sojourn lab run coexistence` leaves and enters each of them twice."""


def becomes(question: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coexistence")


@pytest.fixture(scope="module")
def visits(output: Path) -> list[Visit]:
    assert missing() == [], "run contrib/install-tools"
    return play(load("coexistence"), output, SilentView(), SHORT)


@pytest.mark.parametrize("stop", NETWORKS)
@pytest.mark.parametrize("host", HOSTS)
def test_every_host_is_served_in_every_network(visits: list[Visit], host: str, stop: str) -> None:
    found = [visit for visit in visits if (visit.host, visit.network) == (host, stop)]
    assert [visit.trouble for visit in found] == [""]
    assert found[0].address


def test_whoever_goes_on_begins_anew_and_hears_that_the_old_is_over(visits: list[Visit]) -> None:
    for host in HOSTS:
        stays = [visit for visit in visits if visit.host == host]
        assert all(one.address != other.address for one, other in pairwise(stays))
        endings = [ending for visit in stays[1:] for ending in visit.ended]
        assert len(endings) >= len(SHORT) - 1
        assert all(endings), f"{host}: {endings}"


def test_the_report_passes(visits: list[Visit], tmp_path: Path) -> None:
    report = make_report(visits)
    assert report.failures == []
    report.write(tmp_path)
    assert (tmp_path / "report.html").exists()


def test_tshark_reads_all_that_was_captured(visits: list[Visit], output: Path) -> None:
    assert malformed(output) == []


GATEWAY = """
name = "ipv4-home"
[nodes]
core = "router"
mag1 = { kind = "mag", settings = { ipv4 = true, dhcp_lease = "20s" } }
lma = { kind = "lma", settings = { ipv4_pool = "10.9.0.0/24", min_delay_before_bce_delete = "1s" } }
mn = "host"
[links]
core.mag1 = 0
core.lma = 0
"""


def test_kernels_hold_no_ipv4_any_more_when_the_host_is_gone(tmp_path: Path) -> None:
    with Lab(parse(GATEWAY), tmp_path) as lab:
        machines = ("mag1", "lma")
        before = {name: lab.state(name) for name in machines}
        routes = {name: _ipv4_routes(lab, name) for name in machines}
        assert "blackhole 10.9.0.0/24" in routes["lma"]  # what nobody has goes in no circle
        host = StockHost(lab, "mn", tmp_path / "hosts", asks="-4")
        host.enter("mag1")
        try:
            assert becomes(lambda: all("\n10.9.0." in "\n" + _ipv4_routes(lab, name) for name in machines))
        finally:
            host.close()
        time.sleep(0.5)  # a frame that a busy gateway hears after the departure would be a return
        lab.air.detach("mn")

        def left() -> list[str]:
            lines = [line for name in machines for line in configured(lab.state(name).difference(before[name]))]
            lines = [line for line in lines if not line.startswith("+ station")]
            return lines + [_ipv4_routes(lab, name) for name in machines if _ipv4_routes(lab, name) != routes[name]]

        assert becomes(lambda: not left()), "\n".join(left())


def _ipv4_routes(lab: Lab, name: str) -> str:
    with lab.nodes[name].namespace.entered():
        return subprocess.run(
            ["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
        ).stdout
