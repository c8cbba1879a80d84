"""Nodes come to an access link and leave it (RFC 8885 3.1, 3.5; RFC 5213 6.6, 6.13).

An attachment gives the node a prefix, a way and an advertisement at once; the registration follows (design decision 5).
A detachment ends nothing: the binding runs out by itself, which is the time the node has to turn up elsewhere.
"""

from __future__ import annotations

from sojourn.core.effects import EnsureDelivery, EnsureHold, ProbeNode, WithdrawCounter
from sojourn.core.events import NodeDetached, NodeSeen, Sighting
from sojourn.engines.base import TokenBucket
from sojourn.engines.maar_session import AWAY, DEPARTED, REFUSED, SERVED, Session
from sojourn.engines.maar_state import MaarState
from sojourn.wire import Handoff, IdentifierType
from sojourn.wire.addresses import LinkLayer
from sojourn.wire.units import SECOND

_CERTAIN = frozenset({Sighting.STATION, Sighting.LINK, Sighting.CONTROL})
"""Sightings that cannot be a late frame of a node that already left."""
_PROBES = 3
_PROBE_INTERVAL = 1 * SECOND


def identifier(link_layer: LinkLayer) -> bytes:
    """The identifier of a node without credentials is its EUI-48 (RFC 8371)."""
    return bytes((int(IdentifierType.EUI_48),)) + link_layer


