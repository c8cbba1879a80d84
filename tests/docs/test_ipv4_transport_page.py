"""docs/ipv4-transport.md: its files can be used, together, and its lab can be run."""

from __future__ import annotations

import re
from pathlib import Path

from sojourn.daemon.configuration import lma_configuration, mag_configuration, parse
from sojourn.lab.registry import scenarios

DOCUMENT = (Path(__file__).parents[2] / "docs/ipv4-transport.md").read_text()


def test_the_two_files_are_of_one_domain() -> None:
    mag_text, lma_text = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    mag, lma = parse(mag_text.encode(), "mag1.toml").file.mag, parse(lma_text.encode(), "lma.toml").file.lma
    assert mag is not None
    assert lma is not None
    gateway, anchor = mag_configuration(mag), lma_configuration(lma)
    assert gateway.ipv4_transport is not None
    assert anchor.ipv4_transport is not None
    assert gateway.lma == anchor.address
    assert gateway.ipv4_transport.lma == anchor.ipv4_transport.address
    known = {one.address: one.ipv4 for one in anchor.ipv4_transport.gateways}
    assert known[gateway.address] == gateway.ipv4_transport.address


def test_the_lab_can_be_run() -> None:
    assert set(re.findall(r"sojourn lab run ([\w-]+)", DOCUMENT)) <= scenarios().keys()
