"""Whatever arrives at an LMA or a MAG, from whomever: no exception, bounded tables, strangers get little and seldom.

What runs here is a sample; more with other seeds is ``MagStorm(seed).run(20_000)``.
"""

from __future__ import annotations

import pytest

from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.configuration import HomeProfile
from sojourn.wire.units import MILLISECOND, SECOND
from support import pmip_checkers
from support.pmip import ProxyDomain, gateway
from support.pmip_hostile import ProxyAttacker
from support.storm import Storm

_NODES = 40
_PREFIXES = 4
_STRANGER_RATE = 50


class MagStorm(Storm):
    """Random messages to an LMA and two MAGs that also have work to do."""

    def __init__(self, seed: int) -> None:
        self.domain = ProxyDomain(
            lma={
                "nodes": _NODES,
                "prefixes_per_session": _PREFIXES,
                "everybody": HomeProfile(count=1 + seed % 2),
                "lifetime_max": 60 * SECOND,
            },
            nodes=_NODES,
            prefixes_per_node=_PREFIXES,
            lifetime=60 * SECOND,
            new_nodes_per_second=5,
            timestamp_based_approach_in_use=seed % 4 != 3,
            link_local_of_lma=seed % 5 == 4,
        )
        self.attacker = ProxyAttacker(seed, self.domain)
        super().__init__(self.domain, self.attacker, "lma", ("mag1", "mag2"))

    def check(self) -> None:
        """The limits hold."""
        lma = self.domain.lma
        assert len(lma.cache) <= _NODES
        assert all(len(entry.prefixes) <= _PREFIXES for entry in lma.cache)
        assert len(lma._pending) <= _NODES
        assert len(lma.heard) <= 2
        for name in ("mag1", "mag2"):
            mag = self.domain.mag(name)
            assert len(mag.sessions) <= _NODES
            assert len(mag.heard) <= 1
            assert len(mag._requests) <= _NODES
            assert all(len(session.anchored) <= _PREFIXES for session in mag.sessions.values())


@pytest.mark.parametrize("seed", range(12))
def test_a_storm_of_messages(seed: int) -> None:
    storm = MagStorm(seed)
    storm.run(700)
    assert storm.answered, "strangers were among them"
    for when, surplus in storm.answered:
        assert surplus <= 64
        assert sum(1 for other, _ in storm.answered if when <= other < when + SECOND) <= 2 * _STRANGER_RATE


@pytest.mark.parametrize("seed", range(4))
def test_after_a_storm_nothing_is_left(seed: int) -> None:
    """Whatever forged messages made the engines believe ends with its lifetime."""
    storm = MagStorm(seed)
    storm.run(300)
    storm.settle()
    assert len(storm.domain.lma.cache) == 0
    assert pmip_checkers.faults(storm.domain) == []
    for name, member in storm.domain.members.items():
        state = member.plane.state
        assert not member.store, name
        assert not any((state.slots, state.prefixes, state.uplinks, state.counters)), name


@pytest.mark.parametrize("seed", range(4))
def test_nodes_live_through_a_storm(seed: int) -> None:
    """Nobody's packets but those of the LMA and the MAGs count: strangers move no binding."""
    storm = MagStorm(seed)
    domain, dice = storm.domain, storm.attacker.dice
    for host, place in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.attach(host, place)
    domain.run(SECOND)
    for _ in range(500):
        name = dice.choice(["lma", "mag1", "mag2"])
        storm.send(name, dice.randbytes(16), storm.attacker.message())
        if dice.random() < 0.1:
            domain.run(100 * MILLISECOND)
    assert domain.entries("mn1")[0].source == gateway(1)
    assert domain.entries("mn2")[0].source == gateway(2)
    assert all(domain.at(place, host).confirmed for host, place in (("mn1", "mag1"), ("mn2", "mag2")))


def test_a_flood_of_identifiers_on_an_access_link_is_limited() -> None:
    domain = ProxyDomain(nodes=30, new_nodes_per_second=10)
    dice = ProxyAttacker(2, domain).dice
    for second in range(10):
        for _ in range(100):
            domain.event("mag1", NodeSeen("acc0", b"\x02" + dice.randbytes(5), Sighting.NEIGHBOUR))
        assert len(domain.mag("mag1").sessions) <= min(30, 10 * (second + 2))
        domain.run(SECOND)
    assert domain.reported("mag1", "node-refused") >= 900
