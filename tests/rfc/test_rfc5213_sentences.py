"""Every sentence of RFC 5213 5 and 6 with MUST or SHOULD has a row in ``rfc5213-sentences.csv``: the tests that show
it, or a remark why there are none. A row with both says what is done instead of, or besides, the letter.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

from support.rfc_sentences import VECTORS, between, demands, original

_HERE = Path(__file__).parent
_EXTRACT = VECTORS / "rfc5213-sections-5-6.txt"


def _rows() -> list[dict[str, str]]:
    with (_HERE / "rfc5213-sentences.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _tests() -> set[str]:
    """The names of all tests."""
    pattern = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
    return {name for path in _HERE.parent.rglob("test_*.py") for name in pattern.findall(path.read_text())}


def test_the_extract_is_the_text_of_the_rfc() -> None:
    """Where the RFCs are beside the clone they are compared, so that the extract is not a story of ours."""
    text = original("rfc5213.txt")
    if text is not None:
        expected = between(text, "5.  Local Mobility Anchor Operation", "7.  Mobile Node Operation")
        assert _EXTRACT.read_text() == expected


def test_every_demand_has_its_row_in_order() -> None:
    found = demands(_EXTRACT.read_text())
    rows = _rows()
    assert len(found) > 280
    for (section, sentence), row in zip(found, rows, strict=True):
        assert row["section"] == section
        assert sentence.startswith(row["sentence"]), sentence


def test_every_row_names_tests_that_there_are_or_says_why_none() -> None:
    known = _tests()
    for row in _rows():
        names = row["tests"].split()
        assert names or row["remark"], row["sentence"]
        assert not set(names) - known, row


def test_the_numbers_that_are_told_are_right() -> None:
    """tests/rfc/README.md says how much is shown, how much with a remark, and how much is not."""
    counts = Counter((bool(row["tests"]), bool(row["remark"])) for row in _rows())
    shown, departed, missing = counts[True, False], counts[True, True], counts[False, True]
    words = f"{shown} are shown by tests, {departed} with a remark besides, {missing} have a remark only"
    assert words in " ".join((_HERE / "README.md").read_text().split()), words
