"""Direct mode: what other MAARs tell a MAAR and ask it, without a CMD between them.

There is no arbiter. An attachment is known by its Timestamp and, if two have the same, by the address of the MAAR that
serves: everybody compares in the same way, so that all come to the same end in whatever order they hear. Who is too
late learns where the node is (Serving MAAR option) and goes there; who serves the node, and hears from somebody that
is too late, tells it. A clock that is behind would lose for ever, so a MAAR's clock is never behind a time that it
heard of (as Lamport's); the system's clock stays as it is.

A MAAR that is asked answers for itself and from memory, never by asking on: a question costs one answer. The RFC has
no procedure for this; messages and options are its own. Three kinds of Proxy Binding Update come from a peer:

* "I serve this node" (a lifetime; Serving MAAR is the sender, Previous MAAR what it knows of): we let go, forward what
  we anchor, and answer with that, with whom else the node's prefixes are (Previous MAAR), and, if we only anchor, with
  who served it so far (Serving MAAR). A second Timestamp says when it was here last, so that the oldest is known.
* "this prefix is over" (lifetime 0, Anchored Prefix): from its anchor, as nothing was sent from it, or from the MAAR
  that serves, as the node left the domain or has too many.
* "is this node still with you?" (lifetime 0): from an anchor whose time is over.
"""

from __future__ import annotations

