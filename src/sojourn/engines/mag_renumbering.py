"""A MAG is told that a node has other prefixes from now on (RFC 8191), by an Update Notification of its LMA.

The node hears of the new ones, and that it should not use the old ones for anything new; they work as long as the LMA
forwards them, and end here after `prefix_retirement`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import Handoff, HomeNetworkPrefix, MobilityOption
from sojourn.wire.extensions.rfc7077 import (
    UpdateAcknowledgementStatus,
    UpdateNotification,
    UpdateNotificationReason,
)

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration


class MagRenumbering(MagExtension):
    """The MAG's part; see `sojourn.engines.mag_notification.Notified`."""

    name: ClassVar[str] = "renumbering"
    reasons: frozenset[int] = frozenset({int(UpdateNotificationReason.UPDATE_SESSION_PARAMETERS)})

    def __init__(self, mag: MagRegistration, switched_on: bool = True) -> None:
        super().__init__(mag)
        self._retirement = mag.configuration.prefix_retirement

    def on_notified(
        self, sessions: Sequence[BindingUpdateListEntry], message: UpdateNotification
    ) -> tuple[UpdateAcknowledgementStatus, tuple[MobilityOption, ...]]:
        """All new prefixes or none (5)."""
        role, (session, *others) = self._role, sessions
        wanted = tuple(dict.fromkeys(option.prefix for option in message.all(HomeNetworkPrefix)))
        new = [prefix for prefix in wanted if prefix not in session.anchored]
        room = role.configuration.prefixes_per_node
        if (
            not wanted
            or others
            or len(wanted) > room
            or any(role._trouble_with(session, one, session.lma) for one in new)
        ):
            return UpdateAcknowledgementStatus.FAILED_TO_UPDATE_SESSION_PARAMETERS, ()
        for prefix in [one for one in session.anchored if one not in wanted and not one.is_ipv4]:
            role._retire(session, prefix, self.now + self._retirement)
        for prefix in new:
            role._add_foreign(session, prefix, session.lma)
        for extension in role.extensions:
            extension.served(session)  # what holds for the old ones holds for the new ones
        self.wake(self._retirement, session.node)
        self._report("renumbered", node=session.node, prefixes=len(wanted))
        role._advertise(session)
        role._keep(session)
        if role._requests.get(("register", session.node, session.lma, None)) is not None:
            role._register(session, Handoff.NOT_CHANGED)  # what is under way asks for the old ones
        return UpdateAcknowledgementStatus.SUCCESS, ()

    def on_timer(self, key: Any) -> None:
        """The time of old prefixes is over; the node is told that they are not valid any more."""
        session = self._role.sessions.get(key)
        if session is None:
            return
        gone = tuple(prefix for prefix, until in session.retiring.items() if until <= self.now)
        for prefix in gone:
            self._role._end_retiring(session, prefix)
        if gone:
            self._role._advertise(session, gone)
        if session.retiring:
            self.wake(min(session.retiring.values()) - self.now, key)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing of it is kept."""
        self.sleep(session.node)
