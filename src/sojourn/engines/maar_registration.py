"""A MAAR asks the CMD: registration, refresh, de-registration, and what the answers mean (RFC 8885 3.1 to 3.6).

Attachments are ordered by their Timestamp (design decision 7). What a MAAR shares with a MAG is in
`gateway_registration`; towards an LMA that knows no D flag it is one (design decision 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sojourn.core.effects import DeleteBinding, SendMessage, StoreBinding
from sojourn.engines.configuration import CENTRAL, LOCATOR, RELAY, logical_link_local
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.gateway_registration import (
    CORRECTIONS_MAX,
    IDENTIFYING,
    RETRY_AFTER,
    GatewayRegistration,
    echoes,
    handoff_of,
    timestamp_of,
)
from sojourn.engines.maar_session import DEPARTED, SERVED, Session
from sojourn.engines.maar_state import MaarState
from sojourn.engines.registration import (
    DISTRIBUTED,
    LISTED_PREFIXES,
    LOCAL_PREFIXES,
    PROXY_DMM,
    REFUSING,
    Refused,
    prefixes_in,
)
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
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import SECOND, ticks

_EXCHANGES_MAX = 8
"""Prefixes tried for one attachment. With the leaps of the pool they reach beyond 20,000 that are in use."""
FORGETFUL = b"\0"
"""Key of a record that says: we began without memory, and do not know yet what the CMD remembers."""
_CHECK = 3 * SECOND
"""Locator mode: a previous MAAR's answer may be lost and nobody would know; the first refresh comes early. So does the
next one after an answer that nobody waited for, as it may be old."""


class RegistrationProcedures(GatewayRegistration[Session], MaarState):
    """The MAAR as the one that asks."""

    # --- asking ---------------------------------------------------------------------------------------------------

    def _register(self, session: Session, handoff: Handoff) -> None:
        """RFC 8885 3.1 step 2: the Proxy Binding Update, which lists all that the node has here."""
        if session.legacy:
            self._register_home(session, handoff)
            return
        networks = self._anchored_here(session)
        more: list[MobilityOption] = [Timestamp(session.attached)]
        more += [AnchoredPrefix.of(prefix) for prefix in list(session.anchored)[:LISTED_PREFIXES]]
        more += [LocalPrefix.of(route) for route in self.configuration.routes[:LOCAL_PREFIXES]]
        options = self._options(session, session.node, networks, handoff, self._technology, *more)
        update = BindingUpdate(self._next_sequence(session), PROXY_DMM, self.configuration.lifetime, options)
        self._request("register", session, update)

    def _deregister(self, session: Session) -> None:
        """RFC 8885 3.5: lifetime 0. The CMD answers with more than 0 when the node is still somewhere."""
        if session.legacy:
            self._deregister_home(session)
            return
        self._requests.cancel(("register", session.node, self.configuration.cmd, None))
        update = self._ending(session, Handoff.UNKNOWN, self._anchored_here(session) or (ANY,))
        self._request("deregister", session, update)

    def _is_told_anew(self, session: Session) -> bool:
        """A node that departed may be at a MAAR that does not know of us: nobody could tell it, so we speak up."""
        return session.presence in (SERVED, DEPARTED)

    def _is_in_doubt(self, session: Session) -> bool:
        """A CMD goes by the time of the attachment, whenever it is told."""
        return session.legacy and super()._is_in_doubt(session)

    def _ask_for_memory(self) -> None:
        """The CMD may know what we anchor: it tells us again, if we ask (Binding Refresh Request, RFC 6275 6.1.2).

        Asked again until the CMD returns the request, which has a Timestamp and so is told from one of its own.
        """
        self.memory.asked = self._now
        request = BindingRefreshRequest((Timestamp(self._clock()),))
        self._do(SendMessage(request, self.configuration.address, self.configuration.cmd))
        self._ask_for_memory_again()

    def _ask_for_memory_again(self) -> None:
        self._after(self.memory.ask_again, "memory", None)
        longest = self.configuration.retransmission.max_bindack_timeout
        self.memory.ask_again = min(2 * self.memory.ask_again, longest)

    def _forget(self) -> None:
        """We know that we do not know what we anchor."""
        if not self.memory.lost:
            self.memory.lost = True
            self._do(StoreBinding(FORGETFUL, b""))
            if self.databases is not None:
                self.databases.wait()
            self._ask_for_memory()

    def _remember(self, *, in_use: bool = False) -> None:
        """The CMD heard that we asked. `in_use`: it knows prefixes of ours that nodes have."""
        if not self.memory.lost:
            return
        self.memory.lost = False
        if self.memory.ask_again == 2 * SECOND:  # asked once: the first round trip that we see
            self._requests.learn("register", self.configuration.cmd, self._now - self.memory.asked)
        self.memory.ask_again = SECOND
        self._timers.stop(("memory", None))
        self._do(DeleteBinding(FORGETFUL))
        if self.databases is not None:  # by the end of a lifetime we were told of all that we anchor
            self.databases.remembered(self._now + self.configuration.lifetime if in_use else 0)
            self._requests.begin_anew(self.configuration.cmd, self._now)

    def _on_refresh_message(self, request: BindingRefreshRequest) -> None:
        """From the CMD: the answer to ours, or because it lost its own memory."""
        if request.first(Timestamp) is not None:
            self._remember(in_use=request.first(AnchoredPrefix) is not None)
            return
        self._on_refresh_request()
        if self.memory.lost:
            self.memory.ask_again = SECOND
            self._ask_for_memory()

    # --- answers --------------------------------------------------------------------------------------------------

    def _on_acknowledgement(self, acknowledgement: BindingAcknowledgement, source: Address) -> None:
        firsts = acknowledgement.firsts()
        identifier: MobileNodeIdentifier | None = firsts.get(MobileNodeIdentifier)
        session = None if identifier is None else self.sessions.get(identifier.key())
        if source == self.configuration.cmd or source in self._peers:
            self.heard[source] = self._now
        if session is None:
            node = b"" if identifier is None or source != self.configuration.cmd else identifier.key()
            if not node or not self._on_answered_about_unknown(node, acknowledgement, firsts):
                self._report("acknowledgement-unexpected", source=source, sequence=acknowledgement.sequence)
        elif source == self.configuration.cmd:
            self._on_answer_of_database(session, acknowledgement, firsts)
        elif source in self._peers:
            self._on_answer_of_anchor(session, acknowledgement, source)
        else:
            self._report("acknowledgement-unexpected", source=source, sequence=acknowledgement.sequence)

    def _on_answered_about_unknown(self, node: bytes, answer: BindingAcknowledgement, firsts: dict[type, Any]) -> bool:
        """Whether it is about a prefix that a node gave back before it left, or what an earlier life registered."""
        anchored: AnchoredPrefix | None = firsts.get(AnchoredPrefix)
        if anchored is None:
            return self._remember_node(node, answer, firsts)
        key = ("retire", node, self.configuration.cmd, anchored.prefix)
        return self._requests.answered(key, answer.sequence, self._now) is not None

    def _remember_node(self, node: bytes, answer: BindingAcknowledgement, firsts: dict[type, Any]) -> bool:
        """Whether an earlier life of ours registered the node, and died before it stored that, or with its store.

        To the CMD it is here, so its anchors send here what is for it. As in `_on_answered_too_late`, that would go
        back to them, to and fro. Where it is nobody knows: it departed, until it is seen, or its binding is over.
        What was registered in this life, and is over, does not come back by an answer that was long on its way.
        """
        stamp = timestamp_of(answer)
        if stamp is None or stamp > self._clock() - ticks(self._now - self.memory.begun):
            return False
        granted = answer.flags & DISTRIBUTED and answer.status < REFUSING and answer.lifetime
        if not granted or PreviousMaar not in firsts or self.configuration.mode not in CENTRAL:
            return False
        if len(self.sessions) >= self.configuration.nodes:
            return False
        ours, leased = self._ours_among(prefixes_in(HomeNetworkPrefix, answer, firsts))
        try:
            session = self._known_again(node, ours[:1], leased, DEPARTED)
        except Refused:
            return False
        session.sequence = answer.sequence
        session.attached = stamp
        session.left = self._now - self.configuration.reattach_guard  # any sign of it counts
        session.lifetime = max(answer.lifetime, 4 * SECOND)
        self._serve(session)
        self._learn_previous(session, answer.options)
        self._after(session.lifetime, "expiry", node)
        self._keep(session)
        self._report("recalled", node=node, previous=len(session.anchored))
        return True

    def _on_answer_of_database(self, session: Session, answer: BindingAcknowledgement, firsts: dict[type, Any]) -> None:
        anchored: AnchoredPrefix | None = firsts.get(AnchoredPrefix)
        cmd = self.configuration.cmd
        if anchored is not None:
            if self._requests.answered(("retire", session.node, cmd, anchored.prefix), answer.sequence, self._now):
                self._on_retirement_answered(session, anchored.prefix, answer.status)
            else:  # once more; a registration may have the same number by now, as repetitions take the next one
                self._report("acknowledgement-unexpected", source=cmd, sequence=answer.sequence)
            return
        if self._requests.answered(("deregister", session.node, cmd, None), answer.sequence, self._now):
            self._on_deregistered(session, answer)
            return
        request = self._registration_answered(session, answer, firsts)
        if session.presence is DEPARTED and (request is not None or timestamp_of(answer) == session.attached):
            self._on_answered_too_late(session, answer)
        elif session.presence is not SERVED:
            pass  # it is elsewhere
        elif request is not None and not echoes(request, firsts):
            # RFC 5213 6.9.1.2, 6.: "MUST NOT retransmit". But it may be an answer to something else that had
            # the number; the node is registered anew, later, or it would be unregistered for good.
            self._report("acknowledgement-mismatch", node=session.node)
            self._after(RETRY_AFTER, "refresh", session.node)
        elif request is not None or timestamp_of(answer) == session.attached:
            self._on_registration_answered(session, request, answer)
        else:
            self._report("acknowledgement-unexpected", source=cmd, sequence=answer.sequence)

    def _registration_answered(
        self, session: Session, answer: BindingAcknowledgement, firsts: dict[type, Any]
    ) -> BindingUpdate | None:
        """The registration that it belongs to, which is done with (RFC 5213 6.9.1.2, 5.).

        The number is not enough: an earlier life of ours used it too, and what the CMD says without being asked has the
        latest one. That lists what is new, and lacks the Handoff Indicator and all else that an answer returns (5.3.6):
        with any of that it is an answer, though perhaps not to this one (`echoes`). What accepts another attachment is
        no answer to this one, which goes on being repeated; a refusal has the time of whoever refuses.
        """
        key = ("register", session.node, self.configuration.cmd, None)
        outstanding, told = self._requests.get(key), timestamp_of(answer)
        if outstanding is not None and answer.flags & DISTRIBUTED and answer.status < REFUSING:
            asked = outstanding.update.first(Timestamp)
            if told is not None and asked is not None and told != asked.ticks:
                return None
            if firsts.keys().isdisjoint(IDENTIFYING):
                return None
        return self._requests.answered(key, answer.sequence, self._now)

    def _on_answered_too_late(self, session: Session, answer: BindingAcknowledgement) -> None:
        """It left meanwhile, and what was granted runs out. Until then its anchors send here what is for it.

        That ends here: without a way of its own it would go back to the anchor, to and fro (RFC 8885 3.2).
        """
        if session.legacy:
            return
        if answer.status < Status.REASON_UNSPECIFIED:
            self._learn_absent(session, answer.options)
            self._after(max(answer.lifetime, 4 * SECOND), "expiry", session.node)
        elif answer.status == Status.TIMESTAMP_MISMATCH and session.corrections < CORRECTIONS_MAX:
            # Else what we anchor would be known to nobody, and no news of the node later than ours for a long time.
            session.corrections += 1
            self._correct_clock(answer)
            session.attached = max(ticks(self._epoch + self._offset + min(session.seen, session.left)), 0)
            self._register(session, Handoff.NOT_CHANGED)
            self._keep(session)
        elif answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX:
            self._forget()  # the prefix is somebody else's: we gave it out again because we had forgotten
            self._remove(session)

    def _learn_absent(self, session: Session, options: Iterable[MobilityOption]) -> None:
        before = set(session.anchored)
        self._learn_previous(session, options)
        if set(session.anchored) != before:
            self._keep(session)

    def _on_registration_answered(
        self, session: Session, request: BindingUpdate | None, answer: BindingAcknowledgement
    ) -> None:
        if request is not None and not answer.flags & DISTRIBUTED:
            self._on_legacy_answer(session, request, answer)
        elif answer.status < REFUSING:
            self._on_accepted(session, request, answer)
        elif request is not None:
            self._on_refused(session, request, answer)

    def _on_accepted(self, session: Session, request: BindingUpdate | None, answer: BindingAcknowledgement) -> None:
        """RFC 8885 3.2 step 4, 3.4: the binding stands; ways for the prefixes of previous MAARs."""
        first = not session.confirmed
        self._confirm(session, answer.lifetime)
        before = set(session.anchored)
        self._learn_previous(session, answer.options)
        gathered = self.configuration.mode is RELAY  # then an answer may lack those who are late
        complete = request is not None and (not gathered or handoff_of(request) == Handoff.NOT_CHANGED)
        gone: tuple[Prefix, ...] = ()
        if complete:  # what the list lacks is over
            listed = {option.prefix for option in answer.all(PreviousMaar)}
            gone = tuple(prefix for prefix in before if prefix not in listed)
            for prefix in gone:
                self._remove_foreign(session, prefix)
        if first or gone or set(session.anchored) != before:
            self._advertise(session, gone)
            self._keep(session)
        if request is None and not session.anchored.keys() <= before:
            self._after(_CHECK, "refresh", session.node)  # a copy that is late may list what is over by now
        if first:
            self._report("registered", node=session.node, previous=len(session.anchored))
        if self.leases is not None:
            self._on_settled(session.node)

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
        if routes and session.interface:
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
            session.presence not in (SERVED, DEPARTED)
            or self.configuration.mode is not LOCATOR
            or timestamp_of(answer) != session.attached
            or answer.status >= REFUSING
        ):
            self._report("acknowledgement-unexpected", source=anchor, sequence=answer.sequence)
            return
        options: list[MobilityOption] = []
        for option in answer.all(HomeNetworkPrefix):
            if option.prefix != ANY:
                options.append(PreviousMaar.of(option.prefix, anchor))
        options += [option for option in answer.options if isinstance(option, DlifLinkLocalAddress | LocalPrefix)]
        if session.presence is DEPARTED:
            self._learn_absent(session, options)  # see `_on_answered_too_late`
            return
        self._requests.cancel(("register", session.node, self.configuration.cmd, None))
        first = not session.confirmed
        self._confirm(session, answer.lifetime or self.configuration.lifetime)
        self._after(_CHECK, "refresh", session.node)
        session.seen = self._now
        before = set(session.anchored)
        self._learn_previous(session, options)
        if first or set(session.anchored) != before:
            self._advertise(session)
            self._keep(session)
        if first:
            self._report("registered", node=session.node, previous=len(session.anchored))
        if self.leases is not None:
            self._on_settled(session.node)

    # --- refusals -------------------------------------------------------------------------------------------------

    def _ask_for_others(self, session: Session) -> bool:
        """The CMD says that our prefix is somebody else's; an LMA, that it knows nothing of those that it gave."""
        if session.legacy:
            return self._ask_for_any(session)
        if session.corrections > _EXCHANGES_MAX or session.own is None:
            return False
        self._forget()  # there may be more that we gave out and do not know of
        self._exchange_own(session)
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
        self._after(RETRY_AFTER, "refresh", session.node)
        session.lifetime = self.configuration.lifetime
        session.corrections = 0

    # --- de-registration --------------------------------------------------------------------------------------------

    def _on_deregistered(self, session: Session, answer: BindingAcknowledgement) -> None:
        if session.presence is not SERVED and answer.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED:
            # To the CMD the node came here, and is here. We died before we stored that, or we would know.
            self._correct_clock(answer)
            session.attached = max(self._clock(), session.attached + 1)
            self._deregister(session)
            self._keep(session)
            return
        refused = answer.status >= REFUSING
        if session.presence is not SERVED and not session.legacy and (refused or answer.lifetime > 0):
            # RFC 8885 3.5: the node is still in the domain, so what we anchor for it stays.
            session.lifetime = max(answer.lifetime, 4 * SECOND)
            self._after(session.lifetime, "expiry", session.node)
            return
        super()._on_deregistered(session, answer)

    # --- a legacy LMA (design decision 3) -----------------------------------------------------------------------------

    def _on_legacy_answer(self, session: Session, request: BindingUpdate, answer: BindingAcknowledgement) -> None:
        """No D flag in the answer: for this node we are a MAG, and the LMA assigns and anchors (RFC 5213 6.9.1.2)."""
        self._remember()  # it does not know what we ask for
        if answer.status >= REFUSING:
            if session.legacy:
                self._on_refused(session, request, answer)
                return
            self._report("legacy-lma", lma=self.configuration.cmd, status=answer.status)
            session.legacy = True
            self._register(session, Handoff.UNKNOWN)
            return
        session.legacy = True
        self._on_home_accepted(session, answer)
        self._on_settled(session.node)

    def _is_home(self, session: Session) -> bool:
        return session.legacy

    def _serves_ipv4(self, session: Session) -> bool:
        return session.legacy and self.configuration.lma_ipv4_pool is not None

    def _on_home_ipv4(self, session: Session, home: Home | None) -> bool:
        had = [prefix for prefix in session.anchored if prefix.is_ipv4]
        has = [] if home is None else [Prefix(home.address, 128)]
        for prefix in had:
            if prefix not in has:
                self._remove_foreign(session, prefix)
        for prefix in has:
            self._add_foreign(session, prefix, self.configuration.cmd)
        return had != has

    def _about_registration(self, session: Session) -> dict[str, int]:
        return {"previous": 0, "legacy": 1}

    def _prefixes_of(self, session: Session) -> tuple[Prefix, ...]:
        return (*(() if session.own is None else (session.own,)), *session.anchored)

    def _let_go_of_home(self, session: Session, prefix: Prefix) -> None:
        if prefix == session.own:
            self._remove_own(session)
        else:
            super()._let_go_of_home(session, prefix)
