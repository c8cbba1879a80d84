"""What is wrong with a message, and the RFC section that says so."""

from __future__ import annotations

import random
import struct

import pytest

from sojourn import wire
from sojourn.capture.signals import Reader, Signal
from sojourn.capture.source import Source
from sojourn.wire.units import SECOND
from support.capture import ipv6
from support.exchanges import answer, node, update
from support.frames import (
    A1,
    CMD,
    HOME,
    MOBILITY,
    START,
    home_address_option,
    ipv4,
    mobility,
    packet,
    pcap,
    type_2_routing,
    udp,
)

RAW = 101
UPDATE = update(7, 1)
HEADER = mobility(UPDATE)


def reader(*packets: bytes, **more: object) -> Reader:
    """A capture of these packets."""
    import io

    return Reader(Source(io.BytesIO(pcap(packets, RAW))), **more)  # type: ignore[arg-type]


def only(octets: bytes, **more: object) -> Signal:
    """The one message in a packet."""
    (signal,) = reader(octets, **more).signals()
    assert isinstance(signal, Signal)
    return signal


def said(octets: bytes, **more: object) -> list[tuple[str, str, bool]]:
    """The findings about a packet."""
    return [(finding.text, finding.rfc, finding.grave) for finding in only(octets, **more).findings]


def resealed(header: bytes) -> bytes:
    """A packet of this Mobility Header with its checksum."""
    return ipv6(MOBILITY, wire.seal(header, A1, CMD), A1, CMD)


def test_a_right_message_has_no_finding() -> None:
    assert said(packet(UPDATE)) == []
    assert said(packet(answer(7, 1), CMD, A1)) == []


def test_a_wrong_checksum_and_the_right_one() -> None:
    right = int.from_bytes(HEADER[4:6], "big")
    wrong = ipv6(MOBILITY, HEADER[:4] + b"\x12\x34" + HEADER[6:], A1, CMD)
    assert said(wrong) == [(f"checksum 0x1234 is wrong, {right:#06x} is right", "RFC 6275 6.1.1", True)]


def test_the_checksum_covers_the_home_address() -> None:
    sealed = wire.seal(HEADER, HOME, CMD)
    assert said(ipv6(60, home_address_option(MOBILITY) + sealed, A1, CMD)) == []
    (finding,) = said(ipv6(60, home_address_option(MOBILITY) + HEADER, A1, CMD))
    assert "the sender left the home address out of it" in finding[0]
    back = wire.seal(HEADER, CMD, HOME)
    assert said(ipv6(43, type_2_routing(MOBILITY) + back, CMD, A1)) == []


def test_there_is_no_checksum_to_check_in_udp_over_ipv4() -> None:
    assert said(ipv4(17, udp(5436, wire.encode(UPDATE)))) == []


def change(position: int, octets: bytes) -> bytes:
    """The update with some octets changed, and its checksum right."""
    return resealed(HEADER[:position] + octets + HEADER[position + len(octets) :])


@pytest.mark.parametrize(
    ("octets", "text", "rfc"),
    [
        (change(0, b"\x11"), "Payload Proto is 17, not 59", "RFC 6275 6.1.1"),
        (change(3, b"\x01"), "the reserved octet is 0x01", "RFC 6275 6.1.1"),
        (change(8, b"\x82\x11"), "reserved flags 0x1", "RFC 6275 6.1.7"),
        (resealed(HEADER + bytes(5)), "5 octets follow the end that Header Len gives", "RFC 6275 6.1.1"),
        (change(1, b"\x1f"), f"Header Len announces 256 octets, but {len(HEADER)} travel", "RFC 6275 6.1.1"),
        (
            resealed(wire.encode(wire.BindingUpdate(1, 0x8000, SECOND, (wire.HomeNetworkPrefix(64, A1),)))),
            "not for BU",
            "",
        ),
        (ipv6(MOBILITY, HEADER[:5], A1, CMD), "5 octets where a Mobility Header has 8", "RFC 6275 6.1.1"),
    ],
)
def test_a_header_that_breaks_a_rule(octets: bytes, text: str, rfc: str) -> None:
    findings = said(octets)
    assert any(text in found and rfc in section and grave for found, section, grave in findings), findings


