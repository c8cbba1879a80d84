"""Routers with one defect each in what `fast` and `extended` have besides, as in `sim.mutants`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from sim.dmm import Dmm, Fast
from sim.mutants import Omits
from sim.pmip import Pmip
from sim.pmip_extras import EXTRAS
from sim.pmip_mutants import MagLetsNothingGo
from sojourn.core.effects import Effect, WithdrawQueue, WithdrawShortcut
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


class MaarForgetsToGiveUp(MobilityAnchorAccessRouter):
    """A node that was announced is expected for ever."""

    def _on_new_overdue(self, handover: Handover) -> None:
        pass


class MaarKeepsForwarding(MobilityAnchorAccessRouter):
    """A node that was announced and stayed gets no packets any more."""

    def _on_previous_overdue(self, handover: Handover) -> None:
        self._forget_handover(handover.node)


class MagForgetsToGiveUp(MobileAccessGateway):
    """A node that was announced is expected for ever."""

    def _on_new_overdue(self, handover: Handover) -> None:
        pass


class MagLeavesShortcuts(Omits, MobileAccessGateway):
    """Packets between two nodes take a shortcut to where one of them was."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawShortcut)


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
    for mutant in (MaarLeavesQueues, MaarForgetsToGiveUp, MaarKeepsForwarding)
} | {
    "MagForgetsToGiveUp": _with("handover", mag_engine=MagForgetsToGiveUp),
    "MagLeavesShortcuts": _with("localized", mag_engine=MagLeavesShortcuts),
    "MagLetsNothingGo": _with("renumbering", mag_engine=MagLetsNothingGo),
    "MagServesGuests": _with("guests", mag_engine=MagServesGuests),
    "LmaMixesInterfaces": _with("two_links", lma_engine=LmaMixesInterfaces),
    "LmaKeepsNetworks": _broken("delegation", "lma", "_take_back", _nothing),
    "MagKeepsNetworks": _broken("delegation", "mag", "removed", _nothing),
    "LmaKeepsOldPrefixes": _broken("renumbering", "lma", "_end", _nothing),
    "MagTunnelsElsewhere": _broken("user_plane", "mag", "uplink", _wrong_end),
    "MagExtendsNobody": _broken("bulk", "mag", "_extend", _nothing),
    "LmaLeavesFlows": _broken("two_links", "lma", "_leave", _nothing),
    "LmaPassesNothingBack": _broken("redirect", "lma", "on_message", _nothing),
}
"""Casts with one mutant among them, by its name."""
