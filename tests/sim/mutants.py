"""Engines with one defect each: what the simulation has to find, or its checkers are blind.

Each is the real engine with a few lines replaced, as a tired programmer might have left them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.dmm import Dmm
from sojourn.core.effects import DeleteBinding, Effect, EnsureUplink, StoreBinding, WithdrawPrefix
from sojourn.core.events import EffectFailed, Event, NodeDetached, TrafficCounted
from sojourn.engines.base import OutboxEngine
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_session import Presence, Session
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.wire import BindingUpdate, Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant


class Omits(OutboxEngine):
    """Does not ask for some effects. To be mixed into a role."""

    def omits(self, effect: Effect) -> bool:
        raise NotImplementedError

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        return [effect for effect in super().handle(event, now) if not self.omits(effect)]

    def expire(self, now: Instant) -> list[Effect]:
        return [effect for effect in super().expire(now) if not self.omits(effect)]

    def restore(self, records: Any, now: Instant) -> list[Effect]:
        return [effect for effect in super().restore(records, now) if not self.omits(effect)]  # type: ignore[misc]


class ForgetsARoute(Omits, MobilityAnchorAccessRouter):
    """Prefixes of others stay in the routing table."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawPrefix) and not self.pool.owns(effect.prefix)


class KnowsNoWayBack(Omits, MobilityAnchorAccessRouter):
    """What nodes send from prefixes of others leaves here, and not at the anchor."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, EnsureUplink) and effect.anchor is not None


class RetiresInVain(MobilityAnchorAccessRouter):
    """What the CMD said is over is kept."""

    def _on_retirement_answered(self, session: Session, prefix: Prefix, status: int) -> None:
        pass


class LeaksASlot(MobilityAnchorAccessRouter):
    """The number of a removed node is never used again."""

    def _remove(self, session: Session) -> None:
        super()._remove(session)
        self._slots.take()


class LeaksAPrefix(MobilityAnchorAccessRouter):
    """The pool does not get a prefix back from a node that the CMD refused or that left."""

    def _remove_own(self, session: Session) -> None:
        own = session.own
        super()._remove_own(session)
        if own is not None:
            self.pool.claim(own)


class NeverProbes(MobilityAnchorAccessRouter):
    """A node that left without a word is served for ever."""

    def _probe(self, session: Session) -> None:
        session.seen = self._now
        self._after(SECOND, "refresh", session.node)


class DetachesAtOnce(MobilityAnchorAccessRouter):
    """A node that left is de-registered immediately (RFC 8885 3.5 says not to)."""

    def _on_node_detached(self, event: NodeDetached) -> None:
        super()._on_node_detached(event)
        for session in self.sessions.values():
            if session.presence is Presence.DEPARTED and session.link_layer == event.link_layer:
                self._deregister(session)


class RetiresWhatIsUsed(MobilityAnchorAccessRouter):
    """The counters are not looked at: a prefix retires after the time, used or not."""

    def _on_traffic_counted(self, event: TrafficCounted) -> None:
        super()._on_traffic_counted(TrafficCounted({}))


class NeverRetires(MobilityAnchorAccessRouter):
    """Old prefixes are kept although nobody uses them."""

    def _ask_to_retire(self, session: Session, prefix: Prefix) -> None:
        pass


class NeverRepairs(MobilityAnchorAccessRouter):
    """What the kernel refused is not tried again."""

    def _on_effect_failed(self, event: EffectFailed) -> None:
        self._report("effect-failed")


class NeverStores(Omits, MobilityAnchorAccessRouter):
    """Nothing survives a restart."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, StoreBinding | DeleteBinding)


class IgnoresMoves(MobilityAnchorAccessRouter):
    """A later notice does not move the tunnel of a node that is away already."""

    def _give_up(self, session: Session, serving: Address, attached: int, lifetime: Duration) -> None:
        if session.presence is not Presence.AWAY:
            super()._give_up(session, serving, attached, lifetime)


class IgnoresItsClock(MobilityAnchorAccessRouter):
    """What the CMD says of the time is not heeded."""

    def _correct_clock(self, answer: Any, way: int = 0) -> bool:
        return False


