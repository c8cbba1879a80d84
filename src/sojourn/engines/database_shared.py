"""Several CMDs of one domain on one store, so that none of them is needed (RFC 8885 leaves this to implementations).

A CMD keeps in memory what it handled itself, and takes it for granted that it knows everything. When it is wrong, its
store says so before anybody else hears of the answer (`StoreBinding`, `CheckBinding`): the CMD takes over what the
other one kept, and the update is handled again. So a node costs one CMD memory and time, not all, and nobody waits for
a reader. A CMD that dies leaves its nodes to whoever is asked next; when the time of a binding is over that nobody
refreshed, one of those that are still there is told of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import CheckBinding, DeleteBinding, FindBindings, StoreBinding
from sojourn.engines.configuration import CmdConfiguration
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.database_notices import Notices
from sojourn.engines.unread import Stored
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, WallClock, wall_clock

LINGER = 2 * SECOND
"""A binding is forgotten so long after its end: the MAAR ends it in time, and a message needs some.

Then the anchors are told, which would go on sending to that MAAR what comes for the node until their own time is over.
"""


class SharedDatabase(Notices):
    """The CMD as one of several, and what it keeps in memory."""

    def __init__(self, configuration: CmdConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._owners: dict[Prefix, bytes] = {}
        self._twice: dict[Prefix, list[bytes]] = {}
        """Other nodes that have the prefix as well, says the store, or said it when we looked."""
        self._reserved: dict[Address, dict[Prefix, bytes]] = {}
        """What a MAAR that began without memory anchors, and for whom, whether we know these nodes or not."""

        self._unproved: set[Prefix] = set()
        """Prefixes that nodes got while it was not known whether others, not taken up yet, have them."""

    def _remember(self, records: Iterable[Stored]) -> None:
        """Bindings of an earlier life: the next ones, those that are asked about, or all that are left."""
        latest = 0
        for node, record in records:
            try:
                entry = BindingCacheEntry.restored(node, record, self._now)
            except ValueError:
                self._report("record-unreadable", node=node)
                continue
            others = [prefix for prefix, _ in entry.anchors if self._owners.get(prefix, node) != node]
            for prefix in others:
                if prefix in self._unproved:
                    self._take_back(prefix)
                else:  # it changed hands, and the disk refused one half of that
                    entry.remove(prefix)
            self._hold(entry)
            if others:
                self._keep(entry)
            if entry.timestamp > latest:
                latest = entry.timestamp
            for maar in entry.untold:
                self._tell_again(entry, maar)
        self._epoch = max(self._epoch, wall_clock(latest) - self._now)
        if not self._unread.left:
            self._unproved.clear()

    def _is_of_another(self, prefix: Prefix, node: bytes) -> bool:
        """Whether `prefix` belongs to a node that is not `node`, as far as that is known here."""
        return self._owner_here(prefix) not in (None, node)

    def _owner_here(self, prefix: Prefix) -> bytes | None:
        """Whoever has `prefix`; of those that were not taken up yet it is known a moment after our start."""
        if self._unread.nameless:
            self._unproved.add(prefix)
        elif self._unread.left:
            self._remember(self._unread.named(prefix.address))
        return self._owners.get(prefix)

    def _prove(self) -> None:
        """From now on it is known who has which prefix."""
        for prefix in list(self._unproved):
            self._remember(self._unread.named(prefix.address))
        self._unproved.clear()

    def _take_back(self, prefix: Prefix) -> None:
        """A MAAR gave a prefix of one node to another one, and we did not know better."""
        entry = self.entries[self._owners[prefix]]
        self._report("prefix-given-twice", node=entry.node, prefix=prefix)
        self._drop(entry, prefix)
        self._keep(entry)
        self._tell_retired(entry, prefix, entry.serving)

    def _on_changed(self, node: bytes, record: bytes, remaining: Duration) -> None:
        """Another CMD knows better: what we had is nothing any more, and its notices are not ours to repeat, as long as
        what it kept stands.
        """
        entry = self.entries.get(node)
        if entry is not None:
            self._stop_telling(entry)
            for prefix, maar in entry.anchors:
                self._requests.cancel(("notify", node, maar, None))  # an answer to it, perhaps, which is void
                self._requests.cancel(("retire", node, maar, prefix))
                self._requests.cancel(("retire", node, entry.serving, prefix))
            self._release(entry)
        if not record:
            return
        try:
            entry = BindingCacheEntry.restored(node, record, self._now)
        except ValueError:
            self._report("record-unreadable", node=node)
            return
        entry.expires = self._now + remaining
        entry.inherited = True
        self._hold(entry)
        self._take_back_ends(entry)

    def _take_back_ends(self, entry: BindingCacheEntry) -> None:
        """What we said is over, and nobody answered yet, is not: but it may be so to its anchor by now."""
        for maar, prefixes in entry.by_maar().items():
            ended = [prefix for prefix in prefixes if self._requests.get(("retire", entry.node, maar, prefix))]
            for prefix in ended:
                self._requests.cancel(("retire", entry.node, maar, prefix))
                self._requests.cancel(("retire", entry.node, entry.serving, prefix))
            if ended:
                self._tell_moved(entry, maar, prefixes, bulk=True)

    def _find_anchored(self, maar: Address) -> None:
        """Nobody holds all bindings: the store knows which ones mention `maar`."""
        self._do(FindBindings(maar))

    def _reserve(self, maar: Address) -> None:
        """It registers its nodes here for a while (`several_databases`), and may give them what others have."""
        entries = self.entries.values()
        self._reserved[maar] = {
            prefix: entry.node for entry in entries for prefix, anchor in entry.anchors if anchor == maar
        }
        self._after(self.configuration.lifetime_max, "reserved", maar)

    def _owner(self, prefix: Prefix, maar: Address) -> bytes | None:
        """Who has `prefix`, as far as we know. What is reserved is looked up once: then we know that node."""
        reserved = self._reserved.get(maar)
        noted = reserved.pop(prefix, None) if reserved else None
        return self._owner_here(prefix) or noted

    def _hold(self, entry: BindingCacheEntry) -> None:
        """From now on it is in memory."""
        self.entries[entry.node] = entry
        self._serves[entry.serving] += 1
        self._timers.start(("expiry", entry.node), entry.expires + LINGER)
        for prefix, maar in entry.anchors:
            other = self.entries.get(self._owners.get(prefix, entry.node))
            self._owners[prefix] = entry.node
            if other is not None and other is not entry:
                self._twice.setdefault(prefix, []).append(other.node)
                self._contest((other, entry), prefix, maar)

    def _contest(self, entries: tuple[BindingCacheEntry, BindingCacheEntry], prefix: Prefix, maar: Address) -> None:
        """What we know of one of them is old, or their anchor forgot that it gave `prefix` before: it knows to whom
        it leads, and refuses the other one."""
        for entry in entries:
            self._check(entry.node)
            if entry.serving != maar:
                self._tell_again(entry, maar)
        self._report("prefix-contested", prefix=prefix, maar=maar, node=entries[0].node)

    def _disown(self, prefix: Prefix, node: bytes) -> None:
        """`node` has it no longer."""
        others = self._twice.get(prefix)
        if others is None:
            if self._owners.get(prefix) == node:
                del self._owners[prefix]
            return
        if node in others:
            others.remove(node)
        else:
            self._owners[prefix] = others.pop()
        if not others:
            del self._twice[prefix]

    def _release(self, entry: BindingCacheEntry) -> None:
        """From now on it is not."""
        for prefix, _ in entry.anchors:
            self._disown(prefix, entry.node)
        self._timers.stop_all((kind, entry.node) for kind in ("expiry", "remind"))
        self._serves[entry.serving] -= 1
        del self.entries[entry.node]

    def _keep(self, entry: BindingCacheEntry) -> None:
        if self.stores:
            self._do(StoreBinding(entry.node, entry.record(), max(entry.expires - self._now, 1)))
        if entry.inherited:  # with this the CMD that was telling them is overtaken, perhaps before anything left it
            entry.inherited = False
            for maar in entry.untold:
                if maar != entry.serving:
                    self._tell_again(entry, maar)

    def _keep_refreshed(self, entry: BindingCacheEntry) -> None:
        """Nothing changed but the time that it has: the others must know that, a disk of our own need not."""
        if self.configuration.shared:
            self._keep(entry)
        else:
            self._check(entry.node)

    def _check(self, node: bytes) -> None:
        """What is answered about `node` is to be true, and stored, although nothing is changed."""
        if self.configuration.shared:
            self._do(CheckBinding(node))
        elif ("store", node) in self._timers:
            self._timers.stop(("store", node))  # or this attempt would be made twice, the second one for nothing
            self._store_again(node)

    def _store_again(self, node: bytes) -> None:
        """The disk refused this binding: what is true of it now."""
        entry = self.entries.get(node)
        if entry is None:
            self._do(DeleteBinding(node))
        else:
            self._keep(entry)

    def _forget(self, entry: BindingCacheEntry) -> None:
        self._stop_telling(entry)
        self._release(entry)
        self._do(DeleteBinding(entry.node))
