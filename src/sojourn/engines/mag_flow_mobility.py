"""A MAG takes packets for prefixes of another link of its node (RFC 7864 3.2.2).

They come with a Flow Mobility Initiate, or with the answer to a registration (3.3), in Home Network Prefix options with
the bit L. They are routed to the node, and its packets from them to the LMA, but they are not advertised to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sojourn.core.effects import EnsurePrefix, EnsureUplink, WithdrawPrefix, WithdrawUplink
from sojourn.core.engine import Row
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.way_settings import FlowMobilityOfMag
from sojourn.wire import (
    BindingAcknowledgement,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityMessage,
    MobilityOption,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc7077 import (
    UpdateAcknowledgementStatus,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationFlags,
    UpdateNotificationReason,
)

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_SHORTEST = 48
"""Length of a prefix for a node, at least."""


class FlowMobilityAtMag(MagExtension):
    """RFC 7864 at the MAG."""

    name = "flow-mobility"
    messages = frozenset({UpdateNotification})

    def __init__(self, role: MagRegistration, settings: FlowMobilityOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._taken: dict[bytes, tuple[Prefix, ...]] = {}
        """Prefixes of other links, by session."""
        self._taker: dict[Prefix, bytes] = {}

    # --- Flow Mobility Initiate (4.2) ---------------------------------------------------------------------------------

    def takes(self, message: MobilityMessage, source: Address) -> bool:
        """Notifications with another reason are none of ours."""
        assert isinstance(message, UpdateNotification)
        return message.reason == UpdateNotificationReason.FLOW_MOBILITY

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """The set that it lists takes the place of the one before."""
        assert isinstance(message, UpdateNotification)
        if source not in self._role._anchors:
            self._report("flow-mobility-unexpected", source=source)
            return
        session = self._session(message, source)
        networks = _off_link(message.options)
        if session is None:
            status = UpdateAcknowledgementStatus.MN_NOT_ATTACHED
        elif not all(self._is_sound(session, one) for one in networks) or len(networks) > self._settings.most:
            status = UpdateAcknowledgementStatus.REASON_UNSPECIFIED
        else:
            status = UpdateAcknowledgementStatus.SUCCESS
            self._take(session, networks)
        self._report("flow-mobility", source=source, status=int(status), prefixes=len(networks))
        if message.flags & int(UpdateNotificationFlags.A):
            kept = (one for one in message.options if isinstance(one, MobileNodeIdentifier | HomeNetworkPrefix))
            self.send(UpdateNotificationAcknowledgement(message.sequence, int(status), tuple(kept)), source)

    def _session(self, message: UpdateNotification, source: Address) -> BindingUpdateListEntry | None:
        """By the link, if it is named, else by the node."""
        node, link = message.first(MobileNodeIdentifier), message.first(MobileNodeLinkLayerIdentifier)
        if node is None:
            return None
        known = self._role.sessions
        sessions = known.values() if link is None else filter(None, [known.get(identifier(link.identifier))])
        mine = (one for one in sessions if one.identity == node.key() and one.lma == source)
        return next((one for one in mine if one.presence is SERVED and one.confirmed), None)

    def _is_sound(self, session: BindingUpdateListEntry, moved: Prefix) -> bool:
        """No prefix of another node, and nothing that is no prefix for a node."""
        owner = self._role.sessions.get(self._role._foreign.get(moved, session.node))
        taker = self._role.sessions.get(self._taker.get(moved, session.node))
        others = any(one is not None and one.identity != session.identity for one in (owner, taker))
        return moved.length >= _SHORTEST and moved.address[0] not in (0, 0xFE, 0xFF) and not others

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """3.3: the same, in the answer to a registration."""
        networks = [one for one in _off_link(answer.options) if self._is_sound(session, one)]
        if tuple(networks[: self._settings.most]) != self._taken.get(session.node, ()):
            self._take(session, networks[: self._settings.most])
        self.served(session)

    def context(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """The gateway that the node goes to has to lead them to it from the first packet on (RFC 5949)."""
        moved = self._taken.get(session.node, ())
        return [HomeNetworkPrefix(one.length, one.address, off_link=True) for one in moved]

    def expected(self, session: BindingUpdateListEntry, context: Sequence[MobilityOption]) -> None:
        """What the LMA does not say again in its answer goes back."""
        networks = [one for one in _off_link(context) if self._is_sound(session, one)][: self._settings.most]
        if networks:
            self._take(session, networks)
        self.served(session)  # what is moved from it to a link that is here stays there

    # --- forwarding ---------------------------------------------------------------------------------------------------

    def _take(self, session: BindingUpdateListEntry, networks: list[Prefix]) -> None:
        """ "Prefixes ... not present in the message MUST be removed"."""
        for moved in self._taken.pop(session.node, ()):
            if moved not in networks:
                self._give_back(session, moved)
        for moved in networks:
            before = self._role.sessions.get(self._taker.get(moved, b""))
            if before is not None and before is not session:
                self._taken[before.node] = tuple(one for one in self._taken[before.node] if one != moved)
            self._taker[moved] = session.node
        if networks:
            self._taken[session.node] = tuple(networks)
            self.served(session)

    def _give_back(self, session: BindingUpdateListEntry, moved: Prefix) -> None:
        """To the other link of the node, if that is here too."""
        self._taker.pop(moved, None)
        owner = self._role.sessions.get(self._role._foreign.get(moved, b""))
        if owner is not None and owner is not session:
            self._role._serve_one(owner, moved, owner.lma)
        else:
            self._do(WithdrawUplink(moved))
            self._do(WithdrawPrefix(moved))

    def served(self, session: BindingUpdateListEntry) -> None:
        """To the node, and from there to the LMA; what is moved from this link to another one here stays there."""
        self._lead(session)
        takers = [self._role.sessions.get(self._taker.get(prefix, b"")) for prefix in session.anchored]
        for taker in takers:
            if taker is not None and taker is not session:
                self._lead(taker)

    def _lead(self, session: BindingUpdateListEntry) -> None:
        for moved in self._taken.get(session.node, ()):
            self._do(EnsurePrefix(moved, session.slot))
            self._do(EnsureUplink(moved, self._role._tunnel_end(session)))

    def lost(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """The link that it belongs to has it no longer; the one that it is moved to, here as well, does."""
        taker = self._role.sessions.get(self._taker.get(prefix, b""))
        if taker is not None and taker is not session:
            self.served(taker)

    def node_of(self, prefix: Prefix) -> bytes | None:
        """The link that it is moved to."""
        return self._taker.get(prefix)

    def deregistered(self, session: BindingUpdateListEntry) -> None:
        """The LMA takes them back when it hears of it."""
        self._take(session, [])

    def removed(self, session: BindingUpdateListEntry) -> None:
        """The same."""
        self._take(session, [])

    def row(self, session: BindingUpdateListEntry) -> Row:
        """What the node gets here besides its own prefixes."""
        return {"flows": [str(moved) for moved in self._taken.get(session.node, ())]}


def _off_link(options: Sequence[MobilityOption]) -> list[Prefix]:
    """Prefixes with the bit L; one of zeros stands for none."""
    found = [one.prefix for one in options if isinstance(one, HomeNetworkPrefix) and one.off_link]
    return [one for one in dict.fromkeys(found) if one.length]
