"""tshark reads what we send: values where it knows the field, the boundaries of options everywhere.

`support.tshark_fields` has the names of the fields and the table of what tshark 4.0 reads otherwise, with reasons. It
never looks at the checksum of a Mobility Header; that of ICMPv6 it does check.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn import wire
from sojourn.wire import icmpv6
from sojourn.wire.addresses import address
from sojourn.wire.extensions import rfc4285, rfc5026, rfc5096, rfc5568, rfc5949, rfc6463, rfc7148
from support.capture import complaints, dissect, ipv6, write_pcap
from support.tshark_fields import (
    DISAGREEMENTS,
    KNOWN,
    KNOWN_ICMPV6,
    OPAQUE_MESSAGES,
    OPAQUE_OPTIONS,
    UNREADABLE,
    WRONG_MESSAGES,
)
from support.wire_messages import (
    ICMPV6_MESSAGE_CLASSES,
    MESSAGE_CLASSES,
    OPTION_CLASSES,
    options_at,
    random_object,
)

pytestmark = pytest.mark.interop

batches = st.randoms(use_true_random=True)
"""A whole capture is drawn from one number of Hypothesis: hundreds of messages are more than it chooses one by one."""
few = settings(
    max_examples=3, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Captures a test; tshark reads each as one batch. The file of the one before is written over."""

SOURCE, DESTINATION = address("2001:db8:1::1"), address("2001:db8:2::2")
HEADER = 40
"""Octets before the Mobility Header."""
VECTORS = Path(__file__).parent.parent / "vectors"
READABLE = [cls for cls in OPTION_CLASSES if cls.number not in UNREADABLE]
ALLOWED = re.compile(
    r"Note/Undecoded\): (IE data|Data|ANI Type) not dissect"  # what it does not know
    r"|Trailing stray characters"  # a zero octet within a name
    r"|Mobile Node Identifier \(with option length = 1 byte"
    r"|MAG IPv6 Address \(with option length = 18 bytes; should be 16"
    r"|(DNS-UPDATE-TYPE|AUTH|Mobility Header Link) [^(]*\(with option length = \d bytes?; should be >= \d"
    r"|Access Network Identifier \(with option length = [02] bytes"
)
"""Complaints that `DISAGREEMENTS` explains, of options 8, 51 and 52."""


def shown(element: ElementTree.Element) -> dict[str, str]:
    """The first value below an element by field name."""
    found: dict[str, str] = {}
    for field in element.iter("field"):
        found.setdefault(field.get("name", ""), field.get("value", ""))
    return found


def compare(thing: Any, element: ElementTree.Element) -> None:
    """Every value of `thing` that tshark knows is shown as it is."""
    seen = shown(element)
    for name, value in KNOWN[type(thing)].items():
        expected = value(thing)
        if name == "mip6.vsm.subtype" and len(thing.data) < 2:
            continue  # shown or not, by what comes behind
        if expected is None:
            assert not seen.get(name), (name, thing)
        elif isinstance(expected, int):
            assert int(seen[name], 16) == expected, (name, thing)
        else:
            assert seen[name] == expected.hex(), (name, thing)


FILLED: dict[Any, str] = {
    rfc4285.MobilityMessageAuthentication: "authenticator",
    rfc5568.BindingAuthorizationDataForFmipv6: "authenticator",
    rfc5096.ExperimentalMobilityOption: "data",
    rfc5026.DnsUpdate: "name",
}
"""Options that are malformed to tshark when nothing stands in their last field."""


def consistent(option: Any) -> Any:
    """The option with flags that say what follows: tshark goes by them where we go by the length."""
    match option:
        case rfc6463.Redirect():
            size = len(option.address)
            return dataclasses.replace(option, ipv6=size == 16, ipv4=size == 4)
        case rfc7148.DelegatedMobileNetworkPrefix():
            return dataclasses.replace(option, ipv4=len(option.address) == 4, prefix_length=option.prefix_length % 33)
        case rfc5949.LocalMobilityAnchorAddress():
            return dataclasses.replace(option, code={16: 1, 4: 2}[len(option.address)])
        case rfc5949.ContextRequest(requests=()):
            return dataclasses.replace(option, requests=(rfc5949.RequestedContext(22),))
    if type(option) in FILLED and not getattr(option, FILLED[type(option)]):
        return dataclasses.replace(option, **{FILLED[type(option)]: b"12"})
    return option


def readable_message(rng: Random, options: list[Any]) -> Any:
    """A message of any type whose options tshark can find, with these and some more."""
    classes = [cls for cls in MESSAGE_CLASSES if cls.number not in WRONG_MESSAGES | OPAQUE_MESSAGES | {11}]
    message = random_object(rng.choice(classes), rng)
    more = [random_object(rng.choice(READABLE), rng) for _ in range(rng.randrange(4))]
    message.options = tuple(consistent(option) for option in (*more, *options))
    return message


