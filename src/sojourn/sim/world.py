"""The simulated domain of one shard: a MAAR at every place that its nodes visit, a central database, and the network.

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
    CmdConfiguration,
    Maar,
    MaarConfiguration,
    Mode,
    Peer,
    Peers,
    RetransmissionConstants,
)
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.sim.itinerary import Itinerary
from sojourn.sim.kernel import Action, Entry, Kernel
from sojourn.sim.ledger import MOST_PLACES, Ledger
from sojourn.sim.protocol import ProtocolSettings, WireMode
from sojourn.sim.roles import Role, Router
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
_NEVER = RetransmissionConstants(initial_bindack_timeout=_MANY * SECOND, min_bindack_timeout=_MANY * SECOND)
"""Where every request is answered within a second, its repetition need not be planned."""
_FARTHEST: Duration = 400 * MILLISECOND
"""From one place to another, for requests to be answered before they are repeated."""


def independent(topology: Topology, settings: ProtocolSettings) -> bool:
    """Whether nodes have nothing to do with each other, so that they can be simulated in parts."""
    return settings.mode == "none" or (
        not settings.processing and not settings.loss and int(topology.delay.max()) <= _FARTHEST
    )


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
        self.routers: dict[int, Router] = {}
        self.places_of: dict[Address, int] = {}
        self._topology = topology
        self._itinerary = itinerary
        self._turns: dict[int, int] = {}
        self._here: dict[int, int] = {}
        self._roles: dict[Address, Role] = {}
        self._build([int(place) for place in np.unique(visits.place)])

    def _build(self, places: list[int]) -> None:
        settings, database = self.settings, _database(len(self._topology.places))
        peers = Peers(Peer(_address(place)) for place in places)
        mode = Mode(settings.mode)
        repeats = _NEVER if independent(self._topology, settings) else RetransmissionConstants()
        for place in places:
            configuration = MaarConfiguration(
                _address(place),
                _pool(place),
                database,
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
            )
            engine = MobilityAnchorAccessRouter(configuration, EPOCH)
            router = self.routers[place] = Router(self, engine, _address(place), place)
            self._enter(router.role)
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
        place = settings.database if settings.database is not None else self._topology.best_place()
        self._enter(Role(self, CentralMobilityDatabase(told, EPOCH), database, place))

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

        self.kernel.run(until, self._records(), every_second)
        self.ledger.close()

    def _records(self) -> Iterator[Entry]:
        """What the engines are told of the itinerary, in the order of time."""
        visits, retirements = self._itinerary.visits, self._itinerary.retirements
        left, ended = self._itinerary.departures
        number = (len(visits), len(left), len(retirements.time))
        time = np.concatenate((visits.begin, left, retirements.time))
        kind = np.repeat(np.arange(3, dtype=np.int8), number)
        node = np.concatenate((visits.node, visits.node[ended], retirements.node))
        place = np.concatenate((visits.place, visits.place[ended], retirements.anchor))
        turn = np.concatenate((np.arange(len(visits)), ended, np.zeros(number[2], np.int64)))
        order = np.lexsort((kind, time))
        actions: dict[tuple[int, int], Action] = {}
        for at, router in self.routers.items():
            actions[0, at], actions[1, at], actions[2, at] = router.attach, router.detach, router.retire
        columns = (column[order].tolist() for column in (time, kind, place, node, turn))
        for index, (at, what, where, who, which) in enumerate(zip(*columns, strict=True), -len(order)):
            yield at, index, actions[what, where], who, which

    @property
    def alarms(self) -> int:
        """Deadlines that the kernel kept."""
        return sum(role.alarms for role in self._roles.values())

    # --- what roles ask -----------------------------------------------------------------------------------------------

    def way(self, place: int, destination: Address) -> tuple[Duration, Action, int]:
        """From `place` to an address: the delay, who is there, and the code for the ledger."""
        role = self._roles[destination]
        return int(self._topology.delay[place, role.place]), role.arrive, Ledger.way(place, role.place)

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

    def is_at(self, node: int, place: int) -> bool:
        """Whether the node is attached there."""
        turn = self._here.get(node)
        return turn is not None and int(self._itinerary.visits.place[turn]) == place


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
