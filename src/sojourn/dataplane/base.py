"""What carries out the forwarding effects of an engine: one protocol, several ways to make it hold.

`memory` keeps what should hold in dictionaries (tests, simulator); `linux` makes it hold in the kernel.
"""

from __future__ import annotations

from typing import Protocol

from sojourn.core.effects import ForwardingEffect
from sojourn.core.engine import Row
from sojourn.wire.addresses import Prefix


class Dataplane(Protocol):
    """Steers packets as the effects say. Not for several threads at once."""

    def apply(self, effect: ForwardingEffect) -> None:
        """Make `effect` hold, whatever held before; twice is harmless. Raises OSError when the kernel refuses."""
        ...

    def waiting(self, slot: int) -> tuple[int, int, int]:
        """Packets that wait in the queues of `slot` (`EnsureQueue`), forwarded ones second, and that were dropped."""
        ...

    def count(self) -> dict[Prefix, int]:
        """Packets so far from each counted prefix, as its node sent them: what others send to it is no use of it."""
        ...

    def begin(self) -> None:
        """Reconciliation starts: remember what holds from an earlier life; none of it is disturbed meanwhile."""
        ...

    def finish(self) -> list[str]:
        """Remove what held at `begin` and was not asked for since; answers with what was removed, for the log."""
        ...

    def reassert(self) -> None:
        """Make everything hold again that should: an interface came back, and the kernel forgets what leads to one
        that goes down. Raises OSError when the kernel refuses any of it."""
        ...

    def show(self) -> list[Row]:
        """What holds, one row for each prefix, uplink and slot, for people."""
        ...

    def close(self) -> None:
        """Orderly stop: everything is as it was before the start."""
        ...

    def leave(self) -> None:
        """Let go without a trace of having left: forwarding goes on, a later life takes it up (`begin`)."""
        ...
