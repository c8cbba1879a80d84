"""Home agents, mobile nodes and correspondent nodes with one defect each, as in `sim.mutants`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.mip6 import Mip6
from sim.mutants import Omits
from sojourn.core.effects import Effect, EnsureTunnel, StoreBinding
from sojourn.core.mobile_effects import (
    EnsureFlows,
    EnsureHomeBlock,
    EnsureReverseTunnel,
    WithdrawProxyNeighbour,
    WithdrawRouteOptimisation,
)
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_entry import BindingCacheEntry
from sojourn.engines.mip6_request import Discarded
from sojourn.engines.mn import MobileNode
from sojourn.engines.mn_state import HomeEntry
from sojourn.engines.registration import Refused
from sojourn.engines.return_routability import binding_key
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix


class HaTakesAnySignature(HomeAgent):
    """Whoever asks for a binding gets it."""

    def _authenticate(self, request: Any, node: Any) -> None:
        pass


class HaTakesOldTimes(HomeAgent):
    """What was sent once may be sent again."""

    def _check_time(self, request: Any, node: Any) -> None:
        pass


class HaGivesAnyNetwork(HomeAgent):
    """A mobile router gets the network that it names."""

    def _networks(self, request: Any, node: Any, entry: Any) -> Any:
        named = tuple(option.prefix for option in request.update.all(MobileNetworkPrefix))
        return named or super()._networks(request, node, entry)


class HaKeepsTheTunnel(Omits, HomeAgent):
    """Packets go on to the care-of address that was the first."""

    _known: set[int]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known = set()

    def omits(self, effect: Effect) -> bool:
        if not isinstance(effect, EnsureTunnel):
            return False
        again, self._known = effect.slot in self._known, self._known | {effect.slot}
        return again


class HaLeaksASlot(HomeAgent):
    """The number of a binding that is over is never used again."""

    def _remove(self, entry: BindingCacheEntry) -> None:
        super()._remove(entry)
        self._slots.take()


class HaNeverRepairs(HomeAgent):
    """What the kernel refused is not tried again."""

    def _mend(self, entry: BindingCacheEntry | None) -> None:
        pass


class HaNeverStores(Omits, HomeAgent):
    """Nothing survives a restart."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, StoreBinding)


class HaAnswersForEver(Omits, HomeAgent):
    """It answers for home addresses that are at home again."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawProxyNeighbour)


class HaForgetsNobody(HomeAgent):
    """A binding does not end by itself."""

    def _on_expiry(self, entry: BindingCacheEntry) -> None:
        pass


class HaKeepsFlows(Omits, HomeAgent):
    """Flows go on to where they went when the node had several care-of addresses."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, EnsureFlows) and not effect.flows


class HaDeliversForEver(HomeAgent):
    """A node that was at home and abroad at once gets its packets at home."""

    def _lead(self, entry: BindingCacheEntry) -> None:
        if self.configuration.interface and entry.home in self._delivered_at_home and entry.link_layer == b"":
            return
        super()._lead(entry)
        if entry.at_home_first:
            self._delivered_at_home.add(entry.home)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._delivered_at_home: set[Address] = set()


class MnSteersOtherwise(MobileNode):
    """Only the first flow takes the link that the home agent was told."""

    def _follow(self, entry: HomeEntry, ways: Any, flows: Any) -> None:
        super()._follow(entry, ways, flows[:1])


class MnLetsOut(Omits, MobileNode):
    """Without a tunnel packets take any way."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, EnsureHomeBlock)


class MnKeepsTheTunnel(Omits, MobileNode):
    """The tunnel begins where the node was first."""

    _known: set[Address]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known = set()

    def omits(self, effect: Effect) -> bool:
        if not isinstance(effect, EnsureReverseTunnel):
            return False
        again, self._known = effect.home_address in self._known, self._known | {effect.home_address}
        return again


class MnSpeaksOnce(MobileNode):
    """Requests are not repeated."""

    def _on_request_due(self, entry: HomeEntry, purpose: str) -> None:
        pass


class MnReturnsSilently(MobileNode):
    """Back at home it does not say so."""

    def _return(self, entry: HomeEntry) -> None:
        self._arrive_home(entry)


class MnStaysDirect(Omits, MobileNode):
    """Packets go on directly from where the node was."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawRouteOptimisation)


class MnGivesUpBoundAddresses(MobileNode):
    """An address that nothing uses is forgotten, whatever its anchor does with it."""

    def _drop_local(self, entry: HomeEntry) -> None:
        entry.kept_until = 0
        super()._drop_local(entry)

    def _on_sessions_counted(self, sessions: dict[Address, int]) -> None:
        for entry in self.homes.values():
            if entry.local and entry.unused and not sessions.get(entry.address, 0):
                entry.kept_until = 0
        super()._on_sessions_counted(sessions)


class MnForgetsRefusals(MobileNode):
    """What the kernel refused is not tried again."""

    def _on_effect_failed(self, event: Any) -> None:
        pass


class CnTakesAnyKey(CorrespondentNode):
    """Whoever has the numbers of the nonces gets a binding."""

    def _authenticate(self, request: Any) -> bytes:
        try:
            return super()._authenticate(request)
        except (Discarded, Refused):
            return binding_key(b"", b"")


class CnKeepsLostWays(CorrespondentNode):
    """One of several care-of addresses does not end before the others."""

    def _lessen(self, entry: Any, gone: set[int]) -> None:
        if not entry.ways or gone >= entry.ways.keys():
            super()._lessen(entry, gone)


class CnKeepsForEver(CorrespondentNode):
    """A binding does not end by itself."""

    def _end(self, entry: Any) -> None:
        pass


_HOME_AGENTS = (
    HaTakesAnySignature,
    HaTakesOldTimes,
    HaGivesAnyNetwork,
    HaKeepsTheTunnel,
    HaLeaksASlot,
    HaNeverRepairs,
    HaNeverStores,
    HaAnswersForEver,
    HaForgetsNobody,
    HaKeepsFlows,
    HaDeliversForEver,
)
_MOBILE_NODES = (
    MnLetsOut,
    MnKeepsTheTunnel,
    MnSpeaksOnce,
    MnReturnsSilently,
    MnStaysDirect,
    MnGivesUpBoundAddresses,
    MnForgetsRefusals,
    MnSteersOtherwise,
)
MIP6_MUTANTS: Mapping[str, Callable[[int], Mip6]] = (
    {mutant.__name__: (lambda seed, mutant=mutant: Mip6(seed, ha_engine=mutant)) for mutant in _HOME_AGENTS}  # type: ignore[misc]
    | {mutant.__name__: (lambda seed, mutant=mutant: Mip6(seed, mn_engine=mutant)) for mutant in _MOBILE_NODES}  # type: ignore[misc]
    | {
        mutant.__name__: (lambda seed, mutant=mutant: Mip6(seed, cn_engine=mutant))  # type: ignore[misc]
        for mutant in (CnTakesAnyKey, CnKeepsForEver, CnKeepsLostWays)
    }
)
"""Casts with one mutant among them, by its name."""
