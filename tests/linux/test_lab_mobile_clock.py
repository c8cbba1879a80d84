"""A mobile node comes home with a wrong clock: its home agent says what time it is, and it has to hear that."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.topology import star
from sojourn.wire.units import HOUR
from support.stars import OPTIMISTIC, mobile

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

TOPOLOGY = star("clock", {"home": "ha", "f1": "plain", "mn": mobile("f1")}, ha=OPTIMISTIC)


@pytest.mark.parametrize("wrong", [HOUR, -HOUR])
def test_a_node_with_a_wrong_clock_comes_home(wrong: int, tmp_path: Path) -> None:
    """Its de-registration is refused (status 144, RFC 4285 6) while there still is a tunnel to where it was."""

    def until(what: str, question: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not question():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    with Lab(TOPOLOGY, tmp_path, clocks=True) as lab:

        def rows(node: str) -> list[dict[str, Any]]:
            with lab.client(node) as client:
                return client.show("bindings", plain=True)

        before = lab.state("home")
        until("it is registered", lambda: bool(rows("mn")[0]["registered"]))
        lab.daemon("mn").set_clock(wrong)
        events = lab.daemon("mn").events
        until("it notices", lambda: "ClockStepped" in events.read_text())
        lab.air.roam("mn", "home", outage=0.02, carrier=True)
        until("it is at home", lambda: rows("mn")[0]["place"] == "home")
        assert "status=144" in lab.daemon("home").log.read_text()
        addresses = [one.address for one in host_addresses(lab.nodes["mn"].namespace)]
        assert lab.topology.address("mn") in addresses
        assert [row for row in rows("home") if row["state"] == "active"] == []
        # It may have been registered before we looked the first time: what is gone since is as good as what never was.
        left = [line for line in lab.state("home").difference(before) if line.startswith("+") and " table 54 " in line]
        assert [line for line in left if " protocol 140 " in line] == []
