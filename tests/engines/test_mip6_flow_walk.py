"""As `test_mip6_walk`, with two links at once: links come, go and are avoided, home agents forget and take links back.

Always: the home agent sends no flow to an address that the node never had, and the node sends none from a link that it
does not have. When things are quiet both ends do the same, and it is what the configuration says.
"""

from __future__ import annotations

import random

import pytest

from sojourn.core.events import Commanded
from sojourn.core.mobile_effects import EnsureReverseFlows, Flow
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.engines.mn_flows import divided
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import COA, COA2, HOA

UDP, TCP = (Ipv6TrafficSelector(next_header=(number, None)) for number in (17, 6))
POLICY = (FlowPolicy(UDP, ("lte0",)), FlowPolicy(TCP, ("wlan0", "lte0"), shared=True))


class FlowWalk:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        lifetime = dice.choice([40, 300]) * SECOND
        self.net = Roaming(several=True, flows=POLICY, route_optimisation=False, lifetime=lifetime)
        self.loss = 0.0
        self.net.lose = lambda source, destination, message: dice.random() < self.loss
        self.net.jitter = lambda: dice.randrange(0, 20) * MILLISECOND

    def step(self) -> None:
        happenings = [
            self._come,
            self._come,
            self._come,
            self._go,
            self._prefer,
            self._weather,
            self._forget,
            self._revoke,
        ]
        self.dice.choice(happenings)()
        self.net.run(self.dice.choice([1, 5, 50, 500, 3000, 30_000]) * MILLISECOND)
        self.check()

    def _come(self) -> None:
        interface, network = self.dice.choice([("wlan0", "f1"), ("wlan0", "home"), ("lte0", "f2")])
        self.net.roam(network, interface, settle=0)

    def _go(self) -> None:
        self.net.detach(self.dice.choice(["wlan0", "lte0"]))

    def _prefer(self) -> None:
        self.net.command(self.dice.choice(["avoid", "use"]), interface=self.dice.choice(["wlan0", "lte0"]))

    def _weather(self) -> None:
        self.loss = self.dice.choice([0.0, 0.0, 0.1, 0.4])

    def _forget(self) -> None:
        entry = self.net.ha.cache.get(HOA)
        if self.dice.random() < 0.5:
            self.net.start("ha")
        elif entry is not None:
            entry.flows = {}

    def _revoke(self) -> None:
        arguments = {"node": "2001:db8:4000::5", "trigger": self.dice.choice(["0", "7"])}
        if self.dice.random() < 0.5:
            arguments["identifiers"] = self.dice.choice(["1", "2"])
        self.net.tell("ha", Commanded("revoke", arguments))

    def leaving(self) -> tuple[Flow, ...]:
        """What the node was told last."""
        asked = [
            effect for effect in self.net.asked(EnsureReverseFlows, "mn") if isinstance(effect, EnsureReverseFlows)
        ]
        if not asked:
            return ()
        assert {flow.care_of_address for flow in asked[-1].flows} <= {way.care_of_address for way in asked[-1].ways}
        return asked[-1].flows

    def check(self) -> None:
        known: set[Address] = {COA, COA2}
        entry = self.net.ha.cache.get(HOA)
        if entry is not None:
            assert {flow.care_of_address for flow in entry.steered} <= known
            assert {flow.care_of_address for flow in entry.steered} <= {way.care_of for way in entry.ways.values()}
        assert {flow.care_of_address for flow in self.leaving()} <= known
        assert self.net.from_home() != "leak"

    def settle(self) -> None:
        self.loss = 0.0
        for interface in ("wlan0", "lte0"):
            self.net.detach(interface)
            self.net.command("use", interface=interface)
        self.net.attach("f1", "wlan0")
        self.net.attach("f2", "lte0")
        self.net.command("register")
        self.net.run(15 * MINUTE)


@pytest.mark.parametrize("seed", [*range(20), 27, 40, 61, 67])
def test_walk_with_flows(seed: int) -> None:
    walk = FlowWalk(seed)
    for _ in range(40):
        walk.step()
    walk.settle()
    first, second = divided(TCP, 2)
    expected = (Flow(UDP, COA2), Flow(first, COA), Flow(second, COA2))
    entry = walk.net.ha.cache[HOA]
    assert {number: way.care_of for number, way in entry.ways.items()} == {1: COA, 2: COA2}
    assert walk.net.bound() == COA
    assert entry.steered == walk.leaving() == expected
