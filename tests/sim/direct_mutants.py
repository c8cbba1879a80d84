"""Engines of direct mode with one defect each, which the simulation has to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.direct import Direct
from sojourn.engines.maar_direct import DirectAccessRouter
from sojourn.engines.maar_session import Session
from sojourn.wire import BindingUpdate, PreviousMaar
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.mobility import MobilityOption


class TakesAnyClaim(DirectAccessRouter):
    """Timestamps are not compared: the last message wins, not the last attachment."""

    def _on_served_elsewhere(self, request: Any, update: BindingUpdate) -> None:
        session = self.sessions.get(request.node)
        if session is not None:
            request.timestamp = max(request.timestamp, session.attached + 1)
        super()._on_served_elsewhere(request, update)


class NeverRefreshes(DirectAccessRouter):
    """Anchors hear nothing of a node that stays."""

    def _refresh(self, session: Session) -> None:
        pass


class ServesWhatItHeardOf(DirectAccessRouter):
    """What a router says that another one anchors is served without asking that."""

    def _learn_previous(self, session: Session, options: Any) -> None:
        options = list(options)
        super()._learn_previous(session, options)
        for option in options:
            if isinstance(option, PreviousMaar) and option.prefix.length == 64:
                self._add_foreign(session, option.prefix, option.maar)


class HandsNothingOver(DirectAccessRouter):
    """Who served a node does not say whose prefixes it has."""

    def _known_elsewhere(self, session: Session, serving: Address) -> tuple[MobilityOption, ...]:
        return ()


class DropsWithoutAWord(DirectAccessRouter):
    """A prefix that cannot be served is not given back to its anchor."""

    def _say_over(self, session: Session, prefix: Prefix, whom: Address) -> None:
        pass


class KeepsAllPrefixes(DirectAccessRouter):
    """A node may collect as many prefixes as it likes."""

    def _limit(self, session: Session) -> None:
        pass


class RemembersRequests(DirectAccessRouter):
    """A table grows: what was answered stays noted."""

    def _closed(self, key: Any) -> None:
        pass


DIRECT_MUTANTS: Mapping[str, Callable[[int], Direct]] = {
    f"Direct{mutant.__name__}": (lambda seed, mutant=mutant: Direct(seed, maar_engine=mutant))  # type: ignore[misc]
    for mutant in (
        TakesAnyClaim,
        NeverRefreshes,
        ServesWhatItHeardOf,
        HandsNothingOver,
        DropsWithoutAWord,
        KeepsAllPrefixes,
        RemembersRequests,
    )
}
"""Casts with one mutant among them, by its name."""
