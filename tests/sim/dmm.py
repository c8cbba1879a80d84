"""The cast of RFC 8885: a CMD and MAARs. What must be true of them is in `sim.dmm_truth`.

What a session of a node may expect, in the model's words (see `_excuse`): it goes on wherever the node goes, as long as
packets pass every now and then, the node is registered, and nobody who has to remember its prefix loses memory at the
one moment when nobody else could tell.
"""

from __future__ import annotations

import random
from collections import defaultdict

from sim.air import Air, Node
from sim.cast import COMMANDS, NoOrders, Patience
from sim.dmm_truth import DmmTruth
from sim.domain import HOSTS, CmdEngine, DmmDomain, MaarEngine
from sim.flows import Flow, Flows
from sim.paths import Paths
from sim.topology import SHAPES
from sim.world import Machine
from sojourn.core.events import Commanded
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.maar_direct import access_router
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.wire import BindingUpdate, MobileNodeIdentifier
from sojourn.wire.addresses import LinkLayer, prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_STAY = 2 * SECOND
"""After which a node is registered, if nothing is wrong."""
_AFTERMATH = 60 * SECOND
"""How long after the last trouble something may still come of it: a retransmission takes half of that."""


class Dmm(NoOrders):
    """One domain; see `sim.cast.Cast`."""

    name = "dmm"
    commands = COMMANDS
    attacks = ()
    share_of_tight = 0.1
    """How many seeds have limits that are soon reached."""
    handed_over = False
    """Whether there are fast handovers."""

    def __init__(
        self,
        seed: int,
        maar_engine: MaarEngine = access_router,
        cmd_engine: CmdEngine = CentralMobilityDatabase,
    ) -> None:
        dice = random.Random(f"dmm {seed}")
        self.temper = dice.choice(("calm", "lossy", "cut", "mortal", "stubborn", "untimely", "all", "all"))
        self.lifetime = dice.choice((20, 60, 200)) * SECOND
        self.idle_hold = dice.choice((8, 30, 60)) * SECOND
        self.tight = dice.random() < self.share_of_tight
        self.cap = dice.choice((2, 3, 8, 8))
        self.domain = self._make_domain(
            dice.choice(CENTRAL),
            dice.randint(2, 6),
            self._database(dice),
            self._routers(dice),
            maar_engine,
            cmd_engine,
        )
        self._particulars(dice)
        self.besides = self._fast_handovers(random.Random(f"{self.name} handovers {seed}"))
        self.world = self.domain.world
        self.shape = dice.choice(SHAPES)
        self.world.network.delays = self.shape(list(self.domain.members), dice)
        self.world.network.on_arrived.append(self._on_arrived)
        self.places = tuple(machine.name for machine in self.domain.routers)
        self.centres = tuple(self.domain.databases)
        self.air = self._make_air({host: HOSTS[host] for host in list(HOSTS)[: dice.randint(1, 5)]})
        paths = self._make_paths()
        self.flows = self._make_flows(paths)
        self.truth = self._make_truth(paths)
        self.patience = Patience(
            calm=50 * SECOND + self.granted // 2,  # the longest retransmission, and a refresh
            settled=self.granted // 2 + 45 * SECOND,
            quiet=2 * self.lifetime + 60 * SECOND,
            stays=self.lifetime // 2 + 5 * SECOND,
            idle=4 * self.idle_hold + 20 * SECOND,
            empty=6 * self.lifetime + 60 * SECOND,
        )
        self._registered: dict[tuple[str, str], Instant] = {}
        """When an update of a router about a node last reached a CMD that was alive."""
        self._introduced: dict[tuple[str, str], Instant] = {}
        """The same of the first one since the node last came there."""
        self._reminded: dict[tuple[str, str], Instant] = {}
        """When the CMD last told a router of a node."""
        self._forgot: dict[str, Instant] = {}
        """When a machine last began without what it knew."""
        self._ended: dict[str, Instant] = {}
        """When an operator last said that a prefix is over."""
        self.commands = {**COMMANDS, "retire": self._retire}
        self._visits: dict[str, list[tuple[Instant, str | None]]] = defaultdict(list)
        """Where every node was, and since when."""
        self._unmet: set[tuple[str, Instant]] = set()
        """Nodes that came to a dead router, and when: that is no stay for anybody but them."""

    def _make_paths(self) -> Paths:
        return Paths(self.world, self.air, self.domain.home, self.places)

    def _make_flows(self, paths: Paths) -> Flows:
        return Flows(self.world, self.air, paths, self._excuse)

    def _make_domain(
        self,
        mode: Mode,
        maars: int,
        cmd: dict[str, object],
        settings: dict[str, object],
        maar_engine: MaarEngine,
        cmd_engine: CmdEngine,
    ) -> DmmDomain:
        return DmmDomain(mode, maars, cmd, settings, maar_engine, cmd_engine)

    def _make_air(self, nodes: dict[str, LinkLayer]) -> Air:
        return Air(self.world, nodes)

    def _make_truth(self, paths: Paths) -> DmmTruth:
        return DmmTruth(self.domain, self.air, paths, claims=not self.tight)

    # --- what the seed chooses ------------------------------------------------------------------------------------

    def _database(self, dice: random.Random) -> dict[str, object]:
        settings: dict[str, object] = {
            "warm_up": self.lifetime,
            "prefixes_per_node": self.cap,
            "lifetime_max": dice.choice((self.lifetime, self.lifetime, self.lifetime // 2)),
            "pace_rate": dice.choice((2000, 2000, 20)),
        }
        granted = min(self.lifetime, settings["lifetime_max"])  # type: ignore[type-var]
        self.granted: Duration = granted - granted % (4 * SECOND)  # type: ignore[operator]
        """Lifetime of a binding, as messages count it (RFC 6275 6.1.8)."""
        if self.tight:
            settings["nodes"] = dice.choice((1, 2, 100))
            settings["nodes_per_maar"] = dice.choice((1, 2, 100))
        return settings

    def _routers(self, dice: random.Random) -> dict[str, object]:
        settings: dict[str, object] = {
            "lifetime": self.lifetime,
            "idle_hold": self.idle_hold,
            "quarantine": 5 * SECOND,
            "buffer": dice.random() < 0.5,
            "advertise_confirmed": dice.random() < 0.25,
            "advertisement_interval": dice.choice((10, 100)) * SECOND,
        }
        if self.tight:
            settings["nodes"] = dice.choice((1, 2, 100))
            settings["prefixes_per_node"] = dice.choice((1, 2, 16))
            settings["new_nodes_per_second"] = dice.choice((1, 200))
        return settings

    def _particulars(self, dice: random.Random) -> None:
        """What only some routers have: local networks, and a pool that is soon exhausted."""
        with_networks = dice.random() < 0.3
        for number in self.domain.numbers:
            changes: dict[str, object] = {}
            if with_networks and dice.random() < 0.6:
                changes["routes"] = (prefix(f"fd00:{number}::/32"),)
            if self.tight and dice.random() < 0.5:
                changes["pool"] = prefix(f"2001:db8:a{number}00::/{dice.choice((62, 63, 64))}")
            if changes:
                self.domain.adjust(f"ar{number}", changes)

    def _fast_handovers(self, dice: random.Random) -> dict[str, int]:
        """RFC 5949 between MAARs: somebody says now and then where a node is going to go."""
        if not self.handed_over:
            return {}
        changes = {"handovers": dice.choice((1, 8, 8)), "handover_wait": dice.choice((300, 1000)) * MILLISECOND}
        for name in self.domain.maar_configurations:
            self.domain.adjust(name, changes)
        return {"expect": 6}

    def settings(self) -> str:
        """See `Cast`."""
        domain = self.domain
        return (
            f"{domain.mode.value} mode, {len(self.places)} MAARs in a {self.shape.__name__}, "
            f"{len(self.air.nodes)} nodes, "
            f"lifetime {self.lifetime // SECOND} s, idle hold {self.idle_hold // SECOND} s, cap {self.cap}, "
            f"{self.temper}{', tight limits' if self.tight else ''}{', fast handovers' if self.handed_over else ''}"
        )

    # --- what happens ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """See `Cast`."""
        for machine in self.domain.members.values():
            machine.on_access = self.air.on_access
            machine.on_forget = self.air.forget
            machine.start()

    def forgot(self, machine: Machine) -> None:
        """See `Cast`. What its nodes were promised there is worth nothing any more."""
        self._forgot[machine.name] = self.world.now
        for each in self.air.on_link(machine.name):
            each.promises.clear()
            each.preferred = None

    def moved(self, each: Node) -> None:
        """See `Cast`."""
        self._visits[each.name].append((self.world.now, each.place))
        if each.place is not None and self.world.machines[each.place].driver is None:
            self._unmet.add((each.name, self.world.now))
        if each.place is not None:
            self._introduced.pop((each.place, each.link_layer.hex()), None)

    def _on_arrived(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        option = message.first(MobileNodeIdentifier)
        if option is None or self.world.machines[receiver].driver is None:
            return
        if receiver in self.domain.databases and isinstance(message, BindingUpdate) and message.lifetime:
            key = sender, option.identifier.hex()
            self._registered[key] = self.world.now
            self._introduced.setdefault(key, self.world.now)
        elif sender in self.domain.databases:
            self._reminded[receiver, option.identifier.hex()] = self.world.now

    def _retire(self, machine: Machine) -> Commanded:
        """Sessions end with that, sooner or later: the CMD may have to come back first."""
        order = COMMANDS["retire"](machine)
        self._ended[order.arguments["prefix"]] = self.world.now
        return order

    def attack(self, verb: str, luck: int) -> None:
        """See `Cast`. Nobody is a stranger here."""

    # --- what a session may expect --------------------------------------------------------------------------------

    def _excuse(self, flow: Flow, calm_since: Instant) -> str:
        """Why a flow that does not work need not work any more; empty: it has to."""
        now, place, who = self.world.now, flow.node.place, flow.node.link_layer.hex()
        troubled = place is None or now - calm_since < _AFTERMATH + self.granted
        if troubled and now - flow.worked > min(self.idle_hold - 3 * SECOND, self.granted // 2 - SECOND):
            return "idle for too long"
        if self.tight:
            return "limits"
        if self._too_many(flow):
            return "too many prefixes"
        if place is not None and troubled:
            registered = max(self._registered_at(flow, place, who), flow.node.arrived)
            if now - registered > self.granted - SECOND:
                return "its binding ran out"
        forgot = self._forgot.get(flow.home, -1)
        if forgot >= flow.begun and self._reminded.get((flow.home, who), -1) < forgot:
            return "its anchor forgot"
        if self._ended.get(str(flow.prefix), -1) >= flow.begun:
            return "an operator ended it"
        return ""

    def _registered_at(self, flow: Flow, place: str, who: str) -> Instant:
        """When the one that has to know last heard that the node is there."""
        return self._registered.get((place, who), 0)

    def _too_many(self, flow: Flow) -> bool:
        """Whether its node was at as many other places as it may have prefixes, without a stay at home in between.

        A stay too short to be registered in time is none; a place left just before may be registered just after. Those
        that register late, out of a partition, count in the order in which they come.
        """
        who = flow.node.link_layer.hex()
        late: set[str] = set()
        others: set[str] = set()
        visits = self._visits[flow.node.name]
        ends = [*(when for when, _ in visits[1:]), self.world.now]
        for (when, place), end in zip(visits, ends, strict=False):
            if place is None:
                continue
            lately = end >= flow.begun - _STAY
            if place != flow.home and lately:
                others.add(place)
            elif place != flow.home and self._introduced.get((place, who), 0) >= flow.begun:
                late.add(place)
            elif place == flow.home and lately and end - when >= _STAY and (flow.node.name, when) not in self._unmet:
                others.clear()
            if len(others | late) >= self.cap:
                return True
        return False


class Fast(Dmm):
    """The same domains, with fast handovers."""

    name = "fast"
    handed_over = True
