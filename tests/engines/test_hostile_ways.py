"""Whatever arrives at an LMA or a MAG with all extensions that choose ways: no exception, and bounded tables.

What runs here is a sample; more with other seeds is ``WayStorm(seed).run(20_000)``.
"""

from __future__ import annotations

import pytest
from test_hostile_extensions import sizes

from sojourn.engines.way_settings import LocalizedRoutingOfLma, LocalizedRoutingOfMag
from sojourn.wire import MobilityMessage
from sojourn.wire.addresses import link_layer_text
from sojourn.wire.extensions.rfc6058 import TransientBinding
from sojourn.wire.extensions.rfc6602 import MobileNodeGroupIdentifier
from sojourn.wire.extensions.rfc6705 import (
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    MagIpv6Address,
)
from sojourn.wire.extensions.rfc7077 import UpdateNotification, UpdateNotificationAcknowledgement
from sojourn.wire.extensions.rfc7148 import DelegatedMobileNetworkPrefix
from sojourn.wire.extensions.rfc7389 import LmaUserPlaneAddress
from sojourn.wire.extensions.rfc8278 import MagIdentifier, MagMultipathBinding
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import ProxyDomain, gateway
from support.pmip_extensions import command
from support.pmip_hostile import ProxyAttacker
from support.pmip_ways import NETWORKS, all_ways_of_lma, all_ways_of_mag, left
from support.storm import Storm
from support.table import HOSTS, node

_NODES = 40
_PAIRS = 16
_REMEMBERED = 128
_SECOND_LINK = "mn3"


class WayAttacker(ProxyAttacker):
    """Knows pools, addresses and the sequence numbers of what waits for an answer."""

    def __init__(self, seed: int, domain: ProxyDomain) -> None:
        super().__init__(seed, domain)
        dice = self.dice
        self._options += [
            lambda: TransientBinding(dice.random() < 0.8, dice.randrange(256) * 100 * MILLISECOND),
            lambda: DelegatedMobileNetworkPrefix.of(
                dice.choice([NETWORKS.subnet(dice.randrange(4), 56), self.prefix()])
            ),
            lambda: DelegatedMobileNetworkPrefix(True, 24, self.address()[:4]),
            lambda: MobileNodeGroupIdentifier(1, dice.choice([0, 1, 2, 3])),
            lambda: LmaUserPlaneAddress(dice.choice([b"", self.address(), self.address()[:4]])),
            lambda: MagMultipathBinding(4, 9, dice.choice([0, 1, 2, 3, 255]), dice.random() < 0.3, dice.random() < 0.3),
            lambda: MagIdentifier(1, self.octets(20)),
            lambda: MagIpv6Address(self.address()),
        ]

    def _plausible(self) -> MobilityMessage:
        dice = self.dice
        if dice.random() < 0.5:
            return super()._plausible()
        options = tuple(dice.choice(self._options)() for _ in range(dice.choice([1, 2, 4, 8])))
        sequence, lifetime = self._sequence(), dice.choice([0, 1, 60, 0xFFFF]) * SECOND
        match dice.randrange(4):
            case 0:
                return LocalizedRoutingInitiation(sequence, lifetime, options)
            case 1:
                status = dice.choice([0, 0, 128, 129, 255])
                return LocalizedRoutingAcknowledgment(sequence, dice.choice([0, 0x80]), status, lifetime, options)
            case 2:
                return UpdateNotification(sequence, 8, dice.choice([0, 0x8000, 0xC000]), options)
            case _:
                return UpdateNotificationAcknowledgement(sequence, dice.choice([0, 131, 132]), options=options)

    def _sequence(self) -> int:
        waiting = [number for one in self.domain.lma.extensions for number in getattr(one, "_asked", ())]
        return self.dice.choice([*waiting, self.dice.randrange(1 << 16)])


