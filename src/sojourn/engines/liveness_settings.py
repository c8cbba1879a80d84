"""How routers that share state find out that one of them is gone (`sojourn.engines.liveness`)."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire.units import MILLISECOND, SECOND, Duration


@dataclass(frozen=True, slots=True)
class LivenessSettings:
    """How fast a router that is gone is missed, and how slowly one that is back is trusted."""

    interval: Duration = 250 * MILLISECOND
    """Between two beats to a neighbour, at most; on average an eighth less."""
    misses: int = 3
    """A neighbour that was silent for so many intervals is lost."""
    rate: int = 1_000
    """Most beats a second, to all neighbours together."""
    hold: Duration = 5 * SECOND
    """A router whose prefixes its partner took over has to be there for so long before it gets them back.

    Without a partner, the ways to one that is gone stay for so long.
    """

    @property
    def patience(self) -> Duration:
        """Silence for so long is the end."""
        return self.misses * self.interval

    @property
    def margin(self) -> Duration:
        """What is added to that at most, for one whose words come unevenly: with the defaults, still under a second."""
        return 3 * self.interval // 4
