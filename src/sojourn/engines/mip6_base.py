"""What home agents and correspondent nodes have in common besides the tests of `mip6_request`."""

from __future__ import annotations

from sojourn.core.events import MessageReceived
from sojourn.engines.base import OutboxEngine, TokenBucket
from sojourn.engines.entropy import Entropy
from sojourn.engines.mip6_request import binding_error, unicast
from sojourn.wire import BindingErrorStatus
from sojourn.wire.addresses import Address
from sojourn.wire.units import WallClock

STRANGERS_PER_SECOND = 50
"""Answers to whom nothing proves that it asked, all together."""
_SHOWN = 64
"""Octets of an experiment that are written down."""


class MobilityEngine(OutboxEngine):
    """A role of Mobile IPv6. `seed`: octets that nobody can guess (see `entropy`)."""

    def __init__(self, epoch: WallClock, seed: bytes) -> None:
        super().__init__(epoch)
        self._entropy = Entropy(seed)
        self._strangers = TokenBucket(STRANGERS_PER_SECOND, STRANGERS_PER_SECOND)

    def _on_unknown_type(self, event: MessageReceived) -> None:
        """RFC 6275 9.2: an unknown MH Type is answered with a Binding Error of status 2."""
        home = event.home_address
        self._complain(BindingErrorStatus.UNKNOWN_MESSAGE_TYPE, event.source, event.destination, home)

    def _on_experiment(self, event: MessageReceived, data: bytes, wanted: bool) -> None:
        """RFC 5096: written down, or nothing that is known here."""
        if wanted:
            self._report("experiment-received", source=event.source, data=data[:_SHOWN].hex())
        else:
            self._on_unknown_type(event)

    def _complain(
        self, status: BindingErrorStatus, source: Address, destination: Address, home: Address | None
    ) -> None:
        """RFC 6275 9.3.3: a Binding Error to `source`, who wrote to `destination`; not too often, and never to many."""
        if not unicast(source):
            return
        self._report("binding-error-sent", source=source, status=int(status))
        if self._strangers.take(self._now):
            self._do(binding_error(status, destination, source, home))
