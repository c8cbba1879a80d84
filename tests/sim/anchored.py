"""The cast of RFC 5213 with LMAs whose bindings are elsewhere, under a lease (`stores.LeasedStore`).

Each life of an LMA takes the lease from the one before, as another machine would do: what an LMA had on its way to the
store when it died is there or not, and nobody heard of it. The store takes its time, and refuses for a while. Who gets
the lease is played in tests/engines/test_anchor_pair.py.
"""

from __future__ import annotations

from sim.pmip import Pmip
from sojourn.stores.leased_memory import LeasedRecords


class Anchored(Pmip):
    """One domain; see `sim.cast.Cast`."""

    name = "anchored"

    def start(self) -> None:
        """See `Cast`."""
        for machine in self.domain.anchors:
            machine.leased = LeasedRecords(lambda: self.world.now)
        super().start()
