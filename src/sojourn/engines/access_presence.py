"""Nodes come to an access link, stay and leave (RFC 5213 6.6, 6.13; RFC 8885 3.1, 3.5).

What an attachment and a detachment lead to is the role's own: `_attach` and `_detached`.
"""

from __future__ import annotations

from sojourn.core.effects import EnsureDelivery, EnsureHold, ProbeNode
from sojourn.core.events import NodeDetached, NodeSeen, Sighting
from sojourn.engines.access_session import DEPARTED, REFUSED, SERVED
from sojourn.engines.access_state import AccessState, S
from sojourn.engines.base import TokenBucket
from sojourn.wire import Handoff, IdentifierType
from sojourn.wire.addresses import LinkLayer
from sojourn.wire.units import SECOND, Duration

_CERTAIN = frozenset({Sighting.STATION, Sighting.LINK, Sighting.CONTROL})
"""Sightings that cannot be a late frame of a node that already left."""
_PROBES = 3
_PROBE_INTERVAL = 1 * SECOND


def identifier(link_layer: LinkLayer) -> bytes:
    """The identifier of a node without credentials is its EUI-48 (RFC 8371)."""
    return bytes((int(IdentifierType.EUI_48),)) + link_layer


class PresenceProcedures(AccessState[S]):
    """Attachment, presence, detachment."""

    _displaceable = frozenset({SERVED, DEPARTED})
    """Who has to go when there is no room."""

    def _on_node_seen(self, event: NodeSeen) -> None:
        if len(event.link_layer) != 6 or event.link_layer[0] & 1:
            self._report("node-refused", reason="not an individual Ethernet address", interface=event.interface)
            return
        node = identifier(event.link_layer)
        session = self.sessions.get(node)
        if session is None:
            self._welcome(node, event)
        elif session.presence is SERVED and session.interface == event.interface:
            self._still_here(session, event)
        elif session.presence is REFUSED:
            return
        elif event.sighting in _CERTAIN or self._now - session.left >= self.configuration.reattach_guard:
            if session.interface != event.interface:
                self._change_interface(session, event.interface)
            self._attach(session, event)

    def _change_interface(self, session: S, interface: str) -> None:
        """The node is on another of our links; the identities that it knows routers by follow it."""
        logical = dict(session.logical)
        for anchor in logical:
            self._release_logical(session, anchor)
        if session.presence is SERVED:
            self._forget_station(session)
        session.interface = interface
        for anchor, identity in logical.items():
            self._ensure_logical(session, anchor, identity)

    def _welcome(self, node: bytes, event: NodeSeen) -> None:
        """Somebody new, within limits: identifiers cost nothing to invent."""
        newcomers = self._newcomers.get(event.interface)
        if newcomers is None:
            rate = self.configuration.new_nodes_per_second
            newcomers = self._newcomers[event.interface] = TokenBucket(rate, rate)
        if not newcomers.take(self._now):
            self._report("node-refused", reason="too many new nodes a second", interface=event.interface)
            return
        if len(self.sessions) >= self.configuration.nodes and not self._make_room():
            self._report("node-refused", reason="too many nodes", interface=event.interface)
            return
        session = self._open(node, event)
        if session is None:
            return
        self._enter(session)
        self._unproved[node] = None
        self._attach(session, event)

    def _make_room(self) -> bool:
        """Whether a place is free: that of the node which showed itself once, longest ago, and never again."""
        while self._unproved:
            node = next(iter(self._unproved))
            del self._unproved[node]
            session = self.sessions.get(node)
            if session is not None and session.presence in self._displaceable:
                self._report("node-displaced", node=node)
                self._displace(session)
                return True
        return False

    def _displace(self, session: S) -> None:
        """Somebody else gets its place."""
        self._remove(session)

    def _begin(self, session: S, event: NodeSeen) -> None:
        """It is attached here, again or for the first time; whatever was under way about it is over."""
        session.become(SERVED)
        session.link_layer = event.link_layer
        session.confirmed = False
        session.contested = False
        session.corrections = 0
        self._noticed(session, event)
        if session.attached:  # it is no newcomer
            self._timers.stop_all((kind, session.node) for kind in ("expiry", "hold", "probe", "gone"))
            self._requests.cancel(("deregister", session.node, self._asked_about(session), None))

    def _still_here(self, session: S, event: NodeSeen) -> None:
        probed = session.probes > 0
        self._noticed(session, event)
        self._unproved.pop(session.node, None)
        self._remind_listener(session)
        if self._give_late(session):
            return
        self._timers.stop(("probe", session.node))
        if session.contested:
            # A later attachment is claimed elsewhere, but here it is: assert its presence (RFC 5213 6.9.1.2, 8.).
            session.contested = False
            session.attached = max(self._clock(), session.attached + 1)
            self._register(session, Handoff.UNKNOWN)
            self._keep(session)
        elif probed:
            self._assert_presence(session)
        if event.sighting in (Sighting.ROUTER_SOLICITATION, Sighting.STATION):
            self._advertise(session)

    def _assert_presence(self, session: S) -> None:
        """It was asked for a sign of life, and gave it."""
        self._register(session, Handoff.NOT_CHANGED)

    def _noticed(self, session: S, event: NodeSeen) -> None:
        session.seen = self._now
        session.probes = 0
        if event.address is not None and any(event.address):
            session.address = event.address

    def _on_node_detached(self, event: NodeDetached) -> None:
        session = self.sessions.get(identifier(event.link_layer))
        if session is None or session.presence is not SERVED or session.interface != event.interface:
            return
        self._detach(session)

    def _detach(self, session: S) -> None:
        """It left: from now on it is known where it was, and the role decides what follows."""
        session.become(DEPARTED)
        session.left = self._now
        session.probes = 0
        for kind in ("refresh", "probe", "advertise"):
            self._timers.stop((kind, session.node))
        self._keep_packets(session)
        self._forget_listener(session)
        self._keep(session)
        self._report("detached", node=session.node, interface=session.interface)
        self._departed(session)
        self._detached(session)

    def _keep_packets(self, session: S) -> None:
        """Until it is known where it is."""
        if self.configuration.buffer:
            self._do(EnsureHold(session.slot))
            self._after(self.configuration.buffer_time, "hold", session.node)

    def _on_hold_over(self, session: S) -> None:
        """Nobody took over in time: the kernel's queue is emptied where the node was."""
        if session.presence is DEPARTED:
            self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
            self._report("hold-expired", node=session.node)

    def _on_refresh_due(self, session: S) -> None:
        """Half of the lifetime is over: refresh for a node that showed itself, ask one that did not.

        RFC 5213 6.13: "MUST make sure the mobile node is still attached to the connected link".
        """
        if session.presence is not SERVED or self._give_late(session):
            return
        if self._now - session.seen <= self._trust_in_sight(session):
            self._register(session, Handoff.NOT_CHANGED)
        else:
            self._probe(session)

    def _trust_in_sight(self, session: S) -> Duration:
        """How long after its last sign a node is taken to be here; one that is not registered yet as well."""
        return (session.lifetime or self.configuration.lifetime) // 2

    def _probe(self, session: S) -> None:
        if session.presence is not SERVED:
            return
        if session.probes >= _PROBES:
            self._report("node-silent", node=session.node)
            self._detach(session)
            return
        session.probes += 1
        self._do(ProbeNode(session.interface, session.link_layer, self._known_address(session)))
        self._after(_PROBE_INTERVAL, "probe", session.node)

    # --- what the role provides -------------------------------------------------------------------------------------

    def _open(self, node: bytes, event: NodeSeen) -> S | None:
        """A session for somebody new; None when there is to be none."""
        raise NotImplementedError

    def _attach(self, session: S, event: NodeSeen) -> None:
        """It is on one of our links now."""
        raise NotImplementedError

    def _departed(self, session: S) -> None:
        """It left our link, wherever it is going to be."""

    def _detached(self, session: S) -> None:
        """It left our link, and nobody takes over: who anchors it is told."""
        raise NotImplementedError

    def _give_late(self, session: S) -> bool:
        """Whether the node gets now what could not be given when it came."""
        return False
