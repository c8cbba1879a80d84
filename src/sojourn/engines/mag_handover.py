"""What is a MAG's own in a fast handover (RFC 5949): the LMA anchors, and the node has the same prefixes everywhere."""

from __future__ import annotations

from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.configuration import MagConfiguration
from sojourn.engines.handover import Handover
from sojourn.engines.handover_messages import Subject, context_options
from sojourn.engines.handover_new import NewRouter
from sojourn.engines.handover_previous import PreviousRouter
from sojourn.engines.mag_registration import MagRegistration
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import Handoff, MobilityOption
from sojourn.wire.addresses import Address, Prefix


class MagHandover(PreviousRouter[BindingUpdateListEntry], NewRouter[BindingUpdateListEntry], MagRegistration):
    """PMAG and NMAG."""

    configuration: MagConfiguration

    def _context(self, session: BindingUpdateListEntry) -> tuple[MobilityOption, ...]:
        if session.visitor is not None or not session.anchored:
            return ()
        known = context_options(session.link_layer, tuple(session.anchored), session.lma, {})
        return (*known, *(option for one in self.extensions for option in one.context(session)))

    def _adopt_context(self, handover: Handover, peer: Address, about: Subject) -> bool:
        session = self.sessions[handover.node]
        turned = self._turn_to_lma_of(session, about)
        found = super()._adopt_context(handover, peer, about)
        for extension in self.extensions:
            extension.expected(session, about.options)
        if turned and session.presence is SERVED:  # it came before its context, and another LMA was asked
            self._register(session, self._hint(session))
        self._limit(session)
        return found

    def _attach(self, session: BindingUpdateListEntry, event: NodeSeen) -> None:
        super()._attach(session, event)
        self._limit(session)

    def _limit(self, session: BindingUpdateListEntry) -> None:
        """What a context brought, and the LMA never confirmed, ends as a binding does that is not extended."""
        if session.presence is SERVED and not session.confirmed and self._is_handed_over(session):
            self._timers.start(("expiry", session.node), self._now + self.configuration.lifetime)

    def _turn_to_lma_of(self, session: BindingUpdateListEntry, about: Subject) -> bool:
        """The previous MAG says which LMA, if that is one of ours and the policy profile leaves it open."""
        lma = next((anchor for anchor in about.prefixes.values() if anchor in self._anchors), session.lma)
        settled = session.presence is SERVED and session.confirmed
        if lma == session.lma or settled or self._profile(session.link_layer).lma:
            return False
        for kind in ("register", "deregister", "release"):
            self._requests.cancel((kind, session.node, session.lma, None))
        self._remove_home_ipv4(session)
        for prefix in list(session.anchored):
            self._remove_foreign(session, prefix)
        session.lma, session.wanted = lma, ()
        return True

    def _anchors_of(self, session: BindingUpdateListEntry, new: Address) -> set[Address]:
        """Who tunnels to us, which may be the user plane of the LMA (RFC 7389)."""
        return {self._tunnel_end(session)}

    def _over_here(self, session: BindingUpdateListEntry, peer: Address) -> None:
        """The LMA knows: nothing is de-registered."""
        self._remove(session)

    def _open_for(self, about: Subject) -> BindingUpdateListEntry | None:
        """The policy profile decides, as at an attachment."""
        node = identifier(about.link_layer)
        if not self._profile(about.link_layer).service:
            return None
        return self._open(node, NodeSeen("", about.link_layer, Sighting.CONTROL))

    def _trouble_with(self, session: BindingUpdateListEntry, prefix: Prefix, anchor: Address) -> str:
        if anchor not in self._anchors:
            return "not of an LMA that is known here"
        if anchor != session.lma:
            return "not of the LMA that the node is registered with"
        return super()._trouble_with(session, prefix, anchor)

    def _is_handed_over(self, session: BindingUpdateListEntry) -> bool:
        handover = self.handovers.get(session.node)
        return handover is not None and not handover.previous and bool(handover.prefixes)

    def _hint(self, session: BindingUpdateListEntry) -> Handoff:
        """RFC 5949 A.1: the link-layer identifier is the same, so it is a handoff between gateways."""
        return Handoff.BETWEEN_GATEWAYS if self._is_handed_over(session) else super()._hint(session)
