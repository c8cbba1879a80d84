"""docs/extensions.md: its files can be used, and its commands are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sojourn.daemon.configuration import lma_configuration, mag_configuration, parse
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.mag import MobileAccessGateway

DOCUMENT = (Path(__file__).parents[2] / "docs/extensions.md").read_text()
FILES = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
COMMANDS = re.findall(r"\$ sojourn tell (\w+)", DOCUMENT)


def engine(text: str) -> LocalMobilityAnchor | MobileAccessGateway:
    """The role of a file, which has begun."""
    file = parse(text.encode(), "extensions.md").file
    role: LocalMobilityAnchor | MobileAccessGateway
    if file.lma is not None:
        role = LocalMobilityAnchor(lma_configuration(file.lma), 0)
    else:
        assert file.mag is not None
        role = MobileAccessGateway(mag_configuration(file.mag), 0)
    role.restore([], 0)
    return role


@pytest.mark.parametrize("text", FILES)
def test_a_file_of_the_page_makes_a_role(text: str) -> None:
    assert engine(text).show("peers", 0)


def test_the_files_have_the_extensions_of_the_table() -> None:
    lma, mag, _ = map(engine, FILES)
    assert len(lma.extensions) == 8
    assert len(mag.extensions) == 7


def test_commands_are_those_of_extensions() -> None:
    lma, mag, _ = map(engine, FILES)
    verbs = {verb for role in (lma, mag) for extension in role.extensions for verb in extension.verbs}
    assert set(COMMANDS) == verbs
