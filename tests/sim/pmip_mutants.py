"""LMAs and MAGs with one defect each, as in `sim.mutants`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.mutants import Omits
from sim.pmip import Pmip
from sojourn.core.effects import DeleteBinding, Effect, EnsureUplink, StoreBinding
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import SECOND


class LmaComparesNoTime(LocalMobilityAnchor):
    """The last message wins, not the last registration."""

    def _check_time(self, request: Any) -> None:
        pass


class LmaKeepsTheTunnel(LocalMobilityAnchor):
    """A session that goes on at another MAG keeps the way that it had."""

    def _extend(self, entry: BindingCacheEntry, request: Any, profile: Any) -> None:
        moved = entry.source != request.source
        if moved:
            self._forward = lambda entry: None  # type: ignore[method-assign]
        super()._extend(entry, request, profile)
        if moved:
            del self._forward


class LmaDeletesAtOnce(LocalMobilityAnchor):
    """A de-registered session does not wait for the node to turn up elsewhere."""

    def _deregister(self, request: Any, entry: BindingCacheEntry | None) -> None:
        super()._deregister(request, entry)
        if entry is not None and entry.waiting:
            self._remove(entry)


class LmaHeedsEveryFarewell(LocalMobilityAnchor):
    """Any MAG may end a session, also one that the node left long ago."""

    def _deregister(self, request: Any, entry: BindingCacheEntry | None) -> None:
        if entry is not None:
            request.gateway = entry.gateway
        super()._deregister(request, entry)


class LmaGivesTwice(LocalMobilityAnchor):
    """Two nodes get the same prefix."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        pool = self.configuration.pools[0]
        self.prefixes._allocate = lambda now, owner=b"": pool.subnet(7, 64)  # type: ignore[method-assign]


class LmaLeaksPrefixes(LocalMobilityAnchor):
    """What a session had is never given out again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.prefixes.release = lambda prefixes, now, **how: None  # type: ignore[method-assign]


class LmaNeverStores(Omits, LocalMobilityAnchor):
    """Nothing survives a restart."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, StoreBinding | DeleteBinding)


class LmaNeverRepairs(LocalMobilityAnchor):
    """What the kernel refused is not tried again."""

    def _mend(self, entry: BindingCacheEntry | None) -> None:
        pass


class LmaChangesPrefixes(LocalMobilityAnchor):
    """A node that comes to another MAG begins anew."""

    def _extend(self, entry: BindingCacheEntry, request: Any, profile: Any) -> None:
        if entry.source == request.source:
            super()._extend(entry, request, profile)
            return
        self._remove(entry)
        for pool in self.prefixes._all:
            pool._had.clear()
        request.any_prefix = True
        self._open(request, profile)


class MagKnowsNoWayBack(Omits, MobileAccessGateway):
    """What nodes send leaves here, and not at the LMA."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, EnsureUplink)


class MagNeverProbes(MobileAccessGateway):
    """A node that left without a word is served for ever."""

    def _probe(self, session: BindingUpdateListEntry) -> None:
        session.seen = self._now
        self._after(SECOND, "refresh", session.node)


class MagNeverRepeats(MobileAccessGateway):
    """A request that is not answered is not sent again."""

    def _on_request_due(self, key: Any) -> None:
        self._requests.cancel(key)


class MagLetsNothingGo(MobileAccessGateway):
    """Prefixes that the LMA does not list any more are still delivered."""

    def _let_go_of_home(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        pass


class MagIgnoresItsClock(MobileAccessGateway):
    """What the LMA says of the time is not heeded."""

    def _correct_clock(self, answer: Any, way: int = 0) -> bool:
        return False


class MagLeaksASlot(MobileAccessGateway):
    """The number of a removed node is never used again."""

    def _remove(self, session: BindingUpdateListEntry) -> None:
        super()._remove(session)
        self._slots.take()


PMIP_MUTANTS: Mapping[str, Callable[[int], Pmip]] = {
    mutant.__name__: (lambda seed, mutant=mutant: Pmip(seed, lma_engine=mutant))  # type: ignore[misc]
    for mutant in (
        LmaComparesNoTime,
        LmaKeepsTheTunnel,
        LmaDeletesAtOnce,
        LmaHeedsEveryFarewell,
        LmaGivesTwice,
        LmaLeaksPrefixes,
        LmaNeverStores,
        LmaNeverRepairs,
        LmaChangesPrefixes,
    )
} | {
    mutant.__name__: (lambda seed, mutant=mutant: Pmip(seed, mag_engine=mutant))  # type: ignore[misc]
    for mutant in (
        MagKnowsNoWayBack,
        MagNeverProbes,
        MagNeverRepeats,
        MagIgnoresItsClock,
        MagLeaksASlot,
    )
}
"""Casts with one mutant among them, by its name."""
