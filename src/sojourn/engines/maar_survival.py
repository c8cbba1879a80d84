"""A MAAR whose nodes have prefixes of anchors that die (RFC 7333 REQ6f), and what routers tell each other of that.

A router watches whom it shares state with: the anchors of its nodes' old prefixes, the routers that serve the nodes of
its own, its partner and those whose partner it is, and the CMD. When an anchor is lost:

* If it has a partner, packets from its prefixes leave through that one at once, and the nodes' prefixes are registered
  with it. If the partner does not accept them in time, it is as if there were none.
* If it has none, its prefixes end: the nodes are told (lifetimes of zero). After `hold` nothing leads to the anchor any
  more; until then everything stays as it was, so that no packet is lost of an anchor that was only slow. Should it be
  there again, the prefixes are too, for nodes that are still here.

Here is what becomes of neighbours. Whom the routers of the nodes follow is in `maar_holders`, anchors with nobody in
their place in `maar_missed`. A partner's side, and the anchor's own, are in `maar_stand_in`; how prefixes retire there
in `maar_held`. Nothing of this needs a CMD.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import (
    DeleteBinding,
    EnsureCounter,
    EnsurePool,
    EnsurePrefix,
    EnsureTunnel,
    StoreBinding,
    WithdrawPool,
)
from sojourn.core.events import EffectFailed, TrafficCounted
from sojourn.engines.liveness import Liveness
from sojourn.engines.maar_holders import HolderProcedures
from sojourn.engines.maar_missed import SLOWLY
from sojourn.engines.maar_session import AWAY
from sojourn.engines.maar_stand_in import STANDING
from sojourn.engines.registration import (
    PROXY_DMM,
    Refused,
    Registration,
    refusal,
)
from sojourn.engines.stand_in import HOLDING, READY, RETURNING, StandIn, Survival
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    Heartbeat,
    HomeNetworkPrefix,
    MobilityMessage,
    PreviousMaar,
    ServingMaar,
    Status,
)
from sojourn.wire.addresses import Address, Prefix, text
from sojourn.wire.units import SECOND

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


class SurvivalProcedures(HolderProcedures):
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
            for anchor in survival.entrusted.get(address, ()):
                self._requests.cancel(("release", session.node, address, anchor))
        for anchor in [anchor for anchor, holder in survival.holders.items() if holder == address]:
            if survival.liveness.lost(anchor):
                self._withdraw_anchor(anchor, survival)
            else:
                self._move_anchor(anchor, anchor)

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

    # --- what else changes --------------------------------------------------------------------------------------------

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
