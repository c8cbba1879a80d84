"""What all procedures of a MAAR share: its sessions, its pool, and the effects that make a session hold.

The procedures themselves: `maar_access` (nodes come and go), `maar_registration` (the MAAR asks the CMD),
`maar_anchor` (the CMD tells the MAAR, and prefixes retire). `maar` puts them together.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from itertools import repeat

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
    StoreBinding,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.core.events import DhcpReceived
from sojourn.core.sequence import following
from sojourn.engines.base import OutboxEngine, TokenBucket
from sojourn.engines.configuration import Dhcpv6, MaarConfiguration, Mode, Peer, Peers
from sojourn.engines.maar_session import AWAY, DEPARTED, SERVED, Session
from sojourn.engines.multicast_proxy import MulticastProxy
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.engines.registration import TECHNOLOGIES
from sojourn.engines.retransmission import Retransmission
from sojourn.wire import Handoff
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, Duration, Instant, WallClock

_RELAY_PATIENCE = 300 * MILLISECOND
"""A CMD that relays answers after it gathered the answers of others, for at most 200 ms; no repetition before that."""
_TIMERS = ("refresh", "probe", "expiry", "advertise", "hold", "grace", "retry", "repair", "dhcp")
"""Of one session."""
TUNNEL_OVERHEAD = 40
"""Octets of the outer IPv6 header (RFC 2473 7.1)."""


def _further_pools(configuration: MaarConfiguration) -> tuple[PrefixPool | None, PrefixPool | None]:
    """IPv4 home addresses without those that are no host's, and prefixes to delegate."""
    ipv4 = delegated = None
    pool = configuration.ipv4_pool
    if pool is not None:
        last = pool.subnet((1 << 128 - pool.length) - 1, 128)
        ipv4 = PrefixPool(pool, 128, configuration.quarantine, (pool.subnet(0, 127), last))
    if configuration.delegated_pool is not None:
        delegated = PrefixPool(configuration.delegated_pool, configuration.delegated_length, configuration.quarantine)
    return ipv4, delegated


def _may_anchor(peer: Peer | None, prefix: Prefix) -> bool:
    """Whether `prefix` is of a pool of this router, as far as that is known; an LMA has any."""
    if peer is None:
        return True
    pool = peer.ipv4_pool if prefix.is_ipv4 else peer.pool
    return pool.contains(prefix) if pool is not None else not prefix.is_ipv4


