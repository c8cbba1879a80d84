"""A MAG is told by its LMA that something changed (RFC 7077 6), and does what the reason of the notification says.

What other extensions can do with a notification they say themselves: they are asked for `Notified`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from sojourn.engines.access_session import SERVED
from sojourn.engines.answering import fits
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import (
    Handoff,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityMessage,
    MobilityOption,
    VendorSpecific,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6602 import MobileNodeGroupIdentifier
from sojourn.wire.extensions.rfc6757 import AccessNetworkIdentifier
from sojourn.wire.extensions.rfc7077 import (
    UpdateAcknowledgementStatus,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationFlags,
    UpdateNotificationReason,
)
from sojourn.wire.units import MILLISECOND

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_ACKNOWLEDGE = int(UpdateNotificationFlags.ACKNOWLEDGEMENT_REQUESTED)
_REMEMBERED = 256
"""Notifications that are known when they come again, of all LMAs together."""
_EVERYBODY = 1
"""The group of all sessions with an LMA (5)."""


@runtime_checkable
class Notified(Protocol):
    """An extension that does something about notifications of certain reasons."""

    reasons: frozenset[int]

    def on_notified(
        self, sessions: Sequence[BindingUpdateListEntry], message: UpdateNotification
    ) -> tuple[UpdateAcknowledgementStatus, tuple[MobilityOption, ...]]:
        """What is to be answered, with options that belong to the answer."""
        ...


class MagNotification(MagExtension):
    """The MAG's part."""

    name: ClassVar[str] = "notification"
    messages: ClassVar[frozenset[type[MobilityMessage]]] = frozenset({UpdateNotification})

    def __init__(self, mag: MagRegistration, switched_on: bool = True) -> None:
        super().__init__(mag)
        self._answers: OrderedDict[tuple[Address, int], UpdateNotificationAcknowledgement] = OrderedDict()
        """To the latest notifications, by who sent them and their sequence numbers."""

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """6.1: a repetition is answered again, and carried out again only if nobody waits for an answer."""
        assert isinstance(message, UpdateNotification)
        if source not in self._role._anchors:
            self._report("notification-refused", source=source, reason="not an LMA of ours")
            return
        key = (source, message.sequence)
        repeated = message.flags & UpdateNotificationFlags.RETRANSMIT and key in self._answers
        if not repeated or not message.flags & _ACKNOWLEDGE:
            self._remember(key, self._answer(message, source))
        if message.flags & _ACKNOWLEDGE:
            self.send(self._answers[key], source)

    def _remember(self, key: tuple[Address, int], answer: UpdateNotificationAcknowledgement) -> None:
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)

    def _answer(self, message: UpdateNotification, source: Address) -> UpdateNotificationAcknowledgement:
        """Do what it says. 6.2: the answer has the identifier of the notification."""
        sessions = self._sessions_of(message, source)
        nobody: tuple[MobilityOption, ...] = ()
        status, options = UpdateAcknowledgementStatus.MN_NOT_ATTACHED, nobody
        if sessions:
            status, options = self._carry_out(sessions, message)
        self._report("notified", source=source, reason=message.reason, sessions=len(sessions), status=int(status))
        about = [
            option for option in message.options if isinstance(option, MobileNodeIdentifier | MobileNodeGroupIdentifier)
        ]
        answer = UpdateNotificationAcknowledgement(message.sequence, int(status), (*about[:1], *options))
        if not fits(answer):
            answer = UpdateNotificationAcknowledgement(message.sequence, int(status), tuple(about[:1]))
        return answer

    def _sessions_of(self, message: UpdateNotification, source: Address) -> list[BindingUpdateListEntry]:
        """Whom it is about: a node, perhaps one of its interfaces, or all nodes of this LMA."""
        served = [
            session
            for session in self._role.sessions.values()
            if session.lma == source and session.presence is SERVED and session.confirmed
        ]
        group, node = message.first(MobileNodeGroupIdentifier), message.first(MobileNodeIdentifier)
        interface = message.first(MobileNodeLinkLayerIdentifier)
        if node is None:
            return served if group is not None and group.group == _EVERYBODY else []
        return [
            session
            for session in served
            if session.identity == node.key() and (interface is None or interface.identifier == session.link_layer)
        ]

    def _carry_out(
        self, sessions: list[BindingUpdateListEntry], message: UpdateNotification
    ) -> tuple[UpdateAcknowledgementStatus, tuple[MobilityOption, ...]]:
        """6.1, by the reason."""
        match message.reason:
            case UpdateNotificationReason.FORCE_REREGISTRATION:
                self._register(sessions)
                return UpdateAcknowledgementStatus.SUCCESS, ()
            case UpdateNotificationReason.ANI_PARAMS_REQUESTED:
                known = [one for one in sessions if self._knows_access_network(one)]
                self._register(known)
                failed = UpdateAcknowledgementStatus.FAILED_TO_UPDATE_SESSION_PARAMETERS
                return UpdateAcknowledgementStatus.SUCCESS if known else failed, ()
            case UpdateNotificationReason.VENDOR_SPECIFIC_REASON if message.first(VendorSpecific) is None:
                return UpdateAcknowledgementStatus.MISSING_VENDOR_SPECIFIC_OPTION, ()
        for extension in self._role.extensions:
            if isinstance(extension, Notified) and message.reason in extension.reasons:
                return extension.on_notified(sessions, message)
        if message.reason == UpdateNotificationReason.VENDOR_SPECIFIC_REASON:
            return UpdateAcknowledgementStatus.SUCCESS, ()  # options of vendors unknown here are passed over (RFC 5094)
        if message.reason == UpdateNotificationReason.UPDATE_SESSION_PARAMETERS:
            return UpdateAcknowledgementStatus.FAILED_TO_UPDATE_SESSION_PARAMETERS, ()
        return UpdateAcknowledgementStatus.REASON_UNSPECIFIED, ()

    def _register(self, sessions: Sequence[BindingUpdateListEntry]) -> None:
        """Now for one; for many a little apart. Of whom we are in doubt its answer, if there is one, says it."""
        for index, session in enumerate([one for one in sessions if not self._role._is_in_doubt(one)]):
            session.seen = self.now  # the LMA wants to hear of it, whether or not it was silent lately
            if index == 0:
                self._role._register(session, Handoff.NOT_CHANGED)
            else:
                self._role._after(index * MILLISECOND, "refresh", session.node)

    def _knows_access_network(self, session: BindingUpdateListEntry) -> bool:
        return any(isinstance(option, AccessNetworkIdentifier) for option in self._role._home_options(session))
