"""The checkers can see: engines with one defect each are found, and soon."""

from __future__ import annotations

import pytest

from sim.direct_mutants import DIRECT_MUTANTS
from sim.episode import play
from sim.extra_mutants import EXTRA_MUTANTS
from sim.mip6_mutants import MIP6_MUTANTS
from sim.mutants import MUTANTS
from sim.partner_mutants import PARTNER_MUTANTS
from sim.pmip_mutants import PMIP_MUTANTS

_SEEDS = 100
"""Within so many seeds. Most are found by the first or second."""

_ALL = {**MUTANTS, **PMIP_MUTANTS, **MIP6_MUTANTS, **EXTRA_MUTANTS, **DIRECT_MUTANTS, **PARTNER_MUTANTS}

pytestmark = [pytest.mark.sim, pytest.mark.slow]


@pytest.mark.parametrize("name", _ALL)
def test_an_engine_with_a_defect_is_found(name: str) -> None:
    fault = next((outcome.faults[0] for seed in range(_SEEDS) if (outcome := play(seed, _ALL[name])).faults), "")
    assert fault, "nobody noticed"
    assert not fault.startswith(("AttributeError", "TypeError")), f"the mutant does not fit the engine: {fault}"
