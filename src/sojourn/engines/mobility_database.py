"""The Central Mobility Database (RFC 8885 section 3): it knows where every node is and who anchors its prefixes.

No user packet passes here. A MAAR registers a node; the CMD stores the new place and tells the MAARs that anchor
earlier prefixes, in one of three ways:

* proxy (3.4): the serving MAAR is answered at once with the list of previous MAARs, which are told in parallel;
* relay (3.2): the previous MAARs are told first and their answers are gathered into one (or, after a time, several);
* locator (3.3): the previous MAARs answer the serving MAAR themselves; the CMD answers when there are none.

Where the RFC is silent: the attachment with the latest Timestamp wins; a refresh lists what the MAAR serves, so that a
CMD that lost everything learns it again; an entry that expires is forgotten without a word, because an anchor
asks by itself, at the end of a lifetime, whether the node is still in the domain (3.5, second solution).
Here is its life: what it takes up, whom it hears, what it shows. The checks of an update are in `registration`, what
becomes of one in `database_registration`, who anchors what in `database_anchors`, what is kept in `database_entry`,
telling others in `database_notices`.
"""

from __future__ import annotations

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
from sojourn.engines.base import TimerName
from sojourn.engines.configuration import CmdConfiguration, Maar
from sojourn.engines.database_entry import BindingCacheEntry, anchored
from sojourn.engines.database_notices import IDENTITIES
from sojourn.engines.database_registration import Registrations
from sojourn.engines.liveness import response
from sojourn.engines.registration import PROXY_DMM, Refused, Registration
from sojourn.engines.unread import Unread
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    Heartbeat,
    HeartbeatFlags,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import Address, text
from sojourn.wire.units import SECOND, Instant, WallClock

_REPAIR_AFTER = 1 * SECOND
_TOLD_ANEW_INTERVAL = 10 * SECOND
_RESTORE: TimerName = ("restore", b"")


class CentralMobilityDatabase(Registrations):
    """The engine of the role ``cmd``."""

    def __init__(self, configuration: CmdConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._begun = 0
        """The restart counter: when this life began, in seconds (RFC 5847 3.2)."""
        self._asking: dict[Address, tuple[MobilityOption, ...]] = {}
        """What MAARs sent that begin without memory, and did not get back yet."""
        self._forgetful: set[Address] = set()
        """MAARs that asked again, too soon, what they anchor."""

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. A CMD that begins with nothing asks every MAAR to register its nodes again."""
        self._now = now
        self._begun = (self._epoch + now) // SECOND
        self._unread = Unread(records, names=anchored)
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
                if not self.configuration.shared:
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
            if not self._unread.nameless:
                self._remember(self._unread.some())
            elif self._unread.index():
                self._prove()
            if self._unread.left:
                self._timers.start(_RESTORE, self._now + 1)  # messages have their turn
        elif kind == "reserved":
            del self._reserved[key]
        elif kind == "remind":
            self._remind(self.entries[key])
        elif kind == "store":
            self._store_again(key)
        elif kind == "expiry":
            entry = self.entries.get(key)
            if entry is not None:
                self._report("binding-expired", node=entry.node, serving=entry.serving)
                self._forget(entry)

    def _on_refresh_request(self, source: Address) -> None:
        """A MAAR begins without memory (RFC 6275 6.1.2): it is told what it anchors, for nodes that are elsewhere,
        and what others anchor for nodes that were there: it would send that back to them.
        """
        self.heard[source] = self._now
        if self._unread.left:
            self._forgetful.add(source)  # and is told when everything is known
            self._after(SECOND, "told-anew", source)
        elif self.configuration.shared:
            if ("told-anew", source) in self._timers:
                self._forgetful.add(source)
            else:
                self._after(_TOLD_ANEW_INTERVAL, "told-anew", source)
            self._find_anchored(source)
        elif ("told-anew", source) in self._timers:
            self._forgetful.add(source)  # whoever repeats this waits
        else:
            self._tell_anchored(source)

    def _tell_anchored(self, source: Address) -> None:
        self._remember(self._unread.rest())
        theirs = [entry for entry in self.entries.values() if source in entry.by_maar()]
        mine = () if self._follows else self.entries.values()
        served = [entry for entry in mine if entry.serving == source and entry.previous()]
        if theirs or served:
            self._after(_TOLD_ANEW_INTERVAL, "told-anew", source)
        if self.configuration.shared:
            self._reserve(source)
            self._return_request(source)
            if source in self._forgetful:
                return  # it repeated this, and waits for the rest
        for entry in theirs:
            self._tell_again(entry, source)
        pace = SECOND // (self.configuration.pace_rate or SECOND)
        for number, entry in enumerate(served):
            self._after(number * pace, "remind", entry.node)
        self._report("refresh-requested", maar=source, entries=len(theirs) + len(served))

    def _return_request(self, source: Address) -> None:
        """It was heard that the MAAR asked; with several CMDs, also that this one knows what it anchors."""
        options = self._asking.pop(source, None)
        if options is not None:
            options += tuple([AnchoredPrefix.of(prefix) for prefix in list(self._reserved.get(source, ()))[:1]])
            self._do(SendMessage(BindingRefreshRequest(options), self.configuration.address, source))

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
