"""The cast of direct mode: MAARs that tell each other, half of the time with a CMD that is told afterwards.

What a session may expect is what it may in `sim.dmm`, with the anchor of its prefix in the place of the CMD: it has to
hear of the node as often as a lifetime says, and an anchor that forgot has to be told what it anchors by a MAAR.
"""

from __future__ import annotations

import random

from sim.direct_truth import DirectTruth
from sim.dmm import Dmm
from sim.domain import CmdEngine, DmmDomain, MaarEngine
from sim.flows import Flow
from sim.paths import Paths
from sojourn.engines.configuration import Mode
from sojourn.wire import BindingUpdate, MobileNodeIdentifier
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import Instant


class Direct(Dmm):
    """One domain in direct mode; see `sim.cast.Cast`."""

    name = "direct"
    asked: int | None = None
    """How many neighbours are asked; None: all."""
    with_cmd: bool | None = None
    """Whether there is a CMD; None: as the seed says."""

    def _make_domain(
        self,
        mode: Mode,
        maars: int,
        cmd: dict[str, object],
        settings: dict[str, object],
        maar_engine: MaarEngine,
        cmd_engine: CmdEngine,
    ) -> DmmDomain:
        dice = random.Random(f"direct {maars} {sorted(map(str, settings.items()))}")
        with_cmd = dice.random() < 0.5 if self.with_cmd is None else self.with_cmd
        self.granted = self.lifetime
        if not self.tight:
            settings["prefixes_per_node"] = self.cap - 1  # its own is not among those of others
        domain = DmmDomain(Mode.DIRECT, maars, cmd, settings, maar_engine, cmd_engine, cmds=int(with_cmd))
        if with_cmd and dice.random() < 0.5:  # then it is needed: it knows what those who are asked do not
            self.asked = dice.randint(1, 2)
            for name, configuration in domain.maar_configurations.items():
                peers = [peer.address for peer in configuration.peers]
                domain.adjust(name, {"neighbours": tuple(dice.sample(peers, min(self.asked, len(peers))))})
        return domain

    def _make_truth(self, paths: Paths) -> DirectTruth:
        return DirectTruth(self.domain, self.air, paths, claims=not self.tight)

    def settings(self) -> str:
        """See `Cast`."""
        return f"{super().settings()}, {'a' if self.domain.databases else 'no'} CMD, {self.asked or 'all'} asked"

    def _on_arrived(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        option = message.first(MobileNodeIdentifier)
        machine = self.world.machines[receiver]
        if option is None or machine.driver is None or sender in self.domain.databases:
            return
        if isinstance(message, BindingUpdate) and message.lifetime and receiver not in self.domain.databases:
            who = option.identifier.hex()
            self._registered[f"{sender} {receiver}", who] = self.world.now
            self._introduced.setdefault((sender, who), self.world.now)
            self._reminded[receiver, who] = self.world.now

    def _registered_at(self, flow: Flow, place: str, who: str) -> Instant:
        return self.world.now if place == flow.home else self._registered.get((f"{place} {flow.home}", who), 0)


class DirectFast(Direct):
    """The same with fast handovers (RFC 5949): who announces a node is asked alone, what it names is asked after."""

    name = "direct-fast"
    handed_over = True
