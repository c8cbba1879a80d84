"""Proxy Mobile IPv6 over IPv4 with real packets (RFC 5844 4); tshark reads what the LMA said and heard."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sojourn.lab.extensions import Step
from sojourn.lab.ipv4_transport import make_report, play
from sojourn.lab.topology import load

pytestmark = [pytest.mark.lab, pytest.mark.nf_tables, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Step], Path]:
    output = tmp_path_factory.mktemp("ipv4transport")
    return play(load("ipv4transport"), output, lambda line: None), output


def test_connections_live_behind_a_nat_without_one_and_while_it_forgets(played: tuple[list[Step], Path]) -> None:
    steps, _ = played
    assert [step for step in steps if not step.holds] == []
    assert len(steps) == 6


def test_the_report_is_written(played: tuple[list[Step], Path], tmp_path: Path) -> None:
    report = make_report(played[0])
    assert report.failures == []
    report.write(tmp_path)
    assert "forgets" in (tmp_path / "report.html").read_text()


FIELDS = (
    "frame.protocols ip.proto ip.src ip.dst udp.port udp.checksum udp.payload mip6.mhtype mip6.csum _ws.expert.message"
)
NOT_TEXT = "Trailing stray characters"
"""tshark shows identifiers as text; a node that has no name is known by its link-layer address."""


@pytest.fixture(scope="module")
def packets(played: tuple[list[Step], Path]) -> list[dict[str, str]]:
    """What tshark says of all that passed the LMA, but for errors about other packets (ICMP)."""
    names = FIELDS.split()
    command = ["tshark", "-n", "-r", str(played[1] / "capture" / "lma.pcapng"), "-Y", "!icmp", "-T", "fields"]
    for name in names:
        command += ["-e", name]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [dict(zip(names, line.split("\t"), strict=True)) for line in found.stdout.splitlines()]


def test_tshark_reads_the_signalling_and_has_nothing_to_complain_of(packets: list[dict[str, str]]) -> None:
    signalling = [one for one in packets if "mipv6" in one["frame.protocols"]]
    assert {one["mip6.mhtype"] for one in signalling} >= {"5", "6"}, "updates and acknowledgements"
    assert {one["udp.port"] for one in signalling} >= {"5436,5436"}, "nothing of it over IPv6"
    assert all("5436" in one["udp.port"] for one in signalling)
    assert {one["mip6.csum"] for one in signalling} == {"0x0000"}
    assert "0x0000" not in {one["udp.checksum"] for one in signalling}
    assert {one["_ws.expert.message"] for one in signalling} <= {"", NOT_TEXT}


def test_tshark_sees_packets_in_ipv4_from_one_gateway_and_in_udp_from_the_other(packets: list[dict[str, str]]) -> None:
    plain = {one["ip.src"].split(",")[0] for one in packets if one["ip.proto"].split(",")[0] in ("41", "4")}
    assert plain == {"198.51.100.1", "192.0.2.2"}
    in_udp = [one for one in packets if "5437" in one["udp.port"]]
    ends = {(one["ip.src"], one["ip.dst"]) for one in in_udp}
    assert ends == {("198.51.100.1", "203.0.113.6"), ("203.0.113.6", "198.51.100.1")}
    inner = {one["udp.payload"][0] for one in in_udp}
    assert inner == {"3", "4", "6"}, "registrations, and packets of both families; no TLV header"
