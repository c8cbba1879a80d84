"""A mobile node that roams, with its home agent, other anchors, and a correspondent node, in simulated time.

The network knows where packets go: to a care-of address while the node is on that link; to a home address through the
home agent that has a binding, or to the home link; from a home address through the tunnel, as far as both ends have it.
Every Mobility Header and ICMPv6 message is encoded and decoded on its way.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sojourn.core.effects import AdvertisedPrefix, CountTraffic, Effect, ProbePath, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import (
    AddressChanged,
    AddressProbed,
    Commanded,
    CorrespondentSeen,
    Event,
    HomeAddressRefused,
    Icmpv6Received,
    LinkChanged,
    MessageReceived,
    NameResolved,
    PathProbed,
    RouterProbed,
    SessionsCounted,
    TrafficCounted,
)
from sojourn.core.mobile_effects import (
    CountSessions,
    EnsureCareOfRoute,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureProxyNeighbour,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    ProbeAddress,
    ProbeRouter,
    ResolveName,
    SendIcmpv6,
    WithdrawCareOfRoute,
    WithdrawHomeAddress,
    WithdrawProxyNeighbour,
    WithdrawReverseTunnel,
    WithdrawRouteOptimisation,
)
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_entry import BindingState
from sojourn.engines.home_agents import home_agents_anycast
from sojourn.engines.mip6_configuration import (
    Association,
    CnConfiguration,
    HaConfiguration,
    Home,
    HomeNode,
    MnConfiguration,
)
from sojourn.engines.mn import MobileNode
from sojourn.engines.mn_state import HomeEntry
from sojourn.wire import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    MobilityMessage,
    decode,
    encode,
    problems,
)
from sojourn.wire.addresses import Address, Prefix, address
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.extensions.rfc6275_discovery import AdvertisementInterval, HomeAgentInformation
from sojourn.wire.icmpv6 import (
    PrefixInformation,
    PrefixInformationFlags,
    RouterAdvertisement,
    RouterAdvertisementFlags,
    decode_icmpv6,
    encode_icmpv6,
)
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration, Instant
from support.mip6_messages import ASSOCIATION, CN, HA, HOA, HOME_LINK
from support.table import EPOCH

CONFIGURE = 20 * MILLISECOND
"""From an advertisement to an address that may be used."""
BEACON = 600 * SECOND
"""Between advertisements."""
DAD = 1 * SECOND
MN_LINK_LAYER = bytes.fromhex("020000000005")
ROUTER = address("fe80::1")
_PROTECTED_BY_US = HomeAgentSwitch, BindingRevocationIndication, BindingRevocationAcknowledgement
"""With the options of RFC 4285, which no RFC has in these (see `ha_switch`)."""
_FLAGS = int(PrefixInformationFlags.ON_LINK | PrefixInformationFlags.AUTONOMOUS)


@dataclass
class Network:
    """A link with a router, which may be an anchor."""

    name: str
    prefix: Prefix
    router: Address = ROUTER
    anchor: Address | None = None
    interval: Duration = 0

    @property
    def care_of(self) -> Address:
        """What the mobile node makes of the prefix."""
        return self.prefix.address[:15] + b"\x05"

    def advertisement(self, lifetime: Duration = 1800 * SECOND) -> RouterAdvertisement:
        options: list[object] = []
        where, flags = self.prefix.address, _FLAGS
        if self.anchor is not None:
            options.append(HomeAgentInformation(0, 1800 * SECOND))
            where, flags = self.anchor, _FLAGS | PrefixInformationFlags.ROUTER_ADDRESS
        if self.interval:
            options.append(AdvertisementInterval(self.interval))
        options.append(PrefixInformation(64, flags, 2 * HOUR, HOUR, where))
        agent = int(RouterAdvertisementFlags.HOME_AGENT) if self.anchor is not None else 0
        return RouterAdvertisement(64, agent, lifetime, options=tuple(options))  # type: ignore[arg-type]


@dataclass
class Host:
    """What the kernel of the mobile node was told."""

    addresses: dict[Address, str] = field(default_factory=dict)
    tunnels: dict[Address, tuple[Address, Address]] = field(default_factory=dict)
    blocked: set[Address] = field(default_factory=set)
    direct: dict[tuple[Address, Address], Address] = field(default_factory=dict)
    ways: dict[Address, tuple[Address, ...]] = field(default_factory=dict)
    """Care-of addresses of a home address that has several."""
    care_of: dict[Address, tuple[str, str]] = field(default_factory=dict)
    """Addresses of links, with interface and link."""

    def apply(self, effect: Effect) -> None:
        match effect:
            case EnsureHomeAddress(where, interface, _):
                self.addresses[where] = interface
            case WithdrawHomeAddress(where):
                self.addresses.pop(where, None)
            case EnsureReverseTunnel(home, care_of, agent):
                self.tunnels[home] = care_of, agent
                self.blocked.discard(home)
            case EnsureHomeBlock(home):
                self.tunnels.pop(home, None)
                self.blocked.add(home)
            case WithdrawReverseTunnel(home):
                self.tunnels.pop(home, None)
                self.blocked.discard(home)
            case EnsureRouteOptimisation(home, correspondent, care_of):
                self.direct[home, correspondent] = care_of
            case EnsureReverseFlows(home, _, ways):
                self.ways[home] = tuple(way.care_of_address for way in ways)
            case WithdrawRouteOptimisation(home, correspondent):
                self.direct.pop((home, correspondent), None)
            case _:
                pass


class Roaming:
    """See the module's text. Links: ``home``, ``f1``, ``f2``; anchors ``a1``, ``a2`` on ``f1``, ``f2`` if asked for."""

    def __init__(
        self,
        delays: dict[tuple[str, str], Duration] | None = None,
        anchors: bool = False,
        ha: dict[str, object] | None = None,
        home: dict[str, object] | None = None,
        node: dict[str, object] | None = None,
        profile: HomeNode | None = None,
        correspondent: bool = True,
        home_agents: int = 1,
        keeps: bool = False,
        **mn: object,
    ) -> None:
        self.now: Instant = 0
        self.keeps = keeps
        self.delays = delays or {}
        self.messages: list[tuple[Instant, str, str, SendMessage]] = []
        self.effects: list[tuple[Instant, str, Effect]] = []
        self.lose: Callable[[str, str, MobilityMessage], bool] = lambda source, destination, message: False
        self.jitter: Callable[[], Duration] = lambda: 0
        self.sessions: dict[Address, int] = {}
        self.names: dict[str, tuple[Address, ...]] = {}
        """What DNS knows."""
        self.deaf: set[str] = set()
        """Home agents that answer no echo."""
        self.taken: set[Address] = set()
        """Addresses of the home link that somebody has."""
        self.defended: dict[str, set[Address]] = defaultdict(set)
        """Addresses of the home link that a home agent answers for."""
        self.correspondent = correspondent
        self.networks = {
            "home": Network("home", HOME_LINK, anchor=HA),
            "f1": Network("f1", address_prefix("2001:db8:100::"), address("fe80::f1")),
            "f2": Network("f2", address_prefix("2001:db8:200::"), address("fe80::f2")),
        }
        profiles = (profile or HomeNode(HOA, ASSOCIATION),)
        settings = HaConfiguration(HA, (_prefix(HOME_LINK),), profiles, "home0")
        configurations = {"ha": replace(settings, **(ha or {}))}  # type: ignore[arg-type]
        if home_agents > 1:
            self.second = address("2001:db8:4000::2")
            configurations["ha2"] = replace(configurations["ha"], address=self.second)
        roaming = replace(ASSOCIATION, spi=2000)
        if anchors:
            for number, name in ((1, "f1"), (2, "f2")):
                network = self.networks[name]
                network.anchor = network.prefix.address[:15] + b"\x01"
                known = (HomeNode(None, roaming),)
                configurations[f"a{number}"] = HaConfiguration(network.anchor, (_prefix(network.prefix),), known, name)
        self.ha_configurations = configurations
        self.homes = (replace(Home(HOA, HOME_LINK, HA, ASSOCIATION), **(home or {})),)  # type: ignore[arg-type]
        trusted: Association | None = roaming if anchors else None
        self.mn_configuration = replace(
            MnConfiguration(self.homes, ("wlan0", "lte0"), anchors=trusted),
            **mn,  # type: ignore[arg-type]
        )
        self.host = Host()
        self.routes: dict[Address, Address] = {}
        """Of the correspondent node: home address and care-of address."""
        self.also: dict[Address, tuple[Address, ...]] = {}
        """Others that it takes packets from."""
        self.attached: dict[str, str] = {}
        self._attachments = 0
        self._attached_as: dict[str, int] = {}
        self._order = 0
        self._queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self._life = 0
        self.engines: dict[str, Engine] = {}
        for name in (*configurations, "cn", "mn"):
            self.start(name)

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def ha(self) -> HomeAgent:
        return self.agent("ha")

    def agent(self, name: str) -> HomeAgent:
        engine = self.engines[name]
        assert isinstance(engine, HomeAgent)
        return engine

    @property
    def mn(self) -> MobileNode:
        engine = self.engines["mn"]
        assert isinstance(engine, MobileNode)
        return engine

    @property
    def entry(self) -> HomeEntry:
        return self.mn.homes[HOA]

    def bound(self, name: str = "ha", home: Address = HOA) -> Address | None:
        """The care-of address that a home agent has."""
        entry = self.agent(name).cache.get(home)
        return entry.care_of if entry is not None and entry.state is BindingState.ACTIVE else None

    def sent(self, kind: type[MobilityMessage], source: str = "") -> list[SendMessage]:
        return [sent for _, name, _, sent in self.messages if isinstance(sent.message, kind) and source in ("", name)]

    def asked(self, kind: type[Effect], name: str) -> list[Effect]:
        return [effect for _, who, effect in self.effects if who == name and isinstance(effect, kind)]

    def clear(self) -> None:
        self.messages.clear()
        self.effects.clear()

    # --- packets ----------------------------------------------------------------------------------------------------

    def reaches(self, care_of: Address) -> bool:
        """Whether the node is where that address leads to."""
        place = self.host.care_of.get(care_of)
        if place is None:
            link = self.networks.get(self.attached.get(self.host.addresses.get(care_of, ""), ""))
            return link is not None and link.prefix.covers(care_of)
        return self.attached.get(place[0]) == place[1]

    def to_home(self, home: Address = HOA) -> str:
        """How a packet to a home address gets to the node: ``tunnel``, ``home``, or ``lost``."""
        for name in self.ha_configurations:
            care_of = self.bound(name, home)
            if care_of is not None and self.agent(name).cache[home].at_home_first:
                return "home" if "home" in self.attached.values() else "lost"
            if care_of is not None:
                return "tunnel" if self.reaches(care_of) else "lost"
        return "home" if self.reaches(home) else "lost"

    def from_home(self, home: Address = HOA) -> str:
        """How a packet from a home address gets out: ``tunnel``, ``home``, ``lost``, or ``leak``, which must not be."""
        if home in self.host.tunnels:
            care_of, agent = self.host.tunnels[home]
            name = next(name for name, known in self.ha_configurations.items() if known.address == agent)
            return "tunnel" if self.bound(name, home) == care_of and self.reaches(care_of) else "lost"
        if home in self.host.blocked:
            return "lost"
        if home in self.host.ways.get(home, ()) and "home" in self.attached.values():
            return "home"
        return "home" if self.reaches(home) else "leak" if home in self.host.addresses and self.attached else "lost"

    def downlink(self, home: Address = HOA) -> str:
        """The way of a packet of the correspondent node: ``direct``, or as `to_home`. The node sees which it was."""
        care_of = self.routes.get(home)
        if care_of is not None:
            accepted = care_of in (self.host.direct.get((home, CN)), *self.host.ways.get(home, ()))
            return "direct" if accepted and self.reaches(care_of) else "lost"
        way = self.to_home(home)
        if way == "tunnel":
            self.tell("mn", CorrespondentSeen(home, CN))
        return way

    def uplink(self, home: Address = HOA) -> str:
        """The way of a packet to the correspondent node."""
        care_of = self.host.direct.get((home, CN))
        if care_of is None:
            return self.from_home(home)
        if care_of not in (self.routes.get(home), *self.also.get(home, ())):
            if self.correspondent and self.reaches(care_of):
                self.tell("cn", HomeAddressRefused(home, care_of, CN))
            return "lost"
        return "direct" if self.reaches(care_of) else "lost"

    # --- doing ------------------------------------------------------------------------------------------------------

    def attach(self, network: str, interface: str = "wlan0", settle: Duration = 2 * SECOND) -> None:
        """The interface comes up on a link; router and address follow."""
        self.attached[interface] = network
        self.tell("mn", LinkChanged(interface, True, MN_LINK_LAYER))
        self._attachments += 1
        attachment = self._attached_as[interface] = self._attachments
        self.later(5 * MILLISECOND, lambda: self._beacon(network, interface, attachment))
        self.later(CONFIGURE, lambda: self.configure(network, interface))
        self.run(settle)

    def _beacon(self, network: str, interface: str, attachment: int) -> None:
        """The router advertises itself now and then."""
        if self._attached_as.get(interface) == attachment:
            self.advertise(network, interface)
            self.later(BEACON, lambda: self._beacon(network, interface, attachment))

    def detach(self, interface: str = "wlan0") -> None:
        self.attached.pop(interface, None)
        self._attached_as.pop(interface, None)
        for known, place in list(self.host.care_of.items()):
            if place[0] == interface:
                del self.host.care_of[known]
        self.tell("mn", LinkChanged(interface, False))

    def roam(self, network: str, interface: str = "wlan0", settle: Duration = 2 * SECOND) -> None:
        self.detach(interface)
        self.attach(network, interface, settle)

    def advertise(self, network: str, interface: str = "wlan0", lifetime: Duration = 1800 * SECOND) -> None:
        """The router of a link is heard."""
        if self.attached.get(interface) == network:
            link = self.networks[network]
            message = decode_icmpv6(encode_icmpv6(link.advertisement(lifetime)))
            self.tell("mn", Icmpv6Received(message, link.router, address("ff02::1"), interface))

    def configure(self, network: str, interface: str = "wlan0", preferred: Duration = HOUR) -> None:
        """The kernel made an address."""
        if self.attached.get(interface) == network:
            made = self.networks[network].care_of
            if made != HOA:
                self.host.care_of[made] = interface, network
            self.tell("mn", AddressChanged(interface, made, 64, True, preferred, 2 * HOUR))

    def start(self, name: str, records: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """A new life, without memory; a mobile node may have some, and what its kernel was told is still there."""
        self._life += 1
        seed = b"entropy of %s, life %d" % (name.encode(), self._life)
        if name == "mn":
            self.host = self.host if records else Host(care_of=self.host.care_of)
            self.host.direct.clear()  # of those nothing stays that is not asked for again
            self.engines[name] = node = MobileNode(self.mn_configuration, EPOCH, seed)
            node.stores = self.keeps
        elif name == "cn":
            self.routes.clear()
            self.engines[name] = correspondent = CorrespondentNode(CnConfiguration(CN), EPOCH, seed)
            correspondent.stores = self.keeps
        else:
            self.defended.pop(name, None)  # nobody asks for it again
            self.engines[name] = HomeAgent(self.ha_configurations[name], EPOCH, seed)
        self._carry_out(name, list(self.engines[name].restore(records, self.now)))

    def tell(self, name: str, event: Event) -> None:
        self._carry_out(name, list(self.engines[name].handle(event, self.now)))

    def command(self, verb: str, **arguments: str) -> None:
        """An operator speaks to the mobile node."""
        self.tell("mn", Commanded(verb, arguments))

    def later(self, delay: Duration, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay, self._order, action))

    def happens(self, delay: Duration, name: str, event: Event) -> None:
        """`event` happens to `name` after a while."""
        self.later(delay, lambda: self.tell(name, event))

    def run(self, duration: Duration) -> None:
        """Let time pass: what arrives comes before timers of the same instant."""
        end = self.now + duration
        while True:
            timers = {name: due for name, engine in self.engines.items() if (due := engine.deadline()) is not None}
            soonest = min(timers, key=lambda name: timers[name]) if timers else ""
            arrival = self._queue[0][0] if self._queue else end + 1
            timer = max(timers[soonest], self.now) if soonest else end + 1
            if min(arrival, timer) > end:
                break
            if arrival <= timer:
                self.now, _, action = heapq.heappop(self._queue)
                action()
            else:
                self.now = timer
                self._carry_out(soonest, list(self.engines[soonest].expire(self.now)))
        self.now = end

    # --- the network --------------------------------------------------------------------------------------------------

    def _carry_out(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            self.effects.append((self.now, name, effect))
            if name == "mn":
                self.host.apply(effect)
            match effect:
                case SendMessage():
                    self._transmit(name, effect)
                case SendIcmpv6():
                    self._transmit_icmpv6(name, effect)
                case ProbeAddress(interface, probed):
                    defended = any(probed in known for agent, known in self.defended.items() if agent != name)
                    self.happens(DAD, name, AddressProbed(interface, probed, probed in self.taken or defended))
                case EnsureProxyNeighbour(_, defended):
                    self.defended[name].add(defended)
                case WithdrawProxyNeighbour(_, defended):
                    self.defended[name].discard(defended)
                case ProbeRouter(interface, router):
                    link = self.networks.get(self.attached.get(interface, ""))
                    there = link is not None and link.router == router
                    self.happens(DAD, "mn", RouterProbed(interface, router, there))
                case ProbePath(remote, source):
                    agent = {known.address: agent for agent, known in self.ha_configurations.items()}.get(remote)
                    if agent is not None and agent not in self.deaf and source is not None and self.reaches(source):
                        trip = self._delay("mn", agent) + self._delay(agent, "mn")
                        self.happens(trip, "mn", PathProbed(remote))
                case ResolveName(host):
                    self.happens(MILLISECOND, "mn", NameResolved(host, self.names.get(host, ())))
                case CountSessions():
                    self.happens(MILLISECOND, "mn", SessionsCounted(dict(self.sessions)))
                case CountTraffic():
                    counted = {Prefix(home, 128): 1 + self.now for home in self.routes}
                    self.happens(MILLISECOND, "cn", TrafficCounted(counted))
                case EnsureCareOfRoute(home, care_of, also):
                    self.routes[home], self.also[home] = care_of, also
                case WithdrawCareOfRoute(home):
                    self.routes.pop(home, None)
                    self.also.pop(home, None)
                case _:
                    pass

    def _delay(self, source: str, destination: str) -> Duration:
        between = self.delays.get((source, destination), self.delays.get((destination, source), 10 * MILLISECOND))
        return between + self.jitter()

    def _transmit(self, name: str, sent: SendMessage) -> None:
        octets = encode(sent.message)
        if not isinstance(sent.message, _PROTECTED_BY_US):
            assert not problems(decode(octets)), problems(decode(octets))
        receiver, delay = self._receiver(name, sent.source, sent.destination, sent.home_address)
        self.messages.append((self.now, name, receiver or "nobody", replace(sent, message=decode(octets))))
        if receiver is None or self.lose(name, receiver, sent.message):
            return
        event = MessageReceived(
            decode(octets), sent.source, sent.destination, sent.home_address, sent.routed_to, octets
        )
        self.later(delay, lambda: self._arrive(receiver, event))

    def _arrive(self, receiver: str, event: MessageReceived) -> None:
        """The mobile node may have moved in the meantime."""
        if receiver == "mn" and event.destination != HOA and not self.reaches(event.destination):
            return
        if receiver == "cn" and not self.correspondent:
            return
        self.tell(receiver, event)

    def _receiver(
        self, name: str, source: Address, destination: Address, home: Address | None = None
    ) -> tuple[str | None, Duration]:
        """Who gets a packet, and when."""
        through = 0
        if name == "mn" and source in self.mn.homes and home is None and not self.reaches(source):
            way = self.from_home(source)
            assert way != "leak", "a packet with the home address as its source left without the tunnel"
            if way == "lost":
                return None, 0
            through = self._delay("mn", "ha") if way == "tunnel" else 0
        known = {self.ha_configurations[agent].address: agent for agent in self.ha_configurations} | {CN: "cn"}
        if destination in known:
            receiver = known[destination]
            return receiver, through + self._delay("ha" if through else name, receiver)
        if self.reaches(destination):
            return "mn", self._delay(name, "mn")
        if destination in self.mn.homes:
            way = self.to_home(destination)
            if way == "lost":
                return None, 0
            return "mn", self._delay(name, "ha") + (self._delay("ha", "mn") if way == "tunnel" else 0)
        return None, 0

    def _transmit_icmpv6(self, name: str, sent: SendIcmpv6) -> None:
        receiver, delay = self._receiver(name, sent.source, sent.destination, sent.home_address)
        if sent.destination == home_agents_anycast(HOME_LINK):
            receiver, delay = "ha", self._delay(name, "ha")
        if receiver is None:
            return
        message = decode_icmpv6(encode_icmpv6(sent.message))
        event = Icmpv6Received(message, sent.source, sent.destination, "", sent.home_address, sent.routed_to)
        self.happens(delay, receiver, event)


def address_prefix(text: str) -> Prefix:
    """The /64."""
    return Prefix(address(text), 64)


def _prefix(known: Prefix) -> AdvertisedPrefix:
    return AdvertisedPrefix(known, 12 * HOUR, 24 * HOUR)
