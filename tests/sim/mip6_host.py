"""A machine that does Mobile IPv6: what `sojourn.core.mobile_effects` asks of its kernel, in a dictionary."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from sim.world import Build, Kernel, Machine, World
from sojourn.core.effects import ForgetStation, ForwardingEffect, SendMessage
from sojourn.core.events import SessionsCounted
from sojourn.core.mobile_effects import (
    AnnounceAddress,
    CountSessions,
    EnsureCareOfRoute,
    EnsureFlows,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureProxyNeighbour,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    EnsureTunnelEnd,
    MobileEffect,
    ProbeAddress,
    ProbeRouter,
    SendIcmpv6,
    WithdrawCareOfRoute,
    WithdrawHomeAddress,
    WithdrawProxyNeighbour,
    WithdrawReverseTunnel,
    WithdrawRouteOptimisation,
    WithdrawTunnelEnd,
)
from sojourn.wire.addresses import Address
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND

if TYPE_CHECKING:
    from sim.mip6_wires import Wires

Key: TypeAlias = tuple[Any, ...]


class HostKernel(Kernel):
    """Outlives the process; what the next life does not ask for goes when that has begun."""

    def __init__(
        self,
        trouble: Callable[[ForwardingEffect], OSError | None],
        forget: Callable[[ForgetStation], None],
    ) -> None:
        super().__init__(trouble, forget)
        self.held: dict[Key, Any] = {}
        """``("address", a)``: (interface, preferred); ``("out", home)``: (care-of, agent), None if blocked;
        ``("direct", home, correspondent)`` and ``("route", home)``: care-of; ``("proxy", a)``; ``("end", slot, a)``."""
        self._wanted: set[Key] | None = None

    def carry_out(self, effect: MobileEffect) -> None:
        """Make `effect` hold."""
        match effect:
            case EnsureHomeAddress(where, interface, preferred):
                self._hold(("address", where), (interface, preferred))
            case WithdrawHomeAddress(where):
                self._drop(("address", where))
            case EnsureReverseTunnel(home, care_of, agent):
                self._hold(("out", home), (care_of, agent))
            case EnsureHomeBlock(home):
                self._hold(("out", home), None)
            case WithdrawReverseTunnel(home):
                self._drop(("out", home))
            case EnsureRouteOptimisation(home, correspondent, care_of):
                self._hold(("direct", home, correspondent), care_of)
            case EnsureReverseFlows(home, agent, ways, flows):
                self._drop(("ways", home))
                if ways:
                    self._hold(("ways", home), (agent, tuple(ways), tuple(flows)))
            case EnsureFlows(slot, flows):
                self._drop(("flows", slot))
                if flows:
                    self._hold(("flows", slot), tuple(flows))
            case WithdrawRouteOptimisation(home, correspondent):
                self._drop(("direct", home, correspondent))
            case EnsureCareOfRoute(home, care_of, also):
                self._hold(("route", home), care_of)
                self._drop(("also", home))
                if also:
                    self._hold(("also", home), also)
            case WithdrawCareOfRoute(home):
                self._drop(("route", home))
                self._drop(("also", home))
            case EnsureProxyNeighbour(_, where):
                self._hold(("proxy", where), True)
            case WithdrawProxyNeighbour(_, where):
                self._drop(("proxy", where))
            case EnsureTunnelEnd(slot, remote):
                self._hold(("end", slot, remote), True)
            case WithdrawTunnelEnd(slot, remote):
                self._drop(("end", slot, remote))
            case _:
                raise OSError(errno.ENOSYS, f"{type(effect).__name__} is not known here")

    def of(self, kind: str) -> dict[Key, Any]:
        """All of that kind, by the rest of the key."""
        return {key[1:]: value for key, value in self.held.items() if key[0] == kind}

    def _hold(self, key: Key, value: Any) -> None:
        self.held[key] = value
        if self._wanted is not None:
            self._wanted.add(key)

    def _drop(self, key: Key) -> None:
        self.held.pop(key, None)
        if self._wanted is not None:
            self._wanted.discard(key)

    def begin(self) -> None:
        """See `MemoryDataplane.begin`."""
        super().begin()
        self._wanted = set()

    def finish(self) -> list[str]:
        """See `MemoryDataplane.finish`."""
        for key in [key for key in self.held if self._wanted is not None and key not in self._wanted]:
            del self.held[key]
        self._wanted = None
        return super().finish()


class HostMachine(Machine):
    """A `Machine` whose messages take the ways that its kernel knows."""

    def __init__(self, world: World, name: str, address: Address, build: Build, wires: Wires) -> None:
        super().__init__(world, name, address, build)
        self._wires = wires
        self.plain = False
        """It knows nothing of mobility."""
        self.mobile = self._carry_out
        self.sessions: Callable[[], dict[Address, int]] = dict
        """Sockets by their address."""

    @property
    def host(self) -> HostKernel:
        """The kernel."""
        assert isinstance(self.plane, HostKernel)
        return self.plane

    def _kernel(self) -> Kernel:
        return HostKernel(self._kernel_trouble, lambda effect: self.on_forget(self, effect))

    def _send(self, message: MobilityMessage, source: Address, destination: Address) -> None:
        self._burn()
        self._wires.post(self.name, SendMessage(message, source, destination))

    def _carry_out(self, effect: MobileEffect | SendMessage) -> None:
        if not isinstance(effect, SendMessage):
            error = self._kernel_trouble(effect)  # type: ignore[arg-type]
            if error is not None:
                raise error
        else:
            self._burn()
        match effect:
            case SendMessage() | SendIcmpv6():
                self._wires.post(self.name, effect)
            case ProbeAddress():
                self._wires.probe_address(self.name, effect)
            case ProbeRouter():
                self._wires.probe_router(self.name, effect)
            case CountSessions():
                self.world.later(MILLISECOND, lambda _: self.tell(SessionsCounted(self.sessions())), None)
            case AnnounceAddress():
                pass
            case _:
                self.host.carry_out(effect)
