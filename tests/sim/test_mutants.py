"""The checkers can see: engines with one defect each are found, and soon."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sim.anchored import Anchored
from sim.cluster_mutants import CLUSTER_MUTANTS
from sim.direct_mutants import DIRECT_MUTANTS
from sim.episode import play
from sim.extra_mutants import EXTRA_MUTANTS
from sim.mip6_mutants import MIP6_MUTANTS
from sim.mutants import MUTANTS
from sim.partner_mutants import PARTNER_MUTANTS
from sim.pmip_mutants import PMIP_MUTANTS
from sojourn.core.effects import Effect, StoreEffect
from sojourn.host.commits import Commits

_SEEDS = 100
"""Within so many seeds. Most are found by the first or second."""

_ALL = {
    **MUTANTS,
    **PMIP_MUTANTS,
    **MIP6_MUTANTS,
    **EXTRA_MUTANTS,
    **DIRECT_MUTANTS,
    **PARTNER_MUTANTS,
    **CLUSTER_MUTANTS,
}

pytestmark = [pytest.mark.sim, pytest.mark.slow]


@pytest.mark.parametrize("name", _ALL)
def test_an_engine_with_a_defect_is_found(name: str) -> None:
    fault = next((outcome.faults[0] for seed in range(_SEEDS) if (outcome := play(seed, _ALL[name])).faults), "")
    assert fault, "nobody noticed"
    assert not fault.startswith(("AttributeError", "TypeError")), f"the mutant does not fit the engine: {fault}"


def test_a_host_that_answers_before_the_store_has_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an LMA whose bindings are elsewhere."""
    add = Commits.add

    def hasty(commits: Commits, changes: Sequence[StoreEffect], messages: Sequence[Effect]) -> None:
        for message in messages:
            commits._send(message)
        add(commits, changes, ())

    monkeypatch.setattr(Commits, "add", hasty)
    assert "before it is stored" in play(0, Anchored).faults[0]
