"""A seed is a test: a node roams among links while messages get lost and machines die, then it gets quiet.

Checked after every step: nothing leaves with the home address but through the tunnel or at home (`Roaming` refuses it),
and no binding is for an address that the node never had. When things are quiet everything is reachable again.
A failure names its seed; ``Walk(seed)`` in a debugger repeats it.
"""

from __future__ import annotations

import random

import pytest

from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import HOA

_STEPS = 60


class Walk:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.net = Roaming(
            anchors=dice.random() < 0.5, several=dice.random() < 0.3, lifetime=dice.choice([40, 300]) * SECOND
        )
        self.loss = 0.0
        self.net.lose = lambda source, destination, message: dice.random() < self.loss
        self.net.jitter = lambda: dice.randrange(0, 20) * MILLISECOND
        self.held: set[Address] = set()

    def step(self) -> None:
        happenings = [self._roam] * 6 + [self._leave, self._weather, self._traffic, self._traffic, self._die, self._use]
        self.dice.choice(happenings)()
        self.net.run(self.dice.choice([1, 5, 50, 500, 3000, 30_000]) * MILLISECOND)
        self.check()

    def _roam(self) -> None:
        interface = self.dice.choice(["wlan0", "wlan0", "lte0"])
        network = self.dice.choice(["home", "f1", "f2"])
        if network not in self.net.attached.values():
            self.net.detach(interface)
            self.net.attach(network, interface, settle=0)
            self.held |= {known.care_of for known in self.net.networks.values()}

    def _leave(self) -> None:
        self.net.detach(self.dice.choice(["wlan0", "lte0"]))

    def _weather(self) -> None:
        self.loss = self.dice.choice([0.0, 0.0, 0.1, 0.4])

    def _traffic(self) -> None:
        self.net.downlink()
        assert self.net.uplink() != "leak"

    def _use(self) -> None:
        self.net.sessions = {known.care_of: self.dice.randrange(2) for known in self.net.networks.values()}

    def _die(self) -> None:
        self.net.start(self.dice.choice(["ha", "cn"]))

    def check(self) -> None:
        assert self.net.from_home() != "leak"
        for name in self.net.ha_configurations:
            for entry in self.net.agent(name).cache.values():
                assert entry.care_of in self.held | {bytes(16)}
        for care_of in self.net.routes.values():
            assert care_of in self.held

    def settle(self) -> None:
        """Everything works, and the node is somewhere: home agents without memory are found out about in time."""
        self.loss = 0.0
        self.net.detach("lte0")
        self.net.detach("wlan0")
        self.net.attach(self.dice.choice(["home", "f1", "f2"]), "wlan0", settle=12 * MINUTE)
        self._traffic()
        self.net.run(5 * SECOND)
        self._traffic()
        self.net.run(5 * SECOND)


@pytest.mark.parametrize("seed", range(40))
def test_walk(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(_STEPS):
        walk.step()
    walk.settle()
    net = walk.net
    at_home = net.attached["wlan0"] == "home"
    expected = "home" if at_home else "direct"
    assert (net.downlink(), net.uplink()) == (expected, expected)
    assert net.bound() == (None if at_home else net.entry.care_of)
    for entry in net.mn.homes.values():
        if entry.local:
            way = "home" if entry.address in net.host.care_of else "tunnel"
            assert (net.to_home(entry.address), net.from_home(entry.address)) == (way, way)
    assert HOA in net.host.addresses
