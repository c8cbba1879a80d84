"""Which prefixes of a node the CMD holds to be anchored, and by whom (RFC 8885 3.1, 3.6, 6).

The serving MAAR lists what it anchors, the pools of the configuration say who anchors the rest. A prefix has one node
and one anchor; a node has `prefixes_per_node` of them at most. A CMD that lost everything learns them again from
refreshes, from registrations that come late and from what previous MAARs answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sojourn.engines.base import TokenBucket
from sojourn.engines.configuration import DIRECT, CmdConfiguration, Maar
from sojourn.engines.database_entry import BindingCacheEntry, leased, merged
from sojourn.engines.database_shared import SharedDatabase
from sojourn.engines.registration import Refused, Registration
from sojourn.wire import Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Instant, WallClock, ticks

_NOBODYS, _NOBODYS_RATE = 256, 32
"""Prefixes that are anchored for nobody are ended: so many at once, and a second. Else one MAAR that says much of nodes
that are nowhere would fill the memory, and what all others are told in bulk would wait behind that."""
_RACE = ticks(10 * SECOND)
"""An attachment that is no older than this, and late, is the one before the latest; an older one is the oldest."""


class Anchorage(SharedDatabase):
    """The part of the CMD that says who anchors what."""

    def __init__(self, configuration: CmdConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._nobodys = TokenBucket(_NOBODYS_RATE, _NOBODYS)
        self._settled: Instant = 0
        """Until then a CMD that began with nothing learns what others know."""
        self._dropped: set[Prefix] = set()
        """Prefixes that came to their end before that: they are not learnt again."""

    @property
    def _follows(self) -> bool:
        """Direct mode: the MAARs decide, and the CMD is told."""
        return self.configuration.mode is DIRECT

    def _owner_of(self, prefix: Prefix) -> Address | None:
        for maar in self.configuration.maars:
            if maar.owns(prefix):
                return maar.address
        return None

    def _own_prefixes(self, request: Registration, maar: Maar) -> list[Prefix]:
        """The prefixes that the MAAR says it anchors; each must be of its pool and nobody else's."""
        own = request.home_network_prefixes
        if len(own) > 1:
            own = list(dict.fromkeys(own))
        for prefix in own:
            if not maar.owns(prefix):
                raise Refused(
                    Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, f"{prefix} is not of the pool of this MAAR"
                )
            owner = self._owner(prefix, request.source)
            if owner not in (None, request.node):
                assert owner is not None
                self._check(owner)  # or what we know of that one is old
                raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, f"{prefix} belongs to another node")
        if len(own) > self.configuration.prefixes_per_node and any(self._surplus(own)):
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many prefixes")
        return own

    def _limit(self, entry: BindingCacheEntry) -> list[tuple[Prefix, Address]]:
        """A hard cap: the prefix whose MAAR served longest ago retires (RFC 8885 6: limit the P-MAARs of a node)."""
        if len(entry.anchors) <= self.configuration.prefixes_per_node or self._follows:
            return []
        dropped: list[tuple[Prefix, Address]] = []
        for by_dhcp, surplus in enumerate(self._surplus(prefix for prefix, _ in entry.anchors)):
            dropped += [pair for pair in entry.previous() if leased(pair[0]) is bool(by_dhcp)][:surplus]
        for prefix, maar in dropped:
            self._report("prefix-over-limit", node=entry.node, prefix=prefix)
            self._drop(entry, prefix)
            self._tell_retired(entry, prefix, maar)
        return dropped

    def _surplus(self, prefixes: Iterable[Prefix]) -> tuple[int, int]:
        """How many too many of the prefixes that a node makes addresses of, and of those that it leased."""
        kinds = Counter(map(leased, prefixes))
        most = self.configuration.prefixes_per_node
        return max(kinds[False] - most, 0), max(kinds[True] - most, 0)

    def _add_own(self, entry: BindingCacheEntry, own: list[Prefix], maar: Address) -> None:
        for prefix in own:
            entry.add(prefix, maar)
            self._owners[prefix] = entry.node
            self._dropped.discard(prefix)
            self._requests.cancel(("retire", entry.node, maar, prefix))  # it lives again

    def _add_listed(self, entry: BindingCacheEntry, request: Registration, own: list[Prefix]) -> None:
        """What the serving MAAR lists: all that it anchors, and, for a CMD that was restarted, what others do.

        To any other CMD a prefix that is listed and not known is one that just retired. In direct mode a CMD knows
        nothing but what it is told.
        """
        if self._now < self._settled or self._follows:
            known = {prefix for prefix, _ in entry.anchors}
            self._adopt(entry, request.anchored_prefixes)
            if not self._follows:
                news = {anchor for prefix, anchor in entry.previous() if prefix not in known}
                entry.untold += tuple(sorted(news - set(entry.untold)))  # they may know better
        for prefix, anchor in entry.anchors:
            if anchor == request.source and prefix not in own:  # it serves, and does not anchor this any more
                self._drop(entry, prefix)
        self._add_own(entry, own, request.source)

    def _drop_unlisted(self, entry: BindingCacheEntry, request: Registration) -> None:
        """Direct mode: who serves the node knows all of its prefixes by now, and these are over."""
        listed = {*request.anchored_prefixes, *request.home_network_prefixes}
        for prefix, _ in list(entry.anchors):
            if prefix not in listed:
                self._drop(entry, prefix)

    def _adopt(self, entry: BindingCacheEntry, listed: Iterable[Prefix]) -> None:
        """Prefixes that a serving MAAR says others anchor; the pools say who."""
        for prefix in merged((prefix for prefix, _ in entry.anchors), listed):
            anchor = self._owner_of(prefix)
            if anchor is None or self._is_of_another(prefix, entry.node):
                self._report("prefix-unknown", node=entry.node, prefix=prefix)
            elif self._follows:
                entry.anchors.insert(0, (prefix, anchor))
                self._owners[prefix] = entry.node
            elif prefix in self._dropped or self._requests.get(("retire", entry.node, anchor, prefix)) is not None:
                pass  # its end is being told
            elif not any(self._surplus([prefix, *(known for known, _ in entry.anchors)])):
                entry.anchors.insert(0, (prefix, anchor))
                self._owners[prefix] = entry.node

    def _learn_late(self, entry: BindingCacheEntry, request: Registration, own: list[Prefix]) -> None:
        """An update that lost the race may know anchors that we do not: they join, and are told.

        Its own prefix is one that the node has had for a moment; of others' it knows more than a restarted CMD only.
        """
        before = {prefix for prefix, _ in entry.anchors}
        raced = entry.timestamp - request.timestamp < _RACE
        for prefix in merged(before, own):
            if self._requests.get(("retire", entry.node, request.source, prefix)) is None:
                entry.anchors.insert(-1 if raced else 0, (prefix, request.source))
                self._owners[prefix] = entry.node
        if self._now < self._settled:
            self._adopt(entry, request.anchored_prefixes)
        news = {prefix: maar for prefix, maar in entry.anchors if prefix not in before}
        if not news:
            theirs = any(maar == request.source for _, maar in entry.previous())
            if theirs and self.configuration.shared:  # another CMD learnt them, and may not have come to say so
                self._inform(entry, entry.previous())
            return
        for prefix, _ in self._limit(entry):
            news.pop(prefix, None)
            self._tell_retired(entry, prefix, entry.serving)
        for maar in dict.fromkeys(news.values()):
            self._doubt(entry, maar)
        self._keep(entry)
        if news:
            self._announce(entry, dict.fromkeys(news.values()))

    def _anchored_too(self, entry: BindingCacheEntry, prefixes: list[Prefix], maar: Address) -> None:
        """A previous MAAR says that it leased these too: the node moved before we heard of them.

        Or it was away when it was told that they are over, and is to hear that now, not with the last repetition.
        """
        theirs = [
            prefix
            for prefix in prefixes
            if self._maars[maar].owns(prefix) and not self._is_of_another(prefix, entry.node)
        ]
        ending = [one for one in theirs if self._requests.get(("retire", entry.node, maar, one)) is not None]
        for prefix in ending:
            self._tell_retired(entry, prefix, maar)
        news = [prefix for prefix in theirs if prefix not in ending]
        for prefix in news:
            entry.anchors.insert(0, (prefix, maar))
            self._owners[prefix] = entry.node
        if news:
            for prefix, anchor in self._limit(entry):
                self._tell_retired(entry, prefix, entry.serving)
                news = [one for one in news if (one, maar) != (prefix, anchor)]
            self._keep(entry)
            self._inform(entry, [(prefix, maar) for prefix in news])

    def _anchored_beyond(self, entry: BindingCacheEntry, prefixes: list[Prefix], maar: Address, stamp: int) -> None:
        """`maar` anchors prefixes that we let go of.

        It would not, as long as it thought that the node is there, or a late notice brought them back.

        As nobody serves them, packets to them would go to and fro between two MAARs. `stamp` is the Timestamp that it
        accepted. A CMD without memory may yet learn of others (3.5), so it leaves these alone.
        """
        for prefix in prefixes:
            if self._now >= self._settled or prefix in self._dropped:
                self._tell_retired(entry, prefix, maar, stamp)

    def _anchored_for_nobody(self, node: bytes, prefixes: list[Prefix], maar: Address, stamp: int) -> None:
        """`maar` anchors prefixes for a node that is nowhere: a late notice, of the time `stamp`, brought them back.

        One of several CMDs does not know every node; one without memory, or that follows, may yet hear of this one.
        What is too much is asked for by its anchor at the end of the lifetime (RFC 8885 3.5).
        """
        if self.configuration.shared or self._follows or self._unread.left or self._now < self._settled:
            return
        gone = BindingCacheEntry(node, maar, stamp, 0, 0, self._now, [])
        for prefix in prefixes:
            if self._maars[maar].owns(prefix) and self._nobodys.take(self._now):
                self._tell_retired(gone, prefix, maar)

    def _drop(self, entry: BindingCacheEntry, prefix: Prefix) -> None:
        entry.remove(prefix)
        self._disown(prefix, entry.node)
        if self._now < self._settled:
            self._dropped.add(prefix)
        else:
            self._dropped.clear()