class WayStorm(Storm):
    """Random messages to an LMA and two MAGs, while an operator gives commands."""

    def __init__(self, seed: int) -> None:
        localized = {"localized_routing": LocalizedRoutingOfLma(most=_PAIRS, lifetime=20 * SECOND)}
        bounds = {"nodes": _NODES, "lifetime_max": 60 * SECOND}
        mag = {"nodes": _NODES, "lifetime": 60 * SECOND, "new_nodes_per_second": 5}
        here = {"localized_routing": LocalizedRoutingOfMag((gateway(1), gateway(2)), most=_PAIRS)}
        self.domain = ProxyDomain(lma=all_ways_of_lma() | bounds | localized, **(all_ways_of_mag() | mag | here))
        self.attacker = WayAttacker(seed, self.domain)
        super().__init__(self.domain, self.attacker, "lma", ("mag1", "mag2"))

    def check(self) -> None:
        """The limits hold, and somebody gives a command now and then."""
        dice = self.attacker.dice
        if dice.random() < 0.15:
            self._command()
        for name in ("lma", "mag1", "mag2"):
            role = self.domain.lma if name == "lma" else self.domain.mag(name)
            for extension in role.extensions:
                for table, size in sizes(extension).items():
                    assert size <= _REMEMBERED, (name, extension.name, table, size)

    def _command(self) -> None:
        dice, domain = self.attacker.dice, self.domain
        host, other = dice.sample(["mn1", "mn2", _SECOND_LINK], 2)
        link, pair = link_layer_text(HOSTS[host]), {"node": node(host).hex(), "other": node(other).hex()}
        owned = [str(one) for entry in domain.lma.cache for one in entry.prefixes] or ["::/64"]
        name, verb, words = dice.choice(
            [
                ("lma", "localize", pair),
                ("lma", "delocalize", pair),
                ("lma", "move-flow", {"prefix": dice.choice(owned), "link_layer": link}),
                ("lma", "return-flow", {"prefix": dice.choice(owned)}),
                ("mag1", "make-before-break", {"node": link}),
                ("mag2", "delegate", {"node": link}),
                ("mag1", "path", {"address": "2001:db8:b1::2", "state": dice.choice(["up", "down"])}),
            ]
        )
        command(domain, name, verb, **words)


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_messages(seed: int) -> None:
    WayStorm(seed).run(700)


_STAYS = {"_kept", "_others", "_routers", "_static", "_reserved", "_pools", "_latest", "_down"}
"""What is about peers or the configuration."""
_PENDING = {"_pairs", "_of_node"}
"""Pairs that an operator wants as long as they live."""


@pytest.mark.parametrize("seed", range(6))
def test_after_a_storm_nothing_is_left(seed: int) -> None:
    storm = WayStorm(seed)
    storm.run(300)
    storm.settle()
    storm.domain.run(120 * SECOND)
    assert len(storm.domain.lma.cache) == 0
    assert left(storm.domain) == []
    for name, member in storm.domain.members.items():
        state = member.plane.state
        assert not any((state.slots, state.prefixes, state.uplinks, state.counters)), name
    for role in (storm.domain.lma, storm.domain.mag("mag1"), storm.domain.mag("mag2")):
        for extension in role.extensions:
            full = {table for table, size in sizes(extension).items() if size}
            assert full <= _STAYS | _PENDING | {"_told"}, (extension.name, full)


@pytest.mark.parametrize("seed", range(4))
def test_nodes_live_through_a_storm_of_strangers(seed: int) -> None:
    storm = WayStorm(seed)
    domain, dice = storm.domain, storm.attacker.dice
    for host, place in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.attach(host, place)
    domain.run(2 * SECOND)
    before = [
        (member.plane.state.slots.copy(), member.plane.state.prefixes.copy()) for member in domain.members.values()
    ]
    for _ in range(500):
        name = dice.choice(["lma", "mag1", "mag2"])
        storm.send(name, dice.randbytes(16), storm.attacker.message())
    after = [(member.plane.state.slots, member.plane.state.prefixes) for member in domain.members.values()]
    assert after == before
    assert all(domain.at(place, host).confirmed for host, place in (("mn1", "mag1"), ("mn2", "mag2")))
