"""The cast of RFC 5213 with LMAs whose bindings are elsewhere, under a lease (`stores.LeasedStore`).

Each life of an LMA takes the lease from the one before, as another machine would do: what an LMA had on its way to the
store when it died is there or not, and nobody heard of it. The store takes its time, and refuses for a while. Who gets
the lease is played in tests/engines/test_anchor_pair.py.
"""

from __future__ import annotations

import random

from sim.pmip import Pmip
from sojourn.engines.lma_entry import node_of
from sojourn.engines.registration import REFUSING
from sojourn.stores.leased_memory import LeasedRecords
from sojourn.wire import BindingAcknowledgement, MobileNodeIdentifier
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND


class Anchored(Pmip):
    """One domain; see `sim.cast.Cast`."""

    name = "anchored"

    def start(self) -> None:
        """See `Cast`."""
        far = random.Random(f"anchored {len(self.places)} {self.lifetime} {self.temper}").choice((0, 0, 5, 50))
        for machine in self.domain.anchors:
            machine.leased = LeasedRecords(lambda: self.world.now)
            machine.far = far * MILLISECOND
        super().start()

    def _on_sent(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        """Who is told that it is registered is in the store."""
        super()._on_sent(sender, receiver, message)
        identifier = message.first(MobileNodeIdentifier)
        if not isinstance(message, BindingAcknowledgement) or identifier is None or sender not in self.centres:
            return
        if message.status < REFUSING and message.lifetime:
            stored = {node_of(*pair) for pair in self.domain.members[sender].store.items()}
            assert identifier.key() in stored, f"{sender} answers for {identifier.key().hex()} before it is stored"
