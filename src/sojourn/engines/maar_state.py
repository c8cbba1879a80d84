"""What all procedures of a MAAR share, on top of `access_state`: its pool, and what it does for nodes elsewhere.

The procedures themselves: `maar_access` (nodes come and go), `maar_registration` (the MAAR asks the CMD),
`maar_anchor` (the CMD tells the MAAR, and prefixes retire). `maar` puts them together.
"""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.effects import (
    Advertise,
    AdvertisedPrefix,
    EnsureCounter,
    EnsureDelivery,
    EnsureLogicalInterface,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawPrefix,
    WithdrawUplink,
)
from sojourn.core.events import DhcpReceived
from sojourn.engines.access_state import TUNNEL_OVERHEAD, AccessState
from sojourn.engines.configuration import RELAY, Dhcpv6, MaarConfiguration, Peer, Peers
from sojourn.engines.maar_session import AWAY, Session
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, Duration, WallClock

_RELAY_PATIENCE = 300 * MILLISECOND
"""A CMD that relays answers after it gathered the answers of others, for at most 200 ms; no repetition before that."""


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


class MaarState(AccessState[Session]):
    """State and vocabulary of the MAAR engine."""

    configuration: MaarConfiguration

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        constants = configuration.retransmission
        if configuration.mode is RELAY:
            patience = max(_RELAY_PATIENCE, constants.min_bindack_timeout)
            constants = replace(constants, min_bindack_timeout=min(patience, constants.initial_bindack_timeout))
        super().__init__(configuration, epoch, constants)
        self.ipv4_pool, self.delegated_pool = _further_pools(configuration)
        kept = () if configuration.delegated_pool is None else (configuration.delegated_pool,)
        self.pool = PrefixPool(configuration.pool, configuration.prefix_length, configuration.quarantine, kept)
        peers = configuration.peers
        self._peers = (peers if isinstance(peers, Peers) else Peers(peers)).by_address
        self._anchored_for: dict[Prefix, bytes] = {}
        self._router_users: dict[tuple[str, Address], set[Prefix]] = {}
        """The IPv4 addresses whose default router we show on an interface."""
        self._offers: dict[Prefix, bytes] = {}
        """What was leased to a node that did not take it yet, oldest first."""
        self._questions: dict[bytes, DhcpReceived] = {}
        self._managed = configuration.dhcpv6 is Dhcpv6.STATEFUL
        self._other = configuration.dhcpv6 is not Dhcpv6.OFF
        self._autonomous = configuration.slaac
        self._leases = self._other or bool(self._ipv4_subnets())
        """Nodes may have more than prefixes that they make addresses of, from us or from others."""

    def _asked_about(self, session: Session) -> Address:
        return self.configuration.cmd

    def _give(self, session: Session, prefix: Prefix | None) -> None:
        """`prefix` is what we anchor for it."""
        session.own = prefix
        if prefix is not None:
            self._anchored_for[prefix] = session.node

    def _node_of(self, prefix: Prefix) -> bytes | None:
        return super()._node_of(prefix) or self._anchored_for.get(prefix)

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
        super()._serve_one(session, prefix, anchor)
        if not self._leases:
            return
        if prefix.is_ipv4:
            self._show_router(session, prefix)
        if prefix in session.leased or not self._is_autoconfigured(session, prefix):
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
            self._do(WithdrawUplink(prefix))
        for prefix in session.anchored:
            self._do(WithdrawUplink(prefix))
        for prefix in self._leased(session):
            self._hide_router(session, prefix)

    def _reassert(self, session: Session) -> None:
        """All that should hold for this session, once more."""
        if session.presence is AWAY and session.serving is not None:
            self._anchor_for(session, session.serving)
            for prefix in session.anchored:
                self._do(EnsurePrefix(prefix, session.slot))
        else:
            super()._reassert(session)

    # --- prefixes -------------------------------------------------------------------------------------------------

    def _trouble_with(self, session: Session, prefix: Prefix, anchor: Address) -> str:
        configuration = self.configuration
        peer = self._peers.get(anchor)
        if peer is None and anchor != configuration.cmd:
            return "anchor is not a configured peer"
        if not _may_anchor(peer, prefix):
            return "not of the pool of its anchor"
        if configuration.pool.overlaps(prefix) or (self._leases and self._is_our_ipv4(prefix)):
            return "prefix of our own pool"
        return super()._trouble_with(session, prefix, anchor)

    def _is_for_nodes(self, session: Session, prefix: Prefix) -> bool:
        """Whether a node can have such a prefix: its own, an IPv4 address, one to delegate, or what an LMA gave it."""
        configuration = self.configuration
        known = prefix.length == configuration.prefix_length or session.legacy
        if self._leases:
            if prefix.is_ipv4:
                return prefix.length == 128
            known |= configuration.dhcpv6 is Dhcpv6.STATEFUL and prefix.length == configuration.delegated_length
        return known and super()._is_for_nodes(session, prefix)

    def _is_our_ipv4(self, prefix: Prefix) -> bool:
        pool = self.configuration.ipv4_pool
        return pool is not None and pool.overlaps(prefix)

    def _is_autoconfigured(self, session: Session, prefix: Prefix) -> bool:
        """Whether the node makes addresses of an anchored prefix, which is not so of what is leased."""
        return not self._leases or (
            not prefix.is_ipv4 and (session.legacy or prefix.length == self.configuration.prefix_length)
        )

    def _known_address(self, session: Session) -> Address | None:
        """One to ask it at: it was seen with it, or was given it."""
        leased = (prefix.address for prefix in self._leased(session) if prefix.is_ipv4)
        return session.address or next(leased, None)

    def _anchored_here(self, session: Session) -> tuple[Prefix, ...]:
        """All that we anchor for it."""
        return session.leased if session.own is None else (session.own, *session.leased)

    def _leased(self, session: Session) -> tuple[Prefix, ...]:
        """What it has by DHCP beside addresses in its prefixes, whoever anchors it."""
        if not self._leases:
            return session.leased
        others = [prefix for prefix in session.anchored if not self._is_autoconfigured(session, prefix)]
        return (*session.leased, *others)

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        anchor = session.anchored.get(prefix)
        if self._leases:
            self._timers.stop(("lease", (session.node, prefix)))
            self._hide_router(session, prefix)
        super()._remove_foreign(session, prefix)
        if anchor in session.logical and anchor not in session.anchored.values():
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
        session.leased = (*session.leased, prefix)
        self._anchored_for[prefix] = session.node

    def _take_back(self, session: Session, prefix: Prefix, *, rest: bool = True) -> None:
        """What we leased is free again."""
        session.leased = tuple([one for one in session.leased if one != prefix])
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
        for prefix in session.leased:
            self._take_back(session, prefix)

    def _pool_of(self, prefix: Prefix) -> PrefixPool | None:
        """Our pool that gives out such prefixes."""
        pools = (self.pool, self.delegated_pool, self.ipv4_pool)
        return next((pool for pool in pools if pool is not None and pool.owns(prefix)), None)

    def _remove(self, session: Session) -> None:
        """Nothing is left of this node, and nobody is asked anything about it any more."""
        self._cancel_retirement(session)
        super()._remove(session)

    def _remove_prefixes(self, session: Session) -> None:
        super()._remove_prefixes(session)
        self._remove_own(session)
        self._take_all_back(session)

    def _quiet(self, session: Session) -> None:
        super()._quiet(session)
        if self._leases:
            self._timers.stop_all(("lease", (session.node, prefix)) for prefix in self._leased(session))
            self._questions.pop(session.node, None)

    # --- logical interfaces (RFC 8885 3.7) --------------------------------------------------------------------------

    def _ensure_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        routes = session.routes.get(anchor)
        super()._ensure_logical(session, anchor, identity)
        if routes is not None:
            session.routes[anchor] = routes

    def _release_logical(self, session: Session, anchor: Address) -> None:
        super()._release_logical(session, anchor)
        session.routes.pop(anchor, None)

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
        if gone and self._leases:
            gone = tuple([prefix for prefix in gone if self._is_autoconfigured(session, prefix)])
        super()._advertise(session, gone)
        for anchor, identity in session.logical.items():
            self._advertise_logical(session, anchor, identity)

    def _advertised(self, session: Session) -> tuple[Address, Duration, list[AdvertisedPrefix]]:
        """Of prefixes of anchors with identities of their own the node hears under these."""
        told = self._told_prefixes(session)
        if session.logical:
            told = [one for one in told if session.anchored.get(one.prefix) not in session.logical]
        return self.configuration.link_local, self.configuration.router_lifetime, told

    def _told_prefixes(self, session: Session) -> list[AdvertisedPrefix]:
        """The prefixes that the node makes addresses of.

        Its own prefix preferred, those of previous anchors deprecated. A legacy LMA's prefix is the home prefix and
        stays preferred (RFC 5213 6.9.1.2).
        """
        configuration = self.configuration
        valid = configuration.valid_lifetime
        told = []
        if session.own is not None and (session.confirmed or not configuration.advertise_confirmed):
            told.append(AdvertisedPrefix(session.own, configuration.preferred_lifetime, valid))
        preferred = configuration.preferred_lifetime if session.legacy else 0
        for prefix in session.anchored:
            if self._is_autoconfigured(session, prefix):
                told.append(AdvertisedPrefix(prefix, preferred, valid))
        return told

    def _advertise_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        """The same router under the identity of `anchor`: no default router, but the way to its own networks."""
        valid = self.configuration.valid_lifetime
        prefixes = [
            AdvertisedPrefix(prefix, 0, valid)
            for prefix, owner in session.anchored.items()
            if owner == anchor and self._is_autoconfigured(session, prefix)
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
                autonomous=self._autonomous,
            )
        )

    # --- what the procedures provide for each other -------------------------------------------------------------------

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
