"""Every file ``*.txt`` here is a scenario: what happens above the line ``----``, all that the engines do below.

`pytest tests/scenarios --update` writes the lower halves anew; review reads the difference. The language is in
`support.transcript`, and in `support.mip6_transcript` for Mobile IPv6.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.mip6_transcript import play_mip6
from support.transcript import play

_HERE = Path(__file__).parent
_LINE = "----\n"


@pytest.mark.parametrize("path", sorted(_HERE.rglob("*.txt")), ids=lambda path: str(path.relative_to(_HERE)))
def test_transcript(path: Path, request: pytest.FixtureRequest) -> None:
    script, _, expected = path.read_text().partition(_LINE)
    trace = play_mip6(script) if "\ndomain mip6" in script else play(script)
    if request.config.getoption("--update"):
        path.write_text(script + _LINE + trace)
    else:
        assert trace == expected
