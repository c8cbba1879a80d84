"""A domain of RFC 8885 as machines of a `World`: one CMD and some MAARs, with addresses that read well.

What the simulation (`sim.dmm`), the tests of the engines and the transcripts (`support.domain`) share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, TypeAlias

from sim.world import Machine, World
from sojourn.core.engine import Engine
from sojourn.engines.configuration import NO_CMD, CmdConfiguration, Dhcpv6, Maar, MaarConfiguration, Mode, Peer
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_direct import access_router
from sojourn.engines.maar_session import Session
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.stores.shared_memory import SharedMemory
from sojourn.wire.addresses import Address, Prefix, address, link_layer, prefix
from sojourn.wire.units import Duration, Instant, WallClock

CMD = address("2001:db8:c::1")
HOSTS = {f"mn{n}": link_layer(f"02:00:00:00:01:{n:02x}") for n in range(1, 100)}

MaarEngine: TypeAlias = Callable[[MaarConfiguration, WallClock], Engine]
CmdEngine: TypeAlias = Callable[[CmdConfiguration, WallClock], Engine]


def database(number: int) -> Address:
    """The address of ``cmd`` or ``cmdN``."""
    return address(f"2001:db8:c::{number}")


@cache
def router(number: int) -> Address:
    """The address of ``arN``."""
    return address(f"2001:db8:a{number}::1")


@cache
def pool(number: int) -> Prefix:
    """The pool of ``arN``."""
    return prefix(f"2001:db8:a{number}00::/48")


@cache
def ipv4_pool(number: int) -> Prefix:
    """The IPv4 addresses of ``arN``."""
    return prefix(f"10.{number}.0.0/24")


@lru_cache(maxsize=1 << 16)
def _owner(network: Prefix, numbers: range) -> int | None:
    """Whose pool has it: asked for every packet."""
    return next((n for n in numbers if pool(n).contains(network) or ipv4_pool(n).contains(network)), None)


def node(host: str) -> bytes:
    """The key of a host in the engines' tables."""
    return b"\x05" + HOSTS[host]


class DmmDomain:
    """``cmd`` and ``ar1`` to ``arN``, not started yet. Every life is built from the same configurations."""

    def __init__(
        self,
        mode: Mode,
        maars: int,
        cmd: Mapping[str, Any],
        settings: Mapping[str, Any],
        maar_engine: MaarEngine = access_router,
        cmd_engine: CmdEngine = CentralMobilityDatabase,
        cmds: int = 1,
    ) -> None:
        """`cmd` and `settings` replace defaults of the CMD's and of all MAARs' configuration; `cmds` share a store."""
        self.mode = mode
        self._maar_engine, self._cmd_engine = maar_engine, cmd_engine
        self.world = World()
        self.numbers = range(1, maars + 1)
        self.databases = {"cmd" if n == 1 else f"cmd{n}": database(n) for n in range(1, cmds + 1)}
        self.maar_configurations = {f"ar{n}": replace(self._maar(n), **settings) for n in self.numbers}
        self.cmd_configuration = replace(
            CmdConfiguration(CMD, tuple(Maar(router(n), pool(n), f"ar{n}") for n in self.numbers), mode), **cmd
        )
        self.names = self.world.network.names
        self.members: dict[str, Machine] = self.world.machines
        for name, where in [*self.databases.items(), *((f"ar{n}", router(n)) for n in self.numbers)]:
            self._member(name, where)
        if cmds > 1:
            self.store = self._make_store()
            for name in self.databases:
                self.members[name].shared = self.store

    def _make_store(self) -> SharedMemory:
        return SharedMemory(lambda: self.world.now)

    def _maar(self, number: int) -> MaarConfiguration:
        others = tuple(Peer(router(m), f"ar{m}") for m in self.numbers if m != number)
        more = tuple(where for where in self.databases.values() if where != CMD)
        cmd = CMD if self.databases else NO_CMD
        return MaarConfiguration(router(number), pool(number), cmd, others, self.mode, more_cmds=more)

    def give_pools(self) -> None:
        """Every MAAR has IPv4 addresses and prefixes to delegate, and all know of each other's; before they start."""
        for number, (name, configuration) in zip(self.numbers, self.maar_configurations.items(), strict=True):
            changes = {
                "dhcpv6": Dhcpv6.STATEFUL,
                "ipv4_pool": ipv4_pool(number),
                "delegated_pool": pool(number).subnet(1, 49),
                "peers": tuple(replace(peer, ipv4_pool=ipv4_pool(int(peer.name[2:]))) for peer in configuration.peers),
            }
            self.adjust(name, changes)
        maars = tuple(replace(maar, ipv4_pool=ipv4_pool(int(maar.name[2:]))) for maar in self.cmd_configuration.maars)
        self.cmd_configuration = replace(self.cmd_configuration, maars=maars)

    def give_partners(self, partners: Mapping[str, str], liveness: LivenessSettings) -> None:
        """These anchors have these partners, and all MAARs ask after each other; before they start."""
        for name, configuration in self.maar_configurations.items():
            peers = []
            for peer in configuration.peers:
                other = peer.name
                partner = router(int(partners[other][2:])) if other in partners else None
                peers.append(replace(peer, pool=pool(int(other[2:])), partner=partner))
            own = router(int(partners[name][2:])) if name in partners else None
            self.adjust(name, {"peers": tuple(peers), "partner": own, "liveness": liveness})

    def _member(self, name: str, where: Address) -> Machine:
        return Machine(self.world, name, where, lambda epoch: self._engine(name, epoch))

    def _engine(self, name: str, epoch: WallClock) -> Engine:
        if name in self.databases:
            shared = len(self.databases) > 1
            configuration = replace(self.cmd_configuration, address=self.databases[name], shared=shared)
            return self._cmd_engine(configuration, epoch)
        return self._maar_engine(self.maar_configurations[name], epoch)

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        return self.world.now

    @property
    def routers(self) -> list[Machine]:
        """The MAARs."""
        return [self.members[f"ar{number}"] for number in self.numbers]

    @property
    def cmd(self) -> CentralMobilityDatabase:
        """The engine of the CMD."""
        engine = self.members["cmd"].engine
        assert isinstance(engine, CentralMobilityDatabase)
        return engine

    def maar(self, name: str) -> MobilityAnchorAccessRouter:
        """The engine of a MAAR."""
        engine = self.members[name].engine
        assert isinstance(engine, MobilityAnchorAccessRouter)
        return engine

    def home(self, network: Prefix) -> Machine | None:
        """The MAAR whose pool has that prefix."""
        number = _owner(network, self.numbers)
        return None if number is None else self.members[f"ar{number}"]

    def leads(self, network: Prefix) -> Machine | None:
        """The MAAR to which the network leads packets for that prefix: its anchor, or who holds its pool."""
        for machine in self.routers:
            pools = machine.plane.state.pools
            if pools and machine.powered and any(pool.contains(network) for pool in pools):
                return machine
        return self.home(network)

    def session(self, name: str, host: str) -> Session | None:
        """What `name` knows of `host`."""
        return self.maar(name).sessions.get(node(host))

    def adjust(self, name: str, changes: Mapping[str, Any]) -> None:
        """The next life of a MAAR has other settings."""
        self.maar_configurations[name] = replace(self.maar_configurations[name], **changes)

    def run(self, duration: Duration) -> None:
        """Let time pass."""
        self.world.run(duration)
