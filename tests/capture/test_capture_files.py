"""Capture files of every form, whole and damaged: what is read, what is said, and where reading goes on."""

from __future__ import annotations

import gzip
import io
import random
import struct
from pathlib import Path

import pytest
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapWriter

from sojourn.capture.files import Fault, Packet, read
from sojourn.capture.source import Source
from support.frames import START, block, enhanced, interface, option, pcap, pcapng, section

PACKETS = [bytes([number]) * (20 + number) for number in range(12)]


def records(octets: bytes) -> tuple[list[Packet], list[Fault]]:
    """What is read from a file with these octets."""
    found = list(read(Source(io.BytesIO(octets))))
    return [item for item in found if isinstance(item, Packet)], [item for item in found if isinstance(item, Fault)]


class Drips:
    """A pipe that hands out a few octets at a time."""

    def __init__(self, octets: bytes) -> None:
        self._stream = io.BytesIO(octets)

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, 7))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_classic_pcap_in_its_four_forms(order: str, nano: bool) -> None:
    packets, faults = records(pcap(PACKETS, 229, order=order, nano=nano))
    assert not faults
    assert [packet.octets for packet in packets] == PACKETS
    assert [packet.number for packet in packets] == list(range(1, 13))
    assert {packet.link_type for packet in packets} == {229}
    unit = 1 if nano else 1000
    assert packets[3].time == (START + 3_000_000) // unit * unit


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_in_both_byte_orders(order: str) -> None:
    packets, faults = records(pcapng(PACKETS, 276, order=order))
    assert not faults
    assert [packet.octets for packet in packets] == PACKETS
    assert [packet.time for packet in packets] == [START + number * 1_000_000 for number in range(12)]
    assert {packet.link_type for packet in packets} == {276}


def test_octets_may_come_in_any_portions() -> None:
    for octets in (pcap(PACKETS), pcapng(PACKETS), gzip.compress(pcapng(PACKETS))):
        assert list(read(Source(Drips(octets)))) == list(read(Source(io.BytesIO(octets))))


def test_compressed_files_are_unpacked() -> None:
    packets, faults = records(gzip.compress(pcap(PACKETS)))
    assert [packet.octets for packet in packets] == PACKETS
    assert not faults


def test_a_damaged_compression_is_reported_and_the_rest_shown() -> None:
    octets = gzip.compress(random.Random(1).randbytes(1) + pcap(PACKETS))[:-20]
    assert records(octets)[1]
    packets, faults = records(gzip.compress(pcap([random.Random(2).randbytes(900)] * 400))[:-9])
    assert packets
    assert faults[-1].lost


def test_times_in_other_units_and_with_an_offset() -> None:
    octets = section() + interface(1, options=option(9, b"\x94") + option(14, struct.pack("<q", -100)))
    octets += enhanced(b"x" * 14, (1_000_200 << 20) + (1 << 19))  # units of 2**-20 s
    ((packet,), faults) = records(octets)
    assert not faults
    assert packet.time == 1_000_100_500_000_000


def test_names_comments_and_several_interfaces() -> None:
    octets = section() + interface(1, options=option(2, b"core")) + interface(101, options=option(2, b"tun\xff"))
    octets += enhanced(b"a" * 14, 1, 1, options=option(1, "roam – now".encode()) + option(0, b""))
    octets += enhanced(b"b" * 14, 2, 0)
    (first, second), faults = records(octets)
    assert not faults
    assert (first.interface, first.link_type, first.comment) == ("tun\ufffd", 101, "roam – now")
    assert (second.interface, second.link_type, second.comment) == ("core", 1, "")


def test_simple_and_obsolete_packet_blocks_and_blocks_that_say_nothing_to_us() -> None:
    octets = section() + interface()
    octets += block(3, struct.pack("<I", 5) + b"hello")
    octets += block(2, struct.pack("<HHIIII", 0, 9, 0, 7, 3, 3) + b"old")
    octets += block(5, bytes(24)) + block(0x0BAD, bytes(400)) + block(4, bytes(4))
    (simple, old), faults = records(octets)
    assert not faults
    assert (simple.octets, simple.time) == (b"hello", None)
    assert (old.octets, old.time) == (b"old", 7000)


