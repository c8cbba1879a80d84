"""Whatever arrives at an LMA or a MAG with all extensions, from whomever: no exception, and bounded tables.

What runs here is a sample; more with other seeds is ``ExtensionStorm(seed).run(20_000)``.
"""

from __future__ import annotations

from collections.abc import Sized

import pytest

from sojourn.engines.extension import Extension
from sojourn.engines.extension_settings import RedirectSettings
from sojourn.wire.units import MILLISECOND, SECOND
from support import pmip_checkers
from support.pmip import LMA2, ProxyDomain, gateway
from support.pmip_extension_hostile import ExtensionAttacker
from support.pmip_extensions import all_of_lma, all_of_mag, command
from support.storm import Storm
from support.table import node

_NODES = 40
_SHARED = {"_role", "_report", "_do", "_address"}
_REMEMBERED = 256
"""Answers to notifications, the most that any table of an extension has."""


class ExtensionStorm(Storm):
    """Random messages to an LMA and two MAGs with every extension, while operators give commands."""

    def __init__(self, seed: int) -> None:
        bounds: dict[str, object] = {"nodes": _NODES, "lifetime_max": 60 * SECOND}
        if seed % 3 == 2:
            bounds["redirect"] = RedirectSettings((LMA2,))
        redirect = {"redirect_anchors": (LMA2,)} if seed % 3 == 2 else {}
        mag = {"nodes": _NODES, "lifetime": 60 * SECOND, "new_nodes_per_second": 5}
        self.domain = ProxyDomain(lma=all_of_lma() | bounds, **(all_of_mag() | mag | redirect))
        self.attacker = ExtensionAttacker(seed, self.domain)
        super().__init__(self.domain, self.attacker, "lma", ("mag1", "mag2"))

    def check(self) -> None:
        """The limits hold, and somebody gives a command now and then."""
        dice = self.attacker.dice
        if dice.random() < 0.1:
            who = node(dice.choice(["mn1", "mn2", "mn3"])).hex()
            verb, arguments = dice.choice(
                [
                    ("revoke", {"node": who}),
                    ("revoke", {"gateway": "mag1"}),
                    ("notify", {"node": who, "reason": "register"}),
                    ("quality", {"node": who, "dscp": str(dice.randrange(64))}),
                    ("renumber", {"node": who, "mode": dice.choice(["soft", "hard"])}),
                ]
            )
            command(self.domain, "lma", verb, **arguments)
        for name in ("lma", "mag1", "mag2"):
            role = self.domain.lma if name == "lma" else self.domain.mag(name)
            for extension in role.extensions:
                for table, size in sizes(extension).items():
                    assert size <= _REMEMBERED, (name, extension.name, table, size)


def sizes(extension: Extension) -> dict[str, int]:  # type: ignore[type-arg]
    """How much is in each table of an extension."""
    kept = {name: value for name, value in vars(extension).items() if name not in _SHARED}
    return {name: len(value) for name, value in kept.items() if isinstance(value, Sized)}


@pytest.mark.parametrize("seed", range(9))
def test_a_storm_of_messages(seed: int) -> None:
    ExtensionStorm(seed).run(500)


@pytest.mark.parametrize("seed", range(3))
def test_after_a_storm_nothing_is_left(seed: int) -> None:
    """Whatever forged messages made the engines believe ends with its lifetime."""
    storm = ExtensionStorm(seed)
    storm.run(300)
    storm.settle()
    storm.domain.run(120 * SECOND)
    assert len(storm.domain.lma.cache) == 0
    assert pmip_checkers.faults(storm.domain) == []
    for name, member in storm.domain.members.items():
        state = member.plane.state
        assert not any((state.slots, state.prefixes, state.uplinks, state.counters)), name
        assert all(key.startswith(b"extension/") for key in member.store), name
    for extension in storm.domain.lma.extensions:
        left = {table for table, size in sizes(extension).items() if size}
        assert left <= _EXPECTED, (extension.name, left)


_EXPECTED = {"_kept", "_watched", "_unable", "_authorized", "_accepted", "_option", "_vendors", "_unasked", "_silent"}
"""What is about peers or the configuration."""


@pytest.mark.parametrize("seed", range(4))
def test_nodes_live_through_a_storm_of_strangers(seed: int) -> None:
    storm = ExtensionStorm(seed * 3)
    domain, dice = storm.domain, storm.attacker.dice
    for host, place in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.attach(host, place)
    domain.run(SECOND)
    had = domain.entry("mn1").prefixes
    for _ in range(500):
        name = dice.choice(["lma", "mag1", "mag2"])
        storm.send(name, dice.randbytes(16), storm.attacker.message())
        if dice.random() < 0.1:
            domain.run(100 * MILLISECOND)
    assert domain.entries("mn1")[0].source == gateway(1)
    assert domain.entry("mn1").prefixes == had
    assert domain.entries("mn2")[0].source == gateway(2)
    assert all(domain.at(place, host).confirmed for host, place in (("mn1", "mag1"), ("mn2", "mag2")))
