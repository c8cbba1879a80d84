"""What a home agent tells a mobile node: to look for another one (RFC 5142), or that its binding ends (RFC 5846).

Both are signed as Binding Acknowledgements are, if there is a key (see `ha_switch`).
"""

from __future__ import annotations

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.engines.authentication import signed
from sojourn.engines.authentication import verified as authentic
from sojourn.engines.mn_changeover import MnChangeover
from sojourn.engines.mn_state import HomeEntry, Place
from sojourn.wire import (
    BindingRefreshAdvice,
    BindingRevocationAcknowledgement,
    BindingRevocationFlags,
    BindingRevocationIndication,
    MobilityMessage,
    RevocationStatus,
    RevocationTrigger,
)
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from sojourn.wire.units import SECOND

_PROXY = int(BindingRevocationFlags.PROXY)
_GLOBAL = int(BindingRevocationFlags.GLOBAL)
_IPV4 = int(BindingRevocationFlags.IPV4_HOME_ADDRESS_ONLY)
_TRIGGERS = frozenset(int(trigger) for trigger in RevocationTrigger)
_FOR_GOOD = frozenset({RevocationTrigger.ADMINISTRATIVE_REASON, RevocationTrigger.USER_INITIATED_SESSION_TERMINATION})
"""After these somebody has to say that it may register again."""
_RETURN = 1 * SECOND
"""Who is told that the home agent lost track registers again when that had time to forget the rest."""


class MnOrders(MnChangeover):
    """The mobile node as the one that obeys."""

    def _ordered(self, event: MessageReceived, message: MobilityMessage) -> HomeEntry | None:
        """The home address that is meant, if the order comes from its home agent."""
        entry = self.homes.get(event.routed_to or b"")
        if entry is None or event.source != entry.agent or entry.care_of is None or not entry.bound(self._now):
            self._report("message-unexpected", source=event.source, type=type(message).__name__)
            return None
        if not self._is_order_authentic(entry, event, message):
            self._report("order-discarded", source=event.source)
            return None
        return entry

    def _is_order_authentic(self, entry: HomeEntry, event: MessageReceived, message: MobilityMessage) -> bool:
        """Signed as an acknowledgement is, now, and not before (see `ha_switch`)."""
        association, care_of = entry.home.association, event.destination
        if association is None:
            return True
        if not authentic(message, event.octets, association, care_of, entry.address):
            return False
        if not association.replay_protection:
            return True
        stamp = message.first(MobilityMessageReplayProtection)
        if stamp is None or stamp.timestamp <= entry.order_stamp:
            return False
        entry.order_stamp = stamp.timestamp
        return abs(stamp.wall_clock - self._epoch - self._now - entry.clock) <= association.close_enough

    # --- another home agent (RFC 5142 6) ----------------------------------------------------------------------------

    def _on_switch(self, event: MessageReceived, message: HomeAgentSwitch) -> None:
        """Leave this home agent, for one of those that it names."""
        entry = self._ordered(event, message)
        if entry is None:
            return
        entry.agents = tuple(agent for agent in message.addresses if agent != entry.agent)
        entry.dismissed = True
        self._report("switched", home=entry.address, agents=len(entry.agents))
        advice = message.first(BindingRefreshAdvice)
        if advice is not None and advice.interval and entry.agents and entry.place is Place.AWAY:
            self._change_over(entry, advice.interval)
        else:
            self._leave(entry)

    # --- the end of a binding (RFC 5846 10) ---------------------------------------------------------------------------

    def _on_revocation(self, event: MessageReceived, message: BindingRevocationIndication) -> None:
        entry = self._ordered(event, message)
        if entry is None:
            return
        status = _status(message)
        self._answer_revocation(entry, event, message, status)
        self._report("revoked", home=entry.address, trigger=message.trigger, status=int(status))
        if status is not RevocationStatus.SUCCESS:
            return
        named = {option.identifier for option in message.all(BindingIdentifier)}
        if named and not named >= entry.ways.keys():
            entry.withheld |= named
            entry.acknowledged = {number: way for number, way in entry.acknowledged.items() if number not in named}
            self._reconsider()
        else:
            self._revoke(entry, message.trigger)

    def _revoke(self, entry: HomeEntry, trigger: int) -> None:
        """The home agent has no binding any more. What is to be done about that follows from why."""
        self._cancel_requests(entry)
        self._timers.stop_all((kind, entry.address) for kind in ("refresh", "expiry", "again"))
        entry.expires, entry.registered = 0, None
        if entry.local:
            self._drop_local(entry)
        elif trigger in _FOR_GOOD:
            self._stop(entry, f"revoked, trigger {trigger}")
        elif trigger == RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE:
            self._block(entry)
            self._after(_RETURN, "again", entry.address)
        else:
            self._give_up(entry)

    def _answer_revocation(
        self,
        entry: HomeEntry,
        event: MessageReceived,
        message: BindingRevocationIndication,
        status: RevocationStatus,
    ) -> None:
        """6.1.2: the flags are those of the indication."""
        answer = BindingRevocationAcknowledgement(int(status), message.sequence, message.flags)
        if entry.home.association is not None:
            signed(answer, entry.home.association, event.destination, entry.address)
        self._do(SendMessage(answer, event.destination, event.source, entry.address))


def _status(message: BindingRevocationIndication) -> RevocationStatus:
    """6.2.1, 10."""
    if message.trigger not in _TRIGGERS:
        return RevocationStatus.REVOCATION_TRIGGER_NOT_SUPPORTED
    if message.flags & _PROXY:
        return RevocationStatus.PROXY_BINDING_REVOCATION_NOT_SUPPORTED
    if message.flags & _GLOBAL or message.trigger >= RevocationTrigger.PER_PEER_POLICY:
        return RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED
    if message.flags & _IPV4:
        named = message.first(Ipv4HomeAddressRequest) is not None
        status = RevocationStatus.IPV4_HOME_ADDRESS_OPTION_REQUIRED
        return RevocationStatus.BINDING_DOES_NOT_EXIST if named else status
    return RevocationStatus.SUCCESS
