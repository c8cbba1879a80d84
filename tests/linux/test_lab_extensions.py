"""Extensions of Proxy Mobile IPv6 with real packets; tshark reads all of their messages."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from sojourn.lab.extensions import Outcome, make_report, play
from sojourn.lab.topology import load
from support.capture import complaints, dissect

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

RFCS = ["6463", "6757", "7222", "5094", "8371", "8127", "5847", "5847", "7077", "8191", "8191", "5846", "5846"]
NOT_TEXT = "Expert Info (Warning/Undecoded): Trailing stray characters"
"""tshark shows identifiers as text; a node that has no name is known by its link-layer address."""
NOT_DISSECTED = "Expert Info (Note/Undecoded): IE data not dissected yet"
"""tshark knows no sub-options of some options, and says so."""
MESSAGES = {"5", "6", "13", "16", "19", "20"}
"""Mobility Header types: updates, heartbeats, revocations, notifications, and their answers."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    output = tmp_path_factory.mktemp("extensions")
    return play(load("extensions"), output, lambda line: None), output


def test_every_step_shows_what_it_should(played: tuple[Outcome, Path]) -> None:
    outcome, _ = played
    assert [step.rfc for step in outcome.steps] == RFCS
    assert [step for step in outcome.steps if not step.holds] == []


def test_the_conversation_of_the_host_lives_on(played: tuple[Outcome, Path]) -> None:
    assert {record.outcome for record in played[0].records} == {"complete"}


def test_the_report_is_written(played: tuple[Outcome, Path], tmp_path: Path) -> None:
    report = make_report(played[0])
    assert report.failures == []
    report.write(tmp_path)
    assert "renumber" in (tmp_path / "report.html").read_text()


def test_tshark_reads_all_messages_and_has_nothing_to_complain_of(played: tuple[Outcome, Path]) -> None:
    packets: list[ElementTree.Element] = []
    for name in ("mag1", "mag2", "lma", "lma2"):
        packets += dissect(played[1] / "capture" / f"{name}.pcapng")
    mobility = [
        packet
        for packet in packets
        if any(one.get("name") == "mipv6" for one in packet.iter("proto"))
        and not any(one.get("name") == "icmpv6" for one in packet.iter("proto"))
    ]
    types = {one.get("show") for packet in mobility for one in packet.iter("field") if one.get("name") == "mip6.mhtype"}
    assert types >= MESSAGES
    told = {complaint for packet in mobility for complaint in complaints(packet)}
    assert {complaint for complaint in told if "(Comment/" not in complaint} <= {NOT_TEXT, NOT_DISSECTED}
