"""What the network does to messages: it loses, repeats and delays them, each link by dice of its own.

Dice of their own, so that an episode that is shrunk meets the same weather on the links that its rest still uses.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import Duration

FINE: tuple[float, float, Duration] = (0.0, 0.0, 0)


class Weather:
    """Good until it is `set`. `fate` is for `Network.fate`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice: dict[tuple[str, str], random.Random] = {}
        self.loss, self.repeats, self.jitter = FINE

    @property
    def fine(self) -> bool:
        """Whether every message arrives, once and in order."""
        return (self.loss, self.repeats, self.jitter) == FINE

    def set(self, loss: float, repeats: float, jitter: Duration) -> None:
        """From now on a share `loss` is lost, a share `repeats` arrives twice, and some are late by up to `jitter`."""
        self.loss, self.repeats, self.jitter = loss, repeats, jitter

    def fate(self, source: str, destination: str, message: MobilityMessage) -> Sequence[Duration]:
        """See `sim.world.Fate`."""
        if self.fine:
            return (0,)
        dice = self._dice.get((source, destination))
        if dice is None:
            dice = self._dice[source, destination] = random.Random(f"{self._seed} {source} {destination}")
        if dice.random() < self.loss:
            return ()
        copies = 2 if dice.random() < self.repeats else 1
        return [self._late(dice) for _ in range(copies)]

    def _late(self, dice: random.Random) -> Duration:
        """Most messages are in time, so that those that are late are overtaken."""
        return int(dice.random() * self.jitter) if self.jitter and dice.random() < 0.4 else 0