from sojourn.core.effects import SendMessage
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_session import AWAY, SERVED, Session
from sojourn.engines.neighbourhood import FAR, Neighbourhood
from sojourn.engines.registration import LISTED_PREFIXES, PROXY_DMM, Refused, Registration, echo, refusal
from sojourn.wire import (
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    Handoff,
    HomeNetworkPrefix,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import SECOND, Duration, wall_clock

SHORTLY = 4 * SECOND
"""The shortest lifetime that a message can tell."""
_REMINDED_EVERY = 10 * SECOND
"""A MAAR that begins without memory is told what it forgot this often."""


class ToldDirectly(MobilityAnchorAccessRouter):
    """The MAAR as one that others tell and ask."""

    direct: Neighbourhood

    def _on_update(self, update: BindingUpdate, source: Address) -> None:
        if source not in self._peers:
            super()._on_update(update, source)
            return
        self.heard[source] = self._now
        try:
            if update.flags & PROXY_DMM != PROXY_DMM:
                raise Refused(Status.PROXY_REG_NOT_ENABLED, "not a distributed proxy registration (flags A, P, D)")
            request = Registration.of(update, source)
            self._follow_clock(request.timestamp)
            if request.lifetime > 0:
                self._on_served_elsewhere(request, update)
            elif request.anchored_prefixes:
                self._on_prefix_over(request, update, request.anchored_prefixes[0])
            else:
                self._on_asked_after(request, update)
        except Refused as refused:
            self._report("update-refused", source=source, status=int(refused.status), reason=refused.reason)
            if update.flags & BindingUpdateFlags.A:
                self._send(refusal(update, refused, self._clock()), source)

    def _follow_clock(self, timestamp: int) -> None:
        """Our clock is not behind a time that somebody told us. How far is counted from the system's clock: many
        messages do not lead further than one.
        """
        ahead = wall_clock(timestamp) - (self._epoch + self._now)
        if ahead > FAR:
            raise Refused(Status.TIMESTAMP_MISMATCH, "timestamp lies in the future")
        self._offset = max(self._offset, ahead)

    # --- "I serve this node" ----------------------------------------------------------------------------------------

    def _on_served_elsewhere(self, request: Registration, update: BindingUpdate) -> None:
        """RFC 8885 3.2 step 3, from the serving MAAR itself. Tunnel, then route, and only then the answer."""
        source = request.source
        if request.serving != source:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the serving MAAR speaks for itself")
        session = self.sessions.get(request.node)
        if session is None:
            session = self._remembered(request, update)
        held = self._held_for(request, update)
        if session is None:
            self._answer_about(request, update, request.lifetime, held)
            return
        if (request.timestamp, source) < (session.attached, self._served_by(session)):
            raise self._too_late(session, request, update)
        if request.timestamp == session.attached and session.presence is SERVED:
            session.contested = True  # of two that came at one instant only the node itself knows which was the later
        if request.refreshes:
            self.direct.handed.pop(session.node, None)  # it has what we said
        elsewhere = self._known_elsewhere(session, source)
        more = (*[option for option in held if option not in elsewhere], *elsewhere)  # the latter are in order
        ours = self._anchored_here(session)
        if request.refreshes and session.serving == source and session.attached == request.timestamp:
            self._go_on(session, request.lifetime)
            ours = tuple([prefix for prefix in ours if not self._is_ending(session, prefix, source)])
        else:
            self._give_up(session, source, request.timestamp, request.lifetime)
        self._answer_about(request, update, request.lifetime, (*self._identity(), *more), ours)
        if not ours and not session.anchored:
            if more:  # our answer may get lost, and the question come again
                self._after(self.configuration.forward_grace, "grace", session.node)
            else:
                self._end_here(session)

    def _end_here(self, session: Session) -> None:
        """Its prefixes are over: what was said of this attachment before that, and comes now, brings none back."""
        over = self._anchored_here(session)
        self._remove(session)
        for prefix in over:
            self._note_over(prefix, session.node, session.attached + 1)

    def _go_on(self, session: Session, lifetime: Duration) -> None:
        """It is where it was, for another lifetime: neither kernel nor disk has to know."""
        session.lifetime = max(lifetime, SHORTLY)
        self._timers.stop(("gone", session.node))
        self._after(session.lifetime, "expiry", session.node)

    def _served_by(self, session: Session) -> Address:
        """The MAAR that serves it, as far as we know."""
        here = session.presence is not AWAY or session.serving is None
        return self.configuration.address if here else session.serving  # type: ignore[return-value]

    def _remembered(self, request: Registration, update: BindingUpdate) -> Session | None:
        """We lost our memory, and others say what we anchor."""
        listed = [one.prefix for one in update.all(PreviousMaar) if one.maar == self.configuration.address]
        ours = [prefix for prefix in listed if not self._is_over(prefix, request)]
        if not ours:
            return None
        request.home_network_prefixes = ours
        return self._adopt(request)

    def _may_exchange(self, newcomer: Session) -> bool:
        return newcomer.presence is SERVED and self._now < self.direct.settled

    def _known_elsewhere(self, session: Session, serving: Address) -> tuple[MobilityOption, ...]:
        """Whom else to tell: what we served for others until now, or who served it.

        And those that we told, and that did not answer yet: to them the node is here. Of what prefix, nobody knows.
        """
        handed = self.direct.handed
        if session.presence is not AWAY:
            listed = [PreviousMaar.of(ANY, maar) for maar in self._unheard(session) if maar != serving]
            known = {**self.direct.named.get(session.node, {}), **session.anchored}
            listed += [PreviousMaar.of(*pair) for pair in known.items() if pair[1] != serving]
            handed[session.node] = tuple(listed[-LISTED_PREFIXES:])
        elif session.serving is not None and session.serving != serving:
            return (ServingMaar(session.serving), *handed.get(session.node, ()))
        return handed.get(session.node, ())

    def _too_late(self, session: Session, request: Registration, update: BindingUpdate) -> Refused:
        """A later attachment is known. If it is here, whoever is late has prefixes that we did not hear of."""
        if session.presence is not AWAY:
            self._learn_late(session, request, update)
        where = ServingMaar(self._served_by(session))
        return Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known here", more=(where,))

    def _learn_late(self, session: Session, request: Registration, update: BindingUpdate) -> None:
        before = set(session.anchored)
        self._serve_for(session, request.home_network_prefixes, request.source)
        self._tell_peer(session, request.source)
        for option in update.all(PreviousMaar):
            if option.maar not in session.anchored.values():
                self._tell_once(session, option.maar, bulk=True)
        if set(session.anchored) != before:
            self._on_prefixes_changed(session)

    # --- "this prefix is over" --------------------------------------------------------------------------------------

    def _on_prefix_over(self, request: Registration, update: BindingUpdate, prefix: Prefix) -> None:
        session = self.sessions.get(request.node)
        if session is not None:
            claim = request.timestamp, request.source
            if prefix in self._anchored_here(session):
                if claim < (session.attached, self._served_by(session)):
                    raise self._elsewhere(session)
                self._let_go_of(session, prefix)
            elif session.presence is AWAY:
                raise self._elsewhere(session)
            elif request.timestamp < session.attached:  # it does not know where the node is: it cannot know this
                self._tell_peer(session, request.source)
                raise self._elsewhere(session)
            elif session.anchored.get(prefix) == request.source:
                self._let_go_of(session, prefix)
                self._unask(session, request.source)  # an answer on its way may list it still
                self._plan_settling(session)
        self._answer_about(request, update, 0, ())

    def _elsewhere(self, session: Session) -> Refused:
        where = ServingMaar(self._served_by(session))
        return Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "ask whoever serves it", more=(where,))

    # --- "is this node still with you?" -----------------------------------------------------------------------------

    def _on_asked_after(self, request: Registration, update: BindingUpdate) -> None:
        """RFC 8885 3.5, second solution, asked of the serving MAAR: for how long its anchor is to go on."""
        session, source = self.sessions.get(request.node), request.source
        lifetime: Duration = 0
        if session is None:
            if self._now < self.direct.settled:
                lifetime = max(self.direct.settled - self._now, SHORTLY)
        elif session.presence is AWAY and session.serving == source and request.timestamp >= session.attached:
            self._after(0, "expiry", session.node)  # each of us believes that the other one serves it: nobody does
        elif session.presence is AWAY:
            raise self._elsewhere(session)
        else:
            lifetime = max(session.expires - self._now, SHORTLY)
            if request.timestamp > session.attached:
                session.attached = request.timestamp
                self._keep(session)
            self._keep_for(session, request)
            if request.timestamp < session.attached:
                self._tell_peer(session, source)
        self._answer_about(request, update, lifetime, ())

    def _keep_for(self, session: Session, request: Registration) -> None:
        """The anchor lists what it has for the node; what we do not know of, we forgot, or were never told."""
        before = set(session.anchored)
        self._serve_for(session, request.home_network_prefixes, request.source)
        if set(session.anchored) != before:
            self._on_prefixes_changed(session)

    # --- what was forgotten -----------------------------------------------------------------------------------------

    def _is_question_of_peer(self, request: BindingRefreshRequest, source: Address) -> bool:
        self.heard[source] = self._now
        self._on_refresh_request_of_peer(request, source)
        return True

    def _on_refresh_request_of_peer(self, request: BindingRefreshRequest, source: Address) -> None:
        """It began without memory (RFC 6275 6.1.2) and is told what it anchors and serves; or it heard our question.

        The answer has the time of both, so that it is never answered.
        """
        stamps = request.all(Timestamp)
        if len(stamps) > 1:
            if self.direct.reminding.get(source) == stamps[0].ticks:
                self._reminded_by(source)
            return
        last = self.direct.reminded.get(source)
        if last is not None and self._now - last < _REMINDED_EVERY:
            return  # it asks again
        answer = BindingRefreshRequest((*stamps, Timestamp(self._clock())))
        self._do(SendMessage(answer, self.configuration.address, source))
        told = 0
        for session in self.sessions.values():
            if session.presence is AWAY and session.serving == source:
                self._after(told * SECOND // 1000, "expiry", session.node)
            elif session.presence is not AWAY and source in session.anchored.values():
                self._tell_peer(session, source, Handoff.NOT_CHANGED, bulk=True)
            else:
                continue
            told += 1
        if told:
            self.direct.reminded[source] = self._now
        self._report("refresh-requested", maar=source, sessions=told)

    # --- answering ----------------------------------------------------------------------------------------------------

    def _answer_about(
        self,
        request: Registration,
        update: BindingUpdate,
        lifetime: Duration,
        more: tuple[MobilityOption, ...],
        ours: tuple[Prefix, ...] = (),
    ) -> None:
        """What we anchor, whatever was asked for (RFC 8885 3.2 step 3), and what else we know."""
        self._insist(request.node)
        options = list(echo(update, prefixes=False))
        if update.lifetime:
            options += [HomeNetworkPrefix.of(prefix) for prefix in ours or (ANY,)]
        if ours:
            options.append(Timestamp(self.sessions[request.node].served))
        self._send(self._acceptance(update.sequence, lifetime, (*options, *more)), request.source)

    # --- what the other halves provide --------------------------------------------------------------------------------

    def _held_for(self, request: Registration, update: BindingUpdate) -> tuple[MobilityOption, ...]:
        """What the node has of pools that are not ours and that we hold."""
        raise NotImplementedError

    def _tell_peer(
        self, session: Session, maar: Address, handoff: Handoff = Handoff.UNKNOWN, *, bulk: bool = False
    ) -> None:
        """Say that we serve it."""
        raise NotImplementedError

    def _tell_once(
        self, session: Session, maar: Address, handoff: Handoff = Handoff.UNKNOWN, *, bulk: bool = False
    ) -> None:
        """The same, if `maar` was not told since we look for the node's previous MAARs."""
        raise NotImplementedError

    def _serve_for(self, session: Session, prefixes: list[Prefix], anchor: Address) -> None:
        """`anchor` says that it anchors these for the node."""
        raise NotImplementedError

    def _unask(self, session: Session, maar: Address) -> None:
        """What it answers to what we told it is old."""
        raise NotImplementedError

    def _unheard(self, session: Session) -> list[Address]:
        """Who was told that we serve it, and did not answer."""
        raise NotImplementedError

    def _is_ending(self, session: Session, prefix: Prefix, anchor: Address) -> bool:
        """Whether we told `anchor` that this is over, and it did not answer yet."""
        raise NotImplementedError

    def _on_prefixes_changed(self, session: Session, gone: tuple[Prefix, ...] = ()) -> None:
        """The node has other prefixes than before."""
        raise NotImplementedError

    def _plan_settling(self, session: Session) -> None:
        """When all that comes at once has come: limits, and the CMD."""
        raise NotImplementedError

    def _reminded_by(self, source: Address) -> None:
        """It heard our question."""
        raise NotImplementedError

    def _forget_requests(self, node: bytes) -> None:
        """Nobody is asked anything about it any more."""
        raise NotImplementedError
