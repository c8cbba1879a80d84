"""A MAAR whose nodes have prefixes of pools that somebody else holds now: who that is, and what it is told (REQ6f).

A partner says who holds a pool. Packets from prefixes of the pool leave through the holder, and the nodes' prefixes are
registered with it, in the form in which a CMD tells an anchor (RFC 8885 3.2, step 2). When the anchor has its pool
again, it is told the same, and its partner may forget. When a neighbour counts as gone is in `maar_survival`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import EnsureUplink
from sojourn.engines.access_session import DEPARTED
from sojourn.engines.configuration import NO_CMD
from sojourn.engines.maar_held import HeldProcedures
from sojourn.engines.maar_missed import APART
from sojourn.engines.maar_session import SERVED, Session
from sojourn.engines.registration import HANDOFFS, LISTED_PREFIXES, NO_TIME, PROXY_DMM, REFUSING, identifier_option
from sojourn.engines.stand_in import Survival
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    Handoff,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import Duration


class HolderProcedures(HeldProcedures):
    """The MAAR as one that follows pools to whoever holds them."""

    # --- who holds what -----------------------------------------------------------------------------------------------

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
            self._say_no_more(session, anchor)
            for prefix, at in session.anchored.items():
                if at == anchor:
                    self._do(EnsureUplink(prefix, out))
        self._tell_all(anchor, holder)
        if holder == anchor:
            self._release_who_left(anchor, survival)

    def _release_who_left(self, anchor: Address, survival: Survival) -> None:
        """The anchor has its pool again soon. For nodes that left us a moment ago its partner still sends packets here,
        which we pass on for a while only. Who serves such a node now told the partner, unless that is the anchor.
        """
        partner = survival.partners.get(anchor)
        if partner is None or partner == self.configuration.address:
            return
        for session in self.sessions.values():
            if session.presence not in (SERVED, DEPARTED) and (mine := self._prefixes_at(session, anchor)):
                self._release_at(session, mine, anchor, partner)

    def _is_not_held(self, anchor: Address, survival: Survival) -> None:
        """Its partner says that it does not miss it."""
        survival.accepted.discard(anchor)
        if survival.liveness.lost(anchor):
            self._withdraw_anchor(anchor, survival)
        else:
            self._move_anchor(anchor, anchor)

    # --- telling them -------------------------------------------------------------------------------------------------

    def _tell_all(self, anchor: Address, holder: Address, apart: Duration = APART) -> None:
        if holder == self.configuration.address:
            return
        sessions = self._at(anchor)
        if sessions:
            self._watch_neighbour(holder)
        for index, session in enumerate(sessions):
            self._after(index * apart, "holder", (session.node, anchor))

    def _tell_holders(self, session: Session) -> None:
        """Those that stand in for its anchors."""
        survival = self.survival
        if survival is not None and survival.holders:
            for anchor in self._anchored_by(session):
                if anchor in survival.holders:
                    self._tell_holder(session, anchor, survival)

    def _tell_holder(self, session: Session, anchor: Address, survival: Survival) -> None:
        """Whoever holds the pool of `anchor` learns that the node is here."""
        holder = survival.holder(anchor)
        prefixes = self._prefixes_at(session, anchor)
        if holder == self.configuration.address or not prefixes or session.presence not in (SERVED, DEPARTED):
            return
        self._say_no_more(session, anchor)
        if holder == anchor:
            self._tell_anchor(session, anchor, prefixes)
        else:
            self._tell_stand_in(session, anchor, holder, prefixes)

    def _tell_anchor(self, session: Session, anchor: Address, prefixes: list[Prefix]) -> None:
        """The anchor itself, which is there (again)."""
        self._tell_stand_in(session, anchor, anchor, prefixes)

    def _tell_stand_in(self, session: Session, anchor: Address, holder: Address, prefixes: list[Prefix]) -> None:
        """One may hold several pools that the node has prefixes of: a request for each."""
        update = self._word_of(session, prefixes, self.configuration.lifetime)
        self._requests.start(("hold", session.node, holder, anchor), update, self._now)

    def _release_at(self, session: Session, prefixes: list[Prefix], anchor: Address, holder: Address) -> None:
        """It may forget them, and what it was told before to forget, and did not confirm."""
        key = ("release", session.node, holder, anchor)
        before = self._requests.get(key)
        said = () if before is None else before.update.all(HomeNetworkPrefix)
        all_of_them = list(dict.fromkeys([*(option.prefix for option in said), *prefixes]))[-LISTED_PREFIXES:]
        self._requests.start(key, self._word_of(session, all_of_them, 0), self._now)

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

    def _prefixes_at(self, session: Session, anchor: Address) -> list[Prefix]:
        """What it anchors for the node."""
        return [prefix for prefix, at in session.anchored.items() if at == anchor]

    def _anchored_by(self, session: Session) -> Iterable[Address]:
        """Who anchors something for it, as far as we know."""
        return dict.fromkeys(session.anchored.values())

    def _watch_neighbour(self, address: Address) -> None:
        survival = self.survival
        if survival is None:
            return
        if address in self._peers:
            survival.liveness.watch(address, self._now)
        elif address in self._databases():
            survival.liveness.watch(address, self._now, beats_back=False)

    def _databases(self) -> tuple[Address, ...]:
        """Each of them: one of several that is dead is left for the others."""
        cmd = self.configuration.cmd
        if self.databases is not None:
            return self.databases.addresses
        return () if cmd == NO_CMD else (cmd,)

    # --- their answers ------------------------------------------------------------------------------------------------

    def _is_of_holder(self, answer: BindingAcknowledgement, source: Address) -> bool:
        identifier = answer.first(MobileNodeIdentifier)
        session = None if identifier is None else self.sessions.get(identifier.key())
        if session is None:
            return False
        survival = self.survival
        assert survival is not None
        told = [option.prefix for option in answer.all(HomeNetworkPrefix)]
        for anchor in (*survival.entrusted.get(source, ()), source):
            pools = survival.pools.get(anchor)
            if pools is not None and not any(pool.contains(prefix) for pool in pools for prefix in told):
                continue  # a number may be that of two requests, as repetitions take the next one
            if self._requests.answered(("release", session.node, source, anchor), answer.sequence, self._now):
                return True
            if self._requests.answered(("hold", session.node, source, anchor), answer.sequence, self._now):
                if survival.holder(anchor) == source and anchor in self._anchored_by(session):
                    self._on_holder_answered(session, anchor, answer, source)
                return True
        return False

    def _on_holder_answered(
        self, session: Session, anchor: Address, answer: BindingAcknowledgement, holder: Address
    ) -> None:
        survival = self.survival
        assert survival is not None
        if answer.status >= REFUSING:
            self._report("holder-refused", holder=holder, node=session.node, status=answer.status)
            if answer.status == Status.ADMINISTRATIVELY_PROHIBITED and holder != anchor:
                self._is_not_held(anchor, survival)
        elif holder != anchor:
            survival.accepted.add(anchor)
            self._on_held(session, anchor, answer)
        else:
            self._is_with_anchor(session, anchor, survival)

    def _on_held(self, session: Session, anchor: Address, answer: BindingAcknowledgement) -> None:
        """Who holds the pool of `anchor` accepted what we told it."""

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
            self._release_at(session, mine, anchor, partner)

    # --- what changes with a session ----------------------------------------------------------------------------------

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
            self._requests.cancel(("hold", session.node, holder, anchor))
        if holder not in (anchor, self.configuration.address):
            self._release_at(session, [prefix], anchor, holder)
        stand = survival.standing.get(anchor)
        if stand is not None and stand.slots and prefix in stand.entries:
            self._install(stand, prefix, stand.entries[prefix])

    def _anchor_for(self, session: Session, serving: Address) -> None:
        super()._anchor_for(session, serving)
        if self.survival is not None:
            self._watch_neighbour(serving)
            for anchor in session.anchored.values():
                self._requests.cancel(("hold", session.node, self.survival.holder(anchor), anchor))
            if self.survival.standing:
                self._install_again(session)

    def _register(self, session: Session, handoff: Handoff) -> None:
        super()._register(session, handoff)
        self._tell_holders(session)

    def _remove(self, session: Session) -> None:
        survival = self.survival
        if survival is not None:
            self._say_no_more(session, *{*session.anchored.values(), *survival.partners})
        super()._remove(session)
        if survival is not None:
            self._say_no_more(session, *survival.partners)
