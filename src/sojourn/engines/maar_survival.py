"""A MAAR whose nodes have prefixes of anchors that die (RFC 7333 REQ6f), and what routers tell each other of that.

A router watches whom it shares state with: the anchors of its nodes' old prefixes, the routers that serve the nodes of
its own, its partner and those whose partner it is, and the CMD. When an anchor is lost:

* If it has a partner, packets from its prefixes leave through that one at once, and the nodes' prefixes are registered
  with it. If the partner does not accept them in time, it is as if there were none.
* If it has none, its prefixes end: the nodes are told (lifetimes of zero). After `hold` nothing leads to the anchor any
  more; until then everything stays as it was, so that no packet is lost of an anchor that was only slow. Should it be
  there again, the prefixes are too, for nodes that are still here.

What becomes of these is in `maar_missed`. A partner's side, and the anchor's own, are in `maar_stand_in`; how prefixes
retire there in `maar_held`. Nothing of this needs a CMD.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import (
    DeleteBinding,
    EnsureCounter,
    EnsurePool,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    StoreBinding,
    WithdrawPool,
)
from sojourn.core.events import EffectFailed, TrafficCounted
from sojourn.engines.access_session import DEPARTED
from sojourn.engines.configuration import NO_CMD
from sojourn.engines.liveness import Liveness
from sojourn.engines.maar_held import HeldProcedures
from sojourn.engines.maar_missed import APART, SLOWLY
from sojourn.engines.maar_session import AWAY, SERVED, Session
from sojourn.engines.maar_stand_in import STANDING
from sojourn.engines.registration import (
    HANDOFFS,
    NO_TIME,
    PROXY_DMM,
    REFUSING,
    Refused,
    Registration,
    identifier_option,
    refusal,
)
from sojourn.engines.stand_in import HOLDING, READY, RETURNING, StandIn, Survival
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    Handoff,
    Heartbeat,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityMessage,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix, text
from sojourn.wire.units import SECOND, Duration

SURVIVAL_TIMERS = frozenset(
    (
        "alive",
        "sharing",
        "holder",
        "withdraw",
        "forget",
        "takeover",
        "tell",
        "handback",
        "return",
        "linger",
        "stood",
        "mend",
        "held",
    )
)
_SHARING = 10 * SECOND
"""So long a neighbour is watched at most with whom nothing is shared any more."""


class SurvivalProcedures(HeldProcedures):
    """The MAAR as one whose neighbours die."""

    def _open_survival(self) -> None:
        """See `MaarConfiguration.liveness`."""
        configuration = self.configuration
        self.survival = None
        if configuration.liveness is None:
            return
        liveness = Liveness(
            configuration.liveness,
            configuration.address,
            self._do,
            lambda address, instant: self._timers.start(("alive", address), instant),
            lambda address: self._timers.stop(("alive", address)),
        )
        liveness.on_suspected = self._on_suspected
        liveness.on_lost = self._on_lost
        liveness.on_back = self._on_back
        liveness.on_restarted = self._on_restarted
        self.survival = Survival(configuration, self._peers.values(), liveness)

    def _begin_survival(self, held: Iterable[Address]) -> None:
        """After a restart; `held` are anchors whose pools we held."""
        survival = self.survival
        if survival is None:
            return
        survival.liveness.counter = (self._epoch + self._now) // SECOND
        survival.begun = self._now
        for address in self._sharing(survival):
            self._watch_neighbour(address)
        self._after(_SHARING, "sharing", None)
        for anchor in held:
            stand = survival.standing.get(anchor)
            if stand is not None:
                self._take_over(stand)
                self._after(survival.liveness.settings.hold, "handback", anchor)

    def _sharing(self, survival: Survival) -> set[Address]:
        """Whom we share state with."""
        databases = self._databases()
        found: set[Address] = {*databases, *survival.standing, *survival.gone}
        if self.configuration.partner is not None:
            found.add(self.configuration.partner)
        for session in self.sessions.values():
            if session.presence is AWAY:
                if session.serving is not None:
                    found.add(session.serving)
            else:
                found.update(session.anchored.values())
        found.update([survival.holders[anchor] for anchor in found & survival.holders.keys()])
        found.discard(self.configuration.address)
        return found & {*databases, *self._peers}

    def _databases(self) -> tuple[Address, ...]:
        """Each of them: one of several that is dead is left for the others."""
        cmd = self.configuration.cmd
        if self.databases is not None:
            return self.databases.addresses
        return () if cmd == NO_CMD else (cmd,)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _is_about_survival(self, message: MobilityMessage, source: Address, sender: Address) -> bool:
        """A sign of life of whoever sent it, whatever it says; whether it says nothing else but what is for us.

        `source`: the CMD, whichever of several is the `sender`.
        """
        survival = self.survival
        assert survival is not None
        known = source in self._peers
        if not known and source != self.configuration.cmd:
            return False
        self.heard[source] = self._now
        survival.liveness.heard(sender, message, self._now)
        match message:
            case Heartbeat():
                survival.liveness.on_heartbeat(message, sender, self._now)
                return True
            case BindingRefreshRequest() if known and message.first(PreviousMaar) is not None:
                self._on_word(message, source, survival)
                return True
            case BindingUpdate() if known:
                return self._is_update_of_serving(message, source, survival)
            case BindingAcknowledgement() if known:
                return self._is_about_idle(message, source, survival) or self._is_of_holder(message, source)
            case _:
                return False

    def _on_word(self, message: BindingRefreshRequest, source: Address, survival: Survival) -> None:
        """A partner says who holds a pool."""
        stamp = message.first(Timestamp)
        if stamp is None or stamp.ticks >= NO_TIME:  # after such a word no later one could ever count
            self._report("word-refused", source=source)
            return
        own = self.configuration.address
        for option in message.all(PreviousMaar):
            if source == self.configuration.partner and option.prefix in (
                self.configuration.pool,
                self.configuration.ipv4_pool,
            ):
                if stamp.ticks >= survival.words.get(own, 0):  # the same is said again and again
                    survival.words[own] = stamp.ticks
                    self._on_own_pool(held=option.maar == source)
                continue
            for anchor, partner in survival.partners.items():
                if partner != source or option.maar not in (anchor, partner):
                    continue
                if option.prefix in survival.pools[anchor] and stamp.ticks > survival.words.get(anchor, -1):
                    survival.words[anchor] = stamp.ticks
                    self._on_holder(anchor, option.maar, survival)

    def _on_holder(self, anchor: Address, holder: Address, survival: Survival) -> None:
        """The pool of `anchor` is with `holder` now, says its partner."""
        if holder != anchor:
            survival.accepted.add(anchor)
            self._move_anchor(anchor, holder)
            return
        survival.accepted.discard(anchor)
        if survival.liveness.lost(anchor):  # to others it is there
            self._after(survival.liveness.settings.patience, "withdraw", anchor)
        else:
            self._move_anchor(anchor, anchor)

    def _is_update_of_serving(self, update: BindingUpdate, source: Address, survival: Survival) -> bool:
        """A router says that it serves a node with a prefix of ours, or of a pool that we stand in for.

        Or who holds the pool of a prefix that is used here says that nobody uses it.
        """
        option = update.first(ServingMaar)
        prefixes = [one.prefix for one in update.all(HomeNetworkPrefix)]
        standing = [one for one in survival.standing.values() if one.anchor != source]
        stand = next((one for one in standing if all(map(one.has, prefixes))), None)
        try:
            if option is None:
                return self._on_idle(update, source, survival)
            if option.address != source:
                return self._is_displaced(update, source, survival)
            if not prefixes:
                return False
            if stand is None and not all(self._pool_of(prefix) is not None for prefix in prefixes):
                return False
            if update.flags & PROXY_DMM != PROXY_DMM:
                raise Refused(Status.PROXY_REG_NOT_ENABLED, "not a distributed proxy registration (flags A, P, D)")
            request = Registration.of(update, source)
            if stand is None:
                return request.lifetime > 0 and self._register_own(request, update)
            if not request.lifetime:
                self._release_held(stand, request)
                self._answer_serving(request, update)
            elif self._register_held(stand, request):
                self._answer_serving(request, update)
        except Refused as refused:
            self._report("update-refused", source=source, status=int(refused.status), reason=refused.reason)
            if update.flags & BindingUpdateFlags.A:
                self._send(refusal(update, refused, self._ticks()), source)
        return True

    # --- neighbours that go and come ----------------------------------------------------------------------------------

    def _on_suspected(self, address: Address) -> None:
        assert self.survival is not None
        stand = self.survival.standing.get(address)
        if stand is not None and stand.phase is READY:
            self._suspect(stand, self.survival)

    def _on_lost(self, address: Address) -> None:
        survival = self.survival
        assert survival is not None
        self._report("peer-lost", peer=address)
        if self.databases is not None and address in self.databases.addresses:
            self.databases.lost.add(address)
        stand = survival.standing.get(address)
        if stand is not None:
            self._timers.stop(("handback", address))
            self._consider_taking(stand, survival)
        elif address in self._peers:
            self._without_anchor(address, survival)
        for session in self.sessions.values():
            self._requests.cancel(("release", session.node, address, None))
        for anchor in [anchor for anchor, holder in survival.holders.items() if holder == address]:
            if survival.liveness.lost(anchor):
                self._withdraw_anchor(anchor, survival)
            else:
                self._move_anchor(anchor, anchor)

    def _without_anchor(self, anchor: Address, survival: Survival) -> None:
        """It is lost, and was no partner's."""
        partner = survival.partners.get(anchor)
        if survival.holder(anchor) != anchor or anchor in survival.standing:
            return  # it is not missed, or it is for us to take its pool
        if partner is None or survival.liveness.lost(partner):
            self._withdraw_anchor(anchor, survival)
            return
        survival.accepted.discard(anchor)
        self._move_anchor(anchor, partner)
        self._after(4 * survival.liveness.settings.patience, "withdraw", anchor)

    def _on_back(self, address: Address) -> None:
        survival = self.survival
        assert survival is not None
        self._report("peer-back", peer=address)
        if self.databases is not None:
            self.databases.lost.discard(address)
        stand = survival.standing.get(address)
        if stand is not None and stand.phase is HOLDING:
            self._say_who_holds(stand)  # it learns that it is held
            self._after(survival.liveness.settings.hold, "handback", address)
        if address in survival.gone or address in survival.missed:
            self._restore_anchor(address, survival)
        elif survival.holder(address) != address and address not in survival.accepted and stand is None:
            self._move_anchor(address, address)  # its partner did not miss it

    def _on_restarted(self, address: Address) -> None:
        """It may have lost what it anchors for nodes here: it is told."""
        self._report("peer-restarted", peer=address)
        assert self.survival is not None
        for anchor in [anchor for anchor, holder in self.survival.holders.items() if holder == address]:
            self._tell_all(anchor, address, SLOWLY)
        if address in self._peers and self.survival.holder(address) == address:
            self._tell_all(address, address, SLOWLY)

    # --- anchors of nodes that are here -------------------------------------------------------------------------------

    def _move_anchor(self, anchor: Address, holder: Address) -> None:
        """Packets from its prefixes leave through `holder`, which is told what we serve."""
        survival = self.survival
        assert survival is not None
        if holder == anchor:
            survival.holders.pop(anchor, None)
        else:
            survival.holders[anchor] = holder
        if anchor in survival.gone or anchor in survival.missed:
            self._restore_anchor(anchor, survival)
        out = survival.way_out(anchor)
        for session in self._at(anchor):
            self._say_no_more(session, anchor, survival.partners.get(anchor))
            for prefix, at in session.anchored.items():
                if at == anchor:
                    self._do(EnsureUplink(prefix, out))
        self._tell_all(anchor, holder)

    def _tell_all(self, anchor: Address, holder: Address, apart: Duration = APART) -> None:
        if holder == self.configuration.address:
            return
        sessions = self._at(anchor)
        if sessions:
            self._watch_neighbour(holder)
        for index, session in enumerate(sessions):
            self._after(index * apart, "holder", (session.node, anchor))

    def _watch_neighbour(self, address: Address) -> None:
        survival = self.survival
        if survival is None:
            return
        if address in self._peers:
            survival.liveness.watch(address, self._now)
        elif address in self._databases():
            survival.liveness.watch(address, self._now, beats_back=False)

    def _tell_holder(self, session: Session, anchor: Address, survival: Survival) -> None:
        """Whoever holds the pool of `anchor` learns that the node is here."""
        holder = survival.holder(anchor)
        prefixes = self._prefixes_at(session, anchor)
        if holder == self.configuration.address or not prefixes or session.presence not in (SERVED, DEPARTED):
            return
        self._say_no_more(session, anchor, survival.partners.get(anchor))
        if holder == anchor:
            self._tell_anchor(session, anchor, prefixes)
        else:
            self._tell_stand_in(session, holder, prefixes)

    def _tell_anchor(self, session: Session, anchor: Address, prefixes: list[Prefix]) -> None:
        """The anchor itself, which is there (again)."""
        self._tell_stand_in(session, anchor, prefixes)

    def _tell_stand_in(self, session: Session, holder: Address, prefixes: list[Prefix]) -> None:
        update = self._word_of(session, prefixes, self.configuration.lifetime)
        self._requests.start(("hold", session.node, holder, None), update, self._now)

    def _prefixes_at(self, session: Session, anchor: Address) -> list[Prefix]:
        """What it anchors for the node."""
        return [prefix for prefix, at in session.anchored.items() if at == anchor]

    def _release_at(self, session: Session, prefixes: list[Prefix], holder: Address) -> None:
        """It may forget them."""
        update = self._word_of(session, prefixes, 0)
        self._requests.start(("release", session.node, holder, None), update, self._now)

    def _word_of(self, session: Session, prefixes: list[Prefix], lifetime: Duration) -> BindingUpdate:
        options = (
            identifier_option(session.node),
            *[HomeNetworkPrefix.of(prefix) for prefix in prefixes],
            *[PreviousMaar.of(prefix, session.anchored.get(prefix, ANY.address)) for prefix in prefixes],
            HANDOFFS[Handoff.NOT_CHANGED],
            self._technology,
            Timestamp(session.attached),
            ServingMaar(self.configuration.address),
        )
        return BindingUpdate(self._next_sequence(session), PROXY_DMM, lifetime, options)

    def _is_of_holder(self, answer: BindingAcknowledgement, source: Address) -> bool:
        identifier = answer.first(MobileNodeIdentifier)
        session = None if identifier is None else self.sessions.get(identifier.key())
        if session is None:
            return False
        if self._requests.answered(("release", session.node, source, None), answer.sequence, self._now):
            return True
        if not self._requests.answered(("hold", session.node, source, None), answer.sequence, self._now):
            return False
        survival = self.survival
        assert survival is not None
        for anchor in self._anchored_by(session):
            if source not in (anchor, survival.partners.get(anchor)) or survival.holder(anchor) != source:
                continue
            if answer.status >= REFUSING:
                self._report("holder-refused", holder=source, node=session.node, status=answer.status)
                if answer.status == Status.ADMINISTRATIVELY_PROHIBITED and source != anchor:
                    self._is_not_held(anchor, survival)
            elif source != anchor:
                survival.accepted.add(anchor)
                self._on_held(session, anchor, answer)
            else:
                self._is_with_anchor(session, anchor, survival)
        return True

    def _anchored_by(self, session: Session) -> Iterable[Address]:
        """Who anchors something for it, as far as we know."""
        return dict.fromkeys(session.anchored.values())

    def _is_with_anchor(self, session: Session, anchor: Address, survival: Survival) -> None:
        """It has its pool again and knows where the node is: its partner may forget that."""
        partner = survival.partners.get(anchor)
        if partner is None:
            return
        survival.accepted.discard(anchor)
        mine = self._prefixes_at(session, anchor)
        if not mine:
            return
        if partner == self.configuration.address:
            for prefix in mine:
                self._forget_held(survival.standing[anchor], prefix)
        else:
            self._release_at(session, mine, partner)

    def _on_held(self, session: Session, anchor: Address, answer: BindingAcknowledgement) -> None:
        """Who holds the pool of `anchor` accepted what we told it."""

    def _is_not_held(self, anchor: Address, survival: Survival) -> None:
        """Its partner says that it does not miss it."""
        survival.accepted.discard(anchor)
        if survival.liveness.lost(anchor):
            self._withdraw_anchor(anchor, survival)
        else:
            self._move_anchor(anchor, anchor)

    # --- what else changes --------------------------------------------------------------------------------------------

    def _serve_one(self, session: Session, prefix: Prefix, anchor: Address | None) -> None:
        if self.survival is not None and anchor is not None:
            anchor = self.survival.way_out(anchor)
        super()._serve_one(session, prefix, anchor)
        if self.survival is not None and self.survival.standing:
            if session.presence is not SERVED:
                self._install_again(session)
            elif anchor is None or anchor in self.survival.standing:
                self._has_come(prefix)
                for stand in self.survival.standing.values():
                    self._count_here(session, prefix, stand)

    def _add_foreign(self, session: Session, prefix: Prefix, anchor: Address) -> bool:
        known = prefix in session.anchored
        added = super()._add_foreign(session, prefix, anchor)
        survival = self.survival
        if survival is None or not added or known:
            return added
        self._watch_neighbour(anchor)
        if survival.holder(anchor) == self.configuration.address:
            self._forget_held(survival.standing[anchor], prefix)
        elif survival.holder(anchor) != anchor or survival.liveness.lost(anchor):
            if survival.liveness.lost(anchor):
                self._without_anchor(anchor, survival)
            self._after(0, "holder", (session.node, anchor))
        return prefix in session.anchored  # nobody may be there for it

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        survival, anchor = self.survival, session.anchored.get(prefix)
        super()._remove_foreign(session, prefix)
        if survival is None or anchor is None:
            return
        holder = survival.holder(anchor)
        if anchor not in session.anchored.values():
            self._requests.cancel(("hold", session.node, holder, None))
        if holder not in (anchor, self.configuration.address):
            self._release_at(session, [prefix], holder)
        stand = survival.standing.get(anchor)
        if stand is not None and stand.slots and prefix in stand.entries:
            self._install(stand, prefix, stand.entries[prefix])

    def _anchor_for(self, session: Session, serving: Address) -> None:
        super()._anchor_for(session, serving)
        if self.survival is not None:
            self._watch_neighbour(serving)
            for anchor in session.anchored.values():
                self._requests.cancel(("hold", session.node, self.survival.holder(anchor), None))
            if self.survival.standing:
                self._install_again(session)

    def _register(self, session: Session, handoff: Handoff) -> None:
        super()._register(session, handoff)
        self._tell_holders(session)

    def _tell_holders(self, session: Session) -> None:
        """Those that stand in for its anchors."""
        survival = self.survival
        if survival is not None and survival.holders:
            for anchor in self._anchored_by(session):
                if anchor in survival.holders:
                    self._tell_holder(session, anchor, survival)

    def _remove(self, session: Session) -> None:
        survival = self.survival
        if survival is not None:
            self._say_no_more(session, *{*session.anchored.values(), *survival.partners.values()})
        super()._remove(session)
        if survival is not None:
            self._say_no_more(session, *survival.partners.values())

    def _on_traffic_counted(self, event: TrafficCounted) -> None:
        survival, partner = self.survival, self.configuration.partner
        if survival is not None:
            self._look_at_held(event, survival)
        if survival is not None and partner is not None and (survival.held or survival.liveness.lost(partner)):
            return  # our packets may be with our partner: that we see none does not say that there are none
        super()._on_traffic_counted(event)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        super()._on_effect_failed(event)
        if self.survival is not None and self.survival.standing:
            match event.effect:
                case EnsureTunnel(slot):
                    self._mend_stand_in(slot, None, self.survival)
                case EnsurePrefix(prefix, slot):
                    self._mend_stand_in(slot, prefix, self.survival)
                case EnsureCounter(prefix) | EnsurePool(prefix) | WithdrawPool(prefix):
                    self._mend_stand_in(None, prefix, self.survival)
                case _:
                    pass

    # --- timers -------------------------------------------------------------------------------------------------------

    def _on_survival_timer(self, kind: str, key: object) -> None:
        survival = self.survival
        assert survival is not None
        match kind, key:
            case "alive", bytes(address):
                survival.liveness.due(address, self._now)
            case "sharing", _:
                survival.liveness.keep(self._sharing(survival))
                self._after(_SHARING, "sharing", None)
            case "holder", (bytes(node), bytes(anchor)):
                session = self.sessions.get(node)
                if session is not None:
                    self._tell_holder(session, anchor, survival)
            case "withdraw", bytes(anchor):
                if survival.liveness.lost(anchor) and anchor not in survival.accepted:
                    self._withdraw_anchor(anchor, survival)
            case "forget", bytes(anchor):
                self._forget_anchor(anchor, survival)
            case "held", _:  # it is not said any more: our partner forgot that it did
                self._on_own_pool(held=False)
            case "stood", (bytes(anchor), Prefix() as prefix):
                self._forget_held(survival.standing[anchor], prefix)
            case "tell", (bytes(anchor), int(index)):
                self._on_stand_in_timer(kind, survival.standing[anchor], survival, index)
            case _, bytes(anchor):
                self._on_stand_in_timer(kind, survival.standing[anchor], survival)
            case _:
                pass

    def _store_again(self, node: bytes) -> None:
        if node[:1] == STANDING and len(node) > 1:
            stand = None if self.survival is None else self.survival.standing.get(node[1:])
            held = stand is not None and stand.phase in (HOLDING, RETURNING)
            self._do(StoreBinding(node, b"") if held else DeleteBinding(node))
            return
        super()._store_again(node)

    def _survival_row(self, address: Address) -> dict[str, str | bool | None]:
        """What `show peers` says of a router besides."""
        survival = self.survival
        if survival is None:
            return {}
        each = survival.liveness.neighbours.get(address)
        stand: StandIn | None = survival.standing.get(address)
        holder = survival.holders.get(address)
        own = holder == self.configuration.address
        return {
            "alive": None if each is None else each.alive,
            "holder": None if holder is None else "here" if own else text(holder),
            "stand_in": None if stand is None else stand.phase.value,
        }
