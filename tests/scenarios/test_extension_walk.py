"""A seed is a test: the walk of `test_pmip_walk`, with all extensions and an operator who uses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from test_pmip_walk import _HOSTS, Walk

from sojourn.wire.units import SECOND
from support.marks import first_is_quick
from support.pmip import ProxyDomain
from support.pmip_extensions import all_of_lma, all_of_mag, command
from support.table import node

_STEPS = 40
_TOGETHER = 10


class ExtensionWalk(Walk):
    """One seed."""

    def make(self, lma: dict[str, object], **overrides: object) -> ProxyDomain:
        return super().make(all_of_lma() | lma, **(all_of_mag() | overrides))

    def happenings(self) -> list[Callable[[], None]]:
        return [*super().happenings(), self._command, self._command, self._command, self._quiet]

    def _command(self) -> None:
        who, mode = node(self.dice.choice(_HOSTS)).hex(), self.dice.choice(["soft", "hard"])
        name, verb, arguments = self.dice.choice(
            [
                ("lma", "revoke", {"node": who}),
                ("lma", "revoke", {"gateway": self.dice.choice(["mag1", "mag2"])}),
                ("mag1", "revoke", {}),
                ("lma", "quality", {"node": who, "dscp": "34", "uplink": "1000"}),
                ("lma", "notify", {"node": who, "reason": self.dice.choice(["register", "access-network"])}),
                ("lma", "notify", {"gateway": "mag3", "reason": "register"}),
                ("lma", "renumber", {"node": who, "mode": mode}),
                ("lma", "renumber", {"node": who, "mode": mode}),
            ]
        )
        command(self.domain, name, verb, **arguments)

    def _quiet(self) -> None:
        """Long enough for heartbeats to notice something."""
        self.domain.run(100 * SECOND)


@pytest.mark.parametrize("first", first_is_quick(range(0, 40, _TOGETHER)))
def test_after_a_random_walk_with_extensions_everything_is_right(first: int) -> None:
    found = []
    for seed in range(first, first + _TOGETHER):
        walk = ExtensionWalk(seed)
        for _ in range(_STEPS):
            walk.step()
        found += [f"seed {seed}: {fault}" for fault in walk.settle() or walk.depart()]
    assert not found, "\n".join(found)
