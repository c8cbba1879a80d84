"""Tests with real packets run in namespaces of their own, never on the machine itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _inside_the_sandbox() -> None:
    """Fails, and does not skip: a test that silently did not run is no test."""
    if not os.environ.get("SOJOURN_SANDBOX"):
        pytest.fail("run inside the sandbox: make test")


@pytest.fixture
def bed(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A network for one test, of the kind that its module names (`BED`)."""
    bed = request.module.BED()
    yield bed
    bed.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Any]:
    """Two access routers and a database in namespaces, whose daemons are not started yet."""
    from domain_of_daemons import domain

    with domain(tmp_path) as built:
        yield built
