"""The cast of RFC 5213: an LMA or two, and MAGs. What must be true of them is in `sim.pmip_truth`.

What a session of a node may expect, in the model's words (see `_excuse`): it goes on wherever the node goes, as long as
its binding lives, and its LMA, or the MAG where it is, remembers its prefix. A binding lives as long as the LMA said.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from sim.air import Node
from sim.cast import COMMANDS, NoOrders, Operation, Patience
from sim.domain import HOSTS
from sim.flows import HANDOVER, Flow, Flows
from sim.paths import Paths
from sim.pmip_domain import LmaEngine, MagEngine, PmipDomain
from sim.pmip_extras import Extra, drawn
from sim.pmip_leases import LeasingAir, WatchedAir
from sim.pmip_truth import PmipTruth
from sim.topology import SHAPES
from sim.world import Machine
from sojourn.engines.configuration import HomeProfile
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.registration import REFUSING
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
)
from sojourn.wire.addresses import LinkLayer, Prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_AFTERMATH = 60 * SECOND
"""How long after the last trouble something may still come of it: a retransmission takes half of that."""


class Pmip(NoOrders):
    """One domain; see `sim.cast.Cast`."""

    name = "pmip"
    commands = COMMANDS
    attacks = ()

    def __init__(
        self,
        seed: int,
        mag_engine: MagEngine = MobileAccessGateway,
        lma_engine: LmaEngine = LocalMobilityAnchor,
        extras: Mapping[str, Extra] | None = None,
    ) -> None:
        """`extras`: what the episode has besides RFC 5213, if the seed does not choose that."""
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
        self.extras = self._draw_extras(random.Random(f"pmip extras {seed}")) if extras is None else extras
        self._extend(random.Random(f"pmip adjusts {seed}"))
        self.world = self.domain.world
        self.shape = dice.choice(SHAPES)
        self.world.network.delays = self.shape(list(self.domain.members), dice)
        self.world.network.on_arrived.append(self._on_arrived)
        self.world.network.on_sent.append(self._on_sent)
        self.places = tuple(machine.name for machine in self.domain.gateways)
        self.centres = tuple(machine.name for machine in self.domain.anchors)
        hosts = {host: HOSTS[host] for host in list(HOSTS)[: dice.randint(1, 5)]}
        self.air: WatchedAir = self._make_air(hosts, seed)
        paths = Paths(self.world, self.air, self.domain.home, self.places, self.places)
        self.patience = Patience(
            calm=50 * SECOND + self.granted // 2,  # the longest retransmission, and a refresh
            settled=self.granted + 45 * SECOND + self._alone,
            quiet=2 * self.lifetime + 60 * SECOND,
            stays=self.lifetime // 2 + 5 * SECOND,
            idle=20 * SECOND,
            empty=2 * self.lifetime + 60 * SECOND,
        )
        self.flows = Flows(self.world, self.air, paths, self._excuse, self._handover, self._recovery)
        self.truth = PmipTruth(
            self.domain, self.air, paths, self.extras, claims=not self.tight, timestamps=self.timestamps
        )
        self._extended: dict[str, Instant] = {}
        """When the LMA last said that the binding of a node lives, by link-layer address."""
        self._ended: dict[str, Instant] = {}
        """When it last said that it ends."""
        self._renewed: dict[str, Instant] = {}
        """When it last got a new binding, as the old one was over."""
        self._holders: dict[Prefix, tuple[str, MobilityOption | None]] = {}
        """Who was given a prefix last: link-layer address, and node."""
        self._passed: dict[Prefix, Instant] = {}
        """When a prefix was last given to another link of its node."""
        self._listed: dict[Prefix, Instant] = {}
        """When a MAG last told an LMA that was alive of a prefix."""
        self._came: dict[str, Instant] = {}
        """When a node last came to a place."""
        self._hasty: set[str] = set()
        """Nodes that had been at the place before for less than a second."""
        self._forgot: dict[str, Instant] = {}
        """When a machine last began without what it knew."""
        self._commanded: dict[str, Instant] = {}
        """When an operator last gave a command, by its verb."""

    # --- what the seed chooses ------------------------------------------------------------------------------------

    def _draw_extras(self, dice: random.Random) -> Mapping[str, Extra]:
        return {}

    def _extend(self, dice: random.Random) -> None:
        """What the extras change."""
        domain = self.domain
        for extra in self.extras.values():
            extra.adjust(domain, dice)
        for extra in self.extras.values():
            for name in domain.lma_configurations:
                domain.adjust(name, extra.lma)
            for name in domain.mag_configurations:
                domain.adjust(name, extra.mag)
        domain.populate()
        self.besides = {kind: weight for extra in self.extras.values() for kind, weight in extra.besides.items()}
        if any(extra.operations for extra in self.extras.values()):
            self.besides["command"] = 3

    def _make_air(self, hosts: dict[str, LinkLayer], seed: int) -> WatchedAir:
        air = (LeasingAir if "ipv4" in self.extras else WatchedAir)(self.world, hosts, self.domain)
        if "dedicated" in self.extras:
            air.dedicated = ("acc1",)
        return air

    def operations(self, dice: random.Random) -> Operation:
        """See `Cast`."""
        draws = [draw for extra in self.extras.values() for draw in extra.operations]
        return dice.choice(draws)(dice, list(self.air.nodes), self.places)

    def spelled(self, machine: Machine, verb: str, arguments: dict[str, str]) -> dict[str, str]:
        """See `Cast`: for a node, its first prefix."""
        self._commanded[verb] = self.world.now
        host = arguments.get("prefix", "")
        if host not in HOSTS or machine.driver is None:
            return arguments
        entries = [entry for entry in machine.engine.cache.of(self.domain.identity(host)) if not entry.waiting]
        found = [entry.home_prefixes[0] for entry in entries if entry.link_layer == HOSTS[host] and entry.home_prefixes]
        return arguments | {"prefix": str(found[0]) if found else "::/64"}

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
            f"{', ' if self.extras else ''}{', '.join(self.extras).replace('_', ' ')}"
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
        option = message.first(MobileNodeLinkLayerIdentifier)
        if not isinstance(message, BindingAcknowledgement) or option is None or message.status >= REFUSING:
            return
        who, now = option.identifier.hex(), self.world.now
        if not message.lifetime:
            self._ended[who] = now
            return
        if who in self._extended and self._is_over(who):
            self._renewed[who] = now
        self._extended[who] = now
        node = message.first(MobileNodeIdentifier)
        for given in message.all(HomeNetworkPrefix):
            before, whose = self._holders.get(given.prefix, (who, node))
            if before != who and whose == node:
                self._passed[given.prefix] = now
            self._holders[given.prefix] = who, node

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
        return self.granted + 45 * SECOND + self._alone

    @property
    def _alone(self) -> Duration:
        """A session that is not in the group in which its MAG believes it is registered by itself some time only."""
        bulk = next(iter(self.domain.mag_configurations.values())).bulk_registration
        return 0 if bulk is None else bulk.alone_after * (self.granted // 2 + bulk.patience)

    def _handover(self, node: Node) -> Duration:
        """Sequence numbers do not say which of two MAGs was later, when one did not hear yet what the other used."""
        uncertain = node.name in self.air.unnoticed or (not self.timestamps and node.name in self._hasty)
        return self._recovery if uncertain else HANDOVER

    def _excuse(self, flow: Flow, calm_since: Instant) -> str:
        """Why a flow that does not work need not work any more; empty: it has to."""
        if self.tight or not self.truth._claims:
            return "limits"
        if why := self._ended_by_extra(flow, calm_since):
            return why
        now, who = self.world.now, flow.node.link_layer.hex()
        troubled = flow.node.place is None or now - calm_since < _AFTERMATH + self.granted
        lately = troubled or now - flow.node.arrived <= self._handover(flow.node)
        if lately and (self._is_over(who) or self._renewed.get(who, -1) >= flow.begun):
            return "its binding ended"
        home = self.domain.home(flow.prefix)
        anchor = "" if home is None else home.name
        forgot = self._forgot.get(anchor, -1)
        if forgot >= flow.begun and self._listed.get(flow.prefix, -1) < forgot:
            return "its anchor forgot"
        return ""

    def _ended_by_extra(self, flow: Flow, calm_since: Instant) -> str:
        """Why an extension, or what kind of node it is, ends the session."""
        commanded = self._commanded
        if "guests" in self.extras and flow.node.name == "mn1":
            return "no mobility service"
        for verb in ("revoke", "renumber"):
            if commanded.get(verb, -1) >= flow.begun:
                return f"an operator ended it: {verb}"
        if self._passed.get(flow.prefix, -1) >= flow.begun:
            return "it went on with the other link of its node, which came as this one left (RFC 5213 5.4.1.2, 4.)"
        owned = any(
            flow.prefix in entry.prefixes for each in self.domain.living for entry in self.domain.lma(each).cache
        )
        troubled = self.world.now - calm_since < _AFTERMATH + self.granted
        if troubled and not owned and not self.extras.keys().isdisjoint(("heartbeat", "controlled_timers", "redirect")):
            return "its gateway, or its anchor, could not be reached"
        return ""


class Extended(Pmip):
    """The same domains with extensions, fast handovers, other links or other nodes: one or two of these."""

    name = "extended"

    def _draw_extras(self, dice: random.Random) -> Mapping[str, Extra]:
        return drawn(dice)
