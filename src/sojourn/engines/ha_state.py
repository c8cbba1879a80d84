"""State and vocabulary of the home agent: its Binding Cache, the prefixes of its link, and effects for a binding."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sojourn.core.effects import (
    AdvertisedPrefix,
    DeleteBinding,
    EnsureDelivery,
    EnsurePrefix,
    EnsureTunnel,
    SendMessage,
    StoreBinding,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.core.mobile_effects import (
    EnsureFlows,
    EnsureProxyNeighbour,
    EnsureTunnelEnd,
    WithdrawProxyNeighbour,
    WithdrawTunnelEnd,
)
from sojourn.engines.authentication import signed
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.home_agents import HomeAgentsList
from sojourn.engines.mip6_base import MobilityEngine
from sojourn.engines.mip6_configuration import MAX_HA_SWITCH_TIMEOUT, HaConfiguration, HomeNode
from sojourn.engines.slots import Slots
from sojourn.wire import MobilityMessage
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.units import Duration, WallClock

if TYPE_CHECKING:
    from sojourn.engines.ha_revocation import Revocation

M = TypeVar("M", bound=MobilityMessage)
_SERVICE = ("probe", "refresh", "repair", "prefixes", "switch", "store", "revocation")
"""Timers of a binding that have no meaning after its end."""


class HaState(MobilityEngine):
    """What all procedures of a home agent share."""

    def __init__(self, configuration: HaConfiguration, epoch: WallClock, seed: bytes) -> None:
        super().__init__(epoch, seed)
        self.configuration = configuration
        self.cache: dict[Address, BindingCacheEntry] = {}
        """By home address."""
        self.prefixes: dict[Prefix, AdvertisedPrefix] = {known.prefix: known for known in configuration.prefixes}
        """The Prefix List: what is valid on the home link. Lifetimes are those that are advertised, always anew."""
        self.agents = HomeAgentsList()
        self._address = configuration.address
        self._by_address = {node.home_address: node for node in configuration.nodes if node.home_address is not None}
        self._by_spi: dict[int, HomeNode] = {
            node.association.spi: node
            for node in configuration.nodes
            if node.home_address is None and node.association is not None
        }
        self._slots = Slots()
        self._accepted: dict[tuple[int, Address], int] = {}
        """The latest timestamp of each security association, by SPI and home address of the configuration."""
        self._delivered: dict[Address, int] = {}
        """Prefix advertisements that nobody asked for and nobody answered yet, by home address."""
        self._switching: dict[Address, tuple[tuple[Address, ...], Duration]] = {}
        """Where nodes are sent to, by home address, and how long after the next message the one behind it is sent; more
        than MAX_HA_SWITCH_TIMEOUT when that was waited for."""
        self._revoking: dict[Address, Revocation] = {}
        """Bindings that are being taken back, by home address."""
        self._revocations = self._entropy.below(1 << 16)
        """The sequence number used last for one (RFC 5846)."""
        self._contested: set[Address] = set()
        """Home addresses that somebody else had when a binding did not wait for their test."""
        self._born = 0
        """Our beginning as a timestamp: what was sent before it may have been accepted in an earlier life."""

    # --- looking --------------------------------------------------------------------------------------------------

    def _active(self, home: Address) -> BindingCacheEntry | None:
        entry = self.cache.get(home)
        return entry if entry is not None and entry.state is BindingState.ACTIVE else None

    def _home_prefix(self, address: Address) -> AdvertisedPrefix | None:
        """The prefix of the home link that has `address`."""
        return next((known for known in self.prefixes.values() if known.valid and known.prefix.covers(address)), None)

    # --- saying -----------------------------------------------------------------------------------------------------

    def _order(self, entry: BindingCacheEntry, message: M) -> None:
        """Tell a node to do something, so that it knows who says so, and when (see `ha_switch`)."""
        association = entry.node.association
        if association is not None:
            message.options = (*message.options, MobilityMessageReplayProtection.at(self._epoch + self._now))
            signed(message, association, entry.care_of, entry.home)
        self._do(SendMessage(message, self._address, entry.care_of, routed_to=entry.home))

    # --- what must hold for a binding -------------------------------------------------------------------------------

    def _forward(self, entry: BindingCacheEntry) -> None:
        """RFC 6275 10.4.1, 10.4.2: packets are taken from the home link, and go through the tunnel."""
        self._lead(entry)
        self._accept_from(entry, set())
        for network in entry.networks:
            self._do(EnsurePrefix(network, entry.slot))
        if entry.flows:
            self._do(EnsureFlows(entry.slot, entry.steered))
        self._defend(entry)

    def _lead(self, entry: BindingCacheEntry) -> None:
        """Packets to the node go to its best care-of address; on the home link without Neighbour Discovery (RFC 5648
        6.3)."""
        if entry.at_home_first:
            self._do(EnsureDelivery(entry.slot, self.configuration.interface, entry.link_layer))
        else:
            self._do(EnsureTunnel(entry.slot, entry.care_of))

    def _accept_from(self, entry: BindingCacheEntry, there: set[Address]) -> None:
        """Packets are taken from every care-of address (RFC 5648), and not from those that it had."""
        here = entry.tunnel_ends
        for care_of in sorted(here - there):
            self._do(EnsureTunnelEnd(entry.slot, care_of))
        for care_of in sorted(there - here):
            self._do(WithdrawTunnelEnd(entry.slot, care_of))

    def _defend(self, entry: BindingCacheEntry) -> None:
        if self.configuration.interface and not entry.yielded:
            for address in entry.defended:
                if address not in entry.unprobed:
                    self._do(EnsureProxyNeighbour(self.configuration.interface, address))

    def _defend_no_more(self, entry: BindingCacheEntry) -> None:
        if self.configuration.interface:
            for address in entry.defended:
                self._do(WithdrawProxyNeighbour(self.configuration.interface, address))

    def _stop_forwarding(self, entry: BindingCacheEntry) -> None:
        """Interception ends first: the node may be on the link already, and answers for itself."""
        ends = entry.tunnel_ends
        entry.ways, entry.link_layer = {}, b""
        if entry.flows:
            entry.flows = {}
            self._do(EnsureFlows(entry.slot, ()))
        self._defend_no_more(entry)
        for network in entry.networks:
            self._do(WithdrawPrefix(network))
        self._accept_from(entry, ends)

    def _was_told(self, entry: BindingCacheEntry) -> bool:
        """RFC 5142 5.3: it was asked to leave until the pauses were as long as they get, or for longer."""
        return self._switching.get(entry.home, ((), 0))[1] > MAX_HA_SWITCH_TIMEOUT

    def _keep(self, entry: BindingCacheEntry) -> None:
        if self.configuration.stores:
            self._do(StoreBinding(entry.home, entry.record()))

    def _forget(self, entry: BindingCacheEntry) -> None:
        if self.configuration.stores:
            self._do(DeleteBinding(entry.home))

    def _remove(self, entry: BindingCacheEntry) -> None:
        """Nothing is left of this binding."""
        if entry.state is BindingState.ACTIVE:
            self._stop_forwarding(entry)
            self._forget(entry)
        if entry.state is not BindingState.TENTATIVE:
            self._do(WithdrawSlot(entry.slot))
        self._stop_serving(entry)
        self._timers.stop(("expiry", entry.home))
        del self.cache[entry.home]
        self._slots.give_back(entry.slot)

    def _stop_serving(self, entry: BindingCacheEntry) -> None:
        """Nothing is to be told to this node any more."""
        self._timers.stop_all((kind, entry.home) for kind in _SERVICE)
        self._delivered.pop(entry.home, None)
        self._switching.pop(entry.home, None)
        entry.yielded = False
        self._revoking.pop(entry.home, None)
