"""A fast handover as the previous router sees it (PMAG; P-MAAR of what it anchors): RFC 5949 4.1.

Predictive: somebody says where the node will go. The next router is told what there is to know of the node, and from
its answer on it gets the packets. Reactive: the node just left; its packets wait until the next router asks for them.
"""

from __future__ import annotations

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureFlowToRouter,
    EnsureQueue,
    EnsureTunnel,
    ProbeNode,
    ProbePath,
    WithdrawQueue,
)
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import AWAY, DEPARTED, SERVED
from sojourn.engines.access_state import S
from sojourn.engines.fast_handover import FastHandover
from sojourn.engines.handover import Handover, Phase
from sojourn.engines.handover_messages import ACCEPTED, Subject, attached_there, expecting
from sojourn.wire.addresses import Address, LinkLayer
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledge, HandoverAcknowledgeCode, HandoverInitiate
from sojourn.wire.extensions.rfc5568 import HandoverInitiateFlags as Flags
from sojourn.wire.units import ticks

_Code = HandoverAcknowledgeCode
_EXTENSIONS = 10


class PreviousRouter(FastHandover[S]):
    """The previous router."""

    # --- predictive -------------------------------------------------------------------------------------------------

    def _on_handover_expected(self, octets: LinkLayer, target: bytes) -> None:
        """(b) and (c): a Handover indication."""
        peer = target if len(target) == 16 else self.handovers.access_points.get(target)
        session = self.sessions.get(identifier(octets))
        if session is None or session.presence is not SERVED or not session.confirmed:
            self._report("handover-refused", reason="the node is not registered here")
        elif peer is None or peer not in self.handovers.neighbours or peer == self.configuration.address:
            self._report("handover-refused", node=session.node, reason="not to a neighbour")
        else:
            self._announce(session, peer)

    def _announce(self, session: S, peer: Address) -> None:
        former = self.handovers.get(session.node)
        if former is not None and former.previous and former.peer == peer:
            return  # said twice
        if former is not None and not former.previous:
            self._report("handover-refused", node=session.node, reason="the last one is not settled yet")
            return
        if former is not None:
            self._call_off(session, former)
            self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
        if not self._has_room():
            self._report("handover-refused", node=session.node, reason="too many handovers")
            return
        handover = self.handovers[session.node] = Handover(session.node, Phase.ASKED, peer)
        self._after(self.configuration.handover_wait, "handover", session.node)
        sequence, identity = self.handovers.initiations.next_sequence(), self._identifier_of(session)
        message = expecting(sequence, identity, self._context(session))
        self._initiate(handover, peer, "expect", message)
        self._report("handover-expected", node=session.node, peer=peer)

    def _on_expectation_answered(self, handover: Handover, message: HandoverAcknowledge, accepted: bool) -> None:
        """(d), (f)."""
        if not accepted:
            self._report("handover-refused", node=handover.node, code=message.code, reason="by the new router")
            self._on_expectation_refused(handover)
        elif handover.phase is Phase.ASKED:
            self._forward(handover)

    def _forward(self, handover: Handover) -> None:
        handover.become(Phase.FORWARDING)
        self._after(self.configuration.handover_wait, "handover", handover.node)
        self._send_on(self.sessions[handover.node], handover)
        self._report("handover-ready", node=handover.node, peer=handover.peer)

    def _send_on(self, session: S, handover: Handover) -> None:
        """What waits first; then the tunnel itself."""
        if handover.peer is None:
            self._do(EnsureQueue(session.slot, False))
        elif handover.queued:
            self._do(EnsureFlowToRouter(session.slot, False, handover.peer))
            self._look(handover)
        else:
            self._do(EnsureTunnel(session.slot, handover.peer))

    def _on_sent_on(self, handover: Handover) -> None:
        """Nothing waits here any more."""
        if handover.queued and handover.peer is not None:
            handover.queued = False
            self._do(EnsureTunnel(self.sessions[handover.node].slot, handover.peer))
            self._mark_if_drained(handover)

    def _on_expectation_refused(self, handover: Handover) -> None:
        """The handover is an ordinary one."""
        session = self.sessions[handover.node]
        if session.presence is DEPARTED:
            handover.become(Phase.WAITING)
            handover.peer = None
            self._after(self.configuration.handover_wait, "handover", handover.node)
        else:
            self._forget_handover(handover.node)

    # --- the node leaves --------------------------------------------------------------------------------------------

    def _detach(self, session: S) -> None:
        handover, unsettled = self.handovers.get(session.node), False
        if handover is not None and not handover.previous:
            self._forget_handover(session.node)  # it came, and left again before all was settled
            self._do(WithdrawQueue(session.slot))
            handover, unsettled = None, True
        if handover is None and session.confirmed and self.handovers.neighbours and self._has_room():
            self.handovers[session.node] = Handover(session.node, Phase.WAITING, None)
            self._after(self.configuration.handover_wait, "handover", session.node)
        elif unsettled:
            self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
        super()._detach(session)

    def _keep_packets(self, session: S) -> None:
        """4.1: "the downlink packets for the mobile node need to be buffered either at the PMAG or NMAG"."""
        handover = self.handovers.get(session.node)
        if handover is None:
            super()._keep_packets(session)
        elif handover.phase in (Phase.WAITING, Phase.ASKED):
            handover.queued = True
            self._do(EnsureQueue(session.slot, False))

    def _detached(self, session: S) -> None:
        """Nobody is told that it left as long as it may turn up at a neighbour: its anchor would drop its packets."""
        if session.node not in self.handovers:
            super()._detached(session)

    def _on_previous_overdue(self, handover: Handover) -> None:
        session = self.sessions[handover.node]
        if handover.phase in (Phase.DRAINING, Phase.MARKED):
            self._report("handover-unfinished", node=handover.node, phase=handover.phase.value)
            if handover.phase is Phase.MARKED:
                self._handed_over(handover)
            else:
                self._mark(handover)
            return
        if handover.phase is Phase.FORWARDING and handover.forwarded and session.presence is not AWAY:
            self._prolong(handover)
            return
        self._report("handover-over", node=handover.node, phase=handover.phase.value)
        if session.presence is SERVED:  # it did not go
            self._call_off(session, handover)
            self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
            return
        if handover.forwarded:  # a neighbour said so and did not take over: it may have been in both cells
            self._do(ProbeNode(session.interface, session.link_layer, self._known_address(session)))
        self._on_previous_failed(handover)

    def _on_previous_failed(self, handover: Handover) -> None:
        """As if there had been none: packets go where the node was, and its anchor hears that it left."""
        session = self.sessions[handover.node]
        self._forget_handover(handover.node)
        if session.presence is AWAY:
            self._stays_away(session)
            return
        if not session.interface:  # it was expected here, and went on to where it did not stay either
            self._remove(session)
            return
        self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
        if session.presence is DEPARTED:
            super()._detached(session)

    def _prolong(self, handover: Handover) -> None:
        """The node is at the new router, which cannot register it yet: what still comes here is for it."""
        handover.extensions += 1
        if handover.extensions > _EXTENSIONS:
            self._report("handover-unfinished", node=handover.node, phase=handover.phase.value)
            self._handed_over(handover)
        else:
            self._after(self.configuration.handover_wait, "handover", handover.node)

    def _call_off(self, session: S, handover: Handover) -> None:
        """The node is here, or goes elsewhere: the router that expected it is told that nothing more comes."""
        peer, asked = handover.peer, handover.phase in (Phase.ASKED, Phase.FORWARDING)
        self._forget_handover(session.node)
        if peer is not None and asked:
            self._report("handover-called-off", node=session.node, peer=peer)
            message = self._completion(session)
            self.handovers.initiations.start((session.node, peer), "call off", message, self._now)

    # --- reactive ---------------------------------------------------------------------------------------------------

    def _on_asked_for(self, message: HandoverInitiate, source: Address, about: Subject) -> None:
        """4.1 reactive (c) to (e), A.2: the node is there."""
        session = self._session_about(about)
        handover = None if session is None else self.handovers.get(session.node)
        here = session is not None and session.presence in (SERVED, DEPARTED)
        forwarded = handover is not None and handover.peer == source
        if session is None or not (here or forwarded) or not self._context(session):
            self._refuse(message, source, _Code.REQUESTED_CONTEXT_NOT_AVAILABLE, "node is not here")
            return
        there = attached_there(message)
        if session.presence is SERVED and there is not None and there <= self._latest_here(session):
            self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "it was here later")
            return
        unsettled = handover is not None and not handover.previous
        if unsettled:
            self._forget_handover(session.node)  # it was on its way to us, and already is elsewhere
            self._do(WithdrawQueue(session.slot))
            handover = None
        if handover is None:
            if not self._has_room():
                forward = message.flags & Flags.F
                code = _Code.FORWARDING_NOT_AVAILABLE if forward else _Code.INSUFFICIENT_RESOURCES
                self._refuse(message, source, code, "too many handovers")
                return
            handover = self.handovers[session.node] = Handover(session.node, Phase.WAITING, None, queued=unsettled)
            self._after(self.configuration.handover_wait, "handover", session.node)
        if handover.peer not in (None, source):
            if there is not None and there <= handover.attached:
                self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "it was elsewhere later")
                return
            handover = self._turn_to_another(session, handover)
        handover.attached = there or 0
        self._yield_to(session, handover, source, bool(message.flags & Flags.F))
        self._answer(message, source, _Code.ALL_AVAILABLE_CONTEXT_TRANSFERRED, self._context(session))

    def _latest_here(self, session: S) -> int:
        """When it attached or was last seen here, in ticks: it may have come back without our noticing that it left."""
        return max(session.attached, ticks(self._epoch + self._offset + session.seen))

    def _turn_to_another(self, session: S, handover: Handover) -> Handover:
        """It went on, or was never there: its packets wait again."""
        self._call_off(session, handover)
        turned = self.handovers[session.node] = Handover(session.node, Phase.WAITING, None, queued=True)
        self._after(self.configuration.handover_wait, "handover", session.node)
        self._do(EnsureQueue(session.slot, False))
        return turned

    def _yield_to(self, session: S, handover: Handover, peer: Address, forward: bool) -> None:
        handover.forwarded = True
        begun = handover.phase not in (Phase.WAITING, Phase.ASKED)
        self.handovers.initiations.cancel((session.node, peer))
        if session.presence is SERVED:
            self._forget_station(session)
            if forward:
                handover.become(Phase.FORWARDING)
            self._detach(session)
        if forward and not begun:
            handover.peer = peer
            self._forward(handover)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _on_wish_to_complete(self, message: HandoverInitiate, source: Address, handover: Handover) -> None:
        """The new router has registered the node: nothing new comes here."""
        if handover.peer != source:
            self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "not forwarded there")
            return
        self._answer(message, source, _Code(ACCEPTED))
        if handover.phase is not Phase.FORWARDING:
            return
        session = self.sessions[handover.node]
        handover.become(Phase.DRAINING)
        self._after(self.configuration.handover_patience, "handover", handover.node)
        handover.pending = self._anchors_of(session, source)
        for anchor in sorted(handover.pending):
            self._do(ProbePath(anchor))
        self._mark_if_drained(handover)

    def _on_path_probed(self, remote: Address) -> None:
        for handover in list(self.handovers.values()):
            if remote in handover.pending and handover.phase is Phase.DRAINING:
                handover.pending.discard(remote)
                self._mark_if_drained(handover)

    def _mark_if_drained(self, handover: Handover) -> None:
        if handover.phase is Phase.DRAINING and not handover.pending and not handover.queued:
            self._mark(handover)

    def _mark(self, handover: Handover) -> None:
        """The end marker: "Via this message, the ARs on both ends can tear down the forwarding tunnel" (4.1)."""
        session = self.sessions[handover.node]
        assert handover.peer is not None
        handover.become(Phase.MARKED)
        self._after(2 * self.configuration.handover_wait, "handover", handover.node)
        message = self._completion(session)
        self._initiate(handover, handover.peer, "mark", message)

    def _handed_over(self, handover: Handover) -> None:
        session, peer = self.sessions[handover.node], handover.peer
        assert peer is not None
        self._forget_handover(handover.node)
        self._report("handed-over", node=handover.node, peer=peer)
        self._over_here(session, peer)
