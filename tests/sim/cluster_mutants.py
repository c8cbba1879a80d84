"""CMDs of a cluster with one defect each, as in `sim.mutants`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sim.cluster import Cluster
from sim.mutants import Omits
from sojourn.core.effects import CheckBinding, Effect
from sojourn.engines.mobility_database import CentralMobilityDatabase


class AnswersUnstored(CentralMobilityDatabase):
    """A handover is stored with the next refresh."""

    def _notify(self, entry, update, targets):  # type: ignore[no-untyped-def]
        self.stores, before = False, self.stores
        super()._notify(entry, update, targets)
        self.stores = before


class ChecksNothing(Omits, CentralMobilityDatabase):
    """What is refused or told without a change is made of what may be old."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, CheckBinding)


CLUSTER_MUTANTS: Mapping[str, Callable[[int], Cluster]] = {
    mutant.__name__: (lambda seed, mutant=mutant: Cluster(seed, cmd_engine=mutant))  # type: ignore[misc]
    for mutant in (AnswersUnstored, ChecksNothing)
}
"""Casts with one mutant among them, by its name."""
