"""What the simulated engines were seen to do, by attachment.

Turn n is the n-th visit of `sojourn.sim.itinerary.Visits`. All instants are on the clock of the simulation, and -1 for
what did not happen.
"""

from __future__ import annotations

from array import array

from sojourn.wire.units import Instant


class Seen:
    """Of `turns` attachments, at `places` places."""

    def __init__(self, turns: int, places: int) -> None:
        self.advertised = array("q", [-1]) * turns
        """When a new prefix was first announced to the node."""
        self.registered = array("q", [-1]) * turns
        """When the router that serves it knew that it is registered."""
        self.contacted = array("i", [0]) * turns
        """How many previous routers turned their tunnels."""
        self.restored = array("q")
        """Three numbers each: a turn, the place of an anchor, and when its packets could reach the node again."""
        self._places = places
        self._half: dict[int, Instant] = {}

    def tunnelled(self, turn: int, anchor: int, arrival: Instant) -> None:
        """The anchor's packets go to the router that serves the node now; the first one arrives there at `arrival`."""
        self.contacted[turn] += 1
        self.served(turn, anchor, arrival)

    def served(self, turn: int, anchor: int, now: Instant) -> None:
        """The router that serves the node delivers what comes for a prefix of `anchor`, from `now` on.

        A prefix is restored when both is true, whichever is first (`standards.md` 7.5).
        """
        key = turn * self._places + anchor
        other = self._half.pop(key, None)
        if other is None:
            self._half[key] = now
        else:
            self.restored.extend((turn, anchor, max(now, other)))