def raw_options(*options: bytes) -> bytes:
    """A Binding Update with these octets as its options."""
    data = struct.pack("!HHH", 1, 0x8000, 75) + b"".join(options)
    data += bytes(-(6 + len(data)) % 8)
    return resealed(bytes((59, (6 + len(data)) // 8 - 1, 5, 0, 0, 0)) + data)


@pytest.mark.parametrize(
    ("options", "text", "rfc", "grave"),
    [
        ((b"\x01\x02\xff\x00",), "PadN at octet 12 is not filled with zeros", "RFC 6275 6.2.3", True),
        ((b"\x03\x10" + A1,), "Alternate Care Of Address begins at octet 12, not at 8n+6", "RFC 6275 6.2.5", True),
        ((b"\x02\x03\0\0\0",), "3 octets where 2 are expected", "", True),
        ((b"\xf7\x02ab",), "option 247 at octet 12 is not known here", "RFC 6275 6.2.1", False),
        ((b"\x03\x77",), "option 3 at octet 12 runs past the header's end", "RFC 6275 6.2.1", True),
    ],
)
def test_an_option_that_breaks_a_rule(options: tuple[bytes, ...], text: str, rfc: str, grave: bool) -> None:
    findings = said(raw_options(*options))
    assert any(text in found and rfc in section and grave == flag for found, section, flag in findings), findings
    assert all(section or "RFC" in found for found, section, _ in findings)


def test_unknown_messages_are_shown() -> None:
    signal = only(resealed(bytes((59, 1, 99, 0, 0, 0)) + bytes(10)))
    assert signal.name == "MH99"
    assert signal.findings[0].rfc == "RFC 6275 9.2"
    assert not signal.grave


def test_what_the_capture_cut_off_is_no_ones_mistake() -> None:
    whole = packet(UPDATE)
    octets = pcap([], RAW) + struct.pack("<IIII", 0, 0, 100, len(whole)) + whole[:100]
    import io

    (signal,) = Reader(Source(io.BytesIO(octets))).signals()
    assert isinstance(signal, Signal)
    assert [(finding.text, finding.grave) for finding in signal.findings] == [
        (f"only 60 of {len(HEADER)} octets were captured", False)
    ]
    assert isinstance(signal.message, wire.BindingUpdate)
    assert signal.message.first(wire.MobileNodeIdentifier) == node(7)


def test_timestamps_of_two_words_are_recognised_and_a_profile_reads_them() -> None:
    seconds = START // SECOND
    options = (*UPDATE.options[:5], wire.Timestamp(seconds << 32 | 123_456))
    octets = packet(wire.BindingUpdate(1, UPDATE.flags, UPDATE.lifetime, options))
    assert (f"Timestamp {seconds} s 123456 us: two 32-bit words instead of 48.16 bits", "RFC 5213 8.8", True) in said(
        octets
    )
    from sojourn.wire.tolerance import PROFILES

    tolerant = only(octets, peer=PROFILES["oai-pmipv6"])
    assert tolerant.message is not None
    assert tolerant.message.first(wire.Timestamp).ticks >> 16 == seconds  # type: ignore[union-attr]
    assert not tolerant.grave
    assert all(finding.text.startswith("tolerated: ") for finding in tolerant.findings)


def test_faults_of_packets_name_the_packet_and_the_others_are_shown() -> None:
    good = packet(UPDATE)
    found = list(reader(good, b"\x60" + bytes(20), good, good[:39], good).signals())
    assert [getattr(item, "what", "message").split(":")[0] for item in found] == [
        "message",
        "packet 2",
        "message",
        "packet 4",
        "message",
    ]


def test_mutations_give_messages_and_findings_only() -> None:
    """Ten thousand damaged packets: whatever happens to their octets, there is a name and no exception."""
    rng = random.Random(8885)
    originals = [
        packet(UPDATE),
        packet(answer(1, 2), CMD, A1),
        ipv6(60, home_address_option(MOBILITY) + HEADER, A1, CMD),
    ]
    packets = []
    for _ in range(10_000):
        octets = bytearray(rng.choice(originals))
        for _ in range(rng.randrange(1, 6)):
            octets[rng.randrange(40, len(octets))] = rng.randrange(256)
        packets.append(bytes(octets))
    made = reader(*packets)
    found = list(made.signals())
    assert made.tally.packets == 10_000
    assert not made.tally.lost
    assert sum(isinstance(item, Signal) for item in found) > 8_000
    assert all(item.name for item in found if isinstance(item, Signal))
    assert made.tally.problems > 7_000
