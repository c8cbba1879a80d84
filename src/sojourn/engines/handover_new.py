"""A fast handover as the new router sees it (NMAG, S-MAAR): RFC 5949 4.1 and 5.2.

A node that is expected has a session, DEPARTED as if it had been here, and its packets wait. A node that nobody
announced is asked for at the neighbours (the one that served it, where that is known).
"""

from __future__ import annotations

from sojourn.core.effects import EnsureDelivery, EnsureFlowToNode, EnsureFlowToRouter, EnsureQueue, WithdrawQueue
from sojourn.core.events import NodeSeen
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import AWAY, DEPARTED, REFUSED, SERVED
from sojourn.engines.access_state import S
from sojourn.engines.fast_handover import FastHandover
from sojourn.engines.handover import Handover, Phase
from sojourn.engines.handover_messages import ACCEPTED, Subject, asking, fetching
from sojourn.wire.addresses import Address, LinkLayer
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledgeCode, HandoverInitiate
from sojourn.wire.extensions.rfc5568 import HandoverInitiateFlags as Flags

_Code = HandoverAcknowledgeCode


class NewRouter(FastHandover[S]):
    """The new router."""

    # --- predictive -------------------------------------------------------------------------------------------------

    def _on_context(self, message: HandoverInitiate, source: Address, about: Subject) -> None:
        """(c), (d): the node is about to come."""
        if not about.link_layer or len(about.link_layer) != 6:
            self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "no link-layer identifier")
            return
        node = identifier(about.link_layer)
        session, handover = self.sessions.get(node), self.handovers.get(node)
        if handover is not None and not handover.previous and handover.peer in (None, source):
            self._adopt_context(handover, source, about)  # sent again, or both routers spoke at once
            if session is not None and session.presence is SERVED and handover.prefixes:
                self._advertise(session)
                self._keep(session)
            handover.forwarded = True
            self.handovers.initiations.cancel((node, source))
            self._answer(message, source, _Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL)
        elif session is not None and session.presence is SERVED:
            self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "node is here")
        elif session is not None and session.presence is REFUSED:
            self._refuse(message, source, _Code.ADMINISTRATIVELY_PROHIBITED, "node is not served")
        elif not message.flags & Flags.F | message.flags & Flags.U:
            self._answer(message, source, _Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL)
        else:
            self._prepare(message, source, about, session)

    def _prepare(self, message: HandoverInitiate, source: Address, about: Subject, session: S | None) -> None:
        """ "otherwise, it SHOULD buffer them until the mobile node is ready" (4.2)."""
        node = identifier(about.link_layer)
        self._forget_handover(node)
        if not self._has_room() or (session is None and len(self.sessions) >= self.configuration.nodes):
            self._refuse(message, source, _Code.INSUFFICIENT_RESOURCES, "too many handovers")
            return
        session = session or self._open_for(about)
        if session is None:
            self._refuse(message, source, _Code.ADMINISTRATIVELY_PROHIBITED, "node is not served")
            return
        if node not in self.sessions:
            session.presence = DEPARTED
            session.left = self._now
            self._enter(session)
        if session.presence is not AWAY:  # what we anchor for it lives on as before if it does not come
            self._timers.stop_all((kind, node) for kind in ("hold", "gone", "expiry"))
            self._requests.cancel(("deregister", node, self._asked_about(session), None))
        self._timers.stop(("grace", node))
        handover = self.handovers[node] = Handover(node, Phase.EXPECTING, source, forwarded=True)
        self._do(EnsureQueue(session.slot, False))
        self._do(EnsureQueue(session.slot, True))
        if not self._adopt_context(handover, source, about) and not self._prefixes_of(session):
            self._remove(session)
            self._refuse(message, source, _Code.ADMINISTRATIVELY_PROHIBITED, "prefixes are not acceptable")
            return
        # Longer than the previous router waits, which calls it off then: what waits here is to go back.
        self._after(self.configuration.handover_wait * 3 // 2, "handover", node)
        self._report("handover-prepared", node=node, peer=source, prefixes=len(handover.prefixes))
        self._answer(message, source, _Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL)

    def _adopt_context(self, handover: Handover, peer: Address, about: Subject) -> bool:
        """Ways for the prefixes; whether there are any. What the anchor does not confirm ends with its answer (5.2)."""
        session = self.sessions[handover.node]
        handover.peer = peer
        for prefix, anchor in about.prefixes.items():
            if anchor != self.configuration.address and self._add_foreign(session, prefix, anchor):
                handover.prefixes[prefix] = anchor
        return bool(handover.prefixes)

    # --- it comes ---------------------------------------------------------------------------------------------------

    def _attach(self, session: S, event: NodeSeen) -> None:
        """(h), (i). An expected node gets what waited, and its advertisement, before anybody was asked (5.2)."""
        handover = self.handovers.get(session.node)
        if handover is None:
            handover = self._look_for_previous(session, event.previous)
        elif handover.previous:
            self._call_off(session, handover)  # it came back
            handover = None
        elif handover.phase is Phase.EXPECTING:
            handover.become(Phase.ATTACHED)
            self._report("handover-arrived", node=session.node, peer=handover.peer)
        elif handover.phase is Phase.RETURNING:
            self._forget_handover(session.node)
            self._do(WithdrawQueue(session.slot))
        super()._attach(session, event)
        if handover is not None:
            self._after(self.configuration.handover_wait, "handover", session.node)

    def _look_for_previous(self, session: S, said: Address | LinkLayer | None) -> Handover | None:
        """Reactive (c): the neighbours are asked; the one where it was answers. Alone, if the link says which it is."""
        configuration = self.configuration
        if not configuration.handovers or not self._has_room() or session.presence is DEPARTED:
            return None
        known = said if said in self.handovers.neighbours else self.handovers.access_points.get(said or b"")
        peers = self._where_it_was(session) if known is None else [known]
        if not peers:
            return None
        handover = self.handovers[session.node] = Handover(session.node, Phase.ATTACHED, None, pending=set(peers))
        for peer in peers:
            sequence = self.handovers.initiations.next_sequence()
            attached = max(self._clock(), session.attached + 1)
            message = asking(sequence, self._identifier_of(session), session.link_layer, attached)
            self._initiate(handover, peer, "ask", message)
        return handover

    def _where_it_was(self, session: S) -> list[Address]:
        """Who may have served it until now."""
        return [peer for peer in self.handovers.neighbours if peer != self.configuration.address]

    def _on_asking_answered(self, handover: Handover, source: Address, about: Subject, accepted: bool) -> None:
        """Reactive (d): what it has. There are ways for its packets now, so they may come."""
        if not accepted or handover.peer is not None:
            self._on_nothing_known(handover, source)
            return
        handover.pending.discard(source)
        session = self.sessions[handover.node]
        self._adopt_context(handover, source, about)
        self._report("handover-arrived", node=handover.node, peer=source)
        if handover.prefixes:
            self._advertise(session)
            self._keep(session)
        sequence, identity = self.handovers.initiations.next_sequence(), self._identifier_of(session)
        message = fetching(sequence, identity, session.link_layer, session.attached)
        self._initiate(handover, source, "fetch", message)

    def _on_fetched(self, handover: Handover) -> None:
        handover.forwarded = True
        self._complete_if_registered(handover, self.sessions[handover.node])

    def _on_nothing_known(self, handover: Handover, peer: Address) -> None:
        """It was not there. If it was nowhere, there is nothing to wait for."""
        handover.pending.discard(peer)
        if not handover.pending and handover.peer is None and handover.phase is Phase.ATTACHED:
            self._follow(handover)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _confirm(self, session: S, lifetime: int) -> None:
        super()._confirm(session, lifetime)
        handover = self.handovers.get(session.node)
        if handover is not None:
            self._complete_if_registered(handover, session)

    def _complete_if_registered(self, handover: Handover, session: S) -> None:
        """The anchors send here: the previous router is asked for the end of what it forwards."""
        if handover.phase is not Phase.ATTACHED or handover.peer is None or not handover.forwarded:
            return
        if session.confirmed:
            handover.become(Phase.COMPLETING)
            message = self._completion(session)
            self._initiate(handover, handover.peer, "complete", message)
            self._after(self.configuration.handover_patience, "handover", handover.node)

    def _on_completion(self, message: HandoverInitiate, source: Address, handover: Handover | None) -> None:
        """Code 2: the end marker; or, to the previous router, the wish for one."""
        if handover is None:
            self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "no such handover")
        elif handover.previous:
            self._on_wish_to_complete(message, source, handover)
        elif handover.peer != source:
            self._refuse(message, source, _Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "not forwarded from there")
        else:
            self._answer(message, source, _Code(ACCEPTED))
            if handover.phase is Phase.EXPECTING:
                self._return(handover, source)
            elif handover.phase in (Phase.ATTACHED, Phase.COMPLETING):
                self._follow(handover)

    def _follow(self, handover: Handover) -> None:
        """All that was forwarded is in its queue; when that is empty, the other one is opened."""
        if handover.phase not in (Phase.ATTACHED, Phase.COMPLETING):
            return
        handover.become(Phase.FOLLOWING)
        self.handovers.initiations.forget(handover.node)
        self._after(self.configuration.handover_wait, "handover", handover.node)
        self._look(handover)

    def _on_ran_empty(self, handover: Handover, dropped: int) -> None:
        session = self.sessions[handover.node]
        slot, interface, octets = session.slot, session.interface, session.link_layer
        if handover.phase is Phase.FOLLOWING:
            handover.become(Phase.SETTLING)
            self._do(EnsureFlowToNode(slot, False, interface, octets))
            self._do(WithdrawQueue(slot))
            self._look(handover)
        elif handover.phase is Phase.SETTLING:
            self._forget_handover(handover.node)
            self._deliver(session)
            self._report("handover-complete", node=handover.node, peer=handover.peer, dropped=dropped)
        elif handover.phase is Phase.RETURNING:
            self._give_up_waiting(session, handover)

    def _on_new_overdue(self, handover: Handover) -> None:
        self._report("handover-unfinished", node=handover.node, phase=handover.phase.value)
        session = self.sessions[handover.node]
        if handover.phase in (Phase.EXPECTING, Phase.RETURNING):
            self._give_up_waiting(session, handover)
        elif handover.phase in (Phase.ATTACHED, Phase.COMPLETING):
            self._follow(handover)
        else:
            self._on_new_failed(handover)

    def _on_new_failed(self, handover: Handover) -> None:
        """No queue, no fast handover: what is forwarded goes the way of everything."""
        session = self.sessions[handover.node]
        if session.presence is not SERVED:
            self._give_up_waiting(session, handover)
            return
        self._forget_handover(handover.node)
        self._do(WithdrawQueue(session.slot))
        self._deliver(session)

    def _return(self, handover: Handover, peer: Address) -> None:
        """It does not come: what waits goes back to where it is."""
        slot = self.sessions[handover.node].slot
        handover.become(Phase.RETURNING)
        for forwarded in (True, False):
            self._do(EnsureFlowToRouter(slot, forwarded, peer))
        self._look(handover)

    def _give_up_waiting(self, session: S, handover: Handover) -> None:
        """As it was before: unknown, or served elsewhere."""
        self._report("handover-over", node=session.node, phase=handover.phase.value)
        self._forget_handover(session.node)
        if session.presence is AWAY:
            self._do(WithdrawQueue(session.slot))
            self._stays_away(session)
        elif session.presence is DEPARTED and session.interface:
            # It was here, perhaps just now and only until its packets could be forwarded: somebody may be to be told.
            self._do(WithdrawQueue(session.slot))
            self._do(EnsureDelivery(session.slot, session.interface, session.link_layer))
            self._keep(session)
            self._detached(session)
        elif session.presence is not SERVED:
            self._remove(session)

    # --- what the other side provides ---------------------------------------------------------------------------------

    def _call_off(self, session: S, handover: Handover) -> None:
        raise NotImplementedError

    def _on_wish_to_complete(self, message: HandoverInitiate, source: Address, handover: Handover) -> None:
        raise NotImplementedError
