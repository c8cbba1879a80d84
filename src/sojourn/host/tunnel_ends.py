"""The tunnels that end at this machine's mobile node."""

from __future__ import annotations

from sojourn.core.mobile_effects import EnsureReverseTunnel, MobileEffect, WithdrawHomeAddress
from sojourn.wire.addresses import Address


class TunnelEnds:
    """The tunnels of the mobile node on this machine, if there is one; its roles share them."""

    def __init__(self) -> None:
        self._of: dict[Address, tuple[Address, Address]] = {}

    def follow(self, effect: MobileEffect) -> None:
        """A tunnel is there, or is not any more."""
        match effect:
            case EnsureReverseTunnel(home, care_of, agent):
                self._of[home] = agent, care_of
            case WithdrawHomeAddress(home):
                self._of.pop(home, None)
            case _:
                pass

    def take(self, source: Address, destination: Address) -> bool:
        """Whether the kernel takes packets out of such a tunnel."""
        return (source, destination) in self._of.values()
