"""The home agent of Mobile IPv6 (RFC 6275 section 10) and of moving networks (RFC 3963 section 6).

It takes the place of a mobile node on its home link while that is away, and sends its packets through a tunnel to the
care-of address. Requests are tested in `ha_checks` and dealt with in `ha_registration`, the home link in `ha_prefixes`
and `home_agents`, and leave is taken in `ha_switch` and `ha_revocation`; messages are protected by the keys of RFC 4285
(`authentication`). A node may have several care-of addresses (`ha_multiple`, RFC 5648), and say which packets go to
which (`ha_flows`, RFC 6089).

Left out: IPsec and IKE (the operator's), so flag K is always answered with 0; multicast membership (10.4.3).
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import (
    DeleteBinding,
    Effect,
    EnsureDelivery,
    EnsurePrefix,
    EnsureTunnel,
    SendMessage,
    StoreBinding,
)
from sojourn.core.engine import Row
from sojourn.core.events import (
    AddressProbed,
    ClockStepped,
    Commanded,
    EffectFailed,
    Event,
    HomeAddressRefused,
    Icmpv6Received,
    MessageReceived,
)
from sojourn.core.mobile_effects import EnsureFlows, EnsureProxyNeighbour, EnsureTunnelEnd, ProbeAddress
from sojourn.engines.base import TimerName
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.ha_prefixes import HaPrefixes
from sojourn.engines.ha_revocation import HaRevocation
from sojourn.engines.ha_switch import HaSwitch
from sojourn.engines.mip6_configuration import HaConfiguration
from sojourn.engines.registration import Refused
from sojourn.wire import (
    BindingError,
    BindingErrorStatus,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    Status,
    UnknownMessage,
)
from sojourn.wire.addresses import address, prefix, text
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5096 import ExperimentalMobilityHeader
from sojourn.wire.units import SECOND, Instant, WallClock

_REPAIR_AFTER = 1 * SECOND


class HomeAgent(HaRevocation, HaPrefixes, HaSwitch):
    """The engine of the role ``ha``. `seed`: octets that nobody can guess (see `entropy`)."""

    def __init__(self, configuration: HaConfiguration, epoch: WallClock, seed: bytes) -> None:
        super().__init__(configuration, epoch, seed)
        self._probing = {}

    # --- life -----------------------------------------------------------------------------------------------------

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. Nodes whose binding was lost are told so when they send packets (Binding Error)."""
        self._now = now
        self._born = MobilityMessageReplayProtection.at(self._epoch + now).timestamp
        for key, record in records:
            node = self._by_address.get(key)
            if node is None or self._home_prefix(key) is None:
                self._report("record-refused", home=key if len(key) == 16 else None)
                self._do(DeleteBinding(key))
                continue
            try:
                entry = BindingCacheEntry.restored(key, record, node, now)
            except ValueError:
                self._report("record-unreadable", home=key)
                continue
            self.cache[key] = entry
            self._timers.start(("expiry", key), entry.expires)
            self._forward(entry)
        self._slots.restore(entry.slot for entry in self.cache.values())
        return self._flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived():
                self._on_message(event)
            case AddressProbed():
                self._on_probed(event)
            case Icmpv6Received():
                self._on_icmpv6(event)
            case HomeAddressRefused(home, source, destination):
                self._complain(BindingErrorStatus.UNKNOWN_BINDING, source, destination, home)
            case ClockStepped(epoch):
                self._on_clock_stepped(epoch)
            case EffectFailed():
                self._on_effect_failed(event)
            case Commanded(verb, arguments):
                self._on_command(verb, arguments)
            case _:
                pass

    def _on_message(self, event: MessageReceived) -> None:
        match event.message:
            case BindingUpdate() as update:
                self._on_update(event, update)
            case BindingRevocationAcknowledgement() as answer:
                self._on_revocation_answer(event, answer)
            case BindingRevocationIndication() as message:
                self._on_foreign_revocation(event, message)
            case ExperimentalMobilityHeader(data):
                self._on_experiment(event, data, self.configuration.experiments)
            case UnknownMessage():
                self._on_unknown_type(event)
            case BindingError(status):
                self._report("binding-error-received", source=event.source, status=status)
            case message:
                self._report("message-unexpected", source=event.source, type=type(message).__name__)

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        entry = self.cache.get(key)
        if kind == "forget" and self._active(key) is None:
            self._do(DeleteBinding(key))
        if entry is None:
            return
        active = entry.state is BindingState.ACTIVE
        match kind:
            case "expiry":
                self._on_expiry(entry)
            case "probe":
                self._fail(entry, Refused(Status.REASON_UNSPECIFIED, "the home link did not answer"))
            case "refresh" if active:
                self._ask_to_refresh(entry)
            case "prefixes" if active:
                self._on_prefixes_due(entry)
            case "switch":
                self._send_switch(entry)
            case "revocation" if active:
                self._on_revocation_due(entry)
            case "repair" if active:
                self._forward(entry)
            case "store" if active:
                self._keep(entry)

    def _on_clock_stepped(self, epoch: WallClock) -> None:
        """Set back, ours goes on, or what was accepted before could be replayed: the nodes follow us (status 144)."""
        self._epoch = max(self._epoch, epoch)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        """The kernel or the disk refused. Counted, and tried again for the binding that it concerns."""
        effect = event.effect
        self._report("effect-failed", effect=type(effect).__name__, error=event.error, reason=event.reason)
        match effect:
            case StoreBinding(key):
                self._after(_REPAIR_AFTER, "store", key)
            case DeleteBinding(key):
                self._after(_REPAIR_AFTER, "forget", key)
            case (
                EnsureTunnel(slot)
                | EnsureDelivery(slot)
                | EnsurePrefix(_, slot)
                | EnsureTunnelEnd(slot)
                | EnsureFlows(slot)
            ):
                self._mend(next((entry for entry in self.cache.values() if entry.slot == slot), None))
            case EnsureProxyNeighbour(_, home):
                self._mend(self.cache.get(home))
            case ProbeAddress(_, home):
                entry = self.cache.get(self._probing.get(home, b""))
                if entry is not None:
                    self._fail(entry, Refused(Status.REASON_UNSPECIFIED, "the home link cannot be asked"))
            case _:
                pass

    def _mend(self, entry: BindingCacheEntry | None) -> None:
        if entry is not None and ("repair", entry.home) not in self._timers:
            self._after(_REPAIR_AFTER, "repair", entry.home)

    # --- for people -----------------------------------------------------------------------------------------------

    def _on_command(self, verb: str, arguments: dict[str, str]) -> None:
        """``switch`` and ``revoke`` (see `HaSwitch`, `HaRevocation`); ``experiment`` with ``node`` and ``data``, in
        hexadecimal; ``prefix`` with prefix, preferred and valid, in seconds."""
        if verb == "switch":
            self._on_switch(arguments)
        elif verb == "revoke":
            self._on_revoke(arguments)
        elif verb == "experiment" and self.configuration.experiments:
            self._experiment(arguments)
        elif verb == "prefix":
            try:
                changed = prefix(arguments["prefix"])
                preferred, valid = (int(arguments[key]) * SECOND for key in ("preferred", "valid"))
            except (KeyError, ValueError) as error:
                self._report("command-malformed", verb=verb, reason=str(error))
                return
            self._change_prefix(changed, preferred, valid)
        else:
            self._report("command-unknown", verb=verb, arguments=len(arguments))

    def _experiment(self, arguments: dict[str, str]) -> None:
        """Tell it to a node (RFC 5096)."""
        try:
            entry = self._active(address(arguments["node"]))
            message = ExperimentalMobilityHeader(bytes.fromhex(arguments["data"]) or bytes(2))
        except (KeyError, ValueError) as error:
            self._report("command-malformed", verb="experiment", reason=str(error))
            return
        if entry is not None:
            self._do(SendMessage(message, self._address, entry.care_of, routed_to=entry.home))

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``bindings`` (also ``sessions``)."""
        if topic not in ("bindings", "sessions"):
            return []
        return [
            {
                "home": text(entry.home),
                "care_of": text(entry.care_of),
                "state": entry.state.value,
                "prefixes": [str(network) for network in entry.prefixes],
                "lifetime": max(entry.expires - now, 0) // SECOND,
                "ways": [f"{number} {text(way.care_of)}" for number, way in entry.ways.items()],
                "flows": len(entry.flows),
                "vendor_options": [f"{known.vendor}/{known.subtype} {known.data.hex()}" for known in entry.vendors],
            }
            for entry in self.cache.values()
        ]
