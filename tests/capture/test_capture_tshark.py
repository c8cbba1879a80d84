"""tshark reads the same captures: the same packets hold mobility messages, of the same types and numbers."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from sojourn import wire
from sojourn.capture.signals import Reader, Signal
from sojourn.capture.source import Source
from support.capture import ipv6
from support.exchanges import conversation, update
from support.frames import (
    A1,
    A2,
    CMD,
    HOME,
    MOBILITY,
    ethernet,
    fragments,
    home_address_option,
    ipv4,
    mobility,
    packet,
    pcap,
    pcapng,
    type_2_routing,
    udp,
)
from support.wire_messages import MESSAGE_CLASSES, random_object

pytestmark = pytest.mark.interop
HANDOVER = Path(__file__).parent.parent.parent / "docs" / "handover.pcapng"
FIELDS = ("frame.number", "mip6.mhtype", "mip6.bu.seqnr", "mip6.ba.seqnr", "mip6.bu.lifetime")


def tshark(file: Path) -> list[tuple[str, ...]]:
    """The fields of all packets with a Mobility Header, without those that ICMPv6 errors quote."""
    program = shutil.which("tshark")
    if program is None:
        pytest.fail("tshark is missing: `make test` installs it")
    wanted = [word for field in FIELDS for word in ("-e", field)]
    command = [program, "-n", "-r", str(file), "-d", "udp.port==4191,ipv6", "-Y", "mipv6 && !(icmpv6.type < 128)"]
    done = subprocess.run([*command, "-T", "fields", *wanted], check=True, capture_output=True, text=True, timeout=500)
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


def ours(file: Path) -> list[tuple[str, ...]]:
    """The same from our decoder."""
    with file.open("rb", buffering=0) as stream:
        found = [item for item in Reader(Source(stream)).signals() if isinstance(item, Signal)]
    return [row(item) for item in found if item.payload.protocol == MOBILITY and not item.payload.quoted]


def row(signal: Signal) -> tuple[str, ...]:
    """What tshark prints for it."""
    message = signal.message
    update_, answer_ = isinstance(message, wire.BindingUpdate), isinstance(message, wire.BindingAcknowledgement)
    return (
        str(signal.number),
        str(signal.payload.octets[2]),
        str(message.sequence) if isinstance(message, wire.BindingUpdate) and update_ else "",
        str(message.sequence) if isinstance(message, wire.BindingAcknowledgement) and answer_ else "",
        str(message.lifetime // wire.LIFETIME_UNIT) if isinstance(message, wire.BindingUpdate) else "",
    )


def agree(file: Path, count: int) -> None:
    """Both see `count` messages, and the same."""
    found = ours(file)
    assert len(found) == count
    assert found == tshark(file)


def test_the_capture_of_the_demo() -> None:
    """37 messages, three of them quoted in ICMPv6 errors."""
    agree(HANDOVER, 34)


def test_a_thousand_updates_and_answers(tmp_path: Path) -> None:
    file = tmp_path / "many.pcapng"
    file.write_bytes(pcapng([ethernet(octets) for octets in conversation(1000)]))
    agree(file, 1000)


def test_every_type_of_message(tmp_path: Path) -> None:
    """Types that tshark has no name for are Mobility Headers to it all the same."""
    rng, file = random.Random(135), tmp_path / "types.pcap"
    packets = [packet(random_object(cls, rng)) for cls in MESSAGE_CLASSES for _ in range(5)]
    file.write_bytes(pcap(packets, 101))
    found, theirs = ours(file), tshark(file)
    assert [entry[:2] for entry in found] == [entry[:2] for entry in theirs]
    assert len(found) == 5 * len(MESSAGE_CLASSES)


def test_headers_fragments_and_tunnels(tmp_path: Path) -> None:
    message = update(7, 1)
    whole, header = packet(message), mobility(message)
    packets = [
        ipv6(60, home_address_option(MOBILITY) + wire.seal(header, HOME, CMD), A1, CMD),
        ipv6(43, type_2_routing(MOBILITY) + wire.seal(header, CMD, HOME), CMD, A1),
        *fragments(whole, 24),
        ipv6(41, whole, A2, CMD),
        ipv4(41, whole),
        ipv6(47, b"\0\0\x86\xdd" + whole, A2, CMD),
        ipv4(17, udp(4191, whole)),
        ipv4(17, udp(5436, wire.encode(message))),
    ]
    file = tmp_path / "shapes.pcap"
    file.write_bytes(pcap(packets, 101))
    agree(file, 8)
