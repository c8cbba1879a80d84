"""A MAG lets packets between two nodes pass their LMA by, if that asks for it (RFC 6705 5, 6).

A Localized Routing Entry is the effect `EnsureShortcut`. It ends with its lifetime, with an initiation of lifetime
zero, and at once when the node of this gateway leaves; then packets take the tunnel to the LMA as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sojourn.core.effects import EnsureShortcut, WithdrawShortcut
from sojourn.core.engine import Row
from sojourn.core.sequence import newer
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.localized import LIFETIME_INFINITE, End, ends_of, options_of
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.way_settings import LocalizedRoutingOfMag
from sojourn.wire import MobilityMessage, MobilityOption
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6705 import (
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    LocalizedRoutingStatus,
    MagIpv6Address,
)
from sojourn.wire.units import SECOND, Duration

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

PairKey: TypeAlias = tuple[Address, frozenset[bytes]]
"""The LMA, and the two nodes."""
_SHORTEST = 48
"""Length of a prefix for a node, at least."""
_REMEMBERED = 10 * SECOND
"""An older initiation that comes late finds what ended for this long."""


class Declined(Exception):
    """An initiation is answered with `status`."""

    def __init__(self, status: LocalizedRoutingStatus, reason: str, supported: tuple[End, ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.supported = supported
        """"MUST contain only those [MN-ID, HNP] tuples for which local forwarding is supported" (10.2)."""


@dataclass(slots=True)
class Entry:
    """The Localized Routing Entries of a pair."""

    sequence: int
    """Of the latest initiation."""
    shortcuts: tuple[EnsureShortcut, ...] = ()
    """None: it ended, and is only remembered."""
    here: tuple[bytes, ...] = ()
    """The sessions of ours that take part."""


class LocalizedRoutingAtMag(MagExtension):
    """The MAG as the one that is asked; it never begins (3.1), as all its nodes of a pair have one LMA."""

    name = "localized"
    messages = frozenset({LocalizedRoutingInitiation, LocalizedRoutingAcknowledgment})

    def __init__(self, role: MagRegistration, settings: LocalizedRoutingOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._entries: dict[PairKey, Entry] = {}
        self._of_session: dict[bytes, set[PairKey]] = {}

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """5: "After processing the LRI message, the MAG MUST respond"."""
        if source not in self._role._anchors or not isinstance(message, LocalizedRoutingInitiation):
            self._report("localized-routing-unexpected", source=source, type=type(message).__name__)
            return
        try:
            options, status = self._obey(message, source), LocalizedRoutingStatus.SUCCESS
        except Declined as declined:
            options, status = options_of(declined.supported), declined.status
            self._report("localized-routing-declined", source=source, status=int(status), reason=str(declined))
        lifetime = 0 if status else message.lifetime
        answer = LocalizedRoutingAcknowledgment(message.sequence, 0, int(status), lifetime, options)
        self.send(answer, source)

    def _obey(self, message: LocalizedRoutingInitiation, source: Address) -> tuple[MobilityOption, ...]:
        """The options of the answer. Raises `Declined`."""
        ends = ends_of(message)
        key = source, frozenset(end.node for end in ends)
        known = self._entries.get(key)
        if len(ends) != 2 or len(key[1]) != 2 or not all(end.prefixes for end in ends):
            raise Declined(_NOT_ALLOWED, "not two nodes with prefixes")
        if known is not None and known.sequence != message.sequence and not newer(message.sequence, known.sequence):
            raise Declined(_NOT_ALLOWED, "a later initiation was obeyed")
        if message.lifetime == 0:
            self._end(key, message.sequence)
        else:
            remote = message.first(MagIpv6Address)
            shortcuts, here = self._plan(ends, None if remote is None else remote.address, source)
            if known is None and len(self._entries) >= self._settings.most:
                raise Declined(_NOT_ALLOWED, "too many pairs")
            self._begin(key, Entry(message.sequence, shortcuts, here), message.lifetime)
        return message.options

    def _plan(
        self, ends: tuple[End, ...], remote: Address | None, anchor: Address
    ) -> tuple[tuple[EnsureShortcut, ...], tuple[bytes, ...]]:
        """5: "MUST verify the attachment status of the two MNs"; with the address of another MAG, of one (6)."""
        sessions = [self._session(end, anchor) for end in ends]
        here = tuple(end for end, session in zip(ends, sessions, strict=True) if session is not None)
        if len(here) < (2 if remote is None else 1):
            raise Declined(LocalizedRoutingStatus.MN_NOT_ATTACHED, "a node is not here", here)
        if remote is not None and (remote not in self._settings.gateways or remote == self._address):
            raise Declined(_NOT_ALLOWED, "not a gateway that packets are exchanged with")
        if any(
            prefix.length < _SHORTEST or prefix.address[0] in (0, 0xFE, 0xFF) for e in ends for prefix in e.prefixes
        ):
            raise Declined(_NOT_ALLOWED, "not a prefix for a node")
        one, other = ends if sessions[0] is not None else ends[::-1]
        ways = [(one, other)] if remote is not None else [(one, other), (other, one)]
        shortcuts = (
            EnsureShortcut(source, destination, remote)
            for start, end in ways
            for source in start.prefixes
            for destination in end.prefixes
        )
        return tuple(shortcuts), tuple(session.node for session in sessions if session is not None)

    def _session(self, end: End, anchor: Address) -> BindingUpdateListEntry | None:
        """That of a node that is here, is registered with `anchor` and has these prefixes."""
        session = self._role.sessions.get(self._role._foreign.get(end.prefixes[0], b""))
        if session is None or session.identity != end.node or session.presence is not SERVED:
            return None
        whole = session.confirmed and all(session.anchored.get(prefix) == anchor for prefix in end.prefixes)
        return session if whole else None

    # --- entries ----------------------------------------------------------------------------------------------------

    def _begin(self, key: PairKey, entry: Entry, lifetime: Duration) -> None:
        known = self._entries.get(key)
        if known is not None:
            kept = {_pair(shortcut) for shortcut in entry.shortcuts}
            self._withdraw([one for one in known.shortcuts if _pair(one) not in kept])
            self._unlink(key, known)
        self._entries[key] = entry
        for node in entry.here:
            self._of_session.setdefault(node, set()).add(key)
        for shortcut in entry.shortcuts:
            self._do(shortcut)
        if known is None or not known.shortcuts:
            self._report("localized-routing", source=key[0], entries=len(entry.shortcuts))
        if lifetime < LIFETIME_INFINITE * SECOND:
            self.wake(lifetime, key)
        else:
            self.sleep(key)

    def _end(self, key: PairKey, sequence: int) -> None:
        """4: "the forwarding MUST revert to using bidirectional tunneling"."""
        known = self._entries.get(key)
        if known is None:
            return
        self._withdraw(known.shortcuts)
        self._unlink(key, known)
        self._entries[key] = Entry(sequence)
        self.wake(_REMEMBERED, key)

    def _withdraw(self, shortcuts: Iterable[EnsureShortcut]) -> None:
        for shortcut in shortcuts:
            self._do(WithdrawShortcut(shortcut.source, shortcut.destination))

    def _unlink(self, key: PairKey, entry: Entry) -> None:
        for node in entry.here:
            keys = self._of_session.get(node, set())
            keys.discard(key)
            if not keys:
                self._of_session.pop(node, None)

    def on_timer(self, key: Any) -> None:
        """The lifetime is over, or what ended is forgotten."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry.shortcuts:
            self._report("localized-routing-expired", source=key[0])
            self._end(key, entry.sequence)
        else:
            del self._entries[key]

    # --- sessions ---------------------------------------------------------------------------------------------------

    def departed(self, session: BindingUpdateListEntry) -> None:
        """5.1: "decide that it will no longer perform LR for MN1"; also 7.1: at once."""
        for key in tuple(self._of_session.get(session.node, ())):
            self._end(key, self._entries[key].sequence)

    def lost(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """What ends for a prefix ends for its pair."""
        for key in tuple(self._of_session.get(session.node, ())):
            if any(prefix in _pair(shortcut) for shortcut in self._entries[key].shortcuts):
                self._end(key, self._entries[key].sequence)

    def served(self, session: BindingUpdateListEntry) -> None:
        """The kernel may have forgotten what it knew of this session, or it is on another link."""
        for key in self._of_session.get(session.node, ()):
            for shortcut in self._entries[key].shortcuts:
                self._do(shortcut)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """With how many nodes this one meets directly."""
        return {"localized": len(self._of_session.get(session.node, ()))}


_NOT_ALLOWED = LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED


def _pair(shortcut: EnsureShortcut) -> tuple[Prefix, Prefix]:
    return shortcut.source, shortcut.destination
