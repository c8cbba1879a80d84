"""Tests with real packets run in namespaces of their own, never on the machine itself."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _inside_the_sandbox() -> None:
    """Fails, and does not skip: a test that silently did not run is no test."""
    if not os.environ.get("SOJOURN_SANDBOX"):
        pytest.fail("run inside the sandbox: make test")
