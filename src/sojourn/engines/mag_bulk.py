"""A MAG extends the bindings of all its nodes with one update, if the LMA lets it (RFC 6602 5.1).

Whether a node is still there is found out for each as ever (RFC 5213 6.13): what would be its own update is a mark
here. When all members of a group are marked, or a while after the first, one update goes out for the group.

The RFC has no means to find out that a session which we believe in a group is in none: it may have been elsewhere
without our noticing, or the LMA lost it. So a node that its link shows anew is registered by itself the next time, all
are when the LMA asks for it, and each is now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sojourn.core.engine import Row
from sojourn.core.events import NodeSeen, Sighting
from sojourn.core.sequence import following
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import HANDOFFS, PROXY, REFUSING, group_in
from sojourn.engines.retransmission import Key
from sojourn.engines.way_settings import BulkRegistrationOfMag
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    Handoff,
    MobileNodeIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6602 import GroupSubtype, MobileNodeGroupIdentifier
from sojourn.wire.units import MILLISECOND

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

GroupKey: TypeAlias = tuple[Address, int]
"""The LMA, and our number for the group."""
_BULK_ACKNOWLEDGED = int(BindingAcknowledgementFlags.B)
_ANEW = frozenset({Sighting.STATION, Sighting.LINK, Sighting.CONTROL, Sighting.ROUTER_SOLICITATION})
"""Sightings of a link that has just come up, if a node may have been elsewhere meanwhile."""
_FIRST_GROUP = 2
"""0 is reserved, 1 means all sessions (4.3)."""


@dataclass(slots=True)
class Group:
    """Sessions that are extended together."""

    members: set[bytes] = field(default_factory=set)
    marked: set[bytes] = field(default_factory=set)
    """Members that are known to be here, and want to be extended."""


class BulkRegistrationAtMag(MagExtension):
    """RFC 6602 5.1."""

    name = "bulk"

    def __init__(self, role: MagRegistration, settings: BulkRegistrationOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._groups: dict[GroupKey, Group] = {}
        self._in_group: dict[bytes, GroupKey] = {}
        """Sessions that the LMA lets be in one."""
        self._alone: set[bytes] = set()
        """Sessions that are registered by themselves the next time."""
        self._rounds: dict[bytes, int] = {}
        """How often each was extended with its group since."""
        self._sequence = 0

    # --- sessions in groups (5.1.2) -----------------------------------------------------------------------------------

    def flags(self, session: BindingUpdateListEntry) -> int:
        """ "the Bulk-Binding-Update flag (B) in the request MUST be set to a value of (1)"."""
        return int(BindingUpdateFlags.B)

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """ "and the Mobile Node Group Identifier option MUST be present"."""
        return (_option(self._group(session)),)

    def _group(self, session: BindingUpdateListEntry) -> int:
        """Nodes are spread over groups, so that no update is about all of them where there are many."""
        return _FIRST_GROUP + session.slot % self._settings.groups

    def acceptable(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> bool:
        """B without a group "MUST be considered malformed and ignored"."""
        return not answer.flags & _BULK_ACKNOWLEDGED or group_in(answer.firsts()) is not None

    def seen(self, session: BindingUpdateListEntry, event: NodeSeen) -> None:
        """The link learned its address anew, or it asks for routers: it may have been elsewhere."""
        if session.node in self._in_group and event.sighting in _ANEW:
            self._alone.add(session.node)

    def refresh_requested(self) -> None:
        """The LMA may know of no group."""
        self._alone.update(self._in_group)

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """Without B "the local mobility anchor has denied the request"."""
        first = 0 if session.node in self._in_group else session.slot % self._settings.alone_after
        self._leave(session)
        if answer.flags & _BULK_ACKNOWLEDGED:
            key = session.lma, self._group(session)
            self._rounds[session.node] = first  # not all of them at a time
            self._in_group[session.node] = key
            self._groups.setdefault(key, Group()).members.add(session.node)

    def _leave(self, session: BindingUpdateListEntry) -> None:
        key = self._in_group.pop(session.node, None)
        self._alone.discard(session.node)
        self._rounds.pop(session.node, None)
        if key is None:
            return
        group = self._groups[key]
        group.members.discard(session.node)
        group.marked.discard(session.node)
        if not group.members:
            del self._groups[key]
            self.sleep(key)
            self._role._requests.cancel(_request(key))

    def departed(self, session: BindingUpdateListEntry) -> None:
        """It is about to be de-registered by itself."""
        self._leave(session)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """The same."""
        self._leave(session)

    def lost(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """Its binding was not extended in time: it is registered by itself again."""
        if session.node in self._in_group and not session.confirmed:
            self._leave(session)
            self._role._after(0, "refresh", session.node)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """Our number for its group; 0: it is in none."""
        return {"group": self._in_group.get(session.node, (b"", 0))[1]}

    # --- updates for groups (5.1.3) -----------------------------------------------------------------------------------

    def refreshes(self, session: BindingUpdateListEntry) -> bool:
        """It is here, and is to be extended: with its group."""
        key = self._in_group.get(session.node)
        if key is None or session.node in self._alone or self._rounds[session.node] >= self._settings.alone_after:
            return False
        group = self._groups[key]
        group.marked.add(session.node)
        if self._role._requests.get(_request(key)) is not None:
            return True
        if group.marked >= group.members:
            self._extend(key)
        elif len(group.marked) == 1:
            self.wake(self._settings.patience, key)
        return True

    def on_timer(self, key: Any) -> None:
        """The others are not heard of; those that are gone will be de-registered one by one."""
        if key in self._groups and self._groups[key].marked:
            self._extend(key)

    def _extend(self, key: GroupKey) -> None:
        """ "The message MUST NOT include any individual session identifiers"; and B is 0."""
        self.sleep(key)
        self._sequence = following(self._sequence)
        options: list[MobilityOption] = [
            HANDOFFS[Handoff.NOT_CHANGED],
            self._role._technology,
            _option(key[1]),
        ]
        if self._role.configuration.timestamp_based_approach_in_use:
            options.append(Timestamp(self._role._clock()))
        update = BindingUpdate(self._sequence, PROXY, self._role.configuration.lifetime, tuple(options))
        self._role._requests.start(_request(key), update, self.now)

    def on_acknowledgement(self, answer: BindingAcknowledgement, source: Address) -> bool:
        """An answer that is about a group: all are extended, or all go on by themselves."""
        firsts = answer.firsts()
        number = group_in(firsts)
        if number is None or MobileNodeIdentifier in firsts:
            return self._on_refused(answer, source)
        key = source, number
        if key not in self._groups or not self._is_answered(key, answer):
            return False
        if answer.status >= REFUSING or answer.lifetime == 0:
            self._disband(key, answer)
            return True
        self._groups[key].marked.clear()
        for session in self._sessions(key):
            self._role._confirm(session, answer.lifetime)
            self._rounds[session.node] += 1
        self._report("group-extended", lma=source, group=number, sessions=len(self._groups[key].members))
        return True

    def _on_refused(self, answer: BindingAcknowledgement, source: Address) -> bool:
        """A refusal may name no group, and has the mandatory options of RFC 5213 empty."""
        if answer.status < REFUSING:
            return False
        for key in [key for key in self._groups if key[0] == source]:
            waits = self._role._requests.get(_request(key)) is not None
            if answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and waits:
                self._sequence = answer.sequence  # "the last accepted" (RFC 6275 9.5.1), not that of the request
                self._extend(key)
                return True
            if self._is_answered(key, answer):
                self._disband(key, answer)
                return True
        return False

    def _is_answered(self, key: GroupKey, answer: BindingAcknowledgement) -> bool:
        return self._role._requests.answered(_request(key), answer.sequence, self.now) is not None

    def _disband(self, key: GroupKey, answer: BindingAcknowledgement) -> None:
        """The LMA may have lost its memory: each is registered by itself, a little apart, and may join again."""
        self._report("group-refused", lma=key[0], group=key[1], status=answer.status)
        self._role._correct_clock(answer)
        for index, session in enumerate(self._sessions(key)):
            self._leave(session)
            if session.presence is SERVED:
                self._role._after(index * MILLISECOND, "refresh", session.node)

    def _sessions(self, key: GroupKey) -> list[BindingUpdateListEntry]:
        return [self._role.sessions[node] for node in sorted(self._groups[key].members)]


def _option(group: int) -> MobileNodeGroupIdentifier:
    return MobileNodeGroupIdentifier(int(GroupSubtype.BULK_BINDING_UPDATE_GROUP), group)


def _request(key: GroupKey) -> Key:
    return "bulk", key[1].to_bytes(4, "big"), key[0], None
