"""A seed is a test: nodes roam among MAGs while messages get lost and machines die, then it gets quiet.

A failure names its seed; ``Walk(seed)`` in a debugger repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sojourn.core.effects import ProbeNode
from sojourn.core.events import NodeDetached, NodeSeen, Sighting
from sojourn.engines.configuration import HomeProfile
from sojourn.wire.addresses import prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support import pmip_checkers
from support.marks import first_is_quick
from support.pmip import ProxyDomain
from support.table import HOSTS, node

_STEPS = 40
_TOGETHER = 10
_HOSTS = [f"mn{number}" for number in range(1, 6)]
_NAMES = {HOSTS[host]: host for host in _HOSTS}


class Walk:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        everybody = HomeProfile(count=dice.choice([1, 1, 2]))
        self.domain = self.make({"everybody": everybody, "ipv4_pool": prefix("10.9.0.0/24")}, ipv4=seed % 3 == 0)
        self.places: dict[str, str] = {}
        self.loss = 0.0
        self.domain.lose = lambda source, destination, message: dice.random() < self.loss
        self.domain.jitter = lambda: dice.randrange(0, 20) * MILLISECOND
        self.domain.repeat = lambda: dice.random() < 0.05
        self.domain.on_probe = self._on_probe

    def make(self, lma: dict[str, object], **overrides: object) -> ProxyDomain:
        """An LMA and three MAGs."""
        return ProxyDomain(
            3,
            lma=lma,
            lifetime=self.dice.choice([20, 60]) * SECOND,
            timestamp_based_approach_in_use=self.dice.random() < 0.8,
            link_local_of_lma=self.dice.random() < 0.2,
            **overrides,
        )

    def _on_probe(self, name: str, probe: ProbeNode) -> None:
        if self.places.get(_NAMES[probe.link_layer]) == name:
            self.domain.later(MILLISECOND, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR))

    def step(self) -> None:
        """Something happens, and time passes."""
        self.dice.choice(self.happenings())()
        self.domain.run(self.dice.choice([1, 5, 50, 500, 3000, 12_000]) * MILLISECOND)

    def happenings(self) -> list[Callable[[], None]]:
        """What may happen, each as often as it is likely."""
        return [self._roam] * 6 + [self._leave, self._weather, self._lma_dies, self._mag_dies]

    def _roam(self) -> None:
        host, new = self.dice.choice(_HOSTS), self.dice.choice(["mag1", "mag2", "mag3"])
        old = self.places.get(host)
        if old is not None and self.dice.random() < 0.7:
            self.domain.event(old, NodeDetached("acc0", HOSTS[host]))
        self.places[host] = new
        self.domain.later(10 * MILLISECOND, new, NodeSeen("acc0", HOSTS[host], Sighting.STATION))

    def _leave(self) -> None:
        host = self.dice.choice(_HOSTS)
        old = self.places.pop(host, None)
        if old is not None and self.dice.random() < 0.7:
            self.domain.detach(host, old)

    def _weather(self) -> None:
        self.loss = self.dice.choice([0.0, 0.0, 0.1, 0.4])

    def _lma_dies(self) -> None:
        self.domain.crash("lma")
        self.domain.run(self.dice.choice([10, 1000, 5000]) * MILLISECOND)
        self.domain.restart("lma", store=self.dice.random() < 0.7)

    def _mag_dies(self) -> None:
        name = self.dice.choice(["mag1", "mag2", "mag3"])
        self.domain.crash(name)
        self.domain.run(self.dice.choice([10, 1000]) * MILLISECOND)
        self.domain.restart(name, store=self.dice.random() < 0.5)
        self._seen_anew(name)

    def _seen_anew(self, name: str) -> None:
        """A router that begins reads which stations are there."""
        for host, place in self.places.items():
            if place == name:
                self.domain.attach(host, name)

    def settle(self) -> list[str]:
        """Quiet: every node is where it is, and everybody agrees."""
        self.loss = 0.0
        for _ in range(200):
            self.domain.run(SECOND)
        while any(len(self.domain.mag(name)._requests) for name in self.domain.mag_configurations):
            self.domain.run(50 * MILLISECOND)  # a refresh is under way at this very moment
        found = pmip_checkers.faults(self.domain)
        for host in _HOSTS:
            sessions = [entry for entry in self.domain.lma.cache.of(node(host)) if not entry.waiting]
            places = [self.domain.names[entry.source] for entry in sessions]
            expected = [self.places[host]] if host in self.places else []
            if places != expected:
                found.append(f"{host} is at {expected}, and to the LMA at {places}")
        return found

    def depart(self) -> list[str]:
        """All nodes leave: nothing stays."""
        for host, place in self.places.items():
            self.domain.detach(host, place)
        self.domain.run(30 * SECOND)
        members = self.domain.members.items()
        planes = {name: member.plane.state for name, member in members}
        stored = {name: [key for key in member.store if not key.startswith(b"extension/")] for name, member in members}
        found = [f"{name} stores {len(keys)}" for name, keys in stored.items() if keys]
        for name, state in planes.items():
            if any((state.slots, state.prefixes, state.uplinks, state.counters, state.logical_interfaces)):
                found.append(f"{name}: something is left in the kernel")
        return found


@pytest.mark.parametrize("first", first_is_quick(range(0, 60, _TOGETHER)))
def test_after_a_random_walk_everything_is_right(first: int) -> None:
    """The latest attachment wins, routes equal bindings, and nothing stays behind."""
    found = []
    for seed in range(first, first + _TOGETHER):
        walk = Walk(seed)
        for _ in range(_STEPS):
            walk.step()
        found += [f"seed {seed}: {fault}" for fault in walk.settle() or walk.depart()]
    assert not found, "\n".join(found)
