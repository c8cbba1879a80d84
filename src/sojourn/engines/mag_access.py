"""What an attachment and a detachment lead to at a MAG (RFC 5213 6.2, 6.9.1.1, 6.9.1.4, 6.13, 6.14).

An attachment is registered, and the node hears of its home prefixes when that was accepted. A detachment is told at
once.
"""

from __future__ import annotations

from sojourn.core.effects import AdvertisedPrefix, EnsurePrefix, EnsureUplink, WithdrawPrefix, WithdrawUplink
from sojourn.core.events import NodeSeen
from sojourn.core.sequence import newer
from sojourn.engines.access_session import DEPARTED, REFUSED, SERVED
from sojourn.engines.access_state import AccessState
from sojourn.engines.configuration import GatewayProfile, MagConfiguration
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.extension import Extensions, MagExtension
from sojourn.engines.gateway_registration import GatewayRegistration
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.engines.registration import TECHNOLOGIES
from sojourn.wire import Handoff
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import SECOND, Duration, Instant, WallClock

_HINT_KEPT = 10 * SECOND
"""A hint about a handoff is for an attachment that is about to come."""
_HINTS = 1024
_HOST = 128
"""Length of the prefix that stands for an IPv4 address."""


class MagState(AccessState[BindingUpdateListEntry]):
    """State and vocabulary of the MAG engine."""

    configuration: MagConfiguration
    extensions: Extensions[MagExtension] = Extensions()

    def __init__(self, configuration: MagConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch, configuration.retransmission)
        self.pool: PrefixPool | None = None
        if configuration.visitors is not None:
            self.pool = PrefixPool(configuration.visitors, configuration.prefix_length, configuration.quarantine)
        self._profiles = {profile.link_layer: profile for profile in configuration.profiles}
        profiles = (configuration.everybody, *configuration.profiles)
        own = (profile.lma for profile in profiles if profile.lma)
        self._anchors = dict.fromkeys((configuration.lma, *own, *configuration.redirect_anchors))
        self._technologies = {interface: TECHNOLOGIES[number] for interface, number in configuration.technologies}
        self._hints: dict[LinkLayer, tuple[Handoff, Instant]] = {}
        """What somebody who knows said of attachments to come, oldest first."""

        self._sequence = 0
        """The latest of those who left: a node that comes goes on from it, so that no late answer to an earlier stay
        is taken for one to this stay."""

    def _profile(self, link_layer: LinkLayer) -> GatewayProfile:
        return self._profiles.get(link_layer, self.configuration.everybody)

    def _asked_about(self, session: BindingUpdateListEntry) -> Address:
        return session.lma

    def _trouble_with(self, session: BindingUpdateListEntry, prefix: Prefix, anchor: Address) -> str:
        visitors = self.configuration.visitors
        if visitors is not None and visitors.overlaps(prefix):
            return "prefix of our own pool"
        return super()._trouble_with(session, prefix, anchor)

    # --- what must hold for a session -------------------------------------------------------------------------------

    def _serve(self, session: BindingUpdateListEntry) -> None:
        super()._serve(session)
        for prefix in session.retiring:
            if prefix not in self._foreign:
                self._serve_one(session, prefix, session.lma)
        if session.visitor is not None:
            self._do(EnsurePrefix(session.visitor, session.slot))
            self._do(EnsureUplink(session.visitor, None))
        for extension in self.extensions:
            extension.served(session)

    def _serve_one(self, session: BindingUpdateListEntry, prefix: Prefix, anchor: Address | None) -> None:
        super()._serve_one(session, prefix, self._tunnel_end(session))

    def _tunnel_end(self, session: BindingUpdateListEntry) -> Address:
        """Where packets of the node are tunnelled to."""
        elsewhere = (extension.uplink(session) for extension in self.extensions)
        return next(filter(None, elsewhere), session.lma)

    def _node_of(self, prefix: Prefix) -> bytes | None:
        """Also of prefixes that are not the node's home network."""
        others = (extension.node_of(prefix) for extension in self.extensions)
        found = super()._node_of(prefix) or next(filter(None, others), None)
        if found is not None:
            return found
        besides = (one.node for one in self.sessions.values() if prefix == one.visitor or prefix in one.retiring)
        return next(besides, None)

    def _add_foreign(self, session: BindingUpdateListEntry, prefix: Prefix, anchor: Address) -> bool:
        added = super()._add_foreign(session, prefix, anchor)
        if added:
            session.retiring.pop(prefix, None)  # it is one of the session again
        return added

    def _remove_foreign(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        super()._remove_foreign(session, prefix)
        for extension in self.extensions:
            extension.lost(session, prefix)

    def _remove(self, session: BindingUpdateListEntry) -> None:
        super()._remove(session)
        if newer(session.sequence, self._sequence):
            self._sequence = session.sequence
        for extension in self.extensions:
            extension.removed(session)

    def _is_for_nodes(self, session: BindingUpdateListEntry, prefix: Prefix) -> bool:
        if prefix.is_ipv4:
            return self.configuration.ipv4 and prefix.length == _HOST
        return super()._is_for_nodes(session, prefix)

    def _known_address(self, session: BindingUpdateListEntry) -> Address | None:
        return session.address or (None if session.home is None else session.home.address)

    def _remove_home_ipv4(self, session: BindingUpdateListEntry) -> None:
        if session.home is not None:
            home, session.home = session.home, None
            self._remove_foreign(session, Prefix(home.address, _HOST))
            self._release_logical(session, home.router)

    def _remove_prefixes(self, session: BindingUpdateListEntry) -> None:
        self._remove_home_ipv4(session)
        super()._remove_prefixes(session)
        for prefix in list(session.retiring):
            self._end_retiring(session, prefix)
        if session.visitor is not None and self.pool is not None:
            self._do(WithdrawUplink(session.visitor))
            self._do(WithdrawPrefix(session.visitor))
            self.pool.release(session.visitor, self._now)
            session.visitor = None

    def _retire(self, session: BindingUpdateListEntry, prefix: Prefix, until: Instant) -> None:
        """It is no longer a prefix of the session, but works until then."""
        del session.anchored[prefix]
        self._foreign.pop(prefix, None)
        session.retiring[prefix] = until

    def _end_retiring(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """It works no longer, unless it is somebody's again."""
        del session.retiring[prefix]
        if prefix not in self._foreign:
            self._do(WithdrawUplink(prefix))
            self._do(WithdrawPrefix(prefix))
            for extension in self.extensions:
                extension.lost(session, prefix)

    # --- router advertisements (6.7, 6.9.2) ---------------------------------------------------------------------------

    def _advertise(self, session: BindingUpdateListEntry, gone: tuple[Prefix, ...] = ()) -> None:
        """Nothing before the registration is complete (6.9.2, 1.), unless something ends."""
        if session.confirmed or session.visitor is not None or gone or self._is_handed_over(session):
            super()._advertise(session, gone)

    def _advertised(self, session: BindingUpdateListEntry) -> tuple[Address, Duration, list[AdvertisedPrefix]]:
        """The home prefixes, as those of the link."""
        configuration = self.configuration
        home = session.confirmed or self._is_handed_over(session)
        mine = [prefix for prefix in session.anchored if not prefix.is_ipv4] if home else []
        if session.visitor is not None:
            mine.append(session.visitor)
        preferred, valid = configuration.preferred_lifetime, configuration.valid_lifetime
        served = home or session.visitor is not None
        retiring = [(one, until) for one, until in session.retiring.items() if until > self._now]
        return (
            session.link_local or configuration.link_local,
            configuration.router_lifetime if served else 0,
            [
                *[AdvertisedPrefix(prefix, 0, until - self._now, on_link=True) for prefix, until in retiring],
                *[AdvertisedPrefix(prefix, preferred, valid, on_link=True) for prefix in mine],
            ],
        )

    def _is_handed_over(self, session: BindingUpdateListEntry) -> bool:
        """Whether the gateway that it left told its prefixes: they are advertised before the answer (RFC 5949 5.2)."""
        return False


class MagAccess(GatewayRegistration[BindingUpdateListEntry], MagState):
    """Attachment and detachment, as a MAG takes them."""

    _displaceable = frozenset({SERVED, DEPARTED, REFUSED})

    def _open(self, node: bytes, event: NodeSeen) -> BindingUpdateListEntry | None:
        """RFC 5213 6.6, 6.14: who it is, and whether it gets mobility service."""
        profile = self._profile(event.link_layer)
        visitor = None
        if not profile.service:
            visitor = self.pool.allocate(self._now) if self.pool is not None else None
            if visitor is None:
                self._report("node-without-service", node=node, interface=event.interface)
                return None
        return BindingUpdateListEntry(
            node,
            self._slots.take(),
            event.interface,
            event.link_layer,
            attached=0,
            sequence=self._sequence,
            identity=profile.node or node,
            lma=profile.lma or self.configuration.lma,
            wanted=profile.prefixes,
            visitor=visitor,
        )

    def _attach(self, session: BindingUpdateListEntry, event: NodeSeen) -> None:
        """RFC 5213 6.9.1.1: a way on the access link, and the registration; the advertisement follows the answer."""
        if session.interface in self.configuration.dedicated:
            self._vacate(session)
        self._begin(session, event)
        session.attached = max(self._clock(), session.attached + 1)
        for extension in self.extensions:
            extension.attaching(session)
        self._register(session, self._hint(session))
        self._serve(session)
        self._advertise(session)
        self._ask_listener(session)
        self._keep(session)
        self._report("attached", node=session.node, interface=event.interface, sighting=event.sighting.value)

    def _vacate(self, newcomer: BindingUpdateListEntry) -> None:
        """A link for one node: who was on it left."""
        for other in list(self.sessions.values()):
            here = other.interface == newcomer.interface and other.presence is SERVED
            if here and other is not newcomer:
                self._detach(other)

    def _departed(self, session: BindingUpdateListEntry) -> None:
        for extension in self.extensions:
            extension.departed(session)

    def _detached(self, session: BindingUpdateListEntry) -> None:
        """RFC 5213 6.9.1.4: the LMA is told; a visitor is nobody's business."""
        if session.visitor is None:
            for extension in self.extensions:
                extension.deregistered(session)
            self._deregister(session)
        else:
            self._remove(session)

    def _trust_in_sight(self, session: BindingUpdateListEntry) -> Duration:
        """RFC 5213 6.13: "MUST make sure the mobile node is still attached", so it is asked unless it just spoke."""
        return min(super()._trust_in_sight(session), self.configuration.presence_trust)

    def _noticed(self, session: BindingUpdateListEntry, event: NodeSeen) -> None:
        super()._noticed(session, event)
        for extension in self.extensions:
            extension.seen(session, event)

    # --- IPv4 home addresses (RFC 5844 3.2, 3.4) ----------------------------------------------------------------------

    def _serves_ipv4(self, session: BindingUpdateListEntry) -> bool:
        return self.configuration.ipv4 and not session.ipv4_released

    def _ipv4_home(self, session: BindingUpdateListEntry) -> Home | None:
        return session.home

    def _on_home_ipv4(self, session: BindingUpdateListEntry, home: Home | None) -> bool:
        """Its default router is shown on its link, under the same address wherever it is.

        An address that the gateway told which it left, and the LMA does not, ends (RFC 5949 5.2).
        """
        known = {one.address for one in (home, session.home) if one is not None}
        for prefix in [one for one in session.anchored if one.is_ipv4 and one.address not in known]:
            self._remove_foreign(session, prefix)
        if home == session.home:
            return False
        self._remove_home_ipv4(session)
        if home is not None and self._add_foreign(session, Prefix(home.address, _HOST), session.lma):
            session.home = home
            self._ensure_logical(session, home.router, home.router)
        return True

    # --- what kind of attachment it is (6.9.1.1, 5.) ------------------------------------------------------------------

    def _expect(self, link_layer: LinkLayer, handoff: Handoff) -> None:
        """Somebody who knows, such as an access point, says what the next attachment of this node will be."""
        self._hints.pop(link_layer, None)
        self._hints[link_layer] = (handoff, self._now + _HINT_KEPT)
        while len(self._hints) > _HINTS:
            del self._hints[next(iter(self._hints))]

    def _hint(self, session: BindingUpdateListEntry) -> Handoff:
        """Unknown, unless somebody said so, or the same node is here with another interface as well."""
        handoff, until = self._hints.pop(session.link_layer, (Handoff.UNKNOWN, self._now))
        if until > self._now:
            return handoff
        return Handoff.NEW_INTERFACE if self._has_another(session) else Handoff.UNKNOWN

    def _has_another(self, session: BindingUpdateListEntry) -> bool:
        if session.identity == session.node:
            return False  # known by this interface only
        return any(
            other.identity == session.identity and other is not session and other.presence is SERVED
            for other in self.sessions.values()
        )
