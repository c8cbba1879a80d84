"""The Local Mobility Anchor of Proxy Mobile IPv6 (RFC 5213 section 5).

It owns the home network prefixes of mobile nodes and keeps, for each interface of each node, a mobility session that
says behind which MAG it is; packets go there and come from there in a tunnel. The request's checks are in
`lma_registration`, what is kept and how it is found in `lma_entry`, prefixes in `home_prefixes`.

Left out: the home agent of Mobile IPv6 that RFC 5213 5 asks for (a role of its own), and IPsec (the operator's).
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import (
    DeleteBinding,
    Effect,
    EnsureCounter,
    EnsurePaths,
    EnsurePrefix,
    EnsureTransport,
    EnsureTunnel,
    StoreBinding,
)
from sojourn.core.engine import Row
from sojourn.core.events import ClockStepped, Commanded, EffectFailed, Event, MessageReceived
from sojourn.engines.base import TimerName
from sojourn.engines.configuration import Gateway, LmaConfiguration
from sojourn.engines.extension import Extensions, apart, merged, unrecognized
from sojourn.engines.lma_entry import BindingCacheEntry, node_of
from sojourn.engines.lma_extensions import lma_extensions
from sojourn.engines.lma_ipv4 import LmaIpv4Transport
from sojourn.engines.lma_registration import LmaRegistration
from sojourn.engines.naming import identifier_type
from sojourn.engines.unread import Stored, Unread
from sojourn.wire import BindingError, BindingRefreshRequest, BindingUpdate, MobilityMessage
from sojourn.wire.addresses import Address, text
from sojourn.wire.units import SECOND, Instant, WallClock

_REPAIR_AFTER = 1 * SECOND
_RESTORE: TimerName = ("restore", b"")
_KEY = 4
"""Octets of the key of a session."""


class LocalMobilityAnchor(LmaRegistration):
    """The engine of the role ``lma``."""

    def __init__(self, configuration: LmaConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._pending = {}
        self.extensions = Extensions(lma_extensions(self))

    # --- life -----------------------------------------------------------------------------------------------------

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. Every MAG is asked to register its nodes again.

        Until they did, and if we begin with nothing, others get prefixes from elsewhere in the pools: those that we
        gave out are in use.
        """
        self._now = now
        sessions, kept = apart(records)
        self._unread = Unread(sessions, node_of)
        numbers = [int.from_bytes(key, "big") for key, _ in sessions if len(key) == _KEY]
        self._slots.restore(filter(None, numbers))
        need_all = any(extension.needs_all for extension in self.extensions)
        self._remember(self._unread.rest() if need_all else self._unread.some())
        self.extensions.begin(kept, lost=not self._unread.left and len(self.cache) < len(sessions))
        if self._unread.left:  # more than all MAGs should register at once
            self._timers.start(_RESTORE, now)
            return self._flush()
        if not len(self.cache):
            self.prefixes.begin_elsewhere((self._epoch + now) // SECOND)
        # Also after a restart with the store: who moved meanwhile is registered at once, not at the next repetition.
        for gateway in self.configuration.gateways:
            self._send(BindingRefreshRequest(), gateway.address)
        return self._flush()

    def _remember(self, records: Iterable[Stored]) -> None:
        """Sessions of an earlier life: the next ones, those that are asked about, or all that are left."""
        # Accepted by a clock that was set back meanwhile: it must not refuse, for as long, what is true now.
        own_clock, latest = not self.configuration.mobile_node_generated_timestamp_in_use, self._ticks()
        for key, record in records:
            try:
                entry = BindingCacheEntry.restored(key, record, self._now)
            except ValueError:
                self._report("record-unreadable", node=key)
                if len(key) == _KEY and any(key):
                    self._slots.give_back(int.from_bytes(key, "big"))
                continue
            if own_clock and entry.timestamp > latest:
                entry.timestamp = latest
            self._resume(entry)
        self.cache.recall = self._recall if self._unread.left else None

    def _recall(self, node: bytes | None) -> None:
        self._remember(self._unread.rest() if node is None else self._unread.of(node))

    def _resume(self, entry: BindingCacheEntry) -> None:
        """A session of an earlier life, if the configuration still has room for it."""
        known = self._gateways.get(entry.source)
        if known is not None and entry.gateway == known.address:
            entry.gateway = entry.source = known.address  # one object for all sessions
        elif known is not None and entry.gateway not in known.care_of:
            known = None
        if known is None or not self.prefixes.reclaim(entry.prefixes, self._now):
            self._report("record-refused", node=entry.node, gateway=entry.gateway)
            self._do(DeleteBinding(entry.key))
            self._slots.give_back(entry.slot)
            return
        self._enter(entry)
        if entry.waiting:
            self._after(self.configuration.min_delay_before_bce_delete, "expiry", entry.slot)
        else:
            self._forward(entry)
            self._timers.start(("expiry", entry.slot), entry.expires)

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived(message, source, _):
                self._on_message(message, source if self.incoming is None else self.incoming(event))
            case ClockStepped(epoch):
                self._on_clock_stepped(epoch)
            case EffectFailed():
                self._on_effect_failed(event)
            case Commanded(verb, arguments) if self.extensions.on_command(verb, arguments):
                pass
            case Commanded(verb, arguments):
                self._report("command-unknown", verb=verb, arguments=len(arguments))
            case _:
                pass  # an LMA has no access links

    def _on_message(self, message: MobilityMessage, source: Address) -> None:
        match message:
            case BindingUpdate():
                self._on_update(message, source)
            case BindingError(status):
                self._report("binding-error-received", source=source, status=status)
                self.extensions.on_binding_error(message, source)
            case _ if not self.extensions.on_message(message, source):
                self._report("message-unexpected", source=source, type=type(message).__name__)
                answer = unrecognized(message, self._address, source)
                if answer is not None and source in self._gateways:
                    self._do(answer)

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind == "restore":
            self._remember(self._unread.some())
            if self._unread.left:
                self._timers.start(_RESTORE, self._now + 1)  # messages have their turn
            return
        if kind == "assign":
            self._on_assign_due(key)
            return
        if self.extensions.on_timer(kind, key) or (kind == "store" and self.extensions.store_again(key)):
            return
        entry = self.cache.get(int.from_bytes(key, "big") if kind == "store" else key)
        match kind:
            case "expiry" if entry is not None:
                self._on_expiry(entry)
            case "repair" if entry is not None and not entry.waiting:
                self._forward(entry)
            case "store":  # the disk refused this binding: what is true of it now
                if entry is None:
                    self._do(DeleteBinding(key))
                else:
                    self._keep(entry)

    def _on_clock_stepped(self, epoch: WallClock) -> None:
        """The clock was set. Set back, it must not refuse, for as long, whatever was accepted before."""
        self._epoch = epoch
        now = self._ticks()
        for entry in self.cache:
            entry.timestamp = min(entry.timestamp, now)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        """The kernel refused. Counted, and tried again for the session that it concerns, every second."""
        effect = event.effect
        self._report("effect-failed", effect=type(effect).__name__, error=event.error, reason=event.reason)
        match effect:
            case StoreBinding(key) | DeleteBinding(key):
                self._after(_REPAIR_AFTER, "store", key)
            case EnsureTunnel(slot) | EnsurePaths(slot) | EnsurePrefix(_, slot):
                self._mend(self.cache.get(slot))
            case EnsureCounter(prefix):
                self._mend(self.cache.with_prefix(prefix))
            case EnsureTransport(remote):
                self._after(_REPAIR_AFTER, LmaIpv4Transport.name, remote)
            case _:
                pass  # what should be gone is removed by the next reconciliation

    def _mend(self, entry: BindingCacheEntry | None) -> None:
        if entry is not None and ("repair", entry.slot) not in self._timers:
            self._after(_REPAIR_AFTER, "repair", entry.slot)

    # --- for people -----------------------------------------------------------------------------------------------

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``bindings`` (also ``sessions``) and ``peers``."""
        if topic in ("bindings", "sessions"):
            return [self._binding_row(entry, now) for entry in self.cache]
        if topic == "peers":
            return [self._peer_row(gateway, now) for gateway in self.configuration.gateways]
        return []

    def _binding_row(self, entry: BindingCacheEntry, now: Instant) -> Row:
        return {
            "node": entry.node.hex(),
            "type": identifier_type(entry.node),
            "link_layer": entry.link_layer.hex(":"),
            "gateway": self._name(entry.source),
            "state": "waiting" if entry.waiting else "active",
            "prefixes": [str(prefix) for prefix in entry.prefixes],
            "lifetime": max(entry.expires - now, 0) // SECOND,
            **merged(extension.row(entry) for extension in self.extensions),
        }

    def _peer_row(self, gateway: Gateway, now: Instant) -> Row:
        heard = self.heard.get(gateway.address)
        return {
            "name": gateway.name or text(gateway.address),
            "address": text(gateway.address),
            "role": "mag",
            "serves": self._serves[gateway.address],
            "heard": None if heard is None else (now - heard) // SECOND,
            **merged(extension.peer_row(gateway.address) for extension in self.extensions),
        }
