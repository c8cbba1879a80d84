"""A MAAR that stands in for another one that is gone, and one that is stood in for (RFC 7333 REQ6f).

The partner notices that the anchor is gone (`liveness`), makes sure that it is not itself cut off, leads the pool to
itself (`EnsurePool`), and tells all routers. They register what they serve. When the anchor is there again, and stays
for a while (`hold`), everything goes back before the network does: the serving routers register with the anchor, then
the pool is withdrawn, then the tunnels. Words and rules are in `stand_in`; the serving router's side is in
`maar_holders`.
"""

from __future__ import annotations

from sojourn.core.effects import (
    DeleteBinding,
    EnsureCounter,
    EnsurePool,
    EnsurePrefix,
    EnsureTunnel,
    SendMessage,
    StoreBinding,
    WithdrawCounter,
    WithdrawPool,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.engines.configuration import NO_CMD
from sojourn.engines.maar_anchor import AnchorProcedures
from sojourn.engines.maar_registration import RegistrationProcedures
from sojourn.engines.maar_session import SERVED, Session
from sojourn.engines.registration import HANDOFFS, PROXY_DMM, Refused, Registration, echo, identifier_option
from sojourn.engines.stand_in import HOLDING, READY, RETURNING, Held, StandIn, Survival
from sojourn.wire import (
    BindingRefreshRequest,
    BindingUpdate,
    Handoff,
    HomeNetworkPrefix,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, SECOND, Duration

STANDING = b"\0"
"""A record with a key that begins so, and goes on with the address of an anchor, says that we hold its pool."""
_AT_ONCE = 50
_PAUSE = 10 * MILLISECOND
"""Between as many messages to as many routers."""
_REPEAT_MAX = 10 * SECOND
"""Who holds a pool is said again and again, to routers that did not hear it or began anew."""
_RETURN_MIN = 2 * SECOND
_REPAIR_AFTER = 1 * SECOND
_WITNESSES = 3
_CONTRADICTED = 30 * SECOND
"""Our pool is held for so long, and we did not ask for it."""
_CONFIRMED = 1 * SECOND
"""After this the CMD is asked whether a router that displaced another one serves the node."""
_LOOKED = 200 * MILLISECOND
"""A node that is asked for a sign of life has given it by then."""


class StandInProcedures(RegistrationProcedures, AnchorProcedures):
    """The MAAR as a partner."""

    survival: Survival | None

    # --- taking over --------------------------------------------------------------------------------------------------

    def _suspect(self, stand: StandIn, survival: Survival) -> None:
        """It may be gone, or we may be cut off: others are asked for a sign of life."""
        for address in self._others(stand)[:_WITNESSES]:
            survival.liveness.ask(address, self._now)

    def _others(self, stand: StandIn) -> list[Address]:
        """Who could be a witness."""
        not_these = (stand.anchor, self.configuration.address, NO_CMD)
        return [address for address in (self.configuration.cmd, *self._peers) if address not in not_these]

    def _is_cut_off(self, stand: StandIn, survival: Survival) -> bool:
        """Whether nobody else was heard after the anchor. Without anybody else nobody can tell."""
        others = self._others(stand)
        since = survival.liveness.neighbours[stand.anchor].heard + survival.liveness.settings.interval
        return bool(others) and not any(self.heard.get(address, -1) > since for address in others)

    def _consider_taking(self, stand: StandIn, survival: Survival) -> None:
        """The anchor is lost."""
        if stand.phase is HOLDING or not survival.liveness.lost(stand.anchor):
            return
        settings = survival.liveness.settings
        if self._is_cut_off(stand, survival):
            stand.cut_off = self._now
        elif stand.cut_off is None or self._now - stand.cut_off >= settings.patience:
            self._take_over(stand)
            return
        self._suspect(stand, survival)  # after that the anchor gets as much time as at first
        survival.liveness.ask(stand.anchor, self._now)
        self._after(settings.interval, "takeover", stand.anchor)

    def _take_over(self, stand: StandIn) -> None:
        """Ways first, then the route to us, then the word."""
        stand.phase = HOLDING
        stand.cut_off = None
        self._timers.stop(("return", stand.anchor))
        self._timers.stop(("linger", stand.anchor))
        self._report("pool-taken", anchor=stand.anchor, prefixes=len(stand.entries))
        if self.stores:
            self._do(StoreBinding(STANDING + stand.anchor, b""))
        self._assert_stand_in(stand)
        self._move_anchor(stand.anchor, self.configuration.address)
        self._say_who_holds(stand)

    def _assert_stand_in(self, stand: StandIn) -> None:
        """All that should hold while we hold its pool."""
        rest = self._slot_to(stand, stand.anchor)
        for pool in stand.pools:
            self._do(EnsurePrefix(pool, rest))
        for prefix, held in stand.entries.items():
            self._install(stand, prefix, held)
        if stand.phase is not READY:
            for pool in stand.pools:
                self._do(EnsurePool(pool))

    def _slot_to(self, stand: StandIn, router: Address) -> int:
        if router not in stand.slots:
            stand.slots[router] = self._slots.take()
        self._do(EnsureTunnel(stand.slots[router], router))
        return stand.slots[router]

    def _install(self, stand: StandIn, prefix: Prefix, held: Held) -> None:
        if not self._serves_here(prefix):
            self._do(EnsurePrefix(prefix, self._slot_to(stand, held.serving)))
            self._do(EnsureCounter(prefix))

    def _serves_here(self, prefix: Prefix) -> bool:
        session = self.sessions.get(self._foreign.get(prefix, b""))
        return session is not None and session.presence is SERVED

    def _say_who_holds(self, stand: StandIn) -> None:
        """Tell everybody who holds the pool; again and again, as nobody answers who has nothing to say."""
        stand.said = max(self._clock(), stand.said + 1)
        stand.repeats = 0
        self._tell(stand, 0)

    def _tell(self, stand: StandIn, index: int) -> None:
        assert self.survival is not None
        holder = stand.anchor if stand.phase is not HOLDING else self.configuration.address
        options = [PreviousMaar.of(pool, holder) for pool in stand.pools]
        message = BindingRefreshRequest((Timestamp(stand.said), *options))
        peers = list(self._peers)
        for address in peers[index : index + _AT_ONCE]:
            if address != self.configuration.address:
                self._do(SendMessage(message, self.configuration.address, address))
        if index + _AT_ONCE < len(peers):
            self._after(_PAUSE, "tell", (stand.anchor, index + _AT_ONCE))
        else:
            wait = self.survival.liveness.settings.interval << (2 * min(stand.repeats, 16))
            stand.repeats += 1
            self._after(min(wait, _REPEAT_MAX), "tell", (stand.anchor, 0))

    # --- what serving routers register --------------------------------------------------------------------------------

    def _register_held(self, stand: StandIn, request: Registration) -> bool:
        """Whether it is to be answered: not as long as the anchor seems to be there."""
        assert self.survival is not None
        session = self.sessions.get(request.node)
        here = session is not None and session.presence is SERVED
        if session is not None and here and session.attached >= request.timestamp:
            raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "the node is here")
        if stand.phase is RETURNING:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the anchor is there again")
        lifetime: Duration = max(min(request.lifetime, self.configuration.lifetime), 4 * SECOND)
        if stand.phase is READY:
            silence = self.survival.liveness.silent_for(stand.anchor, self._now)
            if silence is not None and 2 * silence < 3 * self.survival.liveness.settings.interval:
                raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the anchor is there")
            lifetime = 4 * self.survival.liveness.settings.patience
            self.survival.liveness.ask(stand.anchor, self._now)
        self._check_held(stand, request)
        if session is not None and session.anchored.keys() & set(request.home_network_prefixes) and here:
            # it was: whoever serves it may say so, as a CMD would
            self._give_up(session, request.source, request.timestamp, request.lifetime)
        displaced: set[Address] = set()
        for prefix in request.home_network_prefixes:
            if self._serves_here(prefix):
                return False  # as another node's
            before = stand.entries.get(prefix)
            if before is not None:  # whoever served it before need not hear that it is idle
                self._requests.cancel(("idle", before.node, before.serving, prefix))
                if before.serving != request.source:
                    displaced.add(before.serving)
            held = Held(request.node, request.source, request.timestamp)
            stand.enter(prefix, held)
            self._after(lifetime, "stood", (stand.anchor, prefix))
            if stand.slots:
                self._install(stand, prefix, held)
        for router in sorted(displaced):
            self._ask_displaced(router, request)
        return stand.phase is HOLDING

    def _check_held(self, stand: StandIn, request: Registration) -> None:
        """Raises `Refused`: neither a pool nor a part of a prefix, nor what is another node's, nor without bound."""
        for prefix in request.home_network_prefixes:
            before = stand.entries.get(prefix)
            if before is not None and before.attached > request.timestamp:
                raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known here")
            if not self._may_be_held(prefix) or (before is not None and before.node != request.node):
                raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "no prefix of this node")
        most = self.configuration.nodes * self.configuration.prefixes_per_node
        more = len(set(request.home_network_prefixes) - stand.entries.keys())
        if more and (len(stand.entries) + more > most or 2 * (stand.serves[request.source] + more) > most):
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many prefixes, of all or of this router")

    def _may_be_held(self, prefix: Prefix) -> bool:
        """Whether a node can have got such a prefix from an anchor."""
        if prefix.is_ipv4:
            return prefix.length == 128
        return prefix.length == self.configuration.prefix_length or (
            self.leases is not None and self.leases.may_be(prefix)
        )

    def _release_held(self, stand: StandIn, request: Registration) -> None:
        """Lifetime 0: it does not serve this any more, or registered with the anchor."""
        for prefix in request.home_network_prefixes:
            held = stand.entries.get(prefix)
            if held is not None and held.serving == request.source and held.attached <= request.timestamp:
                self._forget_held(stand, prefix)

    def _forget_held(self, stand: StandIn, prefix: Prefix) -> None:
        """What comes for it is tunnelled to the anchor again, with all the rest."""
        if not stand.forget(prefix):
            return
        self._timers.stop(("stood", (stand.anchor, prefix)))
        if not stand.slots:
            return
        self._do(WithdrawCounter(prefix))
        session = self.sessions.get(self._foreign.get(prefix, b""))
        if session is None:
            self._do(WithdrawPrefix(prefix))
        else:  # it is here, or was here and is passed on
            self._do(EnsurePrefix(prefix, session.slot))

    def _has_come(self, prefix: Prefix) -> None:
        """It is served here: nobody else's word about it counts."""
        assert self.survival is not None
        for stand in self.survival.standing.values():
            if prefix in stand.entries:
                self._forget_held(stand, prefix)

    def _install_again(self, session: Session) -> None:
        """It is not here any more, and who serves it now told us where its prefixes are."""
        assert self.survival is not None
        for prefix in session.anchored:
            for stand in self.survival.standing.values():
                held = stand.entries.get(prefix)
                if held is not None and stand.slots:
                    self._install(stand, prefix, held)

    # --- giving back --------------------------------------------------------------------------------------------------

    def _on_hold_over_of(self, stand: StandIn, survival: Survival) -> None:
        """The anchor was there for long enough, unless it was lost meanwhile."""
        neighbour = survival.liveness.neighbours.get(stand.anchor)
        if stand.phase is not HOLDING or neighbour is None or not neighbour.alive:
            return
        rest = neighbour.since + survival.liveness.settings.hold - self._now
        if rest > 0:
            self._after(rest, "handback", stand.anchor)
            return
        stand.phase = RETURNING
        stand.until = self._now + max(_RETURN_MIN, 4 * survival.liveness.settings.patience)
        self._report("pool-returning", anchor=stand.anchor, prefixes=len(stand.entries))
        self._say_who_holds(stand)
        self._move_anchor(stand.anchor, stand.anchor)
        self._after(2 * survival.liveness.settings.interval, "return", stand.anchor)

    def _on_return_due(self, stand: StandIn, survival: Survival) -> None:
        """Everybody is with the anchor again, or had the time for it: the network follows."""
        if stand.phase is not RETURNING:
            return
        if (stand.entries or self._is_told(stand.anchor)) and self._now < stand.until:
            self._after(survival.liveness.settings.interval, "return", stand.anchor)
            return
        stand.phase = READY
        self._timers.stop(("tell", (stand.anchor, 0)))
        for pool in stand.pools:
            self._do(WithdrawPool(pool))
        if self.stores:
            self._do(DeleteBinding(STANDING + stand.anchor))
        self._report("pool-returned", anchor=stand.anchor, prefixes=len(stand.entries))
        self._after(max(self.configuration.forward_grace, SECOND), "linger", stand.anchor)

    def _is_told(self, anchor: Address) -> bool:
        """Whether we are telling it what we serve, and wait for an answer."""
        return any(self._requests.get(("hold", node, anchor, anchor)) for node in self.sessions)

    def _on_linger_over(self, stand: StandIn) -> None:
        """No packet comes here any more."""
        if stand.phase is not READY:
            return
        for prefix in list(stand.entries):
            self._forget_held(stand, prefix)
        for pool in stand.pools:
            self._do(WithdrawPrefix(pool))
        for slot in stand.slots.values():
            self._do(WithdrawSlot(slot))
            self._slots.give_back(slot)
        stand.slots.clear()

    # --- the anchor itself --------------------------------------------------------------------------------------------

    def _on_own_pool(self, *, held: bool) -> None:
        """Our partner says who holds our pool. While it does we see no packets, which is no idleness."""
        assert self.survival is not None
        if held != self.survival.held:
            self._report("pool-held" if held else "pool-back", partner=self.configuration.partner)
            self.survival.held_since = self._now
        self.survival.held = held
        if held:
            self._after(3 * _REPEAT_MAX, "held", None)
            self._contradict(self.survival)
        else:
            self._timers.stop(("held", None))
        for session in self.sessions.values():
            session.active = self._now

    def _contradict(self, survival: Survival) -> None:
        """Our pool is held for much longer than it takes to give it back, and we did not ask for that.

        Somebody said in our name that we go for good: whatever begins anew after that is heard again.
        """
        patience = max(_CONTRADICTED, 3 * survival.liveness.settings.hold)
        wanted = self.drain is not None and self.drain.handed
        if not wanted and self._now - survival.held_since >= patience:
            survival.held_since = self._now
            survival.liveness.begin_anew()

    def _register_own(self, request: Registration, update: BindingUpdate) -> bool:
        """A router that serves a node of ours says so itself, as a CMD would (RFC 8885 3.2 step 3).

        Whether that was for us: in a domain without a CMD it always does, and says more.
        """
        assert self.survival is not None
        session = self.sessions.get(request.node) or self._adopt_on_word(request, self.survival)
        if session is None or not set(request.home_network_prefixes) & set(self._anchored_here(session)):
            raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "not anchored here for this node")
        if request.timestamp < session.attached or (
            request.timestamp == session.attached and session.presence is SERVED
        ):
            raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known here")
        before = session.serving
        if session.presence is SERVED:
            session.contested = True  # if it shows itself here, it is here
        self._give_up(session, request.source, request.timestamp, request.lifetime)
        if before is not None and before != request.source:
            self._ask_displaced(before, request)
            self._after(_CONFIRMED, "expiry", session.node)  # the CMD is asked too
        self._answer_serving(request, update)
        return True

    def _adopt_on_word(self, request: Registration, survival: Survival) -> Session | None:
        """What we forgot, a router may know that serves it: for a lifetime, and no router knows of more than half."""
        if self._now - survival.begun > self.configuration.lifetime:
            return None
        if 2 * survival.adopted[request.source] >= self.configuration.nodes:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many nodes of this router")
        session = self._adopt(request)
        if session is not None:
            survival.adopted[request.source] += 1
        return session

    def _ask_displaced(self, router: Address, request: Registration) -> None:
        """Another one says that it serves what `router` served, which looks whether the node is there still.

        So nobody's word moves a node for long that is somewhere else, with or without a CMD.
        """
        options = (
            identifier_option(request.node),
            *[HomeNetworkPrefix.of(prefix) for prefix in request.home_network_prefixes],
            HANDOFFS[Handoff.BETWEEN_GATEWAYS],
            self._technology,
            Timestamp(request.timestamp),
            ServingMaar(request.source),
        )
        update = BindingUpdate(request.sequence, PROXY_DMM, request.lifetime, options)
        key = ("displaced", request.node, router, None)
        self._requests.start(key, update, self._now)  # within the rate that everything has
        self._requests.cancel(key)  # nobody answers, and the next refresh says it too

    def _is_displaced(self, update: BindingUpdate, source: Address, survival: Survival) -> bool:
        """Whether who holds a pool asks if a node is here that another router claims. A sign of it tells."""
        request = Registration.of(update, source)
        prefixes = request.home_network_prefixes
        if not prefixes or not all(self._speaks_for(source, prefix, survival) for prefix in prefixes):
            return False
        session = self.sessions.get(request.node)
        if session is None or session.presence is not SERVED or request.timestamp < session.attached:
            return True  # it left, as is said
        anchors = {session.anchored.get(prefix) for prefix in prefixes}
        if any(anchor is None or survival.holder(anchor) != source for anchor in anchors):
            return True
        if not session.contested:
            self._report("claimed-elsewhere", node=session.node, serving=request.serving)
            session.contested = True
            session.probes = 0
            self._probe(session)
            for anchor in anchors:
                self._after(_LOOKED, "holder", (session.node, anchor))
        return True

    def _speaks_for(self, router: Address, prefix: Prefix, survival: Survival) -> bool:
        """Whether `prefix` is of its pool, or of one that it may hold."""
        pools = [survival.pools[anchor] for anchor, partner in survival.partners.items() if partner == router]
        peer = self._peers.get(router)
        own = () if peer is None else (peer.pool, peer.ipv4_pool)
        return any(pool is not None and pool.contains(prefix) for some in (own, *pools) for pool in some)

    def _answer_serving(self, request: Registration, update: BindingUpdate) -> None:
        self._insist(request.node)
        answer = self._acceptance(update.sequence, request.lifetime, tuple(echo(update)))
        self._send(answer, request.source)

    # --- timers and troubles ------------------------------------------------------------------------------------------

    def _on_stand_in_timer(self, kind: str, stand: StandIn, survival: Survival, index: int = 0) -> None:
        match kind:
            case "takeover":
                self._consider_taking(stand, survival)
            case "tell" if stand.phase is not READY:
                self._tell(stand, index)
            case "handback":
                self._on_hold_over_of(stand, survival)
            case "return":
                self._on_return_due(stand, survival)
            case "linger":
                self._on_linger_over(stand)
            case "mend":
                self._assert_again(stand)
            case _:
                pass

    def _assert_again(self, stand: StandIn) -> None:
        """After the kernel refused something, which may be over by now; tunnels to whom nothing leads now, too."""
        for router in stand.slots:
            self._slot_to(stand, router)
        if stand.phase is READY:
            for pool in stand.pools:
                self._do(WithdrawPool(pool))
        if stand.slots:
            self._assert_stand_in(stand)

    def _mend_stand_in(self, slot: int | None, prefix: Prefix | None, survival: Survival) -> None:
        """The kernel refused something of a pool that we hold."""
        for stand in survival.standing.values():
            known = prefix is not None and (prefix in stand.pools or (stand.slots and stand.has(prefix)))
            if known or slot in stand.slots.values():
                self._after(_REPAIR_AFTER, "mend", stand.anchor)

    def _move_anchor(self, anchor: Address, holder: Address) -> None:
        """Packets from prefixes of `anchor` leave through `holder`, which is told what we serve."""
        raise NotImplementedError
