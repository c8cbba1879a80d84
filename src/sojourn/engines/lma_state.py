"""State and vocabulary of the LMA: its Binding Cache, its prefixes, and the effects that make a session hold."""

from __future__ import annotations

from hashlib import sha256

from sojourn.core.effects import (
    DeleteBinding,
    EnsureCounter,
    EnsurePaths,
    EnsurePrefix,
    EnsureTunnel,
    StoreBinding,
    WithdrawCounter,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.engines.answering import Answering
from sojourn.engines.configuration import Gateway, HomeProfile, LmaConfiguration
from sojourn.engines.extension import Extensions, LmaExtension
from sojourn.engines.home_prefixes import HomePrefixes
from sojourn.engines.lma_entry import BindingCache, BindingCacheEntry
from sojourn.engines.slots import Slots
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import WallClock, ticks


class LmaState(Answering):
    """What all procedures of an LMA share."""

    _distributed = False
    extensions: Extensions[LmaExtension] = Extensions()

    def __init__(self, configuration: LmaConfiguration, epoch: WallClock) -> None:
        self._gateways: dict[Address, Gateway] = {gateway.address: gateway for gateway in configuration.gateways}
        super().__init__(configuration.address, self._gateways, configuration.lifetime_max, epoch)
        self.configuration = configuration
        self.cache = BindingCache()
        self.prefixes = HomePrefixes(configuration, lambda prefix: self.cache.with_prefix(prefix) is not None)
        self._profiles = {profile.node: profile for profile in configuration.profiles}
        self._slots = Slots()
        self._window = ticks(configuration.timestamp_validity_window)

    def _profile(self, node: bytes) -> HomeProfile | None:
        """What is known of a node (RFC 5213 6.2)."""
        return self._profiles.get(node, self.configuration.everybody)

    def _mag_of(self, entry: BindingCacheEntry) -> Address:
        """Whom to speak with about a session: the MAG of its tunnel, or who registered it for that."""
        return entry.gateway if entry.gateway in self._gateways else entry.source

    # --- what must hold for a session -------------------------------------------------------------------------------

    def _forward(self, entry: BindingCacheEntry) -> None:
        """RFC 5213 5.3.2, 5. and 6.: its prefixes are reached through the tunnel to its MAG."""
        do, slot = self._do, entry.slot
        do(self._way_of(entry) if self.extensions else EnsureTunnel(slot, entry.gateway))
        for prefix in entry.prefixes:
            do(EnsurePrefix(prefix, slot))
            if prefix.length == self.configuration.prefix_length:
                do(EnsureCounter(prefix))
        for extension in self.extensions:
            extension.forwarded(entry)

    def _way_of(self, entry: BindingCacheEntry) -> EnsurePaths | EnsureTunnel:
        """Where extensions lead it, if one of them knows better."""
        paths = next((found for extension in self.extensions if len(found := extension.paths(entry)) > 1), ())
        others = (extension.downlink(entry) for extension in self.extensions)
        remote = next(filter(None, others), entry.gateway)
        return EnsurePaths(entry.slot, paths) if paths else EnsureTunnel(entry.slot, remote)

    def _drop_traffic(self, entry: BindingCacheEntry) -> None:
        """Packets to it are dropped (5.3.5, 2.): there is no way for its prefixes, and what we own is not passed on."""
        for prefix in entry.prefixes:
            self._do(WithdrawPrefix(prefix))

    def _change(self, entry: BindingCacheEntry, prefixes: tuple[Prefix, ...]) -> None:
        """A session has these prefixes from now on; `_forward` follows."""
        gone = tuple([prefix for prefix in entry.prefixes if prefix not in prefixes])
        for prefix in gone:
            self._do(WithdrawPrefix(prefix))
        self.cache.change(entry, prefixes)
        self.prefixes.release(gone, self._now)

    def _keep(self, entry: BindingCacheEntry) -> None:
        self._do(StoreBinding(entry.key, entry.record()))

    def _enter(self, entry: BindingCacheEntry) -> None:
        """A session of ours from now on."""
        self.cache.add(entry)
        self._serves[entry.source] += 1

    def _remove(self, entry: BindingCacheEntry) -> None:
        """Nothing is left of this session; its prefixes may be given to others, after a while."""
        if not entry.waiting:
            self._drop_traffic(entry)
        for prefix in entry.prefixes:
            if prefix.length == self.configuration.prefix_length:
                self._do(WithdrawCounter(prefix))
        self._do(WithdrawSlot(entry.slot))
        for kind in ("expiry", "repair"):
            self._timers.stop((kind, entry.slot))
        self.cache.remove(entry)
        for extension in self.extensions:
            extension.removed(entry)
        self._serves[entry.source] -= 1
        self.prefixes.release(entry.prefixes, self._now, owner=entry.node + entry.link_layer)
        self._slots.give_back(entry.slot)
        self._do(DeleteBinding(entry.key))

    def _link_local(self, node: bytes, link_layer: bytes) -> Address:
        """What the MAG is to be called on this node's link, wherever that is (RFC 5213 6.8)."""
        identifier = bytearray(sha256(b"sojourn MAG" + self._address + node + link_layer).digest()[:8])
        identifier[0] &= 0xFD  # not a universally administered identifier, so not that of the node (RFC 4291 2.5.1)
        return b"\xfe\x80" + bytes(6) + bytes(identifier)