class AccessProcedures(MaarState):
    """Attachment, detachment, presence."""

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

    def _change_interface(self, session: Session, interface: str) -> None:
        """The node is on another of our links; the identities that it knows routers by follow it."""
        logical, routes = dict(session.logical), dict(session.routes)
        for prefix in self._leased(session):
            self._hide_router(session, prefix)
        for anchor in logical:
            self._release_logical(session, anchor)
        if session.presence is SERVED:
            self._forget_station(session)
        session.interface = interface
        session.routes = routes
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
        session = Session(node, self._take_slot(), event.interface, event.link_layer, attached=0)
        self._enter(session)
        self._unproved[node] = None
        self._attach(session, event)

    def _make_room(self) -> bool:
        """Whether a place is free: that of the node which showed itself once, longest ago, and never again."""
        while self._unproved:
            node = next(iter(self._unproved))
            del self._unproved[node]
            session = self.sessions.get(node)
            if session is not None and session.presence in (SERVED, DEPARTED):
                self._report("node-displaced", node=node)
                self._remove(session)
                return True
        return False

    def _attach(self, session: Session, event: NodeSeen) -> None:
        """RFC 8885 3.1 step 1 to 5, 3.2 step 1: prefix, way, advertisement, registration."""
        returned = session.presence is AWAY
        if returned:
            for prefix in list(session.anchored):  # passed on until a moment ago; the CMD says what is still alive
                self._remove_foreign(session, prefix)
            self._timers.stop(("grace", session.node))
        session.become(SERVED)
        session.serving = None
        session.link_layer = event.link_layer
        session.confirmed = False
        session.contested = False
        session.corrections = 0
        self._noticed(session, event)
        if session.attached:  # it is no newcomer
            self._timers.stop_all((kind, session.node) for kind in ("expiry", "hold", "probe"))
            self._requests.cancel(("deregister", session.node, self.configuration.cmd, None))
        if session.own is None and not session.legacy:
            self._give(session, self.pool.allocate(self._now))
            if session.own is None:
                self._report("pool-exhausted", interface=event.interface, node=session.node)
        else:
            self._cancel_retirement(session)
        session.since = self._now
        session.attached = max(self._clock(), session.attached + 1)
        self._register(session, Handoff.UNKNOWN)
        self._serve(session)
        if returned:
            for ours in self._anchored_here(session):
                self._do(WithdrawCounter(ours))
        self._advertise(session)
        self._ask_listener(session)
        self._keep(session)
        self._report(
            "attached",
            node=session.node,
            interface=event.interface,
            sighting=event.sighting.value,
            returned=int(returned),
        )

    def _still_here(self, session: Session, event: NodeSeen) -> None:
        probed = session.probes > 0
        self._noticed(session, event)
        self._unproved.pop(session.node, None)
        self._remind_listener(session)
        if session.own is None and not session.legacy and self._give_late(session):
            return
        self._timers.stop(("probe", session.node))
        if session.contested:
            # A later attachment is claimed elsewhere, but here it is: assert its presence (RFC 5213 6.9.1.2, 8.).
            session.contested = False
            session.attached = max(self._clock(), session.attached + 1)
            self._register(session, Handoff.UNKNOWN)
            self._keep(session)
        elif probed:
            self._register(session, Handoff.NOT_CHANGED)
        if event.sighting in (Sighting.ROUTER_SOLICITATION, Sighting.STATION):
            self._advertise(session)

    def _give_late(self, session: Session) -> bool:
        """The pool was exhausted when the node came; now it is not."""
        self._give(session, self.pool.allocate(self._now))
        if session.own is None:
            return False
        session.attached = max(self._clock(), session.attached + 1)
        self._register(session, Handoff.UNKNOWN)
        self._serve(session)
        self._advertise(session)
        self._keep(session)
        return True

    def _noticed(self, session: Session, event: NodeSeen) -> None:
        session.seen = self._now
        session.probes = 0
        if event.address is not None and any(event.address):
            session.address = event.address

    def _on_node_detached(self, event: NodeDetached) -> None:
        session = self.sessions.get(identifier(event.link_layer))
        if session is None or session.presence is not SERVED or session.interface != event.interface:
            return
        self._detach(session)

    def _detach(self, session: Session) -> None:
        """It left. Only the end of the binding de-registers it (RFC 8885 3.5); a legacy LMA is told at once."""
        session.become(DEPARTED)
        session.left = self._now
        session.probes = 0
        for kind in ("refresh", "probe", "advertise"):
            self._timers.stop((kind, session.node))
        if self.configuration.buffer:
            self._do(EnsureHold(session.slot))
            self._after(self.configuration.buffer_time, "hold", session.node)
        self._forget_listener(session)
        self._keep(session)
        self._report("detached", node=session.node, interface=session.interface)
        if session.legacy:
            self._deregister(session)
        elif session.confirmed:
            self._timers.start(("expiry", session.node), max(session.expires, self._now))
        else:  # the CMD does not know of it: nothing runs out there
            self._after(self.configuration.lifetime, "expiry", session.node)

    def _on_hold_over(self, session: Session) -> None:
        """Nobody took over in time: the kernel's queue is emptied where the node was."""
        if session.presence is DEPARTED:
            self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
            self._report("hold-expired", node=session.node)

    def _on_refresh_due(self, session: Session) -> None:
        """Half of the lifetime is over: refresh for a node that showed itself, ask one that did not.

        Also called once for a departed node, after a restart of ours or of the CMD: what we anchor must not be
        forgotten, and if the node is elsewhere by now, the CMD tells us so.
        """
        if session.presence is DEPARTED:
            self._register(session, Handoff.NOT_CHANGED)
            return
        if session.presence is not SERVED:
            return
        if session.own is None and not session.legacy and self._give_late(session):
            return
        if self._now - session.seen <= session.lifetime // 2:
            self._register(session, Handoff.NOT_CHANGED)
        else:
            self._probe(session)

    def _probe(self, session: Session) -> None:
        if session.presence is not SERVED:
            return
        if session.probes >= _PROBES:
            self._report("node-silent", node=session.node)
            self._detach(session)
            return
        session.probes += 1
        self._do(ProbeNode(session.interface, session.link_layer, self._known_address(session)))
        self._after(_PROBE_INTERVAL, "probe", session.node)

    def _on_expiry(self, session: Session) -> None:
        """The binding ran out. Served elsewhere or nowhere: ask the CMD, which knows (RFC 8885 3.5)."""
        if session.presence in (DEPARTED, AWAY):
            self._deregister(session)
