"""The CMD tells a MAAR: a node is served elsewhere, a prefix is over; and a MAAR watches what it anchors for others.

RFC 8885 3.2 step 3, 3.3, 3.5, and the retirement of prefixes (design decision 1), for which the RFC has no message.
"""

from __future__ import annotations

from sojourn.core.effects import CountTraffic, ProbeNode, SendMessage
from sojourn.core.events import TrafficCounted
from sojourn.engines.configuration import DIRECT, LOCATOR, logical_link_local
from sojourn.engines.maar_session import AWAY, SERVED, Presence, Session
from sojourn.engines.maar_state import MaarState
from sojourn.engines.registration import (
    ACKNOWLEDGED_DMM,
    LOCAL_PREFIXES,
    PROXY_DMM,
    REFUSING,
    Refused,
    Registration,
    echo,
    refusal,
)
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    Handoff,
    HomeNetworkPrefix,
    LocalPrefix,
    MobilityOption,
    ServingMaar,
    Status,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import SECOND, Duration

_FEW = 64


class AnchorProcedures(MaarState):
    """The MAAR as the one that is told, and that anchors."""

    _over_kept = 0
    """How many of `_over` were left when it was last looked through."""

    # --- proxy binding updates of the CMD -----------------------------------------------------------------------------

    def _on_update(self, update: BindingUpdate, source: Address) -> None:
        known = source == self.configuration.cmd or source in self._peers
        if known:
            self.heard[source] = self._now
        try:
            if source != self.configuration.cmd:
                raise Refused(Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG, "source is not our CMD")
            if update.flags & PROXY_DMM != PROXY_DMM:
                raise Refused(Status.PROXY_REG_NOT_ENABLED, "not a distributed proxy registration (flags A, P, D)")
            request = Registration.of(update, source)
            if request.lifetime == 0:
                self._let_go(request, update)
            elif request.serving is None:
                raise Refused(Status.REASON_UNSPECIFIED, "no Serving MAAR option")
            else:
                self._moved(request, update, request.serving)
        except Refused as refused:
            self._report("update-refused", source=source, status=int(refused.status), reason=refused.reason)
            if known and update.flags & BindingUpdateFlags.A:
                self._send(refusal(update, refused, self._ticks()), source)

    def _moved(self, request: Registration, update: BindingUpdate, serving: Address) -> None:
        """RFC 8885 3.2 step 3: the node is served elsewhere. Tunnel, then route, and only then the answer."""
        if serving == self.configuration.address:
            raise Refused(Status.REASON_UNSPECIFIED, "we would tunnel to ourselves")
        if serving not in self._peers:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the serving MAAR is not a configured peer")
        session = self.sessions.get(request.node) or self._adopt(request)
        if session is not None:
            if request.timestamp < session.attached:
                raise self._earlier(session)
            self._give_up(session, serving, request.timestamp, request.lifetime)
        ours = () if session is None else self._anchored_here(session)
        self._acknowledge(update, request, serving, ours)
        if session is not None and not ours and not session.anchored:
            self._remove(session)

    def _earlier(self, session: Session) -> Refused:
        """We know of a later attachment. While the node is away that may be a mistake, and not a late message.

        The clock of the CMD went back, or ours had been ahead. Then we ask where the node is (RFC 8885 3.5).
        """
        if session.presence is AWAY:
            self._after(0, "expiry", session.node)
        return Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known here")

    def _adopt(self, request: Registration) -> Session | None:
        """We lost our memory, the CMD did not: anchor again what is ours; nothing to do where nothing is ours."""
        ours, leased = self._ours_among(request.home_network_prefixes)
        if not request.home_network_prefixes:
            return None
        if len(self.sessions) >= self.configuration.nodes:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many nodes")
        for prefix in (*ours[:1], *leased):
            # What one CMD alone says after an end, it says because it knows better. Of what it said before, and what is
            # late, it hears from our answer, and ends it again. In direct mode it knows what it was told.
            if (self.databases is not None or self.configuration.mode is DIRECT) and self._is_over(prefix, request):
                if self.configuration.mode is not DIRECT:
                    self._ask_after_end(request.node, prefix)
                raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "its end is known here, and later")
        if not ours and not leased:
            raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "not of our pools")
        return self._known_again(request.node, ours[:1], leased, AWAY)

    def _known_again(self, node: bytes, ours: list[Prefix], leased: list[Prefix], presence: Presence) -> Session:
        newcomer = self.sessions.get(self._anchored_for.get(ours[0], b"")) if ours else None
        if newcomer is not None and newcomer.own == ours[0] and self._may_exchange(newcomer):
            self._exchange_own(newcomer)  # we gave it out again because we had forgotten
        claimed = [prefix for prefix in (*ours, *leased) if self._claim(prefix)]
        if (leased and not claimed) or (ours and ours[0] not in claimed):
            self._release(claimed)
            raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "we do not anchor this prefix for this node")
        session = Session(node, self._slots.take(), self.configuration_interface, node[-6:], 0)
        self._give(session, ours[0] if ours else None)
        for prefix in claimed[len(ours) :]:
            self._lease(session, prefix)
        session.presence = presence
        self._enter(session)
        return session

    def _ours_among(self, prefixes: list[Prefix]) -> tuple[list[Prefix], list[Prefix]]:
        """Which of them we give nodes as their own, and which ones besides by DHCP."""
        ours = [prefix for prefix in prefixes if self.pool.owns(prefix)]
        return ours, [prefix for prefix in prefixes if prefix not in ours and self._pool_of(prefix) is not None]

    def _may_exchange(self, newcomer: Session) -> bool:
        """Whether nobody else agreed yet that it has the prefix that we gave it."""
        return newcomer.presence is SERVED and not newcomer.confirmed

    def _claim(self, prefix: Prefix) -> bool:
        pool = self._pool_of(prefix)
        return pool is not None and pool.claim(prefix)

    def _release(self, prefixes: list[Prefix]) -> None:
        for prefix in prefixes:
            pool = self._pool_of(prefix)
            if pool is not None:
                pool.release(prefix, self._now, rest=False)  # nobody had it

    def _give_up(self, session: Session, serving: Address, attached: int, lifetime: Duration) -> None:
        """From serving (or nothing) to anchoring."""
        was_here = session.presence is not AWAY
        news = was_here or session.serving != serving
        doubtful = session.presence is SERVED and (session.contested or not session.confirmed)
        self._quiet(session)
        self._requests.cancel(("register", session.node, self.configuration.cmd, None))
        self._requests.cancel(("deregister", session.node, self.configuration.cmd, None))
        if session.logical:
            for anchor in list(session.logical):
                self._release_logical(session, anchor)
        self._anchor_for(session, serving)
        if was_here:
            session.become(AWAY)
        session.serving = serving
        session.attached = attached
        session.contested = False
        session.confirmed = False
        session.lifetime = max(lifetime, 4 * SECOND)
        if news:  # to be told again what is known is no use of the prefix, and the node did not leave again
            session.active = session.left = self._now
        if was_here:
            self._forget_listener(session)
            self._forget_station(session)
        if doubtful:
            # Our attachment lost against another. Only if our clock is behind is the node still here: any sign counts.
            session.left = self._now - self.configuration.reattach_guard
            self._do(ProbeNode(session.interface, session.link_layer, self._known_address(session)))
        if session.anchored:
            self._after(self.configuration.forward_grace, "grace", session.node)
        # RFC 8885 3.5, second solution: at the end of the lifetime the CMD is asked whether the node is still there.
        self._after(session.lifetime, "expiry", session.node)
        self._watch()
        self._keep(session)
        self._report("anchoring", node=session.node, serving=serving)

    def _acknowledge(
        self, update: BindingUpdate, request: Registration, serving: Address, ours: tuple[Prefix, ...]
    ) -> None:
        """To the CMD; in locator mode to the serving MAAR as well (RFC 8885 3.3).

        "The PBA contains the prefix anchored at MAAR1 in the Home Network Prefix option" (3.2, step 3): what we do
        anchor, whatever was asked for.
        """
        self._insist(request.node)
        echoed = echo(update, prefixes=False)
        echoed += [HomeNetworkPrefix.of(prefix) for prefix in ours or (ANY,)]
        identity = self._identity()
        self._send(
            self._acceptance(update.sequence, request.lifetime, (*echoed, ServingMaar(serving), *identity)),
            self.configuration.cmd,
        )
        if self.configuration.mode is LOCATOR and ours:
            self._send(self._acceptance(update.sequence, request.lifetime, (*echoed, *identity)), serving)

    def _identity(self) -> tuple[MobilityOption, ...]:
        """Our DLIF, for the serving MAAR to show (RFC 8885 4.7, 4.8); only where we have local networks."""
        configuration = self.configuration
        if not configuration.routes:
            return ()
        return (
            DlifLinkLocalAddress(logical_link_local(configuration.address)),
            DlifLinkLayerAddress(configuration.link_layer),
            *(LocalPrefix.of(route) for route in configuration.routes[:LOCAL_PREFIXES]),
        )

    def _let_go(self, request: Registration, update: BindingUpdate) -> None:
        """Lifetime 0: a prefix retired, or the node left the domain."""
        session = self.sessions.get(request.node)
        if session is not None:
            for prefix in request.anchored_prefixes or request.home_network_prefixes:
                if (prefix == session.own or prefix in session.leased) and request.timestamp < session.attached:
                    raise self._earlier(session)
                self._let_go_of(session, prefix)
                self._note_over(prefix, request.node, request.timestamp)
        self._insist(request.node)
        self._send(self._acceptance(update.sequence, 0, tuple(echo(update))), self.configuration.cmd)

    def _let_go_of(self, session: Session, prefix: Prefix) -> None:
        if prefix == session.own:
            if session.presence is not AWAY:
                raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the node is attached here")
            self._retired(session)
        elif prefix in session.leased:
            if session.presence is not AWAY:
                raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the node is attached here")
            self._take_back(session, prefix)
            self._report("lease-ended", node=session.node, prefix=prefix)
            self._forget_or_keep(session)
        elif prefix in session.anchored:
            self._remove_foreign(session, prefix)
            if session.presence is SERVED:
                self._advertise(session, (prefix,))
            self._keep(session)
            self._report("prefix-ended", node=session.node, prefix=prefix)

    def _is_over(self, prefix: Prefix, request: Registration) -> bool:
        """Whether its end is known here, and later than what is said."""
        node, when = self._over.get(prefix, (b"", 0))
        return node == request.node and request.timestamp < when

    def _ask_after_end(self, node: bytes, prefix: Prefix) -> None:
        """Whether it is over (RFC 8885 3.5): another CMD may have said this before that end, and the store tells it so.

        Else the node is where it was before that end, says who serves it, and we are told again, with this time.
        """
        known = Session(node, 0, self.configuration_interface, node[-6:], self._over[prefix][1])
        question = self._ending(known, Handoff.UNKNOWN, (prefix,))
        self._do(SendMessage(question, self.configuration.address, self.configuration.cmd))

    def _note_over(self, prefix: Prefix, node: bytes, timestamp: int) -> None:
        """As long as `prefix` rests, what was said before of its node, and comes later, does not bring it back: another
        CMD may have said it.
        """
        if not self._rests(prefix):
            return
        if len(self._over) >= 2 * self._over_kept + _FEW:
            self._over = {one: known for one, known in self._over.items() if self._rests(one)}
            self._over_kept = len(self._over)
        self._over[prefix] = node, timestamp

    def _rests(self, prefix: Prefix) -> bool:
        pool = self._pool_of(prefix)
        return pool is not None and pool.rests(prefix)

    def _on_grace_over(self, session: Session) -> None:
        """Packets of other anchors' prefixes find their own way now."""
        if session.presence is not AWAY:
            return
        for prefix in list(session.anchored):
            self._remove_foreign(session, prefix)
        self._forget_or_keep(session)

    def _forget_or_keep(self, session: Session) -> None:
        """A node elsewhere for which we anchor nothing is none of our business."""
        if session.own is None and not session.leased and not session.anchored:
            self._remove(session)
        else:
            self._keep(session)

    # --- retirement (design decision 1) -------------------------------------------------------------------------------

    @property
    def _poll_interval(self) -> Duration:
        return min(max(self._idle_hold // 4, SECOND // 2), 15 * SECOND)

    def _watch(self) -> None:
        """Counters are read as long as a node with a prefix of ours is elsewhere."""
        if self.configuration.watch and ("poll", None) not in self._timers:
            self._after(self._poll_interval, "poll", None)

    def _on_poll(self) -> None:
        if any(session.presence is AWAY for session in self.sessions.values()):
            self._do(CountTraffic())
            self._watch()

    def _on_traffic_counted(self, event: TrafficCounted) -> None:
        for session in list(self.sessions.values()):
            if session.presence is not AWAY or session.own is None:
                continue
            packets = event.packets.get(session.own, 0)
            if packets != session.packets:
                session.packets = packets
                session.active = self._now
            elif self._now - session.active >= self._idle_hold:
                self._ask_to_retire(session, session.own)

    def _ask_to_retire(self, session: Session, prefix: Prefix) -> None:
        """A Proxy Binding Update of lifetime 0 with the Anchored Prefix option."""
        key = ("retire", session.node, self.configuration.cmd, prefix)
        if self._requests.get(key) is not None:
            return
        self._requests.start(key, self._end_of(session, prefix), self._now)

    def _on_retirement_answered(self, session: Session, prefix: Prefix, status: int) -> None:
        if session.presence is not AWAY or session.own != prefix:
            return
        if status >= REFUSING:
            session.active = self._now
            self._report("retirement-refused", node=session.node, prefix=prefix, status=status)
        else:
            self._retired(session)

    def _retired(self, session: Session) -> None:
        self._report("prefix-retired", node=session.node, prefix=session.own)
        if not session.leased:
            self._remove(session)
            return
        self._cancel_retirement(session)
        self._remove_own(session)
        self._keep(session)

    def _cancel_retirement(self, session: Session) -> None:
        if session.own is not None:
            self._requests.cancel(("retire", session.node, self.configuration.cmd, session.own))

    # --- sending --------------------------------------------------------------------------------------------------

    def _acceptance(
        self, sequence: int, lifetime: Duration, options: tuple[MobilityOption, ...]
    ) -> BindingAcknowledgement:
        return BindingAcknowledgement(int(Status.ACCEPTED), ACKNOWLEDGED_DMM, sequence, lifetime, options)

    def _send(self, message: BindingAcknowledgement, destination: Address) -> None:
        self._do(SendMessage(message, self.configuration.address, destination))

    configuration_interface: str = ""
    """Interface noted for a node that was never seen here."""
