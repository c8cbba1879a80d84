"""The declarations against the registries (copies of rows in tests/vectors, made from IANA's tables and the RFCs)."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from sojourn import wire
from sojourn.wire import values
from sojourn.wire.fields import Bits, Octets, Rest, Scaled, UInt
from sojourn.wire.generate import NATURAL, Layout, kinds
from support.wire_messages import MESSAGE_CLASSES

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
WIDTHS = {"u8": 8, "u16": 16, "u24": 24, "u32": 32, "u64": 64, "ip6": 128, "ip4": 32, "b8": 64, "bytes": None}


def squeezed(name: str) -> str:
    """A registered name as a class would have it, in lower case."""
    name = re.sub(r"\(.*\)| Mobility Option$", "", name)
    return re.sub(r"[^a-z0-9]", "", name.lower())


def printed_widths(layout: str) -> list[int | None]:
    """Widths in bits from the layout column: ``L:1b reserved:7b prefix_len:u8 prefix:ip6``; None for the rest."""
    found: list[int | None] = []
    for field in re.sub(r"\(.*?\)|\{.*?\}", "", layout).split():
        code = field.split(":")[1]
        found.append(int(code[:-1]) if re.fullmatch(r"\d+b", code) else WIDTHS[code])
    return found


def declared_widths(cls: Any) -> list[int | None]:
    """The same from a declaration."""
    found: list[int | None] = []
    for kind in kinds(cls).values():
        match kind:
            case Bits(size):
                found.append(size)
            case UInt(size) | Scaled(size) | Octets(size):
                found.append(8 * size)
            case Rest():
                found.append(None)
    return found


def test_what_the_walk_needs_is_declared() -> None:
    numbers = set(wire.MOBILITY_OPTIONS.classes)
    assert numbers >= {0, 1, 2, 3, 8, 19, *range(22, 28), *range(65, 71)}
    assert set(wire.MESSAGES) >= {0, 5, 6, 7, 13}
    assert numbers <= set(OPTION_ROWS)
    assert {cls.number for cls in MESSAGE_CLASSES} <= set(MESSAGE_ROWS)


@pytest.mark.parametrize(("number", "cls"), OPTIONS)
def test_an_option_has_the_name_section_and_alignment_of_its_row(number: int, cls: Any) -> None:
    row = OPTION_ROWS[number]
    assert cls.number == number
    assert cls.__name__.lower() == squeezed(row["name"])
    assert f"RFC {row['rfc']} {row['section']}" in cls.rfc
    match row["align"]:
        case "none":
            assert cls.align == (1, 0)
        case "by size":
            assert cls.align == NATURAL
        case printed:
            x, y = re.fullmatch(r"(\d+)n(?:\+(\d+))?", printed).groups("0")  # type: ignore[union-attr]
            assert cls.align == (int(x), int(y))


@pytest.mark.parametrize(("number", "cls"), [case for case in OPTIONS if case.values[0] != 0])
def test_an_option_has_the_length_and_fields_of_its_row(number: int, cls: Any) -> None:
    row = OPTION_ROWS[number]
    layout: Layout = cls.layout
    lengths = layout.lengths()
    if row["data_length"].endswith(".."):
        assert isinstance(lengths, range)
        assert lengths.start == int(row["data_length"][:-2])
    else:
        assert lengths == tuple(int(length) for length in row["data_length"].split("|"))
    assert declared_widths(cls) == printed_widths(row["layout_after_type_and_length"])


@pytest.mark.parametrize("cls", MESSAGE_CLASSES, ids=lambda cls: str(cls.__name__))
def test_a_message_has_the_name_section_and_size_of_its_row(cls: Any) -> None:
    row = MESSAGE_ROWS[cls.number]
    name = squeezed(row["name"])
    assert f"RFC {row['rfc']} {row['section']}" in cls.rfc
    if cls.number in wire.SUBTYPED_MESSAGES:
        assert cls.__name__.lower().startswith(name.removesuffix("message"))
        return
    assert cls.__name__.lower() == name
    printed = [width for width in printed_widths(row["fixed_part_after_checksum"]) if width]
    edges = {sum(printed[:count]) for count in range(len(printed) + 1)}
    own = [8 * part for part in declared_octets(cls)]
    assert sum(own) == sum(printed)
    assert {sum(own[:count]) for count in range(len(own))} <= edges


def declared_octets(cls: Any) -> list[int]:
    """The sizes of the words of a message."""
    return [width // 8 for width in declared_widths(cls) if width]


def test_every_status_of_the_registry_has_its_name() -> None:
    registered = {int(row["value"]): row["name"] for row in rows("status-codes.csv")}
    assert {status.value for status in wire.Status} == set(registered)
    for status in wire.Status:
        name = squeezed(registered[status.value].replace("Binding Update accepted / Proxy ", ""))
        own = squeezed(status.name)
        assert own == name or (status, name) == (wire.Status.ACCEPTED, "bindingupdateaccepted")


@pytest.mark.parametrize(
    ("field", "flags"),
    [
        ("BU/PBU flags (u16)", values.BindingUpdateFlags),
        ("BA/PBA flags (u8)", values.BindingAcknowledgementFlags),
        ("HB flags (u16)", values.HeartbeatFlags),
        ("BRI/BRA flags (u16)", values.BindingRevocationFlags),
    ],
)
def test_every_flag_of_the_registry_has_its_bit(field: str, flags: Any) -> None:
    registered = {row["flag"]: int(row["mask"], 16) for row in rows("flags.csv") if row["field"] == field}
    registered.pop("O", None)  # a second meaning of B that was never registered
    assert registered
    assert {name: flags[name].value for name in registered} == registered
    assert {flag.value for flag in flags} == set(registered.values())
