"""A mobile node and its home agent: registration, refresh, de-registration (RFC 6275 11.7)."""

from __future__ import annotations

from sojourn.core.effects import EnsureUplink
from sojourn.core.events import MessageReceived
from sojourn.core.mobile_effects import (
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureReverseTunnel,
    ProbeAddress,
    WithdrawReverseTunnel,
)
from sojourn.core.sequence import newer
from sojourn.engines.authentication import verified as authentic
from sojourn.engines.mip6_configuration import MAX_BINDACK_TIMEOUT
from sojourn.engines.mn_home import MnHome
from sojourn.engines.mn_state import AGAIN, FIRST, LEAVE, TAKEN, HomeEntry, Place
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingRefreshAdvice,
    BindingUpdate,
    Status,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6089 import FlowIdentification, FlowStatus
from sojourn.wire.units import MINUTE, SECOND, Duration, Instant

REFRESH_AFTER = (4, 5)
"""Of the granted lifetime."""
_PAUSE_MIN: Duration = 30 * SECOND
_PAUSE_MAX: Duration = 10 * MINUTE
_DOUBTS = 3
"""So many updates in a row that the home agent finds badly signed, and somebody has to change something.

Its answer is signed with our key, so that it has the key: more likely the update was damaged on its way, perhaps by
somebody who wants to silence this node. RFC 4285 5.3 says to stop at the first one, and for good.
"""
_ONE_ONLY = frozenset({Status.MCOA_PROHIBITED, Status.MCOA_BULK_REGISTRATION_PROHIBITED, Status.MCOA_MALFORMED})
"""After these one care-of address is registered (RFC 5648 5.8)."""
_LOW = 0xFFFFFFFF
_SILENT: Duration = 2 * SECOND
"""A home agent that lets us wait for so long is perhaps not there: new connections do without it."""
_REFUSED = int(Status.REASON_UNSPECIFIED)


