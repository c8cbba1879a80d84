"""Home agents, mobile nodes and correspondent nodes (RFC 6275) as machines of a `World`, with addresses that read well.

``ha1`` is the router of the home link, ``ha2`` another home agent there; ``f1`` to ``fN`` are the routers of foreign
links, plain ones or anchors (RFC 8818); ``cn1`` takes the direct way, ``cn2`` knows nothing of mobility. A mobile node
has one or two radios, each of which is a node of `sim.air`: ``mn1`` and ``mn1b``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from sim.mip6_host import HostMachine
from sim.mip6_wires import Wires
from sim.world import World
from sojourn.core.effects import AdvertisedPrefix, Effect
from sojourn.core.engine import Engine, Row
from sojourn.core.events import Event
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.mip6_configuration import (
    Association,
    CnConfiguration,
    HaConfiguration,
    Home,
    HomeNode,
    MnConfiguration,
)
from sojourn.engines.mn import MobileNode
from sojourn.wire.addresses import Address, LinkLayer, Prefix, address, link_layer, prefix
from sojourn.wire.extensions.rfc6275_discovery import AdvertisementInterval, HomeAgentInformation
from sojourn.wire.icmpv6 import (
    PrefixInformation,
    PrefixInformationFlags,
    RouterAdvertisement,
    RouterAdvertisementFlags,
)
from sojourn.wire.units import HOUR, SECOND, Duration, Instant, WallClock

HaEngine: TypeAlias = Callable[[HaConfiguration, WallClock, bytes], Engine]
MnEngine: TypeAlias = Callable[[MnConfiguration, WallClock, bytes], Engine]
CnEngine: TypeAlias = Callable[[CnConfiguration, WallClock, bytes], Engine]
HOME_LINK = prefix("2001:db8:4000::/64")
HOME, WITHOUT = "ha1", "cn2"
"""The router of the home link; the correspondent node without support."""
VISITOR = b"visitor-"
"""Begins the identifiers of nodes at anchors."""
INTERFACES = ("wlan0", "lte0")
_FLAGS = int(PrefixInformationFlags.ON_LINK | PrefixInformationFlags.AUTONOMOUS)
_SECOND_RADIO = 0x100


class Plain:
    """A machine that knows nothing of mobility."""

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        return ()

    def expire(self, now: Instant) -> Sequence[Effect]:
        return ()

    def deadline(self) -> Instant | None:
        return None

    @property
    def restoring(self) -> bool:
        return False

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        return ()

    def show(self, topic: str, now: Instant) -> list[Row]:
        return []


@dataclass(slots=True)
class Link:
    """What hosts are attached to, behind the machine of the same name."""

    name: str
    prefix: Prefix
    router: Address
    """Link-local."""
    agent: Address | None = None
    """The global address of the router, if it is a home agent."""
    interval: Duration = 0
    """At least so often the router advertises itself; 0: it does not say."""

    def advertisement(self, preference: int = 0) -> RouterAdvertisement:
        """What the router says."""
        options: list[Any] = []
        where, flags, agent = self.prefix.address, _FLAGS, 0
        if self.agent is not None:
            where, agent = self.agent, int(RouterAdvertisementFlags.HOME_AGENT)
            flags |= int(PrefixInformationFlags.ROUTER_ADDRESS)
            options.append(HomeAgentInformation(preference, 1800 * SECOND))
        if self.interval:
            options.append(AdvertisementInterval(self.interval))
        options.append(PrefixInformation(64, flags, 24 * HOUR, 12 * HOUR, where))
        return RouterAdvertisement(64, agent, 1800 * SECOND, options=tuple(options))


@dataclass(slots=True)
class Mobile:
    """The truth about one mobile node."""

    name: str
    number: int
    home: Address
    association: Association
    network: Prefix | None
    """Behind it, if it is a mobile router."""
    radios: tuple[str, ...]
    """Nodes of `sim.air`, one for each interface."""
    held: dict[str, dict[Address, str]] = field(default_factory=dict)
    """By radio, the addresses that its kernel made, each with the link that it is of."""

    @property
    def permanent(self) -> list[Prefix]:
        """What leads to it for ever: its home address and its network."""
        return [Prefix(self.home, 128), *([self.network] if self.network else [])]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed chooses."""

    links: int
    agents: int
    mobiles: int
    radios: int
    routers: int
    """How many of the mobile nodes are mobile routers, the last ones."""
    anchors: bool
    discovered: bool
    """Home agents are looked for, not configured."""
    interval: Duration
    timestamps: bool
    ha: Mapping[str, Any]
    cn: Mapping[str, Any]
    mn: Mapping[str, Any]
    implicit: bool = False
    """Home agents know the networks of mobile routers, and are not told (RFC 3963 5.2)."""


