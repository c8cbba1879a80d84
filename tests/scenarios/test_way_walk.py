"""A seed is a test: the walk of `test_pmip_walk`, with the extensions that choose ways and an operator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from test_pmip_walk import _HOSTS, Walk

from sojourn.wire.addresses import link_layer_text
from sojourn.wire.units import SECOND
from support.marks import first_is_quick
from support.pmip import ProxyDomain
from support.pmip_extensions import command
from support.pmip_ways import faults, left, ways_of_lma, ways_of_mag
from support.table import HOSTS, node

_STEPS = 40
_TOGETHER = 10


class WayWalk(Walk):
    """One seed."""

    def make(self, lma: dict[str, object], **overrides: object) -> ProxyDomain:
        return super().make(ways_of_lma() | lma, **(ways_of_mag() | overrides))

    def happenings(self) -> list[Callable[[], None]]:
        return [*super().happenings(), self._prepare, self._prepare, self._command, self._quiet]

    def _prepare(self) -> None:
        """Make before break: a gateway is told of a node, and perhaps it comes."""
        host, name = self.dice.choice(_HOSTS), self.dice.choice(["mag1", "mag2", "mag3"])
        words = {"node": link_layer_text(HOSTS[host]), "kind": self.dice.choice(["between-gateways", "x"])}
        command(self.domain, name, "make-before-break", **words)
        if self.dice.random() < 0.7 and host in self.places and self.places[host] != name:
            self.domain.attach(host, name)
            self.domain.run(SECOND // 10)
            if self.dice.random() < 0.3:
                command(self.domain, name, "activate", node=words["node"])
            self.domain.detach(host, self.places[host])
            self.places[host] = name

    def _command(self) -> None:
        who, whom = (node(host).hex() for host in self.dice.sample(_HOSTS, 2))
        verb, name, words = self.dice.choice(
            [
                ("delegate", "mag1", {"node": link_layer_text(HOSTS["mn1"])}),
                ("localize", "lma", {"node": who, "other": who}),
                ("delocalize", "lma", {"node": whom, "other": "00"}),
                ("refresh", "mag2", {}),
            ]
        )
        command(self.domain, name, verb, **words)

    def _quiet(self) -> None:
        self.domain.run(50 * SECOND)

    def settle(self) -> list[str]:
        """Quiet, and everything is as it should be."""
        return [fault for fault in super().settle() if "2001:db8:f101:" not in fault] or faults(self.domain)

    def depart(self) -> list[str]:
        return super().depart() or left(self.domain)


@pytest.mark.parametrize("first", first_is_quick(range(0, 30, _TOGETHER)))
def test_after_a_random_walk_with_ways_everything_is_right(first: int) -> None:
    found = []
    for seed in range(first, first + _TOGETHER):
        walk = WayWalk(seed)
        for _ in range(_STEPS):
            walk.step()
        found += [f"seed {seed}: {fault}" for fault in walk.settle() or walk.depart()]
    assert not found, "\n".join(found)
