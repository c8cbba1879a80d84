"""Every row of the conformance list has a test, or ``conformance.csv`` says why there is none, or what tests leave out.

A test bears the id of its row in its name or its docstring; tests that were there before stand in the table by name.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

import pytest

from support.rfc_sentences import VECTORS, shared

_TESTS = Path(__file__).parent.parent
_LIST = VECTORS / "conformance.csv"
_TABLE = {row["id"]: row for row in csv.DictReader((_TESTS / "rfc" / "conformance.csv").read_text().splitlines())}
_IDS = [row["id"] for row in csv.DictReader(_LIST.read_text().splitlines())]
_TEST = re.compile(r'^(?:async )?def (test_\w+)\([^"]*?:[^\n]*\n(?:    """(.*?)""")?', re.MULTILINE | re.DOTALL)
_ID = re.compile(r"(?<![A-Za-z0-9])[Cc]\d{3}(?![0-9A-Za-z])")


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    """Names of all tests, and the ids that tests bear."""
    names, ids = set(), set()
    for path in _TESTS.rglob("test_*.py"):
        for name, words in _TEST.findall(path.read_text()):
            names.add(name)
            ids |= {one.upper() for one in _ID.findall(name.replace("_", " ") + " " + (words or ""))}
    return frozenset(names), frozenset(ids)


def test_the_list_is_that_of_the_project() -> None:
    text = shared("conformance.csv")
    assert text is None or text == _LIST.read_text()
    assert list(_TABLE) == _IDS


@pytest.mark.parametrize("row", _IDS)
def test_every_row_has_a_test_or_an_exception(row: str) -> None:
    names, ids = _names()
    named, exception = _TABLE[row]["tests"].split(), _TABLE[row]["exception"]
    assert set(named) <= names
    assert row in ids or named or exception
    assert not exception or len(exception) > 40
