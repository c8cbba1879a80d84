"""The documentation of scenarios, made from their model.

``python -m sojourn.sim.reference > docs/simulating.md`` writes it; a test compares.
"""

from __future__ import annotations

from typing import Any

from sojourn.files import reference
from sojourn.sim.scenario_model import LAYOUT

_HEAD = "TODO\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return reference.json_schema(LAYOUT, "sojourn scenario")


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD, reference.markdown(LAYOUT)])


if __name__ == "__main__":
    print(markdown(), end="")
