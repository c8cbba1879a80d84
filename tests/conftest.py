"""Options of the test run."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

if "SOJOURN_KERNEL" not in os.environ:  # where the file system can be written to
    # Whatever the environment says: else every test process, every daemon and every command that a test starts compiles
    # all that it imports again, which is most of its time.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update` writes the traces of tests/scenarios anew; `--seeds` takes more episodes of tests/sim."""
    parser.addoption("--update", action="store_true", help="rewrite the expected traces of tests/scenarios")
    parser.addoption("--seeds", type=int, default=20, help="episodes of the fault simulation, tests/sim")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that may take long come first: at the end of a run nobody waits for one of them."""

    def patience(item: pytest.Item) -> int:
        marker = item.get_closest_marker("timeout")
        return marker.args[0] if marker is not None else 0

    items.sort(key=patience, reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing skips silently: a tool that is missing there is a failure."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
