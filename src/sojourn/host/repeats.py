"""Reports that anybody can cause at will, told a few times in full and then as a count.

A flood of refusals would fill the log, the recording and the list of recent events, and making the lines would cost
more than the refusals do. Counters count every single one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.core.effects import Report
from sojourn.wire.units import SECOND, Instant

REPEATED = frozenset(
    {"node-refused", "update-refused", "message-unexpected", "acknowledgement-unexpected"}
    | {"group-refused", "group-delayed", "group-joined", "group-left"}
)
"""Names of reports that a node or a peer can cause as often as it likes."""
FULL = 10
"""Of each name in a row, before only their number is told."""
INTERVAL = 1 * SECOND
"""Between two numbers; after one without any, they are told in full again."""


@dataclass(slots=True)
class _Row:
    since: Instant
    told: int = 0
    kept: int = 0


class Repeats:
    """Sorts out what is told in full."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def take(self, report: Report, now: Instant) -> list[Report]:
        """What to tell now that `report` came: nothing, itself, or how many of its name there were, and itself."""
        if report.name not in REPEATED:
            return [report]
        row = self._rows.get(report.name)
        if row is None:
            row = self._rows[report.name] = _Row(now)
        told = self._summary(report.name, row, now)
        if row.told < FULL:
            row.told += 1
            told.append(report)
        else:
            row.kept += 1
        return told

    def due(self, now: Instant, at_last: bool = False) -> list[Report]:
        """The numbers that nobody was told yet, of intervals that are over; `at_last`: of all."""
        waiting = [(name, row) for name, row in self._rows.items() if row.kept]
        return [report for name, row in waiting for report in self._summary(name, row, now, at_last)]

    def _summary(self, name: str, row: _Row, now: Instant, at_last: bool = False) -> list[Report]:
        if now - row.since < INTERVAL and not at_last:
            return []
        kept, row.kept, row.since = row.kept, 0, now
        if kept:
            return [Report(name, {"repeated": kept})]
        row.told = 0
        return []