def expected_options(message: Any, octets: bytes) -> list[tuple[int, Any, bytes]]:
    """Position in the packet, option and octets of all options and padding, as we understand the octets."""
    found = []
    position = options_at(message)
    for option in wire.decode(octets, strict=True, padding=True).options:
        out = bytearray()
        option.put(out, False)
        found.append((HEADER + position, option, bytes(out)))
        position += len(out)
    return found


def read_by_tshark(path: Path, messages: list[Any]) -> list[tuple[Any, bytes, ElementTree.Element]]:
    """Each message with its octets and what tshark sees, all in one run."""
    sealed = [wire.seal(wire.encode(message), SOURCE, DESTINATION) for message in messages]
    write_pcap(path, [ipv6(wire.MOBILITY_HEADER, octets, SOURCE, DESTINATION) for octets in sealed])
    packets = dissect(path)
    assert len(packets) == len(messages)
    return list(zip(messages, sealed, packets, strict=True))


@given(rng=batches)
@few
def test_values_and_option_boundaries(tmp_path: Path, rng: Random) -> None:
    messages = [readable_message(rng, [random_object(cls, rng)]) for cls in READABLE for _ in range(8)]
    seen_classes = set()
    for message, octets, packet in read_by_tshark(tmp_path / "mobility.pcap", messages):
        unexpected = [text for text in complaints(packet) if not ALLOWED.search(text)]
        assert not unexpected, (message, unexpected)
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
            if option.number not in OPAQUE_OPTIONS:
                compare(option, element)
        seen_classes |= {type(message), *(type(option) for _, option, _ in options)}
    opaque = {cls for cls in OPTION_CLASSES if cls.number in OPAQUE_OPTIONS}
    assert seen_classes == (set(KNOWN) - {wire.MESSAGES[11]}) | opaque


@given(rng=batches)
@few
def test_messages_without_options_it_could_find(tmp_path: Path, rng: Random) -> None:
    """The data of an Experimental Mobility Header are shown, and the octets of types that it does not know."""
    classes = [cls for cls in MESSAGE_CLASSES if cls.number in OPAQUE_MESSAGES | {11}]
    messages = [random_object(cls, rng) for cls in classes for _ in range(5)]
    for message, octets, packet in read_by_tshark(tmp_path / "opaque.pcap", messages):
        seen = shown(packet)
        assert seen["mip6.mhtype"] == f"{message.number:02x}"
        field = "mip6.em.data" if message.number == 11 else "mip6.unknown_type_data"
        hidden = message.number == 11 and len(octets) == 8
        assert seen.get(field) == (None if hidden else octets[6:].hex()), message


def test_the_disagreements_are_those_of_the_coverage_table() -> None:
    """Whatever decode-coverage.csv has as full is compared field by field; the rest is explained."""
    with (VECTORS / "decode-coverage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"MH", "option"}
    for row in rows:
        number, coverage = int(row["number"]), row["tshark_4_0_17"]
        table: Any = wire.MOBILITY_OPTIONS.classes if row["kind"] == "option" else wire.MESSAGES
        cls = table[number] if number in table else next(iter(wire.SUBTYPED_MESSAGES[number].values()))
        if coverage in ("full", "part"):
            assert cls in KNOWN, row["name"]
        elif coverage == "no":
            assert number in (OPAQUE_OPTIONS if row["kind"] == "option" else OPAQUE_MESSAGES)
        else:
            assert (f"MH {number}" if row["kind"] == "MH" else str(number)) in DISAGREEMENTS
    assert all(reason.startswith("dissector: ") for reason in DISAGREEMENTS.values())


@given(rng=batches)
@few
def test_discovery_messages_have_right_checksums_and_no_complaints(tmp_path: Path, rng: Random) -> None:
    messages = [random_object(rng.choice(ICMPV6_MESSAGE_CLASSES), rng) for _ in range(400)]
    sealed = [icmpv6.seal_icmpv6(icmpv6.encode_icmpv6(message), SOURCE, DESTINATION) for message in messages]
    capture = tmp_path / "discovery.pcap"
    write_pcap(capture, [ipv6(icmpv6.ICMPV6, octets, SOURCE, DESTINATION, 255) for octets in sealed])
    for message, packet in zip(messages, dissect(capture), strict=True):
        seen = shown(packet)
        assert seen["icmpv6.type"] == f"{message.number:02x}"
        assert checksum_is_good(packet), message
        for name, value in KNOWN_ICMPV6.get(type(message), {}).items():
            assert int(seen[name] or "0", 16) == value(message), (name, message)
        if isinstance(message, icmpv6.MulticastListenerQuery | icmpv6.MulticastListenerReport):
            continue
        if message.number in (145, 146):  # addresses in the one, options that it does not look for in the other
            continue
        assert option_positions(packet) == own_option_positions(message)
        elements = [field for field in packet.iter("field") if field.get("name") == "icmpv6.opt"]
        for option, element in zip(message.options, elements, strict=True):
            seen_option = shown(element)
            for name, value in KNOWN_ICMPV6.get(type(option), {}).items():
                assert int(seen_option[name] or "0", 16) == value(option), (name, option)


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
