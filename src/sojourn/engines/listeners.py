"""What multicast listeners want of a group: one of them, those on a link, and all together (RFC 3810 4.2, 7.4).

Each node on a link is followed by itself, so its reports alone decide what it wants and no other node has to be asked
when it leaves (RFC 3810 has routers forget who reported, and ask). What a link wants is merged from that, and what is
asked of the network upstream is merged from the links (RFC 4605 4.1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sojourn.wire.addresses import Address
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import Instant

_SCOPES = range(3, 15)
"""Multicast scopes beyond a link (RFC 4291 2.7, RFC 7346): only these are anything that a router forwards."""
_NEW_SOURCES = (RecordType.MODE_IS_INCLUDE, RecordType.ALLOW_NEW_SOURCES)


def asks_for_all(record: MulticastAddressRecord) -> bool:
    """Whether a record asks for all sources, perhaps but some."""
    return record.kind in (RecordType.MODE_IS_EXCLUDE, RecordType.CHANGE_TO_EXCLUDE_MODE)


def asks(record: MulticastAddressRecord) -> bool:
    """Whether a record asks for anything, of a node that had asked for nothing before."""
    some = record.kind in _NEW_SOURCES or record.kind == RecordType.CHANGE_TO_INCLUDE_MODE
    return asks_for_all(record) or (some and bool(record.sources))


def forwarded(group: Address) -> bool:
    """Whether a router forwards packets to `group`."""
    return group[0] == 0xFF and group[1] & 0x0F in _SCOPES


def source_specific(group: Address) -> bool:
    """Whether `group` has no listeners but those of named sources: ff3x::/32 (RFC 4607 1)."""
    return group[0] == 0xFF and group[1] >> 4 == 3 and not any(group[2:4])


class Interest(NamedTuple):
    """All sources but `sources`, or these alone: filter mode EXCLUDE or INCLUDE."""

    excluding: bool
    sources: frozenset[Address] = frozenset()

    def wants(self, source: Address) -> bool:
        """Whether packets from `source` are wanted."""
        return (source in self.sources) != self.excluding


NOTHING = Interest(False)
EVERYTHING = Interest(True)


def merged(interests: Iterable[Interest]) -> Interest:
    """What satisfies them all (RFC 3810 4.2, RFC 4605 4.1)."""
    included: set[Address] = set()
    excluded: frozenset[Address] | None = None
    for interest in interests:
        if not interest.excluding:
            included |= interest.sources
        else:
            excluded = interest.sources if excluded is None else excluded & interest.sources
            if not excluded:
                return EVERYTHING
    return Interest(False, frozenset(included)) if excluded is None else Interest(True, excluded - included)


@dataclass(slots=True)
class Membership:
    """What one node wants of one group, as long as it says so again and again."""

    excluding: bool = False
    sources: dict[Address, Instant] = field(default_factory=dict)
    """Those wanted, each with the end of its time; or those not wanted, and the times mean nothing."""
    until: Instant = 0
    """The end of its time while it wants all sources but these (RFC 3810 7.2.2, the filter timer)."""

    @property
    def interest(self) -> Interest:
        """As a filter."""
        return Interest(self.excluding, frozenset(self.sources))

    @property
    def ends(self) -> Instant | None:
        """When it wants less unless it says so again; None: it wants nothing."""
        return self.until if self.excluding else min(self.sources.values(), default=None)

    def hear(self, record: MulticastAddressRecord, admitted: Collection[Address], until: Instant) -> None:
        """It said `record`. Of the sources of that, only those `admitted` are kept (RFC 3810 7.4).

        A change takes effect at once, where RFC 3810 has a router ask whether others on the link still want the
        sources: they are followed by themselves.
        """
        named = [source for source in record.sources if source in admitted]
        if asks_for_all(record):
            self.excluding, self.sources, self.until = True, dict.fromkeys(named, 0), until
        elif record.kind == RecordType.CHANGE_TO_INCLUDE_MODE:
            self.excluding, self.sources = False, dict.fromkeys(named, until)
        elif record.kind in _NEW_SOURCES:
            self._add(named, until) if not self.excluding else self._drop(record.sources)
        elif record.kind == RecordType.BLOCK_OLD_SOURCES:
            self._add(named, 0) if self.excluding else self._drop(record.sources)

    def expire(self, now: Instant) -> None:
        """What was not said again in time is not wanted any more (RFC 3810 7.2.3)."""
        if self.excluding and self.until <= now:
            self.excluding, self.sources = False, {}
        elif not self.excluding:
            self.sources = {source: until for source, until in self.sources.items() if until > now}

    def _add(self, sources: Iterable[Address], until: Instant) -> None:
        self.sources.update(dict.fromkeys(sources, until))

    def _drop(self, sources: Iterable[Address]) -> None:
        for source in sources:
            self.sources.pop(source, None)


@dataclass(slots=True)
class Audience:
    """Those on one link who want something of one group."""

    members: dict[bytes, Membership] = field(default_factory=dict)
    old_until: Instant = 0
    """Until then there may be listeners of version 1, who keep silent when another one reports (RFC 2710 4)."""
    queries: int = 0
    """How often it will still be asked whether anybody silent is there."""
    lingers: bool = False
    """Nobody known is left, but somebody silent may be."""

    @property
    def interest(self) -> Interest:
        """What the link wants."""
        if self.lingers:
            return EVERYTHING
        return merged(member.interest for member in self.members.values())
