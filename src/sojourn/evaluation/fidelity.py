"""What the lab measured with real packets, beside the formulas that the simulator keeps.

It is read from the ``report.json`` of a walk or a soak.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


class LabReportError(ValueError):
    """The file is no report of the lab; the sentence says why."""


@dataclass(frozen=True, slots=True)
class LabRun:
    """One run of the lab."""

    title: str
    file: Path
    expected: Sequence[float]
    """ms, one for each old flow and handover: the latency row of the mode, which the simulated engines keep exactly,
    and the outage of the air where the run asked for one."""
    measured: Sequence[float]
    """ms that the flow lost."""

    @property
    def difference(self) -> float:
        """Median of what a handover loses more than the formula says, in ms: link, host, kernel, Python.

        It can be less: packets are lost until their anchor tunnels, and that is some time before the first one arrives.
        """
        return median(lost - bound for lost, bound in zip(self.measured, self.expected, strict=True))

    @property
    def beyond(self) -> float:
        """The same, where it is more."""
        return max(0.0, self.difference)


def load(path: Path) -> LabRun:
    """Read ``report.json``. Raises `LabReportError`."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise LabReportError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise LabReportError(f"{path}: no JSON: {error}; give the report.json of sojourn lab run soak") from None
    losses = _losses(document) if isinstance(document, dict) else []
    if not losses:
        raise LabReportError(
            f"{path}: no handover with losses of an old flow in it; give the report.json of sojourn lab run soak or "
            "walk"
        )
    return LabRun(str(document.get("title", path.stem)), path, *zip(*losses, strict=True))


def _losses(document: dict[str, Any]) -> list[tuple[float, float]]:
    """(formula, measured) of flows to a host that moved away from their anchor.

    Only of the fastest: a flow of 20 packets a second cannot tell 10 ms from 40.
    """
    found = []
    for handover in document.get("handovers", ()):
        for loss in handover.get("losses", ()) if isinstance(handover, dict) else ():
            if loss.get("direction") == "down" and loss.get("bound_ms"):
                found.append((float(loss["rate"]), float(loss["bound_ms"]), float(loss["lost_ms"])))
    fastest = max((rate for rate, _, _ in found), default=0.0)
    return [(bound, lost) for rate, bound, lost in found if rate > fastest / 2]
