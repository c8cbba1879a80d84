"""The multicast listeners of an access router, and one subscription for all of them (RFC 4605, RFC 6224 4.2).

Towards the nodes it is the router of RFC 3810: it asks, and keeps what each node answers as long as it is repeated.
Towards the network it is one host: it joins a group when the first node listens and leaves with the last, on one
interface, so that one copy of each packet arrives whoever listens and wherever their other traffic is anchored.

What mobility adds: a node is asked for its groups at the moment when it attaches, by itself and with the shortest
delay; and what it listened to ends at the moment when it is gone. Nobody else is the querier on an access link: queries
that come from there are not listened to (the host layer drops them), so RFC 3810 7.6.2 has nothing to elect.

Everything that a node can make grow has a limit, and what is beyond is refused and reported. It knows no clock and
sends nothing by itself; an engine gives it the time and carries the effects on, as with `retransmission`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sojourn.core.effects import (
    Effect,
    EnsureMembership,
    EnsureMulticastRoute,
    ForgetMulticast,
    QueryListeners,
    Report,
    WithdrawMembership,
    WithdrawMulticastRoute,
)
from sojourn.core.engine import Row
from sojourn.engines.base import TokenBucket
from sojourn.engines.configuration import MulticastConfiguration
from sojourn.engines.listeners import (
    NOTHING,
    Audience,
    Interest,
    Membership,
    asks,
    asks_for_all,
    forwarded,
    merged,
    source_specific,
)
from sojourn.wire.addresses import Address, LinkLayer, text
from sojourn.wire.listeners import MulticastAddressRecord
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

REMINDERS = 8
"""More questions to a node that lives and does not answer: until it has checked its address, no answer counts."""
AT_ONCE = 1 * MILLISECOND
"""The longest that a node which is asked by itself may take to answer: no others answer at the same time."""
FILTER_SOURCES = 64
"""Sources named in one group: what one filter of a host's kernel holds (net.ipv6.mld_max_msf)."""
CHANGES_PER_SECOND, CHANGES_AT_ONCE = 32, 128
"""What one node may change for all: joins, leaves and other sources. More waits, and what is undone meanwhile is not
done: "threats of resource exhaustion ... arrive from rapid state changes" (RFC 6224 6)."""
_REPAIR_AFTER = 1 * SECOND
_LATER = 1 * SECOND

Key: TypeAlias = tuple[str, object]
"""A timer: ``query`` an interface, ``ask`` a node; ``heard``: all had time to answer after a start; ``member``,
``linger``, ``mend`` and ``settle`` of a group."""


@dataclass(slots=True)
class _Place:
    """Where a node is."""

    interface: str
    link_layer: LinkLayer
    groups: set[Address] = field(default_factory=set)
    changes: TokenBucket = field(default_factory=lambda: TokenBucket(CHANGES_PER_SECOND, CHANGES_AT_ONCE))
    questions: int = 0
    """How often it will still be asked for its groups, a second apart, unless it answers."""
    asked_until: Instant = 0
    """Not asked again before."""
    reminders: int = 0
    """How often it will be asked after these, at signs of life, unless it answers."""


@dataclass(slots=True)
class _Group:
    """One multicast address that somebody listens to."""

    audiences: dict[str, Audience] = field(default_factory=dict)
    """By interface."""
    upstream: Interest = NOTHING
    """What the network was asked for."""
    routes: dict[Address | None, tuple[str, ...]] = field(default_factory=dict)
    """Where packets go, by source; None: of all sources that are not named."""

    def named(self) -> set[Address]:
        """Every source that somebody named."""
        members = [member for audience in self.audiences.values() for member in audience.members.values()]
        return {source for member in members for source in member.sources}

    def wanted(self) -> tuple[Interest, dict[Address | None, tuple[str, ...]]]:
        """What to ask the network for, and where its packets should go."""
        interests = {name: audience.interest for name, audience in sorted(self.audiences.items())}
        everywhere = tuple(name for name, interest in interests.items() if interest.excluding)
        routes: dict[Address | None, tuple[str, ...]] = {None: everywhere} if everywhere else {}
        for source in sorted({source for interest in interests.values() for source in interest.sources}):
            ways = tuple(name for name, interest in interests.items() if interest.wants(source))
            if ways != everywhere:
                routes[source] = ways
        return merged(interests.values()), routes


