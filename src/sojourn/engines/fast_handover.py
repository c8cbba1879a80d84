"""Fast and lossless handover between neighbouring routers (RFC 5949), for MAGs and MAARs alike.

Both sides are here in common; what the previous router does is in `handover_previous`, the new one in `handover_new`.

**Order.** Until the anchors know better, packets come to the new router by two ways: forwarded by the previous router,
and, after the registration, straight from the anchors. The straight way is shorter, so what comes by it waits until the
other one is empty. That it is empty is proved, not guessed:

1. The new router, once its registration was accepted, asks the previous one to complete: the anchor sends to it now.
2. The previous router asks each anchor for an echo. An answer has the source and the destination of the anchor's
   tunnelled packets, so it takes their way, behind all that the anchor had sent there.
3. Then it sends the end marker, Handover Initiate with code 2 (RFC 5949 6.1.1), which has the source and destination of
   the packets that it tunnelled to the new router, so it comes behind them.
4. The new router lets its queue of forwarded packets run empty, and then opens the other one.

This holds where the network keeps the order between two addresses. If no marker comes, the packets that wait are let go
after `handover_patience`: late is better than never. With a CMD in proxy or locator mode, an anchor that is neither of
the two routers may hear of the move after the new router's registration was accepted; its packets may be overtaken.

**Uplink.** RFC 5949 4.2: the new router "SHOULD reverse-tunnel" what the node sends to the previous one. It is sent
to the anchor at once instead: by way of the previous router it would be overtaken by what is sent straight a moment
later, and an LMA need not be registered with to take packets out of the tunnels of its MAGs (ARCHITECTURE.md). One that
insists drops them until its answer is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sojourn.core.effects import CountQueue, EnsureFlowToNode, EnsureFlowToRouter, EnsureQueue, SendMessage
from sojourn.core.engine import Row
from sojourn.core.events import EffectFailed, HandoverExpected, PathProbed, QueueCounted
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_state import S
from sojourn.engines.base import TimerName
from sojourn.engines.configuration import Neighbour, Peer
from sojourn.engines.gateway_registration import GatewayRegistration
from sojourn.engines.handover import Handover, Handovers, Initiations, Phase
from sojourn.engines.handover_messages import COMPLETION, Subject, answer, completing, subject
from sojourn.wire import MobilityOption
from sojourn.wire.addresses import Address, LinkLayer, address, link_layer, link_layer_text, text
from sojourn.wire.extensions.rfc5568 import (
    HandoverAcknowledge,
    HandoverAcknowledgeCode,
    HandoverAcknowledgeFlags,
    HandoverInitiate,
    HandoverInitiateFlags,
)
from sojourn.wire.units import MILLISECOND

_LOOK_AFTER = 2 * MILLISECOND
_LOOKS = 150
"""After so many looks at a queue that does not run empty it is given up to keep the order."""
_REFUSING = HandoverAcknowledgeCode.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED


class FastHandover(GatewayRegistration[S]):
    """What both sides share: messages, timers, queues."""

    handovers = Handovers()
    """None without fast handovers."""

    def _open_handovers(self, neighbours: Iterable[Peer | Neighbour]) -> None:
        """Those that the configuration asks for, with these routers."""
        if self.configuration.handovers:
            source, timers = self.configuration.address, self._timers
            self.handovers = Handovers(neighbours, Initiations(source, self._do, timers.start, timers.stop))

    # --- what happens -----------------------------------------------------------------------------------------------

    def _on_handover_event(self, event: HandoverExpected | QueueCounted | PathProbed) -> None:
        match event:
            case HandoverExpected(octets, target) if self.configuration.handovers:
                self._on_handover_expected(octets, target)
            case HandoverExpected():
                pass  # what is told is of no use here
            case QueueCounted():
                self._on_queue_counted(event)
            case PathProbed(remote):
                self._on_path_probed(remote)

    def _on_handover_command(self, arguments: Mapping[str, str]) -> None:
        """``handover``: the ``node`` (link-layer address) leaves for a router (address) or access point (BSSID)."""
        try:
            octets, words = link_layer(arguments.get("node", "")), arguments.get("to", "")
            target = link_layer(words) if words.count(":") == 5 and "::" not in words else address(words)
        except ValueError:
            self._report("command-refused", verb="handover")
            return
        self._on_handover_expected(octets, target)

    def _on_handover_message(self, message: HandoverInitiate | HandoverAcknowledge, source: Address) -> None:
        """RFC 5949 7: "MUST be protected"; that is IPsec's business. Strangers get no answer, neighbours do."""
        if source not in self.handovers.neighbours or not self.configuration.handovers:
            self._report("handover-refused", source=source, reason="not of a neighbour")
            return
        self.heard[source] = self._now
        about = subject(message, source)
        if isinstance(message, HandoverAcknowledge):
            if message.flags & HandoverAcknowledgeFlags.P:
                self._on_handover_answered(message, source, about)
            return
        if not message.flags & HandoverInitiateFlags.P:  # hosts that do handovers themselves (RFC 5568)
            self._report("handover-refused", source=source, reason="no P flag")
        elif not about.identity:
            self._refuse(message, source, _REFUSING, "no identifier")
        elif message.code == COMPLETION:
            self._on_completion(message, source, self.handovers.get(self._node_about(about)))
        elif about.prefixes:
            self._on_context(message, source, about)
        else:
            self._on_asked_for(message, source, about)

    def _on_handover_answered(self, message: HandoverAcknowledge, source: Address, about: Subject) -> None:
        node = self._node_about(about)
        purpose = self.handovers.initiations.answered((node, source), message.sequence)
        handover = self.handovers.get(node)
        accepted = message.code < _REFUSING
        if purpose == "call off":
            return
        if handover is None or purpose is None:
            self._report("handover-unexpected", source=source, code=message.code)
            return
        match purpose:
            case "expect":
                self._on_expectation_answered(handover, message, accepted)
            case "ask":
                self._on_asking_answered(handover, source, about, accepted)
            case "fetch" if accepted:
                self._on_fetched(handover)
            case "fetch":
                self._follow(handover)
            case "complete" if not accepted:
                self._follow(handover)  # there is nothing to wait for
            case "complete":
                pass  # the end marker follows
            case "mark":
                self._handed_over(handover)

    def _node_about(self, about: Subject) -> bytes:
        """By the link-layer address, if it is told, else by the identifier; empty when it is not known here."""
        if about.link_layer:
            return identifier(about.link_layer)
        session = self._session_about(about)
        return b"" if session is None else session.node

    def _session_about(self, about: Subject) -> S | None:
        if about.link_layer:
            return self.sessions.get(identifier(about.link_layer))
        return next((one for one in self.sessions.values() if self._identifier_of(one) == about.identity), None)

    def _on_handover_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind == "initiation":
            purpose = self.handovers.initiations.due(key, self._now)
            handover = self.handovers.get(key[0])
            if purpose is not None and handover is not None:
                self._report("handover-unanswered", node=key[0], peer=key[1], purpose=purpose)
                self._on_unanswered(handover, key[1], purpose)
            return
        handover = self.handovers.get(key)
        if handover is None:
            return
        if kind == "handover-look":
            self._do(CountQueue(self.sessions[key].slot))
        elif handover.previous:
            self._on_previous_overdue(handover)
        else:
            self._on_new_overdue(handover)

    def _on_unanswered(self, handover: Handover, peer: Address, purpose: str) -> None:
        """Four times and no answer."""
        match purpose:
            case "expect":
                self._on_expectation_refused(handover)
            case "ask":
                self._on_nothing_known(handover, peer)
            case "complete" | "fetch":
                self._follow(handover)
            case "mark":
                self._handed_over(handover)
            case _:
                pass

    # --- queues -----------------------------------------------------------------------------------------------------

    def _look(self, handover: Handover) -> None:
        """See how much waits, now, and again until nothing does."""
        self._do(CountQueue(self.sessions[handover.node].slot))

    def _on_queue_counted(self, event: QueueCounted) -> None:
        handover = self.handovers.get(self._by_slot.get(event.slot, b""))
        if handover is None:
            return
        handover.looks += 1
        waits = event.forwarded if handover.phase is Phase.FOLLOWING else event.waiting
        if handover.phase is Phase.RETURNING:
            waits = event.waiting + event.forwarded
        if waits and handover.looks < _LOOKS:
            self._after(_LOOK_AFTER, "handover-look", handover.node)
            return
        if waits:
            self._report("handover-hurried", node=handover.node, waiting=waits)
        if handover.previous:
            self._on_sent_on(handover)
        else:
            self._on_ran_empty(handover, event.dropped)

    def _deliver(self, session: S) -> None:
        """Packets to the node go to it, as far as its handover is."""
        handover = self.handovers.get(session.node)
        if handover is None or handover.phase is Phase.ASKED:
            super()._deliver(session)
            return
        slot, interface, octets = session.slot, session.interface, session.link_layer
        match handover.phase:
            case Phase.EXPECTING:
                self._do(EnsureQueue(slot, False))
                self._do(EnsureQueue(slot, True))
            case Phase.ATTACHED | Phase.COMPLETING | Phase.FOLLOWING:
                self._do(EnsureQueue(slot, False))
                self._do(EnsureFlowToNode(slot, True, interface, octets))
            case Phase.SETTLING:
                self._do(EnsureFlowToNode(slot, False, interface, octets))
            case Phase.RETURNING:
                pass
            case _:
                self._send_on(session, handover)

    # --- beginning and end --------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        """Whether one more handover may begin."""
        return len(self.handovers) < self.configuration.handovers

    def _forget_handover(self, node: bytes) -> None:
        """There is none, whatever comes of it."""
        if self.handovers.pop(node, None) is not None:
            self.handovers.initiations.forget(node)
            self._timers.stop_all((kind, node) for kind in ("handover", "handover-look"))

    def _remove(self, session: S) -> None:
        self._forget_handover(session.node)
        super()._remove(session)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        """Where there can be no queue, the handover is an ordinary one."""
        effect = event.effect
        if isinstance(effect, EnsureQueue | EnsureFlowToNode | EnsureFlowToRouter):
            node = self._by_slot.get(effect.slot, b"")
            handover = self.handovers.get(node)
            if handover is not None and handover.previous:
                self._on_previous_failed(handover)
            elif handover is not None:
                self._on_new_failed(handover)
            if node in self.sessions:
                self._mend(node)
        super()._on_effect_failed(event)

    # --- messages ---------------------------------------------------------------------------------------------------

    def _answer(
        self,
        request: HandoverInitiate,
        peer: Address,
        code: HandoverAcknowledgeCode,
        context: tuple[MobilityOption, ...] = (),
    ) -> None:
        self._do(SendMessage(answer(request, code, context), self.configuration.address, peer))

    def _refuse(self, request: HandoverInitiate, peer: Address, code: HandoverAcknowledgeCode, reason: str) -> None:
        self._report("handover-refused", source=peer, reason=reason, code=int(code))
        self._answer(request, peer, code)

    def _completion(self, session: S) -> HandoverInitiate:
        """Nothing more is forwarded."""
        sequence, identity = self.handovers.initiations.next_sequence(), self._identifier_of(session)
        return completing(sequence, identity, session.link_layer)

    def _initiate(self, handover: Handover, peer: Address, purpose: str, message: HandoverInitiate) -> None:
        self.handovers.initiations.start((handover.node, peer), purpose, message, self._now)

    # --- for people -------------------------------------------------------------------------------------------------

    def _handover_rows(self) -> list[Row]:
        """The table ``handovers``."""
        return [
            {
                "link_layer": link_layer_text(self.sessions[handover.node].link_layer),
                "side": "previous" if handover.previous else "new",
                "phase": handover.phase.value,
                "peer": None if handover.peer is None else text(handover.peer),
            }
            for handover in self.handovers.values()
        ]

    def _stays_away(self, session: S) -> None:
        """It is served elsewhere, as before."""

    # --- what the sides and the role provide ------------------------------------------------------------------------

    def _context(self, session: S) -> tuple[MobilityOption, ...]:
        """What the new router is told of the node."""
        raise NotImplementedError

    def _anchors_of(self, session: S, new: Address) -> set[Address]:
        """Who sends to us what is for the node, and is neither of the two routers."""
        raise NotImplementedError

    def _over_here(self, session: S, peer: Address) -> None:
        """Previous router: the node is another router's now."""
        raise NotImplementedError

    def _open_for(self, about: Subject) -> S | None:
        """New router: a session for a node that is not here yet; None when there is to be none."""
        raise NotImplementedError

    def _on_handover_expected(self, octets: LinkLayer, target: bytes) -> None:
        raise NotImplementedError

    def _on_path_probed(self, remote: Address) -> None:
        raise NotImplementedError

    def _on_completion(self, message: HandoverInitiate, source: Address, handover: Handover | None) -> None:
        raise NotImplementedError

    def _on_context(self, message: HandoverInitiate, source: Address, about: Subject) -> None:
        raise NotImplementedError

    def _on_asked_for(self, message: HandoverInitiate, source: Address, about: Subject) -> None:
        raise NotImplementedError

    def _on_expectation_answered(self, handover: Handover, message: HandoverAcknowledge, accepted: bool) -> None:
        raise NotImplementedError

    def _on_expectation_refused(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_asking_answered(self, handover: Handover, source: Address, about: Subject, accepted: bool) -> None:
        raise NotImplementedError

    def _on_fetched(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_nothing_known(self, handover: Handover, peer: Address) -> None:
        raise NotImplementedError

    def _on_previous_overdue(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_new_overdue(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_previous_failed(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_new_failed(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_sent_on(self, handover: Handover) -> None:
        raise NotImplementedError

    def _on_ran_empty(self, handover: Handover, dropped: int) -> None:
        raise NotImplementedError

    def _send_on(self, session: S, handover: Handover) -> None:
        raise NotImplementedError

    def _handed_over(self, handover: Handover) -> None:
        raise NotImplementedError

    def _follow(self, handover: Handover) -> None:
        raise NotImplementedError
