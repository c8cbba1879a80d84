"""What all procedures of a router with access links share: its sessions, its slots, and the effects that make a session
hold. A MAG and a MAAR are made on this; what differs is asked of the role by the methods at the end.
"""

from __future__ import annotations

from itertools import repeat
from typing import Generic, TypeVar

from sojourn.core.effects import (
    Advertise,
    AdvertisedPrefix,
    DeleteBinding,
    EnsureCounter,
    EnsureDelivery,
    EnsureHold,
    EnsureLogicalInterface,
    EnsurePrefix,
    EnsureShortcut,
    EnsureSpread,
    EnsureTransport,
    EnsureTunnel,
    EnsureUplink,
    ForgetStation,
    StoreBinding,
    WithdrawLogicalInterface,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.core.events import EffectFailed
from sojourn.core.sequence import following
from sojourn.engines.access_session import AWAY, DEPARTED, SERVED, AccessSession
from sojourn.engines.base import OutboxEngine, TokenBucket
from sojourn.engines.configuration import OFF, STATEFUL, AccessConfiguration, RetransmissionConstants
from sojourn.engines.leases import Leases
from sojourn.engines.registration import TECHNOLOGIES
from sojourn.engines.retransmission import Retransmission
from sojourn.engines.slots import Slots
from sojourn.wire import BindingUpdate, Handoff
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant, WallClock

S = TypeVar("S", bound=AccessSession)

_SHORTEST = 48
"""Length of a prefix for a node, at least."""
TUNNEL_OVERHEAD = 40
"""Octets of the outer IPv6 header (RFC 2473 7.1)."""
_REPAIR_AFTER = 1 * SECOND
_TIMERS = ("refresh", "probe", "expiry", "advertise", "hold", "grace", "retry", "repair", "gone", "dhcp")
"""Of one session."""


class AccessState(OutboxEngine, Generic[S]):
    """State and vocabulary of the engine of an access router."""

    def __init__(
        self, configuration: AccessConfiguration, epoch: WallClock, constants: RetransmissionConstants
    ) -> None:
        super().__init__(epoch)
        self.configuration = configuration
        self.sessions: dict[bytes, S] = {}
        self._technology = TECHNOLOGIES[configuration.access_technology]
        self.heard: dict[Address, Instant] = {}
        self._foreign: dict[Prefix, bytes] = {}
        self._logical_users: dict[tuple[str, Address], set[bytes]] = {}
        self._by_slot: dict[int, bytes] = {}
        self._newcomers: dict[str, TokenBucket] = {}
        self._unproved: dict[bytes, None] = {}
        """Nodes that showed themselves once and not again, oldest first: the first to go when there is no room."""
        self._slots = Slots()
        dhcpv6 = configuration.dhcpv6
        self._flags = (dhcpv6 is STATEFUL, dhcpv6 is not OFF, configuration.slaac)
        """M and O of advertisements, A of their prefixes: whether nodes get addresses by DHCPv6, and what else they
        should know, and whether they make addresses by themselves."""
        self.leases: Leases | None = None
        """None where nodes have prefixes only that they make addresses of."""
        self._requests = Retransmission(
            constants, configuration.address, self._do, self._timers.start, self._timers.stop, renew=self._renewed
        )

    # --- numbers --------------------------------------------------------------------------------------------------

    def _enter(self, session: S) -> None:
        """A session of ours from now on."""
        self.sessions[session.node] = session
        self._by_slot[session.slot] = session.node

    def _next_sequence(self, session: S) -> int:
        session.sequence = following(session.sequence)
        return session.sequence

    # --- what must hold for a session -------------------------------------------------------------------------------

    def _serve(self, session: S) -> None:
        """Packets to and from all its prefixes take the access link it is on."""
        self._deliver(session)
        for prefix, anchor in session.anchored.items():
            self._serve_one(session, prefix, anchor)

    def _deliver(self, session: S) -> None:
        """Packets to the node go to it."""
        self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))

    def _serve_one(self, session: S, prefix: Prefix, anchor: Address | None) -> None:
        """Packets to and from one prefix; plainly when nobody else anchors it."""
        if self._is_led(session, anchor):
            self._do(EnsurePrefix(prefix, session.slot))
        self._do(EnsureUplink(prefix, anchor))
        if self.leases is not None:
            self._serve_leased(session, prefix)

    def _is_led(self, session: S, anchor: Address | None) -> bool:
        """Whether what `anchor` anchors goes where the rest of the node's packets go."""
        return True

    def _reassert(self, session: S) -> None:
        """All that should hold for this session, once more."""
        if session.presence in (SERVED, DEPARTED):
            self._serve(session)
            for anchor, identity in session.logical.items():
                self._ensure_logical(session, anchor, identity)

    # --- prefixes that others anchor ----------------------------------------------------------------------------------

    def _add_foreign(self, session: S, prefix: Prefix, anchor: Address) -> bool:
        """A prefix that `anchor` anchors is served here from now on; False with a report when that cannot be."""
        if session.anchored.get(prefix) == anchor:
            return True
        trouble = self._trouble_with(session, prefix, anchor)
        if trouble:
            self._report("anchor-refused", node=session.node, prefix=prefix, reason=trouble)
            return False
        former = self._foreign.get(prefix)
        if former is not None and former != session.node:
            self._remove_foreign(self.sessions[former], prefix)  # it left, and the prefix was given to somebody else
            self._keep(self.sessions[former])
        session.anchored[prefix] = anchor
        self._foreign[prefix] = session.node
        self._serve_one(session, prefix, anchor)
        return True

    def _trouble_with(self, session: S, prefix: Prefix, anchor: Address) -> str:
        """Why `prefix` of `anchor` cannot be served for this node; empty when it can."""
        if not self._is_for_nodes(session, prefix):
            return "not a prefix for a node"
        if prefix in self._foreign and self._serves_another(prefix, session):
            return "prefix of another node"
        if len(session.anchored) >= self._most_prefixes(session):
            return "too many prefixes"
        return ""

    def _most_prefixes(self, session: S) -> int:
        """Of others, for this node, now."""
        return self.configuration.prefixes_per_node

    def _is_for_nodes(self, session: S, prefix: Prefix) -> bool:
        """Whether a node can have such a prefix."""
        return is_unicast(prefix)

    def _serves_another(self, prefix: Prefix, session: S) -> bool:
        """Whether `prefix` belongs to another node that is here."""
        other = self.sessions.get(self._foreign.get(prefix, session.node))
        return other is not None and other is not session and other.presence is SERVED

    def _remove_foreign(self, session: S, prefix: Prefix) -> None:
        if session.anchored.pop(prefix, None) is None:
            return
        self._foreign.pop(prefix, None)
        self._do(WithdrawUplink(prefix))
        self._do(WithdrawPrefix(prefix))

    def _remove(self, session: S) -> None:
        """Nothing is left of this node, and nobody is asked anything about it any more."""
        self._remove_prefixes(session)
        self._do(WithdrawSlot(session.slot))
        self._slots.give_back(session.slot)
        self._quiet(session)
        for kind in ("register", "deregister"):
            self._requests.cancel((kind, session.node, self._asked_about(session), None))
        self._forget_listener(session)
        del self.sessions[session.node]
        self._by_slot.pop(session.slot, None)
        self._unproved.pop(session.node, None)
        if self.stores:
            self._do(DeleteBinding(session.node))

    def _remove_prefixes(self, session: S) -> None:
        """The node has no prefix any more."""
        for prefix in list(session.anchored):
            self._remove_foreign(session, prefix)
        for anchor in list(session.logical):
            self._release_logical(session, anchor)

    def _quiet(self, session: S) -> None:
        """No timer of this session runs."""
        self._timers.stop_all(zip(_TIMERS, repeat(session.node)))
        if self.leases is not None:
            self._quiet_leased(session)

    def _keep(self, session: S) -> None:
        if self.stores:
            self._do(StoreBinding(session.node, session.record()))

    def _forget_station(self, session: S) -> None:
        if session.interface:  # it was seen in this life
            self._do(ForgetStation(session.interface, session.link_layer))

    # --- identities shown on access links -----------------------------------------------------------------------------

    def _ensure_logical(self, session: S, anchor: Address, identity: Address) -> None:
        """Show `identity` to the node, for the sake of `anchor`."""
        if session.logical.get(anchor, identity) != identity:
            self._release_logical(session, anchor)
        session.logical[anchor] = identity
        users = self._logical_users.setdefault((session.interface, identity), set())
        users.add(session.node)
        self._do(EnsureLogicalInterface(session.interface, identity))

    def _release_logical(self, session: S, anchor: Address) -> None:
        identity = session.logical.pop(anchor, None)
        if identity is None:
            return
        users = self._logical_users.get((session.interface, identity), set())
        users.discard(session.node)
        if not users:
            self._logical_users.pop((session.interface, identity), None)
            self._do(WithdrawLogicalInterface(session.interface, identity))

    # --- router advertisements --------------------------------------------------------------------------------------

    def _advertise(self, session: S, gone: tuple[Prefix, ...] = ()) -> None:
        """Tell the node its prefixes, and `gone` at their end. Unicast: each node has its prefixes to itself."""
        configuration = self.configuration
        router, lifetime, prefixes = self._advertised(session)
        managed, other, autonomous = self._flags
        if gone:
            prefixes[:0] = [AdvertisedPrefix(prefix, 0, 0) for prefix in gone]
        self._do(
            Advertise(
                session.interface,
                session.link_layer,
                router,
                configuration.link_layer,
                lifetime,
                tuple(prefixes),
                (),
                configuration.mtu - TUNNEL_OVERHEAD,
                managed,
                other,
                autonomous,
            )
        )
        if configuration.advertisement_interval:
            self._after(configuration.advertisement_interval, "advertise", session.node)

    # --- the machine under us ---------------------------------------------------------------------------------------

    def _on_link_changed(self, interface: str, up: bool) -> None:
        """The kernel forgets nexthops and routes of an interface that goes down: they are asserted when it is back."""
        self._report("link-changed", interface=interface, up=int(up))
        if not up:
            return
        for session in self.sessions.values():
            if session.interface == interface and session.presence is not AWAY:
                self._reassert(session)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        """The kernel refused. Counted, and tried again for the session that it concerns, every second."""
        effect = event.effect
        self._report("effect-failed", effect=type(effect).__name__, error=event.error, reason=event.reason)
        match effect:
            case StoreBinding(key) | DeleteBinding(key):
                self._after(_REPAIR_AFTER, "store", key)
            case EnsureDelivery(slot) | EnsureTunnel(slot) | EnsureHold(slot) | EnsurePrefix(_, slot):
                self._mend(self._by_slot.get(slot))
            case EnsureUplink(prefix) | EnsureCounter(prefix) | EnsureShortcut(prefix) | EnsureSpread(prefix):
                self._mend(self._node_of(prefix))
            case EnsureLogicalInterface(interface) | Advertise(interface):
                # Who departed has an identity too, if the answer that told of it came late; nobody is told of it then.
                present = (SERVED,) if type(effect) is Advertise else (SERVED, DEPARTED)
                for session in self.sessions.values():
                    if session.interface == interface and session.presence in present:
                        self._mend(session.node)
            case EnsureTransport(remote):
                self._after(_REPAIR_AFTER, "ipv4-transport", remote)
            case _:
                pass  # what should be gone is removed by the next reconciliation

    def _node_of(self, prefix: Prefix) -> bytes | None:
        return self._foreign.get(prefix)

    def _mend(self, node: bytes | None) -> None:
        if node is not None and ("repair", node) not in self._timers:
            self._after(_REPAIR_AFTER, "repair", node)

    def _repair(self, session: S) -> None:
        """All that should hold for a session for which something was refused, once more."""
        self._reassert(session)
        if session.presence is SERVED:
            self._advertise(session)

    def _insist(self, node: bytes) -> None:
        """Nothing is answered about a node whose record the disk refused without another attempt."""
        if ("store", node) in self._timers:
            self._timers.stop(("store", node))  # or this attempt would be made twice, the second one for nothing
            self._store_again(node)

    def _store_again(self, node: bytes) -> None:
        """The disk refused this binding: what is true of it now."""
        session = self.sessions.get(node)
        if session is None:
            self._do(DeleteBinding(node))
        else:
            self._keep(session)

    # --- what the role and its procedures provide ---------------------------------------------------------------------

    def _asked_about(self, session: S) -> Address:
        """Where this node is registered."""
        raise NotImplementedError

    def _advertised(self, session: S) -> tuple[Address, Duration, list[AdvertisedPrefix]]:
        """By which address the node knows us, how long it may take us for its default router, and its prefixes."""
        raise NotImplementedError

    def _renewed(self, update: BindingUpdate) -> BindingUpdate:
        """`update` as it is to be sent now."""
        raise NotImplementedError

    def _clock(self) -> int:
        """The time of day that whom we ask and we agree on, in ticks."""
        raise NotImplementedError

    def _known_address(self, session: S) -> Address | None:
        """One to ask it at."""
        return session.address

    def _serve_leased(self, session: S, prefix: Prefix) -> None:
        """What a prefix needs besides that is leased, if it is."""
        raise NotImplementedError

    def _quiet_leased(self, session: S) -> None:
        """No timer of what is leased to it runs, and nothing that it asked for waits."""
        raise NotImplementedError

    def _on_settled(self, node: bytes) -> None:
        """It is known now what the node has."""
        raise NotImplementedError

    def _ask_listener(self, session: S) -> None:
        """Ask the node which multicast groups it listens to."""
        raise NotImplementedError

    def _remind_listener(self, session: S) -> None:
        """Ask it again if it has not answered."""
        raise NotImplementedError

    def _forget_listener(self, session: S) -> None:
        """It listens to nothing here any more."""
        raise NotImplementedError

    def _probe(self, session: S) -> None:
        """Ask the node for a sign of life, again and again, and let it go if there is none."""
        raise NotImplementedError

    def _register(self, session: S, handoff: Handoff) -> None:
        """Send a Proxy Binding Update for all that the node has here."""
        raise NotImplementedError

    def _deregister(self, session: S) -> None:
        """Send one of lifetime 0."""
        raise NotImplementedError


def is_unicast(prefix: Prefix) -> bool:
    """Whether it may be a prefix of IPv6 for one node."""
    return prefix.length >= _SHORTEST and prefix.address[0] not in (0, 0xFE, 0xFF)
