"""The cast of RFC 5213: an LMA or two, and MAGs. What must be true of them is in `sim.pmip_truth`.

What a session of a node may expect, in the model's words (see `_excuse`): it goes on wherever the node goes, as long as
its binding lives, and its LMA, or the MAG where it is, remembers its prefix. A binding lives as long as the LMA said.
"""

from __future__ import annotations

import random

from sim.air import Air, Node
from sim.cast import COMMANDS, Patience
from sim.domain import HOSTS
from sim.flows import HANDOVER, Flow, Flows
from sim.paths import Paths
from sim.pmip_domain import LmaEngine, MagEngine, PmipDomain
from sim.pmip_truth import PmipTruth
from sim.topology import SHAPES
from sim.world import Machine, World
from sojourn.core.events import Sighting
from sojourn.engines.configuration import HomeProfile
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_session import Presence
from sojourn.wire import BindingAcknowledgement, BindingUpdate, HomeNetworkPrefix, MobileNodeIdentifier
from sojourn.wire.addresses import LinkLayer, Prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_AFTERMATH = 60 * SECOND
"""How long after the last trouble something may still come of it: a retransmission takes half of that."""


class WatchedAir(Air):
    """Knows who is taken to be at a MAG though it left without a word: that may claim it, or not notice its return."""

    def __init__(self, world: World, nodes: dict[str, LinkLayer], domain: PmipDomain) -> None:
        super().__init__(world, nodes)
        self._domain = domain
        self.unnoticed: set[str] = set()
        """Nodes about which some MAG is wrong since they moved last."""

    def arrive(self, node: Node, machine: Machine, interface: str, sighting: Sighting) -> None:
        """See `Air.arrive`."""
        believers = [
            each
            for each in self._domain.gateways
            if (session := self._domain.listed(each, node.name)) is not None and session.presence is Presence.SERVED
        ]
        (self.unnoticed.add if believers else self.unnoticed.discard)(node.name)
        super().arrive(node, machine, interface, sighting)