def test_a_second_section_begins_afresh() -> None:
    packets, faults = records(pcapng(PACKETS[:2]) + pcapng(PACKETS[:3], 101, order=">"))
    assert not faults
    assert [packet.number for packet in packets] == [1, 2, 3, 4, 5]
    assert [packet.link_type for packet in packets] == [1, 1, 101, 101, 101]


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_what_scapy_writes(tmp_path: Path, writer: type) -> None:
    """A second writer, by others."""
    file = tmp_path / "scapy"
    out = writer(str(file), linktype=101) if writer is PcapWriter else writer(str(file))
    for number, octets in enumerate(PACKETS):
        packet = Raw(octets)
        packet.time = 1_700_000_000 + number
        out.write(packet)
    out.close()
    packets, faults = records(file.read_bytes())
    assert not faults
    assert [packet.octets for packet in packets] == PACKETS
    assert packets[1].time == 1_700_000_001_000_000_000


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "the file is empty"),
        (b"\xd4\xc3", "too short"),
        (b"<html>", "neither pcap nor pcapng"),
        (b"\xd4\xc3\xb2\xa1" + bytes(10), "within its header"),
        (b"\x34\xcd\xb2\xa1" + bytes(40), "modified pcap"),
        (section()[:16], "ends within a block"),
        (section() + block(6, bytes(4)), "packet 1 is too short"),
        (section() + enhanced(b"x", 1), "interface 0, which is not described"),
        (section() + interface() + block(6, struct.pack("<5I", 0, 0, 0, 99, 99)), "claims 99 octets"),
        (section() + block(3, bytes(8)), "belongs to no interface"),
        (section() + block(1, b""), "interface description"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(octets: bytes, said: str) -> None:
    packets, faults = records(octets)
    assert not packets
    assert said in faults[0].what


@pytest.mark.parametrize(("octets", "begin"), [(pcap(PACKETS), [0]), (pcapng(PACKETS), [0, 0])])
def test_a_file_cut_anywhere_gives_all_whole_packets_and_one_fault(octets: bytes, begin: list[int]) -> None:
    clean = []
    for length in range(len(octets) + 1):
        packets, faults = records(octets[:length])
        whole = [packet.octets for packet in packets if len(packet.octets) == packet.length]
        assert whole == PACKETS[: len(whole)]
        assert len(faults) <= 1
        assert not faults or (faults[0].lost and faults[0].number == len(whole) + 1)
        if not faults:
            clean.append(len(whole))
    # A cut goes unnoticed only where a record ends: behind the file's header or headers, and behind each packet.
    assert clean == [*begin, *range(1, 13)]


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_reading_goes_on_behind_a_damaged_record(make: object) -> None:
    whole = make(PACKETS)  # type: ignore[operator]
    position = whole.index(PACKETS[4]) - (16 if make is pcap else 28)
    damaged = bytearray(whole)
    damaged[position + (8 if make is pcap else 4) : position + (12 if make is pcap else 8)] = b"\xff\xff\xff\x7f"
    packets, faults = records(bytes(damaged))
    assert [packet.octets for packet in packets] == PACKETS[:4] + PACKETS[5:]
    (fault,) = faults
    assert (fault.number, fault.position, fault.lost) == (5, position, True)


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_reading_goes_on_behind_octets_that_do_not_belong_there(make: object) -> None:
    whole = make(PACKETS)  # type: ignore[operator]
    position = whole.index(PACKETS[4]) - (16 if make is pcap else 28)
    packets, faults = records(whole[:position] + b"\xff" * 64 + whole[position:])
    assert [packet.octets for packet in packets] == PACKETS
    assert len(faults) == 1


def test_random_octets_and_mutations_end_in_reports() -> None:
    rng = random.Random(8885)
    originals = [pcap(PACKETS), pcapng(PACKETS), pcapng(PACKETS, order=">"), gzip.compress(pcapng(PACKETS))]
    for _ in range(1500):
        octets = bytearray(rng.choice(originals))
        for _ in range(rng.randrange(1, 8)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        packets, _ = records(bytes(octets))
        assert all(len(packet.octets) <= packet.length for packet in packets)
    for original in originals:
        records(original[:4] + rng.randbytes(3000))


def test_a_claimed_length_is_not_believed() -> None:
    """Four gigaoctets are not set aside for a packet that claims them."""
    huge = pcap([]) + struct.pack("<IIII", 0, 0, 0xFFFFFFF0, 0xFFFFFFF0)
    assert "claims 4294967280 octets" in records(huge)[1][0].what
    huge = section() + struct.pack("<II", 6, 0xFFFFFFF0)
    assert records(huge + bytes(40))[1][0].what == "a block of type 6 claims 4294967280 octets"


def test_waiting_for_more_is_asked_only_at_the_end() -> None:
    """A file that grows: each call of `wait` may bring more."""
    octets = pcap(PACKETS)
    stream = io.BytesIO(octets[:100])
    more = [octets[100:101], octets[101:300], octets[300:]]

    def wait() -> bool:
        if not more:
            return False
        at = stream.tell()
        stream.write(more.pop(0))
        stream.seek(at)
        return True

    found = [item.octets for item in read(Source(stream, wait)) if isinstance(item, Packet)]
    assert found == PACKETS
    assert not more
