"""What all procedures of a MAAR share: its sessions, its pool, and the effects that make a session hold.

The procedures themselves: `maar_access` (nodes come and go), `maar_registration` (the MAAR asks the CMD),
`maar_anchor` (the CMD tells the MAAR, and prefixes retire). `maar` puts them together.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

from sojourn.core.effects import (
    Advertise,
    AdvertisedPrefix,
    DeleteBinding,
    EnsureCounter,
    EnsureDelivery,
    EnsureLogicalInterface,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    ForgetStation,
    SendMessage,
    StoreBinding,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.core.sequence import following
from sojourn.engines.base import OutboxEngine, TokenBucket
from sojourn.engines.configuration import MaarConfiguration, Mode, Peer
from sojourn.engines.maar_session import Presence, Session
from sojourn.engines.multicast_proxy import MulticastProxy
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.engines.retransmission import Retransmission
from sojourn.wire import Handoff
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, Instant, WallClock

_RELAY_PATIENCE = 300 * MILLISECOND
"""A CMD that relays answers after it gathered the answers of others, for at most 200 ms; no repetition before that."""
TUNNEL_OVERHEAD = 40
"""Octets of the outer IPv6 header (RFC 2473 7.1)."""


class MaarState(OutboxEngine):
    """State and vocabulary of the MAAR engine."""

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        super().__init__(epoch)
        self.configuration = configuration
        self.sessions: dict[bytes, Session] = {}
        self.pool = PrefixPool(configuration.pool, configuration.prefix_length, configuration.quarantine)
        self.heard: dict[Address, Instant] = {}
        self._peers: dict[Address, Peer] = {peer.address: peer for peer in configuration.peers}
        self._foreign: dict[Prefix, bytes] = {}
        self._logical_users: dict[tuple[str, Address], set[bytes]] = {}
        self._anchored_for: dict[Prefix, bytes] = {}
        self._by_slot: dict[int, bytes] = {}
        self._newcomers: dict[str, TokenBucket] = {}
        self._unproved: dict[bytes, None] = {}
        """Nodes that showed themselves once and not again, oldest first: the first to go when there is no room."""
        self._free_slots: list[int] = []
        self._next_slot = 1
        constants = configuration.retransmission
        if configuration.mode is Mode.RELAY:
            patience = max(_RELAY_PATIENCE, constants.min_bindack_timeout)
            constants = replace(constants, min_bindack_timeout=min(patience, constants.initial_bindack_timeout))
        self._requests = Retransmission(
            constants,
            send=lambda update, destination: self._do(SendMessage(update, configuration.address, destination)),
            wake=lambda key, instant: self._timers.start(("request", key), instant),
            sleep=lambda key: self._timers.stop(("request", key)),
        )
        self.listeners: MulticastProxy | None = None
        """None where multicast is not configured."""
        if configuration.multicast is not None:
            self.listeners = MulticastProxy(
                configuration.multicast,
                do=self._do,
                wake=lambda key, instant: self._timers.start(("multicast", key), instant),
                sleep=lambda key: self._timers.stop(("multicast", key)),
            )

    # --- numbers --------------------------------------------------------------------------------------------------

    def _take_slot(self) -> int:
        if self._free_slots:
            return heapq.heappop(self._free_slots)
        self._next_slot += 1
        return self._next_slot - 1

    def _enter(self, session: Session) -> None:
        """A session of ours from now on."""
        self.sessions[session.node] = session
        self._by_slot[session.slot] = session.node

    def _give(self, session: Session, prefix: Prefix | None) -> None:
        """`prefix` is what we anchor for it."""
        session.own = prefix
        if prefix is not None:
            self._anchored_for[prefix] = session.node

    def _next_sequence(self, session: Session) -> int:
        session.sequence = following(session.sequence)
        return session.sequence

    # --- what must hold for a session -------------------------------------------------------------------------------

    def _serve(self, session: Session) -> None:
        """Packets to and from all its prefixes take the access link it is on."""
        self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
        if session.own is not None:
            self._do(EnsurePrefix(session.own, session.slot))
            self._do(EnsureUplink(session.own, None))
        for prefix, anchor in session.anchored.items():
            self._serve_foreign(session, prefix, anchor)

    def _serve_foreign(self, session: Session, prefix: Prefix, anchor: Address) -> None:
        self._do(EnsurePrefix(prefix, session.slot))
        self._do(EnsureUplink(prefix, anchor))

    def _anchor_for(self, session: Session, serving: Address) -> None:
        """Packets to its prefixes go through the tunnel to the MAAR that serves it."""
        self._do(EnsureTunnel(session.slot, serving))
        if session.own is not None:
            self._do(EnsurePrefix(session.own, session.slot))
            self._do(EnsureCounter(session.own))
            self._do(WithdrawUplink(session.own))
        for prefix in session.anchored:
            self._do(WithdrawUplink(prefix))

    def _reassert(self, session: Session) -> None:
        """All that should hold for this session, once more."""
        if session.presence is Presence.AWAY and session.serving is not None:
            self._anchor_for(session, session.serving)
            for prefix in session.anchored:
                self._do(EnsurePrefix(prefix, session.slot))
        elif session.presence in (Presence.SERVED, Presence.DEPARTED):
            self._serve(session)
            for anchor, identity in session.logical.items():
                self._ensure_logical(session, anchor, identity)

    # --- prefixes -------------------------------------------------------------------------------------------------

    def _add_foreign(self, session: Session, prefix: Prefix, anchor: Address) -> bool:
        """A prefix that `anchor` anchors is served here from now on; False with a report when that cannot be."""
        if session.anchored.get(prefix) == anchor:
            return True
        trouble = ""
        peer = self._peers.get(anchor)
        lengths = range(48, 129) if session.legacy else (self.configuration.prefix_length,)
        if anchor not in self._peers and anchor != self.configuration.cmd:
            trouble = "anchor is not a configured peer"
        elif prefix.length not in lengths or prefix.address[0] in (0, 0xFE, 0xFF):
            trouble = "not a prefix for a node"
        elif peer is not None and peer.pool is not None and not peer.pool.contains(prefix):
            trouble = "not of the pool of its anchor"
        elif self.configuration.pool.contains(prefix) or prefix.contains(self.configuration.pool):
            trouble = "prefix of our own pool"
        elif self._serves_another(prefix, session):
            trouble = "prefix of another node"
        elif len(session.anchored) >= self.configuration.prefixes_per_node:
            trouble = "too many prefixes"
        if trouble:
            self._report("anchor-refused", node=session.node.hex(), prefix=str(prefix), reason=trouble)
            return False
        former = self._foreign.get(prefix)
        if former is not None and former != session.node:
            self._remove_foreign(self.sessions[former], prefix)  # it left, and the prefix was given to somebody else
            self._keep(self.sessions[former])
        session.anchored[prefix] = anchor
        self._foreign[prefix] = session.node
        self._serve_foreign(session, prefix, anchor)
        return True

    def _serves_another(self, prefix: Prefix, session: Session) -> bool:
        """Whether `prefix` belongs to another node that is here."""
        other = self.sessions.get(self._foreign.get(prefix, session.node))
        return other is not None and other is not session and other.presence is Presence.SERVED

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        anchor = session.anchored.pop(prefix, None)
        if anchor is None:
            return
        self._foreign.pop(prefix, None)
        self._do(WithdrawUplink(prefix))
        self._do(WithdrawPrefix(prefix))
        if anchor not in session.anchored.values():
            self._release_logical(session, anchor)

    def _remove_own(self, session: Session) -> None:
        """We anchor nothing for this node any more."""
        if session.own is None:
            return
        self._do(WithdrawUplink(session.own))
        self._do(WithdrawPrefix(session.own))
        self._do(WithdrawCounter(session.own))
        self.pool.release(session.own, self._now)
        self._anchored_for.pop(session.own, None)
        session.own = None

    def _remove(self, session: Session) -> None:
        """Nothing is left of this node, and nobody is asked anything about it any more."""
        self._cancel_retirement(session)
        for prefix in list(session.anchored):
            self._remove_foreign(session, prefix)
        self._remove_own(session)
        self._do(WithdrawSlot(session.slot))
        heapq.heappush(self._free_slots, session.slot)
        self._quiet(session)
        for kind in ("register", "deregister"):
            self._requests.cancel((kind, session.node, self.configuration.cmd, None))
        self._forget_listener(session)
        del self.sessions[session.node]
        self._by_slot.pop(session.slot, None)
        self._unproved.pop(session.node, None)
        self._do(DeleteBinding(session.node))

    def _quiet(self, session: Session) -> None:
        """No timer of this session runs."""
        for kind in ("refresh", "probe", "expiry", "advertise", "hold", "grace", "retry", "repair"):
            self._timers.stop((kind, session.node))

    def _keep(self, session: Session) -> None:
        self._do(StoreBinding(session.node, session.record()))

    def _forget_station(self, session: Session) -> None:
        self._do(ForgetStation(session.interface, session.link_layer))

    # --- logical interfaces (RFC 8885 3.7) --------------------------------------------------------------------------

    def _ensure_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        """Show `anchor`'s identity to the node."""
        if session.logical.get(anchor, identity) != identity:
            routes = session.routes.get(anchor, ())
            self._release_logical(session, anchor)
            session.routes[anchor] = routes
        session.logical[anchor] = identity
        users = self._logical_users.setdefault((session.interface, identity), set())
        users.add(session.node)
        self._do(EnsureLogicalInterface(session.interface, identity))

    def _release_logical(self, session: Session, anchor: Address) -> None:
        identity = session.logical.pop(anchor, None)
        session.routes.pop(anchor, None)
        if identity is None:
            return
        users = self._logical_users.get((session.interface, identity), set())
        users.discard(session.node)
        if not users:
            self._logical_users.pop((session.interface, identity), None)
            self._do(WithdrawLogicalInterface(session.interface, identity))

    # --- router advertisements --------------------------------------------------------------------------------------

    def _advertise(self, session: Session, gone: tuple[Prefix, ...] = ()) -> None:
        """Tell the node its prefixes: its own preferred, those of previous anchors deprecated, `gone` at their end.

        Unicast, so that each node has its prefix to itself (RFC 8273); a legacy LMA's prefix is the home prefix and
        stays preferred (RFC 5213 6.9.1.2).
        """
        configuration = self.configuration
        valid = configuration.valid_lifetime
        prefixes = [AdvertisedPrefix(prefix, 0, 0) for prefix in gone]
        if session.own is not None and (session.confirmed or not configuration.advertise_confirmed):
            prefixes.append(AdvertisedPrefix(session.own, configuration.preferred_lifetime, valid))
        for prefix, anchor in session.anchored.items():
            if anchor not in session.logical:
                preferred = configuration.preferred_lifetime if session.legacy else 0
                prefixes.append(AdvertisedPrefix(prefix, preferred, valid))
        self._do(
            Advertise(
                session.interface,
                session.link_layer,
                configuration.link_local,
                configuration.link_layer,
                configuration.router_lifetime,
                tuple(prefixes),
                mtu=configuration.mtu - TUNNEL_OVERHEAD,
            )
        )
        for anchor, identity in session.logical.items():
            self._advertise_logical(session, anchor, identity)
        self._after(configuration.advertisement_interval, "advertise", session.node)

    def _advertise_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        """The same router under the identity of `anchor`: no default router, but the way to its own networks."""
        valid = self.configuration.valid_lifetime
        prefixes = [AdvertisedPrefix(prefix, 0, valid) for prefix, owner in session.anchored.items() if owner == anchor]
        self._do(
            Advertise(
                session.interface,
                session.link_layer,
                identity,
                self.configuration.link_layer,
                0,
                tuple(prefixes),
                routes=session.routes.get(anchor, ()),
                mtu=self.configuration.mtu - TUNNEL_OVERHEAD,
            )
        )

    # --- what the procedures provide for each other -------------------------------------------------------------------

    def _clock(self) -> int:
        """The time of day that the CMD and we agree on, in ticks."""
        raise NotImplementedError

    def _probe(self, session: Session) -> None:
        """Ask the node for a sign of life, again and again, and let it go if there is none."""
        raise NotImplementedError

    def _ask_listener(self, session: Session) -> None:
        """Ask the node which multicast groups it listens to."""
        raise NotImplementedError

    def _remind_listener(self, session: Session) -> None:
        """Ask it again if it has not answered."""
        raise NotImplementedError

    def _forget_listener(self, session: Session) -> None:
        """It listens to nothing here any more."""
        raise NotImplementedError

    def _register(self, session: Session, handoff: Handoff) -> None:
        """Send a Proxy Binding Update for all that the node has here."""
        raise NotImplementedError

    def _deregister(self, session: Session) -> None:
        """Send one of lifetime 0."""
        raise NotImplementedError

    def _exchange_own(self, session: Session) -> None:
        """Give the node another prefix of ours."""
        raise NotImplementedError

    def _cancel_retirement(self, session: Session) -> None:
        """A retirement that is being asked for is not wanted any more."""
        raise NotImplementedError

    def _on_retirement_answered(self, session: Session, prefix: Prefix, status: int) -> None:
        """The CMD answered a retirement."""
        raise NotImplementedError
