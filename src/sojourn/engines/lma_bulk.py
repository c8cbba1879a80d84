"""An LMA extends many bindings with one update (RFC 6602 5.2).

A gateway that asks for it (flag B) puts its sessions into groups of its own, and later names a group in the place of a
node. Its groups are its own: the same number of another gateway is another group. We put all of them into the group
ALL-SESSIONS.

Left out: the revocation of a group (5.2.3), a refresh is all that is done to one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sojourn.core.engine import Row
from sojourn.core.sequence import newer
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.registration import Refused, group_in
from sojourn.engines.way_settings import BulkRegistrationOfLma
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from sojourn.wire.extensions.rfc5845 import GreKey
from sojourn.wire.extensions.rfc6602 import GroupSubtype, MobileNodeGroupIdentifier
from sojourn.wire.units import Duration, ticks

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

GroupKey: TypeAlias = tuple[Address, int]
"""A gateway, and its number for the group."""
ALL_SESSIONS = 1
_BULK = int(BindingUpdateFlags.B)
_PROXY = int(BindingUpdateFlags.P)
_ACKNOWLEDGE = int(BindingUpdateFlags.A)
_ACKNOWLEDGED = int(BindingAcknowledgementFlags.P)
_INDIVIDUAL = frozenset({MobileNodeIdentifier, HomeNetworkPrefix, Ipv4HomeAddressRequest, GreKey})
"""What a request for a group has no business to carry."""


class BulkRegistration(LmaExtension):
    """RFC 6602 5.2."""

    name = "bulk"
    needs_all = True

    def __init__(self, role: LmaRegistration, settings: BulkRegistrationOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        self._group_of: dict[int, GroupKey] = {}
        """By the number of the session."""
        self._members: dict[GroupKey, set[int]] = {}
        self._unsure: set[int] = set()
        """Sessions of an earlier life: whether they are in a group is not known any more."""
        self._latest: dict[Address, tuple[int, int]] = {}
        """Timestamp and sequence number of the latest update of each gateway for a group."""

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Groups are not stored. An update for one is refused until all sessions of the gateway were registered."""
        self._unsure = {entry.slot for entry in self._role.cache}

    # --- sessions in groups (5.2.2) -----------------------------------------------------------------------------------

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """ "The value of (0) in the (B) flag ... serves as a request ... to disable bulk binding update support"."""
        self._unsure.discard(entry.slot)
        group = group_in(request.firsts) if request.update.flags & _BULK else None
        key = None if not group else (request.source, group)
        if key != self._group_of.get(entry.slot):
            self._leave(entry)
        if key is not None:
            self._group_of[entry.slot] = key
            self._members.setdefault(key, set()).add(entry.slot)

    def _leave(self, entry: BindingCacheEntry) -> None:
        self._unsure.discard(entry.slot)
        key = self._group_of.pop(entry.slot, None)
        if key is None:
            return
        self._members[key].discard(entry.slot)
        if not self._members[key]:
            del self._members[key]

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """ "the mobility session MUST also be removed from the bulk binding update group"."""
        self._leave(entry)

    def removed(self, entry: BindingCacheEntry) -> None:
        """The same."""
        self._leave(entry)

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> tuple[MobilityOption, ...]:
        """ "MUST send the assigned bulk binding update group identifier"."""
        if entry.slot not in self._group_of:
            return ()
        return (MobileNodeGroupIdentifier(int(GroupSubtype.BULK_BINDING_UPDATE_GROUP), ALL_SESSIONS),)

    def answer_flags(self, entry: BindingCacheEntry, request: HomeRequest) -> int:
        """ "The (B) flag in the Proxy Binding Acknowledgement message MUST be set to value of (1)"."""
        return int(BindingAcknowledgementFlags.B) if entry.slot in self._group_of else 0

    def row(self, entry: BindingCacheEntry) -> Row:
        """The gateway's number for the group; 0: it is in none."""
        return {"group": self._group_of.get(entry.slot, (b"", 0))[1]}

    # --- updates for groups (5.2.3) -----------------------------------------------------------------------------------

    def on_update(self, update: BindingUpdate, source: Address) -> bool:
        """ "consider the request a bulk binding update request", if it names a group and has no flag B."""
        group = group_in(update.firsts())
        if group is None or update.flags & _BULK or not update.flags & _PROXY:
            return False
        try:
            self._extend(update, source, group)
        except Refused as refused:
            self._role._refuse(update, source, refused)
        return True

    def _extend(self, update: BindingUpdate, source: Address, group: int) -> None:
        entries = self._entries_of(source, group)
        unsure = any(entry.source == source for entry in filter(None, map(self._role.cache.get, self._unsure)))
        if not entries or unsure or any(type(option) in _INDIVIDUAL for option in update.options):
            raise Refused(Status.INVALID_MOBILE_NODE_GROUP_IDENTIFIER, "no group, or a node in it named besides")
        if update.lifetime == 0:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "a group is only extended")
        self._check_order(update, source)
        lifetime = self._role._granted(min((update.lifetime, *self._limits(entries))))
        stamp = update.first(Timestamp)
        for entry in entries:
            entry.lifetime, entry.expires = lifetime, self.now + lifetime
            if stamp is not None:
                entry.timestamp = max(entry.timestamp, stamp.ticks)
            self._role._timers.start(("expiry", entry.slot), entry.expires)
        self._report("group-extended", gateway=source, group=group, sessions=len(entries))
        if update.flags & _ACKNOWLEDGE:
            kept = (option for option in update.options if isinstance(option, MobileNodeGroupIdentifier | Timestamp))
            self.send(BindingAcknowledgement(0, _ACKNOWLEDGED, update.sequence, lifetime, tuple(kept)), source)

    def _entries_of(self, source: Address, group: int) -> list[BindingCacheEntry]:
        """ALL_SESSIONS: "all the mobility sessions" of this gateway that are in a group."""
        slots = self._members.get((source, group), set())
        if group == ALL_SESSIONS:
            slots = {slot for (gateway, _), members in self._members.items() if gateway == source for slot in members}
        return [entry for entry in map(self._role.cache.get, sorted(slots)) if entry is not None]

    def _limits(self, entries: list[BindingCacheEntry]) -> list[Duration]:
        profiles = (self._role._profile(entry.node) for entry in entries)
        return [profile.lifetime_max for profile in profiles if profile is not None and profile.lifetime_max]

    def _check_order(self, update: BindingUpdate, source: Address) -> None:
        """ "Considerations from [RFC5213] MUST be applied" (5.5): no update is taken twice, and none that is old."""
        stamp = update.first(Timestamp)
        latest, sequence = self._latest.get(source, (0, update.sequence - 1))
        own_clock = not self._role.configuration.mobile_node_generated_timestamp_in_use
        if stamp is None and not newer(update.sequence, sequence):
            raise Refused(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, "sequence number used already", sequence)
        if stamp is not None and stamp.ticks <= latest:
            raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later update was accepted")
        window = ticks(self._role.configuration.timestamp_validity_window)
        if stamp is not None and own_clock and abs(stamp.ticks - ticks(self.time)) > window:
            raise Refused(Status.TIMESTAMP_MISMATCH, "timestamp outside of the window")
        self._latest[source] = (0 if stamp is None else stamp.ticks), update.sequence
