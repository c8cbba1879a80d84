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
    def beyond(self) -> float:
        """Median of what a handover takes beyond the formula, in ms: link, host, kernel, Python."""
        return median(lost - bound for lost, bound in zip(self.measured, self.expected, strict=True))


def load(path: Path) -> LabRun:
    """Read ``report.json``. Raises `LabReportError`."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise LabReportError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise LabReportError(f"{path}: no JSON: {error}; give the report.json of sojourn lab run soak") from None
    losses = list(_losses(document)) if isinstance(document, dict) else []
    if not losses:
        raise LabReportError(
            f"{path}: no handover with losses of an old flow in it; give the report.json of sojourn lab run soak or "
            "walk"
        )
    return LabRun(str(document.get("title", path.stem)), path, *zip(*losses, strict=True))


def _losses(document: dict[str, Any]) -> list[tuple[float, float]]:
    """(formula, measured) of every flow towards a host that moved away from the flow's anchor."""
    found = []
    for handover in document.get("handovers", ()):
        for loss in handover.get("losses", ()) if isinstance(handover, dict) else ():
            if loss.get("direction") == "down" and loss.get("bound_ms"):
                found.append((float(loss["bound_ms"]), float(loss["lost_ms"])))
    return found