class MulticastProxy:
    """All listeners of one router. `do` carries out an effect; `wake(key, instant)` asks for a call of `due(key)`
    then, `sleep(key)` takes that back.
    """

    def __init__(
        self,
        configuration: MulticastConfiguration,
        do: Callable[[Effect], None],
        wake: Callable[[Key, Instant], None],
        sleep: Callable[[Key], None],
    ) -> None:
        self.configuration = configuration
        self.groups: dict[Address, _Group] = {}
        self._nodes: dict[bytes, _Place] = {}
        self._startups: dict[str, int] = {}
        self._do = do
        self._wake = wake
        self._sleep = sleep

    # --- nodes come and go ----------------------------------------------------------------------------------------

    def started(self, now: Instant) -> None:
        """The router begins: the first queries follow each other quickly (RFC 3810 7.6.2, 9.6)."""
        for interface in self.configuration.access:
            self.link_up(interface, now)
        # Two general queries, a quarter of the interval apart, and the time to answer the second one.
        between = self.configuration.query_interval // 4
        self._wake(("heard", None), now + between + self.configuration.query_response_interval)

    def link_up(self, interface: str, now: Instant) -> None:
        """A link came up, and perhaps the kernel forgot what leads over it."""
        configuration = self.configuration
        if interface in configuration.access:
            self._startups[interface] = configuration.robustness
            self._query(interface, now)
        if interface in (*configuration.access, configuration.upstream):
            for group in self.groups:
                self._assert(group)

    def attached(self, node: bytes, interface: str, link_layer: LinkLayer, now: Instant) -> None:
        """A node is on an access link from now on: what does it listen to (RFC 6224 3, step 6)?"""
        place = self._nodes.get(node)
        if place is not None and place.interface != interface:
            self.departed(node, now)
            place = None
        if place is None:
            place = self._nodes[node] = _Place(interface, link_layer)
        place.link_layer = link_layer
        place.questions, place.reminders = self.configuration.robustness, REMINDERS
        self._ask(node, now)

    def seen(self, node: bytes, now: Instant) -> None:
        """A sign of life of one that attached before and perhaps has not answered yet."""
        place = self._nodes.get(node)
        if place is not None and place.reminders and not place.questions:
            place.reminders -= 1
            place.questions = 1
            self._wake(("ask", node), max(now, place.asked_until))

    def departed(self, node: bytes, now: Instant) -> None:
        """It is gone, and with it what it listened to (RFC 6224 6)."""
        place = self._nodes.pop(node, None)
        if place is None:
            return
        self._sleep(("ask", node))
        for group in sorted(place.groups):
            self._part(group, node, place, now)
            self._settle(group)

    def reported(
        self, node: bytes, interface: str, records: Sequence[MulticastAddressRecord], old: bool, now: Instant
    ) -> None:
        """It said what it listens to; `old`: in the words of version 1."""
        place = self._nodes.get(node)
        if place is None or place.interface != interface:
            return
        place.questions = place.reminders = 0
        self._sleep(("ask", node))
        for record in records:
            if forwarded(record.group):
                self._hear(node, place, record, old, now)
        for group in dict.fromkeys(record.group for record in records):
            if group in self.groups and not self._settled(group):
                self._settle_in_time(group, node, place, now)

    def _settle_in_time(self, group: Address, node: bytes, place: _Place, now: Instant) -> None:
        """Now, or later if the node has changed much of late."""
        if place.changes.take(now):
            self._settle(group)
        else:
            self._wake(("settle", group), now + _LATER)
            self._do(Report("group-delayed", {"node": node.hex(), "group": text(group)}))

    def _hear(self, node: bytes, place: _Place, record: MulticastAddressRecord, old: bool, now: Instant) -> None:
        group = record.group
        trouble = self._trouble(place, record)
        if trouble:
            self._refuse(node, group, trouble)
            return
        if group not in place.groups and not asks(record):
            return
        entry = self.groups.setdefault(group, _Group())
        audience = entry.audiences.setdefault(place.interface, Audience())
        member = audience.members.setdefault(node, Membership())
        place.groups.add(group)
        member.hear(record, self._admitted(node, place, entry, record), now + self._listener_interval)
        if old:
            audience.old_until = now + self._listener_interval
        self._follow(group, node, place, now)

    def _follow(self, group: Address, node: bytes, place: _Place, now: Instant) -> None:
        """The node's time in the group runs, or it is over."""
        audience = self.groups[group].audiences[place.interface]
        ends = audience.members[node].ends
        if ends is None:
            self._part(group, node, place, now)
            return
        self._wake(("member", (group, node)), ends)
        if audience.lingers:
            audience.lingers = False
            self._sleep(("linger", (group, place.interface)))

    def _part(self, group: Address, node: bytes, place: _Place, now: Instant) -> None:
        """The node does not listen to the group any more."""
        place.groups.discard(group)
        self._sleep(("member", (group, node)))
        audiences = self.groups[group].audiences
        audience = audiences[place.interface]
        del audience.members[node]
        if audience.members:
            return
        if audience.old_until > now:  # others of version 1 were silent because this one reported
            audience.lingers = True
            audience.queries = self.configuration.robustness
            self._ask_last(group, place.interface, now)
        else:
            del audiences[place.interface]

    # --- limits ---------------------------------------------------------------------------------------------------

    def _trouble(self, place: _Place, record: MulticastAddressRecord) -> str:
        """Why a record is not heeded at all; empty when it is."""
        if not asks(record):
            return ""
        if source_specific(record.group) and asks_for_all(record):
            return "all sources of a source-specific group"  # RFC 4604 2.2
        if record.group in place.groups:
            return ""
        if len(place.groups) >= self.configuration.groups_per_node:
            return "too many groups of one node"
        if record.group not in self.groups and len(self.groups) >= self.configuration.groups:
            return "too many groups"
        return ""

    def _admitted(
        self, node: bytes, place: _Place, entry: _Group, record: MulticastAddressRecord
    ) -> Collection[Address]:
        """The sources of `record` that there is room for: of the node, and of the group."""
        if not record.sources:
            return ()
        known = entry.named()
        own = entry.audiences[place.interface].members[node].sources
        others = sum(
            len(self.groups[group].audiences[place.interface].members[node].sources) for group in place.groups
        ) - len(own)
        admitted: set[Address] = set()
        for source in record.sources:
            if others + len(own.keys() | admitted | {source}) > self.configuration.sources_per_node:
                break
            if source in known or len(known) < FILTER_SOURCES:
                known.add(source)
                admitted.add(source)
        if len(admitted) < len(set(record.sources)):
            self._refuse(node, record.group, "too many sources")
        return admitted

    def _refuse(self, node: bytes, group: Address, reason: str) -> None:
        self._do(Report("group-refused", {"node": node.hex(), "group": text(group), "reason": reason}))

    # --- what holds -----------------------------------------------------------------------------------------------

    def _settled(self, group: Address) -> bool:
        """Whether all is as the listeners want it."""
        entry = self.groups[group]
        return bool(entry.audiences) and entry.wanted() == (entry.upstream, entry.routes)

    def _settle(self, group: Address) -> None:
        """Routes and subscription are what the listeners want: first the way in, then the packets."""
        entry = self.groups[group]
        upstream, routes = entry.wanted()
        before, entry.upstream, entry.routes = (entry.upstream, entry.routes), upstream, routes
        for source, ways in routes.items():
            if before[1].get(source) != ways:
                self._do(EnsureMulticastRoute(group, source, ways))
        if upstream != before[0]:
            self._subscribe(group, before[0], upstream)
        for source in before[1]:
            if source not in routes:
                self._do(WithdrawMulticastRoute(group, source))
        if not entry.audiences:
            del self.groups[group]

    def _subscribe(self, group: Address, before: Interest, wanted: Interest) -> None:
        if wanted == NOTHING:
            self._do(WithdrawMembership(group))
            self._do(Report("group-left", {"group": text(group)}))
            return
        self._do(EnsureMembership(group, wanted.excluding, tuple(sorted(wanted.sources))))
        if before == NOTHING:
            self._do(Report("group-joined", {"group": text(group)}))

    def _assert(self, group: Address) -> None:
        """All that should hold for the group, once more."""
        entry = self.groups[group]
        for source, ways in entry.routes.items():
            self._do(EnsureMulticastRoute(group, source, ways))
        if entry.upstream != NOTHING:
            self._do(EnsureMembership(group, entry.upstream.excluding, tuple(sorted(entry.upstream.sources))))

    def failed(self, effect: EnsureMulticastRoute | EnsureMembership, now: Instant) -> None:
        """The kernel refused: once more after a second, as long as somebody listens."""
        self._wake(("mend", effect.group), now + _REPAIR_AFTER)

    # --- questions ------------------------------------------------------------------------------------------------

    @property
    def _listener_interval(self) -> Duration:
        """[Multicast Address Listening Interval] (RFC 3810 9.4)."""
        configuration = self.configuration
        return configuration.robustness * configuration.query_interval + configuration.query_response_interval

    def _query(self, interface: str, now: Instant) -> None:
        """A general query, and when the next one is due."""
        self._question(interface, None, None, self.configuration.query_response_interval)
        self._startups[interface] -= 1
        interval = self.configuration.query_interval
        if self._startups[interface] > 0:
            interval //= 4  # RFC 3810 9.6
        self._wake(("query", interface), now + interval)

    def _ask(self, node: bytes, now: Instant) -> None:
        """One node alone is asked for all that it listens to; again if it does not answer."""
        place = self._nodes[node]
        self._question(place.interface, place.link_layer, None, AT_ONCE)
        place.questions -= 1
        place.asked_until = now + self.configuration.last_listener_query_interval
        if place.questions > 0:
            self._wake(("ask", node), place.asked_until)

    def _ask_last(self, group: Address, interface: str, now: Instant) -> None:
        """Is anybody left who listens to the group (RFC 3810 7.6.3.1)?"""
        interval = self.configuration.last_listener_query_interval
        self.groups[group].audiences[interface].queries -= 1
        self._question(interface, None, group, interval)
        self._wake(("linger", (group, interface)), now + interval)

    def _question(self, interface: str, link_layer: LinkLayer | None, group: Address | None, within: Duration) -> None:
        configuration = self.configuration
        self._do(
            QueryListeners(interface, link_layer, group, within, configuration.robustness, configuration.query_interval)
        )

    # --- time -----------------------------------------------------------------------------------------------------

    def due(self, key: Key, now: Instant) -> None:
        """What was to happen at this time."""
        match key:
            case ("query", str(interface)):
                self._query(interface, now)
            case ("heard", None):
                self._do(ForgetMulticast())
            case ("ask", bytes(node)):
                self._ask(node, now)
            case ("member", (bytes(group), bytes(node))):
                self._on_member_due(group, node, now)
            case ("linger", (bytes(group), str(interface))):
                self._on_linger_due(group, interface, now)
            case ("mend", bytes(group)) if group in self.groups:
                self._assert(group)
            case ("settle", bytes(group)) if group in self.groups:
                self._settle(group)
            case _:
                pass

    def _on_member_due(self, group: Address, node: bytes, now: Instant) -> None:
        place = self._nodes[node]
        self.groups[group].audiences[place.interface].members[node].expire(now)
        self._follow(group, node, place, now)
        self._settle(group)

    def _on_linger_due(self, group: Address, interface: str, now: Instant) -> None:
        audiences = self.groups[group].audiences
        if audiences[interface].queries > 0:
            self._ask_last(group, interface, now)
            return
        del audiences[interface]
        self._settle(group)

    # --- for people -----------------------------------------------------------------------------------------------

    def rows(self, now: Instant) -> list[Row]:
        """One row for each node and group, by group."""
        return [
            row
            for group, entry in sorted(self.groups.items())
            for interface, audience in sorted(entry.audiences.items())
            for row in _rows_of(group, interface, audience, now)
        ]


def _rows_of(group: Address, interface: str, audience: Audience, now: Instant) -> Iterable[Row]:
    if audience.lingers:
        yield _row(group, interface, "", audience.interest, None)
    for node, member in audience.members.items():
        yield _row(group, interface, node.hex(), member.interest, ((member.ends or now) - now) // SECOND)


def _row(group: Address, interface: str, node: str, interest: Interest, left: int | None) -> Row:
    wants = "only" if not interest.excluding else "all but" if interest.sources else "all"
    return {
        "group": text(group),
        "interface": interface,
        "node": node,
        "wants": wants,
        "sources": [text(source) for source in sorted(interest.sources)],
        "expires": left,
    }
