"""tshark reads what we send: values where it knows the field, the boundaries of options everywhere.

tshark 4.0 knows nothing of RFC 8885, and its Vendor Specific drops the last two octets of the data; it never looks at
the checksum of a Mobility Header. That of ICMPv6 it does check.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest

from sojourn import wire
from sojourn.wire import icmpv6
from sojourn.wire.addresses import address
from sojourn.wire.messages import LIFETIME_UNIT
from support.capture import complaints, dissect, ipv6, write_pcap
from support.wire_messages import ICMPV6_MESSAGE_CLASSES, random_message, random_object

pytestmark = pytest.mark.interop

SOURCE, DESTINATION = address("2001:db8:1::1"), address("2001:db8:2::2")
HEADER = 40
"""Octets before the Mobility Header."""

Values = dict[str, Callable[[Any], str]]


def octets_of(name: str) -> Callable[[Any], str]:
    """The octets of an attribute, in hexadecimal as PDML has them."""
    return lambda thing: bytes(getattr(thing, name)).hex()


def number_of(name: str, size: int, unit: int = 1) -> Callable[[Any], str]:
    """A number of `size` octets, in hexadecimal."""
    return lambda thing: (getattr(thing, name) // unit).to_bytes(size, "big").hex()


def bit_of(mask: int) -> Callable[[Any], str]:
    """A flag."""
    return lambda thing: str(int(bool(thing.flags & mask)))


KNOWN: dict[Any, Values] = {
    wire.BindingUpdate: {
        "mip6.bu.seqnr": number_of("sequence", 2),
        "mip6.bu.lifetime": number_of("lifetime", 2, LIFETIME_UNIT),
        **{f"mip6.bu.{flag.lower()}_flag": bit_of(wire.BindingUpdateFlags[flag]) for flag in "AHLKMPFTB"},
        "mip6.nemo.bu.r_flag": bit_of(wire.BindingUpdateFlags.R),
    },
    wire.BindingAcknowledgement: {
        "mip6.ba.status": number_of("status", 1),
        "mip6.ba.seqnr": number_of("sequence", 2),
        "mip6.ba.lifetime": number_of("lifetime", 2, LIFETIME_UNIT),
        **{f"mip6.ba.{flag.lower()}_flag": bit_of(wire.BindingAcknowledgementFlags[flag]) for flag in "KPTB"},
        "mip6.nemo.ba.r_flag": bit_of(wire.BindingAcknowledgementFlags.R),
    },
    wire.BindingError: {
        "mip6.be.status": number_of("status", 1),
        "mip6.be.haddr": octets_of("home_address"),
    },
    wire.BindingRefreshRequest: {},
    wire.Heartbeat: {
        "mip6.hb.seqnr": number_of("sequence", 4),
        "mip6.hb.u_flag": bit_of(wire.HeartbeatFlags.U),
        "mip6.hb.r_flag": bit_of(wire.HeartbeatFlags.R),
    },
    wire.BindingRevocationIndication: {
        "mip6.bri_r.trigger": number_of("trigger", 1),
        "mip6.bri_seqnr": number_of("sequence", 2),
        **{f"mip6.bri_i{flag.lower()}": bit_of(wire.BindingRevocationFlags[flag]) for flag in "PVG"},
    },
    wire.BindingRevocationAcknowledgement: {
        "mip6.bri_status": number_of("status", 1),
        "mip6.bri_seqnr": number_of("sequence", 2),
        **{f"mip6.bri_a{flag.lower()}": bit_of(wire.BindingRevocationFlags[flag]) for flag in "PVG"},
    },
    wire.BindingRefreshAdvice: {"mip6.bra.interval": number_of("interval", 2, LIFETIME_UNIT)},
    wire.AlternateCareOfAddress: {"mip6.acoa.acoa": octets_of("address")},
    wire.MobileNodeIdentifier: {"mip6.mnid.subtype": number_of("subtype", 1)},
    wire.VendorSpecific: {
        "mip6.vsm.vendorId": number_of("vendor", 4),
        "mip6.vsm.subtype": number_of("subtype", 1),
    },
    wire.HomeNetworkPrefix: {
        "mip6.nemo.mnp.pfl": number_of("prefix_length", 1),
        "mip6.nemo.mnp.mnp": octets_of("address"),
    },
    wire.HandoffIndicator: {"mip6.hi": number_of("indicator", 1), "mip6.hi.reserved": number_of("reserved", 1)},
    wire.AccessTechnologyType: {
        "mip6.att": number_of("technology", 1),
        "mip6.att.reserved": number_of("reserved", 1),
    },
    wire.MobileNodeLinkLayerIdentifier: {"mip6.mnlli.lli": octets_of("identifier")},
    wire.LinkLocalAddress: {"mip6.lila_lla": octets_of("address")},
    wire.Timestamp: {"mip6.timestamp_tmp": number_of("ticks", 8)},
    wire.RestartCounter: {"mip6.rc": number_of("counter", 4)},
    wire.Pad1: {},
    wire.PadN: {},
}
"""What tshark 4.0 shows, by class; the other classes are opaque to it."""
OPAQUE = {cls for number, cls in wire.MOBILITY_OPTIONS.classes.items() if number >= 65}
EMPTY_TAILS = {"mip6.mnlli.lli", "mip6.vsm.subtype"}
"""tshark leaves out what is empty, and a subtype with no data behind it."""
ALLOWED = {
    "Expert Info (Note/Undecoded): IE data not dissected yet",
    "Expert Info (Note/Undecoded): Data not dissected yet",
    "Expert Info (Warning/Protocol): Mobile Node Identifier (with option length = 1 byte; should be >= 2)",
}
"""What it says of options that it does not know, and of an identifier without octets: RFC 4283 does not forbid it."""


def shown(element: ElementTree.Element) -> dict[str, str]:
    """The values below an element by field name."""
    return {field.get("name", ""): field.get("value", "") for field in element.iter("field")}


def compare(thing: Any, element: ElementTree.Element) -> None:
    """Every value of `thing` that tshark knows is shown as it is."""
    seen = shown(element)
    for name, value in KNOWN[type(thing)].items():
        expected = value(thing)
        if expected or name not in EMPTY_TAILS:
            assert seen.get(name) == expected, (name, thing)


def expected_options(message: wire.MobilityMessage, octets: bytes) -> list[tuple[int, wire.MobilityOption, bytes]]:
    """Position in the packet, option and octets of all options and padding, as we understand the octets."""
    found = []
    position = 6 + message.layout.size
    for option in wire.decode(octets, strict=True, padding=True).options:
        out = bytearray()
        option.put(out, False)
        found.append((HEADER + position, option, bytes(out)))
        position += len(out)
    return found


def test_values_and_option_boundaries(tmp_path: Path) -> None:
    rng = Random(8885)
    messages = [random_message(rng) for _ in range(400)]
    sealed = [wire.seal(wire.encode(message), SOURCE, DESTINATION) for message in messages]
    capture = tmp_path / "mobility.pcap"
    write_pcap(capture, [ipv6(wire.MOBILITY_HEADER, octets, SOURCE, DESTINATION) for octets in sealed])
    packets = dissect(capture)
    assert len(packets) == len(messages)
    seen_classes = set()
    for message, octets, packet in zip(messages, sealed, packets, strict=True):
        assert set(complaints(packet)) <= ALLOWED
        header = next(proto for proto in packet.iter("proto") if proto.get("name") == "mipv6")
        assert shown(header)["mip6.mhtype"] == f"{message.number:02x}"
        compare(message, header)
        area = [field for field in header if field.get("show") == "Mobility Options"]
        elements = list(area[0]) if area else []
        options = expected_options(message, octets)
        assert [(int(e.get("pos", "")), bytes.fromhex(e.get("value", ""))) for e in elements] == [
            (position, own) for position, _, own in options
        ]
        for (_, option, _), element in zip(options, elements, strict=True):
            if type(option) not in OPAQUE:
                compare(option, element)
        seen_classes |= {type(message), *(type(option) for _, option, _ in options)}
    assert seen_classes == set(KNOWN) | OPAQUE


def test_discovery_messages_have_right_checksums_and_no_complaints(tmp_path: Path) -> None:
    rng = Random(4861)
    messages = [random_object(rng.choice(ICMPV6_MESSAGE_CLASSES), rng) for _ in range(200)]
    sealed = [icmpv6.seal_icmpv6(icmpv6.encode_icmpv6(message), SOURCE, DESTINATION) for message in messages]
    capture = tmp_path / "discovery.pcap"
    write_pcap(capture, [ipv6(icmpv6.ICMPV6, octets, SOURCE, DESTINATION, 255) for octets in sealed])
    for message, packet in zip(messages, dissect(capture), strict=True):
        seen = shown(packet)
        assert seen["icmpv6.type"] == f"{message.number:02x}"
        assert checksum_is_good(packet), message
        if not isinstance(message, icmpv6.MulticastListenerQuery | icmpv6.MulticastListenerReport):
            assert option_positions(packet) == own_option_positions(message)


def checksum_is_good(packet: ElementTree.Element) -> bool:
    """tshark's own sum over the packet."""
    status = [field for field in packet.iter("field") if field.get("name") == "icmpv6.checksum.status"]
    return [field.get("show") for field in status] == ["1"]


