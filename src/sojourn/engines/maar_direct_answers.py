"""Direct mode: what the answers of others mean, peers and the CMD alike (see `maar_direct`)."""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import dropwhile, pairwise
from typing import Any

from sojourn.engines.gateway_registration import CORRECTIONS_MAX, handoff_of, timestamp_of
from sojourn.engines.maar_direct_asks import AsksDirectly
from sojourn.engines.maar_direct_told import SHORTLY
from sojourn.engines.maar_session import AWAY, DEPARTED, SERVED, Session
from sojourn.engines.neighbourhood import FAR
from sojourn.engines.registration import LISTED_PREFIXES, REFUSING
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
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
from sojourn.wire.units import ticks, wall_clock


class AnsweredDirectly(AsksDirectly):
    """The MAAR as one that is answered."""

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
        if self.survival is not None:
            entrusted = self.survival.entrusted.get(source, ())
            self._learn_order(session, answer, None if serving is None else serving.address, entrusted)
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

    def _learn_order(
        self, session: Session, answer: BindingAcknowledgement, later: Address | None, held: Container[Address]
    ) -> None:
        """Where the prefixes of anchors belong that are gone, and do not say when they served last.

        What is named is in the order of whoever served the node, but for what stands before that: `held`, of pools that
        are entrusted to who answers. `later` served it after who answers, wherever its prefix stood before.
        """
        if session.node not in self.direct.told:
            return
        ranks = self.direct.ranks.get(session.node, {})
        follows = self.direct.follows.setdefault(session.node, {})
        named = [option for option in answer.all(PreviousMaar) if option.prefix != ANY]
        ordered = list(dropwhile(lambda option: option.maar in held, named))
        for before, option in pairwise(ordered):
            if option.maar == later or (later is not None and option.prefix in follows):
                continue
            if len(follows) < LISTED_PREFIXES:
                follows[option.prefix] = before.prefix
        mine = [option.prefix for option in answer.all(HomeNetworkPrefix) if option.prefix in ranks]
        if mine and later in self._peers and later is not None:
            known = follows.get(later)
            if known is None or ranks.get(known, 0) < ranks[mine[0]]:
                follows[later] = mine[0]
        if not follows:
            del self.direct.follows[session.node]

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
        named, wait = answer.first(ServingMaar), SHORTLY
        asked = self.direct.told.setdefault(session.node, set())
        if named is not None and named.address == self.configuration.address:
            # To others it is here, and was here last. We forgot that, and it is not here: say so, a little later.
            # Two that believe this of each other do not wait alike, or both would be later for ever.
            session.attached = max(self._clock(), session.attached + 1)
            if session.serving is not None and session.serving < self.configuration.address:
                wait = SHORTLY // 4
            self._keep(session)
        elif named is not None and named.address in self._peers and named.address not in asked:
            asked.add(named.address)
            self._ask_after(session, named.address)
            return
        self.direct.told.pop(session.node, None)
        self._after(wait, "expiry", session.node)

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
        """It knows; and perhaps it knows of others, which are told.

        Who was told already does not anchor what it names: that is over, as the next word to it says (`_settle`). Else
        it would refuse the prefix when its anchor gives it to somebody else.
        """
        session.corrections = 0
        self._learn_previous(session, answer.options)
        refreshed = request is not None and handoff_of(request) == Handoff.NOT_CHANGED
        known = {*session.anchored, *self.direct.named.get(session.node, ())}
        if not refreshed and any(one.prefix not in known for one in answer.all(PreviousMaar)):
            self._settle_early(session)

    def _learn_previous(self, session: Session, options: Iterable[MobilityOption]) -> None:
        """Who is said to anchor something for the node is told, and says itself what it is."""
        for option in options:
            if not isinstance(option, PreviousMaar) or option.prefix in session.anchored:
                continue
            if not self._is_ending(session, option.prefix, option.maar):
                self._tell_once(session, option.maar)

    # --- what the other half provides ---------------------------------------------------------------------------------

    def _seek(self, session: Session) -> None:
        """Look for its previous MAARs."""
        raise NotImplementedError

    def _settle_early(self, session: Session) -> None:
        """All answered already, or there is nobody to ask."""
        raise NotImplementedError

    def _ask_neighbours(self, session: Session) -> None:
        """All of them, as nobody knows where it comes from."""
        raise NotImplementedError
