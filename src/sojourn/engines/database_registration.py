"""What becomes of a Proxy Binding Update that the CMD takes: a binding is opened, refreshed, moved, or ends.

RFC 8885 3.1 to 3.5. In direct mode (`maar_direct`) the MAARs have told each other already: the CMD notes it, and says
what it knows besides.
"""

from __future__ import annotations

from sojourn.core.sequence import newer
from sojourn.engines.configuration import LOCATOR, RELAY, Maar
from sojourn.engines.database_anchors import Anchorage
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.database_shared import LINGER
from sojourn.engines.neighbourhood import FAR
from sojourn.engines.registration import Refused, Registration
from sojourn.wire import BindingUpdate, Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, ticks, wall_clock


class Registrations(Anchorage):
    """The part of the CMD that keeps bindings."""

    def _register(self, request: Registration, update: BindingUpdate, maar: Maar) -> None:
        own = self._own_prefixes(request, maar)
        entry = self.entries.get(request.node)
        if entry is None:
            self._check_future(request)
            self._open(request, update, own)
        elif request.timestamp == entry.timestamp and request.source == entry.serving:
            self._refresh(entry, request, update, own)
        elif self._claim(request.timestamp, request.source) <= self._claim(entry.timestamp, entry.serving):
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

    def _claim(self, timestamp: int, serving: Address) -> tuple[int, Address]:
        """The order of attachments. In direct mode that of the MAARs: else one would lose here that wins there."""
        return timestamp, serving if self._follows else b""

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
        self._timers.stop(("remind", entry.node))
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

    def _extend(self, entry: BindingCacheEntry, lifetime: Duration) -> None:
        entry.lifetime = lifetime
        entry.expires = self._now + lifetime
        self._timers.start(("expiry", entry.node), entry.expires + LINGER)
