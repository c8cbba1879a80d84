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
What others tell is in `maar_direct_told`, what we tell and ask them in `maar_direct_asks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sojourn.core.effects import Effect, SendMessage, StoreBinding
from sojourn.core.events import NodeSeen
from sojourn.engines.base import TimerName, TokenBucket
from sojourn.engines.configuration import DIRECT, NO_CMD, MaarConfiguration
from sojourn.engines.gateway_registration import CORRECTIONS_MAX, timestamp_of
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_direct_asks import AsksDirectly
from sojourn.engines.maar_direct_told import SHORTLY
from sojourn.engines.maar_registration import FORGETFUL
from sojourn.engines.maar_session import AWAY, DEPARTED, SERVED, Session
from sojourn.engines.neighbourhood import FAR, Neighbourhood
from sojourn.engines.registration import LISTED_PREFIXES, REFUSING
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    DlifLinkLocalAddress,
    Handoff,
    HomeNetworkPrefix,
    LocalPrefix,
    MobileNodeIdentifier,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant, WallClock, ticks, wall_clock

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


class DirectAccessRouter(AsksDirectly):
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
        if self.direct.remembering and not self._forgetful:
            self._forgetful = True
            self._do(StoreBinding(FORGETFUL, b""))
            self.direct.reminding = dict.fromkeys(self.direct.remembering, self._clock())
            self._ask_for_memory()

    def _ask_for_memory(self) -> None:
        """All that did not say yet that they heard the question."""
        for who, stamp in self.direct.reminding.items():
            self._do(SendMessage(BindingRefreshRequest((Timestamp(stamp),)), self.configuration.address, who))
        self._after(self._ask_again, "memory", None)
        self._ask_again = min(2 * self._ask_again, self.configuration.retransmission.max_bindack_timeout)

    def _reminded_by(self, source: Address) -> None:
        self.direct.reminding.pop(source, None)
        if not self.direct.reminding:
            self._ask_again = 0  # of several round trips none is that of a registration
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
        previous = event.previous or (session.serving if session.presence is AWAY else None)
        if previous in self._peers:
            self.direct.came_from[session.node] = previous
        super()._attach(session, event)
        session.served = session.attached
        self._keep(session)

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

    def _refresh(self, session: Session) -> None:
        """Its anchors go on for another lifetime. Who did not answer for so long remembers nothing any more."""
        self._sort(session)
        self.direct.told.pop(session.node, None)
        self.direct.ranks.pop(session.node, None)
        self._limit(session)
        anchors = set(session.anchored.values())
        if self._now - session.since >= self.configuration.lifetime:
            for key in list(self.direct.requests.get(session.node, ())):
                if key[0] == "register" and key[2] not in anchors:
                    self._withdraw(key)
        for anchor in anchors:
            self._tell_peer(session, anchor, Handoff.NOT_CHANGED)
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
        self._timers.stop(("gone", node))
        for anchor in set(session.anchored.values()):
            self._tell_peer(session, anchor)
        previous = direct.came_from.get(node)
        if previous is None:
            self._ask_neighbours(session)
        else:
            self._tell_once(session, previous)
            self._after(_ALONE, "seek", node)
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
        ranks = self.direct.ranks.get(session.node)
        if ranks is not None and len(session.anchored) > 1:
            ordered = sorted(session.anchored, key=lambda prefix: ranks.get(prefix, 0))
            if ordered != list(session.anchored):
                session.anchored = {prefix: session.anchored[prefix] for prefix in ordered}
                self._keep(session)

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
        for table in (self.direct.told, self.direct.came_from, self.direct.ranks, self.direct.announced):
            table.pop(session.node, None)
        self.direct.unsettled.discard(session.node)
        self.direct.looking.discard(session.node)
        super()._give_up(session, serving, attached, lifetime)

    def _quiet(self, session: Session) -> None:
        super()._quiet(session)
        self._timers.stop_all((("seek", session.node), ("settle", session.node)))

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
        super()._retired(session)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _on_request_due(self, key: Key) -> None:
        super()._on_request_due(key)
        if self._requests.get(key) is None:
            self._closed(key)

    def _on_acknowledgement(self, acknowledgement: BindingAcknowledgement, source: Address) -> None:
        firsts = acknowledgement.firsts()
        identifier: MobileNodeIdentifier | None = firsts.get(MobileNodeIdentifier)
        node = b"" if identifier is None else identifier.key()
        if source not in self._peers:
            super()._on_acknowledgement(acknowledgement, source)
            for done in list(self.direct.requests.get(node, ())):
                if self._requests.get(done) is None:
                    self._closed(done)
            return
        self.heard[source] = self._now
        session = self.sessions.get(node)
        key: Key | None = None if session is None else self._answered(node, acknowledgement, firsts, source)
        if session is None or key is None:
            self._report("acknowledgement-unexpected", source=source, sequence=acknowledgement.sequence)
        elif key[0] == "register":
            self._on_told(session, acknowledgement, source)
        elif key[0] == "deregister":
            self._on_answer_after(session, acknowledgement, source)
        elif isinstance(key[3], Prefix):
            self._on_end_answered(session, acknowledgement, key[3])

    def _answered(
        self, node: bytes, answer: BindingAcknowledgement, firsts: dict[type, Any], source: Address
    ) -> Key | None:
        """What it answers."""
        anchored: AnchoredPrefix | None = firsts.get(AnchoredPrefix)
        keys: tuple[Key, ...] = (("deregister", node, source, None), ("register", node, source, None))
        if anchored is not None:
            keys = (("retire", node, source, anchored.prefix),)
        for key in keys:
            if self._requests.answered(key, answer.sequence, self._now) is not None:
                self._closed(key)
                return key
        return None

    def _on_told(self, session: Session, answer: BindingAcknowledgement, source: Address) -> None:
        if answer.status >= REFUSING:
            self._on_refused_by_peer(session, answer, source)
            return
        if session.presence not in (SERVED, DEPARTED):
            return  # told by who serves it since, or when it asks
        before = session.anchored.copy()
        self._learn_anchored(session, answer, source)
        gone = tuple([prefix for prefix in before if prefix not in session.anchored])
        if gone or session.anchored.keys() != before.keys():
            self._on_prefixes_changed(session, gone)
        named = answer.all(PreviousMaar)
        serving = answer.first(ServingMaar)
        if serving is not None:
            self._tell_once(session, serving.address)
        self._learn_previous(session, named)
        if self.direct.came_from.get(session.node) == source:
            self._on_previous_answered(session, known=bool(named or serving) or source in session.anchored.values())
        self._settle_early(session)

    def _on_previous_answered(self, session: Session, *, known: bool) -> None:
        """Whom the node comes from spoke; if that is all it knows, others are asked."""
        if known:
            self.direct.came_from.pop(session.node, None)
            self._timers.stop(("seek", session.node))
        else:
            self._ask_neighbours(session)

    def _learn_anchored(self, session: Session, answer: BindingAcknowledgement, anchor: Address) -> None:
        """It anchors this for the node, and nothing else; its address is the source (as in RFC 8885 3.3)."""
        listed = [option.prefix for option in answer.all(HomeNetworkPrefix) if option.prefix != ANY]
        stamps = answer.all(Timestamp)
        self._serve_for(session, listed, anchor)
        served = [prefix for prefix in listed if session.anchored.get(prefix) == anchor]
        if served and len(stamps) > 1 and session.node in self.direct.told:
            ranks = {**self.direct.ranks.get(session.node, {}), **dict.fromkeys(served, stamps[1].ticks)}
            self.direct.ranks[session.node] = {one: ranks[one] for one in ranks if one in session.anchored}
        identity = [option for option in answer.options if isinstance(option, DlifLinkLocalAddress | LocalPrefix)]
        for prefix in listed[:1] if identity else ():
            super()._learn_previous(session, (PreviousMaar.of(prefix, anchor), *identity))
        for prefix, owner in list(session.anchored.items()):
            if owner == anchor and prefix not in listed:
                self._remove_foreign(session, prefix)

    def _serve_for(self, session: Session, prefixes: list[Prefix], anchor: Address) -> None:
        for prefix in prefixes:
            if self._is_ending(session, prefix, anchor) or self._add_foreign(session, prefix, anchor):
                continue
            endings = [key for key in self.direct.requests.get(session.node, ()) if key[0] == "retire"]
            if len(endings) < LISTED_PREFIXES:  # else it lists it again
                self._say_over(session, prefix, anchor)  # what is not served here would come back to it, to and fro

    def _unask(self, session: Session, maar: Address) -> None:
        self._withdraw(("register", session.node, maar, None))

    def _on_refused_by_peer(self, session: Session, answer: BindingAcknowledgement, source: Address) -> None:
        """Somebody knows of a later attachment, or our clock is far from everybody's."""
        self._report("registration-refused", node=session.node, status=answer.status)
        if session.presence not in (SERVED, DEPARTED):
            return
        if self._is_behind(session, answer):
            self._seek(session)
            self._keep(session)
            return
        if answer.status not in (Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, Status.TIMESTAMP_MISMATCH):
            self._on_nothing_anchored(session, source)
        if answer.status != Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED:
            self._settle_early(session)
            return
        serving = answer.first(ServingMaar)
        if serving is not None and serving.address != source:
            self._tell_once(session, serving.address)
        if session.presence is SERVED and not session.contested:
            session.contested = True
            session.probes = 0
            self._probe(session)

    def _on_nothing_anchored(self, session: Session, maar: Address) -> None:
        """It does not forward anything to this node, for whatever reason: what we believed that it anchors is over."""
        gone = tuple([prefix for prefix, anchor in session.anchored.items() if anchor == maar])
        for prefix in gone:
            self._remove_foreign(session, prefix)
        if gone:
            self._on_prefixes_changed(session, gone)

    def _is_behind(self, session: Session, answer: BindingAcknowledgement) -> bool:
        """Whether our clock was wrong; then the attachment has another time, and all are told again."""
        stamp = timestamp_of(answer)
        if stamp is None or session.corrections >= CORRECTIONS_MAX:
            return False
        ahead = wall_clock(stamp) - (self._epoch + self._offset + self._now)
        if self._offset + ahead > FAR:
            return False
        if answer.status == Status.TIMESTAMP_MISMATCH:
            self._offset += ahead
            session.attached = 0
        elif answer.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED and ahead > 0:
            self._offset += ahead
            if ahead <= self.configuration.clock_window:
                return False
        else:
            return False
        session.corrections += 1
        self._report("clock-corrected", milliseconds=self._offset // 1_000_000)
        began = session.since if session.presence is SERVED else min(session.since, session.left)
        session.attached = max(ticks(self._epoch + self._offset + began), session.attached + 1)
        return True

    def _on_answer_after(self, session: Session, answer: BindingAcknowledgement, source: Address) -> None:
        """Whether the node is still in the domain."""
        if session.presence is not AWAY:
            return
        self._timers.stop(("gone", session.node))
        if answer.status < REFUSING:
            self.direct.told.pop(session.node, None)
            if answer.lifetime == 0:
                self._on_gone(session)
                return
            session.lifetime = max(answer.lifetime, SHORTLY)
            self._after(session.lifetime, "expiry", session.node)
            return
        self._ask_on(session, answer)

    def _ask_on(self, session: Session, answer: BindingAcknowledgement) -> None:
        """It moved on: who serves it now is asked, and then tells us."""
        named = answer.first(ServingMaar)
        asked = self.direct.told.setdefault(session.node, set())
        if named is not None and named.address == self.configuration.address:
            # To others it is here, and was here last. We forgot that, and it is not here: say so, a little later.
            session.attached = max(self._clock(), session.attached + 1)
            self._keep(session)
        elif named is not None and named.address in self._peers and named.address not in asked:
            asked.add(named.address)
            self._ask_after(session, named.address)
            return
        self.direct.told.pop(session.node, None)
        self._after(SHORTLY, "expiry", session.node)

    def _on_end_answered(self, session: Session, answer: BindingAcknowledgement, prefix: Prefix) -> None:
        """The other end of a prefix heard that it is over, or knows better."""
        if session.presence is AWAY:
            self._on_retirement_answered(session, prefix, answer.status)
            if answer.status >= REFUSING and session.node in self.sessions:
                self._ask_on(session, answer)
            return
        if session.presence is not DEPARTED or ("gone", session.node) not in self._timers:
            return
        if answer.status < REFUSING:
            self._remove_foreign(session, prefix)
            self._keep(session)
            if session.node not in self.direct.requests:
                self._on_gone(session)
            return
        self._timers.stop(("gone", session.node))
        self._forget_requests(session.node)
        self._after(session.lifetime, "expiry", session.node)
        serving = answer.first(ServingMaar)
        if serving is not None:
            self._tell_peer(session, serving.address)

    # --- the CMD ------------------------------------------------------------------------------------------------------

    def _deny(self, session: Session) -> None:
        """It does not want the node. We serve it all the same; it is told again with the next refresh."""
        if session.legacy:
            super()._deny(session)

    def _on_accepted(self, session: Session, request: BindingUpdate | None, answer: BindingAcknowledgement) -> None:
        """It knows; and perhaps it knows of others, which are told."""
        session.corrections = 0
        self._learn_previous(session, answer.options)

    def _learn_previous(self, session: Session, options: Iterable[MobilityOption]) -> None:
        """Who is said to anchor something for the node is told, and says itself what it is."""
        for option in options:
            if not isinstance(option, PreviousMaar) or option.prefix in session.anchored:
                continue
            if not self._is_ending(session, option.prefix, option.maar):
                self._tell_once(session, option.maar)

    # --- time -----------------------------------------------------------------------------------------------------

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        session = self.sessions.get(key) if kind in ("seek", "settle") else None
        if session is None:
            super()._on_timer(name)
        elif kind == "seek":
            self._ask_neighbours(session)
        else:
            self._settle(session)
