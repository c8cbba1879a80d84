"""How much the daemons of a lab take: memory, descriptors, and what their stores have grown to.

A daemon that is killed now and then starts each life small, so only looks at lives count that are a few seconds old.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sojourn.lab.lab import Lab
from sojourn.wire.units import SECOND, Duration, Instant

_PAGE = os.sysconf("SC_PAGE_SIZE")
RIPE: Duration = 3 * SECOND
"""A younger process has not done yet what every life does."""


@dataclass(frozen=True, slots=True)
class Look:
    """One daemon at one moment."""

    node: str
    pid: int
    at: Instant
    age: Duration
    memory: int
    """Octets that it has in memory and shares with nobody: what is mapped from files is the machine's."""
    descriptors: int
    store: int
    """Octets of its journal, with the log before it."""


class Vitals:
    """Looks at all daemons of `lab` whenever asked."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._born: dict[int, Instant] = {}
        self.looks: list[Look] = []

    def look(self) -> None:
        """One look at each that runs."""
        now = time.monotonic_ns()
        for node in self._lab.topology.daemons:
            daemon = self._lab.daemon(node)
            if daemon.process is None or not daemon.running:
                continue
            pid = daemon.process.pid
            age = now - self._born.setdefault(pid, now)
            with suppress(OSError, ValueError):  # it ends just now
                resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
                store = sum(path.stat().st_size for path in daemon.store.parent.glob(daemon.store.name + "*"))
                self.looks.append(Look(node, pid, now, age, (resident - shared) * _PAGE, descriptors, store))


def growth(looks: Iterable[Look], nodes: Sequence[str], since: Instant, until: Instant) -> float:
    """How much more memory `nodes` take in the last quarter of a run than in the third, as a share of it.

    Medians of the ripe looks of each node, added up; 0 when there are too few.
    """
    half = (since + until) // 2
    border = (half + until) // 2
    before = after = 0.0
    for node in nodes:
        ripe = [look for look in looks if look.node == node and look.age >= RIPE and look.at >= half]
        third = [look.memory for look in ripe if look.at < border]
        last = [look.memory for look in ripe if look.at >= border]
        if third and last:
            before += statistics.median(third)
            after += statistics.median(last)
    return after / before - 1 if before else 0.0


def most(looks: Iterable[Look], node: str) -> tuple[int, int, int]:
    """The most memory, descriptors and octets of journal that a node ever had."""
    found = [look for look in looks if look.node == node]
    return (
        max((look.memory for look in found), default=0),
        max((look.descriptors for look in found), default=0),
        max((look.store for look in found), default=0),
    )
