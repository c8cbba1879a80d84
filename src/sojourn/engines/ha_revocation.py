"""A home agent takes a binding back (RFC 5846 7), or some of a node's care-of addresses (RFC 5648).

The command ``revoke`` begins it. While it is under way the node cannot register, or not with those care-of addresses;
when it answered, or was silent for long enough, nothing is left of the binding. Whether it may come back is said by the
configuration. Messages are protected as a Home Agent Switch is (see `ha_switch`). A mobile node de-registers:
whoever sends an indication to a home agent is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.core.sequence import following
from sojourn.engines.authentication import verified
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.ha_registration import HaRegistration
from sojourn.engines.mip6_configuration import (
    BRI_MAX_RETRIES_NUMBER,
    INIT_MIN_DELAY_BRIS,
    MAX_BRACK_TIMEOUT,
)
from sojourn.wire import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    RevocationStatus,
    RevocationTrigger,
)
from sojourn.wire.addresses import Address, address
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import Duration

_PER_NODE = frozenset(trigger for trigger in RevocationTrigger if trigger < RevocationTrigger.PER_PEER_POLICY)


@dataclass(slots=True)
class Revocation:
    """One that is not answered yet."""

    sequence: int
    trigger: RevocationTrigger
    identifiers: tuple[int, ...]
    """BIDs; none: the whole binding."""
    retries: int = BRI_MAX_RETRIES_NUMBER
    timeout: Duration = INIT_MIN_DELAY_BRIS


class HaRevocation(HaRegistration):
    """The home agent as the one that takes bindings back."""

    def _on_revoke(self, arguments: dict[str, str]) -> None:
        """``node``: a home address. ``trigger``: a number of RFC 5846 5.1, 1 if missing. ``identifiers``: BIDs with
        commas, none: all of the binding."""
        try:
            home = address(arguments["node"])
            trigger = RevocationTrigger(int(arguments.get("trigger", "1")))
            identifiers = tuple(int(word) for word in arguments.get("identifiers", "").split(",") if word.strip())
        except (KeyError, ValueError) as error:
            self._report("command-malformed", verb="revoke", reason=str(error))
            return
        entry = self._active(home)
        if entry is None or trigger not in _PER_NODE or not set(identifiers) <= entry.ways.keys():
            self._report("command-malformed", verb="revoke", reason="no such binding, or no such trigger")
            return
        self._take_back(entry, trigger, () if set(identifiers) == entry.ways.keys() else identifiers)

    def _take_back(
        self, entry: BindingCacheEntry, trigger: RevocationTrigger, identifiers: tuple[int, ...] = ()
    ) -> None:
        self._revocations = following(self._revocations)
        self._revoking[entry.home] = Revocation(self._revocations, trigger, identifiers)
        self._report("revocation-begun", home=entry.home, trigger=int(trigger))
        self._send_revocation(entry)

    def _send_revocation(self, entry: BindingCacheEntry) -> None:
        known = self._revoking[entry.home]
        self._after(known.timeout, "revocation", entry.home)
        options = tuple(BindingIdentifier(identifier) for identifier in known.identifiers)
        self._order(entry, BindingRevocationIndication(int(known.trigger), known.sequence, 0, options))

    def _on_revocation_due(self, entry: BindingCacheEntry) -> None:
        """6.3: once more, or the end of it all the same."""
        known = self._revoking.get(entry.home)
        if known is None:
            return
        if known.retries:
            known.retries -= 1
            known.timeout = min(2 * known.timeout, MAX_BRACK_TIMEOUT)
            self._send_revocation(entry)
        else:
            self._report("revocation-unanswered", home=entry.home)
            self._revoke(entry, known)

    def _on_revocation_answer(self, event: MessageReceived, answer: BindingRevocationAcknowledgement) -> None:
        """6.2.2. Whatever its status: it is for the home agent to say whether there is a binding."""
        home = event.home_address or b""
        entry, known = self._active(home), self._revoking.get(home)
        if entry is None or known is None or answer.sequence != known.sequence or not self._is_from(entry, event):
            self._report("message-unexpected", source=event.source, type=type(answer).__name__)
            return
        self._report("revoked", home=home, status=answer.status)
        self._revoke(entry, known)

    def _is_from(self, entry: BindingCacheEntry, event: MessageReceived) -> bool:
        """From one of its care-of addresses, and signed if it has a key."""
        association = entry.node.association
        if event.source not in {entry.care_of, *(way.care_of for way in entry.ways.values())}:
            return False
        return association is None or verified(event.message, event.octets, association, event.source, entry.home)

    def _revoke(self, entry: BindingCacheEntry, known: Revocation) -> None:
        left = {number: way for number, way in entry.ways.items() if number not in known.identifiers}
        if known.identifiers and any(way.care_of != entry.home for way in left.values()):
            self._timers.stop(("revocation", entry.home))
            del self._revoking[entry.home]
            self._lessen(entry, left)
        else:
            self._remove(entry)

    def _on_foreign_revocation(self, event: MessageReceived, message: BindingRevocationIndication) -> None:
        """From a node that has a binding it is refused; what others say is discarded."""
        self._report("revocation-refused", source=event.source, home=event.home_address)
        entry = self._active(event.home_address or b"")
        if entry is None or entry.state is not BindingState.ACTIVE or not self._is_from(entry, event):
            return
        status = int(RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED)
        answer = BindingRevocationAcknowledgement(status, message.sequence, message.flags)
        self._do(SendMessage(answer, self._address, event.source, routed_to=entry.home))

    def _forbidden(self, home: Address) -> tuple[int, ...] | None:
        """BIDs that are being taken back, none: all; None: nothing is."""
        known = self._revoking.get(home)
        return None if known is None else known.identifiers
