"""Routers with one defect each in what `fast` and `extended` have besides, as in `sim.mutants`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from sim.dmm import Dmm, Fast
from sim.mutants import Omits
from sim.pmip import Pmip
from sim.pmip_extras import EXTRAS
from sojourn.core.effects import Effect, EnsureFlowToNode, WithdrawQueue, WithdrawShortcut
from sojourn.engines.handover import Handover
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire.addresses import Address


class MaarLeavesQueues(Omits, MobilityAnchorAccessRouter):
    """What other routers forward waits apart for ever."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawQueue)


class MaarNeverOpensQueues(Omits, MobilityAnchorAccessRouter):
    """What was forwarded stays in its queue."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, EnsureFlowToNode)


class MaarForgetsToGiveUp(MobilityAnchorAccessRouter):
    """A node that was announced is expected for ever."""

    def _on_new_overdue(self, handover: Handover) -> None:
        pass


class MaarKeepsForwarding(MobilityAnchorAccessRouter):
    """A node that was announced and stayed gets no packets any more."""

    def _on_previous_overdue(self, handover: Handover) -> None:
        self._forget_handover(handover.node)


class MagGivesContextToAnybody(MobileAccessGateway):
    """A node that is here is handed over to whoever asks, however late."""

    def _latest_here(self, session: BindingUpdateListEntry) -> int:
        return 0


class MagForgetsToGiveUp(MobileAccessGateway):
    """A node that was announced is expected for ever."""

    def _on_new_overdue(self, handover: Handover) -> None:
        pass


class MagLeavesShortcuts(Omits, MobileAccessGateway):
    """Packets between two nodes take a shortcut to where one of them was."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawShortcut)


class MagDoesNotVacate(MobileAccessGateway):
    """Who was on a link for one node stays there."""

    def _vacate(self, newcomer: BindingUpdateListEntry) -> None:
        pass


class MagServesGuests(MobileAccessGateway):
    """The prefix of a guest is not given back."""

    def _remove_prefixes(self, session: BindingUpdateListEntry) -> None:
        session.visitor = None
        super()._remove_prefixes(session)


class LmaMixesInterfaces(LocalMobilityAnchor):
    """A second interface of a node gets the session of the first."""

    def _associate(self, request: HomeRequest, profile: Any, entry: BindingCacheEntry | None, doubtful: bool) -> None:
        others = self.cache.of(request.node)
        super()._associate(request, profile, entry or (others[0] if others and request.lifetime else None), False)


def _broken(name: str, side: str, attribute: str, replacement: Any) -> Callable[[int], Pmip]:
    """`extended` with an extension of which one method is another."""

    def breaks(engine: Any) -> Any:
        for one in engine.extensions:
            if hasattr(one, attribute):
                setattr(one, attribute, replacement(one))
        return engine

    def cast(seed: int) -> Pmip:
        extras = {name: EXTRAS[name](random.Random(f"{name} {seed}"))}
        if side == "lma":
            return Pmip(seed, lma_engine=lambda c, e: breaks(LocalMobilityAnchor(c, e)), extras=extras)
        return Pmip(seed, mag_engine=lambda c, e: breaks(MobileAccessGateway(c, e)), extras=extras)

    return cast


def _with(extra: str, **engines: Any) -> Callable[[int], Pmip]:
    """`extended` with that extra, and a mutant."""
    return lambda seed: Pmip(seed, extras={extra: EXTRAS[extra](random.Random(f"{extra} {seed}"))}, **engines)


def _nothing(one: Any) -> Callable[..., None]:
    return lambda *arguments: None


def _wrong_end(one: Any) -> Callable[[BindingUpdateListEntry], Address]:
    return lambda session: bytes(16)


EXTRA_MUTANTS: Mapping[str, Callable[[int], Dmm | Pmip]] = {
    mutant.__name__: (lambda seed, mutant=mutant: Fast(seed, maar_engine=mutant))  # type: ignore[misc]
    for mutant in (MaarLeavesQueues, MaarNeverOpensQueues, MaarForgetsToGiveUp, MaarKeepsForwarding)
} | {
    "MagGivesContextToAnybody": _with("handover", mag_engine=MagGivesContextToAnybody),
    "MagForgetsToGiveUp": _with("handover", mag_engine=MagForgetsToGiveUp),
    "MagLeavesShortcuts": _with("localized", mag_engine=MagLeavesShortcuts),
    "MagDoesNotVacate": _with("dedicated", mag_engine=MagDoesNotVacate),
    "MagServesGuests": _with("guests", mag_engine=MagServesGuests),
    "LmaMixesInterfaces": _with("two_links", lma_engine=LmaMixesInterfaces),
    "LmaKeepsNetworks": _broken("delegation", "lma", "_take_back", _nothing),
    "MagKeepsNetworks": _broken("delegation", "mag", "removed", _nothing),
    "LmaKeepsOldPrefixes": _broken("renumbering", "lma", "_end", _nothing),
    "LmaForgetsPaths": _broken("multipath", "lma", "removed", _nothing),
    "MagTunnelsElsewhere": _broken("user_plane", "mag", "uplink", _wrong_end),
    "LmaRevokesForEver": _broken("revocation", "lma", "_give_up", _nothing),
    "MagExtendsNobody": _broken("bulk", "mag", "_extend", _nothing),
    "LmaStaysTransient": _broken("transient", "lma", "on_timer", _nothing),
    "LmaLeavesFlows": _broken("two_links", "lma", "_leave", _nothing),
    "LmaPassesNothingBack": _broken("redirect", "lma", "on_message", _nothing),
}
"""Casts with one mutant among them, by its name."""
