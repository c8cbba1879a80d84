"""Captures for other tools to read, and what tshark says about them."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")
RAW_IPV6, ETHERNET = 229, 1
"""Link types: the packet begins with its IPv6 header, or with that of its frame."""


def ipv6(next_header: int, payload: bytes, source: bytes, destination: bytes, hop_limit: int = 64) -> bytes:
    """An IPv6 packet (RFC 8200 3)."""
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, hop_limit) + source + destination + payload


def write_pcap(path: Path, packets: Iterable[bytes], link: int = RAW_IPV6) -> None:
    """A capture file of packets, one second apart."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link))
        for second, packet in enumerate(packets):
            file.write(struct.pack("<IIII", second, 0, len(packet), len(packet)) + packet)


def dissect(path: Path) -> list[ElementTree.Element]:
    """What tshark sees: its PDML, one element a packet."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.fail("tshark is missing: `make test` installs it")
    command = [tshark, "-n", "-r", str(path), "-T", "pdml"]
    pdml = subprocess.run(command, check=True, capture_output=True, timeout=100).stdout
    text = NOT_XML.sub("?", pdml.decode("utf-8", "replace"))  # it prints names from packets as they are
    return ElementTree.fromstring(text).findall("packet")


def complaints(packet: ElementTree.Element) -> list[str]:
    """All that tshark has to complain of in one packet."""
    found = [field.get("showname", "") for field in packet.iter("field") if field.get("name") == "_ws.expert"]
    return found + [proto.get("name", "") for proto in packet.iter("proto") if proto.get("name") == "_ws.malformed"]


def judged(directory: Path, misread: frozenset[str] = frozenset()) -> tuple[set[str], set[str]]:
    """All that tshark has to complain of in the captures of a lab, and the types of mobility messages there.

    Left out of the former are packets with mobility messages of the types `misread`, which tshark does not know how to
    read, and the beginnings of other packets that ICMPv6 errors quote.
    """
    files = sorted((directory / "capture").glob("*.pcapng"))
    assert files, f"no captures in {directory}"
    told: set[str] = set()
    seen: set[str] = set()
    whole = directory / "all.pcap"  # tshark takes a second to start
    subprocess.run(["mergecap", "-F", "pcap", "-w", whole, *files], check=True, capture_output=True, timeout=100)
    for packet in dissect(whole):
        protocols = {proto.get("name") for proto in packet.iter("proto")}
        types = {entry.get("show", "") for entry in packet.iter("field") if entry.get("name") == "mip6.mhtype"} - {""}
        seen |= types
        if not types & misread and not {"icmpv6", "tcp"} <= protocols:
            told |= {one for one in complaints(packet) if "(Comment/" not in one}
    return told, seen


def malformed(directory: Path) -> list[str]:
    """The packets that tshark cannot read in the captures of a lab, which must be there."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.fail("tshark is missing: `make test` installs it")
    files = sorted((directory / "capture").glob("*.pcapng"))
    assert files, f"no captures in {directory}"
    found = []
    for file in files:
        command = [tshark, "-n", "-r", str(file), "-Y", "_ws.malformed"]
        done = subprocess.run(command, check=True, capture_output=True, timeout=100, text=True, errors="replace")
        found += [f"{file.name}: {line}" for line in done.stdout.splitlines()]
    return found
