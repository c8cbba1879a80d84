"""Hosts that help themselves in the simulated world: mobile nodes, home agents and correspondent nodes (RFC 6275).

Each node has an engine. With anchors (RFC 8818) there is a home agent at every access router: a node keeps the
addresses that it got there as long as sessions use them. Without, it has one home address at the central anchor, and is
never at home. Which sessions use which address is in the workload; a node is told when it moves, and when the last
session on an old address is over. What it says goes over the access link (`ProtocolSettings.wireless`), and takes the
octets of its options and routing headers, and of the tunnel where it goes through one.

With route optimisation, a node is shown each correspondent node of its sessions when the first packet would have come
through the tunnel: at the beginning of a session, or when the home agent knows where the node is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sojourn.core.effects import AdvertisedPrefix, EnsureTunnel, SendMessage
from sojourn.core.events import (
    AddressChanged,
    CorrespondentSeen,
    Event,
    Icmpv6Received,
    LinkChanged,
    MessageReceived,
    SessionsCounted,
)
from sojourn.core.mobile_effects import CountSessions, EnsureReverseTunnel
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.configuration import RetransmissionConstants
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
from sojourn.sim.itinerary import Itinerary
from sojourn.sim.ledger import LOST, PURPOSE_BITS, Ledger, Purpose
from sojourn.sim.roles import Role, identifier
from sojourn.wire import BindingUpdate, MobilityMessage
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6275_discovery import HomeAgentInformation
from sojourn.wire.icmpv6 import (
    PrefixInformation,
    PrefixInformationFlags,
    RouterAdvertisement,
    RouterAdvertisementFlags,
)
from sojourn.wire.units import HOUR, SECOND, Duration, Instant, WallClock

if TYPE_CHECKING:
    from sojourn.sim.world import World

EPOCH: WallClock = 1_790_000_000 * SECOND
_INTERFACE = "wlan0"
_LONG: Duration = 18 * HOUR
"""Lifetime of routers and prefixes: the longest that an advertisement can say."""
_ADDRESS_HEADER = 24
"""Octets of a Home Address option or a type 2 routing header (RFC 6275 6.3, 6.4)."""
_TUNNEL = 40
_SPI = 256
"""The least that RFC 4285 leaves to users."""
_FLAGS = int(PrefixInformationFlags.ON_LINK | PrefixInformationFlags.AUTONOMOUS | PrefixInformationFlags.ROUTER_ADDRESS)
_ALL_NODES = bytes.fromhex("ff02") + bytes(13) + b"\1"
_ROUTER = bytes.fromhex("fe80") + bytes(13) + b"\1"
_LINKS, _HOMES, _PEERS = 0x2A01, 0x2A02, 0x2A03
"""What addresses of visited links, home addresses and correspondent nodes begin with."""
_AGENT = 0xFFFF_FFFF
"""The interface identifier of home agents and correspondent nodes; nodes have their number."""


def _address(kind: int, place: int, node: int) -> Address:
    return kind.to_bytes(2, "big") + bytes(2) + place.to_bytes(4, "big") + (node + 1).to_bytes(8, "big")


def _prefix(kind: int, place: int) -> Prefix:
    return Prefix(_address(kind, place, -1), 64)


def _place_of(address: Address) -> int:
    return int.from_bytes(address[4:8], "big")


def _node_of(address: Address) -> int:
    return int.from_bytes(address[8:], "big") - 1


class MobileRole(Role):
    """An engine whose messages have home addresses, and go to nodes that move."""

    def __init__(self, hosts: Hosts, engine: Any, address: Address, place: int, wireless: Duration = 0) -> None:
        super().__init__(hosts.world, engine, address, place)
        self._hosts = hosts
        self.wireless = wireless

    def _transmit(self, effect: SendMessage, now: Instant, cause: int) -> None:
        message, hosts = effect.message, self._hosts
        if cause < 0:
            cause = self._cause_of(message)
        found = hosts.route(effect, self.place)
        if found is None:
            return
        role, through = found
        last = self.place if through is None else through
        at = now + self.wireless + hosts.world.delay(last, role.place) + role.wireless
        at += 0 if through is None else hosts.world.delay(self.place, through)
        code = Ledger.way(self.place, role.place) | cause
        lost = self._loses is not None and self._loses()
        self._write_time(at)
        self._write_code(code | LOST if lost else code)
        if self._weigh is not None:
            message, octets = self._weigh(message)
            headers = (effect.home_address is not None) + (effect.routed_to is not None)
            self._write_size(octets + _ADDRESS_HEADER * headers + (_TUNNEL if through is not None else 0))
        if not lost:
            event = MessageReceived(message, effect.source, effect.destination, effect.home_address, effect.routed_to)
            self._kernel.schedule(at, self._arrived, (role, role.place, event), cause)

    @staticmethod
    def _arrived(now: Instant, flight: tuple[MobileRole, int, Event], cause: int) -> None:
        role, place, event = flight
        if role.place == place:  # who has moved on does not hear it
            role.arrive(now, event, cause)

    def _cause_of(self, message: MobilityMessage) -> int:
        """Of a message that only time has set off."""
        ends = isinstance(message, BindingUpdate) and message.lifetime == 0
        return self._hosts.turn(self) << PURPOSE_BITS | (Purpose.RETIREMENT if ends else Purpose.UPKEEP)


class Host:
    """A mobile node."""

    def __init__(self, hosts: Hosts, node: int, engine: MobileNode) -> None:
        self.node, self.engine = node, engine
        self._hosts, self._world = hosts, hosts.world
        self.role = MobileRole(hosts, engine, _address(_LINKS, 0, node), -1, hosts.world.settings.wireless)
        self.role.notes |= {CountSessions: self._note_count, EnsureReverseTunnel: self._note_tunnel}
        self._asked = False
        self.role.start(hosts.world.kernel.edge)

    def attach(self, now: Instant, place: int, turn: int) -> None:
        """It is at another link, which it notices at once."""
        cause = turn << PURPOSE_BITS
        self._leave(now, cause)
        self.role.place = place
        self.role.tell(now, LinkChanged(_INTERFACE, True), cause)
        self.role.tell(now, self._hosts.advertisement(place), cause)
        here = _address(_LINKS, place, self.node)
        self.role.tell(now, AddressChanged(_INTERFACE, here, 64, True, _LONG, _LONG), cause)
        if self._world.seen.advertised[turn] < 0:
            self._world.seen.advertised[turn] = now

    def _leave(self, now: Instant, cause: int) -> None:
        self.role.tell(now, LinkChanged(_INTERFACE, False), cause)
        self._count(now, cause)

    def detach(self, now: Instant, turn: int) -> None:
        """It is nowhere."""
        self._leave(now, turn << PURPOSE_BITS | Purpose.RETIREMENT)
        self.role.place = -1

    def retire(self, now: Instant, cause: int) -> None:
        """The last session on some address is over: it is looked twice."""
        for _ in range(2):
            self._asked = True
            self._count(now, cause)

    def _note_count(self, effect: CountSessions, now: Instant, cause: int) -> None:
        self._asked = True
        self._world.kernel.schedule(now, self._count_later, None, cause)

    def _count_later(self, now: Instant, _: None, cause: int) -> None:
        self._count(now, cause)

    def _count(self, now: Instant, cause: int) -> None:
        if self._asked:
            self._asked = False
            self.role.tell(now, SessionsCounted(self._hosts.sessions(self.node, now)), cause)

    def _note_tunnel(self, effect: EnsureReverseTunnel, now: Instant, cause: int) -> None:
        turn, hosts = cause >> PURPOSE_BITS, self._hosts
        entry = self.engine.homes.get(effect.home_address)
        if entry is None:
            return
        if entry.registered != entry.care_of and hosts.home is not None:
            return  # it is asked for only
        agent = hosts.home if hosts.home is not None else _place_of(effect.home_agent)
        self._world.seen.served(turn, agent, now)
        if hosts.home is not None and self._world.seen.registered[turn] < 0:
            self._world.seen.registered[turn] = now
        if self._world.settings.route_optimisation and entry.registered == entry.care_of:
            for peer in hosts.peers(self.node, effect.home_address, now):
                self._world.kernel.schedule(now, self.see, (effect.home_address, peer), cause)

    def see(self, now: Instant, pair: tuple[Address, int], cause: int) -> None:
        """A packet of a correspondent node came through the tunnel."""
        home, peer = pair
        self.role.tell(now, CorrespondentSeen(home, self._hosts.correspondent(peer).address), cause)


class AccessLink:
    """A link that nodes attach to, with its router, which may be an anchor."""

    def __init__(self, hosts: Hosts, place: int) -> None:
        self._hosts, self.place = hosts, place

    def attach(self, now: Instant, node: int, turn: int) -> None:
        """See `AccessRouter.attach`."""
        self._hosts.world.begin(node, turn)
        self._hosts.host(node).attach(now, self.place, turn)
        self._hosts.show_peers(node, turn)

    def detach(self, now: Instant, node: int, turn: int) -> None:
        """See `AccessRouter.detach`."""
        self._hosts.world.end(node)
        self._hosts.host(node).detach(now, turn)

    def retire(self, now: Instant, node: int, _: int) -> None:
        """See `AnchorRouter.retire`."""
        self._hosts.world.holds += 1
        cause = self._hosts.world.turn_of(node) << PURPOSE_BITS | Purpose.RETIREMENT
        self._hosts.host(node).retire(now, cause)


class Hosts:
    """All hosts of a world."""

    def __init__(self, world: World, itinerary: Itinerary, home: int | None, repeats: RetransmissionConstants) -> None:
        """`home`: the place of the one home agent; None: every router is one."""
        self.world, self.home = world, home
        self._itinerary, self._repeats = itinerary, repeats
        self._hosts: dict[int, Host] = {}
        self._by_role: dict[int, Host] = {}
        self._correspondents: dict[int, MobileRole] = {}
        self._advertisements: dict[int, Icmpv6Received] = {}
        self._nodes = np.unique(itinerary.visits.node).tolist()
        self._live: dict[int, list[tuple[int, Instant, Instant]]] = defaultdict(list)
        """When sessions use the address of a place, by node."""
        live = itinerary.live
        for node, anchor, begin, end in zip(
            *(c.tolist() for c in (live.node, live.anchor, live.begin, live.end)), strict=True
        ):
            self._live[node].append((anchor, begin, end))
        self._begun: dict[int, list[tuple[int, int, Instant, Instant]]] = defaultdict(list)
        """By node: anchor and peer of each session, and from when to when; with route optimisation."""
        self._in_visit: dict[int, list[tuple[Instant, int]]] = defaultdict(list)
        if world.settings.route_optimisation:
            self._learn_sessions()

    def _learn_sessions(self) -> None:
        known = self._itinerary.sessions
        columns = (c.tolist() for c in (known.node, known.anchor, known.peer, known.begin, known.end, known.visit))
        for node, anchor, peer, begin, end, visit in zip(*columns, strict=True):
            self._begun[node].append((anchor, peer, begin, end))
            self._in_visit[visit].append((begin, peer))

    # --- engines --------------------------------------------------------------------------------------------------

    def home_agents(self, places: Iterable[int]) -> Iterator[Role]:
        """Those of the places where nodes attach, or the one that there is."""
        nodes = tuple(HomeNode(self._home_of(node), self._association(node)) for node in self._nodes)
        for place in places if self.home is None else (self.home,):
            kind = _LINKS if self.home is None else _HOMES
            where = _address(kind, place, _AGENT)
            configuration = HaConfiguration(
                where,
                (AdvertisedPrefix(_prefix(kind, place), 4 * HOUR * 24, 8 * HOUR * 24),),
                nodes,
                duplicate_address_detection=False,
                lifetime_max=max(self.world.settings.lifetime, HOUR),
                stores=False,
            )
            role = MobileRole(self, HomeAgent(configuration, EPOCH, b"home agent %8d" % place), where, place)
            role.notes[EnsureTunnel] = partial(self._note_tunnel, place)
            yield role

    def _note_tunnel(self, place: int, effect: EnsureTunnel, now: Instant, cause: int) -> None:
        """The first packet leaves for the new care-of address."""
        delay = self.world.delay(place, _place_of(effect.remote)) + self.world.settings.wireless
        self.world.seen.tunnelled(cause >> PURPOSE_BITS, place, now + delay)

    def _home_of(self, node: int) -> Address | None:
        return None if self.home is None else _address(_HOMES, self.home, node)

    def _association(self, node: int) -> Association:
        return Association(_SPI + node, b"key of %8d" % node, identifier(node))

    def host(self, node: int) -> Host:
        """The engine of a node, made when it comes."""
        host = self._hosts.get(node)
        if host is None:
            association, settings = self._association(node), self.world.settings
            home = self._home_of(node)
            homes: tuple[Home, ...] = ()
            if home is not None and self.home is not None:
                agent = _address(_HOMES, self.home, _AGENT)
                homes = (Home(home, _prefix(_HOMES, self.home), agent, association),)
            configuration = MnConfiguration(
                homes,
                (_INTERFACE,),
                lifetime=settings.lifetime,
                route_optimisation=settings.route_optimisation,
                anchors=association if self.home is None else None,
                anchors_max=1 << 16,
                session_check=24 * HOUR,
                retransmission=self._repeats,
            )
            engine = MobileNode(configuration, EPOCH, b"mobile node %8d" % node)
            host = self._hosts[node] = Host(self, node, engine)
            self._by_role[id(host.role)] = host
        return host

    def correspondent(self, place: int) -> MobileRole:
        """The correspondent node at a place."""
        role = self._correspondents.get(place)
        if role is None:
            where = _address(_PEERS, place, _AGENT)
            engine = CorrespondentNode(
                CnConfiguration(where, bindings=1 << 24, tests_per_second=SECOND), EPOCH, b"correspondent %8d" % place
            )
            role = self._correspondents[place] = MobileRole(self, engine, where, place)
            self.world.enter(role)
        return role

    # --- the network ----------------------------------------------------------------------------------------------

    def route(self, sent: SendMessage, place: int) -> tuple[MobileRole, int | None] | None:
        """Who gets a message that is sent at a place, and where the home agent is if it goes by its tunnel."""
        through = None
        if _node_of(sent.source) != _AGENT and sent.source[:2] == _HOMES.to_bytes(2, "big"):
            through = self.home
        elif _node_of(sent.source) != _AGENT and _place_of(sent.source) != place:
            through = _place_of(sent.source)
        role = self.world.role_at(sent.destination)
        if role is not None:
            assert isinstance(role, MobileRole)
            return role, through
        host = self._hosts.get(_node_of(sent.destination))
        if host is None or host.role.place < 0:
            return None
        if sent.destination[:2] == _HOMES.to_bytes(2, "big"):
            return host.role, self.home
        if _place_of(sent.destination) != host.role.place:  # an address that the node kept: by its anchor
            return host.role, _place_of(sent.destination)
        return host.role, through

    def turn(self, role: MobileRole) -> int:
        """The latest turn of the node whose engine it is."""
        host = self._by_role.get(id(role))
        return 0 if host is None else self.world.turn_of(host.node)

    def advertisement(self, place: int) -> Icmpv6Received:
        """What the router of a place says."""
        known = self._advertisements.get(place)
        if known is None:
            options: list[Any] = []
            where, flags = _prefix(_LINKS, place).address, _FLAGS & ~int(PrefixInformationFlags.ROUTER_ADDRESS)
            agent = 0
            if self.home is None:
                where, flags, agent = _address(_LINKS, place, _AGENT), _FLAGS, int(RouterAdvertisementFlags.HOME_AGENT)
                options.append(HomeAgentInformation(0, _LONG))
            options.append(PrefixInformation(64, flags, _LONG * 48, _LONG * 24, where))
            message = RouterAdvertisement(64, agent, _LONG, options=tuple(options))
            known = self._advertisements[place] = Icmpv6Received(message, _ROUTER, _ALL_NODES, _INTERFACE)
        return known

    # --- sessions -------------------------------------------------------------------------------------------------

    def sessions(self, node: int, now: Instant) -> dict[Address, int]:
        """What the sockets of a node use."""
        return {_address(_LINKS, anchor, node): 1 for anchor, begin, end in self._live[node] if begin <= now < end}

    def peers(self, node: int, home: Address, now: Instant) -> set[int]:
        """Where the correspondent nodes of the sessions are that use a home address."""
        place = _place_of(home)
        return {peer for anchor, peer, begin, end in self._begun[node] if anchor == place and begin <= now < end}

    def show_peers(self, node: int, turn: int) -> None:
        """Sessions that begin during this stay, where their packets come through the tunnel from the beginning."""
        home = self._home_of(node)
        if home is None:
            return
        for begin, peer in self._in_visit.get(turn, ()):
            see = self.host(node).see
            self.world.kernel.schedule(begin, see, (home, peer), turn << PURPOSE_BITS | Purpose.UPKEEP)