def option_positions(packet: ElementTree.Element) -> list[tuple[int, int]]:
    """Begin and size of each discovery option."""
    options = [field for field in packet.iter("field") if field.get("name") == "icmpv6.opt"]
    return [(int(option.get("pos", "")), int(option.get("size", ""))) for option in options]


def own_option_positions(message: icmpv6.Icmpv6Message) -> list[tuple[int, int]]:
    """The same from our encoder, option by option."""
    found, position = [], HEADER + 4 + message.layout.size
    for option in message.options:
        out = bytearray()
        option.put(out, False)
        found.append((position, len(out)))
        position += len(out)
    return found


def test_a_router_advertisement_field_by_field(tmp_path: Path) -> None:
    advertisement = icmpv6.RouterAdvertisement(
        63,
        icmpv6.RouterAdvertisementFlags.OTHER,
        900_000_000_000,
        30_000_000_000,
        1_000_000_000,
        (
            icmpv6.SourceLinkLayerAddress(bytes.fromhex("00005e005213")),
            icmpv6.Mtu(1420),
            icmpv6.PrefixInformation(64, icmpv6.PrefixInformationFlags.AUTONOMOUS, 60_000_000_000, 0, SOURCE),
        ),
    )
    octets = icmpv6.seal_icmpv6(icmpv6.encode_icmpv6(advertisement), SOURCE, DESTINATION)
    capture = tmp_path / "advertisement.pcap"
    write_pcap(capture, [ipv6(icmpv6.ICMPV6, octets, SOURCE, DESTINATION, 255)])
    (packet,) = dissect(capture)
    assert complaints(packet) == []
    decimal = {field.get("name"): field.get("show") for field in packet.iter("field")}
    assert {name: decimal[f"icmpv6.{name}"] for name in EXPECTED} == EXPECTED


EXPECTED = {
    "nd.ra.cur_hop_limit": "63",
    "nd.ra.flag.m": "0",
    "nd.ra.flag.o": "1",
    "nd.ra.router_lifetime": "900",
    "nd.ra.reachable_time": "30000",
    "nd.ra.retrans_timer": "1000",
    "opt.src_linkaddr": "00:00:5e:00:52:13",
    "opt.mtu": "1420",
    "opt.prefix.length": "64",
    "opt.prefix.flag.l": "0",
    "opt.prefix.flag.a": "1",
    "opt.prefix.valid_lifetime": "60",
    "opt.prefix.preferred_lifetime": "0",
}
