"""What an attachment and a detachment lead to at a MAAR (RFC 8885 3.1, 3.5).

An attachment gives the node a prefix, a way and an advertisement at once; the registration follows (design decision 5).
A detachment ends nothing: the binding runs out by itself, which is the time the node has to turn up elsewhere.
"""

from __future__ import annotations

from sojourn.core.effects import WithdrawCounter
from sojourn.core.events import NodeSeen
from sojourn.engines.access_presence import PresenceProcedures
from sojourn.engines.maar_session import AWAY, DEPARTED, Session
from sojourn.engines.maar_state import MaarState
from sojourn.wire import Handoff
from sojourn.wire.addresses import Prefix


class AccessProcedures(PresenceProcedures[Session], MaarState):
    """Attachment and detachment, as a MAAR takes them."""

    def _open(self, node: bytes, event: NodeSeen) -> Session | None:
        return Session(node, self._slots.take(), event.interface, event.link_layer, attached=0)

    def _change_interface(self, session: Session, interface: str) -> None:
        for prefix in self._leased(session):
            self._hide_router(session, prefix)
        routes = dict(session.routes)
        super()._change_interface(session, interface)
        session.routes = routes

    def _displace(self, session: Session) -> None:
        """Its prefixes are given to nobody as long as the CMD may have them as those of this node."""
        until = self._now + (session.lifetime or self.configuration.lifetime)
        had = tuple(self._anchored_here(session))
        super()._displace(session)
        for prefix in had:
            pool = self._pool_of(prefix)
            if pool is not None:
                pool.rest_longer(prefix, until)

    def _attach(self, session: Session, event: NodeSeen) -> None:
        """RFC 8885 3.1 step 1 to 5, 3.2 step 1: prefix, way, advertisement, registration."""
        returned = session.presence is AWAY
        long_gone = session.presence is DEPARTED and self._now - session.left >= self.configuration.quarantine
        if returned or long_gone:
            # Passed on until a moment ago, or known for so long that it may be somebody else's by now: the CMD knows.
            for prefix in list(session.anchored):
                if not self._stays(session, prefix):
                    self._remove_foreign(session, prefix)
            self._timers.stop(("grace", session.node))
        session.serving = None
        self._begin(session, event)
        if session.own is None and not session.legacy:
            self._give(session, self._new_prefix(session))
            if session.own is None and self.drain is None:
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

    def _stays(self, session: Session, prefix: Prefix) -> bool:
        """Whether the router that it left says that it has this prefix of another anchor."""
        return False

    def _give_late(self, session: Session) -> bool:
        """The pool was exhausted when the node came; now it is not."""
        if session.own is not None or session.legacy:
            return False
        prefix = self._new_prefix(session)
        if prefix is None:
            return False
        self._give(session, prefix)
        session.attached = max(self._clock(), session.attached + 1)
        self._register(session, Handoff.UNKNOWN)
        self._serve(session)
        self._advertise(session)
        self._keep(session)
        return True

    def _detached(self, session: Session) -> None:
        """Only the end of the binding de-registers it (RFC 8885 3.5); a legacy LMA is told at once."""
        if session.legacy:
            self._deregister(session)
        elif session.confirmed:
            self._timers.start(("expiry", session.node), max(session.expires, self._now))
        else:  # the CMD does not know of it: nothing runs out there
            self._after(self.configuration.lifetime, "expiry", session.node)

    def _on_refresh_due(self, session: Session) -> None:
        """Also called once for a departed node, after a restart of ours or of the CMD.

        What we anchor must not be forgotten, and if the node is elsewhere by now, the CMD tells us so.
        """
        if session.presence is DEPARTED:
            self._register(session, Handoff.NOT_CHANGED)
        else:
            super()._on_refresh_due(session)

    def _on_expiry(self, session: Session) -> None:
        """The binding ran out. Served elsewhere or nowhere: ask the CMD, which knows (RFC 8885 3.5)."""
        if session.presence in (DEPARTED, AWAY):
            self._deregister(session)
