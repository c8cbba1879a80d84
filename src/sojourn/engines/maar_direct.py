"""Direct mode: MAARs without a CMD between them, 2p messages for p previous anchors (design.md 7.4, 7.5).

A node attaches. It has a prefix at once, as in all modes. The MAARs that may know it are told that it is here: the one
that it comes from, where that is known (it was here before, or the link says so), and otherwise the neighbours. Each
answers with what it anchors, which is forwarded here from that moment on, and names others, which are told as well.
Only what an anchor says itself is served: it may have let go of it since. A neighbour that does not answer is asked
again, for as long as it could remember anything (`lifetime`); what it anchors follows when it answers.

So who serves a node knows all of its prefixes, and each anchor knows who serves it. The serving MAAR refreshes the
anchors at half of the lifetime; an anchor that hears nothing asks, follows the answer to who serves the node now, and
lets go when nobody knows. An idle prefix retires by word of its anchor to the serving MAAR. What was forgotten in a
restart is asked of all peers.

A CMD, where there is one, is told what came of it, and answers with what it knows besides. Nobody waits for it.
What others tell is in `maar_direct_told`, what we tell and ask them in `maar_direct_asks`, what their answers mean in
`maar_direct_answers`; anchors that are gone and their partners in `maar_direct_partners`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import Effect, SendMessage, StoreBinding
from sojourn.core.events import NodeSeen
from sojourn.engines.base import TimerName, TokenBucket
from sojourn.engines.configuration import DIRECT, NO_CMD, MaarConfiguration
from sojourn.engines.handover import Handover
from sojourn.engines.handover_messages import Subject
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_direct_partners import PartnersDirectly
from sojourn.engines.maar_direct_told import SHORTLY
from sojourn.engines.maar_registration import FORGETFUL
from sojourn.engines.maar_session import AWAY, DEPARTED, SERVED, Session
from sojourn.engines.neighbourhood import Neighbourhood
from sojourn.engines.registration import LISTED_PREFIXES
from sojourn.wire import BindingAcknowledgement, BindingRefreshRequest, Handoff, Timestamp
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant, WallClock

_SETTLED_AFTER = 200 * MILLISECOND
"""Who did not answer by then is not waited for: limits are applied, and the CMD is told."""
_ALONE = 300 * MILLISECOND
"""For so long, who is said to have served the node is asked alone; then all neighbours."""
_ENDING = 8 * SECOND
"""For so long, anchors are told that a node left the domain."""
_BURST = 64
"""Questions to neighbours that may leave at once."""


def access_router(configuration: MaarConfiguration, epoch: WallClock) -> MobilityAnchorAccessRouter:
    """The engine of the role ``maar`` in its mode."""
    kind = DirectAccessRouter if configuration.mode is DIRECT else MobilityAnchorAccessRouter
    return kind(configuration, epoch)


class DirectAccessRouter(PartnersDirectly):
    """The engine of the role ``maar`` in direct mode: as the one that tells and asks."""

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self.direct = Neighbourhood(configuration)
        self._requests.pace(TokenBucket(configuration.ask_rate, _BURST))

    @property
    def _has_cmd(self) -> bool:
        return self.configuration.cmd != NO_CMD

    # --- life -----------------------------------------------------------------------------------------------------

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. Those that are here are looked for again: we may have died before all were told."""
        kept = list(records)
        if not any(node != FORGETFUL for node, _ in kept):
            self.direct.settled = now + self.configuration.lifetime
        self.direct.unsettled.update(node for node, _ in kept if node != FORGETFUL)
        effects = super().restore(kept, now)
        self.direct.unsettled &= self.sessions.keys()
        return effects

    def _forget(self) -> None:
        if self.direct.remembering and not self.memory.lost:
            self.memory.lost = True
            self._do(StoreBinding(FORGETFUL, b""))
            self.direct.reminding = dict.fromkeys(self.direct.remembering, self._clock())
            self._ask_for_memory()

    def _ask_for_memory(self) -> None:
        """All that did not say yet that they heard the question."""
        for who, stamp in self.direct.reminding.items():
            self._do(SendMessage(BindingRefreshRequest((Timestamp(stamp),)), self.configuration.address, who))
        self._ask_for_memory_again()

    def _reminded_by(self, source: Address) -> None:
        self.direct.reminding.pop(source, None)
        if not self.direct.reminding:
            self.memory.ask_again = 0  # of several round trips none is that of a registration
            self._remember()

    def _on_refresh_message(self, request: BindingRefreshRequest) -> None:
        if request.first(Timestamp) is not None:
            self._reminded_by(self.configuration.cmd)
            return
        self.direct.announced.clear()
        for index, session in enumerate(self.sessions.values()):
            if session.presence in (SERVED, DEPARTED):
                self._after(index * SECOND // 1000, "settle", session.node)

    # --- a node comes -------------------------------------------------------------------------------------------------

    def _attach(self, session: Session, event: NodeSeen) -> None:
        previous = self._said_to_be_left(session, event) or (session.serving if session.presence is AWAY else None)
        if previous in self._peers:
            self.direct.came_from[session.node] = previous
        super()._attach(session, event)
        session.served = session.attached
        self._keep(session)

    def _said_to_be_left(self, session: Session, event: NodeSeen) -> Address | None:
        """The router that the node comes from, as the link says, or as that router said before (RFC 5949)."""
        said = event.previous
        if said is not None and len(said) != 16:
            said = self.direct.access_points.get(said)
        handover = self.handovers.get(session.node)
        if said is None and handover is not None and not handover.previous:
            said = handover.peer
        return said

    def _adopt_context(self, handover: Handover, peer: Address, about: Subject) -> bool:
        """What the previous router said that the node has (RFC 5949). Its anchors hear where it is from us."""
        adopted = super()._adopt_context(handover, peer, about)
        session = self.sessions[handover.node]
        if session.presence is SERVED:
            for anchor in dict.fromkeys(handover.prefixes.values()):
                self._tell_once(session, anchor)
        return adopted

    def _register(self, session: Session, handoff: Handoff) -> None:
        """Not with a CMD: with those who have to know."""
        if session.legacy:
            super()._register(session, handoff)
            return
        if session.presence is SERVED:
            if not session.confirmed and session.node in self.direct.unsettled:
                self._after(0, "advertise", session.node)  # an earlier life may have said less
            session.confirmed = True  # nobody has to agree
            session.lifetime = max(self.configuration.lifetime, SHORTLY)
            session.expires = self._now + session.lifetime
            self._after(session.lifetime // 2, "refresh", session.node)
        if handoff == Handoff.NOT_CHANGED and session.node not in self.direct.unsettled:
            self._refresh(session)
        else:
            self._seek(session)
        self._tell_holders(session)

    def _refresh(self, session: Session) -> None:
        """Its anchors go on for another lifetime. Who did not answer for so long remembers nothing any more."""
        self._sort(session)
        self.direct.told.pop(session.node, None)
        self.direct.ranks.pop(session.node, None)
        self.direct.follows.pop(session.node, None)
        self._limit(session)
        anchors = set(session.anchored.values())
        if self._now - session.since >= self.configuration.lifetime:
            for key in list(self.direct.requests.get(session.node, ())):
                if key[0] == "register" and key[2] not in anchors:
                    self._withdraw(key)
            self._forget_all_named(session)
        for anchor in anchors:
            self._tell_peer(session, anchor, Handoff.NOT_CHANGED)
        if session.presence is SERVED:
            self._tell_partner(session, Handoff.NOT_CHANGED)
        if self._has_cmd:
            self.direct.announced.pop(session.node, None)
        self._plan_settling(session)

    def _seek(self, session: Session) -> None:
        """Those who may know the node are told where it is."""
        node, direct = session.node, self.direct
        self._forget_requests(node)
        direct.unsettled.discard(node)
        direct.told[node] = set()
        direct.looking.add(node)
        direct.ranks.pop(node, None)
        direct.follows.pop(node, None)
        self._timers.stop(("gone", node))
        for anchor in set(session.anchored.values()):
            self._tell_peer(session, anchor)
        previous = direct.came_from.get(node)
        if previous is None or (self.survival is not None and self.survival.liveness.lost(previous)):
            self._ask_neighbours(session)
        else:
            self._tell_once(session, previous)
            self._after(_ALONE, "seek", node)
        self._tell_partner(session)
        if self.survival is not None and self.survival.standing:
            self._after(0, "recall", node)  # when there is a way to it, which is made in this moment
        self._after(_SETTLED_AFTER, "settle", node)
        self._settle_early(session)

    def _ask_neighbours(self, session: Session) -> None:
        self.direct.came_from.pop(session.node, None)
        self._timers.stop(("seek", session.node))
        for neighbour in self.direct.neighbours:
            self._tell_once(session, neighbour, bulk=True)

    def _settle_early(self, session: Session) -> None:
        """All answered already, or there is nobody to ask."""
        keys = self.direct.requests.get(session.node, ())
        if not any(key[0] == "register" and key[2] != self.configuration.cmd for key in keys):
            self._settle(session)

    def _plan_settling(self, session: Session) -> None:
        if ("settle", session.node) not in self._timers:
            self._after(_SETTLED_AFTER, "settle", session.node)

    def _settle(self, session: Session) -> None:
        """What comes at once has come: too many prefixes are not kept, and the CMD is told."""
        if session.presence not in (SERVED, DEPARTED):
            return
        self._timers.stop(("settle", session.node))
        first = session.node in self.direct.looking
        self.direct.looking.discard(session.node)
        self._sort(session)
        self._limit(session)
        if first:
            self._report("registered", node=session.node, previous=len(session.anchored))
            if self.leases is not None:
                self._on_settled(session.node)
        if self._has_cmd and not session.legacy:
            again = self.direct.announced.get(session.node) == session.attached
            self.direct.announced[session.node] = session.attached
            super()._register(session, Handoff.NOT_CHANGED if again else Handoff.UNKNOWN)

    def _limit(self, session: Session) -> None:
        """RFC 8885 6: limit the P-MAARs of a node. The prefix that it left first goes."""
        surplus = len(session.anchored) - self.configuration.prefixes_per_node
        if surplus <= 0:
            return
        gone = list(session.anchored)[:surplus]
        for prefix in gone:
            self._report("prefix-over-limit", node=session.node, prefix=prefix)
            self._ask_to_retire(session, prefix)
            self._remove_foreign(session, prefix)
        self._on_prefixes_changed(session, tuple(gone))

    def _sort(self, session: Session) -> None:
        """The prefix that it left first comes first."""
        known = session.node in self.direct.ranks or session.node in self.handovers
        if known and len(session.anchored) > 1:
            ordered = sorted(session.anchored, key=lambda prefix: self._rank(session, prefix))
            if ordered != list(session.anchored):
                session.anchored = {prefix: session.anchored[prefix] for prefix in ordered}
                self._keep(session)

    def _told_by(self, session: Session) -> Address:
        """The router that told us of the node as it came (RFC 5949)."""
        handover = self.handovers.get(session.node)
        return NO_CMD if handover is None or handover.previous or handover.peer is None else handover.peer

    def _rank(self, session: Session, prefix: Prefix) -> tuple[int, int]:
        """When it was last that of the router that served the node, or after which one that was."""
        ranks = self.direct.ranks.get(session.node, {})
        follows = self.direct.follows.get(session.node, {})
        if prefix not in ranks and self._told_by(session) == session.anchored.get(prefix):
            return session.attached, 0  # of whoever served it until now, who did not say so yet
        steps = 0
        before: Prefix | None = prefix
        while (
            before is not None and before not in ranks and steps < LISTED_PREFIXES
        ):  # others may contradict each other
            prefix, steps = before, steps + 1
            before = follows.get(prefix) or follows.get(session.anchored.get(prefix, b""))
        return (0 if before is None else ranks.get(before, 0)), steps

    def _most_prefixes(self, session: Session) -> int:
        """As long as they come in, more: which one is the oldest is known when all are there."""
        most, node = self.configuration.prefixes_per_node, session.node
        come_in = node in self.direct.told or node in self.direct.unsettled or session.presence is AWAY
        return most + LISTED_PREFIXES if come_in else most

    def _on_prefixes_changed(self, session: Session, gone: tuple[Prefix, ...] = ()) -> None:
        if session.presence is SERVED:
            self._advertise(session, gone)
        self._keep(session)
        self._plan_settling(session)

    # --- a node goes --------------------------------------------------------------------------------------------------

    def _give_up(self, session: Session, serving: Address, attached: int, lifetime: Duration) -> None:
        self._forget_requests(session.node)
        self._forget_all_named(session)
        handed = self.direct.handed.get(session.node)
        self.direct.forget(session.node)
        if handed is not None:
            self.direct.handed[session.node] = handed
        super()._give_up(session, serving, attached, lifetime)

    def _quiet(self, session: Session) -> None:
        super()._quiet(session)
        self._timers.stop_all((kind, session.node) for kind in ("seek", "settle", "recall"))

    def _remove(self, session: Session) -> None:
        self._forget_requests(session.node)
        super()._remove(session)
        self.direct.forget(session.node)

    def _deregister(self, session: Session) -> None:
        """The time is over: of what we anchor for a node that is elsewhere, or of one that left us."""
        if session.legacy:
            super()._deregister(session)
        elif session.presence is AWAY and session.serving is not None:
            self.direct.told[session.node] = {session.serving}
            self._ask_after(session, session.serving)
        else:
            self._end(session)

    def _end(self, session: Session) -> None:
        """It left the domain: its anchors are told, unless one of them knows better."""
        self._forget_requests(session.node)
        for prefix in list(session.anchored):
            self._ask_to_retire(session, prefix)
        if self._has_cmd:
            super()._deregister(session)
        if session.node in self.direct.requests:
            self._after(_ENDING, "gone", session.node)
        else:
            self._on_gone(session)

    def _on_deregistered(self, session: Session, answer: BindingAcknowledgement) -> None:
        """By the CMD, which is not the one to know."""
        if session.legacy:
            super()._on_deregistered(session, answer)
        elif session.presence is DEPARTED and session.node not in self.direct.requests:
            self._on_gone(session)

    def _retired(self, session: Session) -> None:
        self._forget_requests(session.node)
        over, attached = session.own, session.attached
        super()._retired(session)
        if over is not None:
            self._note_over(over, session.node, attached + 1)

    # --- time -----------------------------------------------------------------------------------------------------

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        session = self.sessions.get(key) if kind in ("seek", "settle", "recall") else None
        if session is None:
            super()._on_timer(name)
        elif kind == "seek":
            self._ask_neighbours(session)
        elif kind == "recall":
            self._recall(session)
        else:
            self._settle(session)
