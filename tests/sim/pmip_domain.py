"""A domain of RFC 5213 as machines of a `World`: an LMA or two, and some MAGs; with addresses of `support.pmip`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from sim.domain import HOSTS, node
from sim.world import Machine, World
from sojourn.core.engine import Engine
from sojourn.engines.configuration import Gateway, GatewayProfile, LmaConfiguration, MagConfiguration
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import WallClock
from support.pmip import HOME, HOME2, LMA, LMA2, gateway

MagEngine: TypeAlias = Callable[[MagConfiguration, WallClock], Engine]
LmaEngine: TypeAlias = Callable[[LmaConfiguration, WallClock], Engine]
_ANCHORS = (("lma", LMA, HOME), ("lma2", LMA2, HOME2))


class PmipDomain:
    """``lma``, perhaps ``lma2``, and ``mag1`` to ``magN``, not started yet. With lma2, it has every other node."""

    def __init__(
        self,
        gateways: int,
        anchors: int,
        lma: Mapping[str, Any],
        settings: Mapping[str, Any],
        mag_engine: MagEngine = MobileAccessGateway,
        lma_engine: LmaEngine = LocalMobilityAnchor,
    ) -> None:
        """`lma` and `settings` replace defaults of the configurations of all LMAs and of all MAGs."""
        self._mag_engine, self._lma_engine = mag_engine, lma_engine
        self.world = World()
        numbers = range(1, gateways + 1)
        self._known = tuple(Gateway(gateway(number), f"mag{number}") for number in numbers)
        self._lma = lma
        self.lma_configurations: dict[str, LmaConfiguration] = {}
        for _ in range(anchors):
            self.add_anchor()
        self._of = {host: "lma2" if anchors > 1 and number % 2 else "lma" for number, host in enumerate(HOSTS)}
        others = tuple(GatewayProfile(HOSTS[host], lma=LMA2) for host, name in self._of.items() if name == "lma2")
        self.mag_configurations = {
            f"mag{number}": replace(MagConfiguration(gateway(number), LMA, others), **settings) for number in numbers
        }
        self.members: dict[str, Machine] = self.world.machines
        self._homes: dict[Prefix, Machine | None] = {}
        self.identities: dict[str, str] = {}
        """Interfaces that belong to the node of another one."""

    # --- before anybody starts ------------------------------------------------------------------------------------

    def add_anchor(self) -> None:
        """One more LMA, if there are not two yet."""
        for name, address, pool in _ANCHORS[len(self.lma_configurations) :][:1]:
            self.lma_configurations[name] = replace(LmaConfiguration(address, self._known, (pool,)), **self._lma)

    def adjust(self, name: str, changes: Mapping[str, Any]) -> None:
        """Other settings of one machine."""
        if name in self.lma_configurations:
            self.lma_configurations[name] = replace(self.lma_configurations[name], **changes)
        else:
            self.mag_configurations[name] = replace(self.mag_configurations[name], **changes)

    def add_profile(self, name: str, profile: GatewayProfile) -> None:
        """What a MAG knows of a node."""
        others = [one for one in self.mag_configurations[name].profiles if one.link_layer != profile.link_layer]
        self.adjust(name, {"profiles": (*others, profile)})

    def unite(self, host: str, other: str) -> None:
        """`host` is another interface of the node whose first one is `other`."""
        self.identities[host] = other
        self._of[host] = self._of[other]
        lma = self.lma_configurations[self._of[host]].address
        for name in self.mag_configurations:
            self.add_profile(name, GatewayProfile(HOSTS[host], node(other), lma))

    def populate(self) -> None:
        """A machine for each."""
        for name, configuration in (self.lma_configurations | self.mag_configurations).items():
            Machine(self.world, name, configuration.address, lambda epoch, name=name: self._engine(name, epoch))  # type: ignore[misc]

    def _engine(self, name: str, epoch: WallClock) -> Engine:
        if name in self.lma_configurations:
            return self._lma_engine(self.lma_configurations[name], epoch)
        return self._mag_engine(self.mag_configurations[name], epoch)

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def anchors(self) -> list[Machine]:
        """The LMAs."""
        return [self.members[name] for name in self.lma_configurations]

    @property
    def gateways(self) -> list[Machine]:
        """The MAGs."""
        return [self.members[name] for name in self.mag_configurations]

    @property
    def living(self) -> list[Machine]:
        """The LMAs that are awake, or could be woken."""
        return [machine for machine in self.anchors if machine.driver is not None]

    def lma(self, machine: Machine) -> LocalMobilityAnchor:
        """The engine of a living LMA."""
        assert isinstance(machine.engine, LocalMobilityAnchor)
        return machine.engine

    def mag(self, machine: Machine) -> MobileAccessGateway:
        """The engine of a living MAG."""
        assert isinstance(machine.engine, MobileAccessGateway)
        return machine.engine

    def anchor_of(self, host: str) -> Machine:
        """The LMA of a node."""
        return self.members[self._of[host]]

    def home(self, network: Prefix) -> Machine | None:
        """The LMA whose pool has that prefix."""
        if network in self._homes:
            return self._homes[network]
        self._homes[network] = None
        for machine in self.anchors:
            configuration = self.lma_configurations[machine.name]
            delegated = () if configuration.delegation is None else configuration.delegation.pools
            ipv4 = () if configuration.ipv4_pool is None else (configuration.ipv4_pool,)
            if any(pool.contains(network) for pool in (*configuration.pools, *delegated, *ipv4)):
                self._homes[network] = machine
        return self._homes[network]

    def entries(self, host: str) -> tuple[BindingCacheEntry, ...]:
        """The sessions of `host`, wherever; of a node with several interfaces, those of this one."""
        return tuple(
            entry
            for machine in self.anchors
            for entry in self.lma(machine).cache.of(self.identity(host))
            if entry.link_layer == HOSTS[host]
        )

    def identity(self, host: str) -> bytes:
        """What the LMA knows a node by."""
        return node(self.identities.get(host, host))

    def listed(self, machine: Machine, host: str) -> BindingUpdateListEntry | None:
        """What a MAG knows of `host`."""
        return None if machine.driver is None else self.mag(machine).sessions.get(node(host))