class MaarState(OutboxEngine):
    """State and vocabulary of the MAAR engine."""

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        super().__init__(epoch)
        self.configuration = configuration
        self.sessions: dict[bytes, Session] = {}
        self._technology = TECHNOLOGIES[configuration.access_technology]
        self.heard: dict[Address, Instant] = {}
        self.ipv4_pool, self.delegated_pool = _further_pools(configuration)
        kept = () if configuration.delegated_pool is None else (configuration.delegated_pool,)
        self.pool = PrefixPool(configuration.pool, configuration.prefix_length, configuration.quarantine, kept)
        peers = configuration.peers
        self._peers = (peers if isinstance(peers, Peers) else Peers(peers)).by_address
        self._foreign: dict[Prefix, bytes] = {}
        self._logical_users: dict[tuple[str, Address], set[bytes]] = {}
        self._anchored_for: dict[Prefix, bytes] = {}
        self._by_slot: dict[int, bytes] = {}
        self._router_users: dict[tuple[str, Address], set[Prefix]] = {}
        """The IPv4 addresses whose default router we show on an interface."""
        self._offers: dict[Prefix, bytes] = {}
        """What was leased to a node that did not take it yet, oldest first."""
        self._questions: dict[bytes, DhcpReceived] = {}
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
            constants, configuration.address, self._do, self._timers.start, self._timers.stop
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
        for prefix in session.leased:
            self._serve_one(session, prefix, None)
        for prefix, anchor in session.anchored.items():
            self._serve_one(session, prefix, anchor)

    def _serve_one(self, session: Session, prefix: Prefix, anchor: Address | None) -> None:
        self._do(EnsurePrefix(prefix, session.slot))
        self._do(EnsureUplink(prefix, anchor))
        if prefix.is_ipv4:
            self._show_router(session, prefix)
        if prefix in session.leased or not self._is_home(session, prefix):
            lease = ("lease", (session.node, prefix))
            if lease not in self._timers:
                self._timers.start(lease, self._now + self.configuration.dhcp_lease)

    def _anchor_for(self, session: Session, serving: Address) -> None:
        """Packets to its prefixes go through the tunnel to the MAAR that serves it."""
        self._do(EnsureTunnel(session.slot, serving))
        if session.own is not None:
            self._do(EnsurePrefix(session.own, session.slot))
            self._do(EnsureCounter(session.own))
            self._do(WithdrawUplink(session.own))
        for prefix in session.leased:
            self._do(EnsurePrefix(prefix, session.slot))
            self._do(EnsureCounter(prefix))
        for prefix in (*session.leased, *session.anchored):
            self._do(WithdrawUplink(prefix))
            self._hide_router(session, prefix)

    def _reassert(self, session: Session) -> None:
        """All that should hold for this session, once more."""
        if session.presence is AWAY and session.serving is not None:
            self._anchor_for(session, session.serving)
            for prefix in session.anchored:
                self._do(EnsurePrefix(prefix, session.slot))
        elif session.presence in (SERVED, DEPARTED):
            self._serve(session)
            for anchor, identity in session.logical.items():
                self._ensure_logical(session, anchor, identity)

    # --- prefixes -------------------------------------------------------------------------------------------------

    def _add_foreign(self, session: Session, prefix: Prefix, anchor: Address) -> bool:
        """A prefix that `anchor` anchors is served here from now on; False with a report when that cannot be."""
        if session.anchored.get(prefix) == anchor:
            return True
        trouble = self._trouble(session, prefix, anchor)
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

    def _trouble(self, session: Session, prefix: Prefix, anchor: Address) -> str:
        """Why it cannot be that `anchor` anchors `prefix` for this node; empty when it can."""
        peer = self._peers.get(anchor)
        if peer is None and anchor != self.configuration.cmd:
            return "anchor is not a configured peer"
        if not self._is_for_nodes(session, prefix):
            return "not a prefix for a node"
        if not _may_anchor(peer, prefix):
            return "not of the pool of its anchor"
        if self._overlaps_ours(prefix):
            return "prefix of our own pool"
        if prefix in self._foreign and self._serves_another(prefix, session):
            return "prefix of another node"
        if len(session.anchored) >= self.configuration.prefixes_per_node:
            return "too many prefixes"
        return ""

    def _is_for_nodes(self, session: Session, prefix: Prefix) -> bool:
        """Whether a node can have such a prefix: its own, an IPv4 address, one to delegate, or what an LMA gave it."""
        if prefix.is_ipv4:
            return prefix.length == 128
        configuration = self.configuration
        delegated = configuration.dhcpv6 is Dhcpv6.STATEFUL and prefix.length == configuration.delegated_length
        known = prefix.length >= 48 if session.legacy else prefix.length == configuration.prefix_length
        return (known or delegated) and prefix.address[0] not in (0, 0xFE, 0xFF)

    def _overlaps_ours(self, prefix: Prefix) -> bool:
        ipv4_pool = self.configuration.ipv4_pool
        return self.configuration.pool.overlaps(prefix) or (ipv4_pool is not None and ipv4_pool.overlaps(prefix))

    def _is_home(self, session: Session, prefix: Prefix) -> bool:
        """Whether the node makes addresses of an anchored prefix, which is not so of what is leased."""
        return not prefix.is_ipv4 and (session.legacy or prefix.length == self.configuration.prefix_length)

    def _known_address(self, session: Session) -> Address | None:
        """One to ask it at: it was seen with it, or was given it."""
        leased = (prefix.address for prefix in self._leased(session) if prefix.is_ipv4)
        return session.address or next(leased, None)

    def _anchored_here(self, session: Session) -> list[Prefix]:
        """All that we anchor for it."""
        return ([] if session.own is None else [session.own]) + session.leased

    def _leased(self, session: Session) -> list[Prefix]:
        """What it has by DHCP beside addresses in its prefixes, whoever anchors it."""
        return session.leased + [prefix for prefix in session.anchored if not self._is_home(session, prefix)]

    def _serves_another(self, prefix: Prefix, session: Session) -> bool:
        """Whether `prefix` belongs to another node that is here."""
        other = self.sessions.get(self._foreign.get(prefix, session.node))
        return other is not None and other is not session and other.presence is SERVED

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        anchor = session.anchored.pop(prefix, None)
        if anchor is None:
            return
        self._foreign.pop(prefix, None)
        self._timers.stop(("lease", (session.node, prefix)))
        self._hide_router(session, prefix)
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

    def _lease(self, session: Session, prefix: Prefix) -> None:
        """We anchor `prefix` too for this node."""
        session.leased.append(prefix)
        self._anchored_for[prefix] = session.node

    def _take_back(self, session: Session, prefix: Prefix, *, rest: bool = True) -> None:
        """What we leased is free again."""
        session.leased.remove(prefix)
        self._anchored_for.pop(prefix, None)
        self._offers.pop(prefix, None)
        self._timers.stop(("lease", (session.node, prefix)))
        self._hide_router(session, prefix)
        self._do(WithdrawUplink(prefix))
        self._do(WithdrawPrefix(prefix))
        self._do(WithdrawCounter(prefix))
        pool = self._pool_of(prefix)
        if pool is not None:
            pool.release(prefix, self._now, rest=rest)

    def _take_all_back(self, session: Session) -> None:
        for prefix in list(session.leased):
            self._take_back(session, prefix)

    def _pool_of(self, prefix: Prefix) -> PrefixPool | None:
        """Our pool that gives out such prefixes."""
        pools = (self.pool, self.delegated_pool, self.ipv4_pool)
        return next((pool for pool in pools if pool is not None and pool.owns(prefix)), None)

    def _remove(self, session: Session) -> None:
        """Nothing is left of this node, and nobody is asked anything about it any more."""
        self._cancel_retirement(session)
        for prefix in list(session.anchored):
            self._remove_foreign(session, prefix)
        self._remove_own(session)
        self._take_all_back(session)
        self._do(WithdrawSlot(session.slot))
        heapq.heappush(self._free_slots, session.slot)
        self._quiet(session)
        for kind in ("register", "deregister"):
            self._requests.cancel((kind, session.node, self.configuration.cmd, None))
        self._forget_listener(session)
        del self.sessions[session.node]
        self._by_slot.pop(session.slot, None)
        self._unproved.pop(session.node, None)
        if self.stores:
            self._do(DeleteBinding(session.node))

    def _quiet(self, session: Session) -> None:
        """No timer of this session runs."""
        self._timers.stop_all(zip(_TIMERS, repeat(session.node)))
        self._timers.stop_all(("lease", (session.node, prefix)) for prefix in self._leased(session))
        self._questions.pop(session.node, None)

    def _keep(self, session: Session) -> None:
        if self.stores:
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

    # --- IPv4 default routers (RFC 5844 3.4) --------------------------------------------------------------------------

    def _ipv4_subnets(self) -> list[Prefix]:
        """The pools of IPv4 addresses, ours first: each is the home subnet of its nodes."""
        pools = (self.configuration.ipv4_pool, *(peer.ipv4_pool for peer in self.configuration.peers))
        return [pool for pool in pools if pool is not None]

    def _ipv4_subnet(self, prefix: Prefix) -> Prefix | None:
        return next((pool for pool in self._ipv4_subnets() if pool.contains(prefix)), None)

    def _ipv4_router(self, subnet: Prefix) -> Address:
        """Its first address, which every router of the domain shows to the nodes that are of it."""
        return subnet.subnet(1, 128).address

    def _show_router(self, session: Session, prefix: Prefix) -> None:
        subnet = self._ipv4_subnet(prefix)
        if subnet is None:
            return
        router = self._ipv4_router(subnet)
        self._router_users.setdefault((session.interface, router), set()).add(prefix)
        self._do(EnsureLogicalInterface(session.interface, router))

    def _hide_router(self, session: Session, prefix: Prefix) -> None:
        subnet = self._ipv4_subnet(prefix) if prefix.is_ipv4 else None
        if subnet is None:
            return
        key = (session.interface, self._ipv4_router(subnet))
        users = self._router_users.get(key, set())
        users.discard(prefix)
        if not users and self._router_users.pop(key, None) is not None:
            self._do(WithdrawLogicalInterface(*key))

    # --- router advertisements --------------------------------------------------------------------------------------

    def _advertise(self, session: Session, gone: tuple[Prefix, ...] = ()) -> None:
        """Tell the node its prefixes: its own preferred, those of previous anchors deprecated, `gone` at their end.

        Unicast, so that each node has its prefix to itself (RFC 8273); a legacy LMA's prefix is the home prefix and
        stays preferred (RFC 5213 6.9.1.2).
        """
        configuration = self.configuration
        prefixes = [AdvertisedPrefix(prefix, 0, 0) for prefix in gone if self._is_home(session, prefix)] if gone else []
        prefixes += [
            AdvertisedPrefix(*told)
            for told in self._home_prefixes(session)
            if session.anchored.get(told[0]) not in session.logical
        ]
        self._do(
            Advertise(
                session.interface,
                session.link_layer,
                configuration.link_local,
                configuration.link_layer,
                configuration.router_lifetime,
                tuple(prefixes),
                mtu=configuration.mtu - TUNNEL_OVERHEAD,
                managed=configuration.dhcpv6 is Dhcpv6.STATEFUL,
                other=configuration.dhcpv6 is not Dhcpv6.OFF,
                autonomous=configuration.slaac,
            )
        )
        for anchor, identity in session.logical.items():
            self._advertise_logical(session, anchor, identity)
        if configuration.advertisement_interval:
            self._after(configuration.advertisement_interval, "advertise", session.node)

    def _home_prefixes(self, session: Session) -> list[tuple[Prefix, Duration, Duration]]:
        """The prefixes that the node makes addresses of, with preferred and valid lifetime."""
        configuration = self.configuration
        valid = configuration.valid_lifetime
        found = []
        if session.own is not None and (session.confirmed or not configuration.advertise_confirmed):
            found.append((session.own, configuration.preferred_lifetime, valid))
        preferred = configuration.preferred_lifetime if session.legacy else 0
        found += [(prefix, preferred, valid) for prefix in session.anchored if self._is_home(session, prefix)]
        return found

    def _advertise_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        """The same router under the identity of `anchor`: no default router, but the way to its own networks."""
        valid = self.configuration.valid_lifetime
        prefixes = [
            AdvertisedPrefix(prefix, 0, valid)
            for prefix, owner in session.anchored.items()
            if owner == anchor and self._is_home(session, prefix)
        ]
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
                autonomous=self.configuration.slaac,
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

    def _on_settled(self, node: bytes) -> None:
        """It is known now what the node has."""
        raise NotImplementedError

    def _ask_to_retire(self, session: Session, prefix: Prefix) -> None:
        """The CMD is to say that a prefix is over."""
        raise NotImplementedError

    def _cancel_retirement(self, session: Session) -> None:
        """A retirement that is being asked for is not wanted any more."""
        raise NotImplementedError

    def _on_retirement_answered(self, session: Session, prefix: Prefix, status: int) -> None:
        """The CMD answered a retirement."""
        raise NotImplementedError
