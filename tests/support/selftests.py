"""What a selftest of a daemon in a lab finds."""

from __future__ import annotations

import time

from sojourn.lab.lab import Lab

PATIENCE = 60.0


def troubles(lab: Lab, *nodes: str) -> list[str]:
    """What is wrong at these nodes, when nothing more changes; none: every way is in place, and nothing was left."""
    deadline = time.monotonic() + PATIENCE
    while (found := _look(lab, nodes)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _look(lab: Lab, nodes: tuple[str, ...]) -> list[str]:
    found = []
    for node in nodes:
        with lab.client(node) as client:
            rows = client.selftest()
        found += [f"{node}: {row}" for row in rows if row["result"] not in ("ok", "skipped")]
    return found


def checks(lab: Lab, node: str) -> list[tuple[str, str]]:
    """What is tested at a node, and with what result."""
    with lab.client(node) as client:
        return [(row["check"], row["result"]) for row in client.selftest()]