class MnRegistration(MnHome):
    """The mobile node as the one that registers."""

    # --- places -------------------------------------------------------------------------------------------------------

    def _be_nowhere(self, entry: HomeEntry) -> None:
        """No link: what is registered stays so, and there is nobody to be asked."""
        if entry.place is not Place.NOWHERE:
            entry.place, entry.care_of, entry.arrived = Place.NOWHERE, None, False
            self._cancel_requests(entry)
            self._on_moved(entry)
            self._block(entry)

    def _be_away(self, entry: HomeEntry, care_of: Address) -> None:
        """RFC 6275 11.7.1: tell the home agent, and no packet leaves without the tunnel."""
        ways = self._ways(entry)
        abroad = [way for way in ways.values() if way != entry.address]
        if abroad and care_of not in abroad:
            care_of = abroad[0]
        same = entry.place is Place.AWAY and entry.care_of == care_of and list(entry.ways.items()) == list(ways.items())
        entry.ways = ways
        if same and entry.flows.sent == self._wanted_flows(entry):
            return
        if entry.place is not Place.AWAY:
            entry.shown = None
        entry.place, entry.care_of, entry.interface, entry.arrived = Place.AWAY, care_of, "", False
        self._timers.stop(("again", entry.address))
        self._register(entry)

    def _repair(self, entry: HomeEntry) -> None:
        """What must hold where the node is, once more: the kernel refused something of it. Nothing gets out between."""
        if entry.stopped:
            self._do(EnsureHomeBlock(entry.address))
        elif entry.place in (Place.AWAY, Place.NOWHERE):
            entry.shown = None
            if entry.bound(self._now) and entry.care_of is not None and entry.agent is not None:
                self._do(EnsureReverseTunnel(entry.address, entry.care_of, entry.agent))
                self._show_again(entry)
            else:
                self._do(EnsureHomeBlock(entry.address))  # should it fail again: the address is not there meanwhile
            if entry.registered is not None and entry.agent is not None:
                for network in entry.home.networks:
                    self._do(EnsureUplink(network, entry.agent))
        elif entry.place is Place.HOME and not entry.arrived:
            self._do(ProbeAddress(entry.interface, entry.address))
        else:
            self._do(EnsureHomeAddress(entry.address, entry.interface, preferred=True))
            self._do(WithdrawReverseTunnel(entry.address))

    def _on_home_timer(self, kind: str, entry: HomeEntry) -> None:
        if kind == "again" and entry.stopped == TAKEN:
            entry.stopped = ""
            self._reconsider()
        elif kind in ("refresh", "again"):
            self._register(entry)
        elif kind == "repair":
            self._repair(entry)
        elif kind == "expiry":
            entry.expires, entry.registered = 0, None
            if entry.place is Place.AWAY:
                self._report("binding-expired", home=entry.address)
                self._register(entry)
            elif entry.place is Place.NOWHERE:
                self._block(entry)  # an earlier life's tunnel may still be there

    # --- requests -----------------------------------------------------------------------------------------------------

    def _register(self, entry: HomeEntry) -> None:
        """Ask the home agent, which may have to be found. A tunnel that there is moves with the request (11.6.3)."""
        if entry.place is not Place.AWAY or entry.care_of is None:
            return
        if entry.valid_until <= self._now:
            self._stop(entry, "the home prefix is not valid any more")
            return
        if entry.agent is None:
            self._block(entry)
            self._discover(entry)
            return
        bound = entry.bound(self._now)
        self._cancel_requests(entry)
        if not bound:  # the update is to say everything anew
            self._unsteer(entry)
            entry.acknowledged = {}
            entry.flows.forget()
        entry.asked = self._lifetime(entry)
        update = self._home_update(entry, entry.asked)
        patience = 0 if bound else self.configuration.initial_bindack_timeout_first_reg
        self._requests.start(self._key(entry, AGAIN if bound else FIRST), update, self._now, patience=patience)
        if bound:
            if not entry.at_home_first:
                self._do(EnsureReverseTunnel(entry.address, entry.care_of, entry.agent))
            self._show(entry, True)
            self._steer(entry)
        elif entry.beside:
            self._wait_at_home(entry)
        else:
            self._block(entry)
        self._on_moved(entry)

    def _leave(self, entry: HomeEntry) -> None:
        """End the binding from abroad: the home agent goes out of service, or the address is not in use any more."""
        self._cancel_requests(entry)
        self._timers.stop_all((kind, entry.address) for kind in ("again", "refresh"))
        self._requests.start(self._key(entry, LEAVE), self._home_update(entry, 0), self._now)

    def _on_request_due(self, entry: HomeEntry, key: Key) -> None:
        """11.7.1: who does not answer for so long may be dead, and another one of the home link may not."""
        purpose = key[0]
        self._requests.due(key, self._now)
        outstanding = self._requests.get(key)
        if outstanding is None:
            return
        if outstanding.timeout >= _SILENT and purpose != LEAVE:
            self._show(entry, False)
        if outstanding.timeout < MAX_BINDACK_TIMEOUT:
            return
        if purpose == LEAVE and entry.local and entry.place is Place.RETURNING and entry.perhaps_bound(self._now):
            return  # while its anchor sends packets away, it is no address to be reached at
        if purpose == LEAVE:
            self._requests.cancel(key)
            self._left(entry, existed=False)
        elif entry.agents or entry.home.home_agent is None:
            self._requests.cancel(key)
            self._report("home-agent-silent", home=entry.address, agent=entry.agent)
            self._next_agent(entry)

    def _next_agent(self, entry: HomeEntry) -> None:
        """The next of those that were found; when there is none, look for some."""
        entry.expires, entry.registered = 0, None
        if entry.agents:
            entry.agent, entry.agents = entry.agents[0], entry.agents[1:]
        else:
            entry.agent = None if entry.dismissed else entry.home.home_agent
        entry.dismissed = False
        self._register(entry)

    # --- answers (RFC 6275 11.7.3) ------------------------------------------------------------------------------------

    def _on_home_acknowledgement(self, event: MessageReceived, answer: BindingAcknowledgement) -> bool:
        """Whether it is one of a home agent."""
        home = event.routed_to or event.destination
        entry = self.homes.get(home)
        if entry is None or event.source != entry.agent:
            return False
        purpose = next((kind for kind in (FIRST, AGAIN, LEAVE) if self._requests.get(self._key(entry, kind))), None)
        if purpose is None or not self._is_authentic(entry, event, answer):
            self._report("acknowledgement-discarded", source=event.source)
            return True
        key = self._key(entry, purpose)
        outstanding = self._requests.get(key)
        assert outstanding is not None
        sent = outstanding.sent if outstanding.sent >= 0 else self._now
        refused = answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
        if refused and not newer(outstanding.update.sequence, answer.sequence):
            self._requests.cancel(key)
            entry.sequence = answer.sequence
            self._repeat(entry, purpose)
        elif answer.status == Status.MIPV6_AUTH_FAIL and self._is_doubtful(entry, outstanding.update, answer):
            pass  # it is asked again as if nobody had answered
        elif refused or self._requests.answered(key, answer.sequence, self._now) is None:
            self._report("acknowledgement-discarded", source=event.source)  # late: no number is used twice
        elif answer.status == Status.MIPV6_ID_MISMATCH:
            self._adjust_clock(entry, answer)
            self._repeat(entry, purpose)
        elif purpose == LEAVE:
            entry.kept_until = 0
            self._left(entry, existed=answer.status < _REFUSED)
        elif answer.status < _REFUSED:
            self._on_registered(entry, answer, sent)
        else:
            self._on_refused(entry, answer)
        return True

    def _is_authentic(self, entry: HomeEntry, event: MessageReceived, answer: BindingAcknowledgement) -> bool:
        """RFC 4285 5.1.1, 6: signed for where the node is now, in answer to what it sent."""
        association = entry.home.association
        if association is None:
            return True
        care_of = entry.address if entry.place is Place.RETURNING or entry.care_of is None else entry.care_of
        if not authentic(answer, event.octets, association, care_of, entry.address):
            return False
        stamp = answer.first(MobilityMessageReplayProtection)
        if not association.replay_protection or answer.status == Status.MIPV6_MESG_ID_REQD:
            return True
        if answer.status == Status.MIPV6_ID_MISMATCH:
            return stamp is not None and any((stamp.timestamp ^ sent) & _LOW == 0 for sent in entry.stamps)
        return stamp is not None and stamp.timestamp in entry.stamps

    def _is_doubtful(self, entry: HomeEntry, update: BindingUpdate, answer: BindingAcknowledgement) -> bool:
        """Whether the update may have been damaged on its way: an answer that comes twice is one answer."""
        if answer.sequence == update.sequence and answer.sequence not in entry.doubted:
            entry.doubted = (*entry.doubted, answer.sequence)
            self._report("authentication-doubted", home=entry.address, agent=entry.agent)
            if len(entry.doubted) >= _DOUBTS:
                entry.doubted = ()
                return False
        return True

    def _adjust_clock(self, entry: HomeEntry, answer: BindingAcknowledgement) -> None:
        """RFC 4285 6: the home agent's seconds count. But what was refused as a copy left at the right time, as far as
        can be seen, and after a step back earlier updates would pass for later ones.
        """
        told = answer.first(MobilityMessageReplayProtection)
        association = entry.home.association
        if told is None or association is None:
            return
        now = self._epoch + self._now + entry.clock
        left = [stamp for stamp in entry.stamps if (stamp ^ told.timestamp) & _LOW == 0]
        for stamp in left:
            ahead = told.wall_clock - MobilityMessageReplayProtection(stamp).wall_clock
            if -SECOND <= ahead <= association.close_enough and told.wall_clock <= now:
                return
        entry.clock = told.wall_clock - self._epoch - self._now
        self._report("clock-adjusted", home=entry.address, seconds=entry.clock // SECOND)

    def _repeat(self, entry: HomeEntry, purpose: str) -> None:
        if purpose == LEAVE:
            self._requests.start(self._key(entry, LEAVE), self._home_update(entry, 0), self._now)
        else:
            self._register(entry)

    def _on_registered(self, entry: HomeEntry, answer: BindingAcknowledgement, sent: Instant) -> None:
        """11.7.3: the lifetime counts from when it was asked for."""
        if entry.home.router and not answer.flags & BindingAcknowledgementFlags.R:
            self._report("registration-refused", home=entry.address, status=answer.status, reason="no mobile routers")
            self._leave(entry)  # RFC 3963 5.3: it is not used as by a plain node
            return
        assert entry.agent is not None
        assert entry.care_of is not None
        granted = min(answer.lifetime, entry.asked)
        new = entry.registered != entry.care_of
        entry.expires, entry.registered, entry.pause = sent + granted, entry.care_of, 0
        entry.taken_at = entry.doubted = ()
        advice = answer.first(BindingRefreshAdvice)
        interval = min(granted, advice.interval) if advice is not None and advice.interval else granted
        self._timers.start(("refresh", entry.address), sent + interval * REFRESH_AFTER[0] // REFRESH_AFTER[1])
        self._timers.start(("expiry", entry.address), entry.expires)
        if new:
            self._do(EnsureReverseTunnel(entry.address, entry.care_of, entry.agent))
        self._show(entry, True)
        self._keep(entry)
        if new:
            for network in entry.home.networks:
                self._do(EnsureUplink(network, entry.agent))
            self._report("registered", home=entry.address, agent=entry.agent, care_of=entry.care_of)
        self._on_ways_answered(entry, answer)
        if answer.status == Status.ACCEPTED_BUT_PREFIX_DISCOVERY_NECESSARY:
            self._solicit_prefixes(entry)
        self._on_reachable(entry)

    def _on_ways_answered(self, entry: HomeEntry, answer: BindingAcknowledgement) -> None:
        """RFC 5648 5.7, RFC 6089 5.2.6: which care-of addresses and flow bindings the home agent took."""
        answers = {option.identifier: option.status for option in answer.all(BindingIdentifier)}
        if entry.ways and not answers:  # it does not know them, and made a plain binding
            entry.ways, entry.single = {}, True
        taken = {number: way for number, way in entry.ways.items() if answers.get(number, _REFUSED) < _REFUSED}
        for number, status in answers.items():
            if status >= _REFUSED:
                self._report("way-refused", home=entry.address, identifier=number, status=status)
        entry.acknowledged = taken
        wrong = entry.flows.answered(answer.all(FlowIdentification))
        for identifier, status in wrong.items():
            self._report("flow-refused", home=entry.address, identifier=identifier, status=status)
        self._steer(entry)
        if entry.at_home_first:
            self._do(WithdrawReverseTunnel(entry.address))
        elif entry.beside and entry.care_of is not None and entry.agent is not None:
            self._do(EnsureReverseTunnel(entry.address, entry.care_of, entry.agent))
        if entry.beside and entry.beside not in taken:
            entry.apart = True
            self._reconsider()
        if FlowStatus.FID_NOT_FOUND in wrong.values():
            self._register(entry)

    def _on_refused(self, entry: HomeEntry, answer: BindingAcknowledgement) -> None:
        """No tunnel without a binding, and no hurry to ask the same again."""
        entry.kept_until = 0
        self._report("registration-refused", home=entry.address, status=answer.status, agent=entry.agent)
        if answer.status == Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED and entry.beside:
            entry.apart = True
            self._reconsider()
        elif answer.status in _ONE_ONLY and entry.ways:
            entry.ways, entry.single = {}, True
            self._register(entry)
        elif answer.status == Status.DUPLICATE_ADDRESS_DETECTION_FAILED and not entry.local:
            self._on_taken(entry)
        elif entry.address == self.nearest:
            self._drop_local(entry)
        else:
            if answer.status == Status.MIPV6_AUTH_FAIL:
                entry.pause = _PAUSE_MAX
            self._give_up(entry)

    def _on_taken(self, entry: HomeEntry) -> None:
        """Who has it may be another home agent of the link, with a binding of an earlier life of this node: that one
        is asked. If all say so it is somebody else, and the address is not used any more (11.7.1).
        """
        if entry.agent is not None:
            entry.taken_at = (*entry.taken_at, entry.agent)
        entry.agents = tuple(agent for agent in entry.agents if agent not in entry.taken_at)
        entry.expires, entry.registered = 0, None
        if entry.agents:
            self._next_agent(entry)
        elif entry.local:
            self._stop(entry, TAKEN)
        else:
            entry.agent = None
            self._register(entry)

    def _give_up(self, entry: HomeEntry) -> None:
        """This home agent does not want: another one, or the same after a pause."""
        entry.expires, entry.registered = 0, None
        self._let_go(entry)
        self._block(entry)
        if entry.agents:
            self._next_agent(entry)
            return
        self._timers.stop_all((kind, entry.address) for kind in ("refresh", "expiry"))  # those of the binding that was
        entry.pause = min(max(2 * entry.pause, _PAUSE_MIN), _PAUSE_MAX)
        self._after(entry.pause, "again", entry.address)

    def _left(self, entry: HomeEntry, existed: bool) -> None:
        """The binding is gone, or as good as that (133: there was none)."""
        entry.expires, entry.registered = 0, None
        self._timers.stop_all((kind, entry.address) for kind in ("refresh", "expiry"))
        if entry.place is Place.RETURNING and entry.contested and not existed:
            self._be_taken(entry)
        elif entry.place is Place.RETURNING:
            self._arrive_home(entry)
        elif entry.local:
            self._drop_local(entry)
        elif entry.dismissed:
            self._next_agent(entry)
        else:
            self._give_up(entry)
