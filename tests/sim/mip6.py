"""The cast of RFC 6275: home agents and anchors, mobile nodes with their radios, correspondent nodes, and a stranger.

What must be true of them is in `sim.mip6_truth`, what a session may expect in `sim.mip6_flows`.
"""

from __future__ import annotations

import random

from sim.air import Node
from sim.cast import Commands, NoOrders, Patience
from sim.mip6_air import Radios
from sim.mip6_attacker import Attacker
from sim.mip6_domain import CnEngine, HaEngine, Mip6Domain, MnEngine, Plan
from sim.mip6_flows import MobileFlows
from sim.mip6_truth import Mip6Truth
from sim.topology import SHAPES
from sim.world import Machine
from sojourn.core.events import Commanded
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_entry import BindingState
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.engines.mn import MobileNode
from sojourn.wire import RevocationTrigger
from sojourn.wire.addresses import text
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.units import MINUTE, SECOND, Duration

_POLICIES = (
    FlowPolicy(Ipv6TrafficSelector(next_header=(6, None)), ("lte0", "wlan0")),
    FlowPolicy(Ipv6TrafficSelector(next_header=(17, None), source_port=(5004, None)), ("wlan0",)),
    FlowPolicy(Ipv6TrafficSelector(next_header=(17, None)), ("wlan0", "lte0"), shared=True),
)
_TRIGGERS = RevocationTrigger.UNSPECIFIED, RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE
_PAUSE = 10 * MINUTE
"""The longest pause of a mobile node that was refused."""


class Mip6(NoOrders):
    """One home link and the world around it; see `sim.cast.Cast`."""

    name = "mip6"

    def __init__(
        self,
        seed: int,
        ha_engine: HaEngine = HomeAgent,
        mn_engine: MnEngine = MobileNode,
        cn_engine: CnEngine = CorrespondentNode,
    ) -> None:
        dice = random.Random(f"mip6 {seed}")
        self.temper = dice.choice(("calm", "lossy", "cut", "mortal", "stubborn", "untimely", "all", "all"))
        self.lifetime: Duration = dice.choice((40, 80, 200)) * SECOND
        self.domain = Mip6Domain(self._plan(dice, random.Random(f"mip6 more {seed}")), ha_engine, mn_engine, cn_engine)
        self.world = self.domain.world
        self.shape = dice.choice(SHAPES)
        places = [*self.domain.links, *self.domain.agents[1:], *self.domain.correspondents]
        self.world.network.delays = self.shape(places, dice)
        self.places = tuple(self.domain.links)
        self.centres = (*self.domain.agents[1:], *self.domain.correspondents, *self.domain.mobiles)
        self.air = Radios(self.domain)
        recovery = _PAUSE + self.lifetime + 60 * SECOND
        self.patience = Patience(
            calm=recovery,
            settled=recovery,
            quiet=7 * MINUTE + self.lifetime,
            stays=self.lifetime + 5 * SECOND,
            idle=2 * MINUTE,
            empty=15 * MINUTE,
        )
        self.flows = MobileFlows(self.domain, self.air, recovery)
        self.truth = Mip6Truth(self.domain, self.air, self.flows)
        self.stranger = Attacker(self.domain)
        self.attacks = tuple(self.stranger.deeds) if dice.random() < 0.6 else ()
        self.attack = self.stranger.attack
        self._revoked = 0
        self.commands: Commands = {
            "switch": self._switch,
            "dismiss": lambda machine: Commanded("switch"),
            "register": lambda machine: Commanded("register"),
            "nonsense": lambda machine: Commanded("nonsense"),
            "revoke": self._revoke,
        }

    def _plan(self, dice: random.Random, more: random.Random) -> Plan:
        mobiles, agents = dice.randint(1, 3), dice.choice((1, 1, 2, 2, 3))
        several = dice.random() < 0.3
        aside = random.Random(hash(dice.getstate()[1]))  # nothing is drawn: seeds keep their episodes
        return Plan(
            links=dice.randint(1, 3),
            agents=agents,
            mobiles=mobiles,
            radios=2 if several or dice.random() < 0.2 else 1,
            routers=dice.choice((0, 0, 1, mobiles)),
            anchors=dice.random() < 0.3,
            discovered=dice.random() < 0.3,
            interval=dice.choice((0, 0, 3, 30)) * SECOND,
            timestamps=True,
            ha={
                "lifetime_max": dice.choice((self.lifetime, self.lifetime // 2)),
                "stores": dice.random() < 0.6,
                "duplicate_address_detection": dice.random() < 0.7,
                "refresh_advice": dice.choice((0, self.lifetime // 4)),
                "home_too": more.random() < 0.8,
                "flows": more.random() < 0.9,
                "optimistic_duplicate_address_detection": aside.random() < 0.3,
            },
            cn={"refresh": dice.random() < 0.5},
            mn={
                "lifetime": self.lifetime,
                "several": several,
                "route_optimisation": dice.random() < 0.8,
                "retry_correspondent": 1 * MINUTE,
                "home_too": several and more.random() < 0.4,
                "flows": _POLICIES if several and more.random() < 0.5 else (),
            },
            implicit=more.random() < 0.3,
        )

    def settings(self) -> str:
        """See `Cast`."""
        plan = self.domain.plan
        words = [
            f"{plan.agents} home agents{' to be found' if plan.discovered else ''}",
            f"{plan.links} {'anchors' if plan.anchors else 'links'} in a {self.shape.__name__}",
            f"{plan.mobiles} nodes ({plan.routers} routers) with {plan.radios} radios",
            "several care-of addresses" if plan.mn["several"] else "one care-of address",
            *(["at home too"] if plan.mn["home_too"] else []),
            *(["flows"] if plan.mn["flows"] else []),
            *(["implicit mode"] if plan.implicit and plan.routers else []),
            f"lifetime {self.lifetime // SECOND} s",
            self.temper,
            "a stranger" if self.attacks else "nobody else",
        ]
        return ", ".join(words)

    # --- what happens ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """See `Cast`."""
        for machine in self.domain.members.values():
            machine.start()

    def moved(self, node: Node) -> None:
        """See `Cast`."""

    def forgot(self, machine: Machine) -> None:
        """See `Cast`. Nobody depends on anybody's memory."""

    def _revoke(self, machine: Machine) -> Commanded:
        """A binding, or one of its care-of addresses; the node may come back, at once or after a pause (RFC 5846)."""
        if machine.name not in self.domain.agents or machine.driver is None:  # an anchor's end a session for good
            return Commanded("nonsense")
        bound = [entry for entry in machine.engine.cache.values() if entry.state is BindingState.ACTIVE]
        self._revoked += 1
        if not bound:
            return Commanded("nonsense")
        entry = bound[self._revoked % len(bound)]
        arguments = {"node": text(entry.home), "trigger": str(_TRIGGERS[self._revoked % len(_TRIGGERS)])}
        if entry.ways and self._revoked % 2:
            arguments["identifiers"] = str(min(entry.ways))
        return Commanded("revoke", arguments)

    def _switch(self, machine: Machine) -> Commanded:
        """To the other home agents, if the command makes sense there."""
        others = [self.domain.members[name].address for name in self.domain.agents if name != machine.name]
        return Commanded("switch", {"to": ",".join(map(text, others))})
