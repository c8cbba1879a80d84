"""What the matrix of coexistence says of visits that are invented; the real ones are in tests/linux."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sojourn.lab import coexistence
from sojourn.lab.coexistence import HOSTS, VISITS, Visit, make_report
from sojourn.lab.demo_summary import print_tables
from sojourn.lab.registry import ScenarioOptions, scenarios
from sojourn.lab.report import Report
from sojourn.lab.topology import load


def visited() -> list[Visit]:
    return [
        Visit(host, stop, address=f"2001:db8:{number}::{index}", ended=["ETIMEDOUT"] if number else [])
        for number, stop in enumerate(VISITS)
        for index, host in enumerate(HOSTS)
    ]


def failures(visits: list[Visit]) -> list[str]:
    return [verdict.name for verdict in make_report(visits).verdicts if not verdict.holds]


def test_what_is_right_passes() -> None:
    assert failures(visited()) == []


@pytest.mark.parametrize(
    ("index", "change", "names"),
    [
        (0, {"entered": "no address on wlan0"}, ["SLAAC host, PMIPv6 domain"]),
        (13, {"kept": "its conversation did not survive a roam"}, ["DHCPv6 host, DMM domain"]),
        (4, {"begun": "no way to the server"}, ["SLAAC host, plain router"]),
        (6, {"ended": [""]}, ["new addresses and flows, old flows ended"]),
        (7, {"address": "2001:db8:0::3"}, ["new addresses and flows, old flows ended"]),
    ],
)
def test_what_is_wrong_is_named(index: int, change: dict[str, object], names: list[str]) -> None:
    visits = visited()
    visits[index] = replace(visits[index], **change)  # type: ignore[arg-type]
    assert failures(visits) == names


def test_the_tables_are_within_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report: Report = make_report(visited())
    print_tables(Console(width=80, highlight=False), report, tmp_path)
    printed = capsys.readouterr().out
    assert "host with two links" in printed
    lines = [line for line in printed.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    assert "…" not in printed


def test_the_topology_has_all_networks_and_hosts() -> None:
    topology = load("coexistence")
    assert {router for network in coexistence.NETWORKS.values() for router in network.routers} <= set(topology.nodes)
    assert set(HOSTS) <= set(topology.hosts)
    assert "plain" not in topology.daemons


def test_it_is_listed_and_takes_no_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "REQ5" in scenarios()["coexistence"].description
    assert coexistence.coexistence(ScenarioOptions(tmp_path, extra={"hosts": "3"})) == 2
    assert capsys.readouterr().err.startswith("sojourn: coexistence does not know --hosts;")


def test_a_machine_without_dhcp_clients_is_told_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coexistence, "missing", lambda: ["isc-dhcp-client"])
    assert coexistence.coexistence(ScenarioOptions(tmp_path)) == 2
    assert "apt install isc-dhcp-client" in capsys.readouterr().err
