"""The simulated domain of one shard: a MAAR at every place that its nodes visit, a central database, and the network.

Or a MAG at every place and an LMA (mode ``pmipv6``); or hosts with engines of their own (mode ``mipv6``, see
`sojourn.sim.hosts`).

The engines are those of the daemon, with these settings: what a scenario says (mode, lifetime); no limit of the number
of nodes and no pace, as a shard is a part of a population; no advertisement that nothing asks for and no counting of
packets, because the workload says when the last session on a prefix is over (`MobilityAnchorAccessRouter` retires on
command). Everything else is their default, refreshes included.

Nodes meet nowhere but in queues and in what the engines learn about round trips. Without processing times and losses
nobody waits and nothing is repeated (`independent`), so that shards are exact and repetitions need not be planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from sojourn.engines.configuration import (
    ASKED_NEIGHBOURS,
    DIRECT,
    NO_CMD,
    CmdConfiguration,
    LmaConfiguration,
    Maar,
    MaarConfiguration,
    MagConfiguration,
    Mode,
    Peer,
    Peers,
    RetransmissionConstants,
)
from sojourn.engines.configuration import Gateway as KnownGateway
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_direct import DirectAccessRouter, access_router
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.sim.hosts import AccessLink, Hosts
from sojourn.sim.itinerary import NOWHERE, Indices, Itinerary, Places, Sessions
from sojourn.sim.kernel import Action, Entry, Kernel
from sojourn.sim.ledger import MOST_PLACES, Ledger
from sojourn.sim.outages import MortalRouter, Outages, drawn
from sojourn.sim.protocol import ProtocolSettings, WireMode
from sojourn.sim.roles import Anchor, AnchorRouter, Gateway, Role
from sojourn.sim.seen import Seen
from sojourn.sim.topology import Topology
from sojourn.sim.wires import weigher
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration, Instant, WallClock

EPOCH: WallClock = 1_790_000_000 * SECOND
"""The time of day when the simulation begins; only differences matter."""
_PROLOGUE: Duration = 10 * SECOND
"""Before time 0 the engines find each other."""
_PREFIXES = 32
"""Prefixes that a node may keep: as many as a message lists."""
_MANY = 1 << 30
_RATE = SECOND
"""A second: more than the engines can tell apart."""
_NEVER = RetransmissionConstants(repeats=False)
"""Where every request is answered within a second, its repetition need not be planned."""
_BETWEEN_LINKS: Duration = 100 * MILLISECOND
"""A MAG sees that a node is gone so long before it comes elsewhere: of two registrations at the same instant, or that
overtake each other, an LMA may refuse one.
"""
_FARTHEST: Duration = 400 * MILLISECOND
"""From one place to another, for requests to be answered before they are repeated."""


def independent(topology: Topology, settings: ProtocolSettings) -> bool:
    """Whether nodes have nothing to do with each other, so that they can be simulated in parts."""
    return settings.mode == "none" or (
        not settings.failures
        and not settings.processing
        and not settings.loss
        and int(topology.delay.max()) <= _FARTHEST
    )


def central_place(topology: Topology, settings: ProtocolSettings) -> int:
    """Where the central database, or the central anchor, is."""
    return settings.database if settings.database is not None else topology.best_place()


class World:
    """Run once: `run`. What came of it is in `ledger` and `seen`."""

    def __init__(
        self,
        topology: Topology,
        settings: ProtocolSettings,
        itinerary: Itinerary,
        *,
        seed: int = 0,
        wire: WireMode = "off",
        warm_up: Duration = 0,
    ) -> None:
        places = len(topology.places)
        if places > MOST_PLACES:
            raise ValueError(f"{places} places where at most {MOST_PLACES} can be simulated")
        visits = itinerary.visits
        self.settings = settings
        self.kernel = Kernel(-_PROLOGUE)
        self.ledger = Ledger(places, visits.node, warm_up, counts_octets=wire != "off")
        self.seen = Seen(len(visits), places)
        self.weigh = weigher(wire)
        self.loses: Callable[[], bool] | None = _loser(settings.loss, seed) if settings.loss else None
        self.holds = 0
        """Prefixes whose idle time ran out."""
        self.routers: dict[int, AnchorRouter | Gateway | AccessLink] = {}
        self.places_of: dict[Address, int] = {}
        self._topology = topology
        self._itinerary = itinerary
        self._turns: dict[int, int] = {}
        self._here: dict[int, int] = {}
        self._roles: dict[Address, Role] = {}
        self.outages: Outages | None = None
        """None: nobody dies."""
        self._seed, self._warm_up = seed, warm_up
        self._build([int(place) for place in np.unique(visits.place)])

    def _build(self, places: list[int]) -> None:
        database = _database(len(self._topology.places))
        repeats = _NEVER if independent(self._topology, self.settings) else RetransmissionConstants()
        if self.settings.mode == "pmipv6":
            self._build_central(places, database, repeats)
        elif self.settings.mode == "mipv6":
            self._build_hosts(places, repeats)
        else:
            self._build_distributed(places, database, repeats)

    def _build_central(self, places: list[int], anchor: Address, repeats: RetransmissionConstants) -> None:
        """RFC 5213: a MAG at every place, one LMA."""
        settings = self.settings
        for place in places:
            configuration = MagConfiguration(
                _address(place),
                lma=anchor,
                lifetime=settings.lifetime,
                advertisement_interval=0,
                nodes=_MANY,
                new_nodes_per_second=_RATE,
                retransmission=repeats,
            )
            gateway = Gateway(self, MobileAccessGateway(configuration, EPOCH), _address(place), place)
            self.routers[place] = gateway
            self._enter(gateway.role)
        told = LmaConfiguration(
            anchor,
            tuple(KnownGateway(_address(place)) for place in places),
            (_pool(len(self._topology.places)),),
            lifetime_max=max(settings.lifetime, HOUR),
            nodes=_MANY,
            nodes_per_gateway=_MANY,
        )
        place = central_place(self._topology, settings)
        self._enter(Anchor(self, LocalMobilityAnchor(told, EPOCH), anchor, place).role)

    def _nearest(self, place: int, places: list[int]) -> tuple[Address, ...]:
        """Whom a MAAR asks about a node of which it knows nothing, in the order of their delays."""
        others = sorted((one for one in places if one != place), key=lambda one: self._topology.delay[place, one])
        return tuple(_address(one) for one in others[:ASKED_NEIGHBOURS])

    def _partners(self, places: list[int]) -> dict[int, Address]:
        """Of each router the one with the least delay."""
        nearest = ((place, self._nearest(place, places)) for place in places)
        return {place: others[0] for place, others in nearest if others}

    def _build_distributed(self, places: list[int], database: Address, repeats: RetransmissionConstants) -> None:
        """RFC 8885: a MAAR at every place, one CMD; in direct mode none.

        Each knows where a node comes from then, or asks those that are nearest.
        """
        settings, mode = self.settings, Mode(self.settings.mode)
        failures = settings.failures
        partners = self._partners(places) if failures and failures.partners else {}
        liveness = LivenessSettings(failures.interval, failures.misses, hold=failures.hold) if failures else None
        mortal: dict[int, MortalRouter] = {}
        if failures:
            peers = Peers(Peer(_address(one), pool=_pool(one), partner=partners.get(one)) for one in places)
        else:
            peers = Peers(Peer(_address(place)) for place in places)
        for place in places:
            configuration = MaarConfiguration(
                _address(place),
                _pool(place),
                NO_CMD if mode is DIRECT else database,
                peers,
                mode,
                lifetime=settings.lifetime,
                watch=False,
                advertise_confirmed=settings.advertise_confirmed,
                advertisement_interval=0,
                nodes=_MANY,
                new_nodes_per_second=_RATE,
                prefixes_per_node=_PREFIXES,
                retransmission=repeats,
                partner=partners.get(place),
                liveness=liveness,
            )
            # Who comes from a router that is dead is asked about elsewhere, and who begins anew is told what it forgot.
            neighbours = self._nearest(place, places) if failures or not settings.tells_previous else ()

            def make(
                configuration: MaarConfiguration = configuration, neighbours: tuple[Address, ...] = neighbours
            ) -> MobilityAnchorAccessRouter:
                engine = access_router(configuration, EPOCH)
                if isinstance(engine, DirectAccessRouter):
                    engine.direct.neighbours = neighbours
                    if not failures:
                        engine.direct.remembering = ()
                return engine

            if failures:
                router: AnchorRouter = MortalRouter(self, make, _address(place), place)
                assert isinstance(router, MortalRouter)
                mortal[place] = router
            else:
                router = AnchorRouter(self, make(), _address(place), place)
            self.routers[place] = router
            self._enter(router.role)
        if failures:
            self.outages = Outages(self, failures, mortal)
        if mode is DIRECT:
            return
        told = CmdConfiguration(
            database,
            tuple(Maar(_address(place), _pool(place)) for place in places),
            mode,
            lifetime_max=max(settings.lifetime, HOUR),
            nodes=_MANY,
            nodes_per_maar=_MANY,
            prefixes_per_node=_PREFIXES,
            pace_rate=0,
            warm_up=0,
            retransmission=repeats,
        )
        place = central_place(self._topology, settings)
        self._enter(Role(self, CentralMobilityDatabase(told, EPOCH), database, place))

    def _build_hosts(self, places: list[int], repeats: RetransmissionConstants) -> None:
        """RFC 6275: a home agent at every place, or one for all; the hosts have engines of their own."""
        home = central_place(self._topology, self.settings) if self.settings.has_one_anchor else None
        hosts = Hosts(self, self._itinerary, home, repeats)
        for place in places:
            self.routers[place] = AccessLink(hosts, place)
        for role in hosts.home_agents(places):
            self._enter(role)

    def enter(self, role: Role) -> None:
        """One more engine, which begins now."""
        self._enter(role)
        role.start(self.kernel.edge)

    def delay(self, source: int, destination: int) -> Duration:
        """From one place to another."""
        return int(self._topology.delay[source, destination])

    def role_at(self, address: Address) -> Role | None:
        """Whose address it is, if it is that of a machine that does not move."""
        return self._roles.get(address)

    def _enter(self, role: Role) -> None:
        self._roles[role.address] = role
        self.places_of[role.address] = role.place

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self, until: Instant, progress: Callable[[Instant], None] | None = None) -> None:
        """Everything that happens before `until`; `progress` is told how far it is."""
        for role in self._roles.values():
            role.start(self.kernel.start)
        self.kernel.run(0)

        def every_second(now: Instant) -> None:
            self.ledger.turn_page()
            if progress is not None:
                progress(now)

        failures = self.settings.failures
        if self.outages is not None and failures is not None:
            self.outages.plan(drawn(failures, self.routers, self._warm_up, until, self._seed))
        self.kernel.run(until, self._records(), every_second)
        self.ledger.close()
        if self.outages is not None:
            self.outages.finish()

    def _records(self) -> Iterator[Entry]:
        """What the engines are told of the itinerary, in the order of time."""
        visits, behind = self._itinerary.visits, self._behind()
        left, ended = self._itinerary.departures
        number = (len(visits), len(left), len(behind[0]))
        time = np.concatenate((visits.begin, left, behind[0]))
        kind = np.repeat(np.arange(3, dtype=np.int8), number)
        node = np.concatenate((visits.node, visits.node[ended], behind[1]))
        place = np.concatenate((visits.place, visits.place[ended], behind[2]))
        turn = np.concatenate((np.arange(len(visits)), ended, behind[3]))
        order = np.lexsort((kind, time))
        actions: dict[tuple[int, int], Action] = {}
        for at, router in self.routers.items():
            actions[0, at], actions[1, at] = router.attach, router.detach
            actions[2, at] = router.leave if isinstance(router, Gateway) else router.retire
        columns = (column[order].tolist() for column in (time, kind, place, node, turn))
        for index, (at, what, where, who, which) in enumerate(zip(*columns, strict=True), -len(order)):
            yield at, index, actions[what, where], who, which

    def _behind(self) -> tuple[Indices, Indices, Places, Indices]:
        """What concerns the router that a node left: time, node, place and turn. A prefix retires at a MAAR; a MAG sees
        that the node is gone.
        """
        if self.settings.mode != "pmipv6":
            retirements = self._itinerary.retirements
            nothing = np.zeros(len(retirements.time), np.int64)
            return retirements.time, retirements.node, retirements.anchor, nothing
        visits = self._itinerary.visits
        moved = np.flatnonzero(visits.came_from != NOWHERE)
        time = np.maximum(visits.begin[moved] - _BETWEEN_LINKS, visits.begin[moved - 1])
        return time, visits.node[moved], visits.came_from[moved], moved

    @property
    def alarms(self) -> int:
        """Deadlines that the kernel kept."""
        return sum(role.alarms for role in self._roles.values())

    # --- what roles ask -----------------------------------------------------------------------------------------------

    def way(self, place: int, destination: Address) -> tuple[Duration, Action, int]:
        """From `place` to an address: the delay, who is there, and the code for the ledger."""
        role = self._roles[destination]
        return int(self._topology.delay[place, role.place]), role.arrive, Ledger.way(place, role.place)

    def came_from(self, turn: int) -> Address | None:
        """Where the node of this turn was before; None: nowhere in the domain."""
        place = int(self._itinerary.visits.came_from[turn])
        return None if place == NOWHERE else _address(place)

    def begin(self, node: int, turn: int) -> None:
        """The node is at the place of this turn."""
        self._turns[node] = self._here[node] = turn

    def end(self, node: int) -> None:
        """The node is nowhere."""
        self._here.pop(node, None)

    def turn_of(self, node: int) -> int:
        """Its latest turn."""
        return self._turns[node]

    def node_of_turn(self, turn: int) -> int:
        """Whose turn it is."""
        return int(self._itinerary.visits.node[turn])

    @property
    def sessions(self) -> Sessions:
        """All that begin, by node."""
        return self._itinerary.sessions

    def nodes_at(self, place: int) -> list[int]:
        """Who is attached there."""
        return sorted(node for node in self._here if self.place_of(node) == place)

    def is_at(self, node: int, place: int) -> bool:
        """Whether the node is attached there."""
        return self.place_of(node) == place

    def place_of(self, node: int) -> int | None:
        """Where the node is attached."""
        turn = self._here.get(node)
        return None if turn is None else int(self._itinerary.visits.place[turn])


def _loser(share: float, seed: int) -> Callable[[], bool]:
    random = Random(seed).random
    return lambda: random() < share


def _address(place: int) -> Address:
    return (0x2001_0DB8 << 96 | place << 16 | 1).to_bytes(16, "big")


def _database(places: int) -> Address:
    return _address(places)


def _pool(place: int) -> Prefix:
    """Room for 2**32 nodes at every place."""
    return Prefix((0x2A00_0000 + place << 96).to_bytes(16, "big"), 32)
