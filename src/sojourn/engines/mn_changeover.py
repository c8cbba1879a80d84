"""A mobile node changes its home agent without a gap (RFC 5142 6.1).

A home agent that sends its nodes elsewhere may leave them time, by a Binding Refresh Advice: until then the node goes
on with it, and registers with the next one, the *successor*, meanwhile. When that has acknowledged, packets go by its
tunnel (what is on its way in the old one is taken all the same), and only then is the old binding deleted.

Whatever comes between (a move, a refusal, silence for the time that was given) ends the attempt; the old home agent
tells the node again, without the advice, and the node does as RFC 5142 has it without one: it leaves, then it
registers. Where it may have a binding besides, it de-registers as soon as it is anywhere.
"""

from __future__ import annotations

from sojourn.core.events import MessageReceived
from sojourn.engines.mip6_configuration import MAX_BINDACK_TIMEOUT
from sojourn.engines.mn_registration import MnRegistration
from sojourn.engines.mn_state import FIRST, LEAVE, HomeEntry, Place
from sojourn.engines.retransmission import Key
from sojourn.wire import BindingAcknowledgement, Status
from sojourn.wire.addresses import Address
from sojourn.wire.units import Duration


class MnChangeover(MnRegistration):
    """The mobile node between two home agents."""

    def _change_over(self, entry: HomeEntry, within: Duration) -> None:
        """To the first of `entry.agents`; the binding of now serves until then, for so long at most."""
        self._cancel_requests(entry)
        self._timers.stop_all((kind, entry.address) for kind in ("again", "refresh"))
        entry.successor = entry.agents[0]
        self._abstain(entry, entry.successor)
        entry.flows.forget()  # the successor is told everything
        self._after(within, "changeover", entry.address)
        self._ask_successor(entry)

    def _ask_successor(self, entry: HomeEntry) -> None:
        entry.asked = self._lifetime(entry)
        update, patience = self._home_update(entry, entry.asked), self.configuration.initial_bindack_timeout_first_reg
        self._requests.start(self._key(entry, FIRST, entry.successor), update, self._now, patience=patience)

    def _on_home_acknowledgement(self, event: MessageReceived, answer: BindingAcknowledgement) -> bool:
        entry = self.homes.get(event.routed_to or event.destination)
        if entry is None or event.source == entry.agent:
            return super()._on_home_acknowledgement(event, answer)
        purpose = FIRST if event.source == entry.successor else LEAVE
        key = self._key(entry, purpose, event.source)
        outstanding = self._requests.get(key)
        if outstanding is None:
            return False
        sent = outstanding.sent if outstanding.sent >= 0 else self._now
        if not self._is_authentic(entry, event, answer) or not self._requests.answered(key, answer.sequence, self._now):
            self._report("acknowledgement-discarded", source=event.source)
        elif answer.status == Status.MIPV6_ID_MISMATCH:
            self._adjust_clock(entry, answer)
            if purpose == LEAVE:
                self._depart(entry)
            else:
                self._ask_successor(entry)
        elif purpose == LEAVE:
            entry.left = tuple(agent for agent in entry.left if agent != event.source)
        elif answer.status < Status.REASON_UNSPECIFIED:
            self._succeed(entry, event.source)
            self._on_registered(entry, answer, sent)
            self._depart(entry)
        else:
            self._report("registration-refused", home=entry.address, status=answer.status, agent=event.source)
            entry.successor = None
            self._leave(entry)
        return True

    def _succeed(self, entry: HomeEntry, agent: Address) -> None:
        """It has a binding: everything goes by it from now on."""
        self._timers.stop(("changeover", entry.address))
        assert entry.agent is not None
        entry.left = (*entry.left, entry.agent)
        entry.agent, entry.successor, entry.agents = agent, None, entry.agents[1:]
        entry.registered, entry.dismissed = None, False

    def _depart(self, entry: HomeEntry) -> None:
        """De-register with home agents that may have a binding besides, from where the node is now."""
        for agent in entry.left:
            key = self._key(entry, LEAVE, agent)
            if self._requests.get(key) is None:
                self._requests.start(key, self._home_update(entry, 0), self._now)

    def _abstain(self, entry: HomeEntry, agent: Address | None) -> None:
        """Do not de-register with this one: it is asked for a binding."""
        if agent in entry.left:
            entry.left = tuple(known for known in entry.left if known != agent)
            self._requests.cancel(self._key(entry, LEAVE, agent))

    def _on_request_due(self, entry: HomeEntry, key: Key) -> None:
        if key[2] == (entry.agent or b""):
            super()._on_request_due(entry, key)
            return
        self._requests.due(key, self._now)
        outstanding = self._requests.get(key)
        if outstanding is not None and outstanding.timeout >= MAX_BINDACK_TIMEOUT and key[0] == LEAVE:
            self._requests.cancel(key)  # its binding ends by itself
            entry.left = tuple(agent for agent in entry.left if agent != key[2])

    # --- what comes between -----------------------------------------------------------------------------------------

    def _cancel_requests(self, entry: HomeEntry) -> None:
        super()._cancel_requests(entry)
        if entry.successor is not None:
            self._requests.cancel(self._key(entry, FIRST, entry.successor))
            self._timers.stop(("changeover", entry.address))
            entry.left, entry.successor = (*entry.left, entry.successor), None

    def _be_nowhere(self, entry: HomeEntry) -> None:
        super()._be_nowhere(entry)
        for agent in entry.left:
            self._requests.cancel(self._key(entry, LEAVE, agent))

    def _register(self, entry: HomeEntry) -> None:
        self._abstain(entry, entry.agent)
        super()._register(entry)
        if entry.place is Place.AWAY and entry.care_of is not None:
            self._depart(entry)

    def _return(self, entry: HomeEntry) -> None:
        super()._return(entry)
        self._abstain(entry, entry.agent)
        for agent in entry.left:  # what was said from abroad
            self._requests.cancel(self._key(entry, LEAVE, agent))
        self._depart(entry)

    def _on_home_timer(self, kind: str, entry: HomeEntry) -> None:
        if kind == "changeover" and entry.successor is not None:
            self._report("home-agent-silent", home=entry.address, agent=entry.successor)
            entry.agents = (*entry.agents[1:], entry.successor)
            self._leave(entry)
        else:
            super()._on_home_timer(kind, entry)
