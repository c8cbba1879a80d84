"""What is a MAAR's own in a fast handover (RFC 5949 between the routers of RFC 8885).

The previous router anchors the node's prefix and goes on sending it through the tunnel; only prefixes of earlier
anchors change their way once more. The new router's own prefix for the node is nobody's else business.
"""

from __future__ import annotations

from sojourn.core.effects import EnsurePrefix, EnsureTunnel, WithdrawPrefix, WithdrawQueue
from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.access_presence import identifier
from sojourn.engines.configuration import MaarConfiguration
from sojourn.engines.handover import Handover, Phase
from sojourn.engines.handover_messages import Subject, context_options
from sojourn.engines.handover_new import NewRouter
from sojourn.engines.handover_previous import PreviousRouter
from sojourn.engines.maar_access import AccessProcedures
from sojourn.engines.maar_session import AWAY, SERVED, Session
from sojourn.wire import MobilityOption
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND

_CHECK = 3 * SECOND


class MaarHandover(PreviousRouter[Session], NewRouter[Session], AccessProcedures):
    """The previous and the new MAAR."""

    configuration: MaarConfiguration

    def _context(self, session: Session) -> tuple[MobilityOption, ...]:
        if session.legacy:
            prefixes = tuple(session.anchored)
            return context_options(session.link_layer, prefixes, self.configuration.cmd, {}) if prefixes else ()
        ours = self._anchored_here(session)
        return context_options(session.link_layer, ours, self.configuration.address, session.anchored)

    def _anchors_of(self, session: Session, new: Address) -> set[Address]:
        return set(session.anchored.values()) - {new, self.configuration.address}

    def _over_here(self, session: Session, peer: Address) -> None:
        """What the CMD tells, or told before: `peer` has registered it. Until then this is known from nobody else."""
        if session.presence is AWAY:
            return
        self._give_up(session, peer, session.attached, session.lifetime)
        if session.own is None and not session.anchored:
            self._remove(session)
        else:  # it may have told us that this is over, which we refused as long as the node was here
            self._after(SECOND, "expiry", session.node)

    def _open_for(self, about: Subject) -> Session | None:
        return self._open(identifier(about.link_layer), NodeSeen("", about.link_layer, Sighting.CONTROL))

    def _forget_handover(self, node: bytes) -> None:
        """What another router told of the node the CMD may have ended: the next answer tells, which lists all."""
        handover, session = self.handovers.get(node), self.sessions.get(node)
        super()._forget_handover(node)
        if handover is None or session is None:
            return
        if handover.sends_on:
            for prefix in self._would_return(session, handover):
                self._do(EnsurePrefix(prefix, session.slot))
        elif (
            handover.prefixes
            and session.presence is SERVED
            and (session.confirmed or ("refresh", node) in self._timers)
        ):
            self._after(_CHECK, "refresh", node)

    def _postpone(self, session: Session) -> None:
        """What its old router told the CMD does not know of: the anchors let go of it, and give it to others."""
        super()._postpone(session)
        gone = tuple(session.anchored) if session.node not in self.handovers else ()
        for prefix in gone:
            self._remove_foreign(session, prefix)
        if gone:
            self._advertise(session, gone)
            self._keep(session)

    def _send_on(self, session: Session, handover: Handover) -> None:
        """But for what the new router itself anchors: it may not know yet that the node is there, and send it back."""
        for prefix in self._would_return(session, handover):
            self._do(WithdrawPrefix(prefix))
        super()._send_on(session, handover)

    @staticmethod
    def _would_return(session: Session, handover: Handover) -> list[Prefix]:
        return [prefix for prefix, anchor in session.anchored.items() if anchor == handover.peer]

    def _is_led(self, session: Session, anchor: Address | None) -> bool:
        handover = self.handovers.get(session.node)
        return handover is None or not handover.sends_on or anchor != handover.peer

    def _stays_away(self, session: Session) -> None:
        """Where it is, the CMD says; what others anchor for it is no business of ours."""
        self._reassert(session)
        self._keep(session)
        self._after(0, "grace", session.node)

    def _where_it_was(self, session: Session) -> list[Address]:
        if session.presence is AWAY and session.serving is not None:
            return [session.serving]
        return super()._where_it_was(session)

    def _stays(self, session: Session, prefix: Prefix) -> bool:
        handover = self.handovers.get(session.node)
        return handover is not None and prefix in handover.prefixes

    def _serve_leased(self, session: Session, prefix: Prefix) -> None:
        """A lease is looked after from the attachment on."""
        if not self._is_expected(session):
            super()._serve_leased(session, prefix)

    def _is_expected(self, session: Session) -> bool:
        handover = self.handovers.get(session.node)
        return handover is not None and handover.phase in (Phase.EXPECTING, Phase.RETURNING)

    def _is_told_anew(self, session: Session) -> bool:
        """An expected node is nobody to tell the CMD of."""
        return not self._is_expected(session) and super()._is_told_anew(session)

    def _tunnel(self, session: Session, serving: Address) -> None:
        """The CMD says where the node is: what waits for it goes there first."""
        handover = self.handovers.get(session.node)
        if handover is not None and handover.previous and handover.peer in (None, serving):
            if handover.phase in (Phase.WAITING, Phase.ASKED):
                handover.peer = serving
                self._forward(handover)
            else:
                self._send_on(session, handover)
            return
        if handover is not None and handover.phase is Phase.EXPECTING and handover.peer == serving:
            return  # so it is, still
        if handover is not None:
            self._call_off(session, handover)
            self._do(WithdrawQueue(session.slot))
        self._do(EnsureTunnel(session.slot, serving))
