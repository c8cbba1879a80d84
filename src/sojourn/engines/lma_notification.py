"""An LMA tells its MAGs that something changed (RFC 7077 5): Update Notifications and their acknowledgements.

Other extensions ask for a notification and hear what came of it (`LmaNotification.notify`). The command ``notify`` has
reasons of the RFC itself: to a ``node``, or about all of its sessions to a ``gateway`` (group 1, RFC 6602).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from sojourn.engines.extension import LmaExtension
from sojourn.engines.extension_settings import NotificationSettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import ALL_ZERO
from sojourn.engines.naming import node_in_words
from sojourn.engines.questions import Questions
from sojourn.engines.registration import identifier_option
from sojourn.wire import MobileNodeLinkLayerIdentifier, MobilityMessage, MobilityOption, VendorSpecific
from sojourn.wire.addresses import Address, text
from sojourn.wire.extensions.rfc6602 import MobileNodeGroupIdentifier
from sojourn.wire.extensions.rfc7077 import (
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationFlags,
    UpdateNotificationReason,
)

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_ACKNOWLEDGE = int(UpdateNotificationFlags.ACKNOWLEDGEMENT_REQUESTED)
_RETRANSMITTED = int(UpdateNotificationFlags.RETRANSMIT)
_FAILED = 128
_REMEMBERED = 64
"""Notifications without an acknowledgement that may yet be acknowledged."""
_REASONS = {
    "register": UpdateNotificationReason.FORCE_REREGISTRATION,
    "access-network": UpdateNotificationReason.ANI_PARAMS_REQUESTED,
    "vendor": UpdateNotificationReason.VENDOR_SPECIFIC_REASON,
}
"""Those that the command knows."""
Listener: TypeAlias = Callable[[UpdateNotificationAcknowledgement | None], None]
"""What is to be done when it was answered, or (None) when nobody answers."""


class LmaNotification(LmaExtension):
    """The LMA's part."""

    name: ClassVar[str] = "notification"
    messages: ClassVar[frozenset[type[MobilityMessage]]] = frozenset({UpdateNotificationAcknowledgement})
    verbs: ClassVar[frozenset[str]] = frozenset({"notify"})

    def __init__(self, lma: LmaRegistration, settings: NotificationSettings) -> None:
        super().__init__(lma)
        self._settings = settings
        self._unable: set[Address] = set()
        """MAGs that do not know Update Notifications."""
        self._unasked: deque[tuple[Address, int]] = deque(maxlen=_REMEMBERED)

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Nothing is outstanding."""
        delay = self._settings.min_delay_between_update_notification_replay
        count = self._settings.max_update_notification_retransmit_count
        self._questions: Questions[UpdateNotification, Listener] = Questions(
            self, count, delay, delay, lambda message: replace(message, flags=message.flags | _RETRANSMITTED)
        )

    # --- sending (5, 5.1) ---------------------------------------------------------------------------------------------

    def notify(
        self,
        entry: BindingCacheEntry,
        reason: UpdateNotificationReason,
        options: Iterable[MobilityOption] = (),
        listener: Listener | None = None,
    ) -> bool:
        """Tell the MAG of a session. With a `listener` an acknowledgement is asked for. False: it cannot be told."""
        about: list[MobilityOption] = [identifier_option(entry.node)]
        if entry.link_layer != ALL_ZERO:
            about.append(MobileNodeLinkLayerIdentifier(entry.link_layer))  # which of the node's sessions
        return self._tell(self._role._mag_of(entry), reason, (*about, *options), listener)

    def _tell(
        self,
        gateway: Address,
        reason: UpdateNotificationReason,
        options: tuple[MobilityOption, ...],
        listener: Listener | None,
    ) -> bool:
        if gateway in self._unable:
            return False
        flags = 0 if listener is None else _ACKNOWLEDGE

        def make(sequence: int) -> UpdateNotification:
            if listener is None:
                self._unasked.append((gateway, sequence))
            return UpdateNotification(sequence, int(reason), flags, options)

        return self._questions.ask(make, gateway, listener or _nobody, repeat=listener is not None)

    def on_timer(self, key: Any) -> None:
        """5.2: once more with the D flag, or given up."""
        question = self._questions.due(key)
        if question is not None:
            self._report("notification-unanswered", gateway=self._role._name(question.peer))
            question.subject(None)

    # --- answers (5.2) ------------------------------------------------------------------------------------------------

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """From whom it was sent to; any other is discarded."""
        assert isinstance(message, UpdateNotificationAcknowledgement)
        question = self._questions.answered(message.sequence, source)
        if question is None and (source, message.sequence) not in self._unasked:
            self._report("notification-unexpected", source=source, sequence=message.sequence)
            return
        if message.status >= _FAILED:
            self._report("notification-failed", gateway=self._role._name(source), status=message.status)
        if question is not None:
            question.subject(message)

    def on_unrecognized(self, peer: Address) -> None:
        """5.2: "MUST NOT send any further Update Notification messages" to it."""
        asked = [question for question in self._questions if question.peer == peer]
        if asked or any(gateway == peer for gateway, _ in self._unasked):
            self._unable.add(peer)
        for question in asked:
            self._questions.forget(question)
            question.subject(None)

    # --- on command ---------------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``notify`` with ``reason`` (see `_REASONS`), and ``node`` or ``gateway``.

        With the reason ``vendor`` there are ``vendor`` and ``subtype``, numbers, and ``data`` in hexadecimal.
        """
        reason = _REASONS.get(arguments.get("reason", ""))
        allowed = {"reason", "node", "gateway", "vendor", "subtype", "data"}
        if reason is None or not allowed >= arguments.keys() or len({"node", "gateway"} & arguments.keys()) != 1:
            return False
        try:
            options = _vendor(arguments) if reason is UpdateNotificationReason.VENDOR_SPECIFIC_REASON else ()
        except ValueError:
            return False
        listener = _nobody if options else None  # 5.1: it is recommended that the others are not acknowledged
        if "gateway" in arguments:
            named = arguments["gateway"]
            about = (MobileNodeGroupIdentifier(1, 1), *options)
            found = [one for one in self._role._gateways.values() if named in (one.name, text(one.address))]
            told = [self._tell(gateway.address, reason, about, listener) for gateway in found]
            return any(told)
        entries = self._role.cache.of(node_in_words(arguments["node"]))
        told = [self.notify(entry, reason, options, listener) for entry in entries]
        return any(told)


def _vendor(arguments: dict[str, str]) -> tuple[MobilityOption, ...]:
    """Raises ValueError."""
    vendor, subtype = int(arguments.get("vendor", "")), int(arguments.get("subtype", "0"))
    data = bytes.fromhex(arguments.get("data", ""))
    if not 0 <= vendor < 1 << 32 or not 0 <= subtype < 256 or len(data) > 200:
        raise ValueError("not a vendor-specific option")
    return (VendorSpecific(vendor, subtype, data),)


def _nobody(answer: UpdateNotificationAcknowledgement | None) -> None:
    """Who asked only wanted it to arrive."""
