"""Tables for people: 80 columns without a terminal, nothing lost."""

from __future__ import annotations

import io

import pytest

from sojourn.cli.show import cell, line_of, print_table

ROWS = [
    {
        "node": "#1f2e3d4c5b",
        "link_layer": "#1f2e3d4c5b",
        "presence": "served",
        "serving": "here",
        "interface": "acc0",
        "confirmed": True,
        "prefixes": ["2001:db8:a200:1234::/64 preferred", "2001:db8:a100:ffff::/64 deprecated"],
        "lifetime": 298,
    },
    {"node": "#aaaaaaaaaa", "link_layer": "#aaaaaaaaaa", "presence": "away", "serving": "ar2", "lifetime": None},
]


def table(rows: list[dict[str, object]]) -> str:
    stream = io.StringIO()
    print_table(rows, stream)
    return stream.getvalue()


def test_a_table_fits_80_columns_and_loses_nothing() -> None:
    shown = table(ROWS)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "2001:db8:a200:1234::/64" in shown
    assert "deprecated" in shown
    titles = ["node", "presence", "serving", "on", "confirmed", "prefixes", "life"]
    assert [line.split() for line in shown.splitlines()[:2]] == [titles, ["(s)"]]


def test_what_does_not_fit_side_by_side_stands_below_each_other() -> None:
    shown = table([{"a": "x" * 100, "b": "y" * 30}, {"a": "z", "b": None}])
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert shown.count("x") == 100
    assert shown.count("y") == 30
    assert shown.splitlines()[-3:] == ["", "a  z", "b  -"]


def test_long_texts_are_folded_between_words() -> None:
    shown = table([{"what": "one", "why": "word " * 30, "because": "word " * 10}])
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert shown.count("word") == 40


def test_events_are_lines() -> None:
    assert table([{"time": "t", "role": "maar", "event": "attached", "node": "#1"}]) == "t maar attached node=#1\n"
    assert line_of({"event": "missed", "count": 3}) == "missed count=3"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (1.50, "1.5"),
        ([], "-"),
        (["a", "b"], "a\nb"),
        ({"a": 1}, "a=1"),
        (7, "7"),
    ],
)
def test_cells(value: object, shown: str) -> None:
    assert cell(value) == shown