class PassesOnForEver(MobilityAnchorAccessRouter):
    """Packets for prefixes of others are passed on without an end."""

    def _on_grace_over(self, session: Session) -> None:
        pass


class NeverRepeats(MobilityAnchorAccessRouter):
    """A request that is not answered is not sent again."""

    def _on_request_due(self, key: Any) -> None:
        self._requests.cancel(key)


class TakesAnyAttachment(CentralMobilityDatabase):
    """Timestamps are not compared: the last message wins, not the last attachment."""

    def _register(self, request: Any, update: BindingUpdate, maar: Any) -> None:
        entry = self.entries.get(request.node)
        if entry is not None and request.source != entry.serving:
            self._hand_over(entry, request, update, self._own_prefixes(request, maar))
        else:
            super()._register(request, update, maar)


class TellsNobody(CentralMobilityDatabase):
    """Previous MAARs do not learn where the node is."""

    def _tell_moved(self, entry: BindingCacheEntry, maar: Address, *rest: Any, **more: Any) -> None:
        if entry.handover is not None:
            entry.handover.waiting.discard(maar)


class HasNoCap(CentralMobilityDatabase):
    """A node may collect as many prefixes as it likes."""

    def _limit(self, entry: BindingCacheEntry) -> list[tuple[Prefix, Address]]:
        return []


class GivesUpTheUntold(CentralMobilityDatabase):
    """A MAAR that did not answer is never told again: neither unasked, nor when it shows that it does not know."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._given_up: set[tuple[bytes, Address]] = set()

    def _doubt(self, entry: BindingCacheEntry, maar: Address) -> None:
        pass

    def _confirmed(self, entry: BindingCacheEntry, maar: Address, *, answered: bool) -> None:
        if not answered:
            self._given_up.add((entry.node, maar))
        super()._confirmed(entry, maar, answered=answered)

    def _tell_again(self, entry: BindingCacheEntry, maar: Address) -> None:
        if (entry.node, maar) not in self._given_up:
            super()._tell_again(entry, maar)


class SharesPrefixes(CentralMobilityDatabase):
    """Two nodes may have the same prefix."""

    def _own_prefixes(self, request: Any, maar: Any) -> list[Prefix]:
        for prefix in request.home_network_prefixes:
            if self._owners.get(prefix, request.node) != request.node:
                del self._owners[prefix]
        return super()._own_prefixes(request, maar)


class HurriesTooMuch(CentralMobilityDatabase):
    """Updates about one node are not spaced (MAX_UPDATE_RATE)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._requests._allowed = lambda request, earlier, now: now  # type: ignore[method-assign]


class ForgetsOwners(CentralMobilityDatabase):
    """A table grows: prefixes of nodes that are gone stay noted."""

    def _forget(self, entry: BindingCacheEntry) -> None:
        owners = dict(self._owners)
        super()._forget(entry)
        self._owners = owners


class RefusesWithoutAWord(CentralMobilityDatabase):
    """A late registration is dropped instead of refused."""

    def _refuse(self, update: BindingUpdate, source: Address, refused: Any) -> None:
        if refused.status != Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED:
            super()._refuse(update, source, refused)


MUTANTS: Mapping[str, Callable[[int], Dmm]] = {
    mutant.__name__: (lambda seed, mutant=mutant: Dmm(seed, maar_engine=mutant))  # type: ignore[misc]
    for mutant in (
        ForgetsARoute,
        KnowsNoWayBack,
        RetiresInVain,
        LeaksASlot,
        LeaksAPrefix,
        NeverProbes,
        DetachesAtOnce,
        RetiresWhatIsUsed,
        NeverRetires,
        NeverRepairs,
        NeverStores,
        IgnoresMoves,
        IgnoresItsClock,
        PassesOnForEver,
        NeverRepeats,
    )
} | {
    mutant.__name__: (lambda seed, mutant=mutant: Dmm(seed, cmd_engine=mutant))  # type: ignore[misc]
    for mutant in (
        TakesAnyAttachment,
        TellsNobody,
        HasNoCap,
        GivesUpTheUntold,
        SharesPrefixes,
        HurriesTooMuch,
        ForgetsOwners,
        RefusesWithoutAWord,
    )
}
"""Casts with one mutant among them, by its name."""
