"""The figures of a daemon in a lab with ``metrics``, read over HTTP in its node, as Prometheus would."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException

from sojourn.lab.daemons import METRICS
from sojourn.lab.lab import Lab

_PATIENCE = 2.0
"""Seconds. A daemon that hangs has a kernel that takes connections."""


def gauge(lab: Lab, node: str, name: str) -> float | None:
    """The sum of a metric over its labels; None: nobody answers there, or it has no such metric."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=_PATIENCE) as answer:
            return str(answer.read().decode())

    try:
        page = lab.nodes[node].namespace.call(read)
    except (OSError, HTTPException):
        return None
    lines = [line.split() for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(words[-1]) for words in lines) if lines else None
