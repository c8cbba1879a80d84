"""The Central Mobility Database (RFC 8885 section 3): it knows where every node is and who anchors its prefixes.

No user packet passes here. A MAAR registers a node; the CMD stores the new place and tells the MAARs that anchor
earlier prefixes, in one of three ways:

* proxy (3.4): the serving MAAR is answered at once with the list of previous MAARs, which are told in parallel;
* relay (3.2): the previous MAARs are told first and their answers are gathered into one (or, after a time, several);
* locator (3.3): the previous MAARs answer the serving MAAR themselves; the CMD answers when there are none.

In direct mode (`maar_direct`) the MAARs have told each other already: the CMD notes it, and says what it knows besides.

Where the RFC is silent: the attachment with the latest Timestamp wins; a refresh lists what the MAAR serves, so that a
CMD that lost everything learns it again; an entry that expires is forgotten without a word, because an anchor
asks by itself, at the end of a lifetime, whether the node is still in the domain (3.5, second solution).
The checks of an update are in `registration`, what is kept in `database_entry`, telling others in `database_notices`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sojourn.core.effects import DeleteBinding, Effect, SendMessage, StoreBinding
from sojourn.core.engine import Row
from sojourn.core.events import (
    BindingChanged,
    BindingsFound,
    ClockStepped,
    Commanded,
    EffectFailed,
    Event,
    MessageReceived,
)
from sojourn.core.sequence import newer
from sojourn.engines.base import TimerName
from sojourn.engines.configuration import DIRECT, LOCATOR, RELAY, CmdConfiguration, Maar
from sojourn.engines.database_entry import BindingCacheEntry, leased, merged
from sojourn.engines.database_notices import IDENTITIES
from sojourn.engines.database_shared import LINGER, SharedDatabase
from sojourn.engines.liveness import response
from sojourn.engines.neighbourhood import FAR
from sojourn.engines.registration import PROXY_DMM, Refused, Registration
from sojourn.engines.unread import Stored, Unread
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    Heartbeat,
    HeartbeatFlags,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import Address, Prefix, text
from sojourn.wire.units import SECOND, Duration, Instant, WallClock, ticks, wall_clock

_REPAIR_AFTER = 1 * SECOND
_TOLD_ANEW_INTERVAL = 10 * SECOND
_RESTORE: TimerName = ("restore", b"")
_RACE = ticks(10 * SECOND)
"""An attachment that is no older than this, and late, is the one before the latest; an older one is the oldest."""


class CentralMobilityDatabase(SharedDatabase):
    """The engine of the role ``cmd``."""

    def __init__(self, configuration: CmdConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._settled: Instant = 0
        self._begun = 0
        """The restart counter: when this life began, in seconds (RFC 5847 3.2)."""
        self._dropped: set[Prefix] = set()
        """Prefixes that came to their end before that: they are not learnt again."""
        self._asking: dict[Address, tuple[MobilityOption, ...]] = {}
        """What MAARs sent that begin without memory, and did not get back yet."""
        self._forgetful: set[Address] = set()
        """MAARs that asked again, too soon, what they anchor."""

    # --- life -----------------------------------------------------------------------------------------------------

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. A CMD that begins with nothing asks every MAAR to register its nodes again."""
        self._now = now
        self._begun = (self._epoch + now) // SECOND
        self._unread = Unread(records)
        self._remember(self._unread.some())
        if self._unread.left:
            self._timers.start(_RESTORE, now)
        if not self.entries:
            self._settled = now + self.configuration.warm_up
        elif self.configuration.shared:
            return self._flush()  # the others were there
        # Also after a restart with the store: who moved meanwhile is registered at once, not at the next repetition.
        for maar in self.configuration.maars:
            self._do(SendMessage(BindingRefreshRequest(), self.configuration.address, maar.address))
        return self._flush()

    def _remember(self, records: Iterable[Stored]) -> None:
        """Bindings of an earlier life: the next ones, those of a node that is asked about, or all that are left."""
        for node, record in records:
            try:
                entry = BindingCacheEntry.restored(node, record, self._now)
            except ValueError:
                self._report("record-unreadable", node=node)
                continue
            others = [prefix for prefix, _ in entry.anchors if self._owners.get(prefix, node) != node]
            for prefix in others:  # its MAAR gave it to another node, and said so before we came to this one
                entry.remove(prefix)
            self._hold(entry)
            if others:
                self._keep(entry)
            self._epoch = max(self._epoch, wall_clock(entry.timestamp) - self._now)
            for maar_address in entry.untold:
                self._tell_again(entry, maar_address)

    def _on_event(self, event: Event) -> None:
        if type(event) is MessageReceived:
            self._on_message(event.message, event.source)
            return
        match event:
            case ClockStepped(epoch):
                self._epoch = max(self._epoch, epoch)  # set back, it would refuse whoever is right for as long
            case EffectFailed(StoreBinding(key) | DeleteBinding(key), error, reason):
                self._report("effect-failed", effect="StoreBinding", error=error, reason=reason)
                self._after(_REPAIR_AFTER, "store", key)
            case BindingChanged(key, record, remaining):
                self._on_changed(key, record, remaining)
            case BindingsFound(maar):
                self._tell_anchored(maar)
            case Commanded(verb, arguments):
                self._report("command-unknown", verb=verb, arguments=len(arguments))
            case _:
                pass  # a database has no links, no counters and nothing in the kernel

    def _on_message(self, message: object, source: Address) -> None:
        if type(message) is BindingUpdate:
            self._on_update(message, source)
            return
        if type(message) is BindingAcknowledgement:
            self._on_acknowledgement(message, source)
            return
        match message:
            case BindingRefreshRequest(options) if source in self._maars:
                self._asking[source] = options[:1]
                if not self.configuration.shared or source in self._reserved:
                    self._return_request(source)  # else when it is known what is in use there
                self._on_refresh_request(source)
            case Heartbeat(flags) if source in self._maars and not flags & HeartbeatFlags.RESPONSE:
                self.heard[source] = self._now
                self._do(SendMessage(response(message.sequence, self._begun), self.configuration.address, source))
            case BindingError(status):
                self._report("binding-error-received", source=source, status=status)
            case _:
                self._report("message-unexpected", source=source, type=type(message).__name__)

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind == "request":
            self._on_request_due(key)
        elif kind == "flush":
            self._flush_relay(key)
        elif kind == "told-anew" and key in self._forgetful:
            self._forgetful.discard(key)
            self._on_refresh_request(key)
        elif kind == "restore":
            self._remember(self._unread.some())
            if self._unread.left:
                self._timers.start(_RESTORE, self._now + 1)  # messages have their turn
        elif kind == "reserved":
            del self._reserved[key]
        elif kind == "store":  # the disk refused this binding: what is true of it now
            entry = self.entries.get(key)
            if entry is None:
                self._do(DeleteBinding(key))
            else:
                self._keep(entry)
        elif kind == "expiry":
            entry = self.entries.get(key)
            if entry is not None:
                self._report("binding-expired", node=entry.node, serving=entry.serving)
                self._forget(entry)

    def _on_refresh_request(self, source: Address) -> None:
        """A MAAR begins without memory (RFC 6275 6.1.2): it is told what it anchors, for nodes that are elsewhere."""
        self.heard[source] = self._now
        if self._unread.left:
            self._forgetful.add(source)  # and is told when everything is known
            self._after(SECOND, "told-anew", source)
        elif ("told-anew", source) in self._timers:
            self._forgetful.add(source)  # whoever repeats this waits
        elif self.configuration.shared:
            self._after(_TOLD_ANEW_INTERVAL, "told-anew", source)
            self._find_anchored(source)
        else:
            self._tell_anchored(source)

    def _tell_anchored(self, source: Address) -> None:
        self._remember(self._unread.rest())
        anchored = [entry for entry in self.entries.values() if source in entry.by_maar()]
        if anchored:
            self._after(_TOLD_ANEW_INTERVAL, "told-anew", source)
        if self.configuration.shared:
            self._reserve(source)
        self._return_request(source)
        for entry in anchored:
            self._tell_again(entry, source)
        self._report("refresh-requested", maar=source, entries=len(anchored))

    def _return_request(self, source: Address) -> None:
        """It was heard that the MAAR asked; with several CMDs, also that this one knows what it anchors."""
        options = self._asking.pop(source, None)
        if options is not None:
            self._do(SendMessage(BindingRefreshRequest(options), self.configuration.address, source))

    # --- proxy binding updates ------------------------------------------------------------------------------------

    def _on_update(self, update: BindingUpdate, source: Address) -> None:
        """RFC 5213 5.3.1, RFC 8885 3.1: refuse, register, hand over, refresh, retire or de-register."""
        maar = self._maars.get(source)
        try:
            if maar is None:
                if not self._strangers.take(self._now):
                    return
                raise Refused(Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG, "source is not a MAAR of this domain")
            if update.flags & PROXY_DMM != PROXY_DMM:
                raise Refused(Status.PROXY_REG_NOT_ENABLED, "not a distributed proxy registration (flags A, P, D)")
            request = Registration.of(update, source)
            self.heard[source] = self._now
            if self._unread.left:
                self._remember(self._unread.of(request.node))
            if not request.firsts.keys().isdisjoint(IDENTITIES):
                self._learn_identity(request.firsts, update, source)
            if request.lifetime > 0:
                self._register(request, update, maar)
            elif request.anchored_prefixes:
                self._retire_on_request(request, update, maar)
            else:
                self._deregister(request, update)
        except Refused as refused:
            self._refuse(update, source, refused)

    def _register(self, request: Registration, update: BindingUpdate, maar: Maar) -> None:
        own = self._own_prefixes(request, maar)
        entry = self.entries.get(request.node)
        if entry is None:
            self._check_future(request)
            self._open(request, update, own)
        elif request.timestamp == entry.timestamp and request.source == entry.serving:
            self._refresh(entry, request, update, own)
        elif request.timestamp <= entry.timestamp:
            # Refused before anything else is sent: whose clock is behind learns that first.
            late = Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known")
            self._check(request.node)
            self._refuse(update, request.source, late)
            if request.source != entry.serving:
                self._learn_late(entry, request, own)
                self._tell_again(entry, request.source)  # it believes that the node is there
        else:
            self._check_future(request)
            self._hand_over(entry, request, update, own)

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

    def _check_future(self, request: Registration) -> None:
        """RFC 5213 5.5: an attachment ahead of our clock would win for ever. A late one is late, not wrong.

        In direct mode all clocks follow the one that is ahead, and so does ours.
        """
        window = FAR if self._follows else self.configuration.timestamp_validity_window
        if request.timestamp > ticks(self._epoch + self._now + window):
            raise Refused(Status.TIMESTAMP_MISMATCH, "timestamp lies in the future")
        if self._follows:
            self._epoch = max(self._epoch, wall_clock(request.timestamp) - self._now)

    def _open(self, request: Registration, update: BindingUpdate, own: list[Prefix]) -> None:
        """RFC 8885 3.1: initial registration, or what a CMD that forgot everything is told again."""
        if len(self.entries) + self._unread.left >= self.configuration.nodes:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many nodes")
        if self._serves[request.source] >= self.configuration.nodes_per_maar:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many nodes of this MAAR")
        lifetime = self._granted(request.lifetime)
        entry = BindingCacheEntry(
            request.node,
            request.source,
            request.timestamp,
            request.sequence,
            lifetime,
            self._now + lifetime,
            [],
        )
        entry.technology = request.technology
        self._hold(entry)
        self._adopt(entry, request.anchored_prefixes)
        self._add_own(entry, own, request.source)
        self._limit(entry)
        entry.untold = () if self._follows else tuple(entry.by_maar())
        self._keep(entry)
        self._report("registered", node=entry.node, serving=entry.serving)
        self._accept(entry, update)
        for anchor in entry.untold:  # they may have moved on, or forgotten, while we knew nothing
            self._tell_again(entry, anchor)

    def _refresh(
        self, entry: BindingCacheEntry, request: Registration, update: BindingUpdate, own: list[Prefix]
    ) -> None:
        """The same attachment again: a refresh of all that it lists, or a repetition (design decision 12).

        With a Timestamp in the update the sequence number orders nothing (RFC 5213 5.5, 5.).
        """
        if newer(request.sequence, entry.sequence):
            entry.sequence = request.sequence
        self._extend(entry, self._granted(request.lifetime))
        before = list(entry.anchors)
        self._add_listed(entry, request, own)
        if self._follows and request.refreshes:
            self._drop_unlisted(entry, request)
        self._limit(entry)
        if entry.anchors != before:
            self._keep(entry)
        else:
            self._keep_refreshed(entry)
        for silent in entry.untold:
            self._tell_again(entry, silent)
        handover = entry.handover
        if handover is not None and not request.refreshes:
            handover.update = update
            if self.configuration.mode is RELAY and not handover.flushed:
                return  # the gathered answer is still to come
        if handover is not None and self.configuration.mode is LOCATOR:
            handover.flushed = True  # no previous MAAR was heard, so the CMD answers itself
        self._accept(entry, update)

    def _hand_over(
        self, entry: BindingCacheEntry, request: Registration, update: BindingUpdate, own: list[Prefix]
    ) -> None:
        """RFC 8885 3.2 to 3.4: the node is elsewhere; move the binding and tell the MAARs that anchor for it."""
        left = entry.serving
        stayed = left == request.source
        self._serves[left] -= 1
        self._serves[request.source] += 1
        entry.serving = request.source
        entry.timestamp = request.timestamp
        entry.sequence = request.sequence
        entry.technology = request.technology
        self._extend(entry, self._granted(request.lifetime))
        self._add_listed(entry, request, own)
        if len(entry.anchors) > self.configuration.prefixes_per_node:
            self._limit(entry)
        if stayed:  # it came back before anybody else saw it: the anchors point here already
            self._keep(entry)
            self._accept(entry, update)
            return
        entry.moved = request.timestamp
        if self._follows:
            self._stop_telling(entry)
            self._keep(entry)
            self._report("handover", node=entry.node, serving=entry.serving, left=left, previous=len(entry.previous()))
            self._accept(entry, update)
            return
        targets = entry.by_maar()
        targets.setdefault(left, [])  # it served without anchoring: it has to let go all the same
        self._report(
            "handover",
            node=entry.node,
            serving=entry.serving,
            left=left,
            previous=len(targets),
        )
        self._notify(entry, update, targets)

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
            return
        for prefix, _ in self._limit(entry):
            news.pop(prefix, None)
            self._tell_retired(entry, prefix, entry.serving)
        for maar in dict.fromkeys(news.values()):
            self._doubt(entry, maar)
        self._keep(entry)
        if news:
            self._announce(entry, dict.fromkeys(news.values()))

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

    @property
    def _follows(self) -> bool:
        """Direct mode: the MAARs decide, and the CMD is told."""
        return self.configuration.mode is DIRECT

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
            if anchor is None or self._owners.get(prefix, entry.node) != entry.node:
                self._report("prefix-unknown", node=entry.node, prefix=prefix)
            elif self._follows:
                entry.anchors.insert(0, (prefix, anchor))
                self._owners[prefix] = entry.node
            elif prefix in self._dropped or self._requests.get(("retire", entry.node, anchor, prefix)) is not None:
                pass  # its end is being told
            elif not any(self._surplus([prefix, *(known for known, _ in entry.anchors)])):
                entry.anchors.insert(0, (prefix, anchor))
                self._owners[prefix] = entry.node

    def _anchored_too(self, entry: BindingCacheEntry, prefixes: list[Prefix], maar: Address) -> None:
        """A previous MAAR says that it leased these too: the node moved before we heard of them.

        Or it was away when it was told that they are over, and is to hear that now, not with the last repetition.
        """
        theirs = [
            prefix
            for prefix in prefixes
            if self._maars[maar].owns(prefix) and self._owners.get(prefix, entry.node) == entry.node
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

    def _add_own(self, entry: BindingCacheEntry, own: list[Prefix], maar: Address) -> None:
        for prefix in own:
            entry.add(prefix, maar)
            self._owners[prefix] = entry.node
            self._dropped.discard(prefix)
            self._requests.cancel(("retire", entry.node, maar, prefix))  # it lives again

    def _owner_of(self, prefix: Prefix) -> Address | None:
        for maar in self.configuration.maars:
            if maar.owns(prefix):
                return maar.address
        return None

    def _retire_on_request(self, request: Registration, update: BindingUpdate, maar: Maar) -> None:
        """Design decision 1: the anchor saw no packet for a while; the prefix goes, at all three of us.

        Or the node gave back what it leased, to the MAAR that serves it: its anchor is told.
        """
        prefix = request.anchored_prefixes[0]
        self._check(request.node)
        entry = self.entries.get(request.node)
        anchor = None if entry is None else entry.anchor_of(prefix)
        if entry is not None and entry.serving == request.source and anchor not in (None, request.source):
            assert anchor is not None
            self._drop(entry, prefix)
            self._keep(entry)
            self._tell_retired(entry, prefix, anchor)
            self._report("prefix-given-back", node=request.node, prefix=prefix)
            self._send(self._acknowledgement(update, 0), request.source)
            return
        if not maar.owns(prefix):
            raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, f"{prefix} is not of the pool of this MAAR")
        if entry is not None and entry.anchor_of(prefix) == request.source:
            if entry.serving == request.source:
                raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the node is attached there")
            if request.timestamp < entry.moved:  # it does not know yet where the node is, so it cannot know this
                self._tell_again(entry, request.source)
                raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known")
            self._drop(entry, prefix)
            self._keep(entry)
            self._tell_retired(entry, prefix, entry.serving)
            self._report("prefix-retired", node=request.node, prefix=prefix)
        self._send(self._acknowledgement(update, 0), request.source)

    def _deregister(self, request: Registration, update: BindingUpdate) -> None:
        """RFC 8885 3.5: only the serving MAAR ends the session; another one learns that the node is still here."""
        self._check(request.node)
        entry = self.entries.get(request.node)
        if entry is None:
            lifetime = max(self._settled - self._now, 4 * SECOND) if self._now < self._settled else 0
        elif entry.serving != request.source:
            lifetime = self._still_elsewhere(entry, request)
        elif request.timestamp < entry.timestamp:  # it is late; or from a MAAR that forgot that the node came to it
            raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later attachment is known")
        else:
            lifetime = 0
            for maar, prefixes in () if self._follows else entry.by_maar().items():
                for prefix in prefixes:
                    self._tell_retired(entry, prefix, maar)
            self._report("deregistered", node=entry.node, serving=entry.serving)
            self._forget(entry)
        self._send(self._acknowledgement(update, lifetime), request.source)

    def _still_elsewhere(self, entry: BindingCacheEntry, request: Registration) -> Duration:
        """An anchor asked whether the node is still here: it may not know where, and we may not know the anchor.

        Answers with the lifetime that it gets: none, when it anchors nothing that the node still has.
        """
        if self._now < self._settled:
            self._learn_late(entry, request, self._own_prefixes(request, self._maars[request.source]))
        prefixes = entry.by_maar().get(request.source)
        if prefixes is None:
            return 0
        for prefix in request.home_network_prefixes:
            if prefix not in prefixes:  # it did not hear that this one is over
                self._tell_retired(entry, prefix, request.source)
        if request.timestamp > entry.timestamp:  # an attachment that we never heard of, and that is over
            self._tell_moved(entry, request.source, prefixes, request.timestamp)
        elif request.timestamp not in (entry.moved, entry.timestamp) or request.source in entry.unconfirmed():
            self._tell_again(entry, request.source)
        return max(entry.expires - self._now, 4 * SECOND)

    # --- bookkeeping ----------------------------------------------------------------------------------------------

    def _extend(self, entry: BindingCacheEntry, lifetime: Duration) -> None:
        entry.lifetime = lifetime
        entry.expires = self._now + lifetime
        self._timers.start(("expiry", entry.node), entry.expires + LINGER)

    def _drop(self, entry: BindingCacheEntry, prefix: Prefix) -> None:
        entry.remove(prefix)
        self._disown(prefix, entry.node)
        if self._now < self._settled:
            self._dropped.add(prefix)
        else:
            self._dropped.clear()

    # --- for people -----------------------------------------------------------------------------------------------

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``bindings`` (also ``sessions``) and ``peers``."""
        if topic in ("bindings", "sessions"):
            self._remember(self._unread.rest())
            return [self._binding_row(entry, now) for entry in self.entries.values()]
        if topic == "peers":
            return [self._peer_row(maar, now) for maar in self.configuration.maars]
        return []

    def _binding_row(self, entry: BindingCacheEntry, now: Instant) -> Row:
        return {
            "node": entry.node.hex(),
            "serving": self._name(entry.serving),
            "lifetime": max(entry.expires - now, 0) // SECOND,
            "prefixes": [f"{prefix} at {self._name(maar)}" for prefix, maar in reversed(entry.anchors)],
        }

    def _peer_row(self, maar: Maar, now: Instant) -> Row:
        heard = self.heard.get(maar.address)
        return {
            "name": maar.name or text(maar.address),
            "address": text(maar.address),
            "role": "maar",
            "pool": str(maar.pool),
            "serves": self._serves[maar.address],
            "heard": None if heard is None else (now - heard) // SECOND,
        }

    def _name(self, maar: Address) -> str:
        known = self._maars.get(maar)
        return known.name if known is not None and known.name else text(maar)
