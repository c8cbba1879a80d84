"""What all procedures of a MAAR share, on top of `access_state`: its pool, and what it does for nodes elsewhere.

The procedures themselves: `maar_access` (nodes come and go), `maar_registration` (the MAAR asks the CMD),
`maar_anchor` (the CMD tells the MAAR, and prefixes retire). `maar` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sojourn.core.effects import (
    Advertise,
    AdvertisedPrefix,
    EnsureCounter,
    EnsureHold,
    EnsureLogicalInterface,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawPrefix,
    WithdrawUplink,
)
from sojourn.engines.access_state import TUNNEL_OVERHEAD, AccessState, is_unicast
from sojourn.engines.configuration import OFF, RELAY, MaarConfiguration, Peers
from sojourn.engines.leases import Leases
from sojourn.engines.maar_session import AWAY, Presence, Session
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.engines.registration import HANDOFFS, PROXY_DMM, identifier_option
from sojourn.engines.several_databases import SeveralDatabases
from sojourn.wire import AnchoredPrefix, BindingUpdate, Handoff, HomeNetworkPrefix, MobilityOption, Timestamp
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant, WallClock

_RELAY_PATIENCE = 300 * MILLISECOND
"""A CMD that relays answers after it gathered the answers of others, for at most 200 ms; no repetition before that."""


@dataclass(slots=True)
class Drain:
    """A MAAR goes out of service (`maar_drain`)."""

    hold: Duration
    """A prefix whose node is elsewhere retires after this time without a packet."""
    handed: bool = False
    """The partner is asked to take the pool over."""
    done: bool = False
    """Nobody is here, and nothing is anchored that nobody else would look after; reported already."""


@dataclass(slots=True)
class Memory:
    """What this life knows of those before."""

    begun: Instant = 0
    """When it began."""
    lost: bool = False
    """It began without any and asked the CMD, which did not answer yet."""
    asked: Instant = 0
    ask_again: Duration = SECOND


class MaarState(AccessState[Session]):
    """State and vocabulary of the MAAR engine."""

    configuration: MaarConfiguration
    drain: Drain | None = None

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        constants = configuration.retransmission
        if configuration.mode is RELAY:
            patience = max(_RELAY_PATIENCE, constants.min_bindack_timeout)
            constants = replace(constants, min_bindack_timeout=min(patience, constants.initial_bindack_timeout))
        super().__init__(configuration, epoch, constants)
        kept = () if configuration.delegated_pool is None else (configuration.delegated_pool,)
        self.pool = PrefixPool(configuration.pool, configuration.prefix_length, configuration.quarantine, kept)
        peers = configuration.peers if isinstance(configuration.peers, Peers) else Peers(configuration.peers)
        self._peers = peers.by_address
        self.memory = Memory()
        self._anchored_for: dict[Prefix, bytes] = {}
        self._over: dict[Prefix, tuple[bytes, int]] = {}
        """Whose prefixes were over, and when the node was then where it was (`Timestamp`)."""
        more = configuration.more_cmds
        self.databases = SeveralDatabases((configuration.cmd, *more)) if more else None
        others = list(peers.ipv4_pools)
        if configuration.lma_ipv4_pool is not None:
            others.append(configuration.lma_ipv4_pool)
        if configuration.dhcpv6 is not OFF or configuration.ipv4_pool is not None or others:
            self.leases = Leases(configuration, others)

    def _asked_about(self, session: Session) -> Address:
        return self.configuration.cmd

    def _ending(
        self, session: Session, handoff: Handoff, prefixes: Sequence[Prefix], *more: MobilityOption
    ) -> BindingUpdate:
        """A Proxy Binding Update of lifetime 0: it ends something of these prefixes, or asks whether it is over."""
        options = (
            identifier_option(session.node),
            *[HomeNetworkPrefix.of(prefix) for prefix in prefixes],
            HANDOFFS[handoff],
            self._technology,
            Timestamp(session.attached),
            *more,
        )
        return BindingUpdate(self._next_sequence(session), PROXY_DMM, 0, options)

    def _end_of(self, session: Session, prefix: Prefix) -> BindingUpdate:
        """The same with the Anchored Prefix option: this prefix is over (design decision 1)."""
        return self._ending(session, Handoff.NOT_CHANGED, (prefix,), AnchoredPrefix.of(prefix))

    def _give(self, session: Session, prefix: Prefix | None) -> None:
        """`prefix` is what we anchor for it."""
        session.own = prefix
        if prefix is not None:
            self._anchored_for[prefix] = session.node

    def _new_prefix(self, session: Session) -> Prefix | None:
        """One of ours for it, where we still begin anything."""
        return None if self.drain is not None else self.pool.allocate(self._now, session.node)

    @property
    def _idle_hold(self) -> Duration:
        return self.configuration.idle_hold if self.drain is None else self.drain.hold

    def _node_of(self, prefix: Prefix) -> bytes | None:
        return super()._node_of(prefix) or self._anchored_for.get(prefix)

    # --- what must hold for a session -------------------------------------------------------------------------------

    def _deliver(self, session: Session) -> None:
        """To where it is; what comes for a node that was not seen in this life has no link to go to, and ends here."""
        if session.interface:
            super()._deliver(session)
        else:
            self._do(EnsureHold(session.slot))

    def _serve(self, session: Session) -> None:
        """Packets to and from all its prefixes take the access link it is on."""
        self._deliver(session)
        if session.own is not None:
            self._do(EnsurePrefix(session.own, session.slot))
            self._do(EnsureUplink(session.own, None))
        for prefix in session.leased:
            self._serve_one(session, prefix, None)
        for prefix, anchor in session.anchored.items():
            self._serve_one(session, prefix, anchor)

    def _serve_leased(self, session: Session, prefix: Prefix) -> None:
        assert self.leases is not None
        if session.interface and prefix.is_ipv4 and (router := self.leases.show(session.interface, prefix)) is not None:
            self._do(EnsureLogicalInterface(session.interface, router))
        if prefix in session.leased or not self._is_autoconfigured(session, prefix):
            lease = ("lease", (session.node, prefix))
            if lease not in self._timers:
                self._timers.start(lease, self._now + self.configuration.dhcp_lease)

    def _anchor_for(self, session: Session, serving: Address) -> None:
        """Packets to its prefixes go through the tunnel to the MAAR that serves it."""
        self._tunnel(session, serving)
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

    def _tunnel(self, session: Session, serving: Address) -> None:
        self._do(EnsureTunnel(session.slot, serving))

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
        if peer is not None:
            of_ipv4 = self.leases is not None and prefix.is_ipv4
            pool = peer.ipv4_pool if of_ipv4 else peer.pool
            if of_ipv4 if pool is None else not pool.contains(prefix):
                return "not of the pool of its anchor"
        if configuration.pool.overlaps(prefix) or (self.leases is not None and self.leases.is_ours(prefix)):
            return "prefix of our own pool"
        return super()._trouble_with(session, prefix, anchor)

    def _is_for_nodes(self, session: Session, prefix: Prefix) -> bool:
        """Whether a node can have such a prefix: its own, an IPv4 address, one to delegate, or what an LMA gave it."""
        configuration = self.configuration
        known = prefix.length == configuration.prefix_length or session.legacy
        if self.leases is not None:
            if prefix.is_ipv4:
                return self.leases.may_be(prefix)
            known = known or self.leases.may_be(prefix)
        return known and is_unicast(prefix)

    def _is_autoconfigured(self, session: Session, prefix: Prefix) -> bool:
        """Whether the node makes addresses of an anchored prefix, which is not so of what is leased."""
        return self.leases is None or (
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
        if self.leases is None:
            return session.leased
        others = [prefix for prefix in session.anchored if not self._is_autoconfigured(session, prefix)]
        return (*session.leased, *others)

    def _hide_router(self, session: Session, prefix: Prefix) -> None:
        """No default router for the sake of this address any more."""
        router = None if self.leases is None else self.leases.hide(session.interface, prefix)
        if router is not None:
            self._do(WithdrawLogicalInterface(session.interface, router))

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        anchor = session.anchored.get(prefix)
        if self.leases is not None:
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
        self.pool.release(session.own, self._now, owner=session.node)
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
        if self.leases is not None:
            self.leases.offers.pop(prefix, None)
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
        if self.pool.owns(prefix):
            return self.pool
        return None if self.leases is None else self.leases.pool_of(prefix)

    def _remove(self, session: Session) -> None:
        """Nothing is left of this node, and nobody is asked anything about it any more."""
        self._cancel_retirement(session)
        super()._remove(session)

    def _remove_prefixes(self, session: Session) -> None:
        super()._remove_prefixes(session)
        self._remove_own(session)
        self._take_all_back(session)

    # --- logical interfaces (RFC 8885 3.7) --------------------------------------------------------------------------

    def _ensure_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        routes = session.routes.get(anchor)
        super()._ensure_logical(session, anchor, identity)
        if routes is not None:
            session.routes[anchor] = routes

    def _release_logical(self, session: Session, anchor: Address) -> None:
        super()._release_logical(session, anchor)
        session.routes.pop(anchor, None)

    # --- router advertisements --------------------------------------------------------------------------------------

    def _advertise(self, session: Session, gone: tuple[Prefix, ...] = ()) -> None:
        if gone and self.leases is not None:
            gone = tuple([prefix for prefix in gone if self._is_autoconfigured(session, prefix)])
        super()._advertise(session, gone)
        for anchor, identity in session.logical.items():
            self._advertise_logical(session, anchor, identity)

    def _advertised(self, session: Session) -> tuple[Address, Duration, list[AdvertisedPrefix]]:
        """Its own prefix preferred, those of previous anchors deprecated.

        A legacy LMA's prefix is the home prefix and stays preferred (RFC 5213 6.9.1.2).
        """
        configuration = self.configuration
        valid = configuration.valid_lifetime
        prefixes = []
        if session.own is not None and (session.confirmed or not configuration.advertise_confirmed):
            preferred = configuration.preferred_lifetime if self.drain is None else 0
            prefixes.append(AdvertisedPrefix(session.own, preferred, valid))
        for prefix, anchor in session.anchored.items():
            if anchor not in session.logical and (self.leases is None or self._is_autoconfigured(session, prefix)):
                newest = session.legacy or (session.own is None and self.drain is not None)
                preferred = configuration.preferred_lifetime if newest else 0
                prefixes.append(AdvertisedPrefix(prefix, preferred, valid))
        return configuration.link_local, configuration.router_lifetime, prefixes

    def _advertised_logical(self, session: Session, anchor: Address) -> list[AdvertisedPrefix]:
        """The prefixes that the node hears of under the identity of `anchor`."""
        valid = self.configuration.valid_lifetime
        owned = [prefix for prefix, owner in session.anchored.items() if owner == anchor]
        return [AdvertisedPrefix(prefix, 0, valid) for prefix in owned if self._is_autoconfigured(session, prefix)]

    def _advertise_logical(self, session: Session, anchor: Address, identity: Address) -> None:
        """The same router under the identity of `anchor`: no default router, but the way to its own networks."""
        self._do(
            Advertise(
                session.interface,
                session.link_layer,
                identity,
                self.configuration.link_layer,
                0,
                tuple(self._advertised_logical(session, anchor)),
                routes=session.routes.get(anchor, ()),
                mtu=self.configuration.mtu - TUNNEL_OVERHEAD,
                autonomous=self.configuration.slaac,
            )
        )

    # --- what the procedures provide for each other -------------------------------------------------------------------

    def _give_up(self, session: Session, serving: Address, attached: int, lifetime: Duration) -> None:
        """From serving (or nothing) to anchoring: `serving` has it since `attached`."""
        raise NotImplementedError

    def _exchange_own(self, session: Session) -> None:
        """Give the node another prefix of ours."""
        raise NotImplementedError

    def _ours_among(self, prefixes: list[Prefix]) -> tuple[list[Prefix], list[Prefix]]:
        """Which of them we give nodes as their own, and which ones besides by DHCP."""
        raise NotImplementedError

    def _known_again(self, node: bytes, ours: list[Prefix], leased: list[Prefix], presence: Presence) -> Session:
        """A session of a node that an earlier life knew, with what that anchored for it: one prefix at most is `ours`.

        Raises `Refused` when somebody else has that by now.
        """
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
