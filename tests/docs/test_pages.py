"""What pages name is there, tables are whole, and test files do not hide each other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def named(page: Path) -> list[str]:
    """Files of the repository, from its root."""
    return re.findall(r"`((?:tests|bench|packaging|examples|fuzz|contrib|src)/[\w./-]+)`", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert [name for name in named(page) if not (ROOT / name).exists()] == []


def test_pages_name_files() -> None:
    assert "bench/restart.py" in named(ROOT / "docs" / "operations.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_row_stands_outside_its_table(page: Path) -> None:
    """A blank line ends a table; what follows would be shown as text."""
    lines = page.read_text().splitlines()
    starts = [
        number for number, line in enumerate(lines) if line.startswith("| ") and not lines[number - 1].startswith("|")
    ]
    assert [lines[number] for number in starts if not re.fullmatch(r"\|[ :|-]+\|", lines[number + 1])] == []


def test_no_two_test_files_have_one_name() -> None:
    """Python would take one for the other, and pytest stops before the first test."""
    found = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in found.items() if count > 1] == []
