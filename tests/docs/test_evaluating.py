"""docs/evaluating.md has what a report refers to it for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.evaluation.formulas import FORMULAS
from sojourn.evaluation.tables import ROWS

DOCUMENT = (Path(__file__).parents[2] / "docs/evaluating.md").read_text()
WAITS = [(name, formula) for name, formula in FORMULAS if name.startswith("old session waits")]


@pytest.mark.parametrize(("quantity", "formula"), WAITS)
def test_each_way_has_the_formula_that_the_report_prints(quantity: str, formula: str) -> None:
    assert f"| {quantity.split(', ')[1]} | `{formula}`" in DOCUMENT


@pytest.mark.parametrize("row", [row.title for row in ROWS if not row.title.startswith(" ")])
def test_each_row_of_the_table_is_explained(row: str) -> None:
    words = row.removesuffix(", ms").removesuffix(" Mbit/s").lower()
    emphasized = " ".join(part for part in DOCUMENT.lower().split("**")[1::2])
    assert words in emphasized or words in ("kb/s of signalling",)
