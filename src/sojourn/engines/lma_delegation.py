"""An LMA delegates prefixes to nodes that are routers, and leads packets for them there (RFC 7148 5.2).

A session has the home network prefixes of RFC 5213, and Delegated Mobile Network Prefixes as long as its gateway asks
for them: its own ones from the configuration, or one from a pool. They move with the session. A gateway that a node has
just come to may not know yet that it is a router: what the node has is kept for its session until the gateway asks, and
for MinDelayBeforeBCEDelete packets for it go on to the node. The gateway that asked before and does not any more gives
it back.

Left out: prefixes of IPv4; a request for any is not answered, one for a certain prefix is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from sojourn.core.effects import EnsurePrefix, WithdrawPrefix
from sojourn.core.engine import Row
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.engines.records import well_formed
from sojourn.engines.registration import Refused
from sojourn.engines.way_settings import DelegationOfLma
from sojourn.wire import MobilityOption, Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc7148 import DelegatedMobileNetworkPrefix

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration


class Delegation(LmaExtension):
    """RFC 7148 5.2."""

    name = "delegation"
    needs_all = True

    def __init__(self, role: LmaRegistration, settings: DelegationOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        quarantine = role.configuration.quarantine
        self._pools = [PrefixPool(pool, settings.length, quarantine) for pool in settings.pools]
        self._static = dict(settings.nodes)
        self._reserved = {prefix: node for node, prefixes in settings.nodes for prefix in prefixes}
        for prefix in self._reserved:
            for pool in self._pools:
                pool.claim(prefix)
        self._held: dict[int, tuple[Prefix, ...]] = {}
        """By the number of the session: the DMNP list of its entry (5.2.1)."""
        self._owner: dict[Prefix, int] = {}
        self._led: set[int] = set()
        """Sessions that packets are led to."""
        self._asker: dict[int, Address] = {}
        """The gateway that asked last, by session."""
        self._unasked: set[int] = set()
        """Sessions whose gateway did not ask in time: what they have is kept, and nothing is led there."""

    def begin(self, record: bytes | None, lost: bool) -> None:
        """What sessions had before a restart they have again."""
        try:
            kept = _decoder.decode(record) if record else {}
        except msgspec.DecodeError:
            self._report("record-unreadable", node="delegation")
            return
        for slot, prefixes in kept.items():
            entry = self._role.cache.get(slot)
            if entry is None or not well_formed((), prefixes):
                continue
            wanted = [Prefix(address, length) for address, length in prefixes]
            self._give(entry, tuple(prefix for prefix in wanted if self._may_have(entry.node, slot, prefix)))

    # --- requests (5.2.2) -------------------------------------------------------------------------------------------

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """Raises `Refused` for what this node may not have."""
        if request.lifetime == 0:
            return False
        anything, wanted, ipv4 = _asked(request)
        slot = 0 if entry is None else entry.slot
        if ipv4 or len(wanted) > self._settings.most:
            raise Refused(Status.REQUESTED_DMNP_IN_USE, "a delegated prefix that is not ours")
        if not anything and not all(self._may_have(request.node, slot, prefix) for prefix in wanted):
            raise Refused(Status.REQUESTED_DMNP_IN_USE, "a delegated prefix that is not for this node")
        if anything and not (self._static.get(request.node) or (self._pools and self._settings.dynamic)):
            raise Refused(Status.NOT_AUTHORIZED_FOR_DELEGATED_MNP, "no delegated prefix for this node")
        return False

    def _may_have(self, node: bytes, slot: int, prefix: Prefix) -> bool:
        """Whether it is reserved for the node, or from a pool, and nobody else has it."""
        if self._owner.get(prefix, slot) != slot:
            return False
        if prefix in self._reserved:
            return self._reserved[prefix] == node
        return self._settings.dynamic and any(pool.owns(prefix) for pool in self._pools)

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """ "the (DMNP) list ... has to be updated with the allocated prefix(es)"."""
        anything, wanted, _ = _asked(request)
        if anything or wanted:
            self._asker[entry.slot] = entry.source
            self.sleep(entry.slot)
            if entry.slot in self._unasked:
                self._unasked.discard(entry.slot)
                self._give(entry, self._held.get(entry.slot, ()))
        elif entry.slot in self._held and self._asker.get(entry.slot) != entry.source:
            if entry.slot not in self._unasked and (self.name, entry.slot) not in self._role._timers:
                self.wake(self._role.configuration.min_delay_before_bce_delete, entry.slot)
            return
        if anything:
            prefixes = self._held.get(entry.slot) or self._static.get(entry.node) or self._allocate(entry)
        else:
            prefixes = tuple(dict.fromkeys(wanted))
        allowed = tuple(prefix for prefix in prefixes if self._may_have(entry.node, entry.slot, prefix))
        if allowed != self._held.get(entry.slot, ()):
            self._give(entry, allowed)
            self._save()
            self._report("delegated", node=entry.node, prefixes=len(allowed))

    def on_timer(self, key: Any) -> None:
        """The gateway that the node went to did not ask: "MUST NOT enable Delegated Prefix support"."""
        self._unasked.add(key)
        for prefix in self._held.get(key, ()):
            self._do(WithdrawPrefix(prefix))

    def _allocate(self, entry: BindingCacheEntry) -> tuple[Prefix, ...]:
        for pool in self._pools if self._settings.dynamic else ():
            prefix = pool.allocate(self.now)
            if prefix is not None:
                return (prefix,)
        self._report("delegation-exhausted", node=entry.node)
        return ()

    def _give(self, entry: BindingCacheEntry, prefixes: tuple[Prefix, ...]) -> None:
        """It has these from now on, and no others."""
        for prefix in self._held.pop(entry.slot, ()):
            if prefix not in prefixes:
                self._take_back(prefix)
        for prefix in prefixes:
            self._owner[prefix] = entry.slot
            for pool in self._pools:
                pool.claim(prefix)
        if prefixes:
            self._held[entry.slot] = prefixes
        if entry.slot in self._led:
            self._lead(entry)

    def _take_back(self, prefix: Prefix) -> None:
        self._do(WithdrawPrefix(prefix))
        self._owner.pop(prefix, None)
        if prefix not in self._reserved:
            for pool in self._pools:
                pool.release(prefix, self.now)

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """ "one instance of the Delegated Mobile Network Prefix option for each of the allocated" ones."""
        if DelegatedMobileNetworkPrefix not in request.firsts:
            return ()
        return map(DelegatedMobileNetworkPrefix.of, self._held.get(entry.slot, ()))

    # --- forwarding (5.2.3) -----------------------------------------------------------------------------------------

    def forwarded(self, entry: BindingCacheEntry) -> None:
        """A tunnel leads to the node: its networks are behind it."""
        self._led.add(entry.slot)
        self._lead(entry)

    def _lead(self, entry: BindingCacheEntry) -> None:
        for prefix in self._held.get(entry.slot, ()) if entry.slot not in self._unasked else ():
            self._do(EnsurePrefix(prefix, entry.slot))

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """Packets are dropped until it turns up elsewhere, as those to its home prefixes."""
        self._led.discard(entry.slot)
        for prefix in self._held.get(entry.slot, ()):
            self._do(WithdrawPrefix(prefix))

    def removed(self, entry: BindingCacheEntry) -> None:
        """ "the DMNP list has to be removed along with the Binding Cache entry"."""
        self._led.discard(entry.slot)
        self._unasked.discard(entry.slot)
        self._asker.pop(entry.slot, None)
        self.sleep(entry.slot)
        if entry.slot in self._held:
            self._give(entry, ())
            self._save()

    def _save(self) -> None:
        self._keep(_encoder.encode({slot: [(p.address, p.length) for p in held] for slot, held in self._held.items()}))

    def row(self, entry: BindingCacheEntry) -> Row:
        """The DMNP list."""
        return {"delegated": [str(prefix) for prefix in self._held.get(entry.slot, ())]}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[int, list[tuple[bytes, int]]])


def _asked(request: HomeRequest) -> tuple[bool, list[Prefix], bool]:
    """Whether any is asked for, those asked for by name, and whether one of IPv4 is among these."""
    options = request.update.all(DelegatedMobileNetworkPrefix) if DelegatedMobileNetworkPrefix in request.firsts else ()
    named = [option for option in options if any(option.address)]
    anything = any(not option.ipv4 and not any(option.address) for option in options)
    prefixes = [option.prefix for option in named]
    return anything, [prefix for prefix in prefixes if prefix is not None], None in prefixes