class Mip6Domain:
    """See the module's text; nothing is started yet. Every life is built from the same configurations."""

    def __init__(
        self,
        plan: Plan,
        ha_engine: HaEngine = HomeAgent,
        mn_engine: MnEngine = MobileNode,
        cn_engine: CnEngine = CorrespondentNode,
    ) -> None:
        self.plan = plan
        self.world = World()
        self.wires = self.world.network = Wires(self.world)
        self.mobiles = {f"mn{n}": self._mobile(n) for n in range(1, plan.mobiles + 1)}
        self.links = {HOME: Link(HOME, HOME_LINK, address("fe80::1"), _of(HOME_LINK, 1), plan.interval)}
        for n in range(1, plan.links + 1):
            network = prefix(f"2001:db8:{n}00::/64")
            agent = _of(network, 1) if plan.anchors else None
            self.links[f"f{n}"] = Link(f"f{n}", network, address(f"fe80::f{n}"), agent, plan.interval)
        self._builds: dict[str, Callable[[WallClock, bytes], Engine]] = {}
        self.anchor_names = [name for name in self.links if name != HOME and plan.anchors]
        self.agents = [HOME, *(f"ha{n}" for n in range(2, plan.agents + 1))]
        """The home agents of the home link."""
        for name in self.links:
            self._add_router(name, ha_engine)
        for number, name in enumerate(self.agents[1:], 2):
            self._add_agent(name, _of(HOME_LINK, number), HOME_LINK, self._profiles(), ha_engine)
        for number, name in enumerate(("cn1", WITHOUT), 1):
            where = address(f"2001:db8:300{number}::9")
            known = CnConfiguration(where, **plan.cn)
            build = (lambda epoch, seed, known=known: cn_engine(known, epoch, seed)) if name != WITHOUT else _plain
            self._add(name, where, build)
        for mobile in self.mobiles.values():
            configuration = self._configuration(mobile)
            self._add_mobile(mobile, configuration, mn_engine)
        self.members: dict[str, HostMachine] = self.world.machines  # type: ignore[assignment]
        self.correspondents = {name: self.members[name].address for name in ("cn1", WITHOUT)}
        self.wires.lay(self.links, self.mobiles, self.agents)

    # --- who there is ---------------------------------------------------------------------------------------------

    def _mobile(self, number: int) -> Mobile:
        name = f"mn{number}"
        identifier = b"\x01" + name.encode() + b"@example.net"
        key = b"key of %s........" % name.encode()
        association = Association(1000 + number, key, identifier, replay_protection=self.plan.timestamps)
        is_router = number > self.plan.mobiles - self.plan.routers
        network = prefix(f"2001:db8:5{number:03x}::/64") if is_router else None
        radios = tuple(name + suffix for suffix in ("", "b")[: self.plan.radios])
        return Mobile(
            name, number, _of(HOME_LINK, 0x10 + number), association, network, radios, {r: {} for r in radios}
        )

    def _configuration(self, mobile: Mobile) -> MnConfiguration:
        agent = None if self.plan.discovered else _of(HOME_LINK, 1)
        networks = (mobile.network,) if mobile.network else ()
        implicit = self.plan.implicit and bool(networks)
        home = Home(mobile.home, HOME_LINK, agent, mobile.association, bool(networks), networks, implicit=implicit)
        anchors = self._visitor(mobile) if self.plan.anchors else None
        return MnConfiguration((home,), INTERFACES[: self.plan.radios], anchors=anchors, **self.plan.mn)

    @staticmethod
    def _visitor(mobile: Mobile) -> Association:
        """What anchors know of it."""
        identifier = b"\x01" + VISITOR + mobile.association.identifier[1:]
        return replace(mobile.association, spi=mobile.association.spi + 1000, identifier=identifier)

    def _profiles(self) -> tuple[HomeNode, ...]:
        known = tuple(
            HomeNode(mobile.home, mobile.association, prefixes=(mobile.network,) if mobile.network else ())
            for mobile in self.mobiles.values()
        )
        return (*known, *self._visitors()) if self.plan.anchors else known

    def _visitors(self) -> tuple[HomeNode, ...]:
        return tuple(HomeNode(None, self._visitor(mobile)) for mobile in self.mobiles.values())

    def _add_router(self, name: str, ha_engine: HaEngine) -> None:
        link = self.links[name]
        if link.agent is None:
            self._add(name, _of(link.prefix, 1), _plain)
        elif name == HOME:
            self._add_agent(name, link.agent, link.prefix, self._profiles(), ha_engine)
        else:
            self._add_agent(name, link.agent, link.prefix, self._visitors(), ha_engine)

    def _add_agent(
        self, name: str, where: Address, network: Prefix, known: tuple[HomeNode, ...], ha_engine: HaEngine
    ) -> None:
        prefixes = (AdvertisedPrefix(network, 12 * HOUR, 24 * HOUR),)
        configuration = HaConfiguration(where, prefixes, known, "home0", **self.plan.ha)
        self._add(name, where, lambda epoch, seed: ha_engine(configuration, epoch, seed))

    def _add_mobile(self, mobile: Mobile, known: MnConfiguration, mn_engine: MnEngine) -> None:
        nowhere = bytes(15) + bytes((mobile.number,))  # it has no address of its own for ever
        self._add(mobile.name, nowhere, lambda epoch, seed: mn_engine(known, epoch, seed))

    def _add(self, name: str, where: Address, build: Callable[[WallClock, bytes], Engine]) -> None:
        def born(epoch: WallClock) -> Engine:
            return build(epoch, b"entropy of %s, life %d" % (name.encode(), self.members[name].lives))

        HostMachine(self.world, name, where, born, self.wires).plain = build is _plain

    # --- looking --------------------------------------------------------------------------------------------------

    def radios(self) -> dict[str, LinkLayer]:
        """Nodes of `sim.air`."""
        return {
            radio: link_layer(f"02:00:00:00:{index:02x}:{mobile.number:02x}")
            for mobile in self.mobiles.values()
            for index, radio in enumerate(mobile.radios)
        }

    def owner(self, radio: str) -> Mobile:
        """Whose radio it is."""
        return self.mobiles[radio.rstrip("b")]

    @staticmethod
    def interface(radio: str) -> str:
        """What its host calls it."""
        return INTERFACES[radio.endswith("b")]

    def made(self, radio: str, link: Link) -> Address:
        """The address that a host makes of the prefix of a link; on the home link it is the home address."""
        mobile = self.owner(radio)
        if link.name == HOME and not radio.endswith("b"):
            return mobile.home
        return _of(link.prefix, 0x10 + mobile.number + _SECOND_RADIO * radio.endswith("b"))

    def ha(self, name: str) -> HomeAgent:
        """The engine of a living home agent or anchor."""
        engine = self.members[name].engine
        assert isinstance(engine, HomeAgent)
        return engine

    def mn(self, name: str) -> MobileNode:
        """The engine of a living mobile node."""
        engine = self.members[name].engine
        assert isinstance(engine, MobileNode)
        return engine

    def cn(self, name: str = "cn1") -> CorrespondentNode:
        """The engine of a living correspondent node."""
        engine = self.members[name].engine
        assert isinstance(engine, CorrespondentNode)
        return engine

    @property
    def serving(self) -> list[str]:
        """Home agents and anchors."""
        return [*self.agents, *self.anchor_names]


def _plain(epoch: WallClock, seed: bytes) -> Engine:
    return Plain()


def _of(network: Prefix, number: int) -> Address:
    return network.address[:14] + number.to_bytes(2, "big")
