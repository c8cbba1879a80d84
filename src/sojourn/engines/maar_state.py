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
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    WithdrawCounter,
    WithdrawPrefix,
    WithdrawUplink,
)
from sojourn.engines.access_state import TUNNEL_OVERHEAD, AccessState
from sojourn.engines.configuration import RELAY, MaarConfiguration, Peers
from sojourn.engines.maar_session import AWAY, Session
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, Duration, WallClock

_RELAY_PATIENCE = 300 * MILLISECOND
"""A CMD that relays answers after it gathered the answers of others, for at most 200 ms; no repetition before that."""


class MaarState(AccessState[Session]):
    """State and vocabulary of the MAAR engine."""

    configuration: MaarConfiguration

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        constants = configuration.retransmission
        if configuration.mode is RELAY:
            patience = max(_RELAY_PATIENCE, constants.min_bindack_timeout)
            constants = replace(constants, min_bindack_timeout=min(patience, constants.initial_bindack_timeout))
        super().__init__(configuration, epoch, constants)
        self.pool = PrefixPool(configuration.pool, configuration.prefix_length, configuration.quarantine)
        peers = configuration.peers
        self._peers = (peers if isinstance(peers, Peers) else Peers(peers)).by_address
        self._anchored_for: dict[Prefix, bytes] = {}

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
        self._deliver(session)
        if session.own is not None:
            self._do(EnsurePrefix(session.own, session.slot))
            self._do(EnsureUplink(session.own, None))
        for prefix, anchor in session.anchored.items():
            self._serve_foreign(session, prefix, anchor)

    def _anchor_for(self, session: Session, serving: Address) -> None:
        """Packets to its prefixes go through the tunnel to the MAAR that serves it."""
        self._tunnel(session, serving)
        if session.own is not None:
            self._do(EnsurePrefix(session.own, session.slot))
            self._do(EnsureCounter(session.own))
            self._do(WithdrawUplink(session.own))
        for prefix in session.anchored:
            self._do(WithdrawUplink(prefix))

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
        if prefix.length != configuration.prefix_length and not session.legacy:
            return "not a prefix for a node"
        if peer is not None and peer.pool is not None and not peer.pool.contains(prefix):
            return "not of the pool of its anchor"
        if configuration.pool.overlaps(prefix):
            return "prefix of our own pool"
        return super()._trouble_with(session, prefix, anchor)

    def _remove_foreign(self, session: Session, prefix: Prefix) -> None:
        anchor = session.anchored.get(prefix)
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

    def _remove(self, session: Session) -> None:
        """Nothing is left of this node, and nobody is asked anything about it any more."""
        self._cancel_retirement(session)
        super()._remove(session)

    def _remove_prefixes(self, session: Session) -> None:
        super()._remove_prefixes(session)
        self._remove_own(session)

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
            prefixes.append(AdvertisedPrefix(session.own, configuration.preferred_lifetime, valid))
        for prefix, anchor in session.anchored.items():
            if anchor not in session.logical:
                preferred = configuration.preferred_lifetime if session.legacy else 0
                prefixes.append(AdvertisedPrefix(prefix, preferred, valid))
        return configuration.link_local, configuration.router_lifetime, prefixes

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

    def _give_up(self, session: Session, serving: Address, attached: int, lifetime: Duration) -> None:
        """From serving (or nothing) to anchoring: `serving` has it since `attached`."""
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
