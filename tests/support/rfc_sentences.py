"""The sentences of an RFC that demand something (MUST, SHOULD and their negations), by section, and tables of them.

A table has a row for every such sentence: the tests that show it, or a remark why there are none. A row with both says
what is done instead of, or besides, the letter.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parent.parent
VECTORS = _TESTS / "vectors"
_SHARED = [Path(__file__).parents[3] / "shared", Path(__file__).parents[4] / "shared"]
"""Where the RFCs are, beside a clone or beside the directory of work trees."""
_BREAK = re.compile(r"(.)\n+\w+(?:, et al\.| & \w+).*\[Page \d+\]\n\f?\n?RFC \d+ .*\n+")
_HEADING = re.compile(r"^(\d+(?:\.\d+)*)\.  \S", re.MULTILINE)
_KEYWORD = re.compile(r"\b(?:MUST|SHOULD)(?: NOT)?\b")
_END = re.compile(r"(?<=[.:])\s+(?=[A-Z*o])")
_FIGURE = re.compile(r"^\s*(?:[+|].*|Figure \d+:.*)$", re.MULTILINE)


def original(name: str) -> str | None:
    """The text of an RFC from the shared directory; None where there is none."""
    return shared(f"rfc/{name}")


def shared(name: str) -> str | None:
    """A text from the shared directory; None where there is none."""
    for directory in _SHARED:
        path = directory / name
        if path.is_file():
            return path.read_text()
    return None


def between(text: str, first: str, last: str) -> str:
    """The part from the heading `first` to the heading `last`, without page breaks."""
    begin, end = text.rindex(f"\n{first}"), text.rindex(f"\n{last}")
    return _BREAK.sub(_joined, text[begin:end]).strip() + "\n"


def _joined(found: re.Match[str]) -> str:
    """A page may end within a sentence."""
    return found.group(1) + ("\n\n" if found.group(1) in ".:|" else "\n")


def demands(text: str) -> list[tuple[str, str]]:
    """(section, sentence) for each sentence with a keyword, in order."""
    found = []
    headings = list(_HEADING.finditer(text))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        body = text[heading.start() : following.start() if following else len(text)].partition("\n")[2]
        for paragraph in re.split(r"\n\s*\n", _FIGURE.sub("\n", body)):
            for sentence in _END.split(" ".join(paragraph.split())):
                if _KEYWORD.search(sentence):
                    found.append((heading.group(1), re.sub(r"^(?:[o*]|\d+\.) +", "", sentence)))
    return found


@dataclass(frozen=True)
class Table:
    """The table of an RFC in ``tests/rfc``, and the extract of its text in ``tests/vectors``."""

    rfc: int
    extract: str
    parts: Sequence[tuple[str, str]]
    """The headings that each part of the extract begins with and ends before."""

    def text(self) -> str:
        """The extract."""
        return (VECTORS / self.extract).read_text()

    def compare(self) -> None:
        """Where the RFCs are beside the clone they are compared, so that the extract is not a story of ours."""
        text = original(f"rfc{self.rfc}.txt")
        if text is not None:
            assert self.text() == "\n".join(between(text, first, last) for first, last in self.parts)

    def rows(self) -> list[dict[str, str]]:
        """The table."""
        with (_TESTS / "rfc" / f"rfc{self.rfc}-sentences.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def check_order(self, least: int) -> None:
        """Every demand has its row, in order; there are more than `least`."""
        found = demands(self.text())
        assert len(found) > least
        for (section, sentence), row in zip(found, self.rows(), strict=True):
            assert row["section"] == section
            assert sentence.startswith(row["sentence"]), sentence

    def check_tests(self) -> None:
        """Every row names tests that there are, or says why none."""
        known = known_tests()
        for row in self.rows():
            names = row["tests"].split()
            assert names or row["remark"], row["sentence"]
            assert not set(names) - known, row

    def check_numbers(self) -> None:
        """tests/rfc/README.md says how much is shown, how much with a remark, and how much is not."""
        counts = Counter((bool(row["tests"]), bool(row["remark"])) for row in self.rows())
        shown, departed, missing = counts[True, False], counts[True, True], counts[False, True]
        words = f"{shown} are shown by tests, {departed} with a remark besides, {missing} have a remark only"
        assert words in " ".join((_TESTS / "rfc" / "README.md").read_text().split()), words


def known_tests() -> set[str]:
    """The names of all tests."""
    pattern = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
    return {name for path in _TESTS.rglob("test_*.py") for name in pattern.findall(path.read_text())}
