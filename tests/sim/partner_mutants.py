"""Routers with one defect each in how they miss each other and step in, as in `sim.mutants`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sim.mutants import Omits
from sim.partners import Partners
from sojourn.core.effects import Effect, EnsurePool, WithdrawPool
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.stand_in import StandIn, Survival
from sojourn.wire.addresses import Address, Prefix


class NeverStepsIn(MobilityAnchorAccessRouter):
    """Its anchor is missed, and nothing follows."""

    def _take_over(self, stand: StandIn) -> None:
        pass


class LeadsNothingHere(Omits, MobilityAnchorAccessRouter):
    """It holds a pool, and the network does not hear of it."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, EnsurePool)


class KeepsThePool(Omits, MobilityAnchorAccessRouter):
    """It gave the pool back, and the network does not hear of it."""

    def omits(self, effect: Effect) -> bool:
        return isinstance(effect, WithdrawPool)


class NeverGivesBack(MobilityAnchorAccessRouter):
    """An anchor that is there again waits for its pool for ever."""

    def _on_hold_over_of(self, stand: StandIn, survival: Survival) -> None:
        pass


class LeavesWhatItHeld(MobilityAnchorAccessRouter):
    """Tunnels of a pool that it gave back stay."""

    def _on_linger_over(self, stand: StandIn) -> None:
        pass


class ForgetsNothingHeld(MobilityAnchorAccessRouter):
    """What no router serves any more is held for ever."""

    def _forget_held(self, stand: StandIn, prefix: Prefix) -> None:
        pass


class WithdrawsNothing(MobilityAnchorAccessRouter):
    """The nodes of a dead anchor without a partner are told nothing."""

    def _withdraw_anchor(self, anchor: Address, survival: Survival) -> None:
        pass


PARTNER_MUTANTS: Mapping[str, Callable[[int], Partners]] = {
    mutant.__name__: (lambda seed, mutant=mutant: Partners(seed, maar_engine=mutant))  # type: ignore[misc]
    for mutant in (
        NeverStepsIn,
        LeadsNothingHere,
        KeepsThePool,
        NeverGivesBack,
        LeavesWhatItHeld,
        ForgetsNothingHeld,
        WithdrawsNothing,
    )
}
"""Casts with one mutant among them, by its name."""
