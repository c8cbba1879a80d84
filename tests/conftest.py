"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update` writes the traces of tests/scenarios anew; `--seeds` takes more random walks."""
    parser.addoption("--update", action="store_true", help="rewrite the expected traces of tests/scenarios")
    parser.addoption("--seeds", type=int, default=200, help="random walks of tests/scenarios/test_random_walk.py")
