"""The declarations against the registries: every row has a declaration, every declaration a row.

The tables in tests/vectors are made from the RFCs and compared with IANA's; layouts are written as
``name:u16``, ``3b`` for bits, ``+`` for repeated, ``[..]`` for optional, ``|`` for alternatives.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from sojourn import wire
from sojourn.wire import catalogue, icmpv6, names, values
from sojourn.wire.extensions import (
    rfc5568,
    rfc5568_discovery,
    rfc6089,
    rfc6275_discovery,
    rfc6757,
    rfc7222,
    rfc8127,
)
from sojourn.wire.fields import Bits, InHeader, Octets, Repeated, Rest, Scaled, SInt, Tlvs, UInt
from sojourn.wire.generate import NATURAL, Layout, alignment_of, kinds
from support.wire_messages import ICMPV6_MESSAGE_CLASSES, MESSAGE_CLASSES

VECTORS = Path(__file__).parent.parent / "vectors"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a registry."""
    with (VECTORS / name).open(newline="") as file:
        return list(csv.DictReader(file))


OPTION_ROWS = {int(row["type"]): row for row in rows("mobility-options.csv")}
MESSAGE_ROWS = {int(row["type"]): row for row in rows("mh-types.csv")}
OPTIONS: list[Any] = [
    pytest.param(number, cls, id=cls.__name__) for number, cls in sorted(wire.MOBILITY_OPTIONS.classes.items())
]
WIDTHS = {"u8": 8, "u16": 16, "u24": 24, "u32": 32, "u64": 64, "s24": 24, "ip6": 128, "ip4": 32, "b8": 64, "48": 48}
NAMES = {
    5: "bindingauthorizationdata",  # the registry has it as "Authorization Data"
    15: "caretestinit",
    16: "caretest",
    17: "dnsupdate",
    18: "experimentalmobilityoption",
}
"""Options whose class has another name than the registry: two share theirs with messages."""


def squeezed(name: str) -> str:
    """A registered name as a class would have it, in lower case."""
    name = re.sub(r"\(.*\)| Mobility Option$", "", name)
    return re.sub(r"[^a-z0-9]", "", name.lower())


def printed_widths(layout: str) -> list[int | None]:
    """Widths in bits from the layout column: ``L:1b reserved:7b prefix_len:u8 prefix:ip6``; None for the rest."""
    layout = re.sub(r"\([^)]*:[^)]*\)\*?|\[.*\]|sub_options|ani_sub_options|lcmp_\w+|attributes", "rest:bytes", layout)
    layout = re.sub(r"\(.*?\)|\{.*?\}|\beach 4n\)|selector$|\(each 4n\)", "", layout)
    if layout == "empty":
        return []
    found: list[int | None] = []
    for field in layout.split():
        code = field.split(":")[1]
        if re.fullmatch(r"\d+b", code):
            found.append(int(code[:-1]))
        else:
            found.append(None if re.search(r"bytes|\+|\||\*", code) else WIDTHS[code])
    return found


def declared_widths(cls: Any) -> list[int | None]:
    """The same from a declaration."""
    found: list[int | None] = []
    for kind in kinds(cls).values():
        match kind:
            case Bits(size):
                found.append(size)
            case UInt(size) | Scaled(size) | Octets(size) | SInt(size):
                found.append(8 * size)
            case Rest() | Tlvs() | Repeated():
                found.append(None)
            case InHeader():
                pass
    return found


def legal_lengths(printed: str) -> tuple[int, ...] | range:
    """``6|18`` or ``2..`` or ``2.. (even)``."""
    printed = re.sub(r"\(.*\)|;.*", "", printed).strip()
    if ".." in printed:
        return range(int(printed.split("..")[0]), 10**9)
    return tuple(int(length) for length in printed.split("|"))


# --- every row has a declaration ----------------------------------------------------------------------------------


def test_every_mobility_header_type_is_declared() -> None:
    assert set(MESSAGE_ROWS) == set(range(24))
    assert {*wire.MESSAGES, *wire.SUBTYPED_MESSAGES} == set(MESSAGE_ROWS)


def test_every_mobility_option_is_declared() -> None:
    assert set(OPTION_ROWS) == set(range(71))
    assert set(wire.MOBILITY_OPTIONS.classes) == set(OPTION_ROWS)


