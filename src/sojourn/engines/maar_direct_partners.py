"""Direct mode where anchors die and partners take their pools over (`maar_survival`, `maar_stand_in`).

Only what an anchor says itself is served. Of an anchor that is gone, whoever holds its pool says it instead: a prefix
that others name (who served the node before, the CMD) is registered there, and served when that is accepted. What is
named while nobody knows yet that the anchor is gone waits for the word of its partner. To a router where a node is new,
who holds a pool names what others registered of it for that node.

A node that is with its anchor when that dies has its prefix from nobody else. So an anchor tells its partner of such
nodes, as it tells all that may know them, and again with every refresh; the partner keeps this in mind.

The anchor itself is told as always, "I serve this node", as soon as it is there again: that teaches it what it forgot.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from sojourn.engines.base import TimerName
from sojourn.engines.maar_direct_answers import AnsweredDirectly
from sojourn.engines.maar_direct_told import SHORTLY
from sojourn.engines.maar_missed import APART
from sojourn.engines.maar_session import DEPARTED, SERVED, Session
from sojourn.engines.registration import LISTED_PREFIXES, REFUSING, Registration
from sojourn.engines.retransmission import Key
from sojourn.engines.stand_in import HOLDING, StandIn, Survival
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HomeNetworkPrefix,
    MobilityOption,
    PreviousMaar,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Duration


class PartnersDirectly(AnsweredDirectly):
    """The MAAR as one among others that die."""

    # --- of whom nobody else speaks -----------------------------------------------------------------------------------

    def _learn_previous(self, session: Session, options: Iterable[MobilityOption]) -> None:
        named = [option for option in options if isinstance(option, PreviousMaar)]
        super()._learn_previous(session, named)
        if self.survival is not None:
            anchors = {one.maar for one in named if self._is_named(session, one.prefix, one.maar)}
            for anchor in sorted(anchors):
                self._ask_in_its_place(session, anchor)

    def _is_named(self, session: Session, prefix: Prefix, anchor: Address) -> bool:
        """Whether it has to be said by who holds it, if the anchor is gone. Noted until somebody said so."""
        survival = self.survival
        assert survival is not None
        fits = any(pool.contains(prefix) for pool in survival.pools.get(anchor, ()))
        if not fits or prefix in session.anchored or self._is_ending(session, prefix, anchor):
            return False
        named = self.direct.named.setdefault(session.node, {})
        if len(named) < LISTED_PREFIXES:
            named[prefix] = anchor
        return prefix in named

    def _ask_in_its_place(self, session: Session, anchor: Address) -> None:
        """Whoever holds the pool of `anchor`, if that is another one."""
        survival = self.survival
        assert survival is not None
        holder = survival.holder(anchor)
        if holder == self.configuration.address:
            self._serve_named(session, anchor, self._prefixes_at(session, anchor))
        elif holder != anchor:
            self._watch_neighbour(holder)
            self._after(0, "holder", (session.node, anchor))

    def _serve_named(self, session: Session, anchor: Address, prefixes: Iterable[Prefix]) -> None:
        """Who holds its pool says that the node has these."""
        named = self.direct.named.get(session.node, {})
        mine = [prefix for prefix in prefixes if named.get(prefix) == anchor]
        if not mine or session.presence not in (SERVED, DEPARTED):
            return
        self._forget_named(session, anchor)
        before = session.anchored.keys() - ()
        self._serve_for(session, mine, anchor)
        self._timers.stop(("holder", (session.node, anchor)))  # it was told already
        if session.anchored.keys() != before:
            self._on_prefixes_changed(session)

    def _forget_named(self, session: Session, *anchors: Address) -> None:
        """It was said what these anchor for the node, or it is none of our business any more."""
        named = self.direct.named.get(session.node, {})
        for anchor in anchors:
            if anchor in named.values() and anchor not in session.anchored.values():
                self._say_no_more(session, anchor)
        left = {prefix: anchor for prefix, anchor in named.items() if anchor not in anchors}
        if left:
            self.direct.named[session.node] = left
        else:
            self.direct.named.pop(session.node, None)

    def _forget_all_named(self, session: Session) -> None:
        self._forget_named(session, *self.direct.named.get(session.node, {}).values())

    def _on_told(self, session: Session, answer: BindingAcknowledgement, source: Address) -> None:
        if answer.status < REFUSING:
            self._is_returned(session, source)
        self._forget_named(session, source)  # it speaks for itself
        super()._on_told(session, answer, source)

    def _is_returned(self, session: Session, anchor: Address) -> None:
        """It knows where the node is; whoever stood in for it may forget that, and what it does not anchor any more."""
        returning = self.direct.returning.get(session.node)
        if self.survival is None or returning is None or anchor not in returning:
            return
        returning.discard(anchor)
        if not returning:
            del self.direct.returning[session.node]
        if session.presence in (SERVED, DEPARTED) and self.survival.holder(anchor) == anchor:
            self._is_with_anchor(session, anchor, self.survival)

    # --- who holds what -----------------------------------------------------------------------------------------------

    def _prefixes_at(self, session: Session, anchor: Address) -> list[Prefix]:
        named = self.direct.named.get(session.node, {})
        more = [prefix for prefix, at in named.items() if at == anchor and prefix not in session.anchored]
        return [*super()._prefixes_at(session, anchor), *more][-LISTED_PREFIXES:]

    def _anchored_by(self, session: Session) -> Iterable[Address]:
        named = self.direct.named.get(session.node, {})
        return dict.fromkeys([*super()._anchored_by(session), *named.values()])

    def _tell_all(self, anchor: Address, holder: Address, apart: Duration = APART) -> None:
        """Of the pool of `anchor`. What is only named is served now, or asked for."""
        super()._tell_all(anchor, holder, apart)
        survival = self.survival
        stand = None if survival is None else survival.standing.get(anchor)
        if stand is not None and holder == self.configuration.address:
            for node in list(stand.given.nodes):
                session = self.sessions.get(node)
                if session is not None and session.presence is SERVED:
                    self._recall(session)
        elif survival is not None and holder != anchor and anchor in survival.accepted:
            self._ask_instead(anchor, holder)
        for session in self._say_no_more_of(anchor):
            self._ask_in_its_place(session, anchor)

    def _ask_instead(self, anchor: Address, holder: Address) -> None:
        """Nodes that came when nobody knew yet that `anchor` is gone: it was asked, and `holder`, who named nothing of
        a pool that it did not hold.
        """
        for node, keys in list(self.direct.requests.items()):
            session = self.sessions.get(node)
            if (
                session is not None
                and session.presence in (SERVED, DEPARTED)
                and ("register", node, anchor, None) in keys
            ):
                self._tell_peer(session, holder, bulk=True)

    def _withdraw_anchor(self, anchor: Address, survival: Survival) -> None:
        self._say_no_more_of(anchor)
        super()._withdraw_anchor(anchor, survival)

    def _say_no_more_of(self, anchor: Address) -> list[Session]:
        """To those that held the pool; of nodes that are said to have something of it, and returned."""
        assert self.survival is not None
        nodes = [node for node, named in self.direct.named.items() if anchor in named.values()]
        sessions = [session for node in nodes if (session := self.sessions.get(node)) is not None]
        for session in sessions:
            self._say_no_more(session, anchor)
        return sessions

    def _tell_anchor(self, session: Session, anchor: Address, prefixes: list[Prefix]) -> None:
        if anchor in session.anchored.values():
            self.direct.returning.setdefault(session.node, set()).add(anchor)
            self._tell_peer(session, anchor, Handoff.NOT_CHANGED)

    def _is_told(self, anchor: Address) -> bool:
        returning = [node for node, anchors in self.direct.returning.items() if anchor in anchors]
        return any(self._requests.get(("register", node, anchor, None)) for node in returning)

    def _on_held(self, session: Session, anchor: Address, answer: BindingAcknowledgement) -> None:
        self._serve_named(session, anchor, [one.prefix for one in answer.all(HomeNetworkPrefix)])

    def _held_for(self, request: Registration, update: BindingUpdate) -> tuple[MobilityOption, ...]:
        if self.survival is None or request.refreshes:
            return ()
        known = {option.prefix for option in update.all(PreviousMaar)}
        return self._held_of(request.node, known, request.source)

    def _held_of(self, node: bytes, known: Container[Prefix], source: Address) -> tuple[PreviousMaar, ...]:
        """What it has of pools that we hold, but for what is `known`; `source` speaks for itself."""
        assert self.survival is not None
        found = [
            PreviousMaar.of(prefix, stand.anchor)
            for stand in self.survival.standing.values()
            if stand.phase is HOLDING and stand.anchor != source
            for prefix in stand.of(node)
            if prefix not in known
        ]
        return tuple(found[:LISTED_PREFIXES])

    def _recall(self, session: Session) -> None:
        """A node that is here had something of a pool that we hold: its anchor, or who served it then, told us."""
        if self.survival is not None and self.survival.standing:
            self._learn_previous(session, self._held_of(session.node, session.anchored, self.configuration.address))

    # --- what an anchor has itself ------------------------------------------------------------------------------------

    def _tell_partner(self, session: Session, handoff: Handoff = Handoff.UNKNOWN) -> None:
        """Of a node that is here: what we anchor for it."""
        partner = self.configuration.partner
        if self.survival is not None and partner is not None and self._anchored_here(session):
            self._tell_once(session, partner, handoff, bulk=True)

    def _on_served_elsewhere(self, request: Registration, update: BindingUpdate) -> None:
        stand = None if self.survival is None else self.survival.standing.get(request.source)
        if stand is not None and request.serving == request.source:
            self._note_given(stand, request)
        super()._on_served_elsewhere(request, update)

    def _note_given(self, stand: StandIn, request: Registration) -> None:
        most = self.configuration.nodes * self.configuration.prefixes_per_node
        until = self._now + max(request.lifetime, SHORTLY)
        given = [one for one in request.home_network_prefixes if stand.has(one) and self._may_be_held(one)]
        stand.given.tell(request.node, given, request.timestamp, until, most)
        if stand.given.prefixes and ("given", stand.anchor) not in self._timers:
            self._after(self.configuration.lifetime, "given", stand.anchor)

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind != "given":
            super()._on_timer(name)
            return
        assert self.survival is not None
        stand = self.survival.standing[key]
        stand.given.expire(self._now)
        if stand.given.prefixes:
            self._after(self.configuration.lifetime, "given", key)

    # --- answers that are meant for the one or the other --------------------------------------------------------------

    def _is_about_a_pool(self, answer: BindingAcknowledgement, source: Address) -> bool:
        """Whether `source` answers for an anchor in whose place it is; of itself it tells its own prefixes only."""
        survival = self.survival
        assert survival is not None
        told = [option.prefix for option in answer.all(HomeNetworkPrefix)]
        return any(
            pool.contains(prefix)
            for anchor in survival.entrusted.get(source, ())
            for pool in survival.pools[anchor]
            for prefix in told
        )

    def _is_of_holder(self, answer: BindingAcknowledgement, source: Address) -> bool:
        return self._is_about_a_pool(answer, source) and super()._is_of_holder(answer, source)

    def _answered(
        self, node: bytes, answer: BindingAcknowledgement, firsts: dict[type, Any], source: Address
    ) -> Key | None:
        if self.survival is not None and self._is_about_a_pool(answer, source):
            return None  # a number may be that of two requests, as repetitions take the next one
        return super()._answered(node, answer, firsts, source)

    def _register_own(self, request: Registration, update: BindingUpdate) -> bool:
        return False  # an anchor is told "I serve this node", which says more
