"""Prefixes of a dead anchor that nobody uses any more: its partner sees that, as the anchor would (design decision 1).

While it holds the pool, packets *from* such prefixes come by here, so they are counted here. One that saw none for
`idle_hold` is over: the router that serves the node is told, as the CMD tells an anchor (a Proxy Binding Update of
lifetime 0 with the Anchored Prefix option). It tells the node, and the CMD, which tells the anchor when that is back.
IPv4 addresses and delegated prefixes do not end by silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import CountTraffic, EnsureCounter, WithdrawCounter
from sojourn.core.events import TrafficCounted
from sojourn.engines.maar_missed import MissedProcedures
from sojourn.engines.maar_session import DEPARTED, SERVED, Session
from sojourn.engines.registration import (
    HANDOFFS,
    PROXY_DMM,
    REFUSING,
    Refused,
    Registration,
    identifier_option,
)
from sojourn.engines.stand_in import HOLDING, READY, StandIn, Survival
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix


class HeldProcedures(MissedProcedures):
    """The partner as the one that sees what is idle, and the serving router as the one that is told."""

    # --- the partner --------------------------------------------------------------------------------------------------

    def _take_over(self, stand: StandIn) -> None:
        super()._take_over(stand)
        self._watch()

    def _assert_stand_in(self, stand: StandIn) -> None:
        super()._assert_stand_in(stand)
        for session in self._at(stand.anchor):
            for prefix in session.anchored:
                self._count_here(session, prefix, stand)

    def _retiring(self, session: Session, stand: StandIn) -> list[Prefix]:
        """What the node has here of a pool that we hold, as far as it may fall idle."""
        if stand.phase is not HOLDING:
            return []
        return [
            prefix
            for prefix, anchor in session.anchored.items()
            if anchor == stand.anchor and self._is_autoconfigured(session, prefix)
        ]

    def _count_here(self, session: Session, prefix: Prefix, stand: StandIn) -> None:
        """It is served here: we are its anchor's partner, so it is ours to see whether it is used."""
        if prefix in self._retiring(session, stand):
            self._do(EnsureCounter(prefix))
            stand.used.setdefault(prefix, (0, self._now))

    def _on_poll(self) -> None:
        super()._on_poll()
        survival = self.survival
        if ("poll", None) in self._timers or survival is None:
            return
        if any(stand.phase is HOLDING for stand in survival.standing.values()):
            self._do(CountTraffic())
            self._watch()

    def _look_at_held(self, event: TrafficCounted, survival: Survival) -> None:
        for stand in survival.standing.values():
            if stand.phase is HOLDING:
                self._look_for_idle(stand, event)

    def _look_for_idle(self, stand: StandIn, event: TrafficCounted) -> None:
        here = {
            prefix: session
            for session in self._at(stand.anchor)
            for prefix in self._retiring(session, stand)
            if prefix in stand.used
        }
        length = self.configuration.prefix_length
        elsewhere = [prefix for prefix in stand.entries if not prefix.is_ipv4 and prefix.length == length]
        used, stand.used = stand.used, {}
        self._count_no_more(stand, used.keys() - {*here, *elsewhere})
        for prefix in (*here, *elsewhere):
            packets = event.packets.get(prefix, 0)
            before, since = used.get(prefix, (packets, self._now))
            stand.used[prefix] = (packets, since if packets == before else self._now)
            if packets == before and self._now - since >= self._idle_hold:
                session = here.get(prefix)
                if session is None:
                    self._say_idle(stand, prefix)
                else:
                    self._end_idle(session, prefix)

    def _say_idle(self, stand: StandIn, prefix: Prefix) -> None:
        """To the router that serves its node, which lets go of it, here too."""
        held = stand.entries[prefix]
        key = ("idle", held.node, held.serving, prefix)
        if self._requests.get(key) is not None:
            return
        stand.sequence = (stand.sequence + 1) % 65536
        options = (
            identifier_option(held.node),
            HomeNetworkPrefix.of(prefix),
            HANDOFFS[Handoff.NOT_CHANGED],
            self._technology,
            Timestamp(held.attached),
            AnchoredPrefix.of(prefix),
        )
        self._requests.start(key, BindingUpdate(stand.sequence, PROXY_DMM, 0, options), self._now)

    def _forget_held(self, stand: StandIn, prefix: Prefix) -> None:
        held = stand.entries.get(prefix)
        super()._forget_held(stand, prefix)
        if held is not None:
            stand.used.pop(prefix, None)
            self._requests.cancel(("idle", held.node, held.serving, prefix))

    def _on_linger_over(self, stand: StandIn) -> None:
        super()._on_linger_over(stand)
        if stand.phase is READY:
            self._count_no_more(stand, stand.used)
            stand.used.clear()

    def _count_no_more(self, stand: StandIn, prefixes: Iterable[Prefix]) -> None:
        for prefix in prefixes:
            if prefix not in stand.entries:
                self._do(WithdrawCounter(prefix))

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        survival = self.survival
        stand = None if survival is None else survival.standing.get(session.anchored.get(prefix, b""))
        super()._remove_foreign(session, prefix)
        if stand is not None and stand.used.pop(prefix, None) is not None:
            self._do(WithdrawCounter(prefix))

    def _is_about_idle(self, answer: BindingAcknowledgement, source: Address, survival: Survival) -> bool:
        """Whether it answers what we said of a prefix that nobody uses."""
        identifier, option = answer.first(MobileNodeIdentifier), answer.first(AnchoredPrefix)
        if identifier is None or option is None:
            return False
        key = ("idle", identifier.key(), source, option.prefix)
        if self._requests.answered(key, answer.sequence, self._now) is None:
            return False
        for stand in survival.standing.values():
            held = stand.entries.get(option.prefix)
            if held is None or held.serving != source:
                pass
            elif answer.status < REFUSING:
                self._forget_held(stand, option.prefix)
            elif option.prefix in stand.used:
                stand.used[option.prefix] = (stand.used[option.prefix][0], self._now)
        return True

    # --- the serving router -------------------------------------------------------------------------------------------

    def _on_idle(self, update: BindingUpdate, source: Address, survival: Survival) -> bool:
        """Whether it says that a prefix is over of a pool that its sender holds. Raises `Refused`."""
        option = update.first(AnchoredPrefix)
        if update.lifetime or option is None or update.flags & PROXY_DMM != PROXY_DMM:
            return False
        prefix = option.prefix
        anchors = [anchor for anchor, pools in survival.pools.items() if any(pool.contains(prefix) for pool in pools)]
        if not anchors or source != survival.partners[anchors[0]]:
            return False
        request = Registration.of(update, source)
        session = self.sessions.get(request.node)
        if session is not None and session.anchored.get(prefix) == anchors[0]:
            if survival.holder(anchors[0]) != source or session.presence not in (SERVED, DEPARTED):
                raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "another router holds this prefix")
            if request.timestamp < session.attached:
                raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known here")
            self._end_idle(session, prefix)
        self._answer_serving(request, update)
        return True

    def _end_idle(self, session: Session, prefix: Prefix) -> None:
        """Nobody uses it; the CMD tells its anchor."""
        self._report("prefix-ended", node=session.node, prefix=prefix)
        self._ask_to_retire(session, prefix)
        self._remove_foreign(session, prefix)
        if session.presence is SERVED:
            self._advertise(session, (prefix,))
        self._keep(session)