def test_every_sub_option_is_declared() -> None:
    families = {
        "45 FlowIdentification": rfc6089.FLOW_SUB_OPTIONS,
        "53 Ipv4TrafficOffload": rfc6089.FLOW_SUB_OPTIONS,
        "52 AccessNetworkId": rfc6757.ANI_SUB_OPTIONS,
        "58 QualityOfService": rfc7222.QOS_ATTRIBUTES,
        "62 LmaControlledMagParams": rfc8127.LCMP_SUB_OPTIONS,
    }
    seen = set()
    for row in rows("sub-options.csv"):
        if row["parent"] not in families:
            assert row["parent"] in ("TS format 1", "TS format 2", "18 Experimental")
            continue
        cls = families[row["parent"]].classes[int(row["type"])]
        seen.add((row["parent"], row["name"]))
        if row["parent"] != "53 Ipv4TrafficOffload":
            assert f"RFC {row['rfc']} {row['section']}" in cls.rfc
    assert len(seen) == 26


def test_every_icmpv6_message_and_discovery_option_of_mobility_is_declared() -> None:
    """Type 150 is that of an experiment which 154 replaced, option 18 one of RFC 4068 alone; 27 and 28 carry keys."""
    left_out = {("ICMPv6 type", 150), ("ND option", 18), ("ND option", 27), ("ND option", 28)}
    for row in rows("icmp-and-nd.csv"):
        if row["kind"] not in ("ICMPv6 type", "ND option") or (row["kind"], int(row["number"])) in left_out:
            continue
        number = int(row["number"])
        if row["kind"] == "ND option":
            assert f"RFC {row['rfc']} {row['section']}" in icmpv6.ND_OPTIONS.classes[number].rfc
        else:
            assert number in {*icmpv6.MESSAGES, *icmpv6.SUBTYPED_MESSAGES}
    sections = {cls.rfc.split(",")[0] for cls in ICMPV6_MESSAGE_CLASSES}
    assert sections >= {"RFC 6275 6.5", "RFC 6275 6.6", "RFC 6275 6.7", "RFC 6275 6.8", "RFC 5568 6.1.1"}


def test_the_catalogue_names_the_module_of_every_number() -> None:
    tables: list[tuple[str, Any]] = [
        ("messages", {**wire.MESSAGES, **wire.SUBTYPED_MESSAGES}),
        ("options", wire.MOBILITY_OPTIONS.classes),
        ("icmpv6", {**icmpv6.MESSAGES, **icmpv6.SUBTYPED_MESSAGES}),
        ("discovery", icmpv6.ND_OPTIONS.classes),
    ]
    for kind, table in tables:
        for number, module in catalogue.places(kind).items():
            found = table[number]
            classes = found.values() if isinstance(found, dict) else [found]
            assert {cls.__module__ for cls in classes} == {module}


# --- every declaration is as its row ------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "cls"), OPTIONS)
def test_an_option_has_the_name_section_and_alignment_of_its_row(number: int, cls: Any) -> None:
    row = OPTION_ROWS[number]
    assert cls.number == number
    own = cls.__name__.lower().removesuffix("option") if number in (15, 16) else cls.__name__.lower()
    assert own.replace("careof", "care") == NAMES.get(number, squeezed(row["name"])).replace("careof", "care")
    assert f"RFC {row['rfc']} {row['section']}" in cls.rfc
    match row["align"]:
        case "none":
            assert cls.align == (1, 0)
        case "by size":
            assert cls.align == NATURAL
        case "2n (no CoA) / 8n+2 (CoA)":
            assert alignment_of(cls(1, 0)) == (2, 0)
            assert alignment_of(cls(1, 0, care_of=bytes(16))) == (8, 2)
        case printed:
            x, y = re.fullmatch(r"(\d+)n(?:\+(\d+))?", printed).groups("0")  # type: ignore[union-attr]
            assert cls.align == (int(x), int(y))


@pytest.mark.parametrize(("number", "cls"), [case for case in OPTIONS if case.values[0] != 0])
def test_an_option_has_the_length_and_fields_of_its_row(number: int, cls: Any) -> None:
    row = OPTION_ROWS[number]
    layout: Layout = cls.layout
    lengths = layout.lengths()
    if number in (60, 61):  # lengths in words of four octets
        assert wire.MOBILITY_OPTIONS.length(number) == (4, 4)
        assert lengths == range(2, lengths.stop)  # type: ignore[union-attr]
    elif number == 5:  # twelve octets for return routability, any for others
        assert isinstance(lengths, range)
    elif number in (52, 62):  # one sub-option is needed, but that is a rule and not the layout
        assert lengths == range(lengths.stop)  # type: ignore[union-attr]
    else:
        printed = legal_lengths(row["data_length"])
        if isinstance(lengths, range):
            assert isinstance(printed, range)
            assert lengths.start == printed.start
        else:
            assert lengths == printed
    printed_fields = printed_widths(row["layout_after_type_and_length"])
    if number == 1:
        assert declared_widths(cls) == [None]
    else:
        assert declared_widths(cls) == printed_fields


