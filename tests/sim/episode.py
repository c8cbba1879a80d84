"""An episode: a seed, the cast that it draws, and what happens to it. Played, it answers with what was wrong."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from unittest import mock

from sim.anchored import Anchored
from sim.cast import Cast
from sim.cluster import Cluster
from sim.direct import Direct, DirectFast
from sim.dmm import Dmm, Fast
from sim.happenings import Happening
from sim.leasing import Leasing
from sim.mip6 import Mip6
from sim.partners import DirectPartners, Partners
from sim.pmip import Extended, Pmip
from sim.script import Script
from sim.shrink import shrink
from sim.stage import Stage
from sim.world import Machine
from sojourn.engines import unread
from sojourn.host import swaps

MakeCast: TypeAlias = Callable[[int], Cast]
CASTS: Mapping[str, MakeCast] = {
    cast.name: cast
    for cast in (
        *(Dmm, Direct, Cluster, Pmip, Anchored, Leasing, Mip6, Fast, Extended),
        *(Partners, DirectPartners, DirectFast),
    )
}
"""Everything that can be played, by name. A new role joins here."""


@dataclass(slots=True)
class Outcome:
    """What came of an episode."""

    faults: list[str] = field(default_factory=list)
    flows: int = 0
    """Sessions that nodes began."""
    excused: int = 0
    """Of these, how many nobody could expect to go on."""
    messages: int = 0
    seconds: float = 0.0
    """Of simulated time."""

    @property
    def kind(self) -> str:
        """What is wrong, without who and where: a shorter episode must fail in the same way."""
        first = self.faults[0] if self.faults else ""
        return re.sub(r"\[.*|[0-9a-f:/]{4,}|\b(mn|ar|mag|lma|ha|cn|f)\d+|\d+|None", "*", first)[:60]


def happenings_of(seed: int, cast: MakeCast) -> list[Happening]:
    """What the seed lets happen to that cast."""
    return Script(seed, cast(seed)).write()


def play(
    seed: int,
    cast: MakeCast = Dmm,
    happenings: Sequence[Happening] | None = None,
    watch: Callable[[Stage], object] = lambda stage: None,
) -> Outcome:
    """Play the episode of `seed`, or other `happenings` with its cast and weather.

    `watch` is shown the stage before anything happens. An engine that raises is at fault, too.
    """
    players = cast(seed)
    stage = Stage(players, seed)
    watch(stage)
    outcome = Outcome()
    try:
        with few_are_many():
            outcome.faults = stage.play(Script(seed, players).write() if happenings is None else happenings)
    except Exception as error:  # whatever an engine raises is what we are looking for
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome.faults = [f"{type(error).__name__}: {error} ({where.filename}:{where.lineno} in {where.name})"]
    outcome.flows, outcome.excused = players.flows.begun, players.flows.excused
    outcome.messages, outcome.seconds = players.world.network.sent, players.world.now / 1e9
    return outcome


@contextmanager
def few_are_many() -> Iterator[None]:
    """What many nodes bring about happens with the few of an episode too: batches for a shared store overlap and
    overtake each other, and a role that is restarted is asked before it took up all its bindings.
    """
    overlapping, little = mock.patch.object(swaps, "WORTH", 1), mock.patch.object(unread, "SLICE", 1)
    with overlapping, little, mock.patch.object(Machine, "overtaking", True):
        yield


def shortened(seed: int, cast: MakeCast, seconds: float) -> tuple[Outcome, list[Happening]]:
    """A short list of happenings for which the failing `seed` fails in the same way, found in so much time."""
    happenings = happenings_of(seed, cast)
    kind = play(seed, cast, happenings).kind
    happenings = shrink(happenings, lambda fewer: play(seed, cast, fewer).kind == kind, seconds)
    return play(seed, cast, happenings), happenings


def described(name: str, seed: int, faults: Sequence[str], happenings: Sequence[Happening] | None = None) -> str:
    """A failing episode for people, with the command that replays it."""
    lines = [f"seed {seed} of {name}: {CASTS[name](seed).settings()}", *(f"  {fault}" for fault in faults[:5])]
    if happenings is not None:
        lines += ["  the shortest episode that fails like this:", *(f"    {happening}," for happening in happenings)]
    return "\n".join([*lines, f"  make sim CAST={name} SEED={seed}    SHRINK=1 for the short one, DEBUG=1 for pdb"])
