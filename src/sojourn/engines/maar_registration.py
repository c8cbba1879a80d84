"""A MAAR asks the CMD: registration, refresh, de-registration, and what the answers mean (RFC 8885 3.1 to 3.6).

One clock question is settled here. Attachments are ordered by their Timestamp (design decision 7), so a router whose
clock is behind would lose every race. When the CMD says that our clock is off (status 156, or 157 with a time far
from ours) the difference is kept and added to later timestamps; the system's clock stays as it is (RFC 5213 6.9.1.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sojourn.core.effects import DeleteBinding, ProbeNode, SendMessage, StoreBinding
from sojourn.engines.configuration import Mode, logical_link_local
from sojourn.engines.maar_session import DEPARTED, REFUSED, SERVED, Session
from sojourn.engines.maar_state import MaarState
from sojourn.engines.registration import (
    DISTRIBUTED,
    HANDOFFS,
    LISTED_PREFIXES,
    LOCAL_PREFIXES,
    PROXY,
    PROXY_DMM,
    REFUSING,
    identifier_option,
)
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    AccessTechnologyType,
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    DlifLinkLocalAddress,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    LocalPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    PreviousMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant, WallClock, ticks, wall_clock

_IDENTIFYING = frozenset({HandoffIndicator, AccessTechnologyType, MobileNodeLinkLayerIdentifier})
"""Options of every registration that its answer returns, if it returns them, as they were."""
_CORRECTIONS_MAX = 3
_EXCHANGES_MAX = 8
"""Prefixes tried for one attachment. With the leaps of the pool they reach beyond 20,000 that are in use."""
_RETRY_AFTER = 30 * SECOND
FORGETFUL = b"\0"
"""Key of a record that says: we began without memory, and do not know yet what the CMD remembers."""
_LOCATOR_CHECK = 3 * SECOND
"""Locator mode: a previous MAAR's answer may be lost and nobody would know; the first refresh comes early."""