@pytest.mark.parametrize("cls", MESSAGE_CLASSES, ids=lambda cls: str(cls.__name__))
def test_a_message_has_the_name_section_and_size_of_its_row(cls: Any) -> None:
    row = MESSAGE_ROWS[cls.number]
    name = squeezed(row["name"])
    assert f"RFC {row['rfc']} {row['section']}" in cls.rfc
    if cls.number in wire.SUBTYPED_MESSAGES:
        assert cls.__name__.lower().startswith(name.removesuffix("message"))
        assert sum(filter(None, declared_widths(cls))) == 48
        return
    assert cls.__name__.lower() == name
    printed = [width for width in printed_widths(row["fixed_part_after_checksum"]) if width]
    if cls.number == 12:
        assert printed == [8, 8]  # the count, which the class writes itself, and a reserved octet
        return
    edges = {sum(printed[:count]) for count in range(len(printed) + 1)}
    own = [width for width in declared_widths(cls) if width]
    assert sum(own) == sum(printed)
    assert {sum(own[:count]) for count in range(len(own))} <= edges


@pytest.mark.parametrize("number", MESSAGE_ROWS)
def test_the_shortest_message_has_the_header_length_of_its_row(number: int) -> None:
    """An empty option area is filled up to eight octets; messages whose fixed part ends there have none."""
    known: Any = wire.SUBTYPED_MESSAGES if number in wire.SUBTYPED_MESSAGES else wire.MESSAGES
    cls = next(iter(known[number].values())) if number in wire.SUBTYPED_MESSAGES else known[number]
    size = 8 if number in (11, 12) else 6 + cls.layout.size
    assert -(-size // 8) - 1 == int(MESSAGE_ROWS[number]["min_hdr_len_field"])


# --- values -------------------------------------------------------------------------------------------------------

EXCEPTIONS = {
    ("BA/PBA Status Codes", 0): "ACCEPTED",
    ("Binding Error Status", 1): "UNKNOWN_BINDING",
    ("Binding Error Status", 2): "UNKNOWN_MESSAGE_TYPE",
    ("HAck Code", 0): "HANDOVER_ACCEPTED",
    ("FBA Status", 128): "BINDING_DOES_NOT_EXIST",
    ("NAACK Status (ND option 20)", 3): "NCOA_IS_INVALID_USE_NARS_IP_ADDRESS_AS_NCOA_IN_FBU",
}
"""Where a name is shorter than the RFC's sentence."""
OWN_NAMES = {values.Handoff, values.AccessTechnology, values.IdentifierType, rfc6757.OperatorType}
"""Enumerations with names of our own."""
CODES = [(row["registry"], row) for row in rows("status-codes.csv") + rows("value-registries.csv")]


@pytest.mark.parametrize("registry", sorted({name for name, _ in CODES} - {"DSMIP6-TLS packet type"}))
def test_every_registered_value_has_its_name(registry: str) -> None:
    enumeration = names.REGISTRIES[registry]
    registered = {int(row["value"]): row["name"] for name, row in CODES if name == registry}
    assert {one.value for one in enumeration} == set(registered)
    if enumeration in OWN_NAMES:
        return
    for one in enumeration:
        expected = EXCEPTIONS.get((registry, one.value)) or registered[one.value]
        own = squeezed(one.name).removesuffix("255")
        assert own == squeezed(expected.replace("Reserved", "reserved")), one


FLAG_FIELDS: dict[str, Any] = {
    "BU/PBU flags (u16)": values.BindingUpdateFlags,
    "BA/PBA flags (u8)": values.BindingAcknowledgementFlags,
    "FBU flags (u16)": rfc5568.FastBindingUpdateFlags,
    "FBack flags (u8)": rfc5568.FastBindingAcknowledgmentFlags,
    "HB flags (u16)": values.HeartbeatFlags,
    "HI flags (u8)": rfc5568.HandoverInitiateFlags,
    "HAck flags (u8)": rfc5568.HandoverAcknowledgeFlags,
    "BRI/BRA flags (u16)": values.BindingRevocationFlags,
    "LRA flags (u8)": names.flags(wire.MESSAGES[18]),
    "UPN flags (u16)": names.flags(wire.MESSAGES[19]),
    "FBI flags (u8)": names.flags(wire.SUBTYPED_MESSAGES[21][b"\0\1"]),
    "SubR flags (u8)": names.flags(wire.MESSAGES[23]),
    "HAAD request/reply (u16)": rfc6275_discovery.HomeAgentDiscoveryFlags,
    "HA Information option (u16)": rfc6275_discovery.HomeAgentDiscoveryFlags,
    "MPA flags (u16)": rfc6275_discovery.MobilePrefixAdvertisementFlags,
    "PrRtAdv reserved (u8)": rfc5568_discovery.ProxyAdvertisementFlags,
}
BIT_FIELDS = {
    "opt 17 DnsUpdate (u8)": (wire.MOBILITY_OPTIONS.classes[17], {"remove": "R"}),
    "opt 22 HomeNetworkPrefix (u8)": (wire.HomeNetworkPrefix, {"off_link": "L"}),
    "opt 29 Ipv4HomeAddress (u16)": (wire.MOBILITY_OPTIONS.classes[29], {"prefix_requested": "P"}),
    "opt 31 NatDetection (u16)": (wire.MOBILITY_OPTIONS.classes[31], {"force": "F"}),
    "opt 35 BindingIdentifier (u8)": (wire.MOBILITY_OPTIONS.classes[35], {"home": "H"}),
    "opt 39 Ipv4DhcpSupportMode (u16)": (wire.MOBILITY_OPTIONS.classes[39], {"server": "S"}),
    "opt 43 TransientBinding (u8)": (wire.MOBILITY_OPTIONS.classes[43], {"late": "L"}),
    "opt 47 Redirect (u16)": (wire.MOBILITY_OPTIONS.classes[47], {"ipv6": "K", "ipv4": "N"}),
    "opt 53 Ipv4TrafficOffload (u32)": (wire.MOBILITY_OPTIONS.classes[53], {"except_these": "M"}),
    "opt 54 DynamicMulticastSelector (u8)": (wire.MOBILITY_OPTIONS.classes[54], {"direct": "M"}),
    "opt 55 DelegatedMnp (u8)": (wire.MOBILITY_OPTIONS.classes[55], {"ipv4": "V"}),
    "opt 63 MagMultipathBinding (u24)": (wire.MOBILITY_OPTIONS.classes[63], {"bulk": "B", "overwrite": "O"}),
    "opt 58/3,4 session AMBR (u16)": (rfc7222.PerSessionAggMaxDlBitRate, {"service": "S", "exclude": "E"}),
    "MAP option (u8)": (icmpv6.ND_OPTIONS.classes[23], {"allocates": "R"}),
}
ELSEWHERE = {"RA flags (u8)", "PIO flags (u8)", "opt 52/1 Network-Identifier (u8)"}
"""Octets by hand in other tests: two flags words of RFC 4861 with names of their own, one class that writes itself."""


def test_every_row_of_the_flags_is_looked_at() -> None:
    assert {row["field"] for row in rows("flags.csv")} == {*FLAG_FIELDS, *BIT_FIELDS, *ELSEWHERE}


@pytest.mark.parametrize("field", FLAG_FIELDS)
def test_every_flag_of_the_registry_has_its_bit(field: str) -> None:
    flags = FLAG_FIELDS[field]
    registered = {row["flag"]: int(row["mask"], 16) for row in rows("flags.csv") if row["field"] == field}
    if field.startswith("BU"):
        registered.pop("O")  # a second meaning of B that was never registered
    assert registered
    assert {name: flags[name].value for name in registered} == registered
    assert {flag.value for flag in flags} == set(registered.values())


@pytest.mark.parametrize("field", BIT_FIELDS)
def test_every_flag_within_an_option_has_its_bit(field: str) -> None:
    cls, letters = BIT_FIELDS[field]
    registered = {row["flag"]: int(row["mask"], 16) for row in rows("flags.csv") if row["field"] == field}
    assert set(letters.values()) == set(registered)
    for name, letter in letters.items():
        word = next(word for word in cls.layout.words if name in [part.name for part in word.parts])
        (part,) = [part for part in word.parts if part.name == name]
        assert 1 << part.shift == registered[letter]