class Pmip:
    """One domain; see `sim.cast.Cast`."""

    name = "pmip"
    commands = COMMANDS
    attacks = ()

    def __init__(
        self,
        seed: int,
        mag_engine: MagEngine = MobileAccessGateway,
        lma_engine: LmaEngine = LocalMobilityAnchor,
    ) -> None:
        dice = random.Random(f"pmip {seed}")
        self.temper = dice.choice(("calm", "lossy", "cut", "mortal", "stubborn", "untimely", "all", "all"))
        self.lifetime = dice.choice((20, 60, 200)) * SECOND
        self.tight = dice.random() < 0.1
        self.timestamps = dice.random() < 0.8
        self.domain = PmipDomain(
            dice.randint(2, 6),
            dice.choice((1, 1, 2)),
            self._anchors(dice),
            self._gateways(dice),
            mag_engine,
            lma_engine,
        )
        self.world = self.domain.world
        self.shape = dice.choice(SHAPES)
        self.world.network.delays = self.shape(list(self.domain.members), dice)
        self.world.network.on_arrived.append(self._on_arrived)
        self.world.network.on_sent.append(self._on_sent)
        self.places = tuple(machine.name for machine in self.domain.gateways)
        self.centres = tuple(machine.name for machine in self.domain.anchors)
        hosts = {host: HOSTS[host] for host in list(HOSTS)[: dice.randint(1, 5)]}
        self.air: WatchedAir = WatchedAir(self.world, hosts, self.domain)
        paths = Paths(self.world, self.air, self.domain.home, self.places)
        self.patience = Patience(
            calm=50 * SECOND + self.granted // 2,  # the longest retransmission, and a refresh
            settled=self.granted + 45 * SECOND,
            quiet=2 * self.lifetime + 60 * SECOND,
            stays=self.lifetime // 2 + 5 * SECOND,
            idle=20 * SECOND,
            empty=2 * self.lifetime + 60 * SECOND,
        )
        self.flows = Flows(self.world, self.air, paths, self._excuse, self._handover, self._recovery)
        self.truth = PmipTruth(self.domain, self.air, paths, claims=not self.tight, timestamps=self.timestamps)
        self._extended: dict[str, Instant] = {}
        """When the LMA last said that the binding of a node lives, by link-layer address."""
        self._ended: dict[str, Instant] = {}
        """When it last said that it ends."""
        self._renewed: dict[str, Instant] = {}
        """When it last got a new binding, as the old one was over."""
        self._listed: dict[Prefix, Instant] = {}
        """When a MAG last told an LMA that was alive of a prefix."""
        self._came: dict[str, Instant] = {}
        """When a node last came to a place."""
        self._hasty: set[str] = set()
        """Nodes that had been at the place before for less than a second."""
        self._forgot: dict[str, Instant] = {}
        """When a machine last began without what it knew."""

    # --- what the seed chooses ------------------------------------------------------------------------------------

    def _anchors(self, dice: random.Random) -> dict[str, object]:
        self.delay: Duration = dice.choice((4, 10)) * SECOND
        """MinDelayBeforeBCEDelete."""
        most = dice.choice((self.lifetime, self.lifetime, self.lifetime // 2))
        self.granted: Duration = most - most % (4 * SECOND)
        settings: dict[str, object] = {
            "lifetime_max": most,
            "min_delay_before_bce_delete": self.delay,
            "max_delay_before_new_bce_assign": dice.choice((0, 1500)) * MILLISECOND,
            "everybody": HomeProfile(count=dice.choice((1, 1, 2))),
            "quarantine": dice.choice((5, 60)) * SECOND,
        }
        if self.tight:
            settings["nodes"] = dice.choice((1, 2, 100))
            settings["nodes_per_gateway"] = dice.choice((1, 2, 100))
        return settings

    def _gateways(self, dice: random.Random) -> dict[str, object]:
        settings: dict[str, object] = {
            "lifetime": self.lifetime,
            "buffer": dice.random() < 0.5,
            "timestamp_based_approach_in_use": self.timestamps,
            "link_local_of_lma": dice.random() < 0.3,
            "presence_trust": dice.choice((1, 10)) * SECOND,
            "advertisement_interval": dice.choice((10, 100)) * SECOND,
        }
        if self.tight:
            settings["nodes"] = dice.choice((1, 2, 100))
            settings["prefixes_per_node"] = dice.choice((1, 2, 16))
            settings["new_nodes_per_second"] = dice.choice((1, 200))
        return settings

    def settings(self) -> str:
        """See `Cast`."""
        order = "timestamps" if self.timestamps else "sequence numbers"
        return (
            f"{len(self.centres)} LMAs and {len(self.places)} MAGs in a {self.shape.__name__}, "
            f"{len(self.air.nodes)} nodes, {order}, lifetime {self.lifetime // SECOND} s, "
            f"delay {self.delay // SECOND} s, {self.temper}{', tight limits' if self.tight else ''}"
        )

    # --- what happens ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """See `Cast`."""
        for machine in self.domain.members.values():
            machine.on_access = self.air.on_access
            machine.on_forget = self.air.forget
            machine.start()

    def forgot(self, machine: Machine) -> None:
        """See `Cast`."""
        self._forgot[machine.name] = self.world.now

    def moved(self, each: Node) -> None:
        """See `Cast`."""
        if each.place is not None:
            before, self._came[each.name] = self._came.get(each.name, -SECOND), self.world.now
            (self._hasty.add if self.world.now - before < SECOND else self._hasty.discard)(each.name)

    def _on_sent(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        option = message.first(MobileNodeIdentifier)
        if not isinstance(message, BindingAcknowledgement) or option is None or message.status:
            return
        who, now = option.identifier.hex(), self.world.now
        if not message.lifetime:
            self._ended[who] = now
            return
        if who in self._extended and self._is_over(who):
            self._renewed[who] = now
        self._extended[who] = now

    def _is_over(self, who: str) -> bool:
        """Whether the binding of a node is as good as gone, as nobody registered it in time."""
        now, extended, ended = self.world.now, self._extended.get(who, 0), self._ended.get(who, -1)
        return extended <= ended <= now - self.delay + SECOND or now - extended > self.granted - SECOND

    def _on_arrived(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        if isinstance(message, BindingUpdate) and self.world.machines[receiver].driver is not None:
            for option in message.all(HomeNetworkPrefix):
                self._listed[option.prefix] = self.world.now

    def attack(self, verb: str, luck: int) -> None:
        """See `Cast`. Nobody is a stranger here."""

    # --- what a session may expect --------------------------------------------------------------------------------

    @property
    def _recovery(self) -> Duration:
        """What a MAG claimed for a node that is not there comes back with the refresh of the one where it is."""
        return self.granted + 45 * SECOND

    def _handover(self, node: Node) -> Duration:
        """Sequence numbers do not say which of two MAGs was later, when one did not hear yet what the other used."""
        uncertain = node.name in self.air.unnoticed or (not self.timestamps and node.name in self._hasty)
        return self._recovery if uncertain else HANDOVER

    def _excuse(self, flow: Flow, calm_since: Instant) -> str:
        """Why a flow that does not work need not work any more; empty: it has to."""
        if self.tight:
            return "limits"
        now, who = self.world.now, flow.node.link_layer.hex()
        troubled = flow.node.place is None or now - calm_since < _AFTERMATH + self.granted
        lately = troubled or now - flow.node.arrived <= self._handover(flow.node)
        if lately and (self._is_over(who) or self._renewed.get(who, -1) >= flow.begun):
            return "its binding ended"
        anchor = self.domain.anchor_of(flow.node.name).name
        forgot = self._forgot.get(anchor, -1)
        if forgot >= flow.begun and self._listed.get(flow.prefix, -1) < forgot:
            return "its anchor forgot"
        return ""