class RegistrationProcedures(MaarState):
    """The MAAR as the one that asks."""

    _offset: WallClock = 0
    """The CMD's clock minus ours, where that is more than the window."""
    _forgetful = False
    """We began without memory and asked the CMD, which did not answer yet."""
    _ask_again: Duration = SECOND
    _asked: Instant = 0

    # --- asking ---------------------------------------------------------------------------------------------------

    def _clock(self) -> int:
        return ticks(self._epoch + self._offset + self._now)

    def _register(self, session: Session, handoff: Handoff) -> None:
        """RFC 8885 3.1 step 2: the Proxy Binding Update, which lists all that the node has here."""
        if session.legacy:
            flags, stamp = PROXY, self._clock()
            networks = list(session.anchored) or [ANY]
            more: list[MobilityOption] = []
        else:
            flags, stamp = PROXY_DMM, session.attached
            networks = self._anchored_here(session) or [ANY]
            more = [AnchoredPrefix.of(prefix) for prefix in list(session.anchored)[:LISTED_PREFIXES]]
            more += [LocalPrefix.of(route) for route in self.configuration.routes[:LOCAL_PREFIXES]]
        options: tuple[MobilityOption, ...] = (
            identifier_option(session.node),
            *[HomeNetworkPrefix.of(prefix) for prefix in networks],
            HANDOFFS[handoff],
            self._technology,
            MobileNodeLinkLayerIdentifier(session.link_layer),
            Timestamp(stamp),
            *more,
        )
        update = BindingUpdate(self._next_sequence(session), flags, self.configuration.lifetime, options)
        self._request("register", session, update)

    def _deregister(self, session: Session) -> None:
        """RFC 8885 3.5: lifetime 0. The CMD answers with more than 0 when the node is still somewhere."""
        networks = list(session.anchored) if session.legacy else self._anchored_here(session) or [ANY]
        options: tuple[MobilityOption, ...] = (
            identifier_option(session.node),
            *(HomeNetworkPrefix.of(prefix) for prefix in networks),
            HANDOFFS[Handoff.UNKNOWN],
            self._technology,
            Timestamp(self._clock() if session.legacy else session.attached),
        )
        flags = PROXY if session.legacy else PROXY_DMM
        self._requests.cancel(("register", session.node, self.configuration.cmd, None))
        self._request("deregister", session, BindingUpdate(self._next_sequence(session), flags, 0, options))

    def _request(self, purpose: str, session: Session, update: BindingUpdate) -> None:
        self._requests.start((purpose, session.node, self.configuration.cmd, None), update, self._now)

    def _on_request_due(self, key: Key) -> None:
        """No answer in time: again. The sequence number that goes out is the one that the session goes on from."""
        session = self.sessions.get(key[1])
        request = self._requests.get(key)
        unanswered = request is not None and request.attempts > 0
        if key[0] == "deregister" and unanswered and session is not None and session.legacy:
            self._report("deregistered", node=session.node)  # RFC 5213 6.9.1.4: answered or not
            self._remove(session)
            return
        self._requests.due(key, self._now)
        request = self._requests.get(key)
        if request is None or session is None or request.sent != self._now:
            return
        session.sequence = request.update.sequence
        if request.attempts > 1:
            self._report("retransmitted", purpose=key[0], node=key[1], attempt=request.attempts)

    def _on_refresh_request(self) -> None:
        """A CMD lost its memory (Binding Refresh Request, RFC 6275 6.1.2): tell it all, a little apart.

        A node that departed may be at a MAAR that does not know of us, as nobody could tell it: we speak for ourselves.
        """
        known = (SERVED, DEPARTED)
        sessions = [session for session in self.sessions.values() if session.presence in known]
        for index, session in enumerate(sessions):
            session.seen = self._now
            self._after(index * SECOND // 1000, "refresh", session.node)
        self._report("refresh-requested", sessions=len(sessions))

    def _ask_for_memory(self) -> None:
        """The CMD may know what we anchor: it tells us again, if we ask (Binding Refresh Request, RFC 6275 6.1.2).

        Asked again until the CMD returns the request, which has a Timestamp and so is told from one of its own.
        """
        self._asked = self._now
        request = BindingRefreshRequest((Timestamp(self._clock()),))
        self._do(SendMessage(request, self.configuration.address, self.configuration.cmd))
        self._after(self._ask_again, "memory", None)
        self._ask_again = min(2 * self._ask_again, self.configuration.retransmission.max_bindack_timeout)

    def _forget(self) -> None:
        """We know that we do not know what we anchor."""
        if not self._forgetful:
            self._forgetful = True
            self._do(StoreBinding(FORGETFUL, b""))
            self._ask_for_memory()

    def _remember(self) -> None:
        """The CMD heard that we asked."""
        if not self._forgetful:
            return
        self._forgetful = False
        if self._ask_again == 2 * SECOND:  # asked once: the first round trip that we see
            self._requests.learn("register", self.configuration.cmd, self._now - self._asked)
        self._ask_again = SECOND
        self._timers.stop(("memory", None))
        self._do(DeleteBinding(FORGETFUL))

    def _on_refresh_message(self, request: BindingRefreshRequest) -> None:
        """From the CMD: the answer to ours, or because it lost its own memory."""
        if request.first(Timestamp) is not None:
            self._remember()
            return
        self._on_refresh_request()
        if self._forgetful:
            self._ask_again = SECOND
            self._ask_for_memory()

    # --- answers --------------------------------------------------------------------------------------------------

    def _on_acknowledgement(self, acknowledgement: BindingAcknowledgement, source: Address) -> None:
        firsts = acknowledgement.firsts()
        identifier: MobileNodeIdentifier | None = firsts.get(MobileNodeIdentifier)
        session = None if identifier is None else self.sessions.get(identifier.key())
        if source == self.configuration.cmd or source in self._peers:
            self.heard[source] = self._now
        if session is None:
            if source != self.configuration.cmd or not self._on_given_back(identifier, acknowledgement, firsts):
                self._report("acknowledgement-unexpected", source=source, sequence=acknowledgement.sequence)
        elif source == self.configuration.cmd:
            self._on_answer_of_database(session, acknowledgement, firsts)
        elif source in self._peers:
            self._on_answer_of_anchor(session, acknowledgement, source)
        else:
            self._report("acknowledgement-unexpected", source=source, sequence=acknowledgement.sequence)

    def _on_given_back(
        self, identifier: MobileNodeIdentifier | None, answer: BindingAcknowledgement, firsts: dict[type, Any]
    ) -> bool:
        """Whether it is about a prefix that a node gave back before it left us."""
        anchored: AnchoredPrefix | None = firsts.get(AnchoredPrefix)
        if identifier is None or anchored is None:
            return False
        key = ("retire", identifier.key(), self.configuration.cmd, anchored.prefix)
        return self._requests.answered(key, answer.sequence, self._now) is not None

    def _on_answer_of_database(self, session: Session, answer: BindingAcknowledgement, firsts: dict[type, Any]) -> None:
        anchored: AnchoredPrefix | None = firsts.get(AnchoredPrefix)
        cmd = self.configuration.cmd
        if anchored is not None:
            if self._requests.answered(("retire", session.node, cmd, anchored.prefix), answer.sequence, self._now):
                self._on_retirement_answered(session, anchored.prefix, answer.status)
                return
        elif self._requests.answered(("deregister", session.node, cmd, None), answer.sequence, self._now):
            self._on_deregistered(session, answer)
            return
        request = self._requests.answered(("register", session.node, cmd, None), answer.sequence, self._now)
        if session.presence is not SERVED:
            return  # it left meanwhile; what the CMD granted runs out
        if request is not None and not _echoes(request, firsts):
            self._report("acknowledgement-mismatch", node=session.node)  # RFC 5213 6.9.1.2, 6.
        elif request is not None or _timestamp(answer) == session.attached:
            self._on_registration_answered(session, request, answer)
        else:
            self._report("acknowledgement-unexpected", source=cmd, sequence=answer.sequence)

    def _on_registration_answered(
        self, session: Session, request: BindingUpdate | None, answer: BindingAcknowledgement
    ) -> None:
        if request is not None and not answer.flags & DISTRIBUTED:
            self._on_legacy_answer(session, answer)
        elif answer.status < REFUSING:
            self._on_accepted(session, request, answer)
        elif request is not None:
            self._on_refused(session, answer)

    def _on_accepted(self, session: Session, request: BindingUpdate | None, answer: BindingAcknowledgement) -> None:
        """RFC 8885 3.2 step 4, 3.4: the binding stands; ways for the prefixes of previous MAARs."""
        first = not session.confirmed
        self._confirm(session, answer.lifetime)
        before = set(session.anchored)
        self._learn_previous(session, answer.options)
        refreshed = request is not None and _handoff(request) == Handoff.NOT_CHANGED
        gone: tuple[Prefix, ...] = ()
        if refreshed:  # the list is complete: what it lacks is over
            listed = {option.prefix for option in answer.all(PreviousMaar)}
            gone = tuple(prefix for prefix in before if prefix not in listed)
            for prefix in gone:
                self._remove_foreign(session, prefix)
        if first or gone or set(session.anchored) != before:
            self._advertise(session, gone)
            self._keep(session)
        if first:
            self._report("registered", node=session.node, previous=len(session.anchored))
        self._on_settled(session.node)

    def _confirm(self, session: Session, lifetime: int) -> None:
        session.confirmed = True
        session.corrections = 0
        session.contested = False
        session.lifetime = max(lifetime, 4 * SECOND)
        session.expires = self._now + session.lifetime
        self._after(session.lifetime // 2, "refresh", session.node)

    def _learn_previous(self, session: Session, options: Iterable[MobilityOption]) -> None:
        """Previous MAAR options, each followed by what belongs to that MAAR: its DLIF and its local networks."""
        anchor: Address | None = None
        identities: dict[Address, Address] = {}
        routes: dict[Address, list[Prefix]] = {}
        for option in options:
            if type(option) is PreviousMaar:
                anchor = option.maar
                if anchor == self.configuration.address or not self._add_foreign(session, option.prefix, anchor):
                    anchor = None
            elif anchor is None:
                pass
            elif type(option) is DlifLinkLocalAddress:
                identities[anchor] = option.address
            elif type(option) is LocalPrefix:
                routes.setdefault(anchor, []).append(option.prefix)
        if routes:
            self._learn_logical(session, routes, identities)

    def _learn_logical(
        self, session: Session, routes: dict[Address, list[Prefix]], identities: dict[Address, Address]
    ) -> None:
        for anchor, networks in routes.items():
            session.routes[anchor] = tuple(networks[:LOCAL_PREFIXES])
            identity = identities.get(anchor, b"")
            if identity[:8] != b"\xfe\x80" + bytes(6) or identity == self.configuration.link_local:
                # None told, or not a link-local address, or the one that all routers show already.
                identity = logical_link_local(anchor)
            self._ensure_logical(session, anchor, identity)

    def _on_answer_of_anchor(self, session: Session, answer: BindingAcknowledgement, anchor: Address) -> None:
        """RFC 8885 3.3: a previous MAAR answers us; its address is the source, its prefix the Home Network Prefix."""
        if (
            session.presence is not SERVED
            or self.configuration.mode is not Mode.LOCATOR
            or _timestamp(answer) != session.attached
            or answer.status >= REFUSING
        ):
            self._report("acknowledgement-unexpected", source=anchor, sequence=answer.sequence)
            return
        self._requests.cancel(("register", session.node, self.configuration.cmd, None))
        first = not session.confirmed
        options: list[MobilityOption] = []
        for option in answer.all(HomeNetworkPrefix):
            if option.prefix != ANY:
                options.append(PreviousMaar.of(option.prefix, anchor))
        options += [option for option in answer.options if isinstance(option, DlifLinkLocalAddress | LocalPrefix)]
        self._confirm(session, answer.lifetime or self.configuration.lifetime)
        self._after(_LOCATOR_CHECK, "refresh", session.node)
        session.seen = self._now
        before = set(session.anchored)
        self._learn_previous(session, options)
        if first or set(session.anchored) != before:
            self._advertise(session)
            self._keep(session)
        if first:
            self._report("registered", node=session.node, previous=len(session.anchored))
        self._on_settled(session.node)

    # --- refusals -------------------------------------------------------------------------------------------------

    def _on_refused(self, session: Session, answer: BindingAcknowledgement) -> None:
        """RFC 5213 6.9.1.2, 7. to 10."""
        status = answer.status
        self._report("registration-refused", node=session.node, status=status)
        corrected = self._correct_clock(answer)
        session.corrections += 1
        again = session.corrections <= _CORRECTIONS_MAX
        others = session.corrections <= _EXCHANGES_MAX
        if status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED and not corrected:
            session.contested = True
            session.probes = 0
            self._probe(session)
        elif status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and again:
            session.sequence = answer.sequence
            self._register(session, Handoff.NOT_CHANGED)
        elif corrected and again:
            ahead = status == Status.TIMESTAMP_MISMATCH  # then ours was never accepted, and need not be surpassed
            session.attached = self._clock() if ahead else max(self._clock(), session.attached + 1)
            self._register(session, Handoff.UNKNOWN)
        elif status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX and others and session.own is not None:
            self._forget()  # there may be more that we gave out and do not know of
            self._exchange_own(session)
        elif status == Status.INSUFFICIENT_RESOURCES:
            self._postpone(session)
        else:
            self._deny(session)

    def _correct_clock(self, answer: BindingAcknowledgement) -> bool:
        """Whether the answer showed that our clock is off by more than the window; then the difference is kept."""
        stamp = _timestamp(answer)
        if stamp is None or answer.status not in (
            Status.TIMESTAMP_MISMATCH,
            Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED,
        ):
            return False
        difference = wall_clock(stamp) - (self._epoch + self._offset + self._now)
        if abs(difference) <= self.configuration.clock_window and answer.status != Status.TIMESTAMP_MISMATCH:
            return False
        self._offset += difference
        self._report("clock-corrected", milliseconds=self._offset // 1_000_000)
        return True

    def _exchange_own(self, session: Session) -> None:
        """The CMD says that our prefix is somebody else's: take another one (the first one rests in quarantine)."""
        old = session.own
        assert old is not None
        self._remove_own(session)
        self._take_all_back(session)  # it was one of these, perhaps
        self.pool.leap()
        self._give(session, self.pool.allocate(self._now))
        session.attached += 1
        self._register(session, Handoff.UNKNOWN)
        self._serve(session)
        self._advertise(session, (old,))
        self._keep(session)

    def _postpone(self, session: Session) -> None:
        """The CMD has no room now: no mobility service (RFC 5213 6.9.1.2, 11.), and the node is registered later.

        Its connectivity here needs no CMD and stays.
        """
        self._after(_RETRY_AFTER, "refresh", session.node)
        session.seen = self._now
        session.lifetime = self.configuration.lifetime
        session.corrections = 0

    def _deny(self, session: Session) -> None:
        """No service: the prefix ends, nothing is forwarded, and the node may try again later."""
        gone = tuple(prefix for prefix in (session.own, *session.anchored) if prefix is not None)
        for prefix in list(session.anchored):
            self._remove_foreign(session, prefix)
        self._remove_own(session)
        self._take_all_back(session)
        self._advertise(session, gone)
        self._quiet(session)
        self._forget_listener(session)
        session.become(REFUSED)
        self._keep(session)
        self._after(_RETRY_AFTER, "retry", session.node)

    def _on_retry(self, session: Session) -> None:
        """Forget that it was refused; if it is still there, its answer makes it a newcomer."""
        self._do(ProbeNode(session.interface, session.link_layer, self._known_address(session)))
        self._remove(session)

    # --- de-registration --------------------------------------------------------------------------------------------

    def _on_deregistered(self, session: Session, answer: BindingAcknowledgement) -> None:
        if session.presence is SERVED:
            return
        if answer.status >= REFUSING or (answer.lifetime > 0 and not session.legacy):
            # RFC 8885 3.5: the node is still in the domain, so what we anchor for it stays.
            session.lifetime = max(answer.lifetime, 4 * SECOND)
            self._after(session.lifetime, "expiry", session.node)
            return
        self._report("deregistered", node=session.node)
        self._remove(session)

    # --- a legacy LMA (design decision 3) -----------------------------------------------------------------------------

    def _on_legacy_answer(self, session: Session, answer: BindingAcknowledgement) -> None:
        """No D flag in the answer: for this node we are a MAG, and the LMA assigns and anchors (RFC 5213 6.9.1.2)."""
        cmd = self.configuration.cmd
        self._remember()  # it does not know what we ask for
        if answer.status >= REFUSING:
            if session.legacy:
                self._on_refused(session, answer)
                return
            self._report("legacy-lma", lma=cmd, status=answer.status)
            session.legacy = True
            self._register(session, Handoff.UNKNOWN)
            return
        session.legacy = True
        first = not session.confirmed
        self._confirm(session, answer.lifetime)
        prefixes = [option.prefix for option in answer.all(HomeNetworkPrefix) if option.prefix != ANY]
        gone: tuple[Prefix, ...] = ()
        if session.own is not None and session.own not in prefixes:
            gone = (session.own,)
            self._remove_own(session)
        for prefix in prefixes:
            if prefix != session.own:
                self._add_foreign(session, prefix, cmd)
        if first:
            self._advertise(session, gone)
            self._keep(session)
            self._report("registered", node=session.node, previous=0, legacy=1)
        self._on_settled(session.node)


def _timestamp(message: BindingAcknowledgement) -> int | None:
    option = message.first(Timestamp)
    return None if option is None else option.ticks


def _handoff(update: BindingUpdate) -> int:
    option = update.first(HandoffIndicator)
    return 0 if option is None else option.indicator


def _echoes(request: BindingUpdate, answered: dict[type, Any]) -> bool:
    """RFC 5213 6.9.1.2, 6.: an answer that returns other identifying options than the request had is not one to it."""
    for option in request.options:
        if type(option) in _IDENTIFYING:
            returned = answered.get(type(option), option)
            if returned is not option and returned != option:
                return False
    return True
