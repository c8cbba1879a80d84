"""docs/ways.md: its files can be used, its commands are those that there are, and its labs can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_extensions_page import engine

from sojourn.lab.registry import scenarios

DOCUMENT = (Path(__file__).parents[2] / "docs/ways.md").read_text()
FILES = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
COMMANDS = re.findall(r"\$ sojourn tell ([\w-]+)", DOCUMENT)
ROWS = [line.split("|") for line in DOCUMENT.splitlines() if re.match(r"\| \d{4} ", line)]


@pytest.mark.parametrize("text", FILES)
def test_a_file_of_the_page_makes_a_role_with_all_of_them(text: str) -> None:
    assert len(engine(text).extensions) == len(ROWS)


def test_commands_are_those_of_extensions() -> None:
    verbs = {verb for text in FILES for extension in engine(text).extensions for verb in extension.verbs}
    assert set(COMMANDS) == verbs
    assert verbs == {verb for row in ROWS for verb in re.findall(r"`([\w-]+)`", row[4])}


def test_labs_can_be_run() -> None:
    assert {row[5].strip(" `") for row in ROWS} <= scenarios().keys()
