"""The reference page is current, and the examples of the guide do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sojourn.wire import reference

ROOT = Path(__file__).parent.parent.parent


def test_the_reference_page_is_current() -> None:
    page = ROOT / "docs" / "reference" / "wire.md"
    assert page.read_text() == reference.markdown(), "python -m sojourn.wire.reference > docs/reference/wire.md"


def test_the_reference_page_has_every_declaration_and_what_its_fields_say() -> None:
    page = reference.markdown()
    assert page.count("\n### ") > 180
    for entry in ("### 58 QualityOfService", "### 154 ProxyRouterAdvertisement", "### 5 TargetCareOfAddress"):
        assert entry in page
    assert "The prefix must not be advertised as on-link (RFC 7864 4.1)." in page


def test_the_examples_of_the_guide() -> None:
    """In a process of its own: one of them declares an option."""
    program = "import doctest, sys; sys.exit(doctest.testfile(sys.argv[1], module_relative=False).failed)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "docs" / "wire.md")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def test_the_import_of_the_package_leaves_the_rest_for_later() -> None:
    """What takes time is the number of modules and of classes made; `make bench` has the milliseconds."""
    program = (
        "import sys; before = set(sys.modules); import sojourn.wire; new = set(sys.modules) - before;"
        "print(sum('extensions.rfc' in name for name in new), len(new),"
        " {'asyncio', 'socket', 'ssl', 'subprocess', 'unittest', 'pydantic', 'msgspec'} & new)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout
    rare, modules, heavy = out.split(maxsplit=2)
    assert int(rare) == 0
    assert int(modules) < 80
    assert heavy.strip() == "set()"


def test_every_name_of_the_package_can_be_asked_for() -> None:
    program = (
        "from sojourn import wire; print(wire.FlowIdentification.number, wire.HandoverInitiate.number,"
        " wire.Tolerance.MALFORMED_OPTION.name, hasattr(wire, 'Nonsense'))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout
    assert out.split() == ["45", "14", "MALFORMED_OPTION", "False"]
