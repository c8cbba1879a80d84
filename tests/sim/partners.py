"""The cast of RFC 8885 where routers miss each other, and partners take pools over (`sojourn.engines.maar_survival`).

What is promised besides: while a router with a partner is dead, and nothing else is wrong, sessions on its prefixes go
on within seconds (`_Survivors`); when it is there again it has its pool again, and nothing is left at its partner.
"""

from __future__ import annotations

import random
from itertools import pairwise

from sim.direct import Direct
from sim.dmm import Dmm
from sim.flows import Flow, Flows
from sim.paths import Paths
from sim.weather import Weather
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_MISSED = 8 * SECOND
"""A router that died is missed, and its partner is in its place; with the settings and delays of these episodes."""


class Partners(Dmm):
    """One domain; see `sim.cast.Cast`."""

    name = "partners"
    share_of_tight = 0.0
    partners: dict[str, str]

    def _particulars(self, dice: random.Random) -> None:
        super()._particulars(dice)
        if dice.random() < 0.5:
            self.temper = "calm"
        names = list(self.domain.maar_configurations)
        self.partners = {name: dice.choice([other for other in names if other != name]) for name in names}
        for name in names:
            if dice.random() < 0.3:
                del self.partners[name]
        settings = LivenessSettings(dice.choice((500, 1000, 1000)) * MILLISECOND, 3, hold=dice.choice((2, 5)) * SECOND)
        self.domain.give_partners(self.partners, settings)

    def _fast_handovers(self, dice: random.Random) -> dict[str, int]:
        """None; in the calm episodes routers die and come back, and nothing else goes wrong."""
        return {"die": 1, "boot": 12} if self.temper == "calm" else {}

    def _make_paths(self) -> Paths:
        return Paths(self.world, self.air, self.domain.leads, self.places, anchor=self.domain.home)

    def _make_flows(self, paths: Paths) -> Flows:
        return _Survivors(self, paths)

    def excuse(self, flow: Flow, calm_since: Instant) -> str:
        """Why it need not go on; see `Dmm`."""
        return self._excuse(flow, calm_since)

    def ran_out_at_dead_router(self, flow: Flow, dead: dict[str, Instant]) -> bool:
        """Whether its node was with a router for so long after that had died that its binding may have run out.

        Nobody refreshed it meanwhile, and what was refreshed at half of its lifetime is over after the other half.
        """
        visits = [(when, place) for when, place in self._visits[flow.node.name] if place is not None]
        return any(
            place in dead and left - max(dead[place], came) >= self.granted // 2 - SECOND
            for (came, place), (left, _) in pairwise(visits)
        )

    def _excuse(self, flow: Flow, calm_since: Instant) -> str:
        home = self.domain.members[flow.home]
        if flow.home not in self.partners and home.driver is None:
            return "its anchor is dead, and nobody is in its place"
        return super()._excuse(flow, calm_since)


class DirectPartners(Partners, Direct):
    """The same in direct mode."""

    name = "stand-in"


class _Survivors(Flows):
    """The sessions, of which those on prefixes of a dead router with a living partner have to go on."""

    def __init__(self, cast: Partners, paths: Paths) -> None:
        super().__init__(cast.world, cast.air, paths, cast.excuse)
        self._cast = cast
        self._else_since: Instant = 0
        """When anything was wrong last, dead anchors left out."""
        self._forgot: Instant = -1
        """When a database last began anew, perhaps without its memory."""
        self._lives: list[int] = []
        self._dead: dict[str, Instant] = {}
        """Since when a router is dead."""
        self._living: dict[str, Instant] = {}
        """Since when one is not."""

    def tick(self, calm_since: Instant) -> list[str]:
        """See `Flows`."""
        now, machines = self._world.now, self._world.machines
        dead = [name for name, machine in machines.items() if machine.driver is None]
        self._dead = {name: self._dead.get(name, now) for name in dead}
        self._living = {name: self._living.get(name, now) for name in machines if name not in self._dead}
        if self._is_anything_else_wrong():
            self._else_since = now
        lives = [machines[name].lives for name in self._cast.domain.databases]
        if lives != self._lives:
            self._lives, self._forgot = lives, now
        faults = []
        for flow in self.flows:
            if self._must_survive(flow) and not self.works(flow) and not self._cast.excuse(flow, calm_since):
                died = (now - self._dead[flow.home]) / SECOND
                faults.append(
                    f"{flow.node.name} at {flow.node.place}: its anchor {flow.home} is dead since {died:.0f} s, "
                    f"and its session is too, though {self._cast.partners[flow.home]} lives"
                )
        return super().tick(calm_since) + faults

    def _is_anything_else_wrong(self) -> bool:
        cast, network = self._cast, self._world.network
        weather = getattr(network.fate, "__self__", None)
        anchors = {name for name in self._dead if cast.partners.get(name) not in (None, *self._dead)}
        others = [machine for name, machine in self._world.machines.items() if name not in anchors]
        return bool(
            network.cut
            or self._air.down
            or (isinstance(weather, Weather) and not weather.fine)
            or any(each.driver is None or each.paused or each.kernel_is_behind or each.refuses for each in others)
        )

    def _must_survive(self, flow: Flow) -> bool:
        now, node, died = self._world.now, flow.node, self._dead.get(flow.home)
        if died is None or node.place is None or node.place in self._dead or flow.home not in self._cast.partners:
            return False
        if not self._can_tell(flow.home):
            return False
        moved: Duration = now - max(node.arrived, self._living[node.place])  # who began anew finds out who is dead
        if node.arrived > died and self._forgot > died:
            return False  # it came from a dead router, and nobody knows any more what it had there
        if self._cast.ran_out_at_dead_router(flow, self._dead):
            return False
        if now - died < _MISSED or self._else_since > died - 5 * SECOND or flow.worked < died - 2 * SECOND:
            return False  # it may have been cut before
        return moved > 5 * SECOND and flow.begun < died - 5 * SECOND

    def _can_tell(self, home: str) -> bool:
        """Whether the partner of `home` can know that it is not itself cut off: it takes nothing before somebody else
        answers it, if there is anybody else (`maar_stand_in._is_cut_off`).
        """
        others = self._world.machines.keys() - {home, self._cast.partners[home]}
        return not others or any(self._world.now - self._living.get(one, self._world.now) >= _MISSED for one in others)
